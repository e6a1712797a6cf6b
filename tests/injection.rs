//! Packets that callbacks send (mtcp_sendpkt, spec 8.2) and resets: endpoints accept them, and they leave on the right way.

use std::cell::RefCell;
use std::rc::Rc;

use mos_core::config::Config;
use mos_core::io::FrameBatch;
use mos_core::packet::LinkType;
use mos_core::stack::MAX_OUTGOING;
use mos_core::wire::{FrameBuilder, PacketKind, SeqNum, TcpFlags, TcpSegment, checksum, decode};
use mos_monitor::{Core, EndReason, Event, Monitor, Outgoing, SendError, Side, Timer, Way};

use crate::support::dice::Dice;
use crate::support::in_step::{Endpoint, Traits, Weather, World};
use crate::support::talk::Talk;
use crate::support::{Frame, batch, core_with, feed};

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xaa], [2, 0, 0, 0, 0, 0xbb]];

/// The datagram of `frame` on Ethernet, with VLAN tags, as it comes from `from`.
fn on_ethernet(frame: &Frame, from: Side, vlans: &[u16]) -> Frame {
    let packet = decode(&frame.bytes, frame.wire_len, LinkType::RawIp);
    let (src, dst) = (MACS[from as usize], MACS[from.other() as usize]);
    let mut builder = FrameBuilder::new().macs(src, dst);
    for vlan in vlans {
        builder = builder.vlan(*vlan);
    }
    let endpoint = |ip, port| std::net::SocketAddr::new(ip, port);
    let segment = TcpSegment {
        src: endpoint(packet.source(&frame.bytes), packet.src_port),
        dst: endpoint(packet.destination(&frame.bytes), packet.dst_port),
        seq: packet.seq,
        ack: packet.ack,
        flags: packet.tcp_flags,
        window: packet.window,
        options: packet.tcp_options(&frame.bytes),
        payload: packet.payload(&frame.bytes),
    };
    let bytes = builder.ethernet(&segment);
    Frame { wire_len: bytes.len() as u32, bytes, time: frame.time, link: LinkType::Ethernet }
}

fn take_all(core: &mut Core) -> Vec<Outgoing> {
    std::iter::from_fn(|| core.poll_transmit()).collect()
}

fn talk(v6: bool) -> Talk {
    if v6 {
        Talk::between("[2001:db8::1]:4000".parse().unwrap(), "[2001:db8::2]:80".parse().unwrap(), 7)
    } else {
        Talk::new(7)
    }
}

