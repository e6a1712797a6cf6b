//! What is added to a monitor that is open: callbacks, events, filters. Like all that is asked of [`Control`], it is there before
//! the next callback.

use std::any::{Any, TypeId};

use mos_core::filter::Filter;
use mos_core::socket::Descriptor;
use mos_core::stack::PacketView;

use crate::callback::{at_data, at_error, at_filter, at_rcv, at_snd};
use crate::context::{DataCx, ErrorCx, FilterCx, PacketEventCx, RcvCx, SndCx};
use crate::control::{Command, Control, MAX_COMMANDS, Socket};
use crate::error::ControlError;
use crate::event::{EventId, UserEvent};
use crate::handler::{AtData, AtError, AtRcv, AtSnd, Handler};
use crate::monitor::Accept;
use crate::raw::{PacketAddition, PacketEvents};

/// What is added. The types of a monitor's states are not known where it is handed over: what depends on them is boxed, and they were
/// compared before.
pub(crate) enum Addition {
    /// The next one of its callbacks: an `OnEvent`.
    Callback(Box<dyn Any>),
    /// The next one of its events: with an `EventFilter`, or to be raised.
    Event { parent: EventId, filter: Option<Box<dyn Any>> },
    /// What it chooses flows by, in place of what it had.
    Accept(Accept),
    /// Whether it sees IPv6.
    Ipv6(bool),
    /// Which of the packets that no flow has it is told, in place of what it had.
    Filter(Option<Filter>),
    /// Something for packets that no flow has: a `PacketAddition`.
    Packets(Box<dyn Any>),
    /// Nothing is called for this event of packets that no flow has.
    NoPackets(EventId),
}

/// The types of the states of a monitor of flows.
pub(crate) fn states<S: 'static, F: 'static>() -> TypeId {
    TypeId::of::<(S, F)>()
}

/// Callbacks and events for flows. `S` and `F` are the monitor's states; with others, the error is [`ControlError::WrongStates`].
impl Control {
    /// A callback for events at the SND hook, for the monitor that is open under `descriptor` or has that flow: to be registered.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn snd_handler<S: 'static, F: 'static>(
        &mut self,
        descriptor: Descriptor,
        callback: impl FnMut(&mut SndCx<'_, '_, S, F>) + 'static,
    ) -> Result<Handler<AtSnd>, ControlError> {
        self.add_handler::<AtSnd, S, F>(descriptor, || Box::new(at_snd(callback)))
    }

    /// The same for events at the RCV hook.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn rcv_handler<S: 'static, F: 'static>(
        &mut self,
        descriptor: Descriptor,
        callback: impl FnMut(&mut RcvCx<'_, '_, S, F>) + 'static,
    ) -> Result<Handler<AtRcv>, ControlError> {
        self.add_handler::<AtRcv, S, F>(descriptor, || Box::new(at_rcv(callback)))
    }

    /// The same for NEW_DATA.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn data_handler<S: 'static, F: 'static>(
        &mut self,
        descriptor: Descriptor,
        callback: impl FnMut(&mut DataCx<'_, '_, S, F>) + 'static,
    ) -> Result<Handler<AtData>, ControlError> {
        self.add_handler::<AtData, S, F>(descriptor, || Box::new(at_data(callback)))
    }

    /// The same for ERROR.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn error_handler<S: 'static, F: 'static>(
        &mut self,
        descriptor: Descriptor,
        callback: impl FnMut(&mut ErrorCx<'_, '_, S, F>) + 'static,
    ) -> Result<Handler<AtError>, ControlError> {
        self.add_handler::<AtError, S, F>(descriptor, || Box::new(at_error(callback)))
    }

    /// Defines an event (mtcp_define_event); see [`Monitor::define`](crate::Monitor::define).
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn define<S: 'static, F: 'static>(
        &mut self,
        descriptor: Descriptor,
        parent: impl Into<EventId>,
        filter: impl FnMut(&mut FilterCx<'_, '_, S, F>) -> bool + 'static,
    ) -> Result<UserEvent, ControlError> {
        self.add_event::<S, F>(descriptor, parent.into(), |evaluated| Some(Box::new(at_filter(evaluated, filter))))
    }

    /// Allocates an event that filters raise (mtcp_alloc_event); see [`Monitor::alloc`](crate::Monitor::alloc).
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn alloc<S: 'static, F: 'static>(
        &mut self,
        descriptor: Descriptor,
        parent: impl Into<EventId>,
    ) -> Result<UserEvent, ControlError> {
        self.add_event::<S, F>(descriptor, parent.into(), |_| None)
    }

    /// Only flows whose first packet `accept` says yes to are monitored, of those that begin from now on.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn set_accept(
        &mut self,
        descriptor: Descriptor,
        accept: impl FnMut(&PacketView<'_>) -> bool + 'static,
    ) -> Result<(), ControlError> {
        let (member, _) = self.target(descriptor)?;
        self.add(Socket::Stream(member), Addition::Accept(Box::new(accept)))
    }

    /// Whether the monitor sees IPv6: of flows, those that begin from now on; see [`Monitor::without_ipv6`](crate::Monitor::without_ipv6).
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn set_ipv6(&mut self, descriptor: Descriptor, sees: bool) -> Result<(), ControlError> {
        let socket = self.packet_socket(descriptor)?;
        self.add(socket, Addition::Ipv6(sees))
    }

    fn add_handler<At, S: 'static, F: 'static>(
        &mut self,
        descriptor: Descriptor,
        callback: impl FnOnce() -> Box<dyn Any>,
    ) -> Result<Handler<At>, ControlError> {
        let (member, _) = self.target(descriptor)?;
        let known = self.known_mut(member)?;
        if known.states != states::<S, F>() {
            return Err(ControlError::WrongStates);
        }
        let (owner, number) = (known.owner, known.callbacks);
        self.add(Socket::Stream(member), Addition::Callback(callback()))?;
        self.known_mut(member)?.callbacks += 1;
        Ok(Handler::new(owner, number))
    }

    fn add_event<S: 'static, F: 'static>(
        &mut self,
        descriptor: Descriptor,
        parent: EventId,
        filter: impl FnOnce(UserEvent) -> Option<Box<dyn Any>>,
    ) -> Result<UserEvent, ControlError> {
        let (member, _) = self.target(descriptor)?;
        self.check_room()?;
        let known = self.known_mut(member)?;
        if known.states != states::<S, F>() {
            return Err(ControlError::WrongStates);
        }
        if !known.forest.knows(parent) || known.forest.root(parent) == mos_core::event::Event::Orphan {
            return Err(ControlError::Foreign(parent));
        }
        let filter = filter(known.forest.next());
        let event = known.forest.define(parent, filter.is_none(), None);
        self.add(Socket::Stream(member), Addition::Event { parent, filter })?;
        Ok(event)
    }
}

