//! A monitor that is open, as its core sees it: whatever the types of its states are.

use std::any::Any;

use mos_core::event::EndReason;
use mos_core::stack::{CoreCx, FlowCx, PacketCx, PacketView};

use super::Monitor;
use crate::addition::Addition;
use crate::callback::{EventFilter, OnEvent, never};
use crate::conn::Conn;
use crate::context::{CoreTimerCx, EndCx, PacketEventCx, TimerCx};
use crate::control::{Control, Socket};
use crate::event::{EventId, Forest};
use crate::program::{Node, Place};
use crate::raw::PacketAddition;
use crate::sets::Member;
use crate::table::Settings;
use crate::timer::Armed;

/// A stream monitor of any state types.
pub(crate) trait StreamMonitor {
    fn settings(&self) -> &Settings;
    fn forest(&self) -> &Forest;
    fn state(&self) -> &dyn Any;
    fn state_mut(&mut self) -> &mut dyn Any;
    fn sees_ipv6(&self) -> bool;
    /// Whether it has a callback that chooses among flows for itself.
    fn can_accept(&self) -> bool;
    /// Whether it has one that chooses for all.
    fn can_refuse(&self) -> bool;
    fn accepts(&mut self, packet: &PacketView<'_>) -> bool;
    /// Whether nobody is to have a flow that begins with that packet.
    fn refuses(&mut self, packet: &PacketView<'_>) -> bool;
    fn attach(&mut self, slot: usize);
    /// The flow is gone.
    fn detach(&mut self, slot: usize);
    /// The slots of its flows.
    fn slots(&self) -> Vec<usize>;
    /// Calls one handler of the flow in `slot`. It may panic.
    ///
    /// Arguments stand where the handler will want them.
    fn call(&mut self, handler: usize, slot: usize, cx: &mut FlowCx<'_>, control: &mut Control);
    /// Calls the handlers of `nodes` whose events happen, from the node `at` on and as far as nobody asks for anything. Returns where
    /// to go on. It may panic.
    fn tell(&mut self, cx: &mut FlowCx<'_>, control: &mut Control, nodes: &[Node], at: usize) -> Place;
    /// Calls `handler` with what a flow has brought for it to the end of the burst, and goes on with the next ones that have
    /// nobody else to be told, until it asks for anything. It may panic.
    fn read(&mut self, cx: &mut FlowCx<'_>, control: &mut Control, handler: u32);
    fn end(&mut self, cx: &mut FlowCx<'_>, control: &mut Control, reason: EndReason);
    fn timer(&mut self, cx: &mut FlowCx<'_>, control: &mut Control, armed: &Armed);
    fn core_timer(&mut self, armed: &Armed, cx: CoreCx<'_>, control: &mut Control);
    /// Whether it has callbacks for that packet without a flow.
    fn wants_orphan(&self, packet: &PacketView<'_>) -> bool;
    fn orphan(&mut self, member: Member, cx: PacketCx<'_>, control: &mut Control);
    /// Whether it has a callback for packets that go on although no flow sees them.
    fn wants_unseen(&self) -> bool;
    /// Such a packet.
    fn unseen(&mut self, cx: PacketCx<'_>, control: &mut Control);
    fn add(&mut self, addition: Addition);
}

impl<S: 'static, F: Default + 'static> StreamMonitor for Monitor<S, F> {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn forest(&self) -> &Forest {
        &self.defined.forest
    }

    fn state(&self) -> &dyn Any {
        &self.state
    }

    fn state_mut(&mut self) -> &mut dyn Any {
        &mut self.state
    }

    fn sees_ipv6(&self) -> bool {
        self.ipv6
    }

    fn can_accept(&self) -> bool {
        self.accept.is_some()
    }

    fn can_refuse(&self) -> bool {
        self.refuse.is_some()
    }

    fn accepts(&mut self, packet: &PacketView<'_>) -> bool {
        self.accept.as_mut().is_none_or(|accept| accept(packet))
    }

    fn refuses(&mut self, packet: &PacketView<'_>) -> bool {
        self.refuse.as_mut().is_some_and(|refuse| refuse(packet))
    }

    fn attach(&mut self, slot: usize) {
        self.flows.attach(slot);
    }

    fn detach(&mut self, slot: usize) {
        self.flows.detach(slot);
    }

    fn slots(&self) -> Vec<usize> {
        self.flows.slots()
    }

    fn call(&mut self, handler: usize, slot: usize, cx: &mut FlowCx<'_>, control: &mut Control) {
        if let (Some(flow), Some(callback)) = (self.flows.at(slot), self.callbacks.get_mut(handler)) {
            callback(&mut self.state, flow, cx, control);
        }
    }

    fn tell(&mut self, cx: &mut FlowCx<'_>, control: &mut Control, nodes: &[Node], at: usize) -> Place {
        match control.guard.is_timing() {
            false => self.walk::<false>(cx, control, nodes, at),
            true => self.walk::<true>(cx, control, nodes, at),
        }
    }

    fn read(&mut self, cx: &mut FlowCx<'_>, control: &mut Control, handler: u32) {
        let Some(callback) = self.callbacks.get_mut(handler as usize) else { return };
        while let Some(flow) = self.flows.at(cx.slot()) {
            callback(&mut self.state, flow, cx, control);
            if !control.is_idle() {
                return;
            }
            let Some(side) = cx.go_on() else { return };
            control.told.side = side;
        }
    }

    fn end(&mut self, cx: &mut FlowCx<'_>, control: &mut Control, reason: EndReason) {
        if let (Some(flow), Some(callback)) = (self.flows.at(cx.slot()), &mut self.on_end) {
            let state = &mut self.state;
            run(cx, control, |conn| callback(&mut EndCx { state, flow, conn, reason }));
        }
    }

    fn timer(&mut self, cx: &mut FlowCx<'_>, control: &mut Control, armed: &Armed) {
        let callback = self.flow_timer.get_mut(armed.handler as usize);
        if let (Some(flow), Some(callback)) = (self.flows.at(cx.slot()), callback) {
            let (state, id, missed) = (&mut self.state, armed.id, armed.missed);
            run(cx, control, |conn| callback(&mut TimerCx { state, flow, conn, id, missed }));
        }
    }

    fn core_timer(&mut self, armed: &Armed, cx: CoreCx<'_>, control: &mut Control) {
        if let Some(callback) = self.core_timer.get_mut(armed.handler as usize) {
            callback(&mut CoreTimerCx::new(&mut self.state, control, cx, armed));
        }
    }

    fn wants_orphan(&self, packet: &PacketView<'_>) -> bool {
        let is_seen = self.ipv6 || packet.packet.ip_version != 6;
        !self.orphans.is_empty() && is_seen && self.orphan_filter.as_ref().is_none_or(|filter| packet.matches(filter))
    }

    fn orphan(&mut self, member: Member, cx: PacketCx<'_>, control: &mut Control) {
        self.orphans.call(Socket::Stream(member), &mut self.state, cx, control);
    }

    fn wants_unseen(&self) -> bool {
        self.on_unseen.is_some()
    }

    fn unseen(&mut self, cx: PacketCx<'_>, control: &mut Control) {
        if let Some(callback) = &mut self.on_unseen {
            callback(&mut PacketEventCx { state: &mut self.state, control, cx, raising: None });
        }
    }

    fn add(&mut self, addition: Addition) {
        match addition {
            Addition::Callback(callback) => self.callbacks.extend(unbox::<OnEvent<S, F>>(callback)),
            Addition::Event { parent, filter } => {
                self.defined.forest.define(parent, filter.is_none(), None);
                self.filters.push(filter.and_then(unbox::<EventFilter<S, F>>).unwrap_or_else(never));
            }
            Addition::Accept(accept) => self.accept = Some(accept),
            Addition::Ipv6(sees) => self.ipv6 = sees,
            Addition::Filter(filter) => self.orphan_filter = filter,
            Addition::Packets(addition) => {
                if let Some(addition) = unbox::<PacketAddition<S>>(addition) {
                    self.orphans.add(addition);
                }
            }
            Addition::NoPackets(event) => self.orphans.deregister(event),
        }
    }
}

/// What was boxed where the monitor's types were not known: they were compared before.
fn unbox<T: 'static>(boxed: Box<dyn Any>) -> Option<T> {
    boxed.downcast().ok().map(|value| *value)
}

/// Runs a callback of a flow. `None` if it panicked: then the monitor leaves the flow.
#[inline(always)]
fn run<'b, At, R>(
    cx: &mut FlowCx<'b>,
    control: &mut Control,
    callback: impl FnOnce(Conn<'_, 'b, At>) -> R,
) -> Option<R> {
    let result = control.run(|control| callback(Conn::new(cx, control)));
    if result.is_none() {
        control.leave(control.told.member, cx.flow());
    }
    result
}

impl<S, F: Default> Monitor<S, F> {
    /// See [`StreamMonitor::tell`]. Whether callbacks are timed is not asked again for each of them.
    #[inline(never)]
    fn walk<const TIMED: bool>(
        &mut self,
        cx: &mut FlowCx<'_>,
        control: &mut Control,
        nodes: &[Node],
        at: usize,
    ) -> Place {
        let Self { state, flows, filters, defined, callbacks, .. } = self;
        let Some(flow) = flows.at(cx.slot()) else { return Place::new(nodes.len(), false) };
        if at == 0 {
            defined.raised.clear();
        }
        let mut rest = nodes.get(at..).unwrap_or_default();
        while let [node, behind @ ..] = rest {
            control.told.event = node.event;
            if let EventId::User(event) = node.event {
                let happens = if node.is_raised {
                    defined.raised.contains(&event)
                } else {
                    filters.get_mut(event.index()).is_some_and(|filter| {
                        control.time_if::<TIMED, _>(|control| filter(state, flow, cx, control, defined))
                    })
                };
                if !control.is_idle() {
                    let skipped = if happens { 0 } else { node.skip as usize };
                    return Place::new(nodes.len() - rest.len() + skipped, happens);
                }
                if !happens {
                    let Some(next) = rest.get(node.skip as usize..) else { break };
                    rest = next;
                    continue;
                }
            }
            rest = behind;
            if let Some(callback) = callbacks.get_mut(node.handler as usize) {
                control.time_if::<TIMED, _>(|control| callback(state, flow, cx, control));
                if !control.is_idle() {
                    break;
                }
            }
        }
        Place::new(nodes.len() - rest.len(), false)
    }
}
