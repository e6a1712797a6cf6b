//! From the stack's events to the monitors' callbacks.

use mos_core::event::{Attachment, EndReason, ErrorReason, Event, Hook, Interest, Observer, Reading, Side};
use mos_core::stack::{CoreCx, FlowCx, PacketCx};
use mos_core::time::Timestamp;
use smallvec::SmallVec;

use crate::control::MAX_MONITORS;
use crate::event::{EventId, UserEvent};
use crate::monitor::{Call, StreamMonitor};
use crate::monitors::Monitors;
use crate::program::{Gate, Raised};
use crate::sets::{MAX_SETS, Member, Seat};
use crate::timer::{Armed, Clock};

/// What is told to the monitors of a flow.
#[derive(Clone, Copy)]
struct Telling {
    hook: Hook,
    side: Side,
    /// Of an ERROR.
    reason: Option<ErrorReason>,
}

impl Monitors {
    /// Brings what the flow is told up to date if a monitor was closed.
    #[inline]
    fn refresh(&mut self, cx: &mut FlowCx<'_>) {
        let number = cx.table();
        if self.sets.get(number).is_none_or(|set| set.wanted != cx.wanted()) {
            self.set_again(number, cx);
        }
    }

    #[cold]
    fn set_again(&mut self, number: u16, cx: &mut FlowCx<'_>) {
        let attachment = self.sets.attachment(number);
        let flow = cx.flow();
        cx.attachments().set(flow, attachment);
        if attachment == Attachment::BYPASS {
            self.sets.release(number);
        }
    }

    /// The monitor of the flow that comes after `last`, in the order in which they stand on the wire for what comes
    /// towards `side`, and whether it is the last one. Asked anew after each call, which may have changed the set: by
    /// taking monitors out, never by adding one.
    #[inline]
    fn next(&self, cx: &FlowCx<'_>, towards: Side, last: Option<u64>) -> Option<(Seat, bool)> {
        let seats = &*self.sets.get(cx.table())?.seats;
        if towards == Side::Server {
            let index = seats.iter().position(|seat| last.is_none_or(|last| seat.member.order > last))?;
            Some((seats[index].clone(), index + 1 == seats.len()))
        } else {
            let index = seats.iter().rposition(|seat| last.is_none_or(|last| seat.member.order < last))?;
            Some((seats[index].clone(), index == 0))
        }
    }

    /// Calls `each` with the monitors of the flow, in the order in which they stand on the wire for what comes towards
    /// `side`.
    #[inline]
    fn for_each(
        &mut self,
        cx: &mut FlowCx<'_>,
        towards: Side,
        mut each: impl FnMut(&mut Self, &mut FlowCx<'_>, &Seat),
    ) {
        if let Some(set) = self.sets.get(cx.table())
            && let [only] = &*set.seats
        {
            let seat = only.clone();
            return each(self, cx, &seat);
        }
        let mut last = None;
        while let Some((seat, is_last)) = self.next(cx, towards, last) {
            each(self, cx, &seat);
            if is_last {
                break;
            }
            last = Some(seat.member.order);
        }
    }

    /// Runs a callback of a monitor, and does what it asks for. `None` if it panicked, or if the flow is none of that monitor's
    /// any more.
    #[inline]
    fn call<R>(
        &mut self,
        member: Member,
        cx: &mut FlowCx<'_>,
        telling: Telling,
        event: EventId,
        call: impl FnOnce(&mut dyn StreamMonitor, Call<'_, '_>) -> R,
    ) -> Option<R> {
        let open = self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)?;
        let Telling { hook, side, .. } = telling;
        let control = &mut self.control;
        control.now = cx.now();
        let monitor = &mut *open.monitor;
        let result = self.guard.run(|| call(monitor, Call { cx, control, member, side, hook, event }));
        if result.is_none() {
            self.control.leave(member, cx.flow(), &mut None);
        }
        if self.control.is_idle() {
            return result;
        }
        self.apply(&mut cx.attachments());
        result.filter(|_| self.open_monitor(member).is_some() && self.has_flow(member, cx))
    }

    /// `event` and what is defined below it, for one monitor. False if the flow is none of that monitor's any more.
    #[inline]
    fn tell(&mut self, seat: &Seat, cx: &mut FlowCx<'_>, telling: Telling, event: Event) -> bool {
        match seat.table.program(telling.hook).only(event) {
            Some(handler) => self.handle(seat.member, cx, telling, event.into(), handler),
            None => self.walk(seat, cx, telling, event),
        }
    }

    #[inline]
    fn handle(&mut self, member: Member, cx: &mut FlowCx<'_>, telling: Telling, event: EventId, handler: u32) -> bool {
        self.call(member, cx, telling, event, |monitor, call| monitor.call(handler, call, telling.reason)).is_some()
    }

    fn walk(&mut self, seat: &Seat, cx: &mut FlowCx<'_>, telling: Telling, event: Event) -> bool {
        let program = seat.table.program(telling.hook);
        let Some(range) = program.root(event) else { return true };
        let mut raised = Raised::new();
        let mut at = range.start;
        while at < range.end {
            let node = program.node(at);
            let happens = match node.gate {
                Gate::Open => true,
                Gate::Raised(event) => raised.contains(&event),
                Gate::Filter(event) => match self.ask(seat.member, cx, telling, event, &mut raised) {
                    Some(happens) => happens,
                    None => return false,
                },
            };
            if !happens {
                at = node.skip as usize;
                continue;
            }
            if let Some(handler) = node.handler
                && !self.handle(seat.member, cx, telling, node.event, handler)
            {
                return false;
            }
            at += 1;
        }
        true
    }

