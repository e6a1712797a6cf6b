//! A TCP packet of a known flow: sender, SND hook, receiver, RCV hook.

use super::edit::Edits;
use super::{FlowCx, Stack};
use crate::config::ChecksumMode;
use crate::event::{Attachment, ErrorReason, Event, Hook, Interest, Observer, Side, Wanted};
use crate::flow::record::{HalfFlags, SlowFlags};
use crate::flow::{FlowFlags, NO_SLOT};
use crate::packet::Burst;
use crate::tcp::receiver::Payload;
use crate::tcp::validate::{Acceptance, plausible_ack, validate};
use crate::tcp::{Flow, Segment, receiver, sender};
use crate::wire::TcpFlags;

/// The control bits that leave the short way.
pub(super) const CONTROL: u8 = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST | TcpFlags::URG | TcpFlags::ACK;

pub(super) const SND_PKT_IN: Interest = Interest::of(Hook::Snd, Event::PktIn);
pub(super) const RCV_PKT_IN: Interest = Interest::of(Hook::Rcv, Event::PktIn);
const RCV_REXMIT: Interest = Interest::of(Hook::Rcv, Event::Rexmit);
/// What is raised when a flow begins: at the SND hook, and at the RCV hook.
pub(super) const BEGINNING: [Interest; 2] = [
    Interest::of(Hook::Snd, Event::ConnStart).or(Interest::of(Hook::Snd, Event::TcpStateChange)),
    Interest::of(Hook::Rcv, Event::ConnStart).or(Interest::of(Hook::Rcv, Event::TcpStateChange)),
];

/// So many SYN|ACKs with numbers of their own are remembered: more than any path makes of one SYN.
const MAX_RIVALS: usize = 8;

/// What the SND callbacks did with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Edited,
    Dropped,
}

