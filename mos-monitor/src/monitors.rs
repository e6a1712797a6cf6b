//! The monitors that are open on a core, and what they have asked for.

use std::any::Any;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use mos_core::event::{Attachment, Side};
use mos_core::flow::FlowId;
use mos_core::socket::Descriptor;
use mos_core::stack::{Attachments, FlowCx};
use smallvec::SmallVec;

use crate::addition::Addition;
use crate::control::{Command, Control, MAX_MONITORS, Socket};
use crate::event::Forest;
use crate::monitor::StreamMonitor;
use crate::raw::AnyRaw;
use crate::sets::{Member, Seat, Sets};
use crate::table::{Change, HandlerTable, Settings};

/// So many tables of a monitor are kept before those that no flow has are looked for.
const TABLES: usize = 64;

/// The handler tables of one monitor.
#[derive(Debug, Default)]
struct Tables {
    tables: HashMap<Settings, Rc<HandlerTable>>,
    next_id: u64,
    /// With so many, those that nobody uses go.
    limit: usize,
}

impl Tables {
    /// The one table with these settings.
    fn get(&mut self, settings: Settings, forest: &Forest) -> Rc<HandlerTable> {
        if let Some(table) = self.tables.get(&settings) {
            return Rc::clone(table);
        }
        if self.tables.len() >= self.limit.max(TABLES) {
            self.tables.retain(|_, table| Rc::strong_count(table) > 1);
            self.limit = 2 * self.tables.len();
        }
        let table = Rc::new(HandlerTable::new(self.next_id, settings.clone(), forest));
        self.next_id += 1;
        self.tables.insert(settings, Rc::clone(&table));
        table
    }

    /// Those that are in use.
    fn used(&self) -> usize {
        self.tables.values().filter(|table| Rc::strong_count(table) > 1).count()
    }
}

pub(crate) struct OpenMonitor {
    pub(crate) order: u32,
    pub(crate) monitor: Box<dyn StreamMonitor>,
    /// What flows begin with.
    base: Rc<HandlerTable>,
    tables: Tables,
}

impl OpenMonitor {
    /// Drops what the monitor, which has that index, has of the flow in `slot`.
    #[inline(always)]
    pub(crate) fn let_go(&mut self, index: u8, slot: usize, control: &mut Control) {
        control.release_flow(index, slot);
        control.catch(|_| self.monitor.detach(slot));
    }

    fn changed(&mut self, table: &HandlerTable, change: Change) -> Rc<HandlerTable> {
        let mut settings = table.settings.clone();
        settings.apply(change);
        self.tables.get(settings, self.monitor.forest())
    }
}

/// The stream monitors that are open, by index. In boxes: then a place is found without a multiplication.
pub(crate) type Streams = [Option<Box<OpenMonitor>>; MAX_MONITORS];

/// The monitors of a core, as the stack's observer.
#[derive(Default)]
pub(crate) struct Monitors {
    /// `creation` has their order.
    pub(crate) streams: Streams,
    pub(crate) creation: SmallVec<[Member; MAX_MONITORS]>,
    /// Those that every flow of IPv4, and every one of IPv6, begins with, by the bits of their indices, ...
    pub(crate) always: [u16; 2],
    /// ... and those that have to be asked.
    pub(crate) choosy: [u16; 2],
    /// In order of creation.
    pub(crate) raws: Vec<(u32, Box<dyn AnyRaw>)>,
    pub(crate) sets: Sets,
    /// Flows that nobody monitors because all numbers of sets are in use.
    pub(crate) unmonitored: u64,
    /// Changes of handlers that had no effect for the same reason.
    pub(crate) unchanged: u64,
    pub(crate) control: Control,
}

impl std::fmt::Debug for Monitors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitors").field("streams", &self.creation.len()).field("raws", &self.raws.len()).finish()
    }
}

