//! From the stack's events to the monitors' callbacks.

use mos_core::event::{Attachment, EndReason, ErrorReason, Event, Hook, Interest, Observer, Reading, Side};
use mos_core::stack::{CoreCx, FlowCx, PacketCx, PacketView};
use mos_core::time::Timestamp;

use crate::context::CoreTimerCx;
use crate::control::Control;
use crate::monitor::StreamMonitor;
use crate::monitors::{Monitors, Streams};
use crate::program::Walk;
use crate::raw::AnyRaw;
use crate::sets::{MAX_SETS, Member, Seat};
use crate::timer::{Armed, Clock};

/// What is told to the monitors of a flow.
#[derive(Clone, Copy)]
struct Telling {
    hook: Hook,
    side: Side,
}

impl Telling {
    /// Something of no packet that goes one way.
    fn of(side: Side) -> Self {
        Self { hook: Hook::Null, side }
    }

    /// Where on the wire it goes: that is the order of the monitors.
    #[inline]
    fn towards(self) -> Side {
        if self.hook == Hook::Snd { self.side.other() } else { self.side }
    }

    /// The turn of `member`.
    #[inline]
    fn note(self, control: &mut Control, member: Member) {
        let told = &mut control.told;
        (told.member, told.hook, told.side) = (member, self.hook, self.side);
    }

    /// The turn of the monitor on `seat`, of which nothing is timed: its handlers are called, as far as none of them asks for
    /// anything. False if one has: then `walk`, which is at its beginning here, has come to where it goes on.
    ///
    /// The usual program has one handler and nothing else for each pair: such handlers are called from here.
    #[inline(always)]
    fn call(
        self,
        cx: &mut FlowCx<'_>,
        streams: &mut Streams,
        control: &mut Control,
        seat: &Seat,
        walk: &mut Walk,
    ) -> bool {
        let Some(open) = &mut streams[usize::from(seat.member.index)] else { return true };
        self.note(control, seat.member);
        loop {
            let mut rest = walk.events;
            let Some(pair) = rest.pop_pair() else { return true };
            let Some(only) = seat.table.program.only(pair) else {
                return self.walk(cx, streams, control, seat, walk);
            };
            *walk = Walk::new(rest);
            control.told.event = only.event.into();
            let slot = cx.slot();
            let called = control.catch(|control| open.monitor.call(only.handler as usize, slot, cx, control));
            if called.is_none() {
                *walk = panicked(cx, control);
                return false;
            }
            if !control.is_idle() {
                return false;
            }
            if rest.is_empty() {
                return true;
            }
        }
    }

    /// The same for any program, from any place on, and timed if need be.
    #[inline(always)]
    fn walk(
        self,
        cx: &mut FlowCx<'_>,
        streams: &mut Streams,
        control: &mut Control,
        seat: &Seat,
        walk: &mut Walk,
    ) -> bool {
        let Some(open) = &mut streams[usize::from(seat.member.index)] else { return true };
        self.note(control, seat.member);
        let from = *walk;
        let to = control.catch(|control| open.monitor.tell(cx, control, &seat.table.program, from));
        *walk = to.unwrap_or_else(|| panicked(cx, control));
        control.is_idle()
    }
}

/// A callback has: its monitor leaves the flow, and hears no more of what is being told.
#[cold]
#[inline(never)]
fn panicked(cx: &FlowCx<'_>, control: &mut Control) -> Walk {
    control.leave(control.told.member, cx.flow());
    Walk::DONE
}

impl Monitors {
    /// What the flow is told is not what its monitors want any more: one was closed.
    #[cold]
    fn set_again(&mut self, cx: &mut FlowCx<'_>) {
        let number = cx.table();
        let attachment = self.sets.attachment(number);
        let flow = cx.flow();
        cx.attachments().set(flow, attachment);
        if attachment == Attachment::BYPASS {
            self.sets.release(number);
        }
    }

