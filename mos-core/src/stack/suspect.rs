//! Data of segments that their receiver should have refused, by their time stamp or the window. The monitor may be wrong:
//! it has seen packets that never arrived, or missed some that did. What the receiver acknowledges and nobody has seen in
//! any other segment, it got from these.

use super::Stack;
use crate::event::{ErrorReason, Interest, Side};
use crate::flow::record::Suspect;
use crate::packet::Burst;
use crate::reassembly::OverlapPolicy;
use crate::tcp::Segment;
use crate::wire::SeqNum;

/// The most segments held for one flow.
const MAX_PER_FLOW: usize = 32;
/// The most bytes held for all flows of a core.
const MAX_BYTES: usize = 4 << 20;

impl Stack {
    /// Holds the payload of a rejected segment, if there may be a use for it.
    pub(super) fn suspect(
        &mut self,
        slot: u32,
        side: Side,
        segment: &Segment,
        reason: ErrorReason,
        index: usize,
        burst: &Burst<'_>,
    ) {
        let reads = self.flows.hot(slot).interest.any(Interest::buffer(side));
        let doubtful = matches!(reason, ErrorReason::Timestamp | ErrorReason::Window);
        if !reads || segment.len == 0 || !doubtful || !self.is_near(slot, side, segment.data_end()) {
            return;
        }
        let bytes = self.packets[index].payload(self.frame(index, burst));
        let held = self.flows.extras(slot).map_or(0, |extras| extras.suspects.len());
        if bytes.is_empty() || held >= MAX_PER_FLOW || self.suspect_bytes + bytes.len() > MAX_BYTES {
            return;
        }
        let suspect = Suspect { side, seq: segment.data_start(), bytes: bytes.into() };
        self.suspect_bytes += suspect.bytes.len();
        self.flows.extras_mut(slot).suspects.push(suspect);
    }

    /// What `side` has acknowledged of the suspects was sent: it counts for how far the stream is known to reach.
    pub(super) fn admit_suspects(&mut self, slot: u32, side: Side) {
        let Some(extras) = self.flows.extras(slot).filter(|extras| !extras.suspects.is_empty()) else { return };
        let cold = self.flows.cold(slot);
        let seen = cold.half[side as usize].ack_seen;
        let ends = extras.suspects.iter().filter(|suspect| suspect.side == side).map(Suspect::end);
        let sent = cold.half[side.other() as usize].snd_max;
        let sent = ends.filter(|end| end.le(seen)).fold(sent, SeqNum::max);
        self.flows.cold_mut(slot).half[side.other() as usize].snd_max = sent;
    }

    /// `side` has acknowledged everything before `acked`: what is missing below may have come in a suspect.
    pub(super) fn confirm_suspects(&mut self, slot: u32, side: Side, acked: SeqNum) {
        if self.flows.extras(slot).is_none_or(|extras| extras.suspects.is_empty()) {
            return;
        }
        let mut suspects = core::mem::take(&mut self.flows.extras_mut(slot).suspects);
        let next = self.offset(slot, side);
        suspects.retain(|suspect| {
            if suspect.side != side {
                return true;
            }
            let cold = &self.flows.cold(slot).half[side as usize];
            let (start, end) = (cold.offset_of(suspect.seq), cold.offset_of(acked));
            let (skip, until) = (next.saturating_sub(start), end.saturating_sub(start));
            let until = (until as usize).min(suspect.bytes.len());
            if let Some(bytes) = suspect.bytes.get(skip as usize..until).filter(|bytes| !bytes.is_empty()) {
                self.store_confirmed(slot, side, start + skip, bytes);
            }
            let keep = start + suspect.bytes.len() as u64 > end;
            if !keep {
                self.suspect_bytes -= suspect.bytes.len();
            }
            keep
        });
        self.flows.extras_mut(slot).suspects = suspects;
        self.pull(slot, side);
    }

    fn store_confirmed(&mut self, slot: u32, side: Side, offset: u64, bytes: &[u8]) {
        self.ensure_backlog(slot, side);
        if let Some(buffer) = &self.flows.cold(slot).half[side as usize].buffer {
            let stream = &mut self.buffers.get_mut(buffer).stream;
            // Without memory the bytes stay missing, and are reported so.
            let _ = stream.store(&mut self.pool, offset, bytes, OverlapPolicy::First, 0);
        }
    }

    /// The flow ends: nothing will be acknowledged any more.
    pub(super) fn drop_suspects(&mut self, slot: u32) {
        if let Some(extras) = self.flows.extras(slot) {
            self.suspect_bytes -= extras.suspects.iter().map(|suspect| suspect.bytes.len()).sum::<usize>();
        }
    }
}
