//! One core: a stack, and the monitors that hear of what happens in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mos_core::config::Config;
use mos_core::event::{Attachment, EndReason, ErrorReason, Hook, Interest, Observer, Side};
use mos_core::packet::{Burst, Verdict};
use mos_core::socket::Descriptor;
use mos_core::stack::{Attachments, FlowCx, PacketCx, Stack};
use mos_core::stats::Stats;
use mos_core::time::Timestamp;

use crate::control::{Command, Control, MAX_MONITORS, Socket};
use crate::monitor::{Call, StreamMonitor};
use crate::raw::AnyRaw;
use crate::table::{Member, Members, Tables, Wants};
use crate::{CloseError, Monitor, OpenError, RawMonitor};

/// One core: a stack and its monitors. It is given frames and time; it owns no thread and no device.
#[derive(Debug)]
pub struct Core {
    stack: Stack,
    monitors: Monitors,
}

impl Core {
    /// A core without monitors.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { stack: Stack::new(config), monitors: Monitors::default() }
    }

    /// Opens a MOS_SOCK_MONITOR_STREAM: it sees flows that begin from now on.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooMany`] if the core has as many monitors as it can have.
    pub fn open<S: 'static, F: Default + 'static>(&mut self, monitor: Monitor<S, F>) -> Result<Descriptor, OpenError> {
        let opened = self.monitors.control.open(monitor);
        self.monitors.apply(&mut self.stack.attachments());
        opened
    }

    /// Opens a MOS_SOCK_MONITOR_RAW: it sees every IP packet from now on.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooMany`] if there are no descriptors left.
    pub fn open_raw<S: 'static>(&mut self, monitor: RawMonitor<S>) -> Result<Descriptor, OpenError> {
        let opened = self.monitors.control.open_raw(monitor);
        self.monitors.apply(&mut self.stack.attachments());
        opened
    }

    /// mtcp_close; see [`Control::close`].
    ///
    /// # Errors
    ///
    /// [`CloseError::BadDescriptor`] if nothing is open under `descriptor`.
    pub fn close(&mut self, descriptor: Descriptor) -> Result<(), CloseError> {
        let closed = self.monitors.control.close(descriptor);
        self.monitors.apply(&mut self.stack.attachments());
        closed
    }

    /// Takes a burst of frames and says what is to become of each.
    pub fn process(&mut self, burst: &mut Burst<'_>) -> &[Verdict] {
        self.stack.process_burst(burst, &mut self.monitors)
    }

    /// Lets time pass without a packet.
    pub fn advance(&mut self, now: Timestamp) {
        self.stack.handle_timeout(now, &mut self.monitors);
    }

    /// Ends every flow; the monitors get all that is left to read (D20).
    pub fn shutdown(&mut self) {
        self.stack.shutdown(&mut self.monitors);
    }

    /// The state of the monitor that is open under `descriptor`, if it is of that type.
    #[must_use]
    pub fn state<S: 'static>(&self, descriptor: Descriptor) -> Option<&S> {
        self.monitors.state(descriptor)?.downcast_ref()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        self.stack.stats()
    }

    /// Callbacks that panicked. A panic ends that monitor's interest in that flow; everything else goes on.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.monitors.panics.count
    }

    /// Flows that were not monitored because 256 different sets of monitors were in use: it takes nine monitors with filters
    /// that have nothing to do with each other to get there.
    #[must_use]
    pub fn unmonitored_flows(&self) -> u64 {
        self.monitors.unmonitored
    }

    /// The stack itself.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }
}

/// The callbacks that panicked.
#[derive(Debug, Default)]
struct Panics {
    count: u64,
}

impl Panics {
    /// Runs a callback. `None` if it panicked: then that is counted.
    fn guard<R>(&mut self, callback: impl FnOnce() -> R) -> Option<R> {
        // The contexts hold nothing that a callback could leave half done: each of their calls completes or does nothing.
        // The monitor's own states are its own concern.
        let result = catch_unwind(AssertUnwindSafe(callback));
        if result.is_err() {
            self.count += 1;
            // Traffic may be what makes it panic: the log must not grow with it.
            if self.count.is_power_of_two() {
                log::error!(
                    "{} callbacks have panicked so far; monitors hear no more of the flows concerned",
                    self.count
                );
            }
        }
        result.ok()
    }
}

struct OpenMonitor {
    order: u64,
    monitor: Box<dyn StreamMonitor>,
}

/// The monitors of a core, as the stack's observer.
#[derive(Default)]
struct Monitors {
    /// By index; `creation` has their order.
    streams: [Option<OpenMonitor>; MAX_MONITORS],
    creation: Members,
    /// What they want, by index.
    wants: [Option<Wants>; MAX_MONITORS],
    /// In order of creation.
    raws: Vec<(u64, Box<dyn AnyRaw>)>,
    tables: Tables,
    panics: Panics,
    /// Flows that nobody monitors because all numbers of sets are in use.
    unmonitored: u64,
    control: Control,
}

