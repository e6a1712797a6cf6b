//! mtcp_close: what it answers for each kind of socket, by the errnos of its manual page (spec 1.5, COMPAT).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mos_core::config::Config;
use mos_core::socket::Descriptor;
use mos_monitor::{CloseError, Core, Event, Hook, MAX_COMMANDS, Monitor, RawMonitor, SocketKind, Timer};

use crate::support::talk::Talk;
use crate::support::{batch, core_with, feed, finish};

type Plain = Monitor<(), ()>;

/// A core with a socket of every kind, in this order: stream monitor, one of its flows, raw monitor, end host.
fn one_of_each() -> (Core, [Descriptor; 4]) {
    let active: Rc<Cell<Option<Descriptor>>> = Rc::default();
    let note = active.clone();
    let monitor = Plain::new("stream", ()).on_snd(Event::ConnStart, move |cx| note.set(cx.conn.socket()));
    let (mut core, stream) = core_with(Config::default(), monitor);
    let raw = core.open_raw(RawMonitor::new("raw", ())).unwrap();
    let end_host = core.control(|control| control.open_stream()).unwrap();
    feed(&mut core, &mut batch(&Talk::new(1).handshake()), 1);
    (core, [stream, active.get().unwrap(), raw, end_host])
}

fn errno(result: Result<(), CloseError>) -> i32 {
    result.map_or_else(CloseError::errno, |()| 0)
}

#[test]
fn spec_2_3_kinds_of_sockets_have_mos_numbers() {
    let (mut core, sockets) = one_of_each();
    let kinds = sockets.map(|socket| core.control(|control| control.kind(socket)).unwrap());
    use SocketKind::{MonitorRaw, MonitorStream, MonitorStreamActive, Stream};
    assert_eq!(kinds, [MonitorStream, MonitorStreamActive, MonitorRaw, Stream]);
    assert_eq!(kinds.map(|kind| kind as u8), [3, 6, 7, 4]);
    let internal = core.control(|control| control.internal());
    assert_eq!(core.control(|control| control.kind(internal)), None);
}

#[test]
fn mtcp_close_succeeds_on_monitors_and_flows() {
    let (mut core, [stream, active, raw, _]) = one_of_each();
    for socket in [active, raw, stream] {
        assert_eq!(errno(core.close(socket)), 0);
        assert_eq!(core.control(|control| control.kind(socket)), None);
    }
    // The monitor takes the descriptors of its flows along.
    let (mut core, [stream, active, ..]) = one_of_each();
    assert_eq!(errno(core.close(stream)), 0);
    assert_eq!(core.control(|control| control.kind(active)), None);
    finish(&mut core);
}

#[test]
fn mtcp_close_eacces_after_the_shutdown() {
    let (mut core, sockets) = one_of_each();
    finish(&mut core);
    for socket in sockets.into_iter().chain([Descriptor::from_raw(-1)]) {
        assert_eq!(core.close(socket), Err(CloseError::ShutDown));
        assert_eq!(errno(core.close(socket)), 13);
    }
}

#[test]
fn mtcp_close_eagain_leaves_the_socket_open_for_another_try() {
    let (mut core, sockets) = one_of_each();
    let [stream, active, raw, end_host] = sockets;
    core.control(|control| {
        for _ in 0..MAX_COMMANDS {
            control.deregister(active, Hook::Rcv, Event::PktIn).unwrap();
        }
        for socket in [stream, active, raw] {
            assert_eq!(control.close(socket), Err(CloseError::Again));
            assert_eq!(errno(control.close(socket)), 11);
            assert!(control.kind(socket).is_some());
        }
        // Nothing has to be queued for this one.
        assert_eq!(control.close(end_host), Err(CloseError::NotConnected));
    });
    for socket in [active, raw, stream] {
        assert_eq!(core.close(socket), Ok(()));
    }
}

