//! The short way: a segment in order, in a direction without holes, on a flow whose endpoints are synchronized.
//!
//! It has the outcome of the long way ([`Stack::segment`]) and leaves out what that cannot find here: the segment is
//! acceptable because it is the very next one, nothing it brings was there before, and it acknowledges nothing that was not
//! seen. [`Flow::settle`] says by [`FlowFlags::FAST`] and [`FlowFlags::IN_ORDER`] whether a flow is like that.

use super::pending::Source;
use super::segment::{CONTROL, Fate, RCV_PKT_IN, SND_PKT_IN};
use super::{FlowCx, Stack};
use crate::config::ChecksumMode;
use crate::event::{Event, Hook, Interest, Observer, Side, Wanted};
use crate::flow::FlowFlags;
use crate::flow::record::{Cold, Half, HalfFlags, Hot, SlowFlags, ends};
use crate::packet::Burst;
use crate::tcp::{Flow, Segment};
use crate::wire::{Packet, SeqNum, TcpFlags};

/// The short way leaves the known pair of sequence number and stream offset behind, by less than 2^29 numbers: where it
/// would cross a multiple, the long way brings the pair along. With windows of at most 2^30 bytes, no number that matters
/// is then 2^31 from the pair.
pub(super) const SYNC_BITS: u32 = 29;

pub(super) const RCV_STATE: Interest = Interest::of(Hook::Rcv, Event::TcpStateChange);

/// What somebody may hear of a packet that changes nobody's state.
const TOLD: Wanted = Wanted::of(SND_PKT_IN.or(RCV_PKT_IN).or(Interest::IMMEDIATE).or(Interest::RTT));

/// What somebody may hear of any packet in order.
pub(super) const HEARD: Wanted =
    Wanted::of(Interest::at(Hook::Snd).or(Interest::at(Hook::Rcv)).or(Interest::IMMEDIATE).or(Interest::RTT));

/// What of that comes at the SND hook ...
const AT_SND: Wanted = Wanted::of(SND_PKT_IN);

/// ... at the RCV hook ...
const AT_RCV: Wanted = Wanted::of(RCV_PKT_IN);

/// ... and anywhere after the SND hook.
const AFTER_SND: Wanted = Wanted::of(RCV_PKT_IN.or(Interest::IMMEDIATE).or(Interest::RTT));

/// What is to be done between the two hooks besides.
const IN_BETWEEN: Wanted = Wanted::BUFFERS.or(Wanted::RTT);

/// What is left to do for a segment whose numbers have been noted.
#[derive(Clone, Copy, Debug)]
enum Rest {
    Nothing,
    /// Its payload is for readers.
    Payload,
    /// Somebody may hear of it at the SND hook: only what it says about its sender has been noted.
    Sent,
    /// Somebody may hear of it, but not there.
    Told,
}

/// Whether a segment that has no control bit but ACK, and perhaps FIN, changes no state if it is the next one.
#[inline(always)]
pub(super) fn is_plain(packet: &Packet) -> bool {
    packet.tcp_flags & CONTROL == TcpFlags::ACK
}

/// The same with FIN.
#[inline(always)]
fn is_plain_or_fin(packet: &Packet) -> bool {
    packet.tcp_flags & (CONTROL & !TcpFlags::FIN) == TcpFlags::ACK
}

/// Whether a segment that is plain, or a FIN, is the next one, and acceptable. `flags`: those of its flow.
#[inline(always)]
pub(super) fn is_next(flags: FlowFlags, sender: &Half, receiver: &Half, packet: &Packet) -> bool {
    is_in_place(sender, receiver, packet) && (!packet.has_more() || !packet.signed && is_newer(flags, receiver, packet))
}

