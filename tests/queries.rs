//! What a callback can ask of its flow: buffer positions in sequence numbers (MOS_INFO, spec 6.6), options, counters and
//! round-trip times.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mos_core::config::Config;
use mos_core::time::Timestamp;
use mos_core::wire::{SeqNum, TcpFlags, TcpSegment};
use mos_monitor::{BufInfo, Core, Event, HalfInfo, Monitor, Side};

use crate::support::talk::Talk;
use crate::support::{Frame, batch, core_with, feed};

/// What is known after each packet: buffer of the server, both halves.
type Known = Rc<RefCell<Vec<(Option<BufInfo>, [HalfInfo; 2])>>>;

fn asker(known: &Known, reads: bool) -> Monitor {
    let known = known.clone();
    Monitor::new("asker", ()).with_buffer(Side::Server).on_rcv(Event::PktIn, move |cx| {
        if reads {
            let _ = cx.conn.peek(Side::Server, &mut [0; 3]);
        }
        let halves = Side::BOTH.map(|side| cx.conn.info(side));
        known.borrow_mut().push((cx.conn.buf_info(Side::Server), halves));
    })
}

/// One packet, and what is known then.
fn after(core: &mut Core, known: &Known, frame: Frame) -> (Option<BufInfo>, [HalfInfo; 2]) {
    feed(core, &mut batch(&[frame]), 1);
    *known.borrow().last().expect("it was told of")
}

#[test]
fn spec_6_6_buffer_positions_are_sequence_numbers() {
    for seed in [1000, u32::MAX - 4, u32::MAX, (1 << 31) - 3] {
        let known = Known::default();
        let (mut core, _) = core_with(Config::default(), asker(&known, true));
        let ends = ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
        let mut talk = Talk::between(ends[0], ends[1], seed);
        let number = |offset: i32| SeqNum(seed.wrapping_add(1).wrapping_add_signed(offset));
        let info = |read, next, received| {
            Some(BufInfo {
                init_seq: number(0),
                last_byte_read: number(read - 1),
                next_byte_expected: number(next),
                last_byte_received: number(received - 1),
            })
        };
        let syn = talk.syn();
        assert_eq!(after(&mut core, &known, syn).0, info(0, 0, 0), "seed {seed}");
        let [syn_ack, ack] = [talk.syn_ack(), talk.ack(Side::Client)];
        after(&mut core, &known, syn_ack);
        assert_eq!(after(&mut core, &known, ack).0, info(0, 0, 0));
        let data = talk.data(Side::Client, b"0123456789");
        assert_eq!(after(&mut core, &known, data).0, info(3, 10, 10));
        let ahead = talk.ahead(Side::Client, 5, b"fghij");
        assert_eq!(after(&mut core, &known, ahead).0, info(6, 10, 20));
        let filler = talk.data(Side::Client, b"abcde");
        assert_eq!(after(&mut core, &known, filler).0, info(9, 20, 20));
        talk.next[0] = talk.next[0].wrapping_add(5);
        let fin = talk.fin(Side::Client);
        assert_eq!(after(&mut core, &known, fin).0, info(12, 20, 20), "the FIN is no byte");
        let ack = talk.ack(Side::Server);
        assert_eq!(after(&mut core, &known, ack).0, info(15, 20, 20));
    }
}

/// SYN, SYN|ACK and ACK at these times, in milliseconds.
fn handshake(talk: &mut Talk, times: [u64; 3], options: [&[u8]; 2]) -> Vec<Frame> {
    let mut frames = Vec::new();
    for (number, from) in [Side::Client, Side::Server, Side::Client].into_iter().enumerate() {
        talk.time = Timestamp::from_millis(times[number]);
        let frame = match number {
            0 => talk.syn(),
            1 => talk.syn_ack(),
            _ => talk.ack(from),
        };
        let packet = mos_core::wire::decode(&frame.bytes, frame.wire_len, frame.link);
        let [src, dst] = match from {
            Side::Client => talk.addresses,
            Side::Server => [talk.addresses[1], talk.addresses[0]],
        };
        let segment = TcpSegment {
            seq: packet.seq,
            ack: packet.ack,
            flags: packet.tcp_flags,
            options: options.get(number).copied().unwrap_or_default(),
            ..TcpSegment::new(src, dst)
        };
        frames.push(Frame::ip(segment.to_raw_ip(), talk.time));
    }
    frames
}

#[test]
fn halves_know_what_their_syns_offered() {
    let known = Known::default();
    let (mut core, _) = core_with(Config::default(), asker(&known, false));
    let options: [&[u8]; 2] = [&[2, 4, 5, 180, 4, 2, 1, 3, 3, 7, 1, 1], &[2, 4, 2, 24]];
    feed(&mut core, &mut batch(&handshake(&mut Talk::new(1), [1000; 3], options)), 64);
    let [client, server] = known.borrow()[2].1;
    assert_eq!((client.mss, client.sack_permitted, client.timestamps), (1460, true, false));
    assert_eq!((server.mss, server.sack_permitted, server.timestamps), (536, false, false));
    assert_eq!(server.window_scale, None);
}

