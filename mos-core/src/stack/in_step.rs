//! Endpoints whose numbers differ because a callback changed the length of a payload between them, kept in step; and
//! streams that a callback has cut.
//!
//! The stack counts each direction as its receiver does. So a packet is renumbered as soon as it arrives, changes that
//! were made to its bytes before are made again, and its acknowledgments are put in its receiver's terms when it has passed.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Stack, WHOLE};
use crate::event::{ErrorReason, Side};
use crate::flow::FlowFlags;
use crate::flow::record::SlowFlags;
use crate::packet::{Burst, Verdict};
use crate::tcp::{Flow, Remap, RemapFull, Segment};
use crate::wire::edit::{self, Checksums, Layer};
use crate::wire::{SeqNum, TcpFlags, renumber};

impl Stack {
    #[inline]
    fn remaps(&self, slot: u32) -> Option<&[Remap; 2]> {
        self.flows.extras(slot)?.remaps.as_deref()
    }

    /// Whether numbers of the flow are shifted.
    #[inline]
    pub(super) fn is_shifted(&self, slot: u32) -> bool {
        self.remaps(slot).is_some()
    }

    /// The numbers of the segment at hand as its sender knows them.
    pub(super) fn as_sent(&self, slot: u32, segment: &Segment) -> (SeqNum, u32) {
        if self.is_shifted(slot) { self.edits.sent } else { (segment.seq, segment.len) }
    }

    /// Whether nothing of a segment from `side` that lies at `seq`, behind all that is known to be sent, has passed all the
    /// same: bytes that were removed when they passed, and such as their receiver may have taken against all rules.
    #[inline]
    pub(super) fn is_fresh(&self, slot: u32, side: Side, sent: (SeqNum, u32), seq: SeqNum) -> bool {
        let Some(extras) = self.flows.extras(slot) else { return true };
        let removed = extras.remaps.as_deref().is_some_and(|remaps| remaps[side as usize].touches(sent.0, sent.1));
        !removed && extras.refused[side as usize].is_none_or(|end| end.le(seq))
    }

    /// Data that was rejected goes on: a receiver that has missed packets, or got some that were not seen here, takes it.
    pub(super) fn note_refused(&mut self, slot: u32, side: Side, segment: &Segment, reason: ErrorReason) {
        let doubtful = matches!(reason, ErrorReason::Timestamp | ErrorReason::Window);
        let (end, receiver) = (segment.data_end(), self.flows.hot(slot).half[side.other() as usize]);
        // No window is twice as wide as the one that is known; beyond that, nothing can be said without harm: otherwise one
        // segment from anybody would keep callbacks from editing what comes.
        let slack = receiver.edge.offset_from(receiver.ack);
        if segment.len == 0 || !doubtful || end.gt(receiver.edge + slack) || !self.is_near(slot, side.other(), end) {
            return;
        }
        let refused = &mut self.flows.extras_mut(slot).refused[side as usize];
        *refused = Some(refused.map_or(end, |before| before.max(end)));
    }

    /// Where `number` of the stream that the peer of `side` receives lies in the terms of `side`, which sends it.
    pub(super) fn numbers_of(&self, slot: u32, side: Side, number: SeqNum) -> SeqNum {
        self.remaps(slot).map_or(number, |remaps| remaps[side as usize].to_sender(number))
    }

    /// A packet from `side` of a flow with extras has arrived. False if that is all: it goes no further.
    pub(super) fn arrive(&mut self, slot: u32, side: Side, index: usize, burst: &mut Burst<'_>) -> bool {
        if !self.renumber_arriving(slot, side, index, burst) {
            self.verdicts[index] = Verdict::Drop;
            return false;
        }
        let receiver = side.other();
        let packet = &self.packets[index];
        if let Some(cut) = self.flows.extras(slot).and_then(|extras| extras.cuts[receiver as usize])
            && packet.payload_len > 0
            && self.flows.cold(slot).half[receiver as usize].offset_of(packet.seq + packet.payload_len) > cut
            && index != WHOLE
        {
            self.verdicts[index] = Verdict::Drop;
        }
        true
    }

    /// False if the packet cannot be what its receiver should get.
    fn renumber_arriving(&mut self, slot: u32, side: Side, index: usize, burst: &mut Burst<'_>) -> bool {
        let packet = self.packets[index];
        self.edits.sent = (packet.seq, packet.payload_len);
        if index == WHOLE || packet.tcp_flags & TcpFlags::SYN != 0 {
            return true;
        }
        let Some(remap) = self.flows.extras(slot).and_then(|extras| extras.remaps.as_deref()) else { return true };
        let remap = &remap[side as usize];
        if remap.is_identity() {
            return true;
        }
        let mut seq = remap.to_receiver(packet.seq);
        let whole = packet.payload_captured == packet.payload_len;
        if packet.payload_len > 0 && whole && remap.touches(packet.seq, packet.payload_len) {
            let mut payload = Vec::new();
            seq = remap.payload(packet.seq, packet.payload(self.scratch.frame(index, burst)), &mut payload);
            let old = packet.payload_len as usize;
            let max_len = usize::from(u16::MAX);
            // It fitted when it was first sent; if it does not now, its sender has put other segments together, and will
            // have to take them apart again.
            let made = self.scratch.replace(index, burst, |bytes, start| {
                edit::splice(bytes, start, &packet, Layer::Payload, 0, old, &payload, Checksums::Incremental, max_len)
            });
            if made.is_err() {
                return false;
            }
            // Headers are found again by what the frame is now.
            self.decode_again(index, &burst.frames[index], burst);
            if payload.is_empty() && packet.tcp_flags & TcpFlags::FIN == 0 {
                // Nothing is left of it. One before the window, as a keep-alive has it (RFC 9293 3.8.4), it makes its
                // receiver say how far it has got.
                seq = SeqNum(seq.0.wrapping_sub(1));
            }
        }
        if seq != packet.seq {
            let packet = self.packets[index];
            let frame = self.scratch.frame_mut(index, burst);
            renumber(frame, &packet, seq, packet.ack, |block| block);
        }
        self.decode_again(index, &burst.frames[index], burst);
        true
    }