/// Any flags, options and payload; the link header is that of the packet at hand, turned round on the way back.
#[test]
fn spec_8_2_segments_of_any_kind_leave_on_the_right_way() {
    for v6 in [false, true] {
        for vlans in [&[][..], &[5], &[100, 7]] {
            for to in Side::BOTH {
                let monitor = Monitor::<(), ()>::new("sender", ()).on_rcv(Event::PktIn, move |cx| {
                    if cx.conn.packet().is_some_and(|packet| packet.payload() == b"now") {
                        let options = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
                        let flags = TcpFlags::PSH | TcpFlags::URG | TcpFlags::FIN | TcpFlags::ACK;
                        let plain = cx.conn.segment_to(to);
                        let segment =
                            TcpSegment { flags, options: &options, payload: b"injected", window: 99, ..plain };
                        cx.conn.send_packet(to, &segment).unwrap();
                    }
                });
                let (mut core, _) = core_with(Config::default(), monitor);
                let mut talk = talk(v6);
                let handshake = talk.handshake();
                let mut frames: Vec<Frame> = [Side::Client, Side::Server, Side::Client]
                    .iter()
                    .zip(&handshake)
                    .map(|(from, frame)| on_ethernet(frame, *from, vlans))
                    .collect();
                let before = talk.next;
                frames.push(on_ethernet(&talk.data(Side::Client, b"now"), Side::Client, vlans));
                let mut batch = FrameBatch::new();
                for frame in &frames {
                    batch.push(&frame.bytes, frame.wire_len, frame.time, 3, frame.link);
                }
                core.process(&mut batch.burst(0..4));
                let sent = take_all(&mut core);
                let [Outgoing { frame, link, way }] = &sent[..] else { panic!("{sent:?}") };
                assert_eq!(*link, LinkType::Ethernet);
                assert_eq!(*way, if to == Side::Server { Way::Along(3) } else { Way::Back(3) });
                assert_eq!((&frame[..6], &frame[6..12]), (&MACS[to as usize][..], &MACS[to.other() as usize][..]));
                let packet = decode(frame, frame.len() as u32, *link);
                assert_eq!(packet.kind, PacketKind::Tcp);
                assert_eq!(frame[12..usize::from(packet.network)], frames[3].bytes[12..usize::from(packet.network)]);
                assert_eq!(checksum::tcp_ok(&packet, frame), Some(true));
                assert!(v6 || checksum::ipv4_header_ok(packet.network_header(frame)));
                assert_eq!(packet.tcp_flags, TcpFlags::PSH | TcpFlags::URG | TcpFlags::FIN | TcpFlags::ACK);
                assert_eq!((packet.payload(frame), packet.window), (&b"injected"[..], 99));
                assert_eq!(packet.tcp_options(frame), [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
                assert_eq!(packet.src_port, talk.addresses[to.other() as usize].port());
                // What `to` expects next: behind the data if it is the one that got it.
                let expected = talk.next[to.other() as usize];
                assert_eq!(packet.seq, SeqNum(expected));
                assert_eq!(packet.ack, SeqNum(talk.next[to as usize]));
                assert_eq!(before[1], talk.next[1]);
            }
        }
    }
}

#[test]
fn spec_8_2_without_a_packet_it_is_routed() {
    let mut monitor = Monitor::<(), ()>::new("late", ());
    let handler = monitor.timer_handler(|cx| {
        assert!(cx.conn.reset().is_ok());
    });
    let monitor = monitor.on_rcv(Event::ConnStart, move |cx| {
        cx.conn.set_timer(Timer::after(std::time::Duration::from_millis(5)), handler).unwrap();
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = talk(true);
    feed(&mut core, &mut batch(&talk.handshake()), 64);
    core.advance(mos_core::time::Timestamp::from_millis(1005));
    let sent = take_all(&mut core);
    assert_eq!(sent.len(), 2);
    for (outgoing, to) in sent.iter().zip(Side::BOTH) {
        assert_eq!((outgoing.link, outgoing.way), (LinkType::RawIp, Way::Routed));
        let packet = decode(&outgoing.frame, outgoing.frame.len() as u32, LinkType::RawIp);
        assert_eq!(packet.destination(&outgoing.frame), talk.addresses[to as usize].ip());
        assert_eq!((packet.seq.0, packet.ack.0), (talk.next[to.other() as usize], talk.next[to as usize]));
    }
}

#[test]
fn spec_8_2_what_cannot_be_sent_is_refused() {
    let monitor = Monitor::<(), ()>::new("greedy", ()).on_rcv(Event::ConnStart, |cx| {
        let plain = cx.conn.segment_to(Side::Server);
        let long = TcpSegment { options: &[1; 41], ..plain };
        assert_eq!(cx.conn.send_packet(Side::Server, &long), Err(SendError::Options { len: 41 }));
        let huge = vec![0; 65_536];
        let huge = TcpSegment { payload: &huge, ..plain };
        assert_eq!(cx.conn.send_packet(Side::Server, &huge), Err(SendError::Payload { len: 65_536 }));
        for _ in 0..MAX_OUTGOING {
            assert_eq!(cx.conn.send_packet(Side::Server, &plain), Ok(()));
        }
        assert_eq!(cx.conn.send_packet(Side::Server, &plain), Err(SendError::Full));
        assert_eq!(cx.conn.reset(), Err(SendError::Full));
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    feed(&mut core, &mut batch(&[Talk::new(1).syn()]), 1);
    assert_eq!(core.panics(), 0);
    assert_eq!(take_all(&mut core).len(), MAX_OUTGOING);
}

/// Data that was dropped with its NEW_DATA never came: both ends are reset where they stand, then and later.
#[test]
fn resets_stand_before_data_that_was_dropped() {
    for burst in [1, 64] {
        let mut monitor = Monitor::<(), ()>::new("guard", ()).immediate();
        let again = monitor.timer_handler(|cx| cx.conn.reset().unwrap());
        let monitor = monitor.on_new_data(move |cx| {
            if cx.conn.packet().is_some_and(|packet| packet.payload() == b"ckXX") {
                assert!(cx.conn.drop_packet());
                cx.conn.reset().unwrap();
                cx.conn.set_timer(Timer::after(std::time::Duration::from_secs(1)), again).unwrap();
            }
            cx.conn.consume_all();
        });
        let (mut core, _) = core_with(Config::default(), monitor);
        let mut talk = talk(false);
        let mut frames = Vec::from(talk.handshake());
        frames.push(talk.data(Side::Client, b"attack"));
        let passed = talk.next;
        // Two bytes of it came before; what is new is dropped, and what comes behind it, too.
        talk.next[Side::Client as usize] -= 2;
        frames.push(talk.data(Side::Client, b"ckXX"));
        frames.push(talk.data(Side::Client, b"more"));
        feed(&mut core, &mut batch(&frames), burst);
        let mut sent = take_all(&mut core);
        core.advance(talk.time + std::time::Duration::from_secs(2));
        sent.extend(take_all(&mut core));
        assert_eq!(sent.len(), 4);
        for (outgoing, to) in sent.iter().zip(Side::BOTH.into_iter().cycle()) {
            let packet = decode(&outgoing.frame, outgoing.frame.len() as u32, outgoing.link);
            let expected = (passed[to.other() as usize], passed[to as usize]);
            assert_eq!((packet.seq.0, packet.ack.0), expected, "to {to:?}, bursts of {burst}");
        }
    }
}

/// A monitor behind the first one takes both resets for what they are.
#[test]
fn d4_a_second_monitor_accepts_injected_resets() {
    for at in [b"request", b"answer!"] {
        let monitor = Monitor::<(), ()>::new("resetter", ()).on_rcv(Event::PktIn, move |cx| {
            if cx.conn.packet().is_some_and(|packet| packet.payload() == at) {
                cx.conn.reset().unwrap();
            }
        });
        let ends: Rc<RefCell<Vec<EndReason>>> = Rc::default();
        let note = ends.clone();
        let mut second = Core::new(Config::default());
        second.open(Monitor::<(), ()>::new("end", ()).on_end(move |cx| note.borrow_mut().push(cx.reason()))).unwrap();
        let (mut first, _) = core_with(Config::default(), monitor);
        let mut talk = talk(false);
        let mut frames = Vec::from(talk.handshake());
        frames.push(talk.data(Side::Client, b"request"));
        talk.ack(Side::Server);
        frames.push(talk.data(Side::Server, b"answer!"));
        let mut resets = Vec::new();
        for frame in frames {
            feed(&mut first, &mut batch(std::slice::from_ref(&frame)), 1);
            feed(&mut second, &mut batch(std::slice::from_ref(&frame)), 1);
            resets = take_all(&mut first);
            if !resets.is_empty() {
                break;
            }
        }
        assert_eq!(resets.len(), 2);
        for reset in resets {
            assert!(ends.borrow().is_empty());
            feed(&mut second, &mut batch(&[Frame::ip(reset.frame, talk.time)]), 1);
            if !ends.borrow().is_empty() {
                break;
            }
        }
        assert_eq!(*ends.borrow(), [EndReason::Rst]);
    }
}

/// Endpoints, with their own numbers, take the resets of a flow that was edited in length.
#[test]
fn endpoints_of_an_edited_flow_accept_resets() {
    for seed in 0..20 {
        let traits = Traits { mss: 500, window: 5000, timestamps: seed % 2 == 0, sack: true, patience: 60 };
        let addresses = ["10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
        let mut random = Dice(seed);
        let ends = [0, 1].map(|end| {
            let addresses = if end == 0 { addresses } else { [addresses[1], addresses[0]] };
            let (iss, bytes) = (random.next() as u32, random.fill(9000));
            Endpoint::new(end == 0, addresses, iss, bytes, traits, Dice(seed + end))
        });
        let calm = Weather { loss: 0, twice: 0, delay: [1, 1] };
        let mut world = World::new(ends, calm, random);
        let monitor = Monitor::<(), u32>::new("editor", ()).on_snd(Event::PktIn, move |cx| {
            let _ = cx.conn.edit().insert(mos_monitor::Layer::Payload, 0, b"inserted");
            *cx.flow += 1;
            if u64::from(*cx.flow) == 8 + seed % 20 {
                cx.conn.drop_packet();
                cx.conn.reset().unwrap();
            }
        });
        let (mut core, _) = core_with(Config::default(), monitor);
        let mut is_over = false;
        for _ in 0..200 {
            for frame in world.tick() {
                let mut batch = FrameBatch::new();
                let time = mos_core::time::Timestamp::from_millis(world.now);
                batch.push(&frame, frame.len() as u32, time, 0, LinkType::Ethernet);
                let mut burst = batch.burst(0..1);
                core.process(&mut burst);
                let forwarded = core.stack().forwarded(0, &burst).map(<[u8]>::to_vec);
                // What is still on the way is dropped.
                let sent = take_all(&mut core).into_iter().map(|outgoing| outgoing.frame);
                let sent: Vec<Vec<u8>> = forwarded.filter(|_| !is_over).into_iter().chain(sent).collect();
                is_over |= sent.len() > 1 || core.stack().forwarded(0, &burst).is_none();
                for frame in sent {
                    let to_client = decode(&frame, frame.len() as u32, LinkType::Ethernet).dst_port == 40_000;
                    world.forward(usize::from(!to_client), frame);
                }
            }
        }
        assert!(is_over && world.ends.iter().all(|end| end.is_reset), "seed {seed}");
    }
}
