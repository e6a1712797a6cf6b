//! Timers: one-shot and periodic, of flows and of the core, in the time of the frames and in a monotonic one (spec 9).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use mos_core::config::{Config, Timeouts};
use mos_core::time::Timestamp;
use mos_monitor::{Clock, Core, Event, Monitor, Side, Timer, TimerError, TimerId};

use crate::support::talk::Talk;
use crate::support::{Frame, batch, core_with, feed};

type Told = Rc<RefCell<Vec<(&'static str, u64)>>>;

const BURSTS: [usize; 3] = [1, 7, 64];

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A handshake at 1000 ms, then a byte from the client at each of these times.
fn bytes_at(talk: &mut Talk, times: &[u64]) -> Vec<Frame> {
    let mut frames = Vec::from(talk.handshake());
    for &time in times {
        talk.time = at(time);
        frames.push(talk.data(Side::Client, b"x"));
    }
    frames
}

/// A monitor that sets `timer` when a flow begins, and notes when it fires and when packets come.
fn setter(timer: Timer, told: &Told) -> Monitor {
    let (fired, packets) = (told.clone(), told.clone());
    let mut monitor = Monitor::<(), ()>::new("setter", ());
    let handler = monitor.timer_handler(move |cx| {
        fired.borrow_mut().push(("timer", cx.conn.now().as_millis()));
    });
    monitor
        .on_rcv(Event::ConnStart, move |cx| {
            cx.conn.set_timer(timer, handler).unwrap();
        })
        .on_rcv(Event::PktIn, move |cx| packets.borrow_mut().push(("packet", cx.conn.now().as_millis())))
}

fn timers(told: &Told) -> Vec<u64> {
    told.borrow().iter().filter(|(what, _)| *what == "timer").map(|(_, time)| *time).collect()
}

#[test]
fn spec_9_one_shot_fires_once_at_its_time_between_packets() {
    for burst in BURSTS {
        let told = Told::default();
        let (mut core, _) = core_with(Config::default(), setter(Timer::after(ms(50)), &told));
        feed(&mut core, &mut batch(&bytes_at(&mut Talk::new(1), &[1049, 1050, 1051, 5000])), burst);
        let expected = [
            ("packet", 1000),
            ("packet", 1000),
            ("packet", 1000),
            ("packet", 1049),
            ("timer", 1050),
            ("packet", 1050),
            ("packet", 1051),
            ("packet", 5000),
        ];
        assert_eq!(*told.borrow(), expected, "burst {burst}");
    }
}

/// The time that a timer counts from is that of the packet, however long ago the last timer fired.
#[test]
fn spec_9_a_timer_counts_from_the_packet_that_set_it() {
    let told = Told::default();
    let (mut core, _) = core_with(Config::default(), setter(Timer::after(ms(100)), &told));
    for (number, start) in [(1, 1000), (2, 7000), (3, 7010), (4, 20_000)] {
        let mut talk = Talk::new(number);
        talk.time = at(start);
        feed(&mut core, &mut batch(&talk.handshake()), 64);
        assert_eq!(core.stack().poll_timeout(), Some(at(if number == 3 { 7100 } else { start + 100 })));
    }
    core.advance(at(20_101));
    assert_eq!(timers(&told), [1100, 7100, 7110, 20_100]);
}

#[test]
fn spec_9_periodic_says_what_it_missed() {
    for burst in BURSTS {
        let told: Rc<RefCell<Vec<(u64, u64)>>> = Rc::default();
        let fired = told.clone();
        let mut monitor = Monitor::<(), ()>::new("periodic", ());
        let handler = monitor.timer_handler(move |cx| {
            fired.borrow_mut().push((cx.conn.now().as_millis(), cx.missed()));
        });
        let monitor = monitor.on_snd(Event::ConnStart, move |cx| {
            cx.conn.set_timer(Timer::every(ms(10)), handler).unwrap();
        });
        let (mut core, _) = core_with(Config::default(), monitor);
        feed(&mut core, &mut batch(&bytes_at(&mut Talk::new(1), &[1005, 1010, 1019, 1055, 1056])), burst);
        assert_eq!(*told.borrow(), [(1010, 0), (1020, 3)], "burst {burst}");
        core.advance(at(1060));
        assert_eq!(told.borrow().last(), Some(&(1060, 0)));
    }
}

#[test]
fn spec_9_cancelled_timers_do_not_fire() {
    let told = Told::default();
    let ids: Rc<RefCell<Vec<TimerId>>> = Rc::default();
    let mut monitor = Monitor::<(), ()>::new("canceller", ());
    let (fired, in_timer) = (told.clone(), ids.clone());
    let handler = monitor.timer_handler(move |cx| {
        fired.borrow_mut().push(("timer", cx.conn.now().as_millis()));
        let ids = in_timer.borrow();
        if cx.id() == ids[1] {
            // The periodic one ends itself, and the one that is due at the same time.
            assert!(cx.conn.cancel_timer(ids[1]));
            assert!(!cx.conn.cancel_timer(ids[1]), "cancelled twice");
            assert!(cx.conn.cancel_timer(ids[2]));
        } else {
            assert!(!cx.conn.cancel_timer(cx.id()), "it has fired for the last time");
        }
    });
    let note = ids.clone();
    let monitor = monitor.on_rcv(Event::ConnStart, move |cx| {
        let timers = [Timer::after(ms(5)), Timer::every(ms(20)), Timer::after(ms(20)), Timer::after(ms(30))];
        let set = timers.map(|timer| cx.conn.set_timer(timer, handler).unwrap());
        assert!(cx.conn.cancel_timer(set[3]));
        note.borrow_mut().extend(set);
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    feed(&mut core, &mut batch(&bytes_at(&mut Talk::new(1), &[1100])), 1);
    assert_eq!(timers(&told), [1005, 1020]);
    assert_eq!(core.panics(), 0);
    let descriptor = ids.borrow()[0].descriptor();
    assert!(core.close(descriptor).is_err(), "a timer that has fired names nothing");
}

#[test]
fn spec_9_timers_of_a_flow_go_with_it() {
    let told = Told::default();
    let (mut core, _) = core_with(Config::default(), setter(Timer::every(ms(10)), &told));
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.whole(b"a", b"b")), 64);
    core.advance(at(2000));
    assert_eq!(timers(&told), [] as [u64; 0]);
}

#[test]
fn spec_9_timers_of_a_flow_go_when_its_monitor_leaves_it() {
    let told = Told::default();
    let monitor = setter(Timer::every(ms(10)), &told).on_snd(Event::PktIn, |cx| {
        if cx.conn.last_packet().is_some_and(|packet| packet.info.payload_len > 0) {
            cx.conn.stop();
        }
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    feed(&mut core, &mut batch(&bytes_at(&mut Talk::new(1), &[1015, 1055])), 1);
    assert_eq!(timers(&told), [1010]);
}

#[test]
fn spec_9_closing_a_monitor_ends_its_timers() {
    let told = Told::default();
    let fired = told.clone();
    let monitor = setter(Timer::every(ms(10)), &told)
        .every(ms(10), move |cx| fired.borrow_mut().push(("timer", cx.due().as_millis())));
    let (mut core, socket) = core_with(Config::default(), monitor);
    feed(&mut core, &mut batch(&bytes_at(&mut Talk::new(1), &[1005])), 1);
    assert_eq!(core.close(socket), Ok(()));
    core.advance(at(1500));
    assert_eq!(timers(&told), [] as [u64; 0]);
}

/// A flow that times out when its timer is due is over first; one that times out later has its timer before.
#[test]
fn spec_9_timers_and_timeouts_come_in_order_of_time() {
    for (delay, fires) in [(29_999, true), (30_000, false), (30_001, false)] {
        let told = Told::default();
        let ends = told.clone();
        let monitor = setter(Timer::after(ms(delay)), &told)
            .on_end(move |cx| ends.borrow_mut().push(("end", cx.conn.now().as_millis())));
        let config = Config { timeouts: Timeouts::all(Duration::from_secs(30)), ..Config::default() };
        let (mut core, _) = core_with(config, monitor);
        feed(&mut core, &mut batch(&Talk::new(1).handshake()), 1);
        core.advance(at(100_000));
        let mut expected = vec![("end", 31_000)];
        if fires {
            expected.insert(0, ("timer", 30_999));
        }
        assert_eq!(told.borrow()[3..], expected, "{delay}");
    }
}

#[test]
fn spec_9_timers_of_the_core_start_with_the_first_frame() {
    for burst in BURSTS {
        let told = Told::default();
        let (every, once) = (told.clone(), told.clone());
        let monitor = Monitor::<u32, ()>::new("core", 0)
            .every(ms(100), move |cx| {
                *cx.state += 1;
                assert_eq!(cx.control.now(), cx.due());
                every.borrow_mut().push(("every", cx.due().as_millis()));
            })
            .at(Timer::after(ms(100)), move |cx| once.borrow_mut().push(("once", cx.due().as_millis())));
        let (mut core, socket) = core_with(Config::default(), monitor);
        feed(&mut core, &mut batch(&bytes_at(&mut Talk::new(1), &[1099, 1100, 1201])), burst);
        assert_eq!(*told.borrow(), [("every", 1100), ("once", 1100), ("every", 1200)], "burst {burst}");
        assert_eq!(core.state::<u32>(socket), Some(&2));
    }
}

/// What a timer's callback sets counts from where time goes, not from where it was.
#[test]
fn spec_9_a_timer_can_set_another_one() {
    let told = Told::default();
    let mut monitor = Monitor::<(), ()>::new("chain", ());
    let own: Rc<Cell<Option<mos_monitor::Handler<mos_monitor::AtTimer>>>> = Rc::default();
    let (fired, next) = (told.clone(), own.clone());
    let handler = monitor.timer_handler(move |cx| {
        fired.borrow_mut().push(("timer", cx.conn.now().as_millis()));
        cx.conn.set_timer(Timer::after(ms(10)), next.get().unwrap()).unwrap();
    });
    own.set(Some(handler));
    let monitor = monitor.on_rcv(Event::ConnStart, move |cx| {
        cx.conn.set_timer(Timer::after(ms(10)), handler).unwrap();
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    let times: Vec<u64> = (1001..1035).collect();
    feed(&mut core, &mut batch(&bytes_at(&mut Talk::new(1), &times)), 7);
    assert_eq!(timers(&told), [1010, 1020, 1030]);
    core.advance(at(1200));
    assert_eq!(timers(&told), [1010, 1020, 1030, 1040]);
    assert_eq!(core.stack().poll_timeout(), Some(at(1210)));
}

#[test]
fn spec_9_monotonic_timers_do_not_care_for_frames() {
    for start in [0, 77] {
        let told = Told::default();
        let (mut core, _) = core_with(Config::default(), setter(Timer::after(ms(50)).by(Clock::Monotonic), &told));
        core.advance_monotonic(at(start));
        feed(&mut core, &mut batch(&bytes_at(&mut Talk::new(1), &[5000])), 1);
        assert_eq!(timers(&told).len(), 0);
        core.advance_monotonic(at(start + 49));
        assert_eq!(timers(&told).len(), 0);
        core.advance_monotonic(at(start + 50));
        assert_eq!(timers(&told).len(), 1, "from {start}");
        core.advance_monotonic(at(start + 500));
        assert_eq!(timers(&told).len(), 1);
    }
}

#[test]
fn spec_9_after_the_shutdown_no_timer_fires() {
    let told = Told::default();
    let fired = told.clone();
    let mut monitor = setter(Timer::every(ms(10)), &told)
        .every(ms(10), move |cx| fired.borrow_mut().push(("timer", cx.due().as_millis())));
    let handler = monitor.core_timer_handler(|_| panic!("never set"));
    let (mut core, socket) = core_with(Config::default(), monitor);
    feed(&mut core, &mut batch(&bytes_at(&mut Talk::new(1), &[1005])), 1);
    core.shutdown();
    core.advance(at(2000));
    core.advance_monotonic(at(2000));
    assert_eq!(timers(&told), [] as [u64; 0]);
    let set = core.control(|control| control.set_timer(socket, Timer::after(ms(1)), handler));
    assert_eq!(set, Err(TimerError::ShutDown));
}

#[test]
fn spec_9_timers_can_be_set_and_cancelled_from_outside() {
    let told = Told::default();
    let fired = told.clone();
    let mut monitor = Monitor::<(), ()>::new("outside", ()).on_rcv(Event::PktIn, |_| {});
    let handler = monitor.core_timer_handler(move |cx| fired.borrow_mut().push(("timer", cx.due().as_millis())));
    let (mut core, socket) = core_with(Config::default(), monitor);
    let other = core.open(Monitor::<(), ()>::new("other", ())).unwrap();
    feed(&mut core, &mut batch(&Talk::new(1).handshake()), 1);
    core.advance(at(3000));
    let set = |core: &mut Core, socket, millis| {
        core.control(|control| control.set_timer(socket, Timer::after(ms(millis)), handler))
    };
    assert!(set(&mut core, socket, 10).is_ok());
    let late = set(&mut core, socket, 20).unwrap();
    assert_eq!(set(&mut core, other, 10), Err(TimerError::Foreign));
    assert_eq!(core.stack().poll_timeout(), Some(at(3010)));
    assert!(!core.control(|control| control.cancel_timer(other, late)), "another monitor's");
    assert!(core.control(|control| control.cancel_timer(socket, late)));
    core.advance(at(4000));
    assert_eq!(timers(&told), [3010]);
}
