//! Callbacks: which function of the program is called for what.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::Arc;

use mos_monitor::{
    AtData, AtError, AtRcv, AtSnd, Control, Descriptor, Event, EventId, FilterCx, Handler, Hook, PacketEventCx, Side,
    SocketKind, UserEvent,
};

use crate::abi::{callback_t, event_t, filter_arg, filter_t, mctx_t, number};
use crate::boundary::status;
use crate::context::Context;
use crate::errno::{Errno, Result};
use crate::event::{self, Argument, Cause, Definition};
use crate::here::{self, Evaluated, Place};
use crate::packet;

/// What is known of a core's monitors.
#[derive(Default)]
pub(crate) struct Monitors(HashMap<Descriptor, Monitor>);

/// What is known of one.
pub(crate) struct Monitor {
    kind: SocketKind,
    /// What the program's events are called there.
    events: HashMap<event_t, UserEvent>,
    /// Handlers that were made ready before.
    handlers: HashMap<(callback_t, event_t, c_int), Ready>,
}

/// A handler, by its place.
#[derive(Clone, Copy)]
enum Ready {
    Snd(Handler<AtSnd>),
    Rcv(Handler<AtRcv>),
    Data(Handler<AtData>),
    Error(Handler<AtError>),
}

impl Monitors {
    /// A monitor was opened.
    pub(crate) fn open(&mut self, descriptor: Descriptor, kind: SocketKind) {
        let monitor = Monitor { kind, events: HashMap::new(), handlers: HashMap::new() };
        self.0.insert(descriptor, monitor);
    }

    pub(crate) fn close(&mut self, descriptor: Descriptor) {
        self.0.remove(&descriptor);
    }

    /// What an event is called on a monitor; `None` if it does not know it.
    pub(crate) fn event(&self, monitor: Descriptor, event: event_t) -> Option<UserEvent> {
        self.0.get(&monitor)?.events.get(&event).copied()
    }
}

/// What a callback is to be told beside where it is.
#[derive(Clone)]
struct Told {
    mctx: mctx_t,
    monitor: Descriptor,
    event: event_t,
    /// What the event was defined with.
    argument: filter_arg,
    /// The bytes of that.
    _bytes: Option<Arc<Argument>>,
}

impl Told {
    /// Calls a callback.
    #[inline]
    fn call(&self, place: &mut dyn Place, callback: callback_t, sock: Descriptor, side: c_int) {
        // A copy: the program may write it.
        let mut argument = self.argument;
        let ((), length) = here::lend(place, || {
            // SAFETY: the program has registered it for that; the argument's bytes live as long as this.
            unsafe { callback(self.mctx, sock.as_raw(), side, self.event, &raw mut argument) }
        });
        packet::finish(place, length);
    }

    /// Asks a filter.
    #[inline]
    fn ask(&self, place: &mut dyn Place, filter: filter_t, sock: Descriptor, side: c_int) -> bool {
        let mut argument = self.argument;
        let evaluated = Evaluated { event: self.event, monitor: self.monitor };
        here::set_evaluated(Some(evaluated));
        let (happens, length) = here::lend(place, || {
            // SAFETY: the program has defined an event by it; the argument's bytes live as long as this.
            unsafe { filter(self.mctx, sock.as_raw(), side, self.event, &raw mut argument) }
        });
        here::set_evaluated(None);
        packet::finish(place, length);
        happens
    }
}

fn side(side: Side) -> c_int {
    side as c_int
}

/// Where a monitor is changed.
struct Registering<'a> {
    context: Context,
    control: &'a mut Control,
    descriptor: Descriptor,
    monitor: &'a mut Monitor,
}

