//! From the stack's events to the monitors' callbacks.

use mos_core::event::{Attachment, EndReason, ErrorReason, Event, Hook, Interest, Observer, Reading, Side};
use mos_core::stack::{CoreCx, FlowCx, PacketCx, PacketView};
use mos_core::time::Timestamp;

use crate::calls::{Call, Called, Occasion, Told};
use crate::context::CoreTimerCx;
use crate::control::Control;
use crate::monitor::StreamMonitor;
use crate::monitors::Monitors;
use crate::program::{Node, Place};
use crate::raw::AnyRaw;
use crate::sets::{MAX_SETS, Member, Seat, Set};
use crate::timer::{Armed, Clock};

/// A callback has: its monitor leaves the flow, and hears no more of what is being told.
#[cold]
#[inline(never)]
fn panicked(cx: &FlowCx<'_>, control: &mut Control) {
    control.leave(control.told.member, cx.flow());
}

/// What is still to be told to the monitor on a seat.
#[derive(Debug)]
struct Rest {
    seat: Seat,
    events: Interest,
    /// How far the first of them has been told.
    place: Place,
}

impl Monitors {
    /// The flow's line may say what its monitors wanted once, before one of them was closed. Returns whether that was so.
    #[cold]
    #[inline(never)]
    fn look_again(&mut self, cx: &mut FlowCx<'_>) -> bool {
        if self.sets.get(cx.table()).is_some_and(|set| set.wanted == cx.wanted()) {
            return false;
        }
        let number = cx.table();
        let attachment = self.sets.attachment(number);
        let flow = cx.flow();
        cx.attachments().set(flow, attachment);
        if attachment == Attachment::BYPASS {
            self.sets.release(number);
        }
        true
    }

