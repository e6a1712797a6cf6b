//! The processors that this process may use.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A processor, by the system's number.
pub(crate) type Processor = usize;

/// So many of those that this process may use.
pub(crate) fn processors(count: usize) -> anyhow::Result<Vec<Processor>> {
    let allowed = sched_getaffinity(None)?;
    let processors: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor)).take(count).collect();
    anyhow::ensure!(
        processors.len() == count,
        "--cores {count}: each needs a processor of its own, and there are {}",
        processors.len()
    );
    Ok(processors)
}

/// Keeps this thread on the processor.
pub(crate) fn pin_to(processor: Processor) {
    let mut only = CpuSet::new();
    only.set(processor);
    sched_setaffinity(None, &only).expect("this processor was allowed just now");
}