/// The same by its numbers alone: of one that has neither timestamps nor a signature.
#[inline(always)]
fn is_in_place(sender: &Half, receiver: &Half, packet: &Packet) -> bool {
    let end = packet.seq + packet.payload_len;
    // Between what it has acknowledged and what it was sent, counted back from there. First, because it needs most at once.
    sender.rcv_nxt.offset_from(packet.ack) <= sender.rcv_nxt.offset_from(sender.ack)
        && packet.seq == receiver.rcv_nxt
        && receiver.edge.ge(end)
        && (packet.seq.0 ^ end.0) >> SYNC_BITS == 0
        && packet.payload_len == packet.payload_captured
        && !receiver.flags.any(HalfFlags::HOLE | HalfFlags::BUFFERED)
}

/// RFC 7323 5.3: whether the time stamp of a segment is not older than those before it.
#[inline(always)]
fn is_newer(flags: FlowFlags, receiver: &Half, packet: &Packet) -> bool {
    flags.any(FlowFlags::TIMESTAMPS)
        && receiver.slow.any(SlowFlags::TS_RECENT)
        && SeqNum(packet.ts_val).ge(SeqNum(receiver.ts_recent))
}

/// What a next segment says about its sender.
#[inline(always)]
pub(super) fn update_sender(sender: &mut Half, packet: &Packet) {
    sender.ack = packet.ack;
    sender.edge = sender.edge.max(packet.ack + (u32::from(packet.window) << sender.window_shift));
}

/// What a next segment does to its receiver, which expects the number `next` then.
#[inline(always)]
pub(super) fn update_receiver(receiver: &mut Half, packet: &Packet, next: SeqNum) {
    if packet.has_timestamps && receiver.ack == packet.seq {
        receiver.ts_recent = packet.ts_val;
    }
    receiver.rcv_nxt = next;
}

/// Whether a segment of a flow with these flags may turn a state in order.
#[inline(always)]
fn may_turn(flags: FlowFlags, packet: &Packet) -> bool {
    flags.mask(FlowFlags::IN_ORDER | FlowFlags::EXTRAS) == FlowFlags::IN_ORDER && is_plain_or_fin(packet)
}

/// Whether a segment of a flow with these flags may be the SYN|ACK of its handshake.
#[inline(always)]
fn may_open(flags: FlowFlags, packet: &Packet) -> bool {
    flags.mask(FlowFlags::HALF_OPEN | FlowFlags::EXTRAS) == FlowFlags::HALF_OPEN
        && packet.tcp_flags & CONTROL == TcpFlags::SYN | TcpFlags::ACK
}

/// A next segment from `side` that leaves all states as they are. `None`: it is not the next one.
#[inline(always)]
fn glide(hot: &mut Hot, side: Side, packet: &Packet, tick: &u64) -> Option<Rest> {
    let [sender, receiver] = ends(&mut hot.half, side);
    is_next(hot.flags, sender, receiver, packet).then(|| glide_on(hot, side, packet, tick, update_receiver))
}

/// The same for one that has neither timestamps nor a signature.
#[inline(always)]
fn glide_plainly(hot: &mut Hot, side: Side, packet: &Packet, tick: &u64) -> Option<Rest> {
    let [sender, receiver] = ends(&mut hot.half, side);
    let arrive = |receiver: &mut Half, _: &Packet, next| receiver.rcv_nxt = next;
    is_in_place(sender, receiver, packet).then(|| glide_on(hot, side, packet, tick, arrive))
}

/// The same if it is known to be the next one. `arrive`: what it does to its receiver.
#[inline(always)]
fn glide_on(
    hot: &mut Hot,
    side: Side,
    packet: &Packet,
    tick: &u64,
    arrive: impl Fn(&mut Half, &Packet, SeqNum),
) -> Rest {
    let [sender, receiver] = ends(&mut hot.half, side);
    hot.last_seen = *tick as u32;
    let wanted = hot.wanted;
    // Of most flows, one look tells that nobody does either.
    let is_followed = wanted.any(TOLD.or(Wanted::BUFFERS));
    if is_followed && wanted.any(AT_SND) {
        update_sender(sender, packet);
        return Rest::Sent;
    }
    // Its number first, which is at hand.
    arrive(receiver, packet, packet.seq + packet.payload_len);
    update_sender(sender, packet);
    if is_followed && wanted.any(TOLD) {
        return Rest::Told;
    }
    let is_read = is_followed && packet.payload_len > 0 && wanted.any(Wanted::buffer(side.other()));
    if is_read { Rest::Payload } else { Rest::Nothing }
}

