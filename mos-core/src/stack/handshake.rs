//! The short way of a handshake: a flow's first SYN and the SYN|ACK that answers it, both without data, nothing between them.
//!
//! Like [`super::short`] it has the outcome of the long way ([`Stack::segment`]), and leaves out what that cannot find here:
//! nothing was sent before, nothing waits, and the numbers are just those of a SYN and its answer. The handshake's last ACK is
//! one of [`super::short`]'s turns.

use super::Stack;
use super::edit::Edits;
use super::segment::{CONTROL, Fate, RCV_PKT_IN, SND_PKT_IN};
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
    pub(super) fn first_syn<O: Observer>(
        &mut self,
        slot: u32,
        segment: &Segment,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let (hot, cold) = self.flows.parts(slot);
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
        let segment = Segment::new(packet, self.scratch.frame(index, burst));
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
        self.edits = Edits { fresh: true, sent: (segment.seq, segment.len), ..Edits::default() };
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
