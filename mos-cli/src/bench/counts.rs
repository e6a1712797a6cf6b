//! What was seen of some traffic, or made of it.

use std::ops::AddAssign;

use super::Load;

/// Counters of some traffic; those that a load does not know of are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames.
    pub packets: u64,
    /// Flows begun.
    pub flows: u64,
    /// Packets that went to a flow; the one that begins it found none.
    pub flow_packets: u64,
    /// Payload bytes: of streams, if flows are followed, else of packets.
    pub bytes: u64,
    /// ERROR events.
    pub errors: u64,
}

impl Counts {
    /// What `load` can know of these.
    pub(super) fn seen_by(self, load: Load) -> Self {
        let (flows, flow_packets) = if load.has_flows() { (self.flows, self.flow_packets) } else { (0, 0) };
        let bytes = if load.has_bytes() { self.bytes } else { 0 };
        Self { flows, flow_packets, bytes, ..self }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.flows += other.flows;
        self.flow_packets += other.flow_packets;
        self.bytes += other.bytes;
        self.errors += other.errors;
    }
}
