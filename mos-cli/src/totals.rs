//! What a replay came to, in one line.

use std::collections::BTreeMap;
use std::fmt;

use mos_core::stats::Stats;

/// Counters that say how much was done, not what went wrong.
const ORDINARY: [&str; 6] = ["packets", "bytes", "flow_packets", "orphans", "flows", "defragmented"];

/// The counters of all cores and files together.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    stats: Stats,
    unsupported: BTreeMap<u32, u64>,
}

impl Totals {
    /// Adds the counters of a core.
    pub(crate) fn add(&mut self, stats: &Stats) {
        self.stats.add(stats);
    }

    /// Adds the frames that a file had with link types that are not read.
    pub(crate) fn add_unsupported(&mut self, unsupported: &[(u32, u64)]) {
        for &(link_type, frames) in unsupported {
            *self.unsupported.entry(link_type).or_default() += frames;
        }
    }
}

impl fmt::Display for Totals {
    /// Packets, bytes, flows and orphans; then every counter of something lost or wrong that is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { packets, bytes, flows, orphans, .. } = self.stats;
        write!(f, "{packets} packets, {bytes} bytes, {flows} flows, {orphans} orphans")?;
        for (group, name, count) in self.stats.entries().filter(|&(group, name, count)| is_loss(group, name, count)) {
            match group {
                "" => write!(f, ", {name} {count}")?,
                group => write!(f, ", {group}.{name} {count}")?,
            }
        }
        for (link_type, frames) in &self.unsupported {
            write!(f, ", unsupported link type {link_type}: {frames} frames")?;
        }
        Ok(())
    }
}

fn is_loss(group: &str, name: &str, count: u64) -> bool {
    let is_ordinary = match group {
        "" => ORDINARY.contains(&name),
        "end" => name != "evicted",
        _ => false,
    };
    count > 0 && !is_ordinary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_went_wrong_is_named() {
        let mut totals = Totals::default();
        let mut stats = Stats { packets: 3, flow_packets: 2, stale_segments: 1, ..Stats::default() };
        stats.ended = [1, 0, 0, 0, 5, 0, 0];
        totals.add(&stats);
        totals.add(&stats);
        totals.add_unsupported(&[(147, 9)]);
        let expected = "6 packets, 0 bytes, 0 flows, 0 orphans, stale_segments 2, end.evicted 10, \
                        unsupported link type 147: 9 frames";
        assert_eq!(totals.to_string(), expected);
    }
}