impl std::fmt::Debug for Monitors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitors").field("streams", &self.creation.len()).field("raws", &self.raws.len()).finish()
    }
}

impl Monitors {
    fn state(&self, descriptor: Descriptor) -> Option<&dyn std::any::Any> {
        match self.control.get(descriptor).ok()? {
            Socket::Stream { index, .. } | Socket::Active { index, .. } => {
                self.streams[usize::from(index)].as_ref().map(|open| open.monitor.state())
            }
            Socket::Raw { order } => {
                self.raws.iter().find(|(other, _)| *other == order).map(|(_, monitor)| monitor.state())
            }
        }
    }

    fn open_monitor(&mut self, member: Member) -> Option<&mut OpenMonitor> {
        self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)
    }

    /// Does what callbacks have asked for.
    fn apply(&mut self, attachments: &mut Attachments<'_>) {
        for command in std::mem::take(&mut self.control.commands) {
            match command {
                Command::OpenStream { index, order, monitor } => {
                    let wants = Wants { interest: monitor.interest(), history_bytes: monitor.history_bytes() };
                    self.wants[usize::from(index)] = Some(wants);
                    self.streams[usize::from(index)] = Some(OpenMonitor { order, monitor });
                    self.creation.push(Member { index, order });
                }
                Command::OpenRaw { order, monitor } => self.raws.push((order, monitor)),
                Command::Close(Socket::Raw { order }) => self.raws.retain(|(other, _)| *other != order),
                Command::Close(Socket::Stream { index, order }) => self.close_stream(Member { index, order }),
                Command::Close(Socket::Active { index, order, flow }) => {
                    let member = Member { index, order };
                    let Some(open) = self.open_monitor(member) else { continue };
                    if let Some(socket) = open.monitor.detach(flow.slot()) {
                        self.control.release_active(socket);
                    }
                    let Some(number) = attachments.table(flow) else { continue };
                    let mut members: Members = self.tables.members(number).into();
                    members.retain(|other| *other != member);
                    // Without a free number the set stays; the monitor has no state for the flow and is not called.
                    if let Some((table, interest)) = self.tables.acquire(&members, &self.wants) {
                        attachments.set(flow, Attachment { interest, table });
                        self.tables.release(number);
                    }
                }
            }
        }
    }

    fn close_stream(&mut self, member: Member) {
        let Some(mut open) = self.streams[usize::from(member.index)].take_if(|open| open.order == member.order) else {
            return;
        };
        for socket in open.monitor.sockets() {
            self.control.release_active(socket);
        }
        self.creation.retain(|other| *other != member);
        self.wants[usize::from(member.index)] = None;
        self.tables.remove(member.order, &self.wants);
    }

    /// Brings the flow's interest up to date if a monitor was closed.
    #[inline]
    fn refresh(&self, cx: &mut FlowCx<'_>) {
        let interest = self.tables.interest(cx.table());
        if cx.interest() != interest {
            cx.set_interest(interest);
        }
    }

    /// The monitor of the flow that comes after `last`, in the order in which they stand on the wire for what comes
    /// towards `side`, and whether it is the last one. Asked anew after each call, which may have changed the set: by
    /// taking monitors out, never by adding one.
    #[inline]
    fn next(&self, cx: &FlowCx<'_>, towards: Side, last: Option<Member>) -> Option<(Member, bool)> {
        let members = self.tables.members(cx.table());
        match (members, last) {
            ([], _) => None,
            ([only], None) => Some((*only, true)),
            (_, _) if towards == Side::Server => {
                let next = members.iter().find(|member| last.is_none_or(|last| member.order > last.order))?;
                Some((*next, members.last() == Some(next)))
            }
            (_, _) => {
                let next = members.iter().rfind(|member| last.is_none_or(|last| member.order < last.order))?;
                Some((*next, members.first() == Some(next)))
            }
        }
    }

    /// Calls `each` with the monitors of the flow, in the order in which they stand on the wire for what comes towards
    /// `side`.
    #[inline]
    fn for_each(
        &mut self,
        cx: &mut FlowCx<'_>,
        towards: Side,
        mut each: impl FnMut(&mut Self, &mut FlowCx<'_>, Member),
    ) {
        let mut last = None;
        while let Some((member, is_last)) = self.next(cx, towards, last) {
            each(self, cx, member);
            if is_last {
                break;
            }
            last = Some(member);
        }
    }

    /// Calls one monitor, and does what it asks for. False if it is not open (any more).
    fn call(
        &mut self,
        member: Member,
        cx: &mut FlowCx<'_>,
        side: Side,
        call: impl FnOnce(&mut dyn StreamMonitor, Call<'_, '_>),
    ) -> bool {
        let Some(open) = self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)
        else {
            return false;
        };
        let Member { index, order } = member;
        let control = &mut self.control;
        let monitor = &mut *open.monitor;
        let called = self.panics.guard(|| call(monitor, Call { cx, control, index, order, side }));
        if called.is_none() {
            self.control.commands.push(Command::Close(Socket::Active { index, order, flow: cx.flow() }));
        }
        if self.control.commands.is_empty() {
            return true;
        }
        self.apply(&mut cx.attachments());
        self.open_monitor(member).is_some()
    }

    fn interest_of(&self, member: Member) -> Interest {
        self.wants[usize::from(member.index)].map_or(Interest::NONE, |wants| wants.interest)
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
        let mut next = 0;
        let last = self.raws.last().map_or(0, |(order, _)| *order);
        while let Some((order, monitor)) = self.raws.get_mut(next).filter(|(order, _)| *order <= last) {
            let order = *order;
            let control = &mut self.control;
            self.panics.guard(|| monitor.packet(cx.reborrow(), control));
            next += 1;
            if !self.control.commands.is_empty() {
                self.apply(&mut cx.attachments());
                next = self.raws.partition_point(|(other, _)| *other <= order);
            }
        }
    }

    fn on_open(&mut self, cx: &mut PacketCx<'_>) -> Option<Attachment> {
        let mut members = Members::new();
        for &member in &self.creation {
            if let Some(open) = self.streams[usize::from(member.index)].as_mut()
                && self.panics.guard(|| open.monitor.accepts(&cx.packet())) == Some(true)
            {
                members.push(member);
            }
        }
        if members.is_empty() {
            return None;
        }
        let Some((table, interest)) = self.tables.acquire(&members, &self.wants) else {
            // Whoever sends the SYNs may choose the sets: it must not fill the log.
            if self.unmonitored == 0 {
                log::warn!("256 different sets of monitors are in use: flows that need another one are not monitored");
            }
            self.unmonitored += 1;
            return None;
        };
        Some(Attachment { interest, table })
    }

    fn on_attach(&mut self, cx: &mut FlowCx<'_>) {
        let slot = cx.flow().slot();
        self.for_each(cx, Side::Server, |monitors, _, member| {
            if let Some(open) = monitors.open_monitor(member) {
                open.monitor.attach(slot);
            }
        });
    }

    fn on_orphan(&mut self, cx: &mut PacketCx<'_>) {
        for member in self.creation.clone() {
            let Some(open) = self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)
            else {
                continue;
            };
            if open.monitor.wants_orphans() {
                let control = &mut self.control;
                self.panics.guard(|| open.monitor.orphan(cx.reborrow(), control));
                if !self.control.commands.is_empty() {
                    self.apply(&mut cx.attachments());
                }
            }
        }
    }

    fn on_events(&mut self, cx: &mut FlowCx<'_>, hook: Hook, side: Side, events: Interest) {
        let towards = if hook == Hook::Snd { side.other() } else { side };
        self.refresh(cx);
        self.for_each(cx, towards, |monitors, cx, member| {
            for event in monitors.interest_of(member).and(events).events(hook) {
                if !monitors.call(member, cx, side, |monitor, call| monitor.hook(call, hook, event)) {
                    break;
                }
            }
        });
    }

    fn on_error(&mut self, cx: &mut FlowCx<'_>, side: Side, reason: ErrorReason, readers: u16) {
        self.refresh(cx);
        self.for_each(cx, side, |monitors, cx, member| {
            let reads = monitors.interest_of(member).any(Interest::buffer(side));
            if !reads || readers & 1 << member.index != 0 {
                monitors.call(member, cx, side, |monitor, call| monitor.error(call, reason));
            }
        });
    }

    fn on_new_data(&mut self, cx: &mut FlowCx<'_>, side: Side) {
        self.refresh(cx);
        self.for_each(cx, side, |monitors, cx, member| {
            if monitors.interest_of(member).any(Interest::buffer(side)) {
                monitors.call(member, cx, side, |monitor, call| monitor.new_data(call));
            }
        });
    }

    fn on_end(&mut self, cx: &mut FlowCx<'_>, reason: EndReason) {
        let slot = cx.flow().slot();
        self.for_each(cx, Side::Server, |monitors, cx, member| {
            if monitors.interest_of(member).any(Interest::END) {
                monitors.call(member, cx, Side::Server, |monitor, call| monitor.end(call, reason));
            }
            if let Some(open) = monitors.open_monitor(member)
                && let Some(socket) = open.monitor.detach(slot)
            {
                monitors.control.release_active(socket);
            }
        });
        self.tables.release(cx.table());
    }

    fn readers(&self, table: u8, side: Side) -> u16 {
        self.tables.readers(table, side)
    }

    fn history_bytes(&self, table: u8) -> u64 {
        self.tables.history_bytes(table)
    }
}
