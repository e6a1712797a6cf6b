//! Timers of the stack itself (spec 9), and time stamps of 64 bits (D26).

use std::time::Duration;

use mos_core::config::{Config, Timeouts};
use mos_core::time::Timestamp;
use mos_monitor::{EndReason, Event, Monitor, Side, Timer};

use crate::support::talk::Talk;
use crate::support::{Log, batch, core_with, feed, finish, recorder};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One flow that never falls silent keeps no younger one alive.
#[test]
fn spec_9_idle_timeouts_are_those_of_each_flow() {
    let config = Config { timeouts: Timeouts::all(seconds(10)), ..Config::default() };
    let (mut core, socket) = core_with(config, recorder());
    let mut old = Talk::new(1);
    let mut young = Talk::new(2);
    let mut frames = Vec::from(old.handshake());
    frames.extend(young.handshake());
    feed(&mut core, &mut batch(&frames), 64);
    for second in 2..=11 {
        old.time = Timestamp::from_millis(1000 * second);
        feed(&mut core, &mut batch(&[old.data(Side::Client, b"x")]), 1);
        let log = core.state::<Log>(socket).unwrap();
        assert_eq!(log.flows[0].end, None);
        assert_eq!(log.flows[1].end.map(|end| end.0), (second == 11).then_some(EndReason::Timeout), "after {second} s");
    }
    finish(&mut core);
}

#[test]
fn spec_9_a_timeout_of_zero_is_none_and_a_long_one_does_not_overflow() {
    for (timeout, ends_at) in [(0, None), (2147, Some(2148)), (2148, Some(2149)), (2_000_000, Some(2_000_001))] {
        let config = Config { timeouts: Timeouts::all(seconds(timeout)), ..Config::default() };
        let (mut core, _) = core_with(config, recorder());
        feed(&mut core, &mut batch(&Talk::new(1).handshake()), 64);
        match ends_at {
            None => core.advance(Timestamp::from_millis(1_000_000_000_000)),
            Some(second) => core.advance(Timestamp::from_millis(second * 1000 - 1)),
        }
        assert_eq!(core.stack().live_flows(), 1, "{timeout} s");
        if let Some(second) = ends_at {
            core.advance(Timestamp::from_millis(second * 1000 + 1));
            assert_eq!(core.stack().live_flows(), 0, "{timeout} s");
        }
        finish(&mut core);
    }
}

/// `tcp_tw_interval`: zero ends a flow with its last packet, otherwise it stays that long.
#[test]
fn spec_9_time_wait_keeps_a_closed_flow() {
    for (time_wait, alive) in [(0, 0), (5, 1)] {
        let timeouts = Timeouts { time_wait: seconds(time_wait), ..Timeouts::all(seconds(30)) };
        let (mut core, socket) = core_with(Config { timeouts, ..Config::default() }, recorder());
        let mut talk = Talk::new(1);
        feed(&mut core, &mut batch(&talk.whole(b"question", b"answer")), 64);
        assert_eq!(core.stack().live_flows(), alive);
        feed(&mut core, &mut batch(&[talk.ack(Side::Client)]), 1);
        assert_eq!(core.stats().orphans, 1 - alive as u64);
        core.advance(talk.time + seconds(6));
        assert_eq!(core.stack().live_flows(), 0);
        assert_eq!(core.state::<Log>(socket).unwrap().flows[0].end.unwrap().0, EndReason::Fin);
        finish(&mut core);
    }
}

/// Beyond 2^32 milliseconds and microseconds of the epoch, and for a flow that lasts longer than either takes to wrap.
#[test]
fn d26_time_stamps_do_not_wrap_at_32_bits() {
    for start in [1, (1_u64 << 32) - 2000, 1 << 32, (1 << 32) * 1000, 1_700_000_000_000] {
        let monitor = Monitor::<Vec<u64>, ()>::new("times", Vec::new())
            .on_snd(Event::PktIn, |cx| {
                assert_eq!(cx.conn.last_active(), cx.conn.now());
                assert_eq!(cx.conn.last_packet().unwrap().info.timestamp, cx.conn.now());
                cx.state.push(cx.conn.now().as_millis());
            })
            .on_end(|cx| cx.state.push(cx.conn.created().as_millis()));
        let config = Config { timeouts: Timeouts::all(Duration::ZERO), ..Config::default() };
        let (mut core, socket) = core_with(config, monitor);
        let mut talk = Talk { time: Timestamp::from_millis(start), ..Talk::new(1) };
        feed(&mut core, &mut batch(&talk.handshake()), 64);
        // 50 days later.
        let later = start + 50 * 24 * 3_600_000;
        talk.time = Timestamp::from_millis(later);
        feed(&mut core, &mut batch(&[talk.data(Side::Client, b"late")]), 1);
        finish(&mut core);
        assert_eq!(core.panics(), 0);
        assert_eq!(core.state::<Vec<u64>>(socket).unwrap(), &[start, start, start, later, start]);
    }
}

/// A timer of a flow may be set for longer than 32 bits of microseconds or milliseconds hold.
#[test]
fn d26_timers_do_not_wrap_at_32_bits() {
    for delay in [3_600, 4_295, 5_000_000] {
        let mut monitor = Monitor::<Vec<u64>, ()>::new("timer", Vec::new());
        let handler = monitor.timer_handler(|cx| cx.state.push(cx.conn.now().as_millis()));
        let monitor = monitor.on_snd(Event::ConnStart, move |cx| {
            cx.conn.set_timer(Timer::after(seconds(delay)), handler).unwrap();
        });
        let config = Config { timeouts: Timeouts::all(Duration::ZERO), ..Config::default() };
        let (mut core, socket) = core_with(config, monitor);
        let mut talk = Talk::new(1);
        feed(&mut core, &mut batch(&talk.handshake()), 64);
        core.advance(talk.time + (seconds(delay) - Duration::from_millis(1)));
        assert_eq!(core.state::<Vec<u64>>(socket), Some(&vec![]), "{delay} s");
        core.advance(talk.time + (seconds(delay) + Duration::from_millis(1)));
        assert_eq!(core.state::<Vec<u64>>(socket), Some(&vec![1000 * (delay + 1)]), "{delay} s");
        finish(&mut core);
    }
}
