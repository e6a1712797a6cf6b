//! The short way of a handshake: a flow's first SYN and the SYN|ACK that answers it, both without data, nothing between them; and
//! the ACK that completes it.
//!
//! Like [`super::short`] it has the outcome of the long way ([`Stack::segment`]), and leaves out what that cannot find here:
//! nothing was sent before, nothing waits, and the numbers are just those of a SYN, its answer, and the answer to that.

use super::Stack;
use super::segment::{CONTROL, Fate, RCV_PKT_IN, SND_PKT_IN};
use super::short::{self, RCV_STATE, is_next, update_receiver};
use crate::event::{Hook, Interest, Observer, Side};
use crate::flow::FlowFlags;
use crate::flow::record::{HalfFlags, Offers, SlowFlags};
use crate::packet::Burst;
use crate::tcp::{Flow, Segment, TcpState, receiver, sender};
use crate::wire::{Packet, TcpFlags};

const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;

/// What neither half has as long as there was nothing but a SYN without data.
const LATER: HalfFlags =
    HalfFlags::GUESSED.or(HalfFlags::HOLE).or(HalfFlags::BUFFERED).or(HalfFlags::PENDING).or(HalfFlags::WINDOW);

/// Whether a packet is a SYN with these control bits and nothing else.
fn is_plain(packet: &Packet, control: u8) -> bool {
    packet.tcp_flags & CONTROL == control && packet.payload_len == 0
}

/// Whether a SYN|ACK of the server answers the one SYN that there was.
fn is_answer(flow: &Flow<'_>, packet: &Packet) -> bool {
    let [client, server] = &flow.hot.half;
    let sent = &flow.cold.half[Side::Client as usize];
    client.state == TcpState::SynSent
        && server.state == TcpState::SynRcvd
        && !client.flags.any(LATER.or(HalfFlags::SYNCED))
        && !server.flags.any(LATER)
        && !client.slow.any(SlowFlags::ACKED.or(SlowFlags::TS_RECENT).or(SlowFlags::MIDSTREAM))
        && !server.slow.any(SlowFlags::ISS.or(SlowFlags::ACKED).or(SlowFlags::HELD))
        && packet.ack == server.rcv_nxt
        && (sent.snd_max, sent.data_max) == (packet.ack, packet.ack)
        && !packet.signed
        // An echo is of a time stamp that was sent.
        && (!packet.has_timestamps
            || sent.offers.any(Offers::TIMESTAMPS)
                && server.slow.any(SlowFlags::TS_RECENT)
                && packet.ts_ecr == server.ts_recent)
}

impl Stack {
    /// Whether the packet at `index`, which begins a flow, can go this way.
    #[inline]
    pub(super) fn is_plain_syn(&self, index: usize) -> bool {
        self.config.short_way && is_plain(&self.packets[index], TcpFlags::SYN)
    }

    /// The SYN that has just begun the flow in `slot`.
    #[inline(always)]
    pub(super) fn first_syn<O: Observer>(&mut self, slot: u32, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        let (hot, cold) = self.flows.parts(slot);
        let segment = &Segment { flags: TcpFlags::SYN, len: 0, ..Segment::new(&self.packets[index]) };
        let sent = sender::update(&mut Flow { hot, cold }, Side::Client, segment).events;
        self.exchange(slot, Side::Client, segment, sent, index, burst, observer);
        self.arm(slot);
    }

    /// A packet from `side`, if it is the SYN|ACK that answers the flow's SYN. False: it is not, or not so plainly, and nothing has
    /// changed.
    #[inline]
    pub(super) fn syn_ack<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let packet = &self.packets[index];
        if side != Side::Server || !is_plain(packet, SYN_ACK) || !self.config.short_way {
            return false;
        }
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        if !is_answer(&flow, packet) {
            return false;
        }
        let segment = Segment { flags: SYN_ACK, len: 0, ..Segment::new(packet) };
        flow.hot.last_seen = self.tick as u32;
        flow.half(Side::Server).slow.clear(SlowFlags::RECEIVED_LAST);
        flow.half(Side::Client).slow.set(SlowFlags::RECEIVED_LAST);
        sender::update(&mut flow, Side::Server, &segment);
        // Known before the callbacks: if they want no more of the flow, this goes as well.
        flow.hot.flags.set(FlowFlags::IN_ORDER);
        self.time_handshake(slot, Side::Server, true);
        // The timer is armed since the SYN, for as long as this state may last.
        self.exchange(slot, Side::Server, &segment, Interest::NONE, index, burst, observer);
        true
    }

    /// A packet from `side` of a flow in its handshake, if it is the ACK that completes it, with or without data. False: it is
    /// not, or not so plainly, and nothing has changed.
    #[inline(never)]
    pub(super) fn last_ack<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let packet = &self.packets[index];
        let (hot, cold) = self.flows.parts(slot);
        let (flags, [client, server]) = (hot.flags, &mut hot.half);
        if side != Side::Client
            || flags.any(FlowFlags::EXTRAS)
            || !short::is_plain(packet)
            || !is_next(flags, client, server, packet)
            || client.state != TcpState::Established
            || server.state != TcpState::SynRcvd
            || client.slow.any(SlowFlags::ACKED)
            || packet.ack != client.rcv_nxt
            || packet.ack != cold.half[Side::Server as usize].iss + 1
        {
            return false;
        }
        client.slow.set(SlowFlags::ACKED);
        client.flags.set(HalfFlags::WINDOW);
        client.ack = packet.ack;
        client.edge = packet.ack + (u32::from(packet.window) << client.window_shift);
        cold.half[Side::Client as usize].ack_seen = packet.ack;
        client.slow.clear(SlowFlags::RECEIVED_LAST);
        server.slow.set(SlowFlags::RECEIVED_LAST);
        hot.last_seen = self.tick as u32;
        self.sender = Side::Client;
        let seq = packet.seq;
        self.time_handshake(slot, Side::Client, false);
        let fate = self.send_short(slot, Side::Client, index, SND_PKT_IN, burst, observer);
        if fate != Fate::Kept {
            self.take_edited(fate, slot, Side::Client, index, seq, burst, observer);
            return true;
        }
        let (packet, hot) = (&self.packets[index], self.flows.hot_mut(slot));
        let server = &mut hot.half[Side::Server as usize];
        update_receiver(server, packet, packet.seq + packet.payload_len);
        server.state = TcpState::Established;
        hot.flags.set(FlowFlags::FAST);
        hot.flags.clear(FlowFlags::HALF_OPEN);
        self.arrive_turned(slot, Side::Client, index, RCV_PKT_IN.or(RCV_STATE), burst, observer);
        self.arm(slot);
        true
    }

    /// From the sender, which is updated, over the SND hook to the receiver and the RCV hook. `events`: what is to be raised at the
    /// SND hook besides the packet itself.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn exchange<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        segment: &Segment,
        events: Interest,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.sender = side;
        self.edits.begin();
        match self.send(slot, side, index, SND_PKT_IN.or(events), burst, observer) {
            Fate::Kept => {}
            Fate::Dropped => {
                let (hot, cold) = self.flows.parts(slot);
                return Flow { hot, cold }.settle();
            }
            Fate::Edited => return self.receive_edited(slot, side, index, None, burst, observer),
        }
        let peer = side.other();
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        flow.half(peer).flags.set(HalfFlags::EXISTS);
        let received = RCV_PKT_IN.or(receiver::update(&mut flow, peer, segment).events);
        self.raise(slot, peer, Some(index), Hook::Rcv, received, burst, observer);
    }
}
