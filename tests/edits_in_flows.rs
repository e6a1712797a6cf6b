//! Editing at SND inside a flow (mtcp_setlastpkt, spec 8.1): what goes on is what was made of the packet, and everybody
//! behind the editor sees that.

use std::net::SocketAddr;

use mos_core::config::{ChecksumMode, Config};
use mos_core::io::FrameBatch;
use mos_core::packet::LinkType;
use mos_core::wire::{FrameBuilder, PacketKind, SeqNum, TcpFlags, TcpSegment, checksum, decode};
use mos_monitor::{AlterError, Checksums, Core, EditError, Event, Layer, Monitor, Side, SndCx};

use crate::support::talk::Talk;
use crate::support::{Frame, Log, batch, core_with, feed, finish, reader};

const BURSTS: [usize; 3] = [1, 7, 64];

#[derive(Clone, Copy, Debug)]
enum Wrapping {
    V4,
    V6,
    Vlan,
}

/// The frames as they come from the wire: IPv4 and IPv6 on Ethernet, with or without a VLAN tag.
fn wrapped(frames: &[Frame], wrapping: Wrapping) -> Vec<Frame> {
    let wrap = |frame: &Frame| {
        let packet = decode(&frame.bytes, frame.wire_len, LinkType::RawIp);
        let segment = TcpSegment {
            src: SocketAddr::new(packet.source(&frame.bytes), packet.src_port),
            dst: SocketAddr::new(packet.destination(&frame.bytes), packet.dst_port),
            seq: packet.seq,
            ack: packet.ack,
            flags: packet.tcp_flags,
            window: packet.window,
            options: packet.tcp_options(&frame.bytes),
            payload: packet.payload(&frame.bytes),
        };
        let builder =
            if matches!(wrapping, Wrapping::Vlan) { FrameBuilder::new().vlan(9) } else { FrameBuilder::new() };
        let bytes = builder.ethernet(&segment);
        Frame { wire_len: bytes.len() as u32, bytes, time: frame.time, link: LinkType::Ethernet }
    };
    frames.iter().map(wrap).collect()
}

fn talk(wrapping: Wrapping) -> Talk {
    match wrapping {
        Wrapping::V6 => Talk::between("[2001:db8::1]:4000".parse().unwrap(), "[2001:db8::2]:80".parse().unwrap(), 7),
        Wrapping::V4 | Wrapping::Vlan => Talk::new(7),
    }
}

/// What goes on in place of each frame.
fn forwarded(core: &mut Core, frames: &[Frame], burst: usize) -> Vec<Option<Vec<u8>>> {
    let mut out = Vec::new();
    for frames in frames.chunks(burst) {
        let mut batch: FrameBatch = batch(frames);
        let mut burst = batch.burst(0..frames.len());
        core.process(&mut burst);
        out.extend((0..frames.len()).map(|at| core.stack().forwarded(at, &burst).map(<[u8]>::to_vec)));
    }
    out
}

/// The payload and the numbers of a frame whose checksums are right.
fn taken_apart(frame: &[u8], link: LinkType) -> (Vec<u8>, SeqNum, SeqNum) {
    let packet = decode(frame, frame.len() as u32, link);
    assert_eq!(packet.kind, PacketKind::Tcp);
    assert_eq!(checksum::tcp_ok(&packet, frame), Some(true));
    assert!(packet.ip_version == 6 || checksum::ipv4_header_ok(packet.network_header(frame)));
    (packet.payload(frame).to_vec(), packet.seq, packet.ack)
}

/// A monitor that edits every packet with payload.
fn editor(mut edit: impl FnMut(&mut SndCx<'_, '_, (), ()>) + 'static) -> Monitor {
    Monitor::new("editor", ()).on_snd(Event::PktIn, move |cx| {
        if cx.conn.last_packet().is_some_and(|packet| !packet.payload.is_empty()) {
            edit(cx);
        }
    })
}

