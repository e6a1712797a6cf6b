//! Segments that once led the stack astray, each spelled out.

use mos_core::config::Config;
use mos_core::time::Timestamp;
use mos_core::wire::TcpFlags;
use mos_monitor::{EndReason, Side};

use crate::support::conversation::payload;
use crate::support::talk::Talk;
use crate::support::{Log, batch, core_with, feed, recorder, replay};

/// A hole, then more in order within one burst than a receive buffer holds: readers come at the end of the burst, so
/// nothing of it may be given up before.
#[test]
fn d9_large_segments_behind_a_hole_are_not_overrun_within_a_burst() {
    let part = payload(1, 60_000);
    let mut talk = Talk::new(1);
    let mut capture = Vec::from(talk.handshake());
    capture.push(talk.ahead(Side::Client, 1000, &part[..1000]));
    capture.push(talk.data(Side::Client, &part[..1000]));
    talk.next[0] = talk.next[0].wrapping_add(1000);
    for _ in 0..25 {
        capture.push(talk.ack(Side::Server));
        capture.push(talk.data(Side::Client, &part));
    }
    capture.extend(talk.close());
    assert!(capture.len() <= 64);
    for burst in [1, 64] {
        let replay = replay(&Config::default(), recorder(), &capture, burst);
        let flow = &replay.log.flows[0];
        assert_eq!(flow.streams[1].len, 2000 + 25 * 60_000, "bursts of {burst}");
        assert_eq!(flow.streams[1].missing, [], "bursts of {burst}");
        assert!(replay.stats.errors.iter().all(|count| *count == 0), "bursts of {burst}");
    }
}

/// The capture misses more than a window (the machine was busy for a moment): what follows is read behind the gap.
#[test]
fn d8_a_pause_of_the_capture_longer_than_a_window_is_a_gap() {
    for first_seen in ["acknowledgment", "data"] {
        let mut talk = Talk::new(2);
        let mut capture = Vec::from(talk.handshake());
        let part = payload(2, 10_000);
        for at in 0..60 {
            let frames = [talk.data(Side::Client, &part), talk.ack(Side::Server)];
            // 200,000 bytes, three times the window, go by unseen.
            if !(20..40).contains(&at) {
                capture.extend(frames);
            } else if at == 39 && first_seen == "acknowledgment" {
                capture.extend(frames.into_iter().nth(1));
            }
        }
        capture.extend(talk.close());
        let replay = replay(&Config::default(), recorder(), &capture, 1);
        let flow = &replay.log.flows[0];
        assert_eq!(flow.end.map(|(reason, _)| reason), Some(EndReason::Fin), "{first_seen} first");
        assert_eq!(flow.streams[1].len, 600_000, "{first_seen} first");
        assert_eq!(flow.streams[1].missing, std::slice::from_ref(&(200_000..400_000)), "{first_seen} first");
    }
}

/// A FIN at a number that its receiver is past already lies outside the window: no receiver acts on it (RFC 9293
/// 3.10.7.4), so it must not make the monitor blind for what follows.
#[test]
fn d5_a_fin_behind_the_stream_ends_nothing() {
    let mut talk = Talk::new(3);
    let mut capture = Vec::from(talk.handshake());
    capture.push(talk.data(Side::Client, b"first part, "));
    let (seq, ack) = (talk.next[0].wrapping_sub(6), talk.acked[0]);
    capture.push(talk.segment(Side::Client, TcpFlags::FIN | TcpFlags::ACK, seq, ack, b""));
    capture.push(talk.data(Side::Client, b"second part"));
    capture.push(talk.ack(Side::Server));
    capture.extend(talk.close());
    let replay = replay(&Config::default(), recorder(), &capture, 1);
    let flow = &replay.log.flows[0];
    assert_eq!(String::from_utf8_lossy(&flow.streams[1].bytes), "first part, second part");
    assert_eq!(flow.end.map(|(reason, _)| reason), Some(EndReason::Fin));
}

