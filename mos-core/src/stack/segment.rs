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
use crate::wire::{SeqNum, TcpFlags};

/// The control bits that leave the short way.
pub(super) const CONTROL: u8 = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST | TcpFlags::URG | TcpFlags::ACK;

const SND_PKT_IN: Interest = Interest::of(Hook::Snd, Event::PktIn);
const RCV_PKT_IN: Interest = Interest::of(Hook::Rcv, Event::PktIn);
const RCV_REXMIT: Interest = Interest::of(Hook::Rcv, Event::Rexmit);
const BEGINNING: [Interest; 2] = [
    Interest::of(Hook::Snd, Event::ConnStart).or(Interest::of(Hook::Snd, Event::TcpStateChange)),
    Interest::of(Hook::Rcv, Event::ConnStart).or(Interest::of(Hook::Rcv, Event::TcpStateChange)),
];

/// The short way leaves the known pair of sequence number and stream offset behind, by less than 2^29 numbers: where it
/// would cross a multiple, the long way brings the pair along. With windows of at most 2^30 bytes, no number that matters
/// is then 2^31 from the pair.
const SYNC_BITS: u32 = 29;

/// So many SYN|ACKs with numbers of their own are remembered: more than any path makes of one SYN.
const MAX_RIVALS: usize = 8;