#[test]
fn spec_8_1_edits_of_any_kind_go_on_in_bursts_of_any_size() {
    for wrapping in [Wrapping::V4, Wrapping::V6, Wrapping::Vlan] {
        for burst in BURSTS {
            let monitor = editor(|cx| {
                let mut edit = cx.conn.edit();
                edit.overwrite(Layer::Payload, 0, b"X").unwrap();
                edit.chomp(Layer::Payload, 1, 2).unwrap().insert(Layer::Payload, 3, b"+++").unwrap();
                // The option goes to all packets, and moves the payload.
                edit.insert(Layer::Tcp, 20, &[1, 1, 1, 1]).unwrap();
                cx.conn.rewrite().hop_limit(7).dscp(3).window(1234).apply().unwrap();
                cx.conn.edit().insert(Layer::Payload, 0, b"<").unwrap();
                let packet = cx.conn.last_packet().unwrap();
                assert_eq!((packet.payload, packet.info.window), (&b"<X34+++56789"[..], 1234));
                assert_eq!(packet.tcp.len(), 24);
            });
            // The second monitor sees what the first one made.
            let second = editor(|cx| {
                if cx.conn.side() == Side::Client {
                    assert_eq!(cx.conn.last_packet().unwrap().payload, b"<X34+++56789");
                    cx.conn.edit().chomp(Layer::Payload, 0, 1).unwrap();
                } else {
                    // Packets from the server meet it first.
                    assert_eq!(cx.conn.last_packet().unwrap().payload, b"0123456789");
                }
            });
            let (mut core, _) = core_with(Config::default(), monitor);
            core.open(second).unwrap();
            let log = core.open(reader()).unwrap();
            let mut talk = talk(wrapping);
            let mut frames = Vec::from(talk.handshake());
            let first = talk.next;
            for _ in 0..5 {
                frames.push(talk.data(Side::Client, b"0123456789"));
                frames.push(talk.data(Side::Server, b"0123456789"));
            }
            let out = forwarded(&mut core, &wrapped(&frames, wrapping), burst);
            assert_eq!(core.panics(), 0);
            for (number, pair) in out[3..].chunks(2).enumerate() {
                let [from_client, from_server] =
                    [0, 1].map(|at| taken_apart(pair[at].as_ref().unwrap(), LinkType::Ethernet));
                assert_eq!(from_client.0, b"X34+++56789");
                assert_eq!(from_client.1, SeqNum(first[0]) + 11 * number as u32, "{wrapping:?} {burst}");
                assert_eq!(from_server.0, b"<X34+++56789");
                assert_eq!(from_server.1, SeqNum(first[1]) + 12 * number as u32);
            }
            finish(&mut core);
            let streams = &core.state::<Log>(log).unwrap().flows[0].streams;
            assert_eq!(streams[1].bytes, b"X34+++56789".repeat(5));
            assert_eq!(streams[0].bytes, b"<X34+++56789".repeat(5));
        }
    }
}

#[test]
fn spec_8_1_what_is_dropped_after_an_edit_does_not_go_on() {
    for burst in BURSTS {
        let monitor = editor(|cx| {
            cx.conn.edit().insert(Layer::Payload, 0, b"more").unwrap();
            assert!(cx.conn.drop_packet());
        });
        let (mut core, _) = core_with(Config::default(), monitor);
        let mut talk = talk(Wrapping::V4);
        let mut frames = Vec::from(talk.handshake());
        let data = talk.data(Side::Client, b"dropped");
        frames.extend([data.clone(), data]);
        frames.push(talk.ack(Side::Client));
        let out = forwarded(&mut core, &frames, burst);
        assert_eq!(core.panics(), 0, "sent again, it is as new as the first time");
        assert!(out[3].is_none() && out[4].is_none() && out[5].is_some());
        let (_, seq, _) = taken_apart(out[5].as_ref().unwrap(), LinkType::RawIp);
        assert_eq!(seq.0, talk.next[0], "nothing was shifted");
    }
}