impl Stack {
    /// Takes a packet from its key on, if it can go this way. False: something about it is different, and nothing has changed.
    /// `READING`: payloads are likely to be read, if only for their checksums.
    #[inline(always)]
    pub(super) fn short<O: Observer, const READING: bool>(
        &mut self,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let (slot, key, packet) = (self.slots[index], &self.keys[index], &self.packets[index]);
        let Some(hot) = self.flows.probed(slot, key) else { return false };
        let (flags, side) = (hot.flags, hot.sender(key));
        if READING && self.config.checksum != ChecksumMode::Trust || key.key.is_v6() {
            return self.short_checked(slot, side, index, burst, observer);
        }
        let fast = flags.mask(FlowFlags::FAST | FlowFlags::EXTRAS) == FlowFlags::FAST;
        if !fast || !is_plain(packet) {
            let taken = if may_turn(flags, packet) {
                self.turn(flags, slot, side, index, burst, observer)
            } else {
                may_open(flags, packet) && self.syn_ack(slot, side, index, burst, observer)
            };
            self.stats.flow_packets += u64::from(taken);
            return taken;
        }
        let gliding = if packet.has_more() {
            glide(hot, side, packet, &self.tick)
        } else {
            glide_plainly(hot, side, packet, &self.tick)
        };
        let Some(rest) = gliding else { return false };
        self.stats.flow_packets += 1;
        // The slot is looked up again, not kept: the loop has the registers for what all packets need.
        self.finish(rest, self.slots[index], side, index, burst, observer);
        true
    }