    /// Tells each monitor of the flow what it wants to hear of `events`, if it is one of those whom they concern. Returns whether
    /// one of them has asked for something.
    #[inline(always)]
    fn tell(
        &mut self,
        cx: &mut FlowCx<'_>,
        occasion: Occasion,
        side: Side,
        events: Interest,
        concerns: impl Fn(&FlowCx<'_>, &Set, Member) -> bool,
    ) -> bool {
        let Self { sets, streams, control, .. } = self;
        let Some(set) = sets.get(cx.table()) else { return self.look_again(cx) };
        let mut calls = set.calls.of(occasion, side).iter();
        let concerned = |call: &&Call| call.pair.any(events) && concerns(cx, set, call.told.member);
        let Some(mut call) = calls.find(concerned) else { return self.look_again(cx) };
        loop {
            // It is there: a set has none that was closed.
            let Some(open) = &mut streams[usize::from(call.told.member.index)] else { return false };
            control.told = call.told;
            let to = match &call.called {
                &Called::Handler(handler) => {
                    let slot = cx.slot();
                    let called = control.catch(|control| open.monitor.call(handler as usize, slot, cx, control));
                    called.map(|()| Place::new(1, false))
                }
                Called::Nodes(nodes) => control.catch(|control| open.monitor.tell(cx, control, nodes, 0)),
            };
            if to.is_none() || !control.is_idle() {
                let from = (calls.len(), to);
                self.tell_on(from, cx, occasion, side, events, concerns);
                return true;
            }
            let Some(next) = calls.find(|call| call.pair.any(events) && concerns(cx, set, call.told.member)) else {
                return false;
            };
            call = next;
        }
    }

    /// The same, from the place on where a callback of a monitor has asked for something: that may change everything, but for
    /// the table that is walked. `from`: so many calls were behind that, and its walk has come to here, if it did not panic.
    #[cold]
    #[inline(never)]
    fn tell_on(
        &mut self,
        from: (usize, Option<Place>),
        cx: &mut FlowCx<'_>,
        occasion: Occasion,
        side: Side,
        events: Interest,
        concerns: impl Fn(&FlowCx<'_>, &Set, Member) -> bool,
    ) {
        let (behind, to) = from;
        let mut last = Some(self.control.told.member);
        let mut asked = self.sets.get(cx.table()).and_then(|set| {
            let calls = set.calls.of(occasion, side);
            let (told, behind) = calls.split_at(calls.len() - behind);
            let call = told.last()?;
            let Some(place) = to else {
                panicked(cx, &mut self.control);
                return None;
            };
            let events = call.pair.or(call.rest(behind).and(events));
            Some(Rest { seat: set.seat(call.told.member)?.clone(), events, place })
        });
        loop {
            // What was asked for is done before the next callback.
            if !self.control.is_idle() {
                self.apply(&mut cx.attachments());
            }
            let Self { sets, streams, control, .. } = self;
            let next = || {
                let set = sets.get(cx.table())?;
                let seat = set.next(occasion.towards(side), last)?;
                let is_told = concerns(cx, set, seat.member);
                let events = if is_told { seat.table.told(occasion, side).and(events) } else { Interest::NONE };
                Some(Rest { seat: seat.clone(), events, place: Place::new(0, false) })
            };
            let Some(mut rest) = asked.take().or_else(next) else { return };
            let (member, events) = (rest.seat.member, rest.events);
            last = Some(member);
            let Some(pair) = rest.events.pop_pair().filter(|_| sets.has(cx.table(), member)) else { continue };
            let Some(open) = &mut streams[usize::from(member.index)] else { continue };
            let monitor = &mut open.monitor;
            control.told = Told { member, side, hook: occasion.hook(), ..control.told };
            let nodes = rest.seat.table.program.nodes(pair);
            let at = rest.place.at();
            let to = if rest.place.happens() {
                let Node { event, handler, .. } = nodes[at];
                let slot = cx.slot();
                control.told.event = event;
                let called = control.run(|control| monitor.call(handler as usize, slot, cx, control));
                called.map(|()| Place::new(at + 1, false))
            } else {
                control.catch(|control| monitor.tell(cx, control, nodes, at))
            };
            asked = match to {
                Some(place) if place.at() >= nodes.len() => Some(Rest { place: Place::new(0, false), ..rest }),
                Some(place) => Some(Rest { events, place, ..rest }),
                None => {
                    panicked(cx, control);
                    None
                }
            };
        }
    }

    /// Tells the only monitor of a flow what a side has received by the end of the burst, if it has one handler for that and
    /// nothing else: the usual case. What comes next is like that, too, most often: the monitor goes on with it. False: this is
    /// another case, and nothing has been told.
    #[inline(always)]
    fn tell_reader(&mut self, cx: &mut FlowCx<'_>, side: Side) -> bool {
        let Self { sets, streams, control, .. } = self;
        let set = sets.get(cx.table()).filter(|set| set.wanted == cx.wanted());
        let Some((member, handler)) = set.and_then(|set| set.reader) else { return false };
        let Some(open) = &mut streams[usize::from(member.index)] else { return false };
        control.told = Told { event: Event::NewData.into(), member, side, hook: Hook::Null };
        if control.catch(|control| open.monitor.read(cx, control, handler)).is_none() {
            control.leave(control.told.member, cx.flow());
        }
        if !control.is_idle() {
            self.apply(&mut cx.attachments());
        }
        true
    }

    /// The same for any number of monitors.
    #[inline(never)]
    fn tell_readers(&mut self, cx: &mut FlowCx<'_>, side: Side) {
        // If those who have read are gone, their buffers go, too.
        self.look_again(cx);
        self.tell(cx, Occasion::Data, side, NEW_DATA, |_, _, _| true);
    }

    /// Tells one monitor of a flow something else than an event of a table; then does what it asks for.
    fn call(
        &mut self,
        member: Member,
        cx: &mut FlowCx<'_>,
        side: Side,
        event: Event,
        call: impl FnOnce(&mut dyn StreamMonitor, &mut FlowCx<'_>, &mut Control),
    ) {
        let Some(open) = &mut self.streams[usize::from(member.index)] else { return };
        self.control.told = Told { event: event.into(), member, side, hook: Hook::Null };
        call(&mut *open.monitor, cx, &mut self.control);
        if !self.control.is_idle() {
            self.apply(&mut cx.attachments());
        }
    }

    /// The flow is over: its monitors are told, if they want to be, and let go of it.
    #[inline(never)]
    fn end_each(&mut self, cx: &mut FlowCx<'_>, reason: EndReason) {
        let mut last = None;
        // Asked anew after each call, which may have changed the set: by taking monitors out, never by adding one.
        while let Some(seat) = self.sets.get(cx.table()).and_then(|set| set.next(Side::Server, last)) {
            let (member, wants_end) = (seat.member, seat.table.interest.any(Interest::END));
            if wants_end {
                self.call(member, cx, Side::Server, Event::ConnEnd, |monitor, cx, control| {
                    monitor.end(cx, control, reason);
                });
            }
            self.detach(member, cx);
            last = Some(member);
        }
        self.sets.release(cx.table());
    }

    /// A timer has fired.
    fn fire(&mut self, armed: &Armed, cx: &mut CoreCx<'_>) {
        let member = armed.member;
        match armed.flow {
            Some(flow) => {
                let Some(mut cx) = cx.flow(flow) else { return };
                if self.sets.has(cx.table(), member) {
                    self.call(member, &mut cx, Side::Client, Event::PktIn, |monitor, cx, control| {
                        monitor.timer(cx, control, armed);
                    });
                }
            }
            None if member == Member::CORE => self.fire_core(armed, cx),
            None => {
                self.control.now = cx.now();
                let Some(open) =
                    self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)
                else {
                    return;
                };
                if self.control.run(|control| open.monitor.core_timer(armed, cx.reborrow(), control)).is_none() {
                    self.control.timers.cancel(&mut self.control.sockets, member, armed.id);
                }
                self.apply(&mut cx.attachments());
            }
        }
    }

    /// Shows a packet to those monitors of packets that want it, in order of creation.
    #[inline(always)]
    fn tell_raws(
        &mut self,
        cx: &mut PacketCx<'_>,
        wants: impl Fn(&dyn AnyRaw, &PacketView<'_>) -> bool,
        tell: impl Fn(&mut dyn AnyRaw, u32, PacketCx<'_>, &mut Control),
    ) {
        let mut next = 0;
        let last = self.raws.last().map_or(0, |(order, _)| *order);
        while let Some((order, monitor)) = self.raws.get_mut(next).filter(|(order, _)| *order <= last) {
            let order = *order;
            next += 1;
            if !wants(&**monitor, &cx.packet()) {
                continue;
            }
            self.control.run(|control| tell(&mut **monitor, order, cx.reborrow(), control));
            if !self.control.is_idle() {
                self.apply(&mut cx.attachments());
                next = self.raws.partition_point(|(other, _)| *other <= order);
            }
        }
    }

    /// A timer of the core itself.
    fn fire_core(&mut self, armed: &Armed, cx: &mut CoreCx<'_>) {
        let Self { control, .. } = self;
        control.now = cx.now();
        let Some(mut callback) = control.core_timers.remove(&armed.id) else { return };
        let called = control.run(|control| callback(&mut CoreTimerCx::new(&mut (), control, cx.reborrow(), armed)));
        if called.is_none() {
            control.cancel(armed.id);
        } else if control.timers.has(armed.id) {
            control.core_timers.insert(armed.id, callback);
        }
        self.apply(&mut cx.attachments());
    }

    /// Those of the `choosy` monitors that want a flow with this first packet, by the bits of their indices. `None`: one of them has
    /// refused it for all.
    #[cold]
    fn choose(&mut self, choosy: u16, cx: &PacketCx<'_>) -> Option<u16> {
        let mut monitors = 0;
        for member in self.creation.iter().filter(|member| choosy & 1 << member.index != 0) {
            let Some(open) = &mut self.streams[usize::from(member.index)] else { continue };
            let monitor = &mut open.monitor;
            if monitor.can_refuse() && self.control.run(|_| monitor.refuses(&cx.packet())) == Some(true) {
                return None;
            }
            if !monitor.can_accept() || self.control.run(|_| monitor.accepts(&cx.packet())) == Some(true) {
                monitors |= 1 << member.index;
            }
        }
        Some(monitors)
    }

    /// Time has come to `now`, by a clock, and is about to move on to `until`.
    pub(crate) fn fire_timers(&mut self, cx: &mut CoreCx<'_>, clock: Clock, now: Timestamp, until: Timestamp) {
        self.control.timers.set_now(clock, until);
        while let Some(armed) = self.control.timers.pop(&mut self.control.sockets, clock, now, until) {
            self.fire(&armed, cx);
        }
        self.control.timers.changed = false;
        cx.attachments().wake_at(self.control.timers.next_due());
    }
}

/// The pair of NEW_DATA ...
const NEW_DATA: Interest = Interest::of(Hook::Null, Event::NewData);

/// ... and that of ERROR.
const ERROR: Interest = Interest::of(Hook::Null, Event::Error);

impl Observer for Monitors {
    #[inline]
    fn wants_packets(&self) -> bool {
        !self.raws.is_empty()
    }

    #[inline]
    fn wants_flows(&self) -> bool {
        !self.creation.is_empty()
    }

    fn on_packet(&mut self, cx: &mut PacketCx<'_>) {
        self.control.now = cx.now();
        self.tell_raws(cx, |raw, packet| raw.wants(packet), |raw, order, cx, control| raw.packet(order, cx, control));
    }

    fn on_open(&mut self, cx: &mut PacketCx<'_>) -> Option<Attachment> {
        let family = usize::from(cx.is_ipv6());
        let mut monitors = self.always[family];
        if self.choosy[family] != 0 {
            monitors |= self.choose(self.choosy[family], cx)?;
        }
        if monitors == 0 {
            return None;
        }
        let attachment = self.begin(monitors);
        if attachment.is_none() {
            // Whoever sends the SYNs may choose the sets: it must not fill the log.
            if self.unmonitored == 0 {
                log::warn!(
                    "{MAX_SETS} different sets of handlers are in use: flows that need another are not monitored"
                );
            }
            self.unmonitored += 1;
        }
        attachment
    }

    fn on_attach(&mut self, cx: &mut FlowCx<'_>) {
        let Self { sets, streams, control, .. } = self;
        let Some(set) = sets.get(cx.table()) else { return };
        for Seat { member, .. } in &set.seats {
            if let Some(open) = &mut streams[usize::from(member.index)]
                && control.catch(|_| open.monitor.attach(cx.slot())).is_none()
            {
                control.leave(*member, cx.flow());
            }
        }
        if !control.is_idle() {
            self.apply(&mut cx.attachments());
        }
    }

    fn on_orphan(&mut self, cx: &mut PacketCx<'_>) {
        self.control.now = cx.now();
        for member in self.creation.clone() {
            let Some(open) = self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)
            else {
                continue;
            };
            if open.monitor.wants_orphan(&cx.packet()) {
                self.control.run(|control| open.monitor.orphan(member, cx.reborrow(), control));
                if !self.control.is_idle() {
                    self.apply(&mut cx.attachments());
                }
            }
        }
        self.tell_raws(
            cx,
            |raw, packet| raw.wants_orphan(packet),
            |raw, order, cx, control| {
                raw.orphan(order, cx, control);
            },
        );
    }

    fn on_unseen(&mut self, cx: &mut PacketCx<'_>) {
        self.control.now = cx.now();
        for member in self.creation.clone() {
            let Some(open) = self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)
            else {
                continue;
            };
            if open.monitor.wants_unseen() {
                self.control.run(|control| open.monitor.unseen(cx.reborrow(), control));
            }
            if !self.control.is_idle() {
                self.apply(&mut cx.attachments());
            }
        }
    }

    #[inline(always)]
    fn on_events(&mut self, cx: &mut FlowCx<'_>, hook: Hook, side: Side, events: Interest) -> bool {
        let occasion = if hook == Hook::Snd { Occasion::Snd } else { Occasion::Rcv };
        self.tell(cx, occasion, side, events, |_, _, _| true)
    }

    fn on_error(&mut self, cx: &mut FlowCx<'_>, side: Side, reason: ErrorReason, readers: u16) {
        self.control.reason = Some(reason);
        self.tell(cx, Occasion::Error, side, ERROR, |_, set, member| {
            (readers | !set.reading[side as usize].readers) & 1 << member.index != 0
        });
        self.control.reason = None;
    }

    #[inline(always)]
    fn on_new_data(&mut self, cx: &mut FlowCx<'_>, side: Side, immediate: bool) {
        if !immediate {
            if !self.tell_reader(cx, side) {
                self.tell_readers(cx, side);
            }
            return;
        }
        // Who hears at once has heard all that it has taken, whoever has joined since.
        self.tell(cx, Occasion::DataAtOnce, side, NEW_DATA, |cx, _, member| cx.unread_len(side, member.index) > 0);
    }

    fn on_end(&mut self, cx: &mut FlowCx<'_>, reason: EndReason) {
        let table = cx.table();
        match self.sets.get(table).map(|set| &*set.seats) {
            Some([seat]) if !seat.table.interest.any(Interest::END) => {
                self.detach(seat.member, cx);
                self.sets.release(table);
            }
            _ => self.end_each(cx, reason),
        }
    }

    fn on_wakeup(&mut self, cx: &mut CoreCx<'_>, until: Timestamp) {
        self.fire_timers(cx, Clock::Frames, cx.now(), until);
    }

    #[inline]
    fn reading(&self, table: u16, side: Side) -> Reading {
        self.sets.reading(table, side)
    }
}
