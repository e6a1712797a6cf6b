//! Packets without a flow: raw monitors (MOS_SOCK_MONITOR_RAW), and the tree of events that they and orphans have.

use std::any::Any;

use mos_core::event::Event;
use mos_core::filter::Filter;
use mos_core::stack::{PacketCx, PacketView};

use crate::addition::Addition;
use crate::context::{OrphanCx, PacketEventCx, Raising, RawCx};
use crate::control::{Control, Socket};
use crate::event::{EventId, Forest, UserEvent};
use crate::program::{Program, Raised};

type Callback<S> = Box<dyn FnMut(&mut PacketEventCx<'_, S>)>;
type PacketFilter<S> = Box<dyn FnMut(&mut PacketEventCx<'_, S>) -> bool>;

/// Where the root stands in the program: it is the only one.
const ROOT: usize = 0;

/// The events of packets without a flow: one that is built in, and all that is defined below it.
#[derive(Clone, Debug)]
pub(crate) struct PacketEvents {
    root: Event,
    forest: Forest,
}

impl PacketEvents {
    fn new(root: Event) -> Self {
        Self { root, forest: Forest::new(crate::monitor::next_owner()) }
    }

    /// Whether `event` is one of them.
    pub(crate) fn has(&self, event: EventId) -> bool {
        self.forest.knows(event) && self.forest.root(event) == self.root
    }

    fn check(&self, event: EventId) {
        assert!(self.has(event), "{event} is neither {:?} nor defined below it on this monitor", self.root);
    }

    /// A new event below `parent`, which is one of them.
    pub(crate) fn define(&mut self, parent: EventId, raised: bool) -> UserEvent {
        self.forest.define(parent, raised, None)
    }
}

/// What is added to an open monitor's callbacks for packets.
pub(crate) enum PacketAddition<S> {
    /// An event below `parent`: with a filter, or to be raised.
    Event { parent: EventId, filter: Option<PacketFilter<S>> },
    /// A callback for an event.
    Handler(EventId, Callback<S>),
}

impl<S> PacketAddition<S> {
    /// Whether it is an event that filters raise.
    pub(crate) fn is_raised(&self) -> bool {
        matches!(self, Self::Event { filter: None, .. })
    }

    fn event(&self) -> EventId {
        match *self {
            Self::Event { parent, .. } => parent,
            Self::Handler(event, _) => event,
        }
    }
}

/// Callbacks for packets without a flow: for one built-in event and all that is defined below it.
pub(crate) struct PacketHandlers<S> {
    events: PacketEvents,
    filters: Vec<Option<PacketFilter<S>>>,
    handlers: Vec<Callback<S>>,
    registrations: Vec<(EventId, u32)>,
    /// Made anew with the first packet after a registration.
    program: Option<Program>,
}

impl<S> PacketHandlers<S> {
    pub(crate) fn new(root: Event) -> Self {
        Self {
            events: PacketEvents::new(root),
            filters: Vec::new(),
            handlers: Vec::new(),
            registrations: Vec::new(),
            program: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.registrations.is_empty()
    }

    pub(crate) fn events(&self) -> &PacketEvents {
        &self.events
    }

    /// Adds something. What is of other events is given back.
    pub(crate) fn add(&mut self, addition: PacketAddition<S>) -> Option<PacketAddition<S>> {
        if !self.events.has(addition.event()) {
            return Some(addition);
        }
        match addition {
            PacketAddition::Event { parent, filter } => _ = self.define(parent, filter),
            PacketAddition::Handler(event, callback) => self.register(event, callback),
        }
        None
    }

    /// Nothing is called for `event` any more.
    pub(crate) fn deregister(&mut self, event: EventId) {
        self.registrations.retain(|(other, _)| *other != event);
        self.program = None;
    }

    /// See [`RawMonitor::define`]; without a filter, see [`RawMonitor::alloc`].
    pub(crate) fn define(&mut self, parent: EventId, filter: Option<PacketFilter<S>>) -> UserEvent {
        self.events.check(parent);
        let event = self.events.define(parent, filter.is_none());
        self.filters.push(filter);
        event
    }

    pub(crate) fn register(&mut self, event: EventId, callback: Callback<S>) {
        self.events.check(event);
        let handler = self.handlers.len() as u32;
        self.handlers.push(callback);
        match self.registrations.iter_mut().find(|(other, _)| *other == event) {
            Some(place) => place.1 = handler,
            None => self.registrations.push((event, handler)),
        }
        self.program = None;
    }

    /// A packet, for the monitor that is open as `me`.
    pub(crate) fn call(&mut self, me: Socket, state: &mut S, mut cx: PacketCx<'_>, control: &mut Control) {
        let registrations = self.registrations.iter().map(|&(event, handler)| (ROOT, event, handler));
        let program = self.program.get_or_insert_with(|| Program::new(registrations, &self.events.forest));
        let mut raised = Raised::new();
        let mut at = 0;
        while let Some(node) = program.nodes(ROOT).get(at as usize) {
            let happens = match node.event {
                EventId::Builtin(_) => true,
                EventId::User(event) if node.is_raised => raised.contains(&event),
                EventId::User(event) => match &mut self.filters[event.index()] {
                    Some(filter) => {
                        let raising = Raising { forest: &self.events.forest, evaluated: event, raised: &mut raised };
                        filter(&mut PacketEventCx { state, control, cx: cx.reborrow(), raising: Some(raising) })
                    }
                    None => false,
                },
            };
            // A filter may have closed its own monitor, too.
            if matches!(node.event, EventId::User(_)) && control.closes(me) {
                return;
            }
            if !happens {
                at += node.skip;
                continue;
            }
            if let Some(handler) = self.handlers.get_mut(node.handler as usize) {
                handler(&mut PacketEventCx { state, control, cx: cx.reborrow(), raising: None });
                if control.closes(me) {
                    return;
                }
            }
            at += 1;
        }
    }
}

/// A monitor of packets. It sees every IP packet exactly once, of any protocol, before the stack looks at it: fragments
/// one by one, packets with bad checksums too.
pub struct RawMonitor<S = ()> {
    name: String,
    state: S,
    ipv6: bool,
    filter: Option<Filter>,
    handlers: PacketHandlers<S>,
    orphans: PacketHandlers<S>,
}

impl<S> std::fmt::Debug for RawMonitor<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawMonitor").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S: 'static> RawMonitor<S> {
    /// A monitor that does nothing yet. `state` is that of this core.
    pub fn new(name: impl Into<String>, state: S) -> Self {
        Self {
            name: name.into(),
            state,
            ipv6: true,
            filter: None,
            handlers: PacketHandlers::new(Event::PktIn),
            orphans: PacketHandlers::new(Event::Orphan),
        }
    }

    /// Nothing of IPv6 is told.
    #[must_use]
    pub fn without_ipv6(mut self) -> Self {
        self.ipv6 = false;
        self
    }

    /// PKT_IN and ORPHAN only for packets that `filter` matches (raw_pkt_filter).
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// PKT_IN. A second call replaces the first one.
    #[must_use]
    pub fn on_packet(self, callback: impl FnMut(&mut RawCx<'_, S>) + 'static) -> Self {
        self.on_event(Event::PktIn, callback)
    }

    /// ORPHAN: every IP packet that belongs to no flow. It comes after the PKT_IN of the same packet, and after the ORPHAN of monitors of
    /// flows. A second call replaces the first one.
    #[must_use]
    pub fn on_orphan(mut self, callback: impl FnMut(&mut OrphanCx<'_, S>) + 'static) -> Self {
        self.orphans.register(Event::Orphan.into(), Box::new(callback));
        self
    }

    fn lets_in(&self, packet: &PacketView<'_>) -> bool {
        let is_seen = self.ipv6 || packet.packet.ip_version != 6;
        is_seen && self.filter.as_ref().is_none_or(|filter| packet.matches(filter))
    }

    pub(crate) fn events(&self) -> [PacketEvents; 2] {
        [self.handlers.events().clone(), self.orphans.events().clone()]
    }

    /// Defines an event: it happens when `parent` (PKT_IN, or an event of this monitor) does and `filter` says so.
    ///
    /// # Panics
    ///
    /// If `parent` is neither.
    pub fn define(
        &mut self,
        parent: impl Into<EventId>,
        filter: impl FnMut(&mut RawCx<'_, S>) -> bool + 'static,
    ) -> UserEvent {
        self.handlers.define(parent.into(), Some(Box::new(filter)))
    }

    /// Allocates an event that the filter of `parent`, or of an event below it, raises.
    ///
    /// # Panics
    ///
    /// If `parent` is neither PKT_IN nor an event of this monitor.
    pub fn alloc(&mut self, parent: impl Into<EventId>) -> UserEvent {
        self.handlers.define(parent.into(), None)
    }

    /// PKT_IN, or an event defined below it. Registering again replaces the callback.
    ///
    /// # Panics
    ///
    /// If `event` is neither.
    #[must_use]
    pub fn on_event(mut self, event: impl Into<EventId>, callback: impl FnMut(&mut RawCx<'_, S>) + 'static) -> Self {
        self.handlers.register(event.into(), Box::new(callback));
        self
    }
}

pub(crate) trait AnyRaw {
    /// Whether it has callbacks for that packet.
    fn wants(&self, packet: &PacketView<'_>) -> bool;
    fn packet(&mut self, order: u32, cx: PacketCx<'_>, control: &mut Control);
    /// Whether it has callbacks for that packet, which no flow has.
    fn wants_orphan(&self, packet: &PacketView<'_>) -> bool;
    fn orphan(&mut self, order: u32, cx: PacketCx<'_>, control: &mut Control);
    fn add(&mut self, addition: Addition);
    fn state(&self) -> &dyn Any;
    fn state_mut(&mut self) -> &mut dyn Any;
}

impl<S: 'static> AnyRaw for RawMonitor<S> {
    fn wants(&self, packet: &PacketView<'_>) -> bool {
        !self.handlers.is_empty() && self.lets_in(packet)
    }

    fn packet(&mut self, order: u32, cx: PacketCx<'_>, control: &mut Control) {
        self.handlers.call(Socket::Raw { order }, &mut self.state, cx, control);
    }

    fn wants_orphan(&self, packet: &PacketView<'_>) -> bool {
        !self.orphans.is_empty() && self.lets_in(packet)
    }

    fn orphan(&mut self, order: u32, cx: PacketCx<'_>, control: &mut Control) {
        self.orphans.call(Socket::Raw { order }, &mut self.state, cx, control);
    }

    fn add(&mut self, addition: Addition) {
        match addition {
            Addition::Filter(filter) => self.filter = filter,
            Addition::Ipv6(sees) => self.ipv6 = sees,
            Addition::Packets(addition) => {
                if let Ok(addition) = addition.downcast::<PacketAddition<S>>()
                    && let Some(other) = self.handlers.add(*addition)
                {
                    self.orphans.add(other);
                }
            }
            Addition::NoPackets(event) => {
                self.handlers.deregister(event);
                self.orphans.deregister(event);
            }
            // Those are for monitors of flows: they were refused.
            Addition::Callback(_) | Addition::Event { .. } | Addition::Accept(_) => {}
        }
    }

    fn state(&self) -> &dyn Any {
        &self.state
    }

    fn state_mut(&mut self) -> &mut dyn Any {
        &mut self.state
    }
}