#[test]
fn retransmissions_are_counted_at_their_receiver() {
    let known = Known::default();
    let (mut core, _) = core_with(Config::default(), asker(&known, false));
    let mut talk = Talk::new(1);
    let mut frames = Vec::from(talk.handshake());
    frames.push(talk.data(Side::Client, b"0123456789"));
    frames.push(talk.ahead(Side::Client, -10, b"0123456789"));
    frames.push(talk.ahead(Side::Client, -4, b"6789ab"));
    feed(&mut core, &mut batch(&frames), 7);
    let [client, server] = known.borrow().last().unwrap().1;
    assert_eq!((server.retransmits, server.retransmitted_bytes, server.stream_bytes), (2, 14, 12));
    assert_eq!((client.retransmits, client.retransmitted_bytes, client.stream_bytes), (0, 0, 0));
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// From the SYN to the SYN|ACK the server, from there to the ACK the client.
#[test]
fn the_handshake_measures_both_ways() {
    let known = Known::default();
    let (mut core, _) = core_with(Config::default(), asker(&known, false));
    feed(&mut core, &mut batch(&handshake(&mut Talk::new(1), [1000, 1030, 1035], [b""; 2])), 64);
    let [client, server] = known.borrow()[2].1.map(|half| half.rtt.unwrap());
    assert_eq!((server.last, server.min, server.smoothed, server.samples), (ms(30), ms(30), ms(30), 1));
    assert_eq!((client.last, client.samples), (ms(5), 1));
}

/// A SYN that came twice says nothing (Karn's algorithm, RFC 6298 3).
#[test]
fn rfc_6298_3_a_repeated_syn_is_not_measured() {
    let known = Known::default();
    let (mut core, _) = core_with(Config::default(), asker(&known, false));
    let mut frames = handshake(&mut Talk::new(1), [1000, 2030, 2035], [b""; 2]);
    let again = Frame { time: Timestamp::from_millis(2000), ..frames[0].clone() };
    frames.insert(1, again);
    feed(&mut core, &mut batch(&frames), 1);
    let [_, server] = known.borrow().last().unwrap().1;
    assert_eq!(server.rtt, None);
}

#[test]
fn rfc_6298_3_measured_all_the_time_but_not_by_retransmissions() {
    for burst in [1, 64] {
        let known = Known::default();
        let (mut core, _) = core_with(Config::default(), asker(&known, false).measure_rtt());
        let mut talk = Talk::new(1);
        let mut frames = handshake(&mut talk, [1000, 1010, 1020], [b""; 2]);
        let mut at = |millis, talk: &mut Talk, frame: fn(&mut Talk) -> Frame| {
            talk.time = Timestamp::from_millis(millis);
            frames.push(frame(talk));
        };
        // Answered after 40 ms.
        at(2000, &mut talk, |talk| talk.data(Side::Client, b"one"));
        at(2040, &mut talk, |talk| talk.ack(Side::Server));
        // Sent twice: which copy was answered, nobody knows.
        at(3000, &mut talk, |talk| talk.data(Side::Client, b"two"));
        at(3200, &mut talk, |talk| talk.ahead(Side::Client, -3, b"two"));
        at(3201, &mut talk, |talk| talk.ack(Side::Server));
        // One at a time is measured.
        at(4000, &mut talk, |talk| talk.data(Side::Client, b"three"));
        at(4005, &mut talk, |talk| talk.data(Side::Client, b"four"));
        at(4008, &mut talk, |talk| talk.ack(Side::Server));
        // An acknowledgment of less does not count.
        at(5000, &mut talk, |talk| talk.data(Side::Client, b"five"));
        at(5004, &mut talk, |talk| {
            talk.segment(Side::Server, TcpFlags::ACK, talk.next[1], talk.next[0].wrapping_sub(1), b"")
        });
        at(5016, &mut talk, |talk| talk.ack(Side::Server));
        feed(&mut core, &mut batch(&frames), burst);
        let [client, server] = known.borrow().last().unwrap().1.map(|half| half.rtt.unwrap());
        assert_eq!((server.last, server.min, server.samples), (ms(16), ms(8), 4), "burst {burst}");
        // 10, 40, 8 and 16, an eighth of each.
        let smoothed = [40, 8, 16].iter().fold(ms(10), |smoothed, sample| smoothed * 7 / 8 + ms(*sample) / 8);
        assert_eq!(server.smoothed, smoothed);
        assert_eq!(client.samples, 1);
    }
}
