//! The short way of a handshake: a flow's first SYN and the SYN|ACK that answers it, both without data, nothing between them; and
//! the ACK that completes it.
//!
//! Like [`super::short`] it has the outcome of the long way ([`Stack::segment`]), and leaves out what that cannot find here:
//! nothing was sent before, nothing waits, and the numbers are just those of a SYN, its answer, and the answer to that.

use super::segment::{BEGINNING, CONTROL, Fate, RCV_PKT_IN, SND_PKT_IN};
use super::short::{self, HEARD, RCV_STATE, is_next, update_receiver};
use super::{FlowCx, Stack};
use crate::event::{Attachment, Hook, Interest, Observer, Side, Wanted};
use crate::flow::FlowFlags;
use crate::flow::record::{Cold, HalfFlags, Hot, Offers, SlowFlags};
use crate::packet::Burst;
use crate::tcp::{Flow, Segment, TcpState};
use crate::wire::{Packet, TcpFlags};

const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;

/// What neither half has as long as there was nothing but a SYN without data.
const LATER: HalfFlags =
    HalfFlags::GUESSED.or(HalfFlags::HOLE).or(HalfFlags::BUFFERED).or(HalfFlags::PENDING).or(HalfFlags::WINDOW);

/// What a client does not have that has sent its SYN, and was sent nothing.
const UNANSWERED: SlowFlags =
    SlowFlags::ACKED.or(SlowFlags::TS_RECENT).or(SlowFlags::FIN_SENT).or(SlowFlags::MIDSTREAM);

/// Whether a packet is a SYN with these control bits and nothing else.
fn is_plain(packet: &Packet, control: u8) -> bool {
    packet.tcp_flags & CONTROL == control && packet.payload_len == 0
}

/// Whether a SYN|ACK of the server answers the one SYN that there was.
fn is_answer(hot: &Hot, cold: &Cold, packet: &Packet) -> bool {
    let [client, server] = &hot.half;
    let sent = &cold.half[Side::Client as usize];
    client.state == TcpState::SynSent
        && server.state == TcpState::SynRcvd
        && !client.flags.any(LATER.or(HalfFlags::SYNCED))
        && !server.flags.any(LATER)
        && !client.slow.any(UNANSWERED)
        && !server.slow.any(SlowFlags::ISS.or(SlowFlags::ACKED).or(SlowFlags::HELD))
        && packet.ack == server.rcv_nxt
        && (sent.snd_max, sent.data_max) == (packet.ack, packet.ack)
        && !packet.signed
        && !cold.has_spill()
        && hot.table != Attachment::BYPASS.table
        // An echo is of a time stamp that was sent.
        && (!packet.has_timestamps
            || sent.offers.any(Offers::TIMESTAMPS)
                && server.slow.any(SlowFlags::TS_RECENT)
                && packet.ts_ecr == server.ts_recent)
}

/// Whether a segment of the client completes the handshake, and is the next one.
#[inline(always)]
fn is_last_ack(hot: &Hot, cold: &Cold, packet: &Packet) -> bool {
    let (flags, [client, server]) = (hot.flags, &hot.half);
    !flags.any(FlowFlags::EXTRAS)
        && short::is_plain(packet)
        && is_next(flags, client, server, packet)
        && client.state == TcpState::Established
        && server.state == TcpState::SynRcvd
        && !client.slow.any(SlowFlags::ACKED.or(SlowFlags::MIDSTREAM))
        && packet.ack == client.rcv_nxt
        && packet.ack == cold.half[Side::Server as usize].iss + 1
        && !cold.has_spill()
}

/// `side` sends its SYN, the first one.
#[inline(always)]
fn send_syn(flow: &mut Flow<'_>, side: Side, segment: &Segment) {
    flow.half(side).slow.set(SlowFlags::ISS);
    let cold = flow.cold(side);
    let next = segment.seq + 1;
    (cold.iss, cold.snd_max, cold.data_max) = (segment.seq, next, next);
    flow.learn_options(side, segment);
}

/// `side`, of which nothing but a SYN is known at most, is sent the first SYN of its peer, and goes over to `state`.
#[inline(always)]
fn receive_syn(flow: &mut Flow<'_>, side: Side, segment: &Segment, state: TcpState) {
    flow.note_timestamp(side, segment);
    let half = flow.half(side);
    half.state = state;
    half.flags.set(HalfFlags::EXISTS);
    flow.begin_stream(side, segment.seq + 1);
}