impl Registering<'_> {
    fn told(&self, event: event_t, cause: Option<Cause>) -> Told {
        let bytes = match cause {
            Some(Cause::Filter(_, bytes)) => Some(bytes),
            _ => None,
        };
        let argument = bytes.as_ref().map_or(filter_arg::NONE, |bytes| bytes.as_c());
        Told { mctx: self.context.mctx(), monitor: self.descriptor, event, argument, _bytes: bytes }
    }

    /// What an event is called on this monitor, defined there with all above it if need be. `None` if it descends from an event that
    /// never happens.
    fn event(&mut self, event: event_t) -> Result<Option<EventId>> {
        if let Some(known) = self.monitor.events.get(&event) {
            return Ok(Some((*known).into()));
        }
        // From the event upwards as far as anything is new; an own list: nesting may be deeper than the stack.
        let (mut new, mut at) = (Vec::new(), event);
        let mut parent: EventId = loop {
            if let Some(known) = self.monitor.events.get(&at) {
                break (*known).into();
            }
            match event::definition(at) {
                Some(definition) => {
                    new.push((at, definition.clone()));
                    at = definition.parent;
                }
                None => match event::builtin(at) {
                    Some(builtin) => break builtin.into(),
                    None => return Ok(None),
                },
            }
        };
        for (event, definition) in new.into_iter().rev() {
            let user = self.define(event, definition, parent)?;
            self.monitor.events.insert(event, user);
            parent = user.into();
        }
        Ok(Some(parent))
    }

    fn define(&mut self, event: event_t, definition: Definition, parent: EventId) -> Result<UserEvent> {
        let of_packets =
            event::builtin(definition.root) == Some(Event::Orphan) || self.monitor.kind == SocketKind::MonitorRaw;
        let told = self.told(event, Some(definition.cause.clone()));
        let defined = match (definition.cause, of_packets) {
            (Cause::Filter(filter, _), false) => {
                self.control.define::<(), ()>(self.descriptor, parent, move |cx: &mut FilterCx<'_, '_, (), ()>| {
                    let Some(socket) = cx.conn.socket() else { return false };
                    let side = side(cx.conn.side());
                    told.ask(cx, filter, socket, side)
                })
            }
            (Cause::Filter(filter, _), true) => {
                let socket = self.descriptor;
                self.control.define_packet_event::<()>(socket, parent, move |cx: &mut PacketEventCx<'_, ()>| {
                    told.ask(cx, filter, socket, number::MOS_SIDE_BOTH)
                })
            }
            (Cause::Raised, false) => self.control.alloc::<(), ()>(self.descriptor, parent),
            (Cause::Raised, true) => self.control.alloc_packet_event::<()>(self.descriptor, parent),
        };
        Ok(defined?)
    }

    /// The handler that calls `callback`, made ready if it was not yet.
    fn handler(&mut self, callback: callback_t, event: event_t, root: event_t, hook: c_int) -> Result<Ready> {
        if let Some(ready) = self.monitor.handlers.get(&(callback, event, hook)) {
            return Ok(*ready);
        }
        let told = self.told(event, event::definition(event).map(|definition| definition.cause));
        let (control, socket) = (&mut *self.control, self.descriptor);
        macro_rules! call {
            ($make:ident) => {
                control.$make::<(), ()>(socket, move |cx| {
                    let Some(socket) = cx.conn.socket() else { return };
                    let side = side(cx.conn.side());
                    told.call(cx, callback, socket, side);
                })
            };
        }
        let ready = match hook {
            number::MOS_HK_SND => Ready::Snd(call!(snd_handler)?),
            number::MOS_HK_RCV => Ready::Rcv(call!(rcv_handler)?),
            _ if event::builtin(root) == Some(Event::NewData) => Ready::Data(call!(data_handler)?),
            _ => Ready::Error(call!(error_handler)?),
        };
        self.monitor.handlers.insert((callback, event, hook), ready);
        Ok(ready)
    }

    /// For packets that no flow has: of the monitor itself.
    fn register_packets(&mut self, event: event_t, id: EventId, callback: Option<callback_t>) -> Result {
        let socket = self.descriptor;
        let Some(callback) = callback else { return Ok(self.control.off_packet_event::<()>(socket, id)?) };
        let told = self.told(event, event::definition(event).map(|definition| definition.cause));
        self.control.on_packet_event::<()>(socket, id, move |cx| {
            told.call(cx, callback, socket, number::MOS_SIDE_BOTH);
        })?;
        Ok(())
    }

    /// For flows: `target` is the monitor, or one of its flows.
    fn register_flows(
        &mut self,
        target: Descriptor,
        (event, root, id): (event_t, event_t, EventId),
        hook: c_int,
        callback: Option<callback_t>,
    ) -> Result {
        let Some(callback) = callback else {
            let place = match hook {
                number::MOS_HK_SND => Hook::Snd,
                number::MOS_HK_RCV => Hook::Rcv,
                _ => Hook::Null,
            };
            return Ok(self.control.deregister(target, place, id)?);
        };
        match self.handler(callback, event, root, hook)? {
            Ready::Snd(handler) => self.control.register(target, id, handler)?,
            Ready::Rcv(handler) => self.control.register(target, id, handler)?,
            Ready::Data(handler) => self.control.register(target, id, handler)?,
            Ready::Error(handler) => self.control.register(target, id, handler)?,
        }
        Ok(())
    }
}

