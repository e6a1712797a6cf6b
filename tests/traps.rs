//! Flows that end, begin and change hands within one burst; many of them; and a table without room.

use std::net::SocketAddr;
use std::time::Duration;

use mos_core::config::{Config, Timeouts};
use mos_core::time::Timestamp;
use mos_monitor::{EndReason, Monitor, Side};

use crate::support::conversation::payload;
use crate::support::talk::Talk;
use crate::support::{Frame, Log, batch, core_with, feed, finish, reader, recorder, replay};

const BURSTS: [usize; 3] = [1, 3, 64];

fn reasons(log: &Log) -> Vec<EndReason> {
    log.flows.iter().filter_map(|flow| flow.end.map(|(reason, _)| reason)).collect()
}

/// Trap 1: a flow that an earlier packet of the burst ended must not be found by a later one.
#[test]
fn d17_packets_behind_the_end_belong_to_no_flow() {
    for ending in ["fin", "rst"] {
        for burst in BURSTS {
            let mut capture = Vec::new();
            for number in 0..12 {
                let mut talk = Talk::new(number);
                capture.extend(talk.handshake());
                capture.push(talk.data(Side::Client, b"question"));
                match ending {
                    "fin" => capture.extend(talk.close()),
                    _ => capture.push(talk.rst(Side::Server)),
                }
                // Late copies and resets, as real endpoints send them.
                capture.push(talk.ahead(Side::Client, -9, b"question"));
                capture.push(talk.rst(Side::Client));
                capture.push(talk.ack(Side::Server));
                capture.push(talk.fin(Side::Client));
            }
            let replay = replay(&Config::default(), recorder(), &capture, burst);
            assert_eq!(replay.stats.flows, 12, "{ending}, bursts of {burst}");
            assert_eq!(replay.stats.orphans, 12 * 4, "{ending}, bursts of {burst}");
            for flow in &replay.log.flows {
                assert_eq!(flow.streams[1].bytes, b"question");
                assert_eq!(flow.end.unwrap().0.name(), ending);
            }
        }
    }
}

/// Trap 1: the same endpoints again and again within the burst, each time another flow.
#[test]
fn d10_endpoints_are_used_again_within_the_burst() {
    for burst in BURSTS {
        let mut talk = Talk::new(5);
        let mut capture = Vec::new();
        for round in 0..30_u8 {
            talk = talk.again();
            capture.extend(talk.whole(&[round; 5], &[round ^ 0xff; 3]));
            if round % 3 == 0 {
                capture.push(talk.rst(Side::Client));
            }
        }
        let replay = replay(&Config::default(), recorder(), &capture, burst);
        assert_eq!(replay.log.flows.len(), 30, "bursts of {burst}");
        for (round, flow) in (0..30_u8).zip(&replay.log.flows) {
            assert_eq!(flow.streams[1].bytes, [round; 5], "bursts of {burst}");
            assert_eq!(flow.streams[0].bytes, [round ^ 0xff; 3], "bursts of {burst}");
            assert_eq!(flow.end.unwrap().0, EndReason::Fin, "bursts of {burst}");
        }
        assert_eq!(replay.stats.orphans, 10);
    }
}

/// Trap 1: the new SYN itself ends the old flow, while data of the old one still waits to be read.
#[test]
fn d10_a_syn_on_a_closing_flow_begins_another_one() {
    for burst in BURSTS {
        let mut talk = Talk::new(6);
        let mut capture = Vec::new();
        for round in 0..20_u8 {
            talk = talk.again();
            capture.extend(talk.handshake());
            capture.push(talk.data(Side::Client, &[round; 100]));
            capture.push(talk.fin(Side::Client));
        }
        let replay = replay(&Config::default(), recorder(), &capture, burst);
        let mut expected = vec![EndReason::Reuse; 19];
        expected.push(EndReason::Shutdown);
        assert_eq!(reasons(&replay.log), expected, "bursts of {burst}");
        for (round, flow) in (0..20_u8).zip(&replay.log.flows) {
            assert_eq!(flow.streams[1].bytes, [round; 100], "bursts of {burst}");
        }
    }
}