/// In a callback that has asked for too much, the flow at hand can still be left.
#[test]
fn mtcp_close_eagain_is_not_for_the_flow_at_hand() {
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let monitor = Plain::new("greedy", ()).on_snd(Event::PktIn, move |cx| {
        count.set(count.get() + 1);
        let socket = cx.conn.socket().unwrap();
        for _ in 0..MAX_COMMANDS {
            cx.conn.deregister(Hook::Rcv, Event::PktIn).unwrap();
        }
        assert_eq!(cx.conn.control().close(socket), Err(CloseError::Again));
        cx.conn.stop();
        assert_eq!(errno(cx.conn.control().close(socket)), 9);
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    feed(&mut core, &mut batch(&Talk::new(1).handshake()), 1);
    assert_eq!((calls.get(), core.panics()), (1, 0));
}

#[test]
fn mtcp_close_ebadf_for_what_is_not_open() {
    let (mut core, sockets) = one_of_each();
    for socket in sockets {
        let _ = core.close(socket);
        assert!(matches!(core.close(socket), Err(CloseError::BadDescriptor(_))));
        assert_eq!(errno(core.close(socket)), 9);
    }
    for raw in [i32::MIN, -1, 0, 1 << 19, i32::MAX] {
        assert_eq!(errno(core.close(Descriptor::from_raw(raw))), 9, "{raw}");
    }
    // A number that is given out again is another one: the old name stays bad.
    let again = core.control(|control| control.open_stream()).unwrap();
    assert!(!sockets.contains(&again));
}

#[test]
fn mtcp_close_einval_for_the_cores_own_socket() {
    let (mut core, _) = one_of_each();
    let internal = core.control(|control| control.internal());
    for _ in 0..2 {
        assert_eq!(core.close(internal), Err(CloseError::Internal));
        assert_eq!(errno(core.close(internal)), 22);
    }
}

#[test]
fn mtcp_close_enotconn_releases_the_stream_socket() {
    let (mut core, [.., end_host]) = one_of_each();
    assert_eq!(core.close(end_host), Err(CloseError::NotConnected));
    assert_eq!(CloseError::NotConnected.errno(), 107);
    assert_eq!(core.control(|control| control.kind(end_host)), None);
    assert_eq!(errno(core.close(end_host)), 9);
}

#[test]
fn mtcp_close_enotsock_for_timers() {
    let timers: Rc<RefCell<Vec<Descriptor>>> = Rc::default();
    let note = timers.clone();
    let second = std::time::Duration::from_secs(1);
    let mut monitor = Plain::new("timers", ());
    let fired = Rc::new(Cell::new(0));
    let (of_flow, of_core) = (fired.clone(), fired.clone());
    let timer = monitor.timer_handler(move |_| of_flow.set(of_flow.get() + 1));
    let core_timer = monitor.core_timer_handler(move |_| of_core.set(of_core.get() + 1));
    let monitor = monitor.on_snd(Event::ConnStart, move |cx| {
        let id = cx.conn.set_timer(Timer::after(second), timer).unwrap();
        note.borrow_mut().push(id.descriptor());
        assert_eq!(errno(cx.conn.control().close(id.descriptor())), 88);
    });
    let (mut core, socket) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.handshake()), 1);
    let id = core.control(|control| control.set_timer(socket, Timer::after(second), core_timer)).unwrap();
    timers.borrow_mut().push(id.descriptor());
    for timer in timers.borrow().iter() {
        assert_eq!(core.close(*timer), Err(CloseError::NotSocket));
        assert_eq!(errno(core.close(*timer)), 88);
        assert_eq!(core.control(|control| control.kind(*timer)), None);
    }
    // They were not cancelled by that.
    core.advance(talk.time + std::time::Duration::from_secs(5));
    assert_eq!(fired.get(), 2);
    for timer in timers.borrow().iter() {
        assert_eq!(errno(core.close(*timer)), 9, "it is over");
    }
    talk.time = talk.time + std::time::Duration::from_secs(5);
    feed(&mut core, &mut batch(&talk.close()), 1);
    finish(&mut core);
}
