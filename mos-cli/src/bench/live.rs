//! Flows that stay: handshakes of many connections, then packets of any of them.

use mos_core::event::Side;
use mos_core::time::Timestamp;
use mos_core::wire::TcpFlags;

use super::conversation::HANDSHAKE;
use super::traffic::{Chunk, Phase};
use super::{Conversation, Counts, Dice, Share, Trace};

/// Packets that are made at a time. Making them uses the caches that the stack is measured with; so the fewer pauses, the less of
/// that is in the figures: what 64 Ki packets lie in is larger than the caches of one core anyway.
const CHUNK_PACKETS: usize = 64 << 10;

/// One packet each microsecond.
const INTERVAL_NANOS: u64 = 1000;

const PAYLOAD: usize = 4;

/// Connections, and what they have sent in this run.
#[derive(Debug)]
pub(crate) struct LiveFlows {
    flows: Vec<Conversation>,
    /// How many packets there will be once all are open.
    packets: usize,
    seed: u64,
    dice: Dice,
    opened: usize,
    sent: usize,
    counts: Counts,
    trace: Trace,
}

impl LiveFlows {
    /// The connections of so many that are in the share, and its part of the packets.
    pub(crate) fn new(flows: u32, packets: u32, seed: u64, share: Share) -> Self {
        Self {
            flows: (0..flows).filter(|number| share.has(*number)).map(Conversation::new).collect(),
            packets: share.part(packets as usize),
            seed,
            dice: Dice::new(seed),
            opened: 0,
            sent: 0,
            counts: Counts::default(),
            trace: Trace::default(),
        }
    }

    /// Begins a run.
    pub(crate) fn rewind(&mut self) {
        self.flows.iter_mut().for_each(Conversation::rewind);
        self.dice = Dice::new(self.seed);
        (self.opened, self.sent) = (0, 0);
        self.counts = Counts::default();
    }

    /// How many chunks a run has.
    pub(crate) fn chunks(&self) -> usize {
        let packets = if self.flows.is_empty() { 0 } else { self.packets };
        self.flows.len().div_ceil(CHUNK_PACKETS / HANDSHAKE.len()) + packets.div_ceil(CHUNK_PACKETS)
    }

    /// What was sent up to now.
    pub(crate) fn counts(&self) -> Counts {
        Counts { flow_packets: self.counts.packets - self.counts.flows, ..self.counts }
    }

    /// Bytes of memory that the packets take up.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.trace.memory_bytes()
    }

    /// The next packets of this run.
    pub(crate) fn next(&mut self) -> Option<Chunk<'_>> {
        self.trace.clear();
        let phase = if self.opened < self.flows.len() {
            self.open();
            Phase::Opening
        } else if self.sent < self.packets && !self.flows.is_empty() {
            self.send();
            Phase::Packets
        } else {
            return None;
        };
        self.trace.align();
        Some(Chunk { phase, trace: &mut self.trace })
    }

    /// Handshakes side by side: a flow's next packet comes when as many others have begun as fit a chunk.
    fn open(&mut self) {
        let end = self.flows.len().min(self.opened + CHUNK_PACKETS / HANDSHAKE.len());
        for (from, flags) in HANDSHAKE {
            for flow in self.opened..end {
                self.push(flow, from, flags, 0);
            }
        }
        self.counts.flows += (end - self.opened) as u64;
        self.opened = end;
    }

    fn send(&mut self) {
        let end = self.packets.min(self.sent + CHUNK_PACKETS);
        for _ in self.sent..end {
            let flow = self.dice.below(self.flows.len());
            let choice = self.dice.next() >> 62;
            let from = if choice & 1 == 0 { Side::Client } else { Side::Server };
            match choice & 2 {
                0 => self.push(flow, from, TcpFlags::ACK, 0),
                _ => self.push(flow, from, TcpFlags::PSH | TcpFlags::ACK, PAYLOAD),
            }
        }
        self.sent = end;
    }

    fn push(&mut self, flow: usize, from: Side, flags: u8, payload: usize) {
        let frame = self.flows[flow].frame(from, flags, payload);
        self.trace.push_made_up(&frame, Timestamp::from_nanos(self.counts.packets * INTERVAL_NANOS));
        self.counts.packets += 1;
        self.counts.bytes += payload as u64;
    }
}
