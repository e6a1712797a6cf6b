//! Packets without a flow: raw monitors (MOS_SOCK_MONITOR_RAW), and the tree of events that they and orphans have.

use std::any::Any;

use mos_core::event::Event;
use mos_core::filter::Filter;
use mos_core::stack::{PacketCx, PacketView};

use crate::context::{PacketEventCx, Raising, RawCx};
use crate::control::{Control, Socket};
use crate::event::{EventId, Forest, UserEvent};
use crate::program::{Program, Raised};

type Callback<S> = Box<dyn FnMut(&mut PacketEventCx<'_, S>)>;
type PacketFilter<S> = Box<dyn FnMut(&mut PacketEventCx<'_, S>) -> bool>;

/// Where the root stands in the program: it is the only one.
const ROOT: usize = 0;

/// Callbacks for packets without a flow: for one built-in event and all that is defined below it.
pub(crate) struct PacketHandlers<S> {
    root: Event,
    forest: Forest,
    filters: Vec<Option<PacketFilter<S>>>,
    handlers: Vec<Callback<S>>,
    registrations: Vec<(EventId, u32)>,
    /// Made anew with the first packet after a registration.
    program: Option<Program>,
}

impl<S> PacketHandlers<S> {
    pub(crate) fn new(root: Event) -> Self {
        Self {
            root,
            forest: Forest::new(crate::monitor::next_owner()),
            filters: Vec::new(),
            handlers: Vec::new(),
            registrations: Vec::new(),
            program: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.registrations.is_empty()
    }

    /// See [`RawMonitor::define`]; without a filter, see [`RawMonitor::alloc`].
    pub(crate) fn define(&mut self, parent: EventId, filter: Option<PacketFilter<S>>) -> UserEvent {
        let fits = self.forest.knows(parent) && self.forest.root(parent) == self.root;
        assert!(fits, "{parent} is neither {:?} nor defined below it on this monitor", self.root);
        let event = self.forest.define(parent, filter.is_none(), None);
        self.filters.push(filter);
        event
    }

    pub(crate) fn register(&mut self, event: EventId, callback: Callback<S>) {
        let fits = self.forest.knows(event) && self.forest.root(event) == self.root;
        assert!(fits, "{event} is neither {:?} nor defined below it on this monitor", self.root);
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
        let program = self.program.get_or_insert_with(|| Program::new(registrations, &self.forest));
        let mut raised = Raised::new();
        let mut at = 0;
        while let Some(node) = program.nodes(ROOT).get(at as usize) {
            let happens = match node.event {
                EventId::Builtin(_) => true,
                EventId::User(event) if node.is_raised => raised.contains(&event),
                EventId::User(event) => match &mut self.filters[event.index()] {
                    Some(filter) => {
                        let raising = Raising { forest: &self.forest, evaluated: event, raised: &mut raised };
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
    filter: Option<Filter>,
    handlers: PacketHandlers<S>,
}

impl<S> std::fmt::Debug for RawMonitor<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawMonitor").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S: 'static> RawMonitor<S> {
    /// A monitor that does nothing yet. `state` is that of this core.
    pub fn new(name: impl Into<String>, state: S) -> Self {
        Self { name: name.into(), state, filter: None, handlers: PacketHandlers::new(Event::PktIn) }
    }

    /// PKT_IN only for packets that `filter` matches (raw_pkt_filter).
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
    fn state(&self) -> &dyn Any;
    fn state_mut(&mut self) -> &mut dyn Any;
}

impl<S: 'static> AnyRaw for RawMonitor<S> {
    fn wants(&self, packet: &PacketView<'_>) -> bool {
        !self.handlers.is_empty() && self.filter.as_ref().is_none_or(|filter| packet.matches(filter))
    }

    fn packet(&mut self, order: u32, cx: PacketCx<'_>, control: &mut Control) {
        self.handlers.call(Socket::Raw { order }, &mut self.state, cx, control);
    }

    fn state(&self) -> &dyn Any {
        &self.state
    }

    fn state_mut(&mut self) -> &mut dyn Any {
        &mut self.state
    }
}
