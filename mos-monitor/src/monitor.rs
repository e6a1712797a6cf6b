//! Stream monitors: closures over a core's and a flow's state (MOS_SOCK_MONITOR_STREAM).

use std::any::Any;
use std::marker::PhantomData;

use mos_core::event::{EndReason, ErrorReason, Event, Hook, Interest, Side};
use mos_core::filter::Filter;
use mos_core::socket::Descriptor;
use mos_core::stack::{FlowCx, PacketCx, PacketView};

use crate::context::{Conn, DataCx, EndCx, ErrorCx, OrphanCx, RcvCx, SndCx};
use crate::control::Control;

type OnSnd<S, F> = Box<dyn FnMut(&mut SndCx<'_, '_, S, F>)>;
type OnRcv<S, F> = Box<dyn FnMut(&mut RcvCx<'_, '_, S, F>)>;
type OnData<S, F> = Box<dyn FnMut(&mut DataCx<'_, '_, S, F>)>;
type OnError<S, F> = Box<dyn FnMut(&mut ErrorCx<'_, '_, S, F>)>;
type OnEnd<S, F> = Box<dyn FnMut(&mut EndCx<'_, '_, S, F>)>;
type OnOrphan<S> = Box<dyn FnMut(&mut OrphanCx<'_, S>)>;
type Accept = Box<dyn FnMut(&PacketView<'_>) -> bool>;

/// The number of events that both packet hooks have.
const HOOKED: usize = 5;

/// A monitor of flows: what to do on which event. `S` is its state on this core, `F` its state of each flow, made with
/// `Default` when the flow begins and dropped when it ends.
///
/// One callback per hook and event: registering again replaces it. Only what is registered costs anything.
pub struct Monitor<S = (), F = ()> {
    name: String,
    state: S,
    /// By the slot of the flow.
    flows: Vec<Option<PerFlow<F>>>,
    interest: Interest,
    /// Whether the bytes that each side receives are kept for reading, if that was said.
    buffers: [Option<bool>; 2],
    history_bytes: u64,
    accept: Option<Accept>,
    orphan_filter: Option<Filter>,
    on_snd: [Option<OnSnd<S, F>>; HOOKED],
    on_rcv: [Option<OnRcv<S, F>>; HOOKED],
    on_new_data: Option<OnData<S, F>>,
    on_error: Option<OnError<S, F>>,
    on_end: Option<OnEnd<S, F>>,
    on_orphan: Option<OnOrphan<S>>,
}

/// What a monitor has of a flow.
struct PerFlow<F> {
    state: F,
    socket: Option<Descriptor>,
}

impl<S, F> std::fmt::Debug for Monitor<S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("name", &self.name).field("interest", &self.interest).finish_non_exhaustive()
    }
}

impl<S: 'static, F: Default + 'static> Monitor<S, F> {
    /// A monitor that does nothing yet. `state` is that of this core.
    pub fn new(name: impl Into<String>, state: S) -> Self {
        Self {
            name: name.into(),
            state,
            flows: Vec::new(),
            interest: Interest::NONE,
            buffers: [None; 2],
            history_bytes: 0,
            accept: None,
            orphan_filter: None,
            on_snd: [const { None }; HOOKED],
            on_rcv: [const { None }; HOOKED],
            on_new_data: None,
            on_error: None,
            on_end: None,
            on_orphan: None,
        }
    }

    /// Nobody reads bytes: only sequence numbers are followed, and NEW_DATA is not raised (MOS_CLIBUF = MOS_SVRBUF = 0).
    #[must_use]
    pub fn without_buffers(self) -> Self {
        self.without_buffer(Side::Client).without_buffer(Side::Server)
    }

    /// Nobody reads the bytes that `side` receives (MOS_CLIBUF = 0 or MOS_SVRBUF = 0).
    #[must_use]
    pub fn without_buffer(mut self, side: Side) -> Self {
        self.buffers[side as usize] = Some(false);
        self
    }

    /// The bytes that `side` receives are read, though not by [`Self::on_new_data`]: what is not taken in time is kept, up to
    /// the receive buffer, and then given up with an ERROR. With [`Self::on_new_data`] both sides are buffered anyway.
    #[must_use]
    pub fn with_buffer(mut self, side: Side) -> Self {
        self.buffers[side as usize] = Some(true);
        self
    }

