//! The short way: a segment in order, in a direction without holes, on a flow whose endpoints are synchronized.
//!
//! It has the outcome of the long way ([`Stack::segment`]) and leaves out what that cannot find here: the segment is
//! acceptable because it is the very next one, nothing it brings was there before, and it acknowledges nothing that was not
//! seen. [`Flow::settle`] says by [`FlowFlags::FAST`] and [`FlowFlags::IN_ORDER`] whether a flow is like that.

use super::edit::Edits;
use super::pending::Source;
use super::segment::{CONTROL, Fate, RCV_PKT_IN, SND_PKT_IN};
use super::{FlowCx, Stack};
use crate::config::ChecksumMode;
use crate::event::{Event, Hook, Interest, Observer, Side, Wanted};
use crate::flow::FlowFlags;
use crate::flow::record::{Half, HalfFlags, Hot, SlowFlags};
use crate::packet::Burst;
use crate::tcp::{Flow, Segment, TcpState};
use crate::wire::{Packet, SeqNum, TcpFlags};

/// The short way leaves the known pair of sequence number and stream offset behind, by less than 2^29 numbers: where it
/// would cross a multiple, the long way brings the pair along. With windows of at most 2^30 bytes, no number that matters
/// is then 2^31 from the pair.
const SYNC_BITS: u32 = 29;

const SND_STATE: Interest = Interest::of(Hook::Snd, Event::TcpStateChange);
const RCV_STATE: Interest = Interest::of(Hook::Rcv, Event::TcpStateChange);

/// What somebody may hear of a packet that changes nobody's state.
const TOLD: Wanted = Wanted::of(SND_PKT_IN.or(RCV_PKT_IN).or(Interest::IMMEDIATE).or(Interest::RTT));

/// What of that comes at the SND hook ...
const AT_SND: Wanted = Wanted::of(SND_PKT_IN);

/// ... and after it.
const AFTER_SND: Wanted = Wanted::of(RCV_PKT_IN.or(Interest::IMMEDIATE).or(Interest::RTT));

/// Whether a segment from `side` is the next one, and acceptable.
#[inline(always)]
fn is_next(hot: &Hot, side: Side, packet: &Packet) -> bool {
    let (sender, receiver) = (&hot.half[side as usize], &hot.half[side.other() as usize]);
    let end = packet.seq + packet.payload_len;
    packet.tcp_flags & (CONTROL & !TcpFlags::FIN) == TcpFlags::ACK
        && packet.seq == receiver.rcv_nxt
        && end.le(receiver.edge)
        && packet.ack.offset_from(sender.ack) <= sender.rcv_nxt.offset_from(sender.ack)
        && !receiver.flags.any(HalfFlags::HOLE | HalfFlags::BUFFERED)
        && packet.payload_len == packet.payload_captured
        && !packet.signed
        && (packet.seq.0 ^ end.0) >> SYNC_BITS == 0
        // RFC 7323 5.3.
        && (!packet.has_timestamps
            || hot.flags.any(FlowFlags::TIMESTAMPS)
                && receiver.slow.any(SlowFlags::TS_RECENT)
                && SeqNum(packet.ts_val).ge(SeqNum(receiver.ts_recent)))
}

/// What a next segment says about its sender.
#[inline(always)]
fn update_sender(sender: &mut Half, packet: &Packet) {
    sender.ack = packet.ack;
    sender.edge = sender.edge.max(packet.ack + (u32::from(packet.window) << sender.window_shift));
}

/// What a next segment does to its receiver, which expects the number `next` then.
#[inline(always)]
fn update_receiver(receiver: &mut Half, packet: &Packet, next: SeqNum) {
    if packet.has_timestamps && receiver.ack == packet.seq {
        receiver.ts_recent = packet.ts_val;
    }
    receiver.rcv_nxt = next;
}