    /// The same for a packet from `side` whose addresses or checksums are to be looked at: that takes longer than all the rest.
    #[inline(never)]
    fn short_checked<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let (key, packet, hot) = (&self.keys[index], &self.packets[index], self.flows.hot_mut(slot));
        let [sender, receiver] = ends(&mut hot.half, side);
        if !may_turn(hot.flags, packet) || !is_next(hot.flags, sender, receiver, packet) {
            return false;
        }
        if key.key.is_v6() && !self.flows.same_v6(slot, key, packet, self.frame(index, burst)) {
            return false;
        }
        if self.config.checksum != ChecksumMode::Trust && !self.check(slot, side, index, burst) {
            self.unseen(index, burst, observer);
            return true;
        }
        self.stats.flow_packets += 1;
        let (packet, hot) = (&self.packets[index], self.flows.hot_mut(slot));
        let flags = hot.flags;
        if is_plain(packet) && flags.any(FlowFlags::FAST) {
            let rest = glide_on(hot, side, packet, &self.tick, update_receiver);
            self.finish(rest, slot, side, index, burst, observer);
        } else if !self.turn(flags, slot, side, index, burst, observer) {
            self.long(slot, side, index, burst, observer);
        }
        true
    }

    /// Takes a segment from `side` of a flow that is known, if it can go this way. False: it cannot, and nothing has changed.
    #[inline(always)]
    pub(super) fn in_order<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let (packet, hot) = (&self.packets[index], self.flows.hot(slot));
        hot.flags.any(FlowFlags::IN_ORDER)
            && is_plain_or_fin(packet)
            && self.advance(slot, side, index, burst, observer)
    }

    /// A segment from `side` that is plain, or a FIN. False: it is for the long way, and nothing has changed.
    #[inline(always)]
    fn advance<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let (packet, hot) = (&self.packets[index], self.flows.hot_mut(slot));
        let flags = hot.flags;
        if !is_plain(packet) || !flags.any(FlowFlags::FAST) {
            return self.turn(flags, slot, side, index, burst, observer);
        }
        let Some(rest) = glide(hot, side, packet, &self.tick) else { return false };
        self.finish(rest, slot, side, index, burst, observer);
        true
    }

    /// What is left to do for a segment from `side`.
    #[inline(always)]
    fn finish<O: Observer>(
        &mut self,
        rest: Rest,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        match rest {
            Rest::Nothing => {}
            Rest::Payload => self.bring(slot, side, index, burst),
            Rest::Sent => self.tell_at_snd(slot, side, index, burst, observer),
            Rest::Told => self.tell(slot, side, index, burst, observer),
        }
    }

    /// The rest of the way if somebody may hear of the packet, but not at the SND hook.
    #[inline(never)]
    fn tell<O: Observer>(&mut self, slot: u32, side: Side, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        let wanted = self.flows.hot(slot).wanted;
        if wanted.any(IN_BETWEEN) {
            return self.tell_more(wanted, slot, side, index, burst, observer);
        }
        self.sender = side;
        let mut cx = FlowCx { stack: self, burst: burst.reborrow(), slot, index: Some(index) };
        cx.raise_received(wanted, side.other(), observer);
    }

    /// The same if its payload may be for readers, or it is to be measured.
    #[inline(never)]
    fn tell_more<O: Observer>(
        &mut self,
        wanted: Wanted,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.sender = side;
        self.bring_told(wanted, slot, side, index, burst);
        let mut cx = FlowCx { stack: self, burst: burst.reborrow(), slot, index: Some(index) };
        cx.raise_received(wanted, side.other(), observer);
    }

    /// The rest of the way if somebody may hear of the packet at the SND hook.
    #[inline(never)]
    fn tell_at_snd<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.sender = side;
        let mut cx = FlowCx { stack: self, burst: burst.reborrow(), slot, index: Some(index) };
        match cx.raise_sent(AT_SND, side, index, SND_PKT_IN, observer) {
            Fate::Kept => {
                let (packet, hot) = (&cx.stack.packets[index], cx.stack.flows.hot_mut(slot));
                // Looked at again: the callbacks may have asked for any of it.
                let wanted = hot.wanted;
                update_receiver(&mut hot.half[side.other() as usize], packet, packet.seq + packet.payload_len);
                cx.stack.bring_told(wanted, slot, side, index, &cx.burst);
                if wanted.any(AFTER_SND) {
                    cx.raise_received(wanted, side.other(), observer);
                }
            }
            Fate::Dropped => {}
            Fate::Edited => self.receive_edited(slot, side, index, None, burst, observer),
        }
    }

    /// What is between the update of the receiver and the RCV hook.
    #[inline(always)]
    fn bring_told(&mut self, wanted: Wanted, slot: u32, side: Side, index: usize, burst: &Burst<'_>) {
        if self.packets[index].payload_len > 0 && wanted.any(Wanted::buffer(side.other())) {
            self.bring(slot, side, index, burst);
        }
        if wanted.any(Wanted::RTT) {
            self.measure_short(slot, side, index);
        }
    }

    /// A segment that may change an endpoint's state, of a flow with these flags, if it is the next one. False: it is for the
    /// long way, and nothing has changed.
    #[inline(always)]
    fn turn<O: Observer>(
        &mut self,
        flags: FlowFlags,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        if flags.any(FlowFlags::HALF_OPEN) {
            self.last_ack(slot, side, index, burst, observer)
        } else {
            self.close(slot, side, index, burst, observer)
        }
    }

    /// A segment from `side` that began at `seq` and was dropped or edited at the SND hook.
    #[allow(clippy::too_many_arguments)]
    #[cold]
    #[inline(never)]
    pub(super) fn take_edited<O: Observer>(
        &mut self,
        fate: Fate,
        slot: u32,
        side: Side,
        index: usize,
        seq: SeqNum,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        if fate == Fate::Edited {
            return self.receive_edited(slot, side, index, Some((seq, seq)), burst, observer);
        }
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        flow.reconcile();
        flow.settle();
        self.arm(slot);
    }

    /// The rest of the way of a next segment from `side` that may change states, in a flow without extras of which that is `wanted`,
    /// when its sender is updated. `sent`: what is raised at the SND hook. `arrive`: what it does to its receiver, and what is raised
    /// at the RCV hook then, which is returned; `None` if it does not get there.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    pub(super) fn pass_on<O: Observer>(
        &mut self,
        wanted: Wanted,
        slot: u32,
        side: Side,
        index: usize,
        sent: Interest,
        arrive: impl FnOnce(&mut Hot, &Cold, &Packet) -> Interest,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> Option<Interest> {
        if wanted.any(HEARD) {
            let mut cx = FlowCx { stack: self, burst: burst.reborrow(), slot, index: Some(index) };
            return cx.pass_on_told(wanted, side, index, sent, arrive, observer);
        }
        let ((hot, cold), packet) = (self.flows.parts(slot), &self.packets[index]);
        let received = arrive(hot, cold, packet);
        if packet.payload_len > 0 && wanted.any(Wanted::buffer(side.other())) {
            self.bring(slot, side, index, burst);
        }
        Some(received)
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
        self.pending.begin(slot, peer, packet.seq, source, packet.payload_len);
    }

    /// The same, for `side`, in any case: for one that has been brought something before in this burst, or if the packet does
    /// not lie in its frame.
    #[inline(never)]
    fn bring_more(&mut self, slot: u32, side: Side, index: usize, burst: &Burst<'_>) {
        let &Packet { payload, payload_len, seq, .. } = &self.packets[index];
        let source = self.source(index, usize::from(payload), burst);
        self.push(slot, side, seq, source, payload_len);
    }

    #[cold]
    fn measure_short(&mut self, slot: u32, side: Side, index: usize) {
        let segment = Segment::new(&self.packets[index]);
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
        let segment = Segment::new(&self.packets[index]);
        self.receive(slot, side.other(), &segment, index, Interest::NONE, burst, observer);
    }
}