/// A segment that has this SYN, or SYN|ACK, and no data.
#[inline(always)]
fn plain(packet: &Packet, control: u8) -> Segment {
    Segment { flags: control, len: 0, ..Segment::new(packet) }
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
        let segment = plain(&self.packets[index], TcpFlags::SYN);
        let (hot, cold) = self.flows.parts(slot);
        hot.half[Side::Client as usize].state = TcpState::SynSent;
        let wanted = hot.wanted;
        send_syn(&mut Flow { hot, cold }, Side::Client, &segment);
        let raised = [SND_PKT_IN.or(BEGINNING[0]), RCV_PKT_IN.or(BEGINNING[1])];
        self.exchange(wanted, slot, Side::Client, index, &segment, TcpState::SynRcvd, raised, burst, observer);
        self.arm(slot);
    }

    /// A packet from `side`, if it is the SYN|ACK that answers the flow's SYN. False: it is not, or not so plainly, and nothing has
    /// changed.
    #[inline(never)]
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
        if !is_answer(hot, cold, packet) {
            return false;
        }
        let segment = plain(packet, SYN_ACK);
        hot.last_seen = self.tick as u32;
        // Known before the callbacks: if they want no more of the flow, this goes as well.
        hot.flags.set(FlowFlags::IN_ORDER);
        let wanted = hot.wanted;
        let [client, server] = &mut hot.half;
        client.slow.set(SlowFlags::RECEIVED_LAST);
        server.slow.clear(SlowFlags::RECEIVED_LAST);
        server.slow.set(SlowFlags::ACKED);
        server.flags.set(HalfFlags::WINDOW);
        server.ack = segment.ack;
        server.edge = segment.ack + u32::from(segment.window);
        cold.half[Side::Server as usize].ack_seen = segment.ack;
        cold.time_syn_ack(self.now);
        send_syn(&mut Flow { hot, cold }, Side::Server, &segment);
        self.sender = Side::Server;
        // The timer is armed since the SYN, for as long as this state may last.
        let raised = [SND_PKT_IN, RCV_PKT_IN.or(RCV_STATE)];
        self.exchange(wanted, slot, Side::Server, index, &segment, TcpState::Established, raised, burst, observer);
        true
    }

    /// From the SND hook of `side`, which is updated, to the RCV hook of its peer, which goes over to `state`. `raised`: what is
    /// to be told there, as far as it is `wanted`.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn exchange<O: Observer>(
        &mut self,
        wanted: Wanted,
        slot: u32,
        side: Side,
        index: usize,
        segment: &Segment,
        state: TcpState,
        raised: [Interest; 2],
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let peer = side.other();
        if !wanted.any(HEARD) {
            let (hot, cold) = self.flows.parts(slot);
            return receive_syn(&mut Flow { hot, cold }, peer, segment, state);
        }
        let mut cx = FlowCx { stack: self, burst: burst.reborrow(), slot, index: Some(index) };
        let fate = cx.raise_sent(wanted, side, index, raised[0], observer);
        if fate != Fate::Kept {
            return cx.stack.take_edited_syn(fate, slot, side, index, &mut cx.burst, observer);
        }
        let (hot, cold) = cx.stack.flows.parts(slot);
        receive_syn(&mut Flow { hot, cold }, peer, segment, state);
        cx.raise(Hook::Rcv, peer, raised[1], observer);
    }

    /// A SYN from `side`, or a SYN|ACK, that was dropped or edited at the SND hook.
    #[cold]
    #[inline(never)]
    fn take_edited_syn<O: Observer>(
        &mut self,
        fate: Fate,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        if fate == Fate::Edited {
            return self.receive_edited(slot, side, index, None, burst, observer);
        }
        let (hot, cold) = self.flows.parts(slot);
        Flow { hot, cold }.settle();
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
        if side != Side::Client || !is_last_ack(hot, cold, packet) {
            return false;
        }
        let [client, server] = &mut hot.half;
        client.slow.set(SlowFlags::ACKED);
        client.flags.set(HalfFlags::WINDOW);
        client.ack = packet.ack;
        client.edge = packet.ack + (u32::from(packet.window) << client.window_shift);
        client.slow.clear(SlowFlags::RECEIVED_LAST);
        server.slow.set(SlowFlags::RECEIVED_LAST);
        hot.last_seen = self.tick as u32;
        let wanted = hot.wanted;
        cold.time_ack(self.now);
        cold.half[Side::Client as usize].ack_seen = packet.ack;
        self.sender = Side::Client;
        let arrive = |hot: &mut Hot, _: &Cold, packet: &Packet| {
            let server = &mut hot.half[Side::Server as usize];
            update_receiver(server, packet, packet.seq + packet.payload_len);
            server.state = TcpState::Established;
            hot.flags.set(FlowFlags::FAST);
            hot.flags.clear(FlowFlags::HALF_OPEN);
            RCV_PKT_IN.or(RCV_STATE)
        };
        if self.pass_on(wanted, slot, Side::Client, index, SND_PKT_IN, arrive, burst, observer).is_some() {
            self.arm(slot);
        }
        true
    }
}