/// Only that packet changes: the endpoints are left to themselves.
#[test]
fn spec_8_1_out_of_step_edits_change_one_packet() {
    for burst in BURSTS {
        let monitor = editor(|cx| {
            let mut edit = cx.conn.edit().out_of_step();
            if edit.chomp(Layer::Payload, 0, 3).is_err() {
                panic!("out of step everything can be edited");
            }
        });
        let (mut core, _) = core_with(Config::default(), monitor);
        let mut talk = talk(Wrapping::V4);
        let mut frames = Vec::from(talk.handshake());
        let data = talk.data(Side::Client, b"012345");
        frames.extend([data.clone(), data]);
        frames.push(talk.ack(Side::Server));
        frames.push(talk.ack(Side::Client));
        let out = forwarded(&mut core, &frames, burst);
        assert_eq!(core.panics(), 0);
        let parts: Vec<_> = out.iter().map(|frame| taken_apart(frame.as_ref().unwrap(), LinkType::RawIp)).collect();
        assert_eq!((&parts[3].0[..], &parts[4].0[..]), (&b"345"[..], &b"345"[..]));
        assert_eq!(parts[5].2, SeqNum(talk.next[0]), "the acknowledgment is not shifted");
        assert_eq!(parts[6].1, SeqNum(talk.next[0]));
    }
}