impl FlowCx<'_> {
    /// The SND hook of the packet at `index` from `side`, in a flow without extras of which that is `wanted`.
    #[inline(always)]
    pub(super) fn raise_sent<O: Observer>(
        &mut self,
        wanted: Wanted,
        side: Side,
        index: usize,
        events: Interest,
        observer: &mut O,
    ) -> Fate {
        if !wanted.any(Wanted::at(Hook::Snd, events)) {
            return Fate::Kept;
        }
        self.stack.edits.begin();
        self.stack.dropped = false;
        observer.on_events(self, Hook::Snd, side, events);
        self.stack.fate(index, &self.burst)
    }

    /// The same as [`Stack::pass_on`], if somebody may hear of the packet at `index`.
    #[inline(always)]
    fn pass_on_told<O: Observer>(
        &mut self,
        wanted: Wanted,
        side: Side,
        index: usize,
        sent: Interest,
        arrive: impl FnOnce(&mut Hot, &Cold, &Packet) -> Interest,
        observer: &mut O,
    ) -> Option<Interest> {
        let (slot, peer, seq) = (self.slot, side.other(), self.stack.packets[index].seq);
        let fate = self.raise_sent(wanted, side, index, sent, observer);
        if fate != Fate::Kept {
            self.stack.take_edited(fate, slot, side, index, seq, &mut self.burst, observer);
            return None;
        }
        let ((hot, cold), packet) = (self.stack.flows.parts(slot), &self.stack.packets[index]);
        let received = arrive(hot, cold, packet);
        let wanted = hot.wanted;
        self.stack.bring_told(wanted, slot, side, index, &self.burst);
        let told = wanted.any(Wanted::at(Hook::Rcv, received));
        let changed = told && observer.on_events(self, Hook::Rcv, peer, received);
        if changed || wanted.any(Wanted::IMMEDIATE) {
            self.deliver_at_once(observer);
        }
        Some(received)
    }

    /// The RCV hook of `side`, for a packet that changes nobody's state, and what comes after that. `wanted`: of the flow.
    #[inline(always)]
    fn raise_received<O: Observer>(&mut self, wanted: Wanted, side: Side, observer: &mut O) {
        let changed = wanted.any(AT_RCV) && observer.on_events(self, Hook::Rcv, side, RCV_PKT_IN);
        if changed || wanted.any(Wanted::IMMEDIATE) {
            self.deliver_at_once(observer);
        }
    }
}