    /// Tells each monitor of the flow what it wants to hear: events of one hook. A flow with one monitor, the usual case, is not
    /// looped over.
    #[inline(always)]
    fn tell(&mut self, cx: &mut FlowCx<'_>, telling: Telling, wants: impl Fn(&FlowCx<'_>, &Seat) -> Interest) {
        let Self { sets, streams, control, .. } = self;
        let set = sets.get(cx.table()).filter(|set| set.wanted == cx.wanted());
        let Some(seat) = set.and_then(|set| set.only.as_ref()) else { return self.tell_all(cx, telling, wants) };
        let mut walk = Walk::new(wants(cx, seat));
        if walk.events.is_empty() || telling.call(cx, streams, control, seat, &mut walk) {
            return;
        }
        let asked = Some((seat.clone(), walk));
        self.tell_on(asked, cx, telling, wants);
    }

    /// The same for any flow.
    #[inline(never)]
    fn tell_all(&mut self, cx: &mut FlowCx<'_>, telling: Telling, wants: impl Fn(&FlowCx<'_>, &Seat) -> Interest) {
        let Self { sets, streams, control, .. } = self;
        let Some(set) = sets.get(cx.table()).filter(|set| set.wanted == cx.wanted()) else {
            self.set_again(cx);
            return self.tell_on(None, cx, telling, wants);
        };
        let timed = control.guard.is_timing();
        let asked = set.all(telling.towards()).iter().find_map(|seat| {
            let mut walk = Walk::new(wants(cx, seat));
            let is_quiet = walk.events.is_empty()
                || match timed {
                    false => telling.call(cx, streams, control, seat, &mut walk),
                    true => telling.walk(cx, streams, control, seat, &mut walk),
                };
            if is_quiet { None } else { Some((seat.clone(), walk)) }
        });
        if asked.is_some() {
            self.tell_on(asked, cx, telling, wants);
        }
    }

    /// The same, from the place on where a callback of a monitor has asked for something: that may change everything, but for
    /// the table that is walked.
    #[cold]
    #[inline(never)]
    fn tell_on(
        &mut self,
        mut asked: Option<(Seat, Walk)>,
        cx: &mut FlowCx<'_>,
        telling: Telling,
        wants: impl Fn(&FlowCx<'_>, &Seat) -> Interest,
    ) {
        let mut last = None;
        loop {
            // What was asked for is done before the next callback.
            if !self.control.is_idle() {
                self.apply(&mut cx.attachments());
            }
            let set = self.sets.get(cx.table());
            let next = || {
                let seat = set?.seats(telling.towards(), last).next()?;
                Some((seat.clone(), Walk::new(wants(cx, seat))))
            };
            let Some((seat, mut walk)) = asked.take().or_else(next) else { return };
            last = Some(seat.member);
            if self.sets.has(cx.table(), seat.member)
                && !telling.walk(cx, &mut self.streams, &mut self.control, &seat, &mut walk)
            {
                asked = Some((seat, walk));
            }
        }
    }

    /// Tells the only monitor of a flow what a side has received by the end of the burst, if it has one handler for that and
    /// nothing else: the usual case. What comes next is like that, too, most often: the monitor goes on with it. False: this is
    /// another case, and nothing has been told.
    #[inline(always)]
    fn tell_reader(&mut self, cx: &mut FlowCx<'_>, side: Side) -> bool {
        let Self { sets, streams, control, .. } = self;
        let set = sets.get(cx.table()).filter(|set| set.wanted == cx.wanted());
        let Some(seat) = set.and_then(|set| set.only.as_ref()) else { return false };
        let Some(open) = &mut streams[usize::from(seat.member.index)] else { return false };
        let Some(handler) = seat.table.reader else { return false };
        Telling::of(side).note(control, seat.member);
        control.told.event = Event::NewData.into();
        if control.catch(|control| open.monitor.read(cx, control, handler)).is_none() {
            control.leave(control.told.member, cx.flow());
        }
        if !control.is_idle() {
            self.apply(&mut cx.attachments());
        }
        true
    }

    /// Tells one monitor of a flow something else than an event of a table; then does what it asks for.
    fn call(
        &mut self,
        member: Member,
        cx: &mut FlowCx<'_>,
        telling: Telling,
        event: Event,
        call: impl FnOnce(&mut dyn StreamMonitor, &mut FlowCx<'_>, &mut Control),
    ) {
        let Some(open) = &mut self.streams[usize::from(member.index)] else { return };
        telling.note(&mut self.control, member);
        self.control.told.event = event.into();
        call(&mut *open.monitor, cx, &mut self.control);
        if !self.control.is_idle() {
            self.apply(&mut cx.attachments());
        }
    }

    /// The flow is over: its monitors are told, if they want to be, and let go of it.
    #[inline(never)]
    fn end_each(&mut self, cx: &mut FlowCx<'_>, reason: EndReason) {
        let flow = cx.flow();
        let mut last = None;
        // Asked anew after each call, which may have changed the set: by taking monitors out, never by adding one.
        while let Some(seat) = self.sets.get(cx.table()).and_then(|set| set.seats(Side::Server, last).next()) {
            let (member, wants_end) = (seat.member, seat.table.interest.any(Interest::END));
            if wants_end {
                self.call(member, cx, Telling::of(Side::Server), Event::ConnEnd, |monitor, cx, control| {
                    monitor.end(cx, control, reason);
                });
            }
            self.detach(member, flow);
            last = Some(member);
        }
    }

    /// A timer has fired.
    fn fire(&mut self, armed: &Armed, cx: &mut CoreCx<'_>) {
        let member = armed.member;
        match armed.flow {
            Some(flow) => {
                let Some(mut cx) = cx.flow(flow) else { return };
                if self.sets.has(cx.table(), member) {
                    self.call(member, &mut cx, Telling::of(Side::Client), Event::PktIn, |monitor, cx, control| {
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

/// The pair of ERROR.
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
    fn on_events(&mut self, cx: &mut FlowCx<'_>, hook: Hook, side: Side, events: Interest) {
        self.tell(cx, Telling { hook, side }, |_, seat| seat.table.heard(side, events));
    }

    fn on_error(&mut self, cx: &mut FlowCx<'_>, side: Side, reason: ErrorReason, readers: u16) {
        self.control.told.reason = Some(reason);
        self.tell(cx, Telling::of(side), |_, seat| {
            let concerned = !seat.table.reads(side) || readers & 1 << seat.member.index != 0;
            if concerned { seat.table.heard(side, ERROR) } else { Interest::NONE }
        });
        self.control.told.reason = None;
    }

    #[inline(always)]
    fn on_new_data(&mut self, cx: &mut FlowCx<'_>, side: Side, immediate: bool) {
        if !immediate {
            if !self.tell_reader(cx, side) {
                self.tell(cx, Telling::of(side), |_, seat| seat.table.news(side, false));
            }
            return;
        }
        self.tell(cx, Telling::of(side), |cx, seat| {
            // Who hears at once has heard all that it has taken, whoever has joined since.
            let is_new = cx.unread_len(side, seat.member.index) > 0;
            if is_new { seat.table.news(side, true) } else { Interest::NONE }
        });
    }

    fn on_end(&mut self, cx: &mut FlowCx<'_>, reason: EndReason) {
        let only = self.sets.get(cx.table()).and_then(|set| set.only.as_ref());
        match only {
            Some(seat) if !seat.table.interest.any(Interest::END) => self.detach(seat.member, cx.flow()),
            _ => self.end_each(cx, reason),
        }
        self.sets.release(cx.table());
    }

    fn on_wakeup(&mut self, cx: &mut CoreCx<'_>, until: Timestamp) {
        self.fire_timers(cx, Clock::Frames, cx.now(), until);
    }

    #[inline]
    fn reading(&self, table: u16, side: Side) -> Reading {
        self.sets.reading(table, side)
    }
}
