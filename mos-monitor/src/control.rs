//! The sockets of a core, and what callbacks may ask of it: open and close monitors, change what flows are watched for, set
//! timers.

use std::any::TypeId;
use std::collections::HashMap;

use mos_core::event::{ErrorReason, Event, Hook, Side};
use mos_core::flow::FlowId;
use mos_core::reassembly::OverlapPolicy;
use mos_core::socket::{BadDescriptor, Descriptor, DescriptorTable};
use mos_core::time::Timestamp;

use crate::addition::{Addition, states};
use crate::calls::Told;
use crate::error::{CloseError, ControlError, OpenError, TimerError};
use crate::event::{EventId, Forest, is_raised_at};
use crate::flow_sockets::FlowSockets;
use crate::guard::Guard;
use crate::handler::{AtCoreTimer, AtTimer, Handler, Registers};
use crate::monitor::OnCoreTimer;
use crate::monitor::StreamMonitor;
use crate::raw::{AnyRaw, PacketEvents};
use crate::sets::Member;
use crate::table::{Change, Place};
use crate::timer::{Clock, Timer, TimerId, Timers};
use crate::{CoreTimerCx, Monitor, RawMonitor};

/// The kinds of sockets, with mOS's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum SocketKind {
    /// MOS_SOCK_MONITOR_STREAM: a monitor of flows.
    MonitorStream = 3,
    /// MOS_SOCK_STREAM: an end host's.
    Stream = 4,
    /// MOS_SOCK_MONITOR_STREAM_ACTIVE: one flow of a monitor.
    MonitorStreamActive = 6,
    /// MOS_SOCK_MONITOR_RAW: a monitor of packets.
    MonitorRaw = 7,
}

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    /// The core's own: it belongs to nobody else.
    Internal,
    /// MOS_SOCK_MONITOR_STREAM.
    Stream(Member),
    /// MOS_SOCK_MONITOR_RAW, by its place in the order of creation.
    Raw { order: u32 },
    /// MOS_SOCK_MONITOR_STREAM_ACTIVE: one flow as one monitor sees it.
    Active { member: Member, flow: FlowId },
    /// MOS_SOCK_STREAM without a connection.
    EndHost,
    /// A timer: no socket at all.
    Timer,
}

/// The most stream monitors of one core.
pub(crate) const MAX_MONITORS: usize = 16;

/// So much can be asked for in one callback. (Closing the flow at hand always can.)
pub const MAX_COMMANDS: usize = 1024;

pub(crate) enum Command {
    OpenStream {
        member: Member,
        monitor: Box<dyn StreamMonitor>,
    },
    OpenRaw {
        order: u32,
        monitor: Box<dyn AnyRaw>,
    },
    Close(Socket),
    Add(Socket, Addition),
    /// A change of what a monitor wants: of one flow, or of those to come.
    Change(Member, Option<FlowId>, Change),
}

/// What the control knows of an open monitor of flows.
#[derive(Debug)]
pub(crate) struct Known {
    descriptor: Descriptor,
    pub(crate) owner: u64,
    /// The types of its states: both, and that of the core alone.
    pub(crate) states: TypeId,
    state: TypeId,
    pub(crate) forest: Forest,
    /// How many callbacks of events it has.
    pub(crate) callbacks: u32,
    orphans: [PacketEvents; 1],
}

/// What the control knows of an open monitor of packets.
#[derive(Debug)]
struct KnownRaw {
    state: TypeId,
    events: [PacketEvents; 2],
}

/// The sockets of a core, and what was asked of it since the last callback returned. All of it takes effect before the
/// next callback; what a dispatch is doing with the flow at hand, it does to its end.
pub struct Control {
    pub(crate) sockets: DescriptorTable<Socket>,
    pub(crate) timers: Timers,
    /// What the core's own timers call.
    pub(crate) core_timers: HashMap<TimerId, OnCoreTimer<()>>,
    internal: Descriptor,
    /// By index of stream monitors.
    known: [Option<Known>; MAX_MONITORS],
    /// By order of creation.
    known_raws: HashMap<u32, KnownRaw>,
    next_order: u32,
    commands: Vec<Command>,
    /// Nothing was asked for: no command is there, and no timer was set. Looked at after each call of a callback, so it is one flag.
    is_idle: bool,
    /// The descriptors of flows, by index of stream monitors.
    flow_sockets: [FlowSockets; MAX_MONITORS],
    pub(crate) guard: Guard,
    pub(crate) now: Timestamp,
    pub(crate) told: Told,
    /// Of an ERROR; `None` while something else is told.
    pub(crate) reason: Option<ErrorReason>,
    pub(crate) is_shut_down: bool,
}

