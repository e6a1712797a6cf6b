//! The counters for people.

use std::fmt::Write;
use std::net::SocketAddrV4;

use super::stats::{NatStats, Protocol};

/// A line for each pool that was ever used.
pub(super) fn table(stats: &NatStats) -> String {
    let mut text = format!(
        "{:<6}{:<6}{:<17}{:>9}{:>9}{:>9}{:>11}{:>11}\n",
        "proto", "core", "address", "in use", "free", "peak", "made", "exhausted"
    );
    for pool in stats.pools.iter().filter(|pool| pool.made > 0 || pool.exhausted > 0) {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<6}{:<6}{:<17}{:>9}{:>9}{:>9}{:>11}{:>11}",
            pool.protocol.name(),
            pool.core,
            pool.address,
            pool.in_use,
            pool.free,
            pool.peak,
            pool.made,
            pool.exhausted,
        );
    }
    text
}

/// What it came to.
pub(super) fn summary(stats: &NatStats) -> String {
    let mut text = String::new();
    for protocol in Protocol::ALL {
        let sum =
            |of: fn(&super::PoolStats) -> u64| stats.sum(|pool| if pool.protocol == protocol { of(pool) } else { 0 });
        let (made, in_use, exhausted) = (sum(|pool| pool.made), sum(|pool| pool.in_use), sum(|pool| pool.exhausted));
        let over = if protocol == Protocol::Tcp { "ended" } else { "expired" };
        let _ = writeln!(
            text,
            "{}: {made} mappings made, {} {over}, {in_use} left; {exhausted} packets dropped for want of a port",
            protocol.name(),
            made.saturating_sub(in_use),
        );
    }
    let NatStats { no_mapping, fragments, bad_checksums, untranslatable, errors, hairpinned, .. } = *stats;
    let _ = writeln!(
        text,
        "dropped: {no_mapping} without a mapping, {fragments} fragments, {bad_checksums} with wrong checksums, {untranslatable} of \
         other kinds; translated: {errors} ICMP errors, {hairpinned} from inside to inside"
    );
    text
}

/// That there was no port, for the last of `dropped` packets.
pub(super) fn exhaustion(
    protocol: Protocol,
    core: usize,
    inside: SocketAddrV4,
    remote: SocketAddrV4,
    dropped: u64,
) -> String {
    let name = protocol.name();
    format!("nat: no {name} port is left on core {core} for {inside} to {remote}: {dropped} packets dropped")
}
