//! Data that comes with a SYN (TCP Fast Open, RFC 7413): held until it is known what became of it (D3).

use super::Stack;
use crate::event::{Side, Wanted};
use crate::flow::record::SlowFlags;
use crate::packet::Burst;
use crate::reassembly::{OverlapPolicy, Span};
use crate::tcp::Segment;
use crate::wire::SeqNum;

impl Stack {
    /// Data that came with a SYN waits for its acknowledgment (D3).
    pub(super) fn hold(&mut self, slot: u32, side: Side, segment: &Segment, index: usize, burst: &Burst<'_>) {
        let packet = &self.packets[index];
        let (captured, at) = (packet.payload_captured, usize::from(packet.payload));
        if segment.len == 0 || captured == 0 {
            return;
        }
        self.ensure_backlog(slot, side);
        let reads = self.flows.hot(slot).wanted.any(Wanted::buffer(side));
        let Some(buffer) = &self.flows.spill(slot, side).buffer else { return };
        let stream = &mut self.buffers.get_mut(buffer).stream;
        let stored = if reads {
            let bytes = &self.scratch.frame(index, burst)[at..];
            stream.store(&mut self.pool, 0, &bytes[..captured as usize], OverlapPolicy::First, 0)
        } else {
            Span::new(0, u64::from(captured)).map_or(Ok(Default::default()), |span| stream.note(span))
        };
        // Without room it is as if it had not been captured: the acknowledgment will show a gap.
        if stored.is_ok() {
            self.flows.hot_mut(slot).half[side as usize].slow.set(SlowFlags::HELD);
        }
    }

    /// What of the data that came with the SYN was accepted, up to `upto`, is part of the stream; the rest never was.
    pub(super) fn release_held(&mut self, slot: u32, side: Side, upto: SeqNum) {
        let half = &mut self.flows.hot_mut(slot).half[side as usize];
        half.slow.clear(SlowFlags::HELD);
        let nxt = half.rcv_nxt;
        let accepted = if upto.gt(nxt) { u64::from(upto.offset_from(nxt)) } else { 0 };
        let held = self.backlog(slot, side).map_or(0, |backlog| backlog.stream.contiguous_from(0));
        if accepted < held {
            self.cut_held(slot, side, accepted);
            let cold = &mut self.flows.cold_mut(slot).half[side.other() as usize];
            (cold.snd_max, cold.data_max) = (nxt + accepted as u32, nxt + accepted as u32);
        }
        self.pull(slot, side);
    }

    /// Keeps only the first `len` bytes of what came with a SYN: as much as any SYN holds, so they may be moved.
    fn cut_held(&mut self, slot: u32, side: Side, len: u64) {
        let Some(buffer) = &self.flows.spill(slot, side).buffer else { return };
        let stream = &mut self.buffers.get_mut(buffer).stream;
        let mut bytes = alloc::vec![0; len as usize];
        let kept = stream.copy_out(&self.pool, 0, &mut bytes);
        let noted = Span::new(0, len).filter(|_| !stream.keeps_bytes());
        stream.clear(&mut self.pool);
        let cut = match noted {
            Some(span) => stream.note(span),
            None => stream.store(&mut self.pool, 0, &bytes[..kept], OverlapPolicy::First, 0),
        };
        debug_assert!(cut.is_ok(), "it takes no more room than before");
        if len == 0 {
            self.drop_backlog(slot, side);
        }
    }
}
