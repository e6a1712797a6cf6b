//! What monitors call (spec 1.6): state of flows, reading, registration, the time.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use mos_core::config::Config;
use mos_core::time::Timestamp;
use mos_monitor::{Core, Event, Monitor, PeekError, RawMonitor, Side, Timer};

use crate::support::talk::Talk;
use crate::support::{batch, core_with, feed, finish};

/// mtcp_set_uctx and mtcp_get_uctx: one per flow and monitor, empty at first.
#[test]
fn spec_1_6_uctx_every_flow_has_its_own_for_every_monitor() {
    type Ends = Vec<(u16, u64)>;
    let counter = |step: u64| {
        Monitor::<Ends, u64>::new("counter", Ends::new())
            .on_snd(Event::PktIn, move |cx| *cx.flow += step)
            .on_snd(Event::ConnStart, move |cx| assert_eq!(*cx.flow, step, "it was empty before the SYN"))
            .on_end(|cx| {
                let ends = (cx.conn.endpoint(Side::Client).port(), *cx.flow);
                cx.state.push(ends);
            })
    };
    let (mut core, ones) = core_with(Config::default(), counter(1));
    let hundreds = core.open(counter(100)).unwrap();
    let mut talks = [1, 2, 3].map(Talk::new);
    let mut frames: Vec<_> = talks.iter_mut().flat_map(Talk::handshake).collect();
    for round in 0..4 {
        for talk in &mut talks[round.min(2)..] {
            frames.push(talk.data(Side::Client, b"x"));
        }
    }
    feed(&mut core, &mut batch(&frames), 5);
    core.shutdown();
    let ends = |socket, step: u64| {
        let mut ends = core.state::<Ends>(socket).unwrap().clone();
        ends.sort_unstable();
        let expected = [(10_001_u16, 4 * step), (10_002, 5 * step), (10_003, 7 * step)];
        assert_eq!(ends, expected);
    };
    ends(ones, 1);
    ends(hundreds, 100);
}

/// Missing bytes fail once, with their number; then reading goes on. Nothing new is 0, and so is a buffer without room.
#[test]
fn spec_1_6_peek_fails_once_for_what_is_missing_and_reads_on() {
    let monitor = Monitor::<Vec<String>, ()>::new("reader", Vec::new())
        .with_buffer(Side::Server)
        .without_buffer(Side::Client)
        .on_rcv(Event::ConnEnd, |cx| {
            if !cx.state.is_empty() {
                return;
            }
            let mut read = |len: usize| {
                let mut bytes = vec![0; len];
                let result = cx.conn.peek(Side::Server, &mut bytes);
                cx.state.push(match result {
                    Ok(len) => String::from_utf8_lossy(&bytes[..len]).into_owned(),
                    Err(PeekError::Missing(len)) => format!("-{len}"),
                });
            };
            for len in [0, 3, 100, 100, 4, 100, 100] {
                read(len);
            }
            assert_eq!(cx.conn.position(Side::Server), 20);
            assert_eq!(cx.conn.peek(Side::Client, &mut [0; 9]), Ok(0), "nothing is kept of that side");
        });
    let (mut core, socket) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    let mut frames = Vec::from(talk.handshake());
    frames.push(talk.data(Side::Client, b"01234567"));
    frames.push(talk.data(Side::Server, b"answer"));
    let _uncaptured = talk.data(Side::Client, b"????");
    frames.push(talk.data(Side::Client, b"cdefghij"));
    frames.push(talk.ack(Side::Server));
    feed(&mut core, &mut batch(&frames), 64);
    finish(&mut core);
    assert_eq!(core.panics(), 0);
    assert_eq!(core.state::<Vec<String>>(socket).unwrap(), &["", "012", "34567", "-4", "cdef", "ghij", ""]);
}

/// Anywhere in what is kept, in order or not, as often as one likes; the reader stays where it is.
#[test]
fn spec_1_6_ppeek_does_not_move_the_reader() {
    let monitor = Monitor::<u32, ()>::new("looker", 0).with_buffer(Side::Server).on_snd(Event::PktIn, |cx| {
        if cx.conn.unread_len(Side::Server) == 0 || cx.conn.side() == Side::Client {
            return;
        }
        *cx.state += 1;
        let mut bytes = [0; 8];
        for _ in 0..2 {
            for (offset, expected) in [(0, &b"01234567"[..]), (6, b"6789"), (10, b""), (20, b"ahead"), (24, b"d")] {
                let len = cx.conn.ppeek(Side::Server, offset, &mut bytes);
                assert_eq!(&bytes[..len], expected, "at {offset}");
            }
            assert_eq!(cx.conn.ppeek(Side::Server, 0, &mut []), 0);
            assert_eq!(cx.conn.ppeek(Side::Server, u64::MAX, &mut bytes), 0);
        }
        assert_eq!((cx.conn.position(Side::Server), cx.conn.unread_len(Side::Server)), (0, 10));
    });
    let (mut core, socket) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.handshake()), 64);
    let frames = [talk.data(Side::Client, b"0123456789"), talk.ahead(Side::Client, 10, b"ahead")];
    feed(&mut core, &mut batch(&frames), 64);
    let ack = talk.ack(Side::Server);
    feed(&mut core, &mut batch(&[ack]), 64);
    assert_eq!((core.state::<u32>(socket), core.panics()), (Some(&1), 0));
    finish(&mut core);
}

