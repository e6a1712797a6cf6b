//! One run over some traffic, and what it came to.

use std::sync::Barrier;
use std::time::Duration;

use mos_core::config::Config;
use rustix::time::{ClockId, clock_gettime};

use super::traffic::{Phase, Traffic};
use super::{Counts, Engine, Load, Speed};

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) load: Load,
    pub(crate) burst: usize,
    pub(crate) config: Config,
}

/// Cores that are measured together begin each chunk together.
#[derive(Debug)]
pub(crate) struct Pace {
    barrier: Barrier,
    chunks: usize,
}

impl Pace {
    /// That of all these together; of one, its own.
    pub(crate) fn of(traffics: &[Traffic]) -> Self {
        let chunks = traffics.iter().map(Traffic::chunks).max().unwrap_or(0);
        Self { barrier: Barrier::new(traffics.len()), chunks }
    }
}

/// What one run on one core came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    pub(crate) cpu: Duration,
    /// What was processed in that time.
    pub(crate) packets: u64,
    pub(crate) wire_bytes: u64,
    /// What the handshakes took that are not in it.
    pub(crate) opening: Duration,
    /// Flows that were alive after the last packet.
    pub(crate) live: usize,
    pub(crate) counts: Counts,
    /// What there was to count, if that is known.
    pub(crate) made_up: Option<Counts>,
}

impl Measurement {
    /// To build and to drop the engine is not part of it, nor to make the traffic.
    pub(crate) fn take(traffic: &mut Traffic, task: &Task, pace: &Pace) -> Self {
        let mut engine = Engine::new(task.load, task.config.clone());
        let (mut cpu, mut opening) = (Duration::ZERO, Duration::ZERO);
        let (mut packets, mut wire_bytes) = (0, 0);
        traffic.rewind();
        for _ in 0..pace.chunks {
            let chunk = traffic.next();
            pace.barrier.wait();
            if let Some(chunk) = chunk {
                let start = cpu_time();
                chunk.trace.each_burst(task.burst, |burst| engine.take_burst(burst));
                let time = cpu_time().saturating_sub(start);
                match chunk.phase {
                    Phase::Opening => opening += time,
                    Phase::Packets => {
                        cpu += time;
                        packets += chunk.trace.packets() as u64;
                        wire_bytes += chunk.trace.wire_bytes();
                    }
                }
            }
            pace.barrier.wait();
        }
        let live = engine.live_flows();
        let start = cpu_time();
        engine.finish();
        if traffic.is_whole() {
            cpu += cpu_time().saturating_sub(start);
        }
        Self { cpu, packets, wire_bytes, opening, live, counts: engine.counts(), made_up: traffic.counts() }
    }

    pub(crate) fn speed(&self) -> Speed {
        Speed::new(self.packets, self.wire_bytes, self.cpu)
    }

    /// An error if packets or bytes were not counted that were there.
    pub(crate) fn check(&self, load: Load) -> anyhow::Result<()> {
        let expected = self.made_up.map_or(self.counts, |made_up| made_up.seen_by(load));
        anyhow::ensure!(
            expected == self.counts,
            "what was made up is {expected:?}, what was counted {:?}",
            self.counts
        );
        Ok(())
    }
}

/// The time that this thread has had on a processor.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
