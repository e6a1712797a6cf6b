//! What random use of the API has found, made small.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mos_core::config::Config;
use mos_core::time::Timestamp;
use mos_monitor::{Core, Descriptor, Event, Monitor, RawMonitor, Side, Timer};

use crate::support::talk::Talk;
use crate::support::{Frame, Log, batch, feed, finish, reader};

/// A handshake, a request, an answer, and the end.
fn whole() -> Vec<Frame> {
    Talk::new(1).whole(b"request", b"answer")
}

/// D24: a filter of packets may close its own monitor; the handler behind it is not called any more.
#[test]
fn d24_a_packet_filter_that_closes_its_monitor_is_the_last_call() {
    let calls = Rc::new(Cell::new(0));
    let own = Rc::new(Cell::new(None::<Descriptor>));
    let mut raw = RawMonitor::new("raw", ());
    let me = own.clone();
    let event = raw.define(Event::PktIn, move |cx| me.take().is_some_and(|me| cx.control.close(me).is_ok()));
    let called = calls.clone();
    let mut core = Core::new(Config::default());
    own.set(core.open_raw(raw.on_event(event, move |_| called.set(called.get() + 1))).ok());
    feed(&mut core, &mut batch(&whole()), 1);
    assert_eq!(calls.get(), 0, "raw");

    let mut monitor = Monitor::<(), ()>::new("orphans", ());
    let me = own.clone();
    let event =
        monitor.define_orphan(Event::Orphan, move |cx| me.take().is_some_and(|me| cx.control.close(me).is_ok()));
    let called = calls.clone();
    own.set(core.open(monitor.on_orphan_event(event, move |_| called.set(called.get() + 1))).ok());
    feed(&mut core, &mut batch(&[Talk::new(2).ack(Side::Client)]), 1);
    assert_eq!(calls.get(), 0, "ORPHAN");
    finish(&mut core);
}

/// D9: a segment larger than the receive buffer is offered to who reads, even if somebody else does not.
#[test]
fn d9_what_one_reader_leaves_takes_nothing_from_another() {
    for (bytes, burst) in [(0, 1), (100, 1), (100, 64)] {
        let mut core = Core::new(Config { receive_buffer_bytes: bytes, ..Config::default() });
        let witness = core.open(reader()).unwrap();
        core.open(Monitor::<(), ()>::new("lazy", ()).on_new_data(|_| {})).unwrap();
        let mut talk = Talk::new(3);
        let mut capture = Vec::from(talk.handshake());
        for _ in 0..3 {
            capture.push(talk.data(Side::Client, &[7; 300]));
        }
        capture.extend(talk.close());
        feed(&mut core, &mut batch(&capture), burst);
        finish(&mut core);
        assert_eq!(core.panics(), 0);
        let stream = &core.state::<Log>(witness).unwrap().flows[0].streams[Side::Server as usize];
        assert_eq!((stream.bytes.len(), stream.missing_bytes()), (900, 0), "{bytes} bytes, bursts of {burst}");
    }
}

/// A timer counts from the packet whose callback sets it, not from when a timer was last due.
#[test]
fn a_timer_counts_from_the_callback_that_sets_it() {
    let mut monitor = Monitor::<Vec<u64>, ()>::new("timers", Vec::new());
    let fired = monitor.timer_handler(|cx| cx.state.push(cx.conn.now().as_millis()));
    let monitor = monitor.on_rcv(Event::PktIn, move |cx| {
        cx.conn.set_timer(Timer::after(Duration::from_millis(100)), fired).unwrap();
    });
    let mut core = Core::new(Config::default());
    let socket = core.open(monitor).unwrap();
    let mut talk = Talk::new(4);
    let mut capture = Vec::new();
    for second in [1, 11, 31] {
        talk.time = Timestamp::from_millis(second * 1000);
        capture.push(if second == 1 { talk.syn() } else { talk.data(Side::Client, b"x") });
    }
    feed(&mut core, &mut batch(&capture), 64);
    core.advance(Timestamp::from_millis(40_000));
    assert_eq!(core.state::<Vec<u64>>(socket), Some(&vec![1100, 11_100, 31_100]));
    finish(&mut core);
}