/// Timers keep to the time of the frames, whatever epoch it counts from: a capture's clock starts in 1970, and the wheel's
/// largest unit ends somewhere.
#[test]
fn d26_flows_time_out_at_any_date() {
    let unit = 1_u64 << 36;
    for start in
        [1_000, 1_681_887_368_549, 1_795_000_000_000, unit - 1_000, 25 * unit - 1_000, 25 * unit + 1_000, (1 << 42) - 1]
    {
        let (mut core, socket) = core_with(Config::default(), recorder());
        let mut talk = Talk { time: Timestamp::from_millis(start), ..Talk::new(4) };
        for frame in talk.handshake() {
            feed(&mut core, &mut batch(&[frame]), 1);
        }
        talk.time = Timestamp::from_millis(start + 5);
        feed(&mut core, &mut batch(&[talk.data(Side::Client, b"hello")]), 1);
        let due = Timestamp::from_millis(start + 30_005);
        assert!(core.stack().poll_timeout().is_some_and(|next| next <= due), "at {start} ms");
        core.advance(Timestamp::from_millis(start + 30_004));
        assert_eq!(core.stack().live_flows(), 1, "at {start} ms");
        core.advance(due);
        assert_eq!(core.stack().live_flows(), 0, "at {start} ms");
        assert_eq!(core.state::<Log>(socket).unwrap().flows[0].end.unwrap().0, EndReason::Timeout);
    }
}

/// A FIN in the middle of data that came before it, but not in order yet: when the hole is filled, the data is there first,
/// and the FIN lies behind what is expected.
#[test]
fn d6_a_fin_within_stored_data_ends_nothing() {
    let mut talk = Talk::new(5);
    let mut capture = Vec::from(talk.handshake());
    capture.push(talk.ahead(Side::Client, 10, b"klmnopqrst"));
    let (seq, ack) = (talk.next[0].wrapping_add(15), talk.acked[0]);
    capture.push(talk.segment(Side::Client, TcpFlags::FIN | TcpFlags::ACK, seq, ack, b""));
    capture.push(talk.data(Side::Client, b"abcdefghij"));
    talk.next[0] = talk.next[0].wrapping_add(10);
    capture.push(talk.data(Side::Client, b"uvwxyz"));
    capture.extend(talk.close());
    for burst in [1, 64] {
        let replay = replay(&Config::default(), recorder(), &capture, burst);
        let flow = &replay.log.flows[0];
        assert_eq!(String::from_utf8_lossy(&flow.streams[1].bytes), "abcdefghijklmnopqrstuvwxyz");
        assert_eq!(flow.end.map(|(reason, _)| reason), Some(EndReason::Fin));
    }
}

/// Handshakes in which numbers do not fit: whatever is taken for the start of the stream, offsets do not begin anew once
/// something was read. (The recorder compares positions.)
#[test]
fn offsets_never_begin_anew() {
    const SYN: u8 = TcpFlags::SYN;
    const ACK: u8 = TcpFlags::ACK;
    const FIN: u8 = TcpFlags::FIN;
    use Side::{Client, Server};
    type Numbers = (Side, u8, u32, u32, &'static [u8]);
    let without_syn_ack: [Numbers; 5] = [
        (Client, SYN, 100, 0, b""),
        (Server, ACK, 101, 101, b""),
        (Client, ACK, 100, 102, b"x"),
        (Client, ACK, 100, 102, b"x"),
        (Client, ACK, 102, 101, b"x"),
    ];
    let midstream: [Numbers; 5] = [
        (Server, SYN, 100, 100, b""),
        (Server, FIN | ACK, 100, 101, b""),
        (Client, ACK, 100, 101, b""),
        (Server, ACK, 100, 102, b"x"),
        (Client, ACK, 100, 101, b"x"),
    ];
    for (packets, midstream) in [(without_syn_ack, false), (midstream, true)] {
        let talk = Talk::new(6);
        let segment = |(from, flags, seq, ack, payload)| talk.segment(from, flags, seq, ack, payload);
        let capture: Vec<_> = packets.into_iter().map(segment).collect();
        replay(&Config { midstream, ..Config::default() }, recorder(), &capture, 1);
    }
}