/// One callback for each event and hook: registering again replaces it.
#[test]
fn spec_1_6_register_callback_again_replaces_the_callback() {
    let told: Rc<RefCell<Vec<&str>>> = Rc::default();
    let note = |what: &'static str| {
        let told = told.clone();
        move || told.borrow_mut().push(what)
    };
    let [old, new, rcv] = [note("old"), note("new"), note("rcv")];
    let [old_orphan, new_orphan] = [note("old orphan"), note("new orphan")];
    let [old_raw, new_raw] = [note("old raw"), note("new raw")];
    let monitor = Monitor::<(), ()>::new("stream", ())
        .on_snd(Event::PktIn, move |_| old())
        .on_rcv(Event::PktIn, move |_| rcv())
        .on_snd(Event::PktIn, move |_| new())
        .on_orphan(move |_| old_orphan())
        .on_orphan(move |_| new_orphan());
    let (mut core, _) = core_with(Config::default(), monitor);
    core.open_raw(RawMonitor::new("raw", ()).on_packet(move |_| old_raw()).on_packet(move |_| new_raw())).unwrap();
    let mut talk = Talk::new(1);
    let frames = [talk.rst(Side::Server), talk.syn()];
    feed(&mut core, &mut batch(&frames), 64);
    assert_eq!(*told.borrow(), ["new raw", "new orphan", "new raw", "new", "rcv"]);
}

/// What is never raised at a hook cannot be registered there.
#[test]
fn spec_1_6_register_callback_refuses_events_at_hooks_where_they_are_not_raised() {
    for event in [Event::NewData, Event::Error, Event::Orphan] {
        let snd = catch_unwind(AssertUnwindSafe(|| Monitor::<(), ()>::new("snd", ()).on_snd(event, |_| ())));
        let rcv = catch_unwind(AssertUnwindSafe(|| Monitor::<(), ()>::new("rcv", ()).on_rcv(event, |_| ())));
        assert!(snd.is_err() && rcv.is_err(), "{event:?}");
    }
    for event in [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd] {
        let data = catch_unwind(AssertUnwindSafe(|| Monitor::<(), ()>::new("data", ()).on_data_event(event, |_| ())));
        let error =
            catch_unwind(AssertUnwindSafe(|| Monitor::<(), ()>::new("error", ()).on_error_event(event, |_| ())));
        assert!(data.is_err() && error.is_err(), "{event:?}");
    }
}

/// mtcp_cb_get_ts: the time of the packet or of the timer, to the nanosecond, wherever it is asked for.
#[test]
fn spec_1_6_cb_get_ts_is_the_time_of_what_is_at_hand() {
    type Times = Rc<RefCell<Vec<(&'static str, u64)>>>;
    let times = Times::default();
    let note = |what: &'static str| {
        let times = times.clone();
        move |time: Timestamp| times.borrow_mut().push((what, time.as_nanos()))
    };
    let [snd, raw, orphan, timer, outside] = [note("snd"), note("raw"), note("orphan"), note("timer"), note("outside")];
    let mut monitor = Monitor::<(), ()>::new("stream", ());
    let handler = monitor.timer_handler(move |cx| timer(cx.conn.now()));
    let monitor = monitor
        .on_snd(Event::PktIn, move |cx| {
            assert_eq!(cx.conn.now(), cx.conn.control().now());
            snd(cx.conn.now());
        })
        .on_snd(Event::ConnStart, move |cx| {
            cx.conn.set_timer(Timer::after(Duration::from_millis(5)), handler).unwrap();
        })
        .on_orphan(move |cx| orphan(cx.now()));
    let mut core = Core::new(Config::default());
    core.open(monitor).unwrap();
    core.open_raw(RawMonitor::new("raw", ()).on_packet(move |cx| raw(cx.now()))).unwrap();
    let start = 1_700_000_000_123_456_789;
    let mut talk = Talk::new(1);
    talk.time = Timestamp::from_nanos(start);
    let syn = talk.syn();
    talk.time = Timestamp::from_nanos(start + 9_000_001);
    let stray = Talk { time: talk.time, ..Talk::new(2) }.rst(Side::Client);
    feed(&mut core, &mut batch(&[syn, stray]), 64);
    core.control(|control| outside(control.now()));
    let times = times.borrow();
    let of = |what| times.iter().filter(move |(other, _)| *other == what).map(|(_, time)| *time).collect::<Vec<_>>();
    assert_eq!(of("raw"), [start, start + 9_000_001]);
    assert_eq!((of("snd"), of("orphan")), (vec![start], vec![start + 9_000_001]));
    assert_eq!(of("outside"), [start + 9_000_001]);
    assert_eq!(of("timer").len(), 1);
    assert!((start + 5_000_000..=start + 6_000_000).contains(&of("timer")[0]), "{:?}", of("timer"));
}