    /// Keeps up to `bytes` of each direction after they were taken: for `ppeek` behind the cursor, and so that
    /// retransmissions of them with other bytes are found. Costs a copy of every byte.
    #[must_use]
    pub fn keep_history(mut self, bytes: u64) -> Self {
        self.history_bytes = bytes;
        let history = if bytes > 0 { Interest::HISTORY } else { Interest::NONE };
        self.interest = self.interest.without(Interest::HISTORY).or(history);
        self
    }

    /// Only flows whose first packet `filter` accepts are monitored. It is asked once per flow.
    #[must_use]
    pub fn accept(mut self, filter: impl FnMut(&PacketView<'_>) -> bool + 'static) -> Self {
        self.accept = Some(Box::new(filter));
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

    /// `event` at the SND hook.
    ///
    /// # Panics
    ///
    /// If `event` is never raised there: NEW_DATA, ERROR and ORPHAN have registrations of their own.
    #[must_use]
    pub fn on_snd(mut self, event: Event, callback: impl FnMut(&mut SndCx<'_, '_, S, F>) + 'static) -> Self {
        self.on_snd[registered_at(event)] = Some(Box::new(callback));
        self.interest = self.interest.or(Interest::of(Hook::Snd, event));
        self
    }

    /// `event` at the RCV hook.
    ///
    /// # Panics
    ///
    /// If `event` is never raised there: NEW_DATA, ERROR and ORPHAN have registrations of their own.
    #[must_use]
    pub fn on_rcv(mut self, event: Event, callback: impl FnMut(&mut RcvCx<'_, '_, S, F>) + 'static) -> Self {
        self.on_rcv[registered_at(event)] = Some(Box::new(callback));
        self.interest = self.interest.or(Interest::of(Hook::Rcv, event));
        self
    }

    /// NEW_DATA: once per flow, side and burst, if the readable part grew.
    #[must_use]
    pub fn on_new_data(mut self, callback: impl FnMut(&mut DataCx<'_, '_, S, F>) + 'static) -> Self {
        self.on_new_data = Some(Box::new(callback));
        self.interest = self.interest.or(Interest::of(Hook::Null, Event::NewData));
        self
    }

    /// ERROR.
    #[must_use]
    pub fn on_error(mut self, callback: impl FnMut(&mut ErrorCx<'_, '_, S, F>) + 'static) -> Self {
        self.on_error = Some(Box::new(callback));
        self.interest = self.interest.or(Interest::of(Hook::Null, Event::Error));
        self
    }

    /// CONN_END at any hook: once per flow, with the reason, after all else.
    #[doc(alias = "on_any")]
    #[must_use]
    pub fn on_end(mut self, callback: impl FnMut(&mut EndCx<'_, '_, S, F>) + 'static) -> Self {
        self.on_end = Some(Box::new(callback));
        self.interest = self.interest.or(Interest::END);
        self
    }

    /// ORPHAN: every IP packet that belongs to no flow.
    #[must_use]
    pub fn on_orphan(mut self, callback: impl FnMut(&mut OrphanCx<'_, S>) + 'static) -> Self {
        self.on_orphan = Some(Box::new(callback));
        self
    }
}

/// The place of an event's callback among those of a packet hook.
fn place(event: Event) -> Option<usize> {
    match event {
        Event::PktIn => Some(0),
        Event::ConnStart => Some(1),
        Event::TcpStateChange => Some(2),
        Event::Rexmit => Some(3),
        Event::ConnEnd => Some(4),
        Event::NewData | Event::Error | Event::Orphan => None,
    }
}

fn registered_at(event: Event) -> usize {
    place(event).unwrap_or_else(|| {
        panic!("{event:?} is never raised at SND or RCV: use on_new_data, on_error or on_orphan");
    })
}

/// What the core tells a monitor about an event.
pub(crate) struct Call<'a, 'b> {
    pub(crate) cx: &'a mut FlowCx<'b>,
    pub(crate) control: &'a mut Control,
    pub(crate) index: u8,
    pub(crate) order: u64,
    pub(crate) side: Side,
}

impl<'a, 'b> Call<'a, 'b> {
    #[inline]
    fn conn<At>(self, socket: &'a mut Option<Descriptor>, event: Event) -> Conn<'a, 'b, At> {
        let Self { cx, control, index, order, side } = self;
        Conn { cx, control, socket, index, order, side, event, at: PhantomData }
    }
}

/// A stream monitor of any state types.
pub(crate) trait StreamMonitor {
    fn interest(&self) -> Interest;
    fn history_bytes(&self) -> u64;
    fn state(&self) -> &dyn Any;
    fn accepts(&mut self, packet: &PacketView<'_>) -> bool;
    fn attach(&mut self, slot: usize);
    /// The flow is gone. Returns its descriptor, if one was made.
    fn detach(&mut self, slot: usize) -> Option<Descriptor>;
    /// All descriptors of flows.
    fn sockets(&mut self) -> Vec<Descriptor>;
    fn hook(&mut self, call: Call<'_, '_>, hook: Hook, event: Event);
    fn new_data(&mut self, call: Call<'_, '_>);
    fn error(&mut self, call: Call<'_, '_>, reason: ErrorReason);
    fn end(&mut self, call: Call<'_, '_>, reason: EndReason);
    fn wants_orphans(&self) -> bool;
    fn orphan(&mut self, cx: PacketCx<'_>, control: &mut Control);
}

impl<S: 'static, F: Default + 'static> StreamMonitor for Monitor<S, F> {
    fn interest(&self) -> Interest {
        let buffered =
            Side::BOTH.into_iter().filter(|&side| self.buffers[side as usize].unwrap_or(self.on_new_data.is_some()));
        buffered.fold(self.interest, |interest, side| interest.or(Interest::buffer(side)))
    }

    fn history_bytes(&self) -> u64 {
        self.history_bytes
    }

    fn state(&self) -> &dyn Any {
        &self.state
    }

    fn accepts(&mut self, packet: &PacketView<'_>) -> bool {
        self.accept.as_mut().is_none_or(|accept| accept(packet))
    }

    fn attach(&mut self, slot: usize) {
        if slot >= self.flows.len() {
            self.flows.resize_with(slot + 1, || None);
        }
        self.flows[slot] = Some(PerFlow { state: F::default(), socket: None });
    }

    fn detach(&mut self, slot: usize) -> Option<Descriptor> {
        self.flows.get_mut(slot)?.take()?.socket
    }

    fn sockets(&mut self) -> Vec<Descriptor> {
        self.flows.iter_mut().flatten().filter_map(|flow| flow.socket.take()).collect()
    }

    fn hook(&mut self, call: Call<'_, '_>, hook: Hook, event: Event) {
        let Some(PerFlow { state: flow, socket }) = at(&mut self.flows, &call) else { return };
        let Some(place) = place(event) else { return };
        let state = &mut self.state;
        match hook {
            Hook::Snd => {
                if let Some(callback) = &mut self.on_snd[place] {
                    callback(&mut SndCx { state, flow, conn: call.conn(socket, event) });
                }
            }
            Hook::Rcv => {
                if let Some(callback) = &mut self.on_rcv[place] {
                    callback(&mut RcvCx { state, flow, conn: call.conn(socket, event) });
                }
            }
            Hook::Null => {}
        }
    }

    fn new_data(&mut self, call: Call<'_, '_>) {
        let Some(PerFlow { state: flow, socket }) = at(&mut self.flows, &call) else { return };
        if let Some(callback) = &mut self.on_new_data {
            callback(&mut DataCx { state: &mut self.state, flow, conn: call.conn(socket, Event::NewData) });
        }
    }

    fn error(&mut self, call: Call<'_, '_>, reason: ErrorReason) {
        let Some(PerFlow { state: flow, socket }) = at(&mut self.flows, &call) else { return };
        if let Some(callback) = &mut self.on_error {
            callback(&mut ErrorCx { state: &mut self.state, flow, conn: call.conn(socket, Event::Error), reason });
        }
    }

    fn end(&mut self, call: Call<'_, '_>, reason: EndReason) {
        let Some(PerFlow { state: flow, socket }) = at(&mut self.flows, &call) else { return };
        if let Some(callback) = &mut self.on_end {
            callback(&mut EndCx { state: &mut self.state, flow, conn: call.conn(socket, Event::ConnEnd), reason });
        }
    }

    fn wants_orphans(&self) -> bool {
        self.on_orphan.is_some()
    }

    fn orphan(&mut self, cx: PacketCx<'_>, control: &mut Control) {
        let filtered = self.orphan_filter.as_ref().is_some_and(|filter| !cx.packet().matches(filter));
        if let Some(callback) = self.on_orphan.as_mut().filter(|_| !filtered) {
            callback(&mut OrphanCx { state: &mut self.state, control, cx });
        }
    }
}

/// What the monitor has of the flow at hand: there from `attach` to `detach`.
fn at<'f, F>(flows: &'f mut [Option<PerFlow<F>>], call: &Call<'_, '_>) -> Option<&'f mut PerFlow<F>> {
    flows.get_mut(call.cx.slot())?.as_mut()
}