    /// The packet goes on to the peer of `side`: its acknowledgments are put in that one's terms.
    #[inline(always)]
    pub(super) fn depart(&mut self, slot: u32, side: Side, index: usize, burst: &mut Burst<'_>) {
        if self.flows.hot(slot).flags.any(FlowFlags::EXTRAS) {
            self.renumber_departing(slot, side, index, burst);
        }
    }

    #[inline(never)]
    fn renumber_departing(&mut self, slot: u32, side: Side, index: usize, burst: &mut Burst<'_>) {
        let packet = self.packets[index];
        // What a SYN acknowledges lies before every change.
        if index == WHOLE || packet.tcp_flags & (TcpFlags::SYN | TcpFlags::ACK) != TcpFlags::ACK {
            return;
        }
        let Some(remaps) = self.flows.extras_if_any(slot).and_then(|extras| extras.remaps.as_deref_mut()) else {
            return;
        };
        let remap = &mut remaps[side.other() as usize];
        if remap.is_identity() {
            return;
        }
        let ack = remap.to_sender(packet.ack);
        let frame = self.scratch.frame_mut(index, burst);
        renumber(frame, &packet, packet.seq, ack, |block| remap.sack_to_sender(block));
        remap.acked(packet.ack);
        self.packets[index].ack = ack;
    }

    /// Whether another change of a payload's length can be remembered.
    pub(super) fn room_for_edit(&self, slot: u32, side: Side, len: usize) -> Result<(), RemapFull> {
        self.remaps(slot).map_or(Ok(()), |remaps| remaps[side as usize].has_room(len))
    }

    /// The SND callbacks have changed the length of a payload from `side`. `before`: how far that one was known to have sent
    /// before, with and without its FIN.
    pub(super) fn record_edit(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        before: Option<(SeqNum, SeqNum)>,
        burst: &Burst<'_>,
    ) {
        let (at, removed) = self.edits.sent;
        let packet = self.packets[index];
        let payload = packet.payload(self.scratch.frame(index, burst));
        // Its sender keeps to the window in its own numbers: what was put in comes on top of that.
        let half = &mut self.flows.hot_mut(slot).half[side.other() as usize];
        half.edge += packet.payload_len.saturating_sub(removed);
        let extras = self.flows.extras_mut(slot);
        let remap = &mut extras.remaps.get_or_insert_with(Box::default)[side as usize];
        let recorded = remap.record(at, removed, payload);
        debug_assert!(recorded.is_ok(), "there was room");
        let Some((snd_max, data_max)) = before else { return };
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        let (end, fin) = (packet.seq + packet.payload_len, packet.tcp_flags & TcpFlags::FIN != 0);
        let cold = flow.cold(side);
        cold.data_max = data_max.max(end);
        cold.snd_max = snd_max.max(end + u32::from(fin));
        if fin && flow.half(side).slow.any(SlowFlags::FIN_SENT) {
            flow.cold(side).fin_seq = end;
        }
    }

    /// Where to cut what `side` is sent if a callback drops the packet at hand, which brings it new data from the offset
    /// `new` on. `None` if the packet brings it nothing by itself.
    pub(super) fn cut_before(&self, slot: u32, side: Side, index: usize, new: u64) -> Option<u64> {
        let packet = &self.packets[index];
        let brings = self.sender != side && packet.payload_len > 0;
        brings.then(|| self.flows.cold(slot).half[side as usize].offset_of(packet.seq).max(new))
    }

    /// A callback has dropped the packet that brought `side` new data: nothing from `offset` on reaches `side`, however often
    /// it is sent. What it was sent before may come again.
    pub(super) fn cut(&mut self, slot: u32, side: Side, offset: u64) {
        let cut = &mut self.flows.extras_mut(slot).cuts[side as usize];
        *cut = Some(cut.map_or(offset, |cut| cut.min(offset)));
    }

    /// The number that `side` itself expects next: that which the stack does, unless what callbacks have dropped lies before.
    pub(super) fn expected(&self, slot: u32, side: Side) -> SeqNum {
        let (rcv_nxt, cold) =
            (self.flows.hot(slot).half[side as usize].rcv_nxt, &self.flows.cold(slot).half[side as usize]);
        let cut = self.flows.extras(slot).and_then(|extras| extras.cuts[side as usize]);
        let newest = self.newest.filter(|(receiver, _)| self.dropped && *receiver == side).map(|(_, offset)| offset);
        let dropped = cut.into_iter().chain(newest).min().filter(|offset| *offset < cold.offset_of(rcv_nxt));
        dropped.map_or(rcv_nxt, |offset| cold.number_of(offset))
    }
}