impl Default for Control {
    fn default() -> Self {
        let mut sockets = DescriptorTable::default();
        let internal = sockets.open(Socket::Internal).expect("a new table has room");
        Self {
            sockets,
            timers: Timers::default(),
            core_timers: HashMap::new(),
            internal,
            known: [const { None }; MAX_MONITORS],
            known_raws: HashMap::new(),
            next_order: 0,
            commands: Vec::new(),
            is_idle: true,
            flow_sockets: Default::default(),
            guard: Guard::default(),
            now: Timestamp::ZERO,
            told: Told::nothing(Member { index: 0, order: 0 }),
            reason: None,
            is_shut_down: false,
        }
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("sockets", &self.sockets.len()).finish_non_exhaustive()
    }
}

impl Control {
    /// The time: that of the packet or of the timer.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The core's own descriptor, which cannot be closed.
    #[must_use]
    pub fn internal(&self) -> Descriptor {
        self.internal
    }

    /// Opens a MOS_SOCK_MONITOR_STREAM: it sees flows that begin from now on.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooMany`] if the core has as many monitors as it can have; [`OpenError::ShutDown`].
    pub fn open<S: 'static, F: Default + 'static>(&mut self, monitor: Monitor<S, F>) -> Result<Descriptor, OpenError> {
        let Some(index) = self.known.iter().position(Option::is_none) else {
            return Err(OpenError::TooMany { most: MAX_MONITORS });
        };
        let member = Member { index: index as u8, order: self.next_order };
        let descriptor = self.register_monitor(Socket::Stream(member))?;
        self.known[index] = Some(Known {
            descriptor,
            owner: monitor.owner(),
            states: states::<S, F>(),
            state: TypeId::of::<S>(),
            forest: monitor.forest().clone(),
            callbacks: monitor.callbacks(),
            orphans: [monitor.orphan_events().clone()],
        });
        for (timer, handler) in monitor.first_timers() {
            if self.arm(member, handler, None, timer).is_none() {
                // Opened with all its timers, or not at all.
                self.timers.close(&mut self.sockets, member);
                self.known[index] = None;
                self.release(descriptor);
                return Err(OpenError::TooMany { most: MAX_MONITORS });
            }
        }
        self.ask(Command::OpenStream { member, monitor: Box::new(monitor) });
        Ok(descriptor)
    }

