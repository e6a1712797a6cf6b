//! Stream monitors: closures over a core's and a flow's state (MOS_SOCK_MONITOR_STREAM).

use std::any::Any;
use std::marker::PhantomData;

use mos_core::event::{EndReason, ErrorReason, Event, Hook, Interest, Side};
use mos_core::socket::Descriptor;
use mos_core::stack::{FlowCx, PacketCx, PacketView};

use crate::context::{Conn, DataCx, EndCx, ErrorCx, OrphanCx, RcvCx, SndCx};
use crate::control::Control;

type OnSnd<S, F> = Box<dyn FnMut(&mut SndCx<'_, S, F>)>;
type OnRcv<S, F> = Box<dyn FnMut(&mut RcvCx<'_, S, F>)>;
type OnData<S, F> = Box<dyn FnMut(&mut DataCx<'_, S, F>)>;
type OnError<S, F> = Box<dyn FnMut(&mut ErrorCx<'_, S, F>)>;
type OnEnd<S, F> = Box<dyn FnMut(&mut EndCx<'_, S, F>)>;
type OnOrphan<S> = Box<dyn FnMut(&mut OrphanCx<'_, S>)>;
type Accept = Box<dyn FnMut(&PacketView<'_>) -> bool>;

/// The events that both packet hooks have, by the place of their callbacks.
const HOOKED: [Event; 5] = [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd];

/// A monitor of flows: what to do on which event. `S` is its state on this core, `F` its state of each flow, made with
/// `Default` when the flow begins and dropped when it ends.
///
/// One callback per hook and event: registering again replaces it. Only what is registered costs anything.
pub struct Monitor<S = (), F = ()> {
    name: String,
    state: S,
    flows: Vec<Option<F>>,
    sockets: Vec<Option<Descriptor>>,
    interest: Interest,
    history_bytes: u64,
    accept: Option<Accept>,
    on_snd: [Option<OnSnd<S, F>>; HOOKED.len()],
    on_rcv: [Option<OnRcv<S, F>>; HOOKED.len()],
    on_new_data: Option<OnData<S, F>>,
    on_error: Option<OnError<S, F>>,
    on_end: Option<OnEnd<S, F>>,
    on_orphan: Option<OnOrphan<S>>,
}

impl<S, F> std::fmt::Debug for Monitor<S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("name", &self.name).field("interest", &self.interest).finish_non_exhaustive()
    }
}

impl<S: 'static, F: Default + 'static> Monitor<S, F> {
    /// A monitor that does nothing yet, with both sides' bytes buffered for reading. `state` is that of this core.
    pub fn new(name: impl Into<String>, state: S) -> Self {
        Self {
            name: name.into(),
            state,
            flows: Vec::new(),
            sockets: Vec::new(),
            interest: Interest::BUFFER_CLIENT.or(Interest::BUFFER_SERVER),
            history_bytes: 0,
            accept: None,
            on_snd: [const { None }; HOOKED.len()],
            on_rcv: [const { None }; HOOKED.len()],
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
        self.interest = self.interest.without(Interest::buffer(side));
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

    /// `event` at the SND hook.
    ///
    /// # Panics
    ///
    /// If `event` is never raised there: NEW_DATA, ERROR and ORPHAN have registrations of their own.
    #[must_use]
    pub fn on_snd(mut self, event: Event, callback: impl FnMut(&mut SndCx<'_, S, F>) + 'static) -> Self {
        self.on_snd[hooked(event)] = Some(Box::new(callback));
        self.interest = self.interest.or(Interest::of(Hook::Snd, event));
        self
    }

    /// `event` at the RCV hook.
    ///
    /// # Panics
    ///
    /// If `event` is never raised there: NEW_DATA, ERROR and ORPHAN have registrations of their own.
    #[must_use]
    pub fn on_rcv(mut self, event: Event, callback: impl FnMut(&mut RcvCx<'_, S, F>) + 'static) -> Self {
        self.on_rcv[hooked(event)] = Some(Box::new(callback));
        self.interest = self.interest.or(Interest::of(Hook::Rcv, event));
        self
    }

    /// NEW_DATA: once per flow, side and burst, if the readable part grew.
    #[must_use]
    pub fn on_new_data(mut self, callback: impl FnMut(&mut DataCx<'_, S, F>) + 'static) -> Self {
        self.on_new_data = Some(Box::new(callback));
        self.interest = self.interest.or(Interest::of(Hook::Null, Event::NewData));
        self
    }

    /// ERROR.
    #[must_use]
    pub fn on_error(mut self, callback: impl FnMut(&mut ErrorCx<'_, S, F>) + 'static) -> Self {
        self.on_error = Some(Box::new(callback));
        self.interest = self.interest.or(Interest::of(Hook::Null, Event::Error));
        self
    }

    /// CONN_END at any hook: once per flow, with the reason, after all else.
    #[doc(alias = "on_any")]
    #[must_use]
    pub fn on_end(mut self, callback: impl FnMut(&mut EndCx<'_, S, F>) + 'static) -> Self {
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

fn hooked(event: Event) -> usize {
    HOOKED.iter().position(|hooked| *hooked == event).unwrap_or_else(|| {
        panic!("{event:?} is never raised at SND or RCV: use on_new_data, on_error or on_orphan");
    })
}

/// What the core tells a monitor about an event.
pub(crate) struct Call<'a> {
    pub(crate) cx: FlowCx<'a>,
    pub(crate) control: &'a mut Control,
    pub(crate) index: u8,
    pub(crate) order: u64,
    pub(crate) side: Side,
}

impl<'a> Call<'a> {
    fn conn<At>(self, socket: &'a mut Option<Descriptor>, event: Event) -> Conn<'a, At> {
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
    fn hook(&mut self, call: Call<'_>, hook: Hook, event: Event);
    fn new_data(&mut self, call: Call<'_>);
    fn error(&mut self, call: Call<'_>, reason: ErrorReason);
    fn end(&mut self, call: Call<'_>, reason: EndReason);
    fn wants_orphans(&self) -> bool;
    fn orphan(&mut self, cx: PacketCx<'_>, control: &mut Control);
}

impl<S: 'static, F: Default + 'static> Monitor<S, F> {
    /// The states a callback gets. The flow's is there from `attach` to `detach`.
    fn states(&mut self, slot: usize) -> Option<(&mut S, &mut F, &mut Option<Descriptor>)> {
        let flow = self.flows.get_mut(slot)?.as_mut()?;
        Some((&mut self.state, flow, self.sockets.get_mut(slot)?))
    }
}

impl<S: 'static, F: Default + 'static> StreamMonitor for Monitor<S, F> {
    fn interest(&self) -> Interest {
        self.interest
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
            self.sockets.resize(slot + 1, None);
        }
        self.flows[slot] = Some(F::default());
    }

    fn detach(&mut self, slot: usize) -> Option<Descriptor> {
        *self.flows.get_mut(slot)? = None;
        self.sockets[slot].take()
    }

    fn sockets(&mut self) -> Vec<Descriptor> {
        self.sockets.iter_mut().filter_map(Option::take).collect()
    }

    fn hook(&mut self, call: Call<'_>, hook: Hook, event: Event) {
        let place = hooked(event);
        let slot = call.cx.flow().slot();
        match hook {
            Hook::Snd => {
                let Some(mut callback) = self.on_snd[place].take() else { return };
                if let Some((state, flow, socket)) = self.states(slot) {
                    callback(&mut SndCx { state, flow, conn: call.conn(socket, event) });
                }
                self.on_snd[place] = Some(callback);
            }
            Hook::Rcv => {
                let Some(mut callback) = self.on_rcv[place].take() else { return };
                if let Some((state, flow, socket)) = self.states(slot) {
                    callback(&mut RcvCx { state, flow, conn: call.conn(socket, event) });
                }
                self.on_rcv[place] = Some(callback);
            }
            Hook::Null => {}
        }
    }

    fn new_data(&mut self, call: Call<'_>) {
        let slot = call.cx.flow().slot();
        let Some(mut callback) = self.on_new_data.take() else { return };
        if let Some((state, flow, socket)) = self.states(slot) {
            callback(&mut DataCx { state, flow, conn: call.conn(socket, Event::NewData) });
        }
        self.on_new_data = Some(callback);
    }

    fn error(&mut self, call: Call<'_>, reason: ErrorReason) {
        let slot = call.cx.flow().slot();
        let Some(mut callback) = self.on_error.take() else { return };
        if let Some((state, flow, socket)) = self.states(slot) {
            callback(&mut ErrorCx { state, flow, conn: call.conn(socket, Event::Error), reason });
        }
        self.on_error = Some(callback);
    }

    fn end(&mut self, call: Call<'_>, reason: EndReason) {
        let slot = call.cx.flow().slot();
        let Some(mut callback) = self.on_end.take() else { return };
        if let Some((state, flow, socket)) = self.states(slot) {
            callback(&mut EndCx { state, flow, conn: call.conn(socket, Event::ConnEnd), reason });
        }
        self.on_end = Some(callback);
    }

    fn wants_orphans(&self) -> bool {
        self.on_orphan.is_some()
    }

    fn orphan(&mut self, cx: PacketCx<'_>, control: &mut Control) {
        if let Some(callback) = &mut self.on_orphan {
            callback(&mut OrphanCx { state: &mut self.state, control, cx });
        }
    }
}