/// Whether an event that descends from `root` can be had at a hook.
fn is_legal(root: event_t, hook: c_int) -> bool {
    match event::builtin(root) {
        // The deprecated ones: anywhere, and never.
        None => matches!(hook, number::MOS_NULL | number::MOS_HK_SND | number::MOS_HK_RCV),
        Some(Event::NewData | Event::Error | Event::Orphan) => hook == number::MOS_NULL,
        Some(Event::PktIn) => matches!(hook, number::MOS_NULL | number::MOS_HK_SND | number::MOS_HK_RCV),
        Some(_) => matches!(hook, number::MOS_HK_SND | number::MOS_HK_RCV),
    }
}

fn register(
    context: Context,
    control: &mut Control,
    sock: c_int,
    event: event_t,
    hook: c_int,
    callback: Option<callback_t>,
) -> Result {
    let target = Descriptor::from_raw(sock);
    let kind = control.kind(target).ok_or(Errno::EBADF)?;
    let root = event::root(event).ok_or(Errno::EINVAL)?;
    if !is_legal(root, hook) {
        return Err(Errno::EINVAL);
    }
    let descriptor = match kind {
        SocketKind::MonitorStreamActive => control.monitor_of(target)?,
        SocketKind::MonitorStream | SocketKind::MonitorRaw => target,
        _ => return Err(Errno::EINVAL),
    };
    let root_event = event::builtin(root);
    let is_of_packets = match kind {
        SocketKind::MonitorRaw if hook != number::MOS_NULL => return Err(Errno::EINVAL),
        SocketKind::MonitorRaw => match root_event {
            Some(Event::PktIn | Event::Orphan) => true,
            None => return Ok(()),
            Some(_) => return Err(Errno::EINVAL),
        },
        SocketKind::MonitorStream => root_event == Some(Event::Orphan),
        // ORPHAN is no flow's.
        _ if root_event == Some(Event::Orphan) => return Err(Errno::EINVAL),
        _ => false,
    };
    if !is_of_packets && root_event == Some(Event::PktIn) && hook == number::MOS_NULL {
        // mOS takes it, too, and never calls it.
        return Ok(());
    }
    here::monitors(|monitors| {
        let monitor = monitors.0.get_mut(&descriptor).ok_or(Errno::EBADF)?;
        let mut registering = Registering { context, control, descriptor, monitor };
        let Some(id) = registering.event(event)? else { return Ok(()) };
        if is_of_packets {
            registering.register_packets(event, id, callback)
        } else {
            registering.register_flows(target, (event, root, id), hook, callback)
        }
    })
}

/// See mtcp_register_callback(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_register_callback(
    mctx: mctx_t,
    sock: c_int,
    event: event_t,
    hook_point: c_int,
    cb: Option<callback_t>,
) -> c_int {
    status(|| {
        let context = Context::of(mctx)?;
        context
            .ask(move |place| here::control(place, |control| register(context, control, sock, event, hook_point, cb)))
    })
}

/// See mtcp_unregister_callback(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_unregister_callback(mctx: mctx_t, sock: c_int, event: event_t, hook_point: c_int) -> c_int {
    mtcp_register_callback(mctx, sock, event, hook_point, None)
}
