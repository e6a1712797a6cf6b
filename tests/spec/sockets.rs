//! Which call is legal on which kind of socket (spec 1.10): every call that takes a descriptor, on a descriptor of every kind.

use std::cell::Cell;
use std::fmt::Debug;
use std::rc::Rc;
use std::time::Duration;

use mos_core::config::Config;
use mos_monitor::{
    AtCoreTimer, AtRcv, Control, Core, Descriptor, Event, Handler, Hook, Monitor, OverlapPolicy, RawMonitor, Side,
    Timer, TimerId,
};

use crate::support::talk::Talk;
use crate::support::{batch, core_with, feed, finish};

type Call = fn(&mut Control, Descriptor, Handlers) -> String;

#[derive(Clone, Copy)]
struct Handlers {
    rcv: Handler<AtRcv>,
    timer: Handler<AtCoreTimer>,
    /// A timer of the core.
    armed: TimerId,
}

/// The name of an error, or `ok`.
fn name<T, E: Debug>(result: Result<T, E>) -> String {
    result.map_or_else(|error| format!("{error:?}").split('(').next().unwrap_or_default().to_owned(), |_| "ok".into())
}

/// The calls, and what they answer for a stream monitor, one of its flows, a raw monitor, an end host's socket, the core's
/// own, a timer, and what was closed.
const CALLS: [(&str, Call, [&str; 7]); 9] = [
    (
        "register",
        |control, socket, handlers| name(control.register(socket, Event::PktIn, handlers.rcv)),
        ["ok", "ok", "WrongKind", "WrongKind", "WrongKind", "WrongKind", "BadDescriptor"],
    ),
    (
        "deregister",
        |control, socket, _| name(control.deregister(socket, Hook::Rcv, Event::PktIn)),
        ["ok", "ok", "WrongKind", "WrongKind", "WrongKind", "WrongKind", "BadDescriptor"],
    ),
    (
        "set_buffer",
        |control, socket, _| name(control.set_buffer(socket, Side::Client, true)),
        ["ok", "ok", "WrongKind", "WrongKind", "WrongKind", "WrongKind", "BadDescriptor"],
    ),
    (
        "set_buffer_bytes",
        |control, socket, _| name(control.set_buffer_bytes(socket, Side::Client, 4096)),
        ["ok", "ok", "WrongKind", "WrongKind", "WrongKind", "WrongKind", "BadDescriptor"],
    ),
    (
        "set_overlap",
        |control, socket, _| name(control.set_overlap(socket, Side::Client, OverlapPolicy::Last)),
        ["ok", "ok", "WrongKind", "WrongKind", "WrongKind", "WrongKind", "BadDescriptor"],
    ),
    (
        "stop_side",
        |control, socket, _| name(control.stop_side(socket, Side::Client)),
        ["ok", "ok", "WrongKind", "WrongKind", "WrongKind", "WrongKind", "BadDescriptor"],
    ),
    (
        "set_timer",
        |control, socket, handlers| name(control.set_timer(socket, Timer::after(Duration::ZERO), handlers.timer)),
        ["ok", "Foreign", "Foreign", "Foreign", "Foreign", "Foreign", "BadDescriptor"],
    ),
    (
        "cancel_timer",
        |control, socket, handlers| control.cancel_timer(socket, handlers.armed).to_string(),
        ["true", "true", "false", "false", "false", "false", "false"],
    ),
    (
        "close",
        |control, socket, _| name(control.close(socket)),
        ["ok", "ok", "ok", "NotConnected", "Internal", "NotSocket", "BadDescriptor"],
    ),
];

/// A core with a descriptor of every kind.
fn one_of_each() -> (Core, [Descriptor; 7], Handlers) {
    let active: Rc<Cell<Option<Descriptor>>> = Rc::default();
    let note = active.clone();
    let mut monitor = Monitor::<(), ()>::new("stream", ());
    let rcv = monitor.rcv_handler(|_| ());
    let timer = monitor.core_timer_handler(|_| ());
    let monitor = monitor.on_snd(Event::ConnStart, move |cx| note.set(cx.conn.socket()));
    let (mut core, stream) = core_with(Config::default(), monitor);
    let raw = core.open_raw(RawMonitor::new("raw", ())).unwrap();
    feed(&mut core, &mut batch(&Talk::new(1).handshake()), 1);
    let (end_host, internal, closed, armed) = core.control(|control| {
        let [end_host, closed] = [(); 2].map(|()| control.open_stream().unwrap());
        let _ = control.close(closed);
        let armed = control.set_timer(stream, Timer::after(Duration::from_secs(9)), timer).unwrap();
        (end_host, control.internal(), closed, armed)
    });
    let sockets = [stream, active.get().unwrap(), raw, end_host, internal, armed.descriptor(), closed];
    (core, sockets, Handlers { rcv, timer, armed })
}

#[test]
fn spec_1_10_every_call_on_every_kind_of_socket() {
    for (call, ask, expected) in CALLS {
        for (at, expected) in expected.into_iter().enumerate() {
            let (mut core, sockets, handlers) = one_of_each();
            let answer = core.control(|control| ask(control, sockets[at], handlers));
            assert_eq!(answer, expected, "{call} on socket {at}");
            finish(&mut core);
        }
    }
}

/// One space of numbers: no two descriptors are equal, whatever they stand for.
#[test]
fn spec_1_1_descriptors_of_all_kinds_are_in_one_space() {
    let (mut core, sockets, _) = one_of_each();
    for (at, socket) in sockets.iter().enumerate() {
        assert!(!sockets[..at].contains(socket), "socket {at}");
    }
    finish(&mut core);
}
