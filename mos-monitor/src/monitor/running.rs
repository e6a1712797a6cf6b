//! A monitor that is open, as its core sees it: whatever the types of its states are.

use std::any::Any;
use std::marker::PhantomData;

use mos_core::event::{EndReason, ErrorReason, Hook, Side};
use mos_core::socket::Descriptor;
use mos_core::stack::{FlowCx, PacketCx, PacketView};

use super::{Callback, Monitor, PerFlow};
use crate::conn::Conn;
use crate::context::{CoreTimerCx, DataCx, EndCx, ErrorCx, FilterCx, Raising, RcvCx, SndCx, TimerCx};
use crate::control::{Control, Socket};
use crate::event::{EventId, Forest, UserEvent};
use crate::program::Raised;
use crate::sets::Member;
use crate::table::Settings;
use crate::timer::Armed;

/// What the core tells a monitor about an event.
pub(crate) struct Call<'a, 'b> {
    pub(crate) cx: &'a mut FlowCx<'b>,
    pub(crate) control: &'a mut Control,
    pub(crate) member: Member,
    pub(crate) side: Side,
    pub(crate) hook: Hook,
    pub(crate) event: EventId,
}

impl<'a, 'b> Call<'a, 'b> {
    #[inline]
    fn conn<At>(self, socket: &'a mut Option<Descriptor>) -> Conn<'a, 'b, At> {
        let Self { cx, control, member, side, hook, event } = self;
        Conn { cx, control, socket, member, side, hook, event, at: PhantomData }
    }
}

/// A stream monitor of any state types.
pub(crate) trait StreamMonitor {
    fn settings(&self) -> &Settings;
    fn forest(&self) -> &Forest;
    fn state(&self) -> &dyn Any;
    fn state_mut(&mut self) -> &mut dyn Any;
    /// Whether it has a callback that chooses among flows.
    fn is_choosy(&self) -> bool;
    fn accepts(&mut self, packet: &PacketView<'_>) -> bool;
    fn attach(&mut self, slot: usize);
    /// The flow is gone.
    fn detach(&mut self, slot: usize);
    /// Takes the descriptor of a flow, if one was made.
    fn take_socket(&mut self, slot: usize) -> Option<Descriptor>;
    /// The slots of its flows.
    fn slots(&self) -> Vec<usize>;
    /// An event happens; `reason` is that of an ERROR.
    fn call(&mut self, handler: u32, call: Call<'_, '_>, reason: Option<ErrorReason>);
    /// Whether an event happens whose parent does.
    fn asks(&mut self, event: UserEvent, call: Call<'_, '_>, raised: &mut Raised) -> bool;
    fn end(&mut self, call: Call<'_, '_>, reason: EndReason);
    fn timer(&mut self, armed: &Armed, call: Call<'_, '_>);
    fn core_timer(&mut self, armed: &Armed, control: &mut Control);
    /// Whether it has callbacks for that packet without a flow.
    fn wants_orphan(&self, packet: &PacketView<'_>) -> bool;
    fn orphan(&mut self, member: Member, cx: PacketCx<'_>, control: &mut Control);
}

impl<S: 'static, F: Default + 'static> StreamMonitor for Monitor<S, F> {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn forest(&self) -> &Forest {
        &self.forest
    }

    fn state(&self) -> &dyn Any {
        &self.state
    }

    fn state_mut(&mut self) -> &mut dyn Any {
        &mut self.state
    }

    fn is_choosy(&self) -> bool {
        self.accept.is_some()
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

    fn detach(&mut self, slot: usize) {
        if let Some(flow) = self.flows.get_mut(slot) {
            flow.take();
        }
    }

    fn take_socket(&mut self, slot: usize) -> Option<Descriptor> {
        self.flows.get_mut(slot)?.as_mut()?.socket.take()
    }

    fn slots(&self) -> Vec<usize> {
        self.flows.iter().enumerate().filter_map(|(slot, flow)| flow.as_ref().map(|_| slot)).collect()
    }

    #[inline]
    fn call(&mut self, handler: u32, call: Call<'_, '_>, reason: Option<ErrorReason>) {
        let Some(PerFlow { state: flow, socket }) = at(&mut self.flows, &call) else { return };
        let state = &mut self.state;
        match &mut self.callbacks[handler as usize] {
            Callback::Snd(callback) => callback(&mut SndCx { state, flow, conn: call.conn(socket) }),
            Callback::Rcv(callback) => callback(&mut RcvCx { state, flow, conn: call.conn(socket) }),
            Callback::Data(callback) => callback(&mut DataCx { state, flow, conn: call.conn(socket) }),
            Callback::Error(callback) => {
                if let Some(reason) = reason {
                    callback(&mut ErrorCx { state, flow, conn: call.conn(socket), reason });
                }
            }
            Callback::Timer(_) | Callback::CoreTimer(_) => {}
        }
    }

    fn asks(&mut self, event: UserEvent, call: Call<'_, '_>, raised: &mut Raised) -> bool {
        let Some(PerFlow { state: flow, socket }) = at(&mut self.flows, &call) else { return false };
        let Some(filter) = &mut self.filters[event.index()] else { return false };
        let raising = Raising { forest: &self.forest, evaluated: event, raised };
        filter(&mut FilterCx { state: &mut self.state, flow, conn: call.conn(socket), raising })
    }

    fn end(&mut self, call: Call<'_, '_>, reason: EndReason) {
        let Some(PerFlow { state: flow, socket }) = at(&mut self.flows, &call) else { return };
        if let Some(callback) = &mut self.on_end {
            callback(&mut EndCx { state: &mut self.state, flow, conn: call.conn(socket), reason });
        }
    }

    fn timer(&mut self, armed: &Armed, call: Call<'_, '_>) {
        let Some(PerFlow { state: flow, socket }) = at(&mut self.flows, &call) else { return };
        if let Callback::Timer(callback) = &mut self.callbacks[armed.handler as usize] {
            let (id, missed) = (armed.id, armed.missed);
            callback(&mut TimerCx { state: &mut self.state, flow, conn: call.conn(socket), id, missed });
        }
    }

    fn core_timer(&mut self, armed: &Armed, control: &mut Control) {
        if let Callback::CoreTimer(callback) = &mut self.callbacks[armed.handler as usize] {
            let &Armed { id, due, missed, .. } = armed;
            callback(&mut CoreTimerCx { state: &mut self.state, control, id, due, missed });
        }
    }

    fn wants_orphan(&self, packet: &PacketView<'_>) -> bool {
        !self.orphans.is_empty() && self.orphan_filter.as_ref().is_none_or(|filter| packet.matches(filter))
    }

    fn orphan(&mut self, member: Member, cx: PacketCx<'_>, control: &mut Control) {
        self.orphans.call(Socket::Stream(member), &mut self.state, cx, control);
    }
}

/// What the monitor has of the flow at hand: there from `attach` to `detach`.
#[inline]
fn at<'f, F>(flows: &'f mut [Option<PerFlow<F>>], call: &Call<'_, '_>) -> Option<&'f mut PerFlow<F>> {
    flows.get_mut(call.cx.slot())?.as_mut()
}
