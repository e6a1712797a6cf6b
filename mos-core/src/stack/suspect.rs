//! Data of segments that their receiver should have refused, by their time stamp or the window. The monitor may be wrong:
//! it has seen packets that never arrived, or missed some that did. What the receiver acknowledges and nobody has seen in
//! any other segment, it got from these.

use super::Stack;
use crate::event::{ErrorReason, Side, Wanted};
use crate::flow::record::Suspect;
use crate::flow::{FlowFlags, HalfFlags};
use crate::packet::Burst;
use crate::reassembly::OverlapPolicy;
use crate::tcp::Segment;
use crate::wire::SeqNum;

/// The most segments held for one flow.
const MAX_PER_FLOW: usize = 256;
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
        let reads = self.flows.hot(slot).wanted.any(Wanted::buffer(side));
        let half = self.flows.hot(slot).half[side as usize];
        let doubtful = match reason {
            ErrorReason::Timestamp | ErrorReason::Window => self.is_near(slot, side, segment.data_end()),
            // Fast Open: the server's data has overtaken its SYN|ACK.
            ErrorReason::Handshake => !half.flags.any(HalfFlags::SYNCED),
            _ => false,
        };
        if !reads || segment.len == 0 || !doubtful {
            return;
        }
        self.forget_suspects(slot);
        let bytes = self.packets[index].payload(self.frame(index, burst));
        let held = self.flows.extras(slot).map_or(0, |extras| extras.suspects.len());
        if bytes.is_empty() || held >= MAX_PER_FLOW || self.suspect_bytes + bytes.len() > MAX_BYTES {
            return;
        }
        let suspect = Suspect { side, seq: segment.data_start(), bytes: bytes.into() };
        self.suspect_bytes += suspect.bytes.len();
        self.flows.extras_mut(slot).suspects.push(suspect);
        // It may be acknowledged already. The next acknowledgment gives up what is missing before it, on the long way.
        self.admit_suspects(slot, side);
        self.flows.hot_mut(slot).flags.clear(FlowFlags::FAST | FlowFlags::IN_ORDER);
    }

    /// What has come in another segment since is no use any more.
    pub(super) fn forget_suspects(&mut self, slot: u32) {
        let halves = self.flows.hot(slot).half;
        let Some(extras) = self.flows.extras_if_any(slot) else { return };
        let mut freed = 0;
        extras.suspects.retain(|suspect| {
            let half = &halves[suspect.side as usize];
            let useful = !half.flags.any(HalfFlags::SYNCED) || suspect.end().gt(half.rcv_nxt);
            freed += if useful { 0 } else { suspect.bytes.len() };
            useful
        });
        self.suspect_bytes -= freed;
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
        let next = self.flows.hot(slot).half[side as usize].rcv_nxt;
        suspects.retain(|suspect| {
            if suspect.side != side {
                return true;
            }
            let skip = next.distance(suspect.seq).max(0) as u32;
            let until = acked.distance(suspect.seq).max(0) as usize;
            let bytes = suspect.bytes.get(skip as usize..until.min(suspect.bytes.len()));
            if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                let offset = self.flows.cold(slot).half[side as usize].offset_of(suspect.seq + skip);
                self.store_confirmed(slot, side, offset, bytes);
            }
            let keep = suspect.end().gt(acked);
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
        if let Some(buffer) = &self.flows.spill(slot, side).buffer {
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
