//! The short way of FINs in order, and of what follows them.
//!
//! Like [`super::short`] it has the outcome of the long way ([`Stack::segment`]), and leaves out what that cannot find here: the
//! segment is the very next one, and both ends are synchronized.

use super::Stack;
use super::segment::{Fate, RCV_PKT_IN, SND_PKT_IN};
use super::short::{RCV_STATE, SYNC_BITS, is_next, update_receiver, update_sender};
use crate::event::{Event, Hook, Interest, Observer, Side};
use crate::flow::FlowFlags;
use crate::flow::record::{SlowFlags, ends};
use crate::packet::Burst;
use crate::tcp::{Flow, TcpState};
use crate::wire::{Packet, SeqNum, TcpFlags};

const SND_STATE: Interest = Interest::of(Hook::Snd, Event::TcpStateChange);

/// What a next segment that turns a state says about `side`, which sent it: what is to be raised at the SND hook. `None`: this is
/// for the long way, and nothing has changed.
#[inline(always)]
fn turn_sender(flow: &mut Flow<'_>, side: Side, packet: &Packet, next: SeqNum) -> Option<Interest> {
    let cold = &mut flow.cold.half[side as usize];
    let [sender, receiver] = ends(&mut flow.hot.half, side);
    let fin = packet.tcp_flags & TcpFlags::FIN != 0;
    if sender.state.is_opening()
        || receiver.state.is_opening()
        || !sender.slow.any(SlowFlags::ACKED)
        || sender.slow.any(SlowFlags::FIN_SENT) && next != packet.seq
    {
        return None;
    }
    let mut events = SND_PKT_IN;
    if fin {
        let end = packet.seq + packet.payload_len;
        sender.state = sender.state.after_sending_fin(packet.ack == sender.rcv_nxt)?;
        sender.slow.set(SlowFlags::FIN_SENT);
        (cold.fin_seq, cold.data_max, cold.snd_max) = (end, end, next);
        events = events.or(SND_STATE);
    }
    update_sender(sender, packet);
    sender.slow.clear(SlowFlags::RECEIVED_LAST);
    receiver.slow.set(SlowFlags::RECEIVED_LAST);
    Some(events)
}

/// What it does to `side`, which received it. True if that one's state has changed.
#[inline(always)]
fn turn_receiver(flow: &mut Flow<'_>, side: Side, packet: &Packet, next: SeqNum) -> bool {
    let fin_seq = flow.cold(side).fin_seq;
    let receiver = &mut flow.hot.half[side as usize];
    let before = receiver.state;
    update_receiver(receiver, packet, next);
    if receiver.slow.any(SlowFlags::FIN_SENT) && packet.ack.gt(fin_seq) {
        receiver.state = receiver.state.after_ack_of_fin();
    }
    if packet.tcp_flags & TcpFlags::FIN != 0 {
        receiver.state = receiver.state.after_fin();
        receiver.slow.set(SlowFlags::FIN_REACHED);
        flow.hot.flags.clear(FlowFlags::FAST);
    }
    let now = receiver.state;
    if now == TcpState::Closed {
        flow.hot.flags.clear(FlowFlags::IN_ORDER);
    }
    now != before
}

impl Stack {
    /// A FIN from `side`, or a segment while one of the two is closing, if it is the next one. False: it is not, or is for the long
    /// way, and nothing has changed.
    #[inline(never)]
    pub(super) fn close<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let peer = side.other();
        let packet = &self.packets[index];
        let (seq, payload_len) = (packet.seq, packet.payload_len);
        let fin = packet.tcp_flags & TcpFlags::FIN != 0;
        let next = seq + payload_len + u32::from(fin);
        let (hot, cold) = self.flows.parts(slot);
        let flags = hot.flags;
        let [sender, receiver] = ends(&mut hot.half, side);
        if flags.any(FlowFlags::EXTRAS)
            || !is_next(flags, sender, receiver, packet)
            || (seq.0 ^ next.0) >> SYNC_BITS != 0
        {
            return false;
        }
        let mut flow = Flow { hot, cold };
        let Some(sent) = turn_sender(&mut flow, side, packet, next) else { return false };
        flow.hot.last_seen = self.tick as u32;
        self.sender = side;
        let fate = self.send_short(slot, side, index, sent, burst, observer);
        if fate != Fate::Kept {
            self.take_edited(fate, slot, side, index, seq, burst, observer);
            return true;
        }
        let (hot, cold) = self.flows.parts(slot);
        let changed = turn_receiver(&mut Flow { hot, cold }, peer, &self.packets[index], next);
        let received = if changed { RCV_PKT_IN.or(RCV_STATE) } else { RCV_PKT_IN };
        self.arrive_turned(slot, side, index, received, burst, observer);
        if (fin || changed) && !self.end_if_finished(slot, false, burst, observer) {
            self.arm(slot);
        }
        true
    }
}