    fn ask(
        &mut self,
        member: Member,
        cx: &mut FlowCx<'_>,
        telling: Telling,
        event: UserEvent,
        raised: &mut Raised,
    ) -> Option<bool> {
        self.call(member, cx, telling, event.into(), |monitor, call| monitor.asks(event, call, raised))
    }

    /// A timer has fired.
    fn fire(&mut self, armed: &Armed, cx: &mut CoreCx<'_>) {
        let member = armed.member;
        match armed.flow {
            Some(flow) => {
                let Some(mut cx) = cx.flow(flow) else { return };
                if self.has_flow(member, &cx) {
                    let telling = Telling { hook: Hook::Null, side: Side::Client, reason: None };
                    let event = EventId::Builtin(Event::PktIn);
                    self.call(member, &mut cx, telling, event, |monitor, call| monitor.timer(armed, call));
                }
            }
            None => {
                self.control.now = cx.now();
                let Some(open) =
                    self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)
                else {
                    return;
                };
                let control = &mut self.control;
                if self.guard.run(|| open.monitor.core_timer(armed, control)).is_none() {
                    self.control.timers.cancel(&mut self.control.sockets, member, armed.id);
                }
                self.apply(&mut cx.attachments());
            }
        }
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
        let mut next = 0;
        let last = self.raws.last().map_or(0, |(order, _)| *order);
        while let Some((order, monitor)) = self.raws.get_mut(next).filter(|(order, _)| *order <= last) {
            let order = *order;
            let control = &mut self.control;
            next += 1;
            if !monitor.wants(&cx.packet()) {
                continue;
            }
            self.guard.run(|| monitor.packet(order, cx.reborrow(), control));
            if !self.control.is_idle() {
                self.apply(&mut cx.attachments());
                next = self.raws.partition_point(|(other, _)| *other <= order);
            }
        }
    }

    fn on_open(&mut self, cx: &mut PacketCx<'_>) -> Option<Attachment> {
        let mut members: SmallVec<[Member; MAX_MONITORS]> = SmallVec::new();
        for index in 0..self.creation.len() {
            let member = self.creation[index];
            if self.accepts(member)
                && let Some(open) = self.streams[usize::from(member.index)].as_mut()
                && (!open.monitor.is_choosy() || self.guard.run(|| open.monitor.accepts(&cx.packet())) == Some(true))
            {
                members.push(member);
            }
        }
        if members.is_empty() {
            return None;
        }
        let attachment = self.attachment(&members);
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
        let (flow, number) = (cx.flow(), cx.table());
        let members: SmallVec<[Member; MAX_MONITORS]> = match self.sets.get(number) {
            Some(set) => set.seats.iter().map(|seat| seat.member).collect(),
            None => return,
        };
        for member in members {
            if let Some(open) = self.streams[usize::from(member.index)].as_mut()
                && self.guard.catch(|| open.monitor.attach(flow.slot())).is_none()
            {
                self.control.leave(member, flow, &mut None);
            }
        }
        if !self.control.is_idle() {
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
                let control = &mut self.control;
                self.guard.run(|| open.monitor.orphan(member, cx.reborrow(), control));
                if !self.control.is_idle() {
                    self.apply(&mut cx.attachments());
                }
            }
        }
    }

    #[inline]
    fn on_events(&mut self, cx: &mut FlowCx<'_>, hook: Hook, side: Side, events: Interest) {
        let towards = if hook == Hook::Snd { side.other() } else { side };
        self.refresh(cx);
        let telling = Telling { hook, side, reason: None };
        self.for_each(cx, towards, |monitors, cx, seat| {
            if !seat.table.hears(side) {
                return;
            }
            for event in seat.table.interest.and(events).events(hook) {
                if !monitors.tell(seat, cx, telling, event) {
                    break;
                }
            }
        });
    }

    fn on_error(&mut self, cx: &mut FlowCx<'_>, side: Side, reason: ErrorReason, readers: u16) {
        self.refresh(cx);
        let telling = Telling { hook: Hook::Null, side, reason: Some(reason) };
        self.for_each(cx, side, |monitors, cx, seat| {
            let concerned = !seat.table.reads(side) || readers & 1 << seat.member.index != 0;
            if concerned && seat.table.hears(side) {
                monitors.tell(seat, cx, telling, Event::Error);
            }
        });
    }

    #[inline]
    fn on_new_data(&mut self, cx: &mut FlowCx<'_>, side: Side, immediate: bool) {
        self.refresh(cx);
        let telling = Telling { hook: Hook::Null, side, reason: None };
        self.for_each(cx, side, |monitors, cx, seat| {
            let reads = seat.table.reads(side) && seat.table.settings.immediate == immediate;
            // Who hears at once has heard all that it has taken, whoever has joined since.
            if reads && (!immediate || cx.unread_len(side, seat.member.index) > 0) {
                monitors.tell(seat, cx, telling, Event::NewData);
            }
        });
    }

    fn on_end(&mut self, cx: &mut FlowCx<'_>, reason: EndReason) {
        let flow = cx.flow();
        let telling = Telling { hook: Hook::Null, side: Side::Server, reason: None };
        self.for_each(cx, Side::Server, |monitors, cx, seat| {
            if seat.table.interest.any(Interest::END) {
                let event = EventId::Builtin(Event::ConnEnd);
                monitors.call(seat.member, cx, telling, event, |monitor, call| monitor.end(call, reason));
            }
            monitors.detach(seat.member, flow);
        });
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