/// Traps 2 and 3: data in frames and in stored segments waits for its readers when the flow ends in the same burst.
#[test]
fn d2_what_waits_when_the_flow_ends_is_delivered_before_the_end() {
    let text = payload(9, 20_000);
    for burst in BURSTS {
        let mut capture = Vec::new();
        let mut talks: Vec<_> = (0..6).map(Talk::new).collect();
        for talk in &mut talks {
            capture.extend(talk.handshake());
        }
        for (number, talk) in talks.iter_mut().enumerate() {
            // The second half first: it is stored, and referred to when the first half makes it readable.
            capture.push(talk.ahead(Side::Client, 1000, &text[1000..2000]));
            capture.push(talk.ahead(Side::Client, 500, &text[500..1000]));
            capture.push(talk.data(Side::Client, &text[..500]));
            talk.next[0] = talk.next[0].wrapping_add(1500);
            // This one stays behind a hole until the end.
            capture.push(talk.ahead(Side::Client, 100, &text[2100..2300]));
            let mut end = talk.clone();
            end.next[0] = end.next[0].wrapping_add(300);
            match number % 3 {
                0 => capture.push(end.rst(Side::Client)),
                1 => {
                    capture.push(end.fin(Side::Client));
                    capture.push(end.fin(Side::Server));
                    capture.push(end.ack(Side::Client));
                }
                _ => {
                    capture.push(end.fin(Side::Server));
                    capture.push(end.again().syn());
                }
            }
        }
        let replay = replay(&Config::default(), reader(), &capture, burst);
        for (number, flow) in replay.log.flows.iter().filter(|flow| !flow.streams[1].bytes.is_empty()).enumerate() {
            let stream = &flow.streams[1];
            assert_eq!(stream.bytes.len(), 2300, "flow {number}, bursts of {burst}");
            assert_eq!(stream.missing, std::slice::from_ref(&(2000..2100)), "flow {number}, bursts of {burst}");
            assert_eq!(stream.bytes[..2000], text[..2000]);
            assert_eq!(stream.bytes[2100..], text[2100..2300]);
            let expected = [EndReason::Rst, EndReason::Fin, EndReason::Reuse][number % 3];
            assert_eq!(flow.end.unwrap().0, expected, "flow {number}, bursts of {burst}");
        }
        assert_eq!(replay.log.flows.iter().filter(|flow| !flow.streams[1].bytes.is_empty()).count(), 6);
    }
}

/// Trap 2: the state of a flow is its own, and is there until its end was told.
#[test]
fn spec_1_6_uctx_the_state_of_a_flow_lives_until_its_end() {
    #[derive(Default)]
    struct Flow {
        client: Option<SocketAddr>,
        bytes: u64,
    }
    for burst in BURSTS {
        let monitor = Monitor::<Vec<(SocketAddr, u64)>, Flow>::new("owner", Vec::new())
            .on_new_data(|cx| {
                let client = cx.conn.endpoint(Side::Client);
                assert_eq!(*cx.flow.client.get_or_insert(client), client, "another flow's state");
                cx.flow.bytes += cx.conn.unread_len(cx.conn.side());
                cx.conn.consume_all();
            })
            .on_end(|cx| {
                let client = cx.conn.endpoint(Side::Client);
                assert_eq!(cx.flow.client, Some(client));
                cx.state.push((client, cx.flow.bytes));
            });
        let (mut core, socket) = core_with(Config::default(), monitor);
        let mut capture = Vec::new();
        let mut expected = Vec::new();
        for number in 0..200 {
            let mut talk = Talk::new(number);
            let len = 1 + number as usize;
            capture.extend(talk.whole(&vec![1; len], &vec![2; len]));
            expected.push((talk.addresses[0], 2 * len as u64));
        }
        feed(&mut core, &mut batch(&capture), burst);
        finish(&mut core);
        assert_eq!(core.state::<Vec<(SocketAddr, u64)>>(socket), Some(&expected), "bursts of {burst}");
    }
}

#[test]
fn a_hundred_thousand_flows_of_a_thousand_endpoints() {
    #[derive(Default)]
    struct Count {
        ends: u64,
        bytes: u64,
    }
    let monitor = Monitor::<Count, ()>::new("count", Count::default())
        .on_new_data(|cx| {
            cx.state.bytes += cx.conn.unread_len(cx.conn.side());
            cx.conn.consume_all();
        })
        .on_end(|cx| {
            assert_eq!(cx.reason(), EndReason::Fin);
            cx.state.ends += 1;
        });
    let (mut core, socket) = core_with(Config { max_flows: 4000, ..Config::default() }, monitor);
    let mut talks: Vec<_> = (0..1000).map(Talk::new).collect();
    for round in 0..100 {
        // Flows overlap: five are open at a time.
        let mut capture = Vec::with_capacity(8000);
        for group in talks.chunks_mut(5) {
            let frames: Vec<_> = group
                .iter_mut()
                .map(|talk| {
                    *talk = talk.again();
                    talk.time = Timestamp::from_millis(1000 + round);
                    talk.whole(b"ping", b"pong!")
                })
                .collect();
            for at in 0..8 {
                capture.extend(frames.iter().map(|frames| frames[at].clone()));
            }
        }
        feed(&mut core, &mut batch(&capture), 64);
        assert_eq!(core.stack().live_flows(), 0);
    }
    let count = core.state::<Count>(socket).unwrap();
    assert_eq!((count.ends, count.bytes), (100_000, 900_000));
    assert_eq!(core.stats().flows, 100_000);
    assert_eq!(core.stats().orphans, 0);
    assert_eq!(core.stack().reassembly_bytes(), 0);
    assert!(core.stack().poll_timeout().is_none_or(|due| due >= Timestamp::from_millis(1000)));
    finish(&mut core);
}