/// Late copies, pure ACKs and SYNs, and what cannot be remembered.
#[test]
fn spec_8_1_what_cannot_be_edited_in_step_says_why() {
    let told: std::rc::Rc<std::cell::RefCell<Vec<Option<AlterError>>>> = Default::default();
    let note = told.clone();
    let monitor = Monitor::<(), ()>::new("editor", ()).on_snd(Event::PktIn, move |cx| {
        if cx.conn.side() == Side::Client {
            let result = cx.conn.edit().insert(Layer::Payload, 0, b"ab").err();
            note.borrow_mut().push(result);
        }
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = talk(Wrapping::V4);
    let mut frames = Vec::from(talk.handshake());
    let data = talk.data(Side::Client, b"data");
    let half = talk.ahead(Side::Client, -2, b"tamore");
    frames.extend([data.clone(), data.clone(), half]);
    frames.push(talk.ack(Side::Server));
    frames.push(data);
    feed(&mut core, &mut batch(&frames), 1);
    let (no_payload, repeated) = (Some(AlterError::NoPayload), Some(AlterError::Repeated));
    let expected = [no_payload, no_payload, None, repeated, repeated, repeated];
    assert_eq!(*told.borrow(), expected);
}

#[test]
fn spec_2_4_seq_remap_edits_that_are_not_acknowledged_have_a_bound() {
    let told: std::rc::Rc<std::cell::RefCell<Vec<Result<(), AlterError>>>> = Default::default();
    let note = told.clone();
    let monitor = editor(move |cx| {
        let result = cx.conn.edit().insert(Layer::Payload, 0, b"+").map(|_| ());
        note.borrow_mut().push(result);
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = talk(Wrapping::V4);
    let mut frames = Vec::from(talk.handshake());
    frames.extend((0..70).map(|_| talk.data(Side::Client, b"x")));
    feed(&mut core, &mut batch(&frames), 64);
    assert_eq!(told.borrow().iter().filter(|result| result.is_ok()).count(), 64);
    assert!(matches!(told.borrow()[69], Err(AlterError::Full(_))));
    // Acknowledged by the server, in its own numbers, they make room.
    talk.next[0] = talk.next[0].wrapping_add(64);
    let ack = talk.ack(Side::Server);
    talk.next[0] = talk.next[0].wrapping_sub(64);
    let more = talk.data(Side::Client, b"x");
    feed(&mut core, &mut batch(&[ack, more]), 64);
    assert_eq!(told.borrow().last(), Some(&Ok(())));
}

#[test]
fn spec_8_1_an_edit_that_fails_changes_nothing() {
    let monitor = editor(|cx| {
        let before = cx.conn.last_packet().unwrap().to_copy();
        let mut edit = cx.conn.edit();
        let failures = [
            edit.overwrite(Layer::Payload, 8, b"abc").err(),
            edit.chomp(Layer::Payload, 5, 6).err(),
            edit.insert(Layer::Ethernet, 0, b"abcd").err(),
            edit.insert(Layer::Tcp, 20, b"abc").err(),
            edit.insert(Layer::Payload, 0, &[0; 70_000]).err(),
        ];
        for failure in failures {
            assert!(matches!(failure, Some(AlterError::Edit(_))), "{failure:?}");
        }
        let family = cx.conn.rewrite().src([0_u16; 8], 1).apply();
        assert!(matches!(family, Err(AlterError::Edit(EditError::Family { .. }))));
        assert_eq!(cx.conn.last_packet().unwrap().to_copy(), before);
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = talk(Wrapping::V4);
    let mut frames = Vec::from(talk.handshake());
    frames.push(talk.data(Side::Client, b"0123456789"));
    let frames = wrapped(&frames, Wrapping::V4);
    let out = forwarded(&mut core, &frames, 64);
    assert_eq!(core.panics(), 0);
    assert_eq!(out[3].as_ref(), Some(&frames[3].bytes));
}

#[test]
fn spec_8_1_checksums_are_what_the_caller_says() {
    for (checksums, right) in [(Checksums::Incremental, true), (Checksums::Full, true), (Checksums::Keep, false)] {
        let monitor = editor(move |cx| {
            cx.conn.edit().checksums(checksums).overwrite(Layer::Payload, 0, b"!").unwrap();
        });
        let (mut core, _) = core_with(Config { checksum: ChecksumMode::Trust, ..Config::default() }, monitor);
        let mut talk = talk(Wrapping::V4);
        let mut frames = Vec::from(talk.handshake());
        frames.push(talk.data(Side::Client, b"0123456789"));
        let out = forwarded(&mut core, &frames, 64);
        let frame = out[3].as_ref().unwrap();
        let packet = decode(frame, frame.len() as u32, LinkType::RawIp);
        assert_eq!(packet.payload(frame), b"!123456789");
        assert_eq!(checksum::tcp_ok(&packet, frame), Some(right));
    }
}

/// NAT by rewriting: the answer to the translated tuple belongs to the flow (spec 14, trace 19).
#[test]
fn trace_19_the_answer_to_a_translated_tuple_belongs_to_the_flow() {
    let cases = [
        ("10.0.0.1:1000", "192.0.2.1:80", "198.51.100.7:5000"),
        ("[2001:db8::1]:1000", "[2001:db8::2]:80", "[2001:db8:ffff::9]:5000"),
    ];
    for (client, server, nat) in cases {
        let [client, server, nat]: [SocketAddr; 3] = [client, server, nat].map(|address| address.parse().unwrap());
        for burst in BURSTS {
            let monitor = Monitor::<u32, ()>::new("nat", 0)
                .on_snd(Event::PktIn, move |cx| {
                    *cx.state += 1;
                    assert_eq!(cx.conn.endpoint(Side::Client), client);
                    match cx.conn.side() {
                        Side::Client => cx.conn.rewrite().src(nat.ip(), nat.port()).apply().unwrap(),
                        Side::Server => cx.conn.rewrite().dst(client.ip(), client.port()).apply().unwrap(),
                    }
                })
                .on_rcv(Event::PktIn, move |cx| {
                    assert_eq!(cx.conn.endpoint_seen_by(Side::Server, Side::Client), nat);
                    assert_eq!(cx.conn.endpoint_seen_by(Side::Client, Side::Client), client);
                    assert_eq!(cx.conn.endpoint_seen_by(Side::Server, Side::Server), server);
                });
            let (mut core, socket) = core_with(Config::default(), monitor);
            let log = core.open(reader()).unwrap();
            let mut inner = Talk::between(client, server, 99);
            let mut outer = Talk { addresses: [nat, server], ..inner.clone() };
            let mut frames = Vec::new();
            for (number, frame) in inner.whole(b"request", b"answer").into_iter().enumerate() {
                let other = &outer.whole(b"request", b"answer")[number];
                outer = Talk { addresses: [nat, server], ..Talk::between(client, server, 99) };
                let from_server = decode(&frame.bytes, frame.wire_len, LinkType::RawIp).src_port == 80;
                frames.push(if from_server { other.clone() } else { frame });
            }
            let out = forwarded(&mut core, &frames, burst);
            assert_eq!(core.panics(), 0);
            for frame in out {
                let frame = frame.unwrap();
                taken_apart(&frame, LinkType::RawIp);
                let packet = decode(&frame, frame.len() as u32, LinkType::RawIp);
                let ends = [(packet.source(&frame), packet.src_port), (packet.destination(&frame), packet.dst_port)];
                let ends = ends.map(|(ip, port)| SocketAddr::new(ip, port));
                assert!(ends == [nat, server] || ends == [server, client], "{ends:?}");
            }
            finish(&mut core);
            assert_eq!((core.state::<u32>(socket), core.stats().flows, core.stats().orphans), (Some(&8), 1, 0));
            let flow = &core.state::<Log>(log).unwrap().flows[0];
            assert_eq!((&flow.streams[1].bytes[..], &flow.streams[0].bytes[..]), (&b"request"[..], &b"answer"[..]));
        }
    }
}

/// Flags can be rewritten, and go on like that.
#[test]
fn spec_8_1_rewritten_flags_go_on() {
    let monitor = editor(|cx| cx.conn.rewrite().flags(TcpFlags::ACK | TcpFlags::PSH).apply().unwrap());
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = talk(Wrapping::V4);
    let mut frames = Vec::from(talk.handshake());
    frames.push(talk.data(Side::Client, b"data"));
    let out = forwarded(&mut core, &frames, 7);
    let frame = out[3].as_ref().unwrap();
    assert_eq!(decode(frame, frame.len() as u32, LinkType::RawIp).tcp_flags, TcpFlags::ACK | TcpFlags::PSH);
}

/// At the end of a flow there is no packet; and what came in fragments has gone its way.
#[test]
fn spec_8_1_what_is_not_at_hand_cannot_be_edited() {
    let told: std::rc::Rc<std::cell::RefCell<Vec<AlterError>>> = Default::default();
    let (packets, ends) = (told.clone(), told.clone());
    let monitor = editor(move |cx| {
        assert!(cx.conn.frame_mut().is_none() && !cx.conn.drop_packet());
        packets.borrow_mut().extend(cx.conn.edit().insert(Layer::Payload, 0, b"x").err());
        packets.borrow_mut().extend(cx.conn.rewrite().hop_limit(3).apply().err());
    })
    .on_snd(Event::ConnEnd, move |cx| {
        ends.borrow_mut().extend(cx.conn.edit().overwrite(Layer::Payload, 0, b"x").err());
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = talk(Wrapping::V4);
    feed(&mut core, &mut batch(&talk.handshake()), 64);
    let whole = talk.data(Side::Client, &[7; 60]);
    let part = |from: usize, to: usize, more: bool| {
        let mut bytes = whole.bytes[..20].to_vec();
        bytes.extend_from_slice(&whole.bytes[20 + from..20 + to]);
        let total = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[6..8].copy_from_slice(&((from / 8) as u16 | u16::from(more) << 13).to_be_bytes());
        bytes[10..12].fill(0);
        let sum = checksum::checksum(&bytes[..20]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        Frame::ip(bytes, talk.time)
    };
    let out = forwarded(&mut core, &[part(0, 40, true), part(40, 80, false)], 64);
    assert!(out.iter().all(Option::is_some), "fragments are forwarded one by one");
    assert_eq!(*told.borrow(), [AlterError::Fragmented, AlterError::Fragmented]);
    finish(&mut core);
    assert_eq!(told.borrow()[2..], [AlterError::NoPacket, AlterError::NoPacket]);
    assert_eq!(core.panics(), 0);
}