impl Stack {
    /// The bytes of the packet at `index`.
    #[inline]
    pub(super) fn frame<'f>(&'f self, index: usize, burst: &'f Burst<'_>) -> &'f [u8] {
        self.scratch.frame(index, burst)
    }

    /// The same if the packet is of IPv6, whose addresses are nowhere else.
    #[inline]
    pub(super) fn frame_if_v6<'f>(&'f self, index: usize, burst: &'f Burst<'_>) -> &'f [u8] {
        if self.keys[index].key.is_v6() { self.scratch.frame(index, burst) } else { &[] }
    }

    /// Any TCP packet, of a flow or of none.
    #[inline(always)]
    pub(super) fn tcp<O: Observer>(&mut self, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        let slot = self.locate(index, burst);
        if slot == NO_SLOT || (self.is_late() && self.end_if_overdue(slot, burst, observer)) {
            return self.open(index, burst, observer);
        }
        let side = self.flows.sender(slot, &self.keys[index]);
        if self.config.checksum != ChecksumMode::Trust && !self.check(slot, side, index, burst) {
            return self.unseen(index, burst, observer);
        }
        self.stats.flow_packets += 1;
        self.sender = side;
        let hot = self.flows.hot(slot);
        if hot.flags.any(FlowFlags::EXTRAS) || hot.table == Attachment::BYPASS.table {
            self.special(slot, side, index, burst, observer);
        } else if !self.in_order(slot, side, index, burst, observer)
            && !self.syn_ack(slot, side, index, burst, observer)
        {
            self.long(slot, side, index, burst, observer);
        }
    }

    /// The flow of a packet, if there is one.
    #[inline(always)]
    fn locate(&self, index: usize, burst: &Burst<'_>) -> u32 {
        let (slot, packet, key) = (self.slots[index], &self.packets[index], &self.keys[index]);
        self.flows.locate(slot, key, packet, self.frame_if_v6(index, burst))
    }

    /// A packet of a flow with extras, or of one that nobody monitors any more.
    #[inline(never)]
    fn special<O: Observer>(&mut self, slot: u32, side: Side, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        let extras = self.flows.hot(slot).flags.any(FlowFlags::EXTRAS);
        if extras && !self.forget_extras(slot) && !self.arrive(slot, side, index, burst) {
            return;
        }
        if self.is_bypassed(slot) {
            self.bypass(slot, side, index, burst, observer);
            self.depart(slot, side, index, burst);
        } else if self.is_shifted(slot) || !self.in_order(slot, side, index, burst, observer) {
            self.long(slot, side, index, burst, observer);
        }
    }

    /// The long way, for whatever packet.
    #[inline(never)]
    pub(super) fn long<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.segment(slot, side, index, false, burst, observer);
        if self.is_bypassed(slot) {
            // A callback has made it so, and the packet has gone on: what was kept of it goes, too.
            self.begin_bypass(slot);
        }
    }

    /// Any segment. `beginning`: it is the flow's first and no SYN, so that both sides start with it.
    pub(super) fn segment<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        beginning: bool,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.sender = side;
        let segment = Segment::new(&self.packets[index]);
        let tick = self.tick as u32;
        let (hot, cold) = self.flows.parts(slot);
        hot.last_seen = tick;
        let mut flow = Flow { hot, cold };
        flow.half(side).slow.clear(SlowFlags::RECEIVED_LAST);
        flow.half(side.other()).slow.set(SlowFlags::RECEIVED_LAST);
        flow.reconcile();
        if segment.syn() && !beginning && self.is_reuse(slot, side, &segment, index, burst, observer) {
            return;
        }
        self.choose_syn_ack(slot, side, &segment);
        let (hot, cold) = self.flows.parts(slot);
        let mut acceptance = validate(&mut Flow { hot, cold }, side, &segment);
        if acceptance == Acceptance::Reject(ErrorReason::Window) && self.note_data_ahead(slot, side.other(), &segment) {
            self.skip_acked(slot, side.other(), Some(index), burst, observer);
            acceptance = Acceptance::Accept;
        }
        match acceptance {
            Acceptance::Accept => {}
            Acceptance::Stale => {
                self.stats.stale_segments += 1;
                return self.pass_by(slot, side, &segment, index, burst, observer);
            }
            Acceptance::Reject(reason) => return self.reject(slot, side, &segment, reason, index, burst, observer),
        }
        if segment.has_ack() && !segment.rst() {
            let (hot, cold) = self.flows.parts(slot);
            if !plausible_ack(&mut Flow { hot, cold }, side, &segment) {
                self.note_ack_ahead(slot, side, &segment);
            }
        }
        self.accept(slot, side, &segment, index, beginning, burst, observer);
    }

    /// A segment that its receiver accepts. `beginning`: it is the flow's first and no SYN, so that both sides start with it.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn accept<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        segment: &Segment,
        index: usize,
        beginning: bool,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        let before = (flow.cold(side).snd_max, flow.cold(side).data_max);
        let sent = sender::update(&mut flow, side, segment);
        let held = flow.half(side).slow.all(SlowFlags::HELD | SlowFlags::ACKED);
        let acked = flow.half(side).ack;
        if let Some(other) = sent.other_syn_ack {
            let others = &mut self.flows.extras_mut(slot).other_syn_acks;
            if others.len() < MAX_RIVALS && !others.contains(&other) {
                others.push(other);
            }
        }
        if held {
            self.release_held(slot, side, acked);
        }
        if segment.has_ack() && !segment.rst() {
            self.skip_acked(slot, side, Some(index), burst, observer);
            let (hot, cold) = self.flows.parts(slot);
            if receiver::reach_fin(&mut Flow { hot, cold }, side) {
                let state = Interest::of(Hook::Rcv, Event::TcpStateChange);
                self.raise(slot, side, Some(index), Hook::Rcv, state, burst, observer);
            }
        }
        if self.flows.hot(slot).flags.any(FlowFlags::HALF_OPEN) && segment.has_ack() && !segment.rst() {
            self.time_handshake(slot, side, segment.syn());
        }
        let numbers = self.as_sent(slot, segment);
        let fresh = segment.seq.ge(before.0) && self.is_fresh(slot, side, numbers, segment.seq);
        self.edits = Edits { fresh, sent: numbers, ..Edits::default() };
        let events = SND_PKT_IN.or(sent.events).or(if beginning { BEGINNING[0] } else { Interest::NONE });
        let edited;
        let segment = match self.send(slot, side, index, events, burst, observer) {
            Fate::Kept => segment,
            Fate::Edited => {
                if self.edits.in_step {
                    self.record_edit(slot, side, index, Some(before), burst);
                }
                edited = Segment::new(&self.packets[index]);
                &edited
            }
            Fate::Dropped => {
                let (hot, cold) = self.flows.parts(slot);
                let mut flow = Flow { hot, cold };
                if !segment.syn() && !segment.fin() {
                    // It never reaches the receiver: that it was sent opens no hole.
                    (flow.cold(side).snd_max, flow.cold(side).data_max) = before;
                }
                flow.settle();
                return self.arm(slot);
            }
        };
        self.depart(slot, side, index, burst);
        let extra = if beginning { BEGINNING[1] } else { Interest::NONE };
        self.receive(slot, side.other(), segment, index, extra, burst, observer);
    }

    /// The SND hook. An edited packet is decoded anew.
    #[inline(always)]
    pub(super) fn send<O: Observer>(
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
        self.dropped = false;
        let mut cx = FlowCx { stack: self, burst: burst.reborrow(), slot, index: Some(index) };
        observer.on_events(&mut cx, Hook::Snd, side, events);
        self.fate(index, burst)
    }

    /// What the SND callbacks did with the packet.
    #[inline(always)]
    pub(super) fn fate(&mut self, index: usize, burst: &Burst<'_>) -> Fate {
        if self.dropped {
            return Fate::Dropped;
        }
        if !self.edits.edited {
            return Fate::Kept;
        }
        // What is no TCP segment any more reaches no TCP endpoint.
        if self.decode_again(index, &burst.frames[index], burst) { Fate::Edited } else { Fate::Dropped }
    }

    /// The receiver's half of the update, with the packet as the SND callbacks left it.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn receive<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        segment: &Segment,
        index: usize,
        extra: Interest,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.flows.hot_mut(slot).half[side as usize].flags.set(HalfFlags::EXISTS);
        let (key, hot) = (self.keys[index], self.flows.hot(slot));
        if side == Side::Server && key.key != hot.key && !hot.flags.any(FlowFlags::TRANSLATED) {
            // The first packet that reaches the server under other addresses than it came with.
            self.flows.insert_server_key(slot, &key);
            let view = super::context::view(self, burst, index);
            let translated = [view.source(), view.destination()];
            self.flows.extras_mut(slot).translated = Some(translated);
        }
        if self.flows.hot(slot).half[side as usize].slow.any(SlowFlags::HELD) && !segment.syn() {
            // The answer to the SYN was not captured; what follows the SYN tells what became of its data.
            self.release_held(slot, side, segment.seq);
        }
        let repeated = self.overlap(slot, side, segment);
        self.measure(slot, side.other(), segment, repeated);
        if repeated {
            self.raise(slot, side, Some(index), Hook::Rcv, RCV_REXMIT, burst, observer);
        }
        let (hot, cold) = self.flows.parts(slot);
        let received = receiver::update(&mut Flow { hot, cold }, side, segment);
        let mut events = RCV_PKT_IN.or(received.events).or(extra);
        if received.syn_again {
            self.flows.spill_mut(slot, side).retransmits += 1;
        }
        match received.payload {
            Payload::Ignore => {}
            Payload::Take => self.take(slot, side, segment, index, burst, observer),
            Payload::Hold => self.hold(slot, side, segment, index, burst),
        }
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        if receiver::reach_fin(&mut flow, side) {
            events = events.or(Interest::of(Hook::Rcv, Event::TcpStateChange));
        }
        flow.settle();
        if !self.config.short_way {
            self.flows.hot_mut(slot).flags.clear(FlowFlags::FAST | FlowFlags::IN_ORDER);
        }
        if repeated {
            events = events.without(RCV_REXMIT);
        }
        self.raise(slot, side, Some(index), Hook::Rcv, events, burst, observer);
        self.deliver_at_once(slot, index, burst, observer);
        if !self.end_if_finished(slot, segment.rst(), burst, observer) {
            self.arm(slot);
        }
    }

    /// A late copy: seen, but without any effect.
    pub(super) fn pass_by<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        segment: &Segment,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.edits = Edits { sent: self.as_sent(slot, segment), ..Edits::default() };
        if self.send(slot, side, index, SND_PKT_IN, burst, observer) == Fate::Dropped {
            return;
        }
        self.depart(slot, side, index, burst);
        if self.overlap(slot, side.other(), segment) {
            self.raise(slot, side.other(), Some(index), Hook::Rcv, RCV_REXMIT, burst, observer);
            self.compare(slot, side.other(), segment, index, burst, observer);
        }
        self.raise(slot, side.other(), Some(index), Hook::Rcv, RCV_PKT_IN, burst, observer);
    }

    /// A segment that its receiver does not accept: seen, counted, without any effect.
    #[allow(clippy::too_many_arguments)]
    fn reject<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        segment: &Segment,
        reason: ErrorReason,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.edits = Edits { sent: self.as_sent(slot, segment), ..Edits::default() };
        if self.send(slot, side, index, SND_PKT_IN, burst, observer) == Fate::Dropped {
            return;
        }
        self.note_refused(slot, side, segment, reason);
        self.depart(slot, side, index, burst);
        self.suspect(slot, side.other(), segment, reason, index, burst);
        self.error(slot, side.other(), reason, Some(index), burst, observer);
        self.raise(slot, side.other(), Some(index), Hook::Rcv, RCV_PKT_IN, burst, observer);
    }

    /// Tells the layer above what it wants to hear of `events`.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    pub(super) fn raise<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: Option<usize>,
        hook: Hook,
        events: Interest,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        if self.flows.hot(slot).wanted.any(Wanted::at(hook, events)) {
            observer.on_events(&mut FlowCx { stack: self, burst: burst.reborrow(), slot, index }, hook, side, events);
        }
    }

    /// ERROR.
    pub(super) fn error<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        reason: ErrorReason,
        index: Option<usize>,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.error_to(u16::MAX, slot, side, reason, index, burst, observer);
    }

    /// ERROR, for some readers only.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn error_to<O: Observer>(
        &mut self,
        readers: u16,
        slot: u32,
        side: Side,
        reason: ErrorReason,
        index: Option<usize>,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.stats.errors[reason.index()] += 1;
        if !self.is_bypassed(slot) {
            observer.on_error(&mut FlowCx { stack: self, burst: burst.reborrow(), slot, index }, side, reason, readers);
        }
    }
}

impl FlowCx<'_> {
    /// The same as [`Stack::raise`], where the context is there already.
    #[inline(always)]
    pub(super) fn raise<O: Observer>(&mut self, hook: Hook, side: Side, events: Interest, observer: &mut O) {
        if self.wanted().any(Wanted::at(hook, events)) {
            observer.on_events(self, hook, side, events);
        }
    }
}
