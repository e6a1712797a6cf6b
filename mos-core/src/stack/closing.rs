//! The short way of FINs in order, and of what follows them.
//!
//! Like [`super::short`] it has the outcome of the long way ([`Stack::segment`]), and leaves out what that cannot find here: the
//! segment is the very next one, and both ends are synchronized.

use super::Stack;
use super::segment::{RCV_PKT_IN, SND_PKT_IN};
use super::short::{RCV_STATE, SYNC_BITS, is_next, update_receiver, update_sender};
use crate::event::{Event, Hook, Interest, Observer, Side};
use crate::flow::FlowFlags;
use crate::flow::record::{Cold, Hot, SlowFlags, ends};
use crate::packet::Burst;
use crate::tcp::TcpState;
use crate::wire::{Packet, SeqNum, TcpFlags};

const SND_STATE: Interest = Interest::of(Hook::Snd, Event::TcpStateChange);

/// Whether a packet is a FIN, among those that go this way.
#[inline(always)]
fn is_fin(packet: &Packet) -> bool {
    packet.tcp_flags & TcpFlags::FIN != 0
}

/// Takes a segment from `side` as far as it says something about that side, if it is the next one. Returns the number that is
/// expected after it; `None`: it is not the next one, or is for the long way, and nothing has changed.
///
/// Not inlined, nor is its counterpart: each has the registers for itself.
#[inline(never)]
fn turn_sender(hot: &mut Hot, cold: &mut Cold, side: Side, packet: &Packet) -> Option<SeqNum> {
    let flags = hot.flags;
    let [sender, receiver] = ends(&mut hot.half, side);
    let end = packet.seq + packet.payload_len;
    let next = end + u32::from(is_fin(packet));
    if flags.any(FlowFlags::EXTRAS)
        || !is_next(flags, sender, receiver, packet)
        || (packet.seq.0 ^ next.0) >> SYNC_BITS != 0
        || sender.state < TcpState::Established
        || receiver.state < TcpState::Established
        || !sender.slow.any(SlowFlags::ACKED)
        || sender.slow.any(SlowFlags::FIN_SENT) && next != packet.seq
    {
        return None;
    }
    if is_fin(packet) {
        sender.state = sender.state.after_sending_fin(packet.ack == sender.rcv_nxt)?;
        sender.slow.set(SlowFlags::FIN_SENT);
        let cold = &mut cold.half[side as usize];
        (cold.fin_seq, cold.data_max, cold.snd_max) = (end, end, next);
    }
    update_sender(sender, packet);
    sender.slow.clear(SlowFlags::RECEIVED_LAST);
    receiver.slow.set(SlowFlags::RECEIVED_LAST);
    Some(next)
}

/// What it does to `side`, which received it. True if that one's state has changed.
#[inline(never)]
fn turn_receiver(hot: &mut Hot, cold: &Cold, side: Side, packet: &Packet, next: SeqNum) -> bool {
    let receiver = &mut hot.half[side as usize];
    let before = receiver.state;
    update_receiver(receiver, packet, next);
    if receiver.slow.any(SlowFlags::FIN_SENT) && packet.ack.gt(cold.half[side as usize].fin_seq) {
        receiver.state = receiver.state.after_ack_of_fin();
    }
    if is_fin(packet) {
        receiver.state = receiver.state.after_fin();
        receiver.slow.set(SlowFlags::FIN_REACHED);
        hot.flags.clear(FlowFlags::FAST);
    }
    let now = receiver.state;
    if now == TcpState::Closed {
        hot.flags.clear(FlowFlags::IN_ORDER);
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
        let packet = &self.packets[index];
        let fin = is_fin(packet);
        let (hot, cold) = self.flows.parts(slot);
        let Some(next) = turn_sender(hot, cold, side, packet) else { return false };
        hot.last_seen = self.tick as u32;
        let wanted = hot.wanted;
        self.sender = side;
        let sent = SND_PKT_IN.or(SND_STATE.when(fin));
        let arrive = |hot: &mut Hot, cold: &Cold, packet: &Packet| {
            RCV_PKT_IN.or(RCV_STATE.when(turn_receiver(hot, cold, side.other(), packet, next)))
        };
        let Some(received) = self.pass_on(wanted, slot, side, index, sent, arrive, burst, observer) else {
            return true;
        };
        // Who has just sent a FIN waits for its acknowledgment.
        if fin || received.any(RCV_STATE) && !self.end_if_finished(slot, false, burst, observer) {
            self.arm(slot);
        }
        true
    }
}
