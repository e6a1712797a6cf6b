//! `mos bench`.
pub(crate) fn run(_args: &crate::args::BenchArgs) -> anyhow::Result<bool> {
    Ok(true)
}
