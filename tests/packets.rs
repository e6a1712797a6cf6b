//! The packet at hand (mtcp_getlastpkt, spec 1.6): every field of it, wherever there is one; a copy outlives it.

use std::cell::RefCell;
use std::rc::Rc;

use mos_core::config::Config;
use mos_core::io::FrameBatch;
use mos_core::packet::LinkType;
use mos_core::wire::{FrameBuilder, SeqNum, TcpFlags, TcpSegment};
use mos_monitor::{Core, Event, Hook, LastPacket, Monitor, PacketCopy, RawMonitor, Side};

use crate::support::talk::Talk;
use crate::support::{batch, core_with, feed, finish};

const BURSTS: [usize; 3] = [1, 7, 64];

/// Hook, sender, sequence number, offset, payload.
type Seen = Rc<RefCell<Vec<(Hook, u32, Option<u64>, Vec<u8>)>>>;

/// Who saw a packet, its offset and payload.
type Infos = Rc<RefCell<Vec<(&'static str, Option<u64>, Vec<u8>)>>>;

fn note(seen: &Seen, hook: Hook, packet: Option<LastPacket<'_>>) {
    let packet = packet.expect("a packet is at hand");
    seen.borrow_mut().push((hook, packet.info.seq, packet.info.offset, packet.payload.to_vec()));
}

fn watcher(seen: &Seen) -> Monitor {
    let (snd, rcv) = (seen.clone(), seen.clone());
    Monitor::new("watcher", ())
        .on_snd(Event::PktIn, move |cx| note(&snd, Hook::Snd, cx.conn.last_packet()))
        .on_rcv(Event::PktIn, move |cx| note(&rcv, Hook::Rcv, cx.conn.last_packet()))
}

/// The offset is that in the stream of the receiver, for the first segment of either side, for what comes again, and for
/// what comes too early; at both hooks.
#[test]
fn spec_1_6_getlastpkt_the_offset_is_the_receivers() {
    for burst in BURSTS {
        for seed in [5, u32::MAX - 3] {
            let seen = Seen::default();
            let (mut core, _) = core_with(Config::default(), watcher(&seen));
            let ends = ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
            let mut talk = Talk::between(ends[0], ends[1], seed);
            let mut frames = Vec::from(talk.handshake());
            let mut expected: Vec<(Option<u64>, &[u8])> = vec![(Some(0), b""), (Some(0), b""), (Some(0), b"")];
            frames.push(talk.data(Side::Server, b"first of the server"));
            expected.push((Some(0), b"first of the server"));
            frames.push(talk.data(Side::Client, b"0123"));
            expected.push((Some(0), b"0123"));
            frames.push(talk.ahead(Side::Client, 4, b"89"));
            expected.push((Some(8), b"89"));
            frames.push(talk.ahead(Side::Client, -2, b"23"));
            expected.push((Some(2), b"23"));
            frames.push(talk.data(Side::Client, b"4567"));
            expected.push((Some(4), b"4567"));
            frames.push(talk.ahead(Side::Client, -4, b"456789"));
            expected.push((Some(4), b"456789"));
            talk.next[0] = talk.next[0].wrapping_add(2);
            frames.push(talk.ack(Side::Client));
            expected.push((Some(10), b""));
            feed(&mut core, &mut batch(&frames), burst);
            let seen = seen.borrow();
            let told: Vec<_> = seen.iter().map(|(_, _, offset, payload)| (*offset, &payload[..])).collect();
            let twice: Vec<_> = expected.iter().flat_map(|entry| [*entry, *entry]).collect();
            assert_eq!(told, twice, "burst {burst}");
            assert!(seen.chunks(2).all(|pair| (pair[0].0, pair[1].0) == (Hook::Snd, Hook::Rcv)));
        }
    }
}

#[test]
fn d12_midstream_offsets_count_from_the_first_packet() {
    let seen = Seen::default();
    let (mut core, _) = core_with(Config { midstream: true, ..Config::default() }, watcher(&seen));
    let mut talk = Talk::new(1);
    let frames = [
        talk.data(Side::Client, b"abc"),
        talk.data(Side::Client, b"def"),
        talk.segment(Side::Server, TcpFlags::ACK, talk.acked[0], talk.next[0], b"xyz"),
    ];
    feed(&mut core, &mut batch(&frames), 1);
    let offsets: Vec<_> = seen.borrow().iter().map(|(_, _, offset, _)| offset.unwrap()).collect();
    assert_eq!(offsets, [0, 0, 3, 3, 0, 0]);
}

/// Every field, on a tagged frame with options; the copy is the same when the burst is long gone.
#[test]
fn spec_2_8_all_fields_and_a_copy_that_outlives_the_packet() {
    let copies: Rc<RefCell<Vec<PacketCopy>>> = Rc::default();
    let keep = copies.clone();
    let monitor = Monitor::<(), ()>::new("copier", ())
        .on_rcv(Event::ConnStart, move |cx| keep.borrow_mut().push(cx.conn.last_packet().unwrap().to_copy()));
    let (mut core, _) = core_with(Config::default(), monitor);
    let segment = TcpSegment {
        seq: SeqNum(77),
        ack: SeqNum(5),
        flags: TcpFlags::SYN,
        window: 4321,
        options: &[2, 4, 5, 180],
        payload: b"early",
        ..TcpSegment::new("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap())
    };
    let frame = FrameBuilder::new().vlan(7).ethernet(&segment);
    let talk = Talk::new(1);
    let mut batch = FrameBatch::new();
    batch.push(&frame, frame.len() as u32, talk.time, 6, LinkType::Ethernet);
    core.process(&mut batch.burst(0..1));
    batch.clear();
    let copies = copies.borrow();
    let copy = &copies[0];
    let LastPacket { info, ethernet, ip, tcp, payload, .. } = copy.as_packet();
    assert_eq!((info.timestamp, info.port, info.eth_len), (talk.time, 6, frame.len() as u32));
    assert_eq!((info.ip_len, info.payload_len, info.window), (20 + 24 + 5, 5, 4321));
    assert_eq!((info.seq, info.ack, info.flags, info.offset), (77, 5, TcpFlags::SYN, Some(0)));
    assert_eq!((ethernet.len(), ip.len(), tcp.len(), payload), (18, 20, 24, &b"early"[..]));
    assert_eq!((ethernet, ip), (&frame[..18], &frame[18..38]));
    assert_eq!(copy.bytes(), frame);
}

/// There is a packet where one raised the event, and nowhere else.
#[test]
fn spec_3_1_no_packet_at_the_end_of_bursts_and_flows() {
    for burst in BURSTS {
        let told: Rc<RefCell<Vec<(&'static str, bool)>>> = Rc::default();
        let notes = [(); 4].map(|()| told.clone());
        let [data, end, state, error] = notes;
        let monitor = Monitor::<(), ()>::new("asks", ())
            .on_new_data(move |cx| data.borrow_mut().push(("data", cx.conn.last_packet().is_some())))
            .on_rcv(Event::ConnEnd, move |cx| end.borrow_mut().push(("end", cx.conn.last_packet().is_some())))
            .on_snd(Event::TcpStateChange, move |cx| {
                state.borrow_mut().push(("state", cx.conn.last_packet().is_some()));
            })
            .on_error(move |cx| error.borrow_mut().push(("error", cx.conn.last_packet().is_some())));
        let (mut core, _) = core_with(Config::default(), monitor);
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        frames.push(talk.data(Side::Client, b"data"));
        frames.push(talk.ahead(Side::Client, 1 << 20, b"too far"));
        feed(&mut core, &mut batch(&frames), burst);
        core.advance(mos_core::time::Timestamp::from_millis(100_000));
        let told = told.borrow();
        let of = |what| told.iter().filter(move |(other, _)| *other == what).map(|(_, is)| *is).collect::<Vec<_>>();
        assert_eq!(of("data"), [false], "burst {burst}");
        assert_eq!(of("end"), [false, false]);
        assert_eq!(of("state"), [true, false, false]);
        assert_eq!(of("error"), [true]);
    }
}

#[test]
fn spec_1_6_getlastpkt_orphans_and_raw_packets_have_no_offset() {
    let infos = Infos::default();
    let (orphan, raw) = (infos.clone(), infos.clone());
    let mut core = Core::new(Config::default());
    let monitor = Monitor::<(), ()>::new("orphans", ()).on_orphan(move |cx| {
        let packet = cx.last_packet();
        orphan.borrow_mut().push(("orphan", packet.info.offset, packet.payload.to_vec()));
    });
    core.open(monitor).unwrap();
    let monitor = RawMonitor::new("raw", ()).on_packet(move |cx| {
        let packet = cx.last_packet();
        assert_eq!(packet.ip.len(), 20);
        raw.borrow_mut().push(("raw", packet.info.offset, packet.payload.to_vec()));
    });
    core.open_raw(monitor).unwrap();
    feed(&mut core, &mut batch(&[Talk::new(1).data(Side::Client, b"stray")]), 1);
    assert_eq!(*infos.borrow(), [("raw", None, b"stray".to_vec()), ("orphan", None, b"stray".to_vec())]);
    finish(&mut core);
}