/// D21: half-open flows go first, the oldest of them first; without any, the flow that was idle longest.
#[test]
fn d21_a_full_table_lets_the_right_flow_go() {
    for burst in BURSTS {
        let config = Config { max_flows: 100, ..Config::default() };
        let (mut core, socket) = core_with(config, recorder());
        let mut established: Vec<_> = (0..20).map(Talk::new).collect();
        let mut capture: Vec<Frame> = established.iter_mut().flat_map(Talk::handshake).collect();
        capture.extend((0..1000).map(|number| Talk::new(5000 + number).syn()));
        feed(&mut core, &mut batch(&capture), burst);
        assert_eq!(core.stack().live_flows(), 100);
        assert_eq!(core.stats().ended[EndReason::Evicted as usize], 920, "bursts of {burst}");
        let first: Vec<_> = core.state::<Log>(socket).unwrap().flows.iter().map(|flow| flow.end.is_some()).collect();
        assert!(first[..20].iter().all(|ended| !ended), "an established flow went: bursts of {burst}");
        assert!(first[20..940].iter().all(|ended| *ended), "not the oldest went first: bursts of {burst}");

        // Room for 80 more: the rest of the half-open ones goes, and the table is full of established flows.
        let more = (100..180)
            .map(|number| Talk { time: Timestamp::from_millis(2000 + u64::from(number)), ..Talk::new(number) });
        established.extend(more);
        let capture: Vec<_> = established[20..].iter_mut().flat_map(Talk::handshake).collect();
        feed(&mut core, &mut batch(&capture), burst);
        assert_eq!(core.stack().live_flows(), 100);
        assert_eq!(core.stats().ended[EndReason::Evicted as usize], 1000, "bursts of {burst}");

        // All speak again, in an order of their own; then the one that was silent longest has to go, and so on.
        let order: Vec<usize> = (0..100).map(|at| at * 37 % 100).collect();
        let mut capture = Vec::new();
        for (place, &at) in order.iter().enumerate() {
            established[at].time = Timestamp::from_millis(5000 + 10 * place as u64);
            capture.push(established[at].data(Side::Client, b"here"));
        }
        for number in 0..70 {
            let mut talk = Talk { time: Timestamp::from_millis(8000 + u64::from(number)), ..Talk::new(9000 + number) };
            capture.extend(talk.handshake());
        }
        feed(&mut core, &mut batch(&capture), burst);
        let log = core.state::<Log>(socket).unwrap();
        let gone: Vec<_> = established
            .iter()
            .map(|talk| log.flows.iter().any(|flow| flow.client == talk.addresses[0] && flow.end.is_some()))
            .collect();
        let expected: Vec<_> = (0..100).map(|at| order[..70].contains(&at)).collect();
        assert_eq!(gone, expected, "bursts of {burst}");
        let log = log.clone();
        finish(&mut core);
        for flow in log.flows.iter().filter(|flow| flow.end.is_some()) {
            assert_eq!(flow.end.unwrap().0, EndReason::Evicted);
        }
    }
}

/// Every flow ends by time in the middle of a burst that goes on with the same endpoints.
#[test]
fn spec_9_flows_that_time_out_within_a_burst_are_gone() {
    for burst in BURSTS {
        let timeouts = Timeouts::all(Duration::from_secs(5));
        let mut capture = Vec::new();
        let mut talks: Vec<_> = (0..10).map(Talk::new).collect();
        for talk in &mut talks {
            capture.extend(talk.handshake());
            capture.push(talk.data(Side::Client, b"waits"));
        }
        for talk in &mut talks {
            talk.time = Timestamp::from_millis(60_000);
            capture.push(talk.data(Side::Client, b"too late"));
            let mut next = talk.again();
            capture.extend(next.whole(b"new", b"newer"));
        }
        let replay = replay(&Config { timeouts, ..Config::default() }, recorder(), &capture, burst);
        assert_eq!(replay.stats.orphans, 10, "bursts of {burst}");
        assert_eq!(reasons(&replay.log), [[EndReason::Timeout; 10], [EndReason::Fin; 10]].concat());
        assert!(replay.log.flows[..10].iter().all(|flow| flow.streams[1].bytes == b"waits"));
        assert!(replay.log.flows[10..].iter().all(|flow| flow.streams[1].bytes == b"new"));
    }
}