    /// Opens a MOS_SOCK_MONITOR_RAW: it sees every IP packet from the next one on.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooMany`] if there are no descriptors left; [`OpenError::ShutDown`].
    pub fn open_raw<S: 'static>(&mut self, monitor: RawMonitor<S>) -> Result<Descriptor, OpenError> {
        let order = self.next_order;
        let descriptor = self.register_monitor(Socket::Raw { order })?;
        self.known_raws.insert(order, KnownRaw { state: TypeId::of::<S>(), events: monitor.events() });
        self.ask(Command::OpenRaw { order, monitor: Box::new(monitor) });
        Ok(descriptor)
    }

    /// Opens a MOS_SOCK_STREAM, which is not connected.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooMany`] if there are no descriptors left; [`OpenError::ShutDown`].
    pub fn open_stream(&mut self) -> Result<Descriptor, OpenError> {
        self.register_socket(Socket::EndHost)
    }

    fn register_socket(&mut self, socket: Socket) -> Result<Descriptor, OpenError> {
        if self.is_shut_down {
            return Err(OpenError::ShutDown);
        }
        self.sockets.open(socket).ok_or(OpenError::TooMany { most: MAX_MONITORS })
    }

    /// The same for a monitor, which takes a place in the order of creation: there are 2^32 - 1 of them.
    fn register_monitor(&mut self, socket: Socket) -> Result<Descriptor, OpenError> {
        let next = self.next_order.checked_add(1).ok_or(OpenError::TooMany { most: MAX_MONITORS })?;
        let descriptor = self.register_socket(socket)?;
        self.next_order = next;
        Ok(descriptor)
    }

    /// The descriptor of the monitor that a flow's descriptor is of.
    ///
    /// # Errors
    ///
    /// [`ControlError::BadDescriptor`], [`ControlError::WrongKind`] if it is no flow's.
    pub fn monitor_of(&self, flow: Descriptor) -> Result<Descriptor, ControlError> {
        let (member, _) = self.active(flow)?;
        Ok(self.known(member)?.descriptor)
    }

    /// What kind of socket a descriptor names. `None` if it is no socket that a program has opened.
    #[must_use]
    pub fn kind(&self, descriptor: Descriptor) -> Option<SocketKind> {
        match self.sockets.get(descriptor).ok()? {
            Socket::Stream(_) => Some(SocketKind::MonitorStream),
            Socket::Raw { .. } => Some(SocketKind::MonitorRaw),
            Socket::Active { .. } => Some(SocketKind::MonitorStreamActive),
            Socket::EndHost => Some(SocketKind::Stream),
            Socket::Internal | Socket::Timer => None,
        }
    }

    /// mtcp_close. For a monitor: none of its callbacks runs any more, not even later in the dispatch at hand; its state
    /// and that of its flows is dropped; the traffic is not touched. For one flow of a monitor: that monitor hears no more
    /// of that flow. For a stream socket: it is gone.
    ///
    /// # Errors
    ///
    /// See [`CloseError`].
    pub fn close(&mut self, descriptor: Descriptor) -> Result<(), CloseError> {
        if self.is_shut_down {
            return Err(CloseError::ShutDown);
        }
        let socket = *self.sockets.get(descriptor)?;
        match socket {
            Socket::Internal => return Err(CloseError::Internal),
            Socket::Timer => return Err(CloseError::NotSocket),
            Socket::EndHost => {
                self.sockets.close(descriptor)?;
                return Err(CloseError::NotConnected);
            }
            Socket::Stream(_) | Socket::Raw { .. } | Socket::Active { .. } => {}
        }
        if self.commands.len() >= MAX_COMMANDS {
            return Err(CloseError::Again);
        }
        self.close_monitor(descriptor, socket);
        Ok(())
    }

    fn close_monitor(&mut self, descriptor: Descriptor, socket: Socket) {
        // It was looked up a moment ago.
        let _ = self.sockets.close(descriptor);
        match socket {
            Socket::Stream(member) => self.known[usize::from(member.index)] = None,
            Socket::Raw { order } => _ = self.known_raws.remove(&order),
            _ => {}
        }
        self.ask(Command::Close(socket));
    }

    /// `member` hears no more of the flow.
    pub(crate) fn leave(&mut self, member: Member, flow: FlowId) {
        self.ask(Command::Close(Socket::Active { member, flow }));
    }

    /// Which monitor a descriptor is of, and which of its flows, if it names one.
    pub(crate) fn target(&self, descriptor: Descriptor) -> Result<(Member, Option<FlowId>), ControlError> {
        if self.is_shut_down {
            return Err(ControlError::ShutDown);
        }
        match *self.sockets.get(descriptor)? {
            Socket::Stream(member) => Ok((member, None)),
            Socket::Active { member, flow } => Ok((member, Some(flow))),
            _ => Err(ControlError::WrongKind),
        }
    }

    /// Which monitor and flow the descriptor of a flow is of.
    pub(crate) fn active(&self, descriptor: Descriptor) -> Result<(Member, FlowId), ControlError> {
        match *self.sockets.get(descriptor)? {
            Socket::Active { member, flow } => Ok((member, flow)),
            _ => Err(ControlError::WrongKind),
        }
    }

    /// Lets `handler` be called for `event`: for one flow, or, if `descriptor` is a monitor's, for all that begin later. One
    /// that was registered there before is replaced.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn register<At: Registers>(
        &mut self,
        descriptor: Descriptor,
        event: impl Into<EventId>,
        handler: Handler<At>,
    ) -> Result<(), ControlError> {
        let (member, flow) = self.target(descriptor)?;
        self.register_for(member, flow, event.into(), handler)
    }

    /// Lets nothing be called for `event` at `hook` any more.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn deregister(
        &mut self,
        descriptor: Descriptor,
        hook: Hook,
        event: impl Into<EventId>,
    ) -> Result<(), ControlError> {
        let (member, flow) = self.target(descriptor)?;
        self.deregister_for(member, flow, hook, event.into())
    }

    /// MOS_STOP_MON: nothing of `side` is told any more. When nothing of either is, a flow is left altogether.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn stop_side(&mut self, descriptor: Descriptor, side: Side) -> Result<(), ControlError> {
        self.change(descriptor, Change::Stop(side as u8))
    }

    /// MOS_CLIBUF, MOS_SVRBUF: whether what `side` receives is kept to be read: from the next byte on.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn set_buffer(&mut self, descriptor: Descriptor, side: Side, reads: bool) -> Result<(), ControlError> {
        self.change(descriptor, Change::Buffer(side as u8, reads))
    }

    /// MOS_CLIBUF, MOS_SVRBUF: how many bytes of what `side` receives are kept unread at most.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn set_buffer_bytes(&mut self, descriptor: Descriptor, side: Side, bytes: u64) -> Result<(), ControlError> {
        self.change(descriptor, Change::BufferBytes(side as u8, bytes))
    }

    /// MOS_CLIOVERLAP, MOS_SVROVERLAP: which copy of a byte that `side` receives counts.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn set_overlap(
        &mut self,
        descriptor: Descriptor,
        side: Side,
        policy: OverlapPolicy,
    ) -> Result<(), ControlError> {
        self.change(descriptor, Change::Overlap(side as u8, policy))
    }

    fn change(&mut self, descriptor: Descriptor, change: Change) -> Result<(), ControlError> {
        let (member, flow) = self.target(descriptor)?;
        self.change_for(member, flow, change)
    }

    pub(crate) fn register_for<At: Registers>(
        &mut self,
        member: Member,
        flow: Option<FlowId>,
        event: EventId,
        handler: Handler<At>,
    ) -> Result<(), ControlError> {
        let known = self.known(member)?;
        if known.owner != handler.owner || !known.forest.knows(event) {
            return Err(ControlError::Foreign(event));
        }
        check_place::<At>(&known.forest, event)?;
        self.change_for(member, flow, Change::Handler(At::HOOK.into(), event, Some(handler.index)))
    }

    pub(crate) fn deregister_for(
        &mut self,
        member: Member,
        flow: Option<FlowId>,
        hook: Hook,
        event: EventId,
    ) -> Result<(), ControlError> {
        let known = self.known(member)?;
        if !known.forest.knows(event) {
            return Err(ControlError::Foreign(event));
        }
        if !is_raised_at(known.forest.root(event), hook) {
            return Err(ControlError::WrongHook { event, hook });
        }
        self.change_for(member, flow, Change::Handler(Place::from(hook), event, None))
    }

    pub(crate) fn change_for(
        &mut self,
        member: Member,
        flow: Option<FlowId>,
        change: Change,
    ) -> Result<(), ControlError> {
        if self.is_shut_down {
            return Err(ControlError::ShutDown);
        }
        if self.commands.len() >= MAX_COMMANDS {
            return Err(ControlError::Again);
        }
        self.ask(Command::Change(member, flow, change));
        Ok(())
    }

    pub(crate) fn known_mut(&mut self, member: Member) -> Result<&mut Known, ControlError> {
        self.known[usize::from(member.index)].as_mut().ok_or(ControlError::BadDescriptor(BadDescriptor))
    }

    /// The type of the state of a monitor, and its events of packets that no flow has.
    pub(crate) fn known_packets(&mut self, socket: Socket) -> Option<(TypeId, &mut [PacketEvents])> {
        match socket {
            Socket::Stream(member) => {
                let known = self.known[usize::from(member.index)].as_mut()?;
                Some((known.state, &mut known.orphans))
            }
            Socket::Raw { order } => {
                let known = self.known_raws.get_mut(&order)?;
                Some((known.state, &mut known.events))
            }
            _ => None,
        }
    }

    fn known(&self, member: Member) -> Result<&Known, ControlError> {
        // A callback may have closed its own monitor.
        self.known[usize::from(member.index)].as_ref().ok_or(ControlError::BadDescriptor(BadDescriptor))
    }

    /// Sets a timer of the core itself, of no monitor: nobody's end takes it back.
    ///
    /// It counts from the time that the callback sees which sets it: set in one that fires within a leap of time, the timer may
    /// fire within it as well. (Only so often in one leap; then it counts from the end of that.)
    ///
    /// # Errors
    ///
    /// See [`TimerError`].
    pub fn call_at(
        &mut self,
        timer: Timer,
        callback: impl FnMut(&mut CoreTimerCx<'_, ()>) + 'static,
    ) -> Result<TimerId, TimerError> {
        if self.is_shut_down {
            return Err(TimerError::ShutDown);
        }
        self.start_clock();
        let id = self.timers.set_within_leap(&mut self.sockets, Member::CORE, 0, timer, self.now);
        let id = id.ok_or(TimerError::TooMany)?;
        self.core_timers.insert(id, Box::new(callback));
        Ok(id)
    }

    /// Takes back a timer of the core itself. False if it has fired for the last time.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.core_timers.remove(&timer);
        self.timers.cancel(&mut self.sockets, Member::CORE, timer)
    }

    /// Sets a timer for the core, of the monitor that is open under `descriptor`.
    ///
    /// # Errors
    ///
    /// See [`TimerError`].
    pub fn set_timer(
        &mut self,
        descriptor: Descriptor,
        timer: Timer,
        handler: Handler<AtCoreTimer>,
    ) -> Result<TimerId, TimerError> {
        match *self.sockets.get(descriptor)? {
            Socket::Stream(member) => self.set_timer_for(member, None, timer, handler.owner, handler.index),
            _ => Err(TimerError::Foreign),
        }
    }

    /// Takes back a timer of the monitor that is open under `descriptor`. False if it has fired for the last time.
    pub fn cancel_timer(&mut self, descriptor: Descriptor, timer: TimerId) -> bool {
        match self.sockets.get(descriptor) {
            Ok(&Socket::Stream(member) | &Socket::Active { member, .. }) => {
                self.timers.cancel(&mut self.sockets, member, timer)
            }
            _ => false,
        }
    }

    pub(crate) fn set_flow_timer(
        &mut self,
        member: Member,
        flow: FlowId,
        timer: Timer,
        handler: Handler<AtTimer>,
    ) -> Result<TimerId, TimerError> {
        self.set_timer_for(member, Some(flow), timer, handler.owner, handler.index)
    }

    fn set_timer_for(
        &mut self,
        member: Member,
        flow: Option<FlowId>,
        timer: Timer,
        owner: u64,
        handler: u32,
    ) -> Result<TimerId, TimerError> {
        if self.is_shut_down {
            return Err(TimerError::ShutDown);
        }
        let known = self.known[usize::from(member.index)].as_ref().ok_or(BadDescriptor)?;
        if known.owner != owner {
            return Err(TimerError::Foreign);
        }
        self.arm(member, handler, flow, timer).ok_or(TimerError::TooMany)
    }

    /// Timers count from the time of the packet that is looked at, once there was one. `None` if there are no descriptors left.
    fn arm(&mut self, member: Member, handler: u32, flow: Option<FlowId>, timer: Timer) -> Option<TimerId> {
        self.start_clock();
        self.timers.set(&mut self.sockets, member, handler, flow, timer)
    }

    /// Timers that are set now count from now, if it is known when that is.
    fn start_clock(&mut self) {
        if self.now > Timestamp::ZERO {
            self.timers.set_now(Clock::Frames, self.now);
        }
        self.is_idle = false;
    }

    /// Whether `socket` was closed since the last callback returned.
    pub(crate) fn closes(&self, socket: Socket) -> bool {
        self.commands.iter().any(|command| matches!(command, Command::Close(closed) if *closed == socket))
    }

    /// How much was asked for since the last callback returned.
    pub(crate) fn commands(&self) -> usize {
        self.commands.len()
    }

    pub(crate) fn ask(&mut self, command: Command) {
        self.is_idle = false;
        self.commands.push(command);
    }

    /// Whether nothing is to be done before the next callback.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// All that was asked for, to be done now. The memory is to be given back by [`Self::done`].
    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Nothing is left of what was asked for.
    pub(crate) fn done(&mut self, commands: Vec<Command>) {
        debug_assert!(self.commands.is_empty() && commands.is_empty(), "nobody could ask for more in between");
        self.commands = commands;
        self.is_idle = true;
    }

    pub(crate) fn get(&self, descriptor: Descriptor) -> Option<Socket> {
        self.sockets.get(descriptor).ok().copied()
    }

    /// The descriptor that a monitor has for the flow in `slot`, if one was made.
    #[inline]
    pub(crate) fn flow_socket(&self, member: Member, slot: usize) -> Option<Descriptor> {
        self.flow_sockets[usize::from(member.index)].get(slot)
    }

    /// Makes one for a flow that has none.
    #[inline(never)]
    pub(crate) fn open_flow_socket(&mut self, member: Member, flow: FlowId) -> Option<Descriptor> {
        let descriptor = self.sockets.open(Socket::Active { member, flow })?;
        self.flow_sockets[usize::from(member.index)].set(flow.slot(), descriptor);
        Some(descriptor)
    }

    /// Closes the descriptor that the monitor of that index has for the flow in `slot`, if one was made.
    #[inline]
    pub(crate) fn release_flow(&mut self, index: u8, slot: usize) {
        if let Some(descriptor) = self.flow_sockets[usize::from(index)].take(slot) {
            self.release(descriptor);
        }
    }

    /// The flow or its monitor is gone: its descriptor names nothing any more.
    pub(crate) fn release(&mut self, descriptor: Descriptor) {
        let _ = self.sockets.close(descriptor);
    }
}

/// Whether `event` can be registered at a place.
pub(crate) fn check_place<At: Registers>(forest: &Forest, event: EventId) -> Result<(), ControlError> {
    let root = forest.root(event);
    let fits = is_raised_at(root, At::HOOK) && At::ONLY.is_none_or(|only: Event| only == root);
    if fits { Ok(()) } else { Err(ControlError::WrongHook { event, hook: At::HOOK }) }
}
