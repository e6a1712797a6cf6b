//! How much memory there is, where the system tells.

use std::fs;

/// The most memory that this process ever had.
pub(crate) fn peak_kib() -> Option<u64> {
    field("/proc/self/status", "VmHWM:")
}

/// An error if there are not so many bytes to be had for `what`.
pub(crate) fn ensure(bytes: u64, what: &str) -> anyhow::Result<()> {
    let available = field("/proc/meminfo", "MemAvailable:").unwrap_or(u64::MAX);
    let (needed, available) = (bytes >> 20, available >> 10);
    anyhow::ensure!(
        needed <= available,
        "{what}: that takes about {needed} MiB of memory, and {available} MiB are free"
    );
    Ok(())
}

/// The value of a line that begins with `name`, in KiB.
fn field(path: &str, name: &str) -> Option<u64> {
    let file = fs::read_to_string(path).ok()?;
    let line = file.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
