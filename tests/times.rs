//! How long callbacks take, if somebody asks.

use std::time::Duration;

use mos_core::config::Config;
use mos_core::time::Timestamp;
use mos_monitor::{Event, Monitor, RawMonitor, Side, Timer};

use crate::support::talk::Talk;
use crate::support::{batch, core_with, feed, finish, recorder};

#[test]
fn callbacks_are_not_timed_unless_asked_for() {
    let (mut core, _) = core_with(Config::default(), recorder());
    feed(&mut core, &mut batch(&Talk::new(1).whole(b"question", b"answer")), 1);
    assert!(core.callback_times().is_none());
}

/// Every kind of callback is counted once a call; states that begin and go are none.
#[test]
fn every_callback_is_timed_once() {
    let mut monitor = Monitor::<(), ()>::new("timed", ());
    let flow_timer = monitor.timer_handler(|_| ());
    let filter = monitor.define(Event::PktIn, |_| false);
    let monitor = monitor
        .accept(|_| true)
        .on_snd(Event::ConnStart, move |cx| {
            cx.conn.set_timer(Timer::after(Duration::from_millis(5)), flow_timer).unwrap();
        })
        .on_rcv(Event::PktIn, |_| ())
        .on_rcv(filter, |_| ())
        .on_new_data(|cx| cx.conn.consume_all())
        .on_end(|_| ());
    let (mut core, _) = core_with(Config::default(), monitor);
    core.open_raw(RawMonitor::new("raw", ()).on_packet(|_| ())).unwrap();
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&[talk.syn()]), 1);
    core.time_callbacks(Duration::from_secs(3600));
    let frames = [talk.syn_ack(), talk.ack(Side::Client), talk.data(Side::Client, b"data")];
    feed(&mut core, &mut batch(&frames), 1);
    core.advance(talk.time + Duration::from_secs(1));
    // Three packets: raw, PKT_IN and its filter each; NEW_DATA; the timer.
    let calls = |core: &mos_monitor::Core| core.callback_times().unwrap().calls();
    assert_eq!(calls(&core), 3 * 3 + 1 + 1);
    let mut second = Talk::new(2);
    second.time = talk.time + Duration::from_secs(1);
    feed(&mut core, &mut batch(&[second.syn()]), 1);
    // Raw, accept, CONN_START, PKT_IN and its filter.
    assert_eq!(calls(&core), 11 + 5);
    finish(&mut core);
    // The end of both.
    let times = core.callback_times().unwrap();
    assert_eq!((times.calls(), times.slow(), times.budget()), (18, 0, Duration::from_secs(3600)));
    assert_eq!(times.histogram().iter().sum::<u64>(), 18);
    assert_eq!(times.histogram()[31], 0, "none took two seconds");
}

/// A budget of nothing is exceeded by whatever takes time.
#[test]
fn callbacks_beyond_the_budget_are_counted() {
    let monitor = Monitor::<u64, ()>::new("slow", 0).on_rcv(Event::PktIn, |cx| {
        let work: u64 = (0..100_000_u64).map(|number| std::hint::black_box(number) % 7).sum();
        *cx.state += work;
        // What panics has taken its time, too.
        assert!(cx.conn.side() == Side::Server, "on purpose");
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    core.time_callbacks(Duration::ZERO);
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.handshake()), 1);
    let times = core.callback_times().unwrap();
    assert_eq!((times.calls(), times.slow(), core.panics()), (2, 2, 1));
    // From the beginning again, with another budget.
    core.time_callbacks(Duration::from_secs(3600));
    feed(&mut core, &mut batch(&[Talk::new(2).syn()]), 1);
    let times = core.callback_times().unwrap();
    assert_eq!((times.calls(), times.slow()), (1, 0));
}

/// Time may come to its end: all that waits for anything is over then.
#[test]
fn the_end_of_time_comes_and_passes() {
    for timer in [false, true] {
        let monitor = Monitor::<u64, ()>::new("clock", 0);
        let monitor = if timer { monitor.every(Duration::from_secs(1), |cx| *cx.state += 1) } else { monitor };
        let (mut core, socket) = core_with(Config::default(), monitor);
        core.advance(Timestamp::from_millis(1));
        core.advance(Timestamp::MAX);
        core.advance(Timestamp::MAX);
        assert_eq!(core.state::<u64>(socket), Some(&u64::from(timer)));
    }
}