impl Monitors {
    pub(crate) fn state(&self, descriptor: Descriptor) -> Option<&dyn Any> {
        match self.control.get(descriptor)? {
            Socket::Stream(member) | Socket::Active { member, .. } => {
                self.streams[usize::from(member.index)].as_ref().map(|open| open.monitor.state())
            }
            Socket::Raw { order } => {
                self.raws.iter().find(|(other, _)| *other == order).map(|(_, monitor)| monitor.state())
            }
            Socket::Internal | Socket::EndHost | Socket::Timer => None,
        }
    }

    pub(crate) fn state_mut(&mut self, descriptor: Descriptor) -> Option<&mut dyn Any> {
        match self.control.get(descriptor)? {
            Socket::Stream(member) | Socket::Active { member, .. } => {
                self.streams[usize::from(member.index)].as_mut().map(|open| open.monitor.state_mut())
            }
            Socket::Raw { order } => {
                self.raws.iter_mut().find(|(other, _)| *other == order).map(|(_, monitor)| monitor.state_mut())
            }
            Socket::Internal | Socket::EndHost | Socket::Timer => None,
        }
    }

    #[inline]
    pub(crate) fn open_monitor(&mut self, member: Member) -> Option<&mut OpenMonitor> {
        self.streams[usize::from(member.index)].as_deref_mut().filter(|open| open.order == member.order)
    }

    /// The set of monitors for a flow that begins with these, by the bits of their indices. `None` if all numbers are in use.
    #[inline]
    pub(crate) fn begin(&mut self, monitors: u16) -> Option<Attachment> {
        let Self { sets, streams, creation, .. } = self;
        sets.begin(monitors, || {
            let beginning = creation.iter().filter(|member| monitors & 1 << member.index != 0);
            let seat = |&member: &Member| {
                let open = streams[usize::from(member.index)].as_ref()?;
                Some(Seat { member, table: Rc::clone(&open.base) })
            };
            beginning.filter_map(seat).collect()
        })
    }

    /// What flows begin with has changed.
    fn begin_anew(&mut self) {
        self.sets.begin_anew();
        (self.always, self.choosy) = ([0; 2], [0; 2]);
        for (index, open) in self.streams.iter().enumerate() {
            if let Some(open) = open.as_ref().filter(|open| !open.base.settings.is_stopped()) {
                let is_choosy = open.monitor.can_accept() || open.monitor.can_refuse();
                let [ipv4, ipv6] = if is_choosy { &mut self.choosy } else { &mut self.always };
                *ipv4 |= 1 << index;
                *ipv6 |= u16::from(open.monitor.sees_ipv6()) << index;
            }
        }
    }

    /// From now on callbacks are timed.
    pub(crate) fn time_callbacks(&mut self, budget: Duration) {
        self.control.guard.time(budget);
        self.sets.time();
    }

    /// Does what callbacks have asked for.
    pub(crate) fn apply(&mut self, attachments: &mut Attachments<'_>) {
        let mut commands = self.control.take_commands();
        for command in commands.drain(..) {
            match command {
                Command::OpenStream { member, monitor } => {
                    let mut tables = Tables::default();
                    let base = tables.get(monitor.settings().clone(), monitor.forest());
                    let open = OpenMonitor { order: member.order, monitor, base, tables };
                    self.streams[usize::from(member.index)] = Some(Box::new(open));
                    self.creation.push(member);
                    self.begin_anew();
                }
                Command::OpenRaw { order, monitor } => self.raws.push((order, monitor)),
                Command::Close(Socket::Raw { order }) => {
                    if let Some(index) = self.raws.iter().position(|(other, _)| *other == order) {
                        let (_, monitor) = self.raws.remove(index);
                        self.control.catch(|_| drop(monitor));
                    }
                }
                Command::Close(Socket::Stream(member)) => self.close_stream(member),
                Command::Close(Socket::Active { member, flow }) => self.leave(member, flow, attachments),
                Command::Close(Socket::Internal | Socket::EndHost | Socket::Timer) => {}
                Command::Add(Socket::Stream(member), addition) => {
                    let chooses = matches!(addition, Addition::Accept(_) | Addition::Ipv6(_));
                    if let Some(open) = self.open_monitor(member) {
                        open.monitor.add(addition);
                    }
                    if chooses {
                        self.begin_anew();
                    }
                }
                Command::Add(Socket::Raw { order }, addition) => {
                    if let Some((_, monitor)) = self.raws.iter_mut().find(|(other, _)| *other == order) {
                        monitor.add(addition);
                    }
                }
                Command::Add(..) => {}
                Command::Change(member, None, change) => {
                    if let Some(open) = self.open_monitor(member) {
                        let base = Rc::clone(&open.base);
                        open.base = open.changed(&base, change);
                        self.begin_anew();
                    }
                }
                Command::Change(member, Some(flow), change) => self.change(member, flow, change, attachments),
            }
        }
        self.control.done(commands);
        if self.control.timers.changed {
            self.control.timers.changed = false;
            attachments.wake_at(self.control.timers.next_due());
        }
    }