/// What the SND callbacks did with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
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

    /// A TCP packet: of a flow, or of none.
    pub(super) fn tcp<O: Observer>(&mut self, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        let mut slot = self.slots[index];
        let (packet, key) = (&self.packets[index], &self.keys[index]);
        let frame = self.frame(index, burst);
        if !self.flows.confirm(slot, key, packet, frame) {
            // Another flow's tag, a flow that ended earlier in this burst, or one that began in it.
            slot = self.flows.find(key, packet, frame);
        }
        if slot == NO_SLOT {
            return self.open(index, burst, observer);
        }
        let side = self.flows.sender(slot, key);
        if self.config.checksum != ChecksumMode::Trust && !self.check(slot, side, index, burst) {
            return;
        }
        self.stats.flow_packets += 1;
        self.sender = side;
        let hot = self.flows.hot(slot);
        let (special, bypassed) = (hot.flags.any(FlowFlags::EXTRAS), hot.table == Attachment::BYPASS.table);
        let mut shifted = false;
        if special {
            if !self.arrive(slot, side, index, burst) {
                return;
            }
            shifted = self.is_shifted(slot);
        }
        if bypassed {
            self.bypass(slot, side, index, burst, observer);
            self.depart(slot, side, index, burst);
        } else if shifted || !self.fast(slot, side, index, burst, observer) {
            self.segment(slot, side, index, false, burst, observer);
            if self.is_bypassed(slot) {
                // A callback has made it so, and the packet has gone on: what was kept of it goes, too.
                self.begin_bypass(slot);
            }
        }
    }

    /// The short way: both sides established and without holes, a plain segment in order, inside the window.
    #[inline]
    fn fast<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let packet = &self.packets[index];
        let hot = self.flows.hot_mut(slot);
        let (sender, receiver) = match side {
            Side::Client => {
                let [client, server] = &mut hot.half;
                (client, server)
            }
            Side::Server => {
                let [client, server] = &mut hot.half;
                (server, client)
            }
        };
        let (timed, in_use) = (packet.has_timestamps, hot.flags.any(FlowFlags::TIMESTAMPS));
        let end = packet.seq + packet.payload_len;
        if !hot.flags.any(FlowFlags::FAST)
            || packet.tcp_flags & CONTROL != TcpFlags::ACK
            || packet.seq != receiver.rcv_nxt
            || end.gt(receiver.edge)
            || packet.ack.offset_from(sender.ack) > sender.rcv_nxt.offset_from(sender.ack)
            || receiver.flags.any(HalfFlags::BUFFERED)
            || packet.payload_len != packet.payload_captured
            || (timed
                && !(in_use
                    && receiver.slow.any(SlowFlags::TS_RECENT)
                    && SeqNum(packet.ts_val).ge(SeqNum(receiver.ts_recent))))
            || packet.signed
            || (packet.seq.0 ^ end.0) >> SYNC_BITS != 0
        {
            return false;
        }
        sender.ack = packet.ack;
        sender.edge = sender.edge.max(packet.ack + (u32::from(packet.window) << sender.window_shift));
        hot.last_seen = self.tick as u32;
        if hot.wanted.any(Wanted::of(SND_PKT_IN)) {
            let sent = (packet.seq, packet.payload_len);
            self.edits = Edits { fresh: self.is_fresh(slot, side, sent, packet.seq), sent, ..Edits::default() };
            match self.send(slot, side, index, SND_PKT_IN, burst, observer) {
                Fate::Kept => {}
                Fate::Dropped => return true,
                Fate::Edited => {
                    self.receive_edited(slot, side, index, burst, observer);
                    return true;
                }
            }
        }
        let packet = &self.packets[index];
        let hot = self.flows.hot_mut(slot);
        let receiver = &mut hot.half[side.other() as usize];
        if timed && receiver.ack == packet.seq {
            receiver.ts_recent = packet.ts_val;
        }
        receiver.rcv_nxt = end;
        let wanted = hot.wanted;
        let (len, base, payload) = (packet.payload_len, packet.seq, packet.payload);
        if len > 0 && wanted.any(Wanted::buffer(side.other())) {
            let source = self.source(index, usize::from(payload), burst);
            self.push(slot, side.other(), base, source, u64::from(len));
        }
        if wanted.any(Wanted::RTT) {
            self.measure_short(slot, side, index, burst);
        }
        let mut wanted = wanted;
        if wanted.any(Wanted::of(RCV_PKT_IN)) {
            self.raise(slot, side.other(), Some(index), Hook::Rcv, RCV_PKT_IN, burst, observer);
            // The callbacks may have asked for more.
            wanted = self.flows.hot(slot).wanted;
        }
        if wanted.any(Wanted::IMMEDIATE) {
            self.deliver_at_once(slot, index, burst, observer);
        }
        true
    }

    /// A packet that was edited on the short way goes on on the long one.
    #[inline(never)]
    fn receive_edited<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let (hot, cold) = self.flows.parts(slot);
        Flow { hot, cold }.reconcile();
        if self.edits.in_step {
            self.record_edit(slot, side, index, None, burst);
        }
        let segment = Segment::new(&self.packets[index], self.frame(index, burst));
        self.receive(slot, side.other(), &segment, index, Interest::NONE, burst, observer);
    }

    /// Round-trip times of a packet on the short way.
    #[cold]
    fn measure_short(&mut self, slot: u32, side: Side, index: usize, burst: &Burst<'_>) {
        let segment = Segment::new(&self.packets[index], self.frame(index, burst));
        self.measure(slot, side, &segment, false);
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
        let mut segment = Segment::new(&self.packets[index], self.frame(index, burst));
        let tick = self.tick as u32;
        let (hot, cold) = self.flows.parts(slot);
        hot.last_seen = tick;
        cold.last_receiver = side.other();
        let mut flow = Flow { hot, cold };
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
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        let before = (flow.cold(side).snd_max, flow.cold(side).data_max);
        let sent = sender::update(&mut flow, side, &segment);
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
        if self.flows.hot(slot).flags.any(FlowFlags::HALF_OPEN) {
            self.time_handshake(slot, side, &segment);
        }
        let numbers = self.as_sent(slot, &segment);
        let fresh = segment.seq.ge(before.0) && self.is_fresh(slot, side, numbers, segment.seq);
        self.edits = Edits { fresh, sent: numbers, ..Edits::default() };
        let events = SND_PKT_IN.or(sent.events).or(if beginning { BEGINNING[0] } else { Interest::NONE });
        match self.send(slot, side, index, events, burst, observer) {
            Fate::Kept => {}
            Fate::Edited => {
                if self.edits.in_step {
                    self.record_edit(slot, side, index, Some(before), burst);
                }
                segment = Segment::new(&self.packets[index], self.frame(index, burst));
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
        }
        self.depart(slot, side, index, burst);
        let extra = if beginning { BEGINNING[1] } else { Interest::NONE };
        self.receive(slot, side.other(), &segment, index, extra, burst, observer);
    }

    /// The SND hook. An edited packet is decoded anew.
    fn send<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        events: Interest,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> Fate {
        if !self.flows.hot(slot).wanted.any(Wanted::of(events)) {
            return Fate::Kept;
        }
        self.dropped = false;
        let mut cx = FlowCx { stack: self, burst: burst.reborrow(), slot, index: Some(index) };
        observer.on_events(&mut cx, Hook::Snd, side, events);
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
    fn receive<O: Observer>(
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
        if self.flows.hot(slot).wanted.any(Wanted::of(events)) {
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