/// What a next segment that turns a state says about `side`, which sent it: what is to be raised at the SND hook. `None`: this is
/// for the long way, and nothing has changed.
#[inline(always)]
fn turn_sender(flow: &mut Flow<'_>, side: Side, packet: &Packet, next: SeqNum) -> Option<Interest> {
    let (iss_of_peer, cold) = (flow.cold(side.other()).iss, &mut flow.cold.half[side as usize]);
    let [sender, receiver] = flow.hot.ends(side);
    let fin = packet.tcp_flags & TcpFlags::FIN != 0;
    let first = !sender.slow.any(SlowFlags::ACKED);
    if sender.state.is_opening()
        || sender.slow.any(SlowFlags::FIN_SENT) && next != packet.seq
        || first && packet.ack != sender.rcv_nxt
        || receiver.state == TcpState::SynRcvd && packet.ack != iss_of_peer + 1
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
    if first {
        sender.slow.set(SlowFlags::ACKED);
        sender.flags.set(HalfFlags::WINDOW);
        sender.edge = packet.ack;
        cold.ack_seen = packet.ack;
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
    if before == TcpState::SynRcvd {
        receiver.state = TcpState::Established;
        flow.hot.flags.set(FlowFlags::FAST);
        flow.hot.flags.clear(FlowFlags::HALF_OPEN);
    }
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
    /// Takes a packet from its key on, if it can go this way. False: something about it is different, and nothing has changed.
    #[inline(always)]
    pub(super) fn short<O: Observer>(&mut self, index: usize, burst: &mut Burst<'_>, observer: &mut O) -> bool {
        let (slot, key, packet) = (self.slots[index], &self.keys[index], &self.packets[index]);
        let Some(hot) = self.flows.in_order(slot, key) else { return false };
        if key.key.is_v6() && !self.flows.same_v6(slot, key, packet, self.frame(index, burst)) {
            return false;
        }
        let side = hot.sender(key);
        if !is_next(hot, side, packet) {
            return false;
        }
        let fast = hot.flags.any(FlowFlags::FAST) && packet.tcp_flags & TcpFlags::FIN == 0;
        if self.config.checksum != ChecksumMode::Trust && !self.check(slot, side, index, burst) {
            self.unseen(index, burst, observer);
            return true;
        }
        if fast {
            self.glide(slot, side, index, burst, observer);
        } else if !self.turn(slot, side, index, burst, observer) {
            self.long(slot, side, index, burst, observer);
        }
        self.stats.flow_packets += 1;
        true
    }

    /// Takes a segment from `side` of a flow that is known, if it can go this way. False: it cannot, and nothing has changed.
    #[inline]
    pub(super) fn in_order<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let (packet, hot) = (&self.packets[index], self.flows.hot(slot));
        if !hot.flags.any(FlowFlags::IN_ORDER) || !is_next(hot, side, packet) {
            return false;
        }
        if packet.tcp_flags & TcpFlags::FIN != 0 || !hot.flags.any(FlowFlags::FAST) {
            return self.turn(slot, side, index, burst, observer);
        }
        self.glide(slot, side, index, burst, observer);
        true
    }

    /// A segment that leaves all states as they are.
    #[inline(always)]
    fn glide<O: Observer>(&mut self, slot: u32, side: Side, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        let (packet, hot) = (&self.packets[index], self.flows.hot_mut(slot));
        hot.last_seen = self.tick as u32;
        update_sender(&mut hot.half[side as usize], packet);
        let wanted = hot.wanted;
        if wanted.any(TOLD) {
            if wanted.any(AT_SND) {
                return self.tell(slot, side, index, burst, observer);
            }
            self.arrive_told(slot, side, index, burst);
            return self.hear(slot, side.other(), index, burst, observer);
        }
        let (len, peer) = (packet.payload_len, side.other());
        update_receiver(&mut hot.half[peer as usize], packet, packet.seq + len);
        if len > 0 && wanted.any(Wanted::buffer(peer)) {
            self.bring(slot, side, index, burst);
        }
    }

    /// The rest of the way if somebody may hear of the packet at the SND hook.
    #[inline(never)]
    fn tell<O: Observer>(&mut self, slot: u32, side: Side, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        self.sender = side;
        self.begin_edits(slot, side, index);
        self.dropped = false;
        let mut cx = FlowCx { stack: self, burst: burst.reborrow(), slot, index: Some(index) };
        observer.on_events(&mut cx, Hook::Snd, side, SND_PKT_IN);
        match cx.stack.fate(index, &cx.burst) {
            Fate::Kept => {
                if cx.stack.arrive_told(slot, side, index, &cx.burst).any(AFTER_SND) {
                    cx.raise_received(side.other(), observer);
                }
            }
            Fate::Dropped => {}
            Fate::Edited => self.receive_edited(slot, side, index, None, burst, observer),
        }
    }

    /// The rest of the way if somebody may hear of the packet, but not at the SND hook.
    #[inline(never)]
    fn hear<O: Observer>(&mut self, slot: u32, side: Side, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        self.sender = side.other();
        FlowCx { stack: self, burst: burst.reborrow(), slot, index: Some(index) }.raise_received(side, observer);
    }

    /// What is behind the SND hook and before the RCV hook. Returns what is wanted, looked at once: the callbacks at the SND hook may
    /// have asked for any of it, those at the RCV hook for delivery at once.
    #[inline(always)]
    fn arrive_told(&mut self, slot: u32, side: Side, index: usize, burst: &Burst<'_>) -> Wanted {
        let (packet, hot) = (&self.packets[index], self.flows.hot_mut(slot));
        let (len, peer, wanted) = (packet.payload_len, side.other(), hot.wanted);
        update_receiver(&mut hot.half[peer as usize], packet, packet.seq + len);
        if len > 0 && wanted.any(Wanted::buffer(peer)) {
            self.bring(slot, side, index, burst);
        }
        if wanted.any(Wanted::RTT) {
            self.measure_short(slot, side, index, burst);
        }
        wanted
    }

    /// A segment in order that changes an endpoint's state, or that comes while one is closing: the handshake's last ACK, a
    /// FIN, and what follows it.
    #[inline(never)]
    fn turn<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let peer = side.other();
        let (packet, special) = (&self.packets[index], self.flows.hot(slot).flags.any(FlowFlags::EXTRAS));
        let &Packet { seq, payload_len, .. } = packet;
        let fin = packet.tcp_flags & TcpFlags::FIN != 0;
        let next = seq + payload_len + u32::from(fin);
        if special || (seq.0 ^ next.0) >> SYNC_BITS != 0 {
            return false;
        }
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        let half_open = flow.hot.flags.any(FlowFlags::HALF_OPEN);
        let Some(sent) = turn_sender(&mut flow, side, packet, next) else { return false };
        flow.hot.last_seen = self.tick as u32;
        self.sender = side;
        if half_open {
            self.time_handshake(slot, side, false);
        }
        match self.send_short(slot, side, index, sent, burst, observer) {
            Fate::Kept => {}
            Fate::Dropped => {
                let (hot, cold) = self.flows.parts(slot);
                let mut flow = Flow { hot, cold };
                flow.reconcile();
                flow.settle();
                self.arm(slot);
                return true;
            }
            Fate::Edited => {
                self.receive_edited(slot, side, index, Some((seq, seq)), burst, observer);
                return true;
            }
        }
        let (hot, cold) = self.flows.parts(slot);
        let wanted = hot.wanted;
        let changed = turn_receiver(&mut Flow { hot, cold }, peer, &self.packets[index], next);
        if payload_len > 0 && wanted.any(Wanted::buffer(peer)) {
            self.bring(slot, side, index, burst);
        }
        if wanted.any(Wanted::RTT) {
            self.measure_short(slot, side, index, burst);
        }
        let received = if changed { RCV_PKT_IN.or(RCV_STATE) } else { RCV_PKT_IN };
        self.raise(slot, peer, Some(index), Hook::Rcv, received, burst, observer);
        self.deliver_at_once(slot, index, burst, observer);
        if (fin || changed) && !self.end_if_finished(slot, false, burst, observer) {
            self.arm(slot);
        }
        true
    }

    /// The SND hook of a segment whose numbers are the next ones.
    #[inline(always)]
    fn send_short<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        events: Interest,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> Fate {
        if !self.flows.hot(slot).wanted.any(Wanted::at(Hook::Snd, events)) {
            return Fate::Kept;
        }
        self.begin_edits(slot, side, index);
        self.send(slot, side, index, events, burst, observer)
    }

    /// Nothing of the packet has been edited yet.
    #[inline(always)]
    fn begin_edits(&mut self, slot: u32, side: Side, index: usize) {
        let packet = &self.packets[index];
        let sent = (packet.seq, packet.payload_len);
        self.edits = Edits { fresh: self.is_fresh(slot, side, sent, sent.0), sent, ..Edits::default() };
    }

    /// The payload of a segment from `side`, for the readers of its peer.
    #[inline(always)]
    fn bring(&mut self, slot: u32, side: Side, index: usize, burst: &Burst<'_>) {
        let (peer, packet) = (side.other(), &self.packets[index]);
        let flags = &mut self.flows.hot_mut(slot).half[peer as usize].flags;
        if flags.any(HalfFlags::PENDING) || !self.scratch.is_in_frame(index) {
            return self.bring_more(slot, peer, index, burst);
        }
        flags.set(HalfFlags::PENDING);
        let source = Source::Frame(burst.frames[index].start + usize::from(packet.payload));
        self.pending.begin(slot, peer, packet.seq, source, packet.payload_len.into());
    }

    /// The same, for `side`, in any case: for one that has been brought something before in this burst, or if the packet does
    /// not lie in its frame.
    #[inline(never)]
    fn bring_more(&mut self, slot: u32, side: Side, index: usize, burst: &Burst<'_>) {
        let &Packet { payload, payload_len, seq, .. } = &self.packets[index];
        let source = self.source(index, usize::from(payload), burst);
        self.push(slot, side, seq, source, payload_len.into());
    }

    #[cold]
    fn measure_short(&mut self, slot: u32, side: Side, index: usize, burst: &Burst<'_>) {
        let segment = Segment::new(&self.packets[index], self.frame(index, burst));
        self.measure(slot, side, &segment, false);
    }

    /// A packet that was edited on the short way goes on on the long one. `before`: how far its sender was known to have sent,
    /// if that was noted already.
    #[inline(never)]
    pub(super) fn receive_edited<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        before: Option<(SeqNum, SeqNum)>,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let (hot, cold) = self.flows.parts(slot);
        Flow { hot, cold }.reconcile();
        if self.edits.in_step {
            self.record_edit(slot, side, index, before, burst);
        }
        let segment = Segment::new(&self.packets[index], self.frame(index, burst));
        self.receive(slot, side.other(), &segment, index, Interest::NONE, burst, observer);
    }
}

impl FlowCx<'_> {
    /// The RCV hook of `side`, for a packet that changes nobody's state, and what comes after that.
    #[inline(always)]
    fn raise_received<O: Observer>(&mut self, side: Side, observer: &mut O) {
        self.raise(Hook::Rcv, side, RCV_PKT_IN, observer);
        if self.wanted().any(Wanted::IMMEDIATE) {
            self.deliver_immediate(observer);
        }
    }
}