    /// What `member` wants of `flow` changes.
    fn change(&mut self, member: Member, flow: FlowId, change: Change, attachments: &mut Attachments<'_>) {
        let Some(number) = attachments.table(flow) else { return };
        let Some(open) = self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)
        else {
            return;
        };
        let Some(seat) = self.sets.seat(number, member) else { return };
        if let Change::Stop(side) = change
            && seat.table.settings.stopped[1 - usize::from(side)]
        {
            return self.leave(member, flow, attachments);
        }
        match self.sets.step(number, member, change, |table| open.changed(table, change)) {
            Some(step) => {
                for side in Side::BOTH {
                    if let Some(from) = step.resizes[side as usize] {
                        attachments.resize_buffer(flow, side, from);
                    }
                    if step.begins[side as usize] {
                        attachments.begin_reading(flow, side, member.index);
                    }
                }
                attachments.set(flow, self.sets.attachment(step.to));
                if change == Change::Immediate(true) {
                    attachments.begin_immediate(flow);
                }
            }
            None => {
                if self.unchanged == 0 {
                    log::warn!("{} different sets of handlers are in use: flows keep theirs", self.sets.len());
                }
                self.unchanged += 1;
            }
        }
    }

    /// `member` hears no more of `flow`.
    fn leave(&mut self, member: Member, flow: FlowId, attachments: &mut Attachments<'_>) {
        let Some(open) = self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)
        else {
            return;
        };
        let Some(number) = attachments.table(flow) else { return };
        if !self.sets.has(number, member) {
            return;
        }
        open.let_go(member.index, flow.slot(), &mut self.control);
        self.control.timers.leave(&mut self.control.sockets, member, || flow);
        let seats = self.sets.without(number, member);
        if seats.is_empty() {
            attachments.set(flow, Attachment::BYPASS);
            self.sets.release(number);
        } else if let Some(attachment) = self.sets.acquire(seats) {
            attachments.set(flow, attachment);
            self.sets.release(number);
        }
        // Without a free number the set stays; the monitor has no state for the flow and is not called.
    }

    fn close_stream(&mut self, member: Member) {
        let Some(mut open) = self.streams[usize::from(member.index)].take_if(|open| open.order == member.order) else {
            return;
        };
        // One by one: a second panic while the first unwinds would be the end of the process.
        for slot in open.monitor.slots() {
            open.let_go(member.index, slot, &mut self.control);
        }
        self.control.timers.close(&mut self.control.sockets, member);
        self.creation.retain(|other| *other != member);
        self.sets.remove(member);
        self.begin_anew();
        self.control.catch(|_| drop(open));
    }

    /// The flow is over for all its monitors.
    #[inline(always)]
    pub(crate) fn detach(&mut self, member: Member, cx: &FlowCx<'_>) {
        let Some(open) = self.streams[usize::from(member.index)].as_mut().filter(|open| open.order == member.order)
        else {
            return;
        };
        open.let_go(member.index, cx.slot(), &mut self.control);
        self.control.timers.leave(&mut self.control.sockets, member, || cx.flow());
    }

    /// Handler tables that are in use, of all monitors.
    pub(crate) fn tables(&self) -> usize {
        self.streams.iter().flatten().map(|open| open.tables.used()).sum()
    }
}
