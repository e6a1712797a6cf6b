//! What a core counts. Plain numbers, written once per burst or on rare paths.

use crate::event::{EndReason, ErrorReason};
use crate::wire::{Tunnel, Undecoded};

/// The counters of one core. They only grow.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Frames seen.
    pub packets: u64,
    /// Bytes of these frames on the wire.
    pub bytes: u64,
    /// TCP packets that went to a flow.
    pub flow_packets: u64,
    /// IP packets that belonged to no flow.
    pub orphans: u64,
    /// IP fragments seen.
    pub fragments: u64,
    /// Datagrams made whole from fragments.
    pub defragmented: u64,
    /// Fragments given up: malformed, beyond the bounds, or too late.
    pub fragments_rejected: u64,
    /// Packets with a bad IPv4 header or TCP checksum that changed nothing.
    pub bad_checksums: u64,
    /// Packets whose bad checksum was put down to the capture.
    pub trusted_checksums: u64,
    /// Late copies that changed nothing.
    pub stale_segments: u64,
    /// SYNs that did not prove a new connection on a living flow's endpoints (D10).
    pub unproven_syns: u64,
    /// Flows begun.
    pub flows: u64,
    /// Frames that were not decoded, by [`Undecoded`].
    pub undecoded: [u64; Undecoded::COUNT],
    /// Packets of tunnels that were not opened, by [`Tunnel`].
    pub tunnels: [u64; Tunnel::COUNT],
    /// ERROR events, by [`ErrorReason::index`].
    pub errors: [u64; ErrorReason::COUNT],
    /// Flows ended, by [`EndReason`].
    pub ended: [u64; EndReason::COUNT],
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            packets: 0,
            bytes: 0,
            flow_packets: 0,
            orphans: 0,
            fragments: 0,
            defragmented: 0,
            fragments_rejected: 0,
            bad_checksums: 0,
            trusted_checksums: 0,
            stale_segments: 0,
            unproven_syns: 0,
            flows: 0,
            undecoded: [0; Undecoded::COUNT],
            tunnels: [0; Tunnel::COUNT],
            errors: [0; ErrorReason::COUNT],
            ended: [0; EndReason::COUNT],
        }
    }
}

impl Stats {
    /// Every counter with its name, the grouped ones as `group.reason`, zero or not.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        let plain = [
            ("packets", self.packets),
            ("bytes", self.bytes),
            ("flow_packets", self.flow_packets),
            ("orphans", self.orphans),
            ("fragments", self.fragments),
            ("defragmented", self.defragmented),
            ("fragments_rejected", self.fragments_rejected),
            ("bad_checksums", self.bad_checksums),
            ("trusted_checksums", self.trusted_checksums),
            ("stale_segments", self.stale_segments),
            ("unproven_syns", self.unproven_syns),
            ("flows", self.flows),
        ];
        let undecoded =
            Undecoded::ALL.iter().map(|reason| ("undecoded", reason.name(), self.undecoded[reason.index()]));
        let tunnels = Tunnel::ALL.iter().map(|tunnel| ("tunnel", tunnel.name(), self.tunnels[tunnel.index()]));
        let errors = ErrorReason::NAMES.iter().zip(self.errors).map(|(name, count)| ("error", *name, count));
        let ended = EndReason::NAMES.iter().zip(self.ended).map(|(name, count)| ("end", *name, count));
        plain
            .into_iter()
            .map(|(name, count)| ("", name, count))
            .chain(undecoded)
            .chain(tunnels)
            .chain(errors)
            .chain(ended)
    }

    /// Adds the counters of another core.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.packets, other.packets),
            (&mut self.bytes, other.bytes),
            (&mut self.flow_packets, other.flow_packets),
            (&mut self.orphans, other.orphans),
            (&mut self.fragments, other.fragments),
            (&mut self.defragmented, other.defragmented),
            (&mut self.fragments_rejected, other.fragments_rejected),
            (&mut self.bad_checksums, other.bad_checksums),
            (&mut self.trusted_checksums, other.trusted_checksums),
            (&mut self.stale_segments, other.stale_segments),
            (&mut self.unproven_syns, other.unproven_syns),
            (&mut self.flows, other.flows),
        ] {
            *mine += theirs;
        }
        let groups = [
            (&mut self.undecoded[..], &other.undecoded[..]),
            (&mut self.tunnels[..], &other.tunnels[..]),
            (&mut self.errors[..], &other.errors[..]),
            (&mut self.ended[..], &other.ended[..]),
        ];
        for (mine, theirs) in groups {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
    }
}