/// Callbacks and events for packets that no flow has: ORPHAN of a monitor of flows or of packets, PKT_IN of one of packets. `S` is the
/// monitor's state.
impl Control {
    /// Defines an event of packets: it happens when `parent` does and `filter` says so.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn define_packet_event<S: 'static>(
        &mut self,
        descriptor: Descriptor,
        parent: impl Into<EventId>,
        filter: impl FnMut(&mut PacketEventCx<'_, S>) -> bool + 'static,
    ) -> Result<UserEvent, ControlError> {
        self.add_packet_event::<S>(descriptor, parent.into(), |parent| PacketAddition::Event {
            parent,
            filter: Some(Box::new(filter)),
        })
    }

    /// Allocates an event of packets, that the filter of `parent`, or of an event below it, raises.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn alloc_packet_event<S: 'static>(
        &mut self,
        descriptor: Descriptor,
        parent: impl Into<EventId>,
    ) -> Result<UserEvent, ControlError> {
        self.add_packet_event::<S>(descriptor, parent.into(), |parent| PacketAddition::Event { parent, filter: None })
    }

    /// Lets `callback` be called for an event of packets. One that was registered there before is replaced.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn on_packet_event<S: 'static>(
        &mut self,
        descriptor: Descriptor,
        event: impl Into<EventId>,
        callback: impl FnMut(&mut PacketEventCx<'_, S>) + 'static,
    ) -> Result<(), ControlError> {
        let event = event.into();
        let (socket, _) = self.packet_events::<S>(descriptor, event)?;
        let addition = PacketAddition::<S>::Handler(event, Box::new(callback));
        self.add(socket, Addition::Packets(Box::new(addition)))
    }

    /// Lets nothing be called for an event of packets any more.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn off_packet_event<S: 'static>(
        &mut self,
        descriptor: Descriptor,
        event: impl Into<EventId>,
    ) -> Result<(), ControlError> {
        let event = event.into();
        let (socket, _) = self.packet_events::<S>(descriptor, event)?;
        self.add(socket, Addition::NoPackets(event))
    }

    /// Only packets that `filter` matches are told: of a monitor of flows those without one (stream_orphan_filter), of a monitor of
    /// packets any (raw_pkt_filter). `None`: all.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn set_packet_filter(&mut self, descriptor: Descriptor, filter: Option<Filter>) -> Result<(), ControlError> {
        let socket = self.packet_socket(descriptor)?;
        self.add(socket, Addition::Filter(filter))
    }

    fn add_packet_event<S: 'static>(
        &mut self,
        descriptor: Descriptor,
        parent: EventId,
        addition: impl FnOnce(EventId) -> PacketAddition<S>,
    ) -> Result<UserEvent, ControlError> {
        self.check_room()?;
        let (socket, events) = self.packet_events::<S>(descriptor, parent)?;
        let addition = addition(parent);
        let event = events.define(parent, addition.is_raised());
        self.add(socket, Addition::Packets(Box::new(addition)))?;
        Ok(event)
    }

    /// The monitor, and those events of packets among which `event` is.
    fn packet_events<S: 'static>(
        &mut self,
        descriptor: Descriptor,
        event: EventId,
    ) -> Result<(Socket, &mut PacketEvents), ControlError> {
        let socket = self.packet_socket(descriptor)?;
        let (state, events) = self.known_packets(socket).ok_or(ControlError::WrongKind)?;
        if state != TypeId::of::<S>() {
            return Err(ControlError::WrongStates);
        }
        let events = events.iter_mut().find(|events| events.has(event)).ok_or(ControlError::Foreign(event))?;
        Ok((socket, events))
    }

    fn packet_socket(&self, descriptor: Descriptor) -> Result<Socket, ControlError> {
        if self.is_shut_down {
            return Err(ControlError::ShutDown);
        }
        match *self.sockets.get(descriptor)? {
            socket @ (Socket::Stream(_) | Socket::Raw { .. }) => Ok(socket),
            _ => Err(ControlError::WrongKind),
        }
    }

    fn add(&mut self, socket: Socket, addition: Addition) -> Result<(), ControlError> {
        self.check_room()?;
        self.ask(Command::Add(socket, addition));
        Ok(())
    }

    fn check_room(&self) -> Result<(), ControlError> {
        if self.commands() >= MAX_COMMANDS { Err(ControlError::Again) } else { Ok(()) }
    }
}
