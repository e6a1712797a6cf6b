//! Stream monitors: closures over a core's and a flow's state (MOS_SOCK_MONITOR_STREAM).

mod flows;
mod running;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mos_core::event::{Event, Side};
use mos_core::filter::Filter;
use mos_core::reassembly::OverlapPolicy;
use mos_core::stack::PacketView;

use crate::callback::{EventFilter, OnEvent, at_data, at_error, at_filter, at_rcv, at_snd, never};
use crate::context::{
    CoreTimerCx, DataCx, Defined, EndCx, ErrorCx, FilterCx, OrphanCx, RcvCx, SndCx, TimerCx, UnseenCx,
};
use crate::control::check_place;
use crate::event::{EventId, FilterKey, Forest, UserEvent};
use crate::handler::{AtCoreTimer, AtData, AtError, AtRcv, AtSnd, AtTimer, Handler, Registers};
use crate::raw::{PacketEvents, PacketHandlers};
use crate::table::{Change, Settings};
use crate::timer::Timer;

use flows::Flows;
pub(crate) use running::StreamMonitor;

type OnTimer<S, F> = Box<dyn FnMut(&mut TimerCx<'_, '_, S, F>)>;
pub(crate) type OnCoreTimer<S> = Box<dyn FnMut(&mut CoreTimerCx<'_, S>)>;
type OnEnd<S, F> = Box<dyn FnMut(&mut EndCx<'_, '_, S, F>)>;
pub(crate) type Accept = Box<dyn FnMut(&PacketView<'_>) -> bool>;
type OnUnseen<S> = Box<dyn FnMut(&mut UnseenCx<'_, S>)>;

/// A number that no other monitor of the process has.
pub(crate) fn next_owner() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A monitor of flows: what to do on which event. `S` is its state on this core, `F` its state of each flow, made with
/// `Default` when the flow begins and dropped when it ends.
///
/// One callback per hook and event: registering again replaces it. Only what is registered costs anything.
pub struct Monitor<S = (), F = ()> {
    name: String,
    owner: u64,
    state: S,
    flows: Flows<F>,
    /// What flows begin with.
    settings: Settings,
    defined: Defined,
    /// By user event; those of events that are raised are never asked.
    filters: Vec<EventFilter<S, F>>,
    callbacks: Vec<OnEvent<S, F>>,
    flow_timer: Vec<OnTimer<S, F>>,
    core_timer: Vec<OnCoreTimer<S>>,
    timers: Vec<(Timer, u32)>,
    ipv6: bool,
    accept: Option<Accept>,
    refuse: Option<Accept>,
    on_unseen: Option<OnUnseen<S>>,
    on_end: Option<OnEnd<S, F>>,
    orphan_filter: Option<Filter>,
    orphans: PacketHandlers<S>,
}

/// Adds a callback to those of its kind. A handler is its number there.
fn add<At, C>(owner: u64, callbacks: &mut Vec<C>, callback: C) -> Handler<At> {
    callbacks.push(callback);
    Handler::new(owner, (callbacks.len() - 1) as u32)
}

impl<S, F> std::fmt::Debug for Monitor<S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("name", &self.name).field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<S: 'static, F: Default + 'static> Monitor<S, F> {
    /// A monitor that does nothing yet. `state` is that of this core.
    pub fn new(name: impl Into<String>, state: S) -> Self {
        let owner = next_owner();
        Self {
            name: name.into(),
            owner,
            state,
            flows: Flows::default(),
            settings: Settings::default(),
            defined: Defined::new(owner),
            filters: Vec::new(),
            callbacks: Vec::new(),
            flow_timer: Vec::new(),
            core_timer: Vec::new(),
            timers: Vec::new(),
            ipv6: true,
            accept: None,
            refuse: None,
            on_unseen: None,
            on_end: None,
            orphan_filter: None,
            orphans: PacketHandlers::new(Event::Orphan),
        }
    }

    /// Nobody reads bytes: only sequence numbers are followed, and NEW_DATA is not raised (MOS_CLIBUF = MOS_SVRBUF = 0).
    #[must_use]
    pub fn without_buffers(self) -> Self {
        self.without_buffer(Side::Client).without_buffer(Side::Server)
    }

    /// Nobody reads the bytes that `side` receives (MOS_CLIBUF = 0 or MOS_SVRBUF = 0).
    #[must_use]
    pub fn without_buffer(self, side: Side) -> Self {
        self.with(Change::Buffer(side as u8, false))
    }

    /// The bytes that `side` receives are read, though not by [`Self::on_new_data`]: what is not taken in time is kept, up to
    /// the receive buffer, and then given up with an ERROR. With [`Self::on_new_data`] both sides are buffered anyway.
    #[must_use]
    pub fn with_buffer(self, side: Side) -> Self {
        self.with(Change::Buffer(side as u8, true))
    }

    /// Of what `side` receives, up to `bytes` are kept unread or out of order, whatever the configuration says. If several
    /// monitors read, the largest buffer counts.
    #[must_use]
    pub fn buffer_bytes(self, side: Side, bytes: u64) -> Self {
        self.with(Change::BufferBytes(side as u8, bytes))
    }

    /// Which copy of a byte that `side` receives counts, whatever the configuration says (MOS_CLIOVERLAP, MOS_SVROVERLAP). There is
    /// one buffer for all monitors of a flow: if any asks for the last copy, that counts.
    #[must_use]
    pub fn overlap(self, side: Side, policy: OverlapPolicy) -> Self {
        self.with(Change::Overlap(side as u8, policy))
    }

    /// Keeps up to `bytes` of each direction after they were taken: for `ppeek` behind the cursor, and so that
    /// retransmissions of them with other bytes are found. Costs a copy of every byte.
    #[must_use]
    pub fn keep_history(self, bytes: u64) -> Self {
        self.with(Change::History(bytes))
    }

    /// NEW_DATA comes with the packet that brought it, which is at hand then and can still be dropped; not once per burst.
    /// Other monitors pay nothing for it.
    #[must_use]
    pub fn immediate(self) -> Self {
        self.with(Change::Immediate(true))
    }

    /// Round-trip times are measured all the time, not only in the handshake.
    #[must_use]
    pub fn measure_rtt(mut self) -> Self {
        self.settings.measures_rtt = true;
        self
    }

    /// Nothing of `side` is told (MOS_STOP_MON).
    #[must_use]
    pub fn without_side(self, side: Side) -> Self {
        self.with(Change::Stop(side as u8))
    }

    fn with(mut self, change: Change) -> Self {
        self.settings.apply(change);
        self
    }

    /// Nothing of IPv6 is told: no flows, no orphans.
    #[must_use]
    pub fn without_ipv6(mut self) -> Self {
        self.ipv6 = false;
        self
    }

    /// Only flows whose first packet `filter` accepts are monitored. It is asked once per flow.
    #[must_use]
    pub fn accept(mut self, filter: impl FnMut(&PacketView<'_>) -> bool + 'static) -> Self {
        self.accept = Some(Box::new(filter));
        self
    }

    /// A packet that `filter` matches begins no flow, for none of the core's monitors: it is an orphan, and can be dropped as one.
    /// So what is not to pass takes no room in the flow table, and nobody finds a flow there that this monitor has not let in.
    #[must_use]
    pub fn refuse(mut self, filter: impl FnMut(&PacketView<'_>) -> bool + 'static) -> Self {
        self.refuse = Some(Box::new(filter));
        self
    }

    /// Only flows whose first packet `filter` matches are monitored (stream_syn_filter). It decides once per flow, on the
    /// packet from client to server: `dst port 80` selects servers on port 80.
    #[must_use]
    pub fn syn_filter(self, filter: Filter) -> Self {
        self.accept(move |packet| packet.matches(&filter))
    }

    /// ORPHAN only for packets that `filter` matches (stream_orphan_filter).
    #[must_use]
    pub fn orphan_filter(mut self, filter: Filter) -> Self {
        self.orphan_filter = Some(filter);
        self
    }
}

/// User-defined events.
impl<S: 'static, F: Default + 'static> Monitor<S, F> {
    /// Defines an event (mtcp_define_event): it happens, at every place where somebody has registered it, when `parent` does
    /// and `filter` says so. `parent` is built in or was defined on this monitor; nesting has no limit. The filter is asked once
    /// each time its parent happens, if somebody has registered the event or one below it.
    ///
    /// # Panics
    ///
    /// If `parent` is ORPHAN (see [`Self::define_orphan`]) or another monitor's.
    pub fn define(
        &mut self,
        parent: impl Into<EventId>,
        filter: impl FnMut(&mut FilterCx<'_, '_, S, F>) -> bool + 'static,
    ) -> UserEvent {
        self.define_filter(parent.into(), filter, None)
    }

    /// Defines an event by a function that serves many, told apart by `key`: the same parent and key give the same event.
    ///
    /// # Panics
    ///
    /// As [`Self::define`].
    pub fn define_keyed(
        &mut self,
        parent: impl Into<EventId>,
        key: FilterKey,
        filter: impl FnMut(&mut FilterCx<'_, '_, S, F>) -> bool + 'static,
    ) -> UserEvent {
        let parent = parent.into();
        match self.defined.forest.find(parent, &key) {
            Some(event) => event,
            None => self.define_filter(parent, filter, Some(key)),
        }
    }

    /// Allocates an event below `parent` (mtcp_alloc_event): it happens when `parent` does and a filter has raised it in the same
    /// walk ([`FilterCx::raise`]): that of `parent`, or of an event below it. It comes after those that are defined.
    ///
    /// # Panics
    ///
    /// As [`Self::define`].
    pub fn alloc(&mut self, parent: impl Into<EventId>) -> UserEvent {
        let event = self.define_event(parent.into(), true, None);
        self.filters.push(never());
        event
    }

    fn define_filter(
        &mut self,
        parent: EventId,
        filter: impl FnMut(&mut FilterCx<'_, '_, S, F>) -> bool + 'static,
        key: Option<FilterKey>,
    ) -> UserEvent {
        let evaluated = self.define_event(parent, false, key);
        self.filters.push(at_filter(evaluated, filter));
        evaluated
    }

    fn define_event(&mut self, parent: EventId, raised: bool, key: Option<FilterKey>) -> UserEvent {
        let forest = &mut self.defined.forest;
        assert!(forest.knows(parent), "{parent} is not one of this monitor's events");
        assert!(
            forest.root(parent) != Event::Orphan,
            "packets without a flow have events of their own: see define_orphan"
        );
        forest.define(parent, raised, key)
    }

    /// Defines an event of packets without a flow: it happens when `parent` (ORPHAN, or an event defined below it) does and
    /// `filter` says so.
    ///
    /// # Panics
    ///
    /// If `parent` is neither.
    pub fn define_orphan(
        &mut self,
        parent: impl Into<EventId>,
        filter: impl FnMut(&mut OrphanCx<'_, S>) -> bool + 'static,
    ) -> UserEvent {
        self.orphans.define(parent.into(), Some(Box::new(filter)))
    }

    /// Allocates an event of packets without a flow, to be raised by the filter of `parent` or of an event below it.
    ///
    /// # Panics
    ///
    /// If `parent` is neither ORPHAN nor an event defined below it.
    pub fn alloc_orphan(&mut self, parent: impl Into<EventId>) -> UserEvent {
        self.orphans.define(parent.into(), None)
    }
}

/// Callbacks.
impl<S: 'static, F: Default + 'static> Monitor<S, F> {
    /// `event` at the SND hook.
    ///
    /// # Panics
    ///
    /// If `event` is never raised there: NEW_DATA, ERROR and ORPHAN have registrations of their own.
    #[must_use]
    pub fn on_snd(
        mut self,
        event: impl Into<EventId>,
        callback: impl FnMut(&mut SndCx<'_, '_, S, F>) + 'static,
    ) -> Self {
        let handler = self.snd_handler(callback);
        self.register(event, handler)
    }

    /// `event` at the RCV hook.
    ///
    /// # Panics
    ///
    /// If `event` is never raised there: NEW_DATA, ERROR and ORPHAN have registrations of their own.
    #[must_use]
    pub fn on_rcv(
        mut self,
        event: impl Into<EventId>,
        callback: impl FnMut(&mut RcvCx<'_, '_, S, F>) + 'static,
    ) -> Self {
        let handler = self.rcv_handler(callback);
        self.register(event, handler)
    }

    /// NEW_DATA: once per flow, side and burst, if the readable part grew.
    #[must_use]
    pub fn on_new_data(self, callback: impl FnMut(&mut DataCx<'_, '_, S, F>) + 'static) -> Self {
        self.on_data_event(Event::NewData, callback)
    }

    /// An event defined below NEW_DATA.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[must_use]
    pub fn on_data_event(
        mut self,
        event: impl Into<EventId>,
        callback: impl FnMut(&mut DataCx<'_, '_, S, F>) + 'static,
    ) -> Self {
        let handler = self.data_handler(callback);
        self.register(event, handler)
    }

    /// ERROR.
    #[must_use]
    pub fn on_error(self, callback: impl FnMut(&mut ErrorCx<'_, '_, S, F>) + 'static) -> Self {
        self.on_error_event(Event::Error, callback)
    }

    /// An event defined below ERROR.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[must_use]
    pub fn on_error_event(
        mut self,
        event: impl Into<EventId>,
        callback: impl FnMut(&mut ErrorCx<'_, '_, S, F>) + 'static,
    ) -> Self {
        let handler = self.error_handler(callback);
        self.register(event, handler)
    }

    /// CONN_END at any hook: once per flow, with the reason, after all else.
    #[doc(alias = "on_any")]
    #[must_use]
    pub fn on_end(mut self, callback: impl FnMut(&mut EndCx<'_, '_, S, F>) + 'static) -> Self {
        self.on_end = Some(Box::new(callback));
        self.settings.wants_end = true;
        self
    }

    /// ORPHAN: every IP packet that belongs to no flow.
    #[must_use]
    pub fn on_orphan(self, callback: impl FnMut(&mut OrphanCx<'_, S>) + 'static) -> Self {
        self.on_orphan_event(Event::Orphan, callback)
    }

    /// ORPHAN, or an event defined below it.
    ///
    /// # Panics
    ///
    /// If `event` is neither.
    #[must_use]
    pub fn on_orphan_event(
        mut self,
        event: impl Into<EventId>,
        callback: impl FnMut(&mut OrphanCx<'_, S>) + 'static,
    ) -> Self {
        self.orphans.register(event.into(), Box::new(callback));
        self
    }

    /// A packet that goes on although no flow sees it, and that is no orphan: a part of a datagram, which is looked at when the whole
    /// is there, or TCP with wrong checksums. For those that must let nothing pass as it is.
    #[must_use]
    pub fn on_unseen(mut self, callback: impl FnMut(&mut UnseenCx<'_, S>) + 'static) -> Self {
        self.on_unseen = Some(Box::new(callback));
        self
    }

    /// Again and again, from the first frame on, for the whole core.
    #[must_use]
    pub fn every(self, period: Duration, callback: impl FnMut(&mut CoreTimerCx<'_, S>) + 'static) -> Self {
        self.at(Timer::every(period), callback)
    }

    /// When `timer` fires, for the whole core; it is set when the monitor is opened, or with the first frame after that.
    #[must_use]
    pub fn at(mut self, timer: Timer, callback: impl FnMut(&mut CoreTimerCx<'_, S>) + 'static) -> Self {
        let handler = self.core_timer_handler(callback);
        self.timers.push((timer, handler.index));
        self
    }

    /// Lets `handler` be called for `event` on the flows to come.
    ///
    /// # Panics
    ///
    /// If the event is never raised there, or is another monitor's, or the handler is.
    #[must_use]
    pub fn register<At: Registers>(mut self, event: impl Into<EventId>, handler: Handler<At>) -> Self {
        let event = event.into();
        assert!(self.forest().knows(event), "{event} is not one of this monitor's events");
        assert!(handler.owner == self.owner, "the handler is another monitor's");
        if check_place::<At>(self.forest(), event).is_err() {
            let own = "NEW_DATA, ERROR and ORPHAN have registrations of their own";
            panic!("{event} is never raised at {:?}: {own}", At::HOOK);
        }
        self.settings.register(At::HOOK.into(), event, Some(handler.index));
        self
    }
}

/// Callbacks to be registered on flows at run time.
impl<S: 'static, F: Default + 'static> Monitor<S, F> {
    /// A callback for events at the SND hook.
    pub fn snd_handler(&mut self, callback: impl FnMut(&mut SndCx<'_, '_, S, F>) + 'static) -> Handler<AtSnd> {
        add(self.owner, &mut self.callbacks, at_snd(callback))
    }

    /// A callback for events at the RCV hook.
    pub fn rcv_handler(&mut self, callback: impl FnMut(&mut RcvCx<'_, '_, S, F>) + 'static) -> Handler<AtRcv> {
        add(self.owner, &mut self.callbacks, at_rcv(callback))
    }

    /// A callback for NEW_DATA.
    pub fn data_handler(&mut self, callback: impl FnMut(&mut DataCx<'_, '_, S, F>) + 'static) -> Handler<AtData> {
        add(self.owner, &mut self.callbacks, at_data(callback))
    }

    /// A callback for ERROR.
    pub fn error_handler(&mut self, callback: impl FnMut(&mut ErrorCx<'_, '_, S, F>) + 'static) -> Handler<AtError> {
        add(self.owner, &mut self.callbacks, at_error(callback))
    }

    /// A callback for timers of flows.
    pub fn timer_handler(&mut self, callback: impl FnMut(&mut TimerCx<'_, '_, S, F>) + 'static) -> Handler<AtTimer> {
        add(self.owner, &mut self.flow_timer, Box::new(callback))
    }

    /// A callback for timers of the core.
    pub fn core_timer_handler(
        &mut self,
        callback: impl FnMut(&mut CoreTimerCx<'_, S>) + 'static,
    ) -> Handler<AtCoreTimer> {
        add(self.owner, &mut self.core_timer, Box::new(callback))
    }

    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    pub(crate) fn forest(&self) -> &Forest {
        &self.defined.forest
    }

    pub(crate) fn orphan_events(&self) -> &PacketEvents {
        self.orphans.events()
    }

    /// How many callbacks of events it has.
    pub(crate) fn callbacks(&self) -> u32 {
        self.callbacks.len() as u32
    }

    pub(crate) fn first_timers(&self) -> Vec<(Timer, u32)> {
        self.timers.clone()
    }
}
