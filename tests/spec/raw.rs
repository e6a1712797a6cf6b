//! Raw monitors (D18), and packets without a flow (D17): each IP packet exactly once, whatever its protocol.

use mos_core::config::Config;
use mos_core::packet::LinkType;
use mos_core::wire::checksum::checksum;
use mos_monitor::{Core, Event, Filter, Monitor, RawMonitor, Side};

use super::links::{ethernet, ipv4, udp};
use crate::support::talk::Talk;
use crate::support::{Frame, batch, core_with, feed, finish};

const BURSTS: [usize; 3] = [1, 7, 64];

/// An IPv6 packet with another protocol than TCP.
fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let addresses = [0xfd00_u128 << 112 | 1, 0xfd00_u128 << 112 | 2].map(u128::to_be_bytes).concat();
    [&[0x60, 0, 0, 0, 0, payload.len() as u8, protocol, 64][..], &addresses, payload].concat()
}

/// An IPv4 packet of every protocol but TCP, IPv6 of some, UDP, a fragment, then a TCP flow; and frames that are no IP.
fn frames() -> (Vec<Frame>, usize) {
    let mut talk = Talk::new(1);
    let on_ethernet = |ether_type, bytes: &[u8]| {
        let bytes = ethernet(ether_type, bytes);
        Frame { wire_len: bytes.len() as u32, bytes, time: talk.time, link: LinkType::Ethernet }
    };
    // 51 is the authentication header, behind which TCP may be.
    let protocols = (0..=255).filter(|protocol| ![6, 51].contains(protocol));
    let mut frames: Vec<_> = protocols.map(|protocol| on_ethernet(0x0800, &ipv4(protocol, &[0; 24]))).collect();
    frames.push(on_ethernet(0x0800, &udp(53, 53, b"query")));
    frames.extend([17, 47, 58, 59, 89, 132].map(|protocol| on_ethernet(0x86dd, &ipv6(protocol, &[0; 24]))));
    let mut fragment = ipv4(17, &[0; 24]);
    fragment[6..12].copy_from_slice(&[0x20, 0, 64, 17, 0, 0]);
    let sum = checksum(&fragment[..20]);
    fragment[10..12].copy_from_slice(&sum.to_be_bytes());
    frames.push(on_ethernet(0x0800, &fragment));
    frames.extend([0x0806, 0x88cc, 0x8847].map(|ether_type| on_ethernet(ether_type, &[0; 46])));
    let no_ip = 3;
    frames.extend(talk.whole(b"question", b"answer"));
    let mut bad = talk.again().syn();
    let last = bad.bytes.len() - 4;
    bad.bytes[last] ^= 1;
    frames.push(bad);
    let ip = frames.len() - no_ip;
    (frames, ip)
}

/// With a filter or without, with a stream monitor or without.
#[test]
fn d18_raw_monitors_see_every_ip_packet_once() {
    let (frames, ip) = frames();
    for burst in BURSTS {
        for with_stream in [false, true] {
            let mut core = Core::new(Config::default());
            if with_stream {
                core.open(Monitor::<(), ()>::new("stream", ()).on_snd(Event::PktIn, |_| ())).unwrap();
            }
            let raw = |text: Option<&str>| {
                let raw = RawMonitor::new("raw", 0_usize).on_packet(|cx| *cx.state += 1);
                match text {
                    Some(text) => raw.filter(Filter::parse(text).unwrap()),
                    None => raw,
                }
            };
            let sockets = [None, Some(""), Some("ip or ip6"), Some("tcp"), Some("not tcp")]
                .map(|text| core.open_raw(raw(text)).unwrap());
            feed(&mut core, &mut batch(&frames), burst);
            let counts = sockets.map(|socket| *core.state::<usize>(socket).unwrap());
            assert_eq!(counts, [ip, ip, ip, 9, ip - 9], "bursts of {burst}, with a stream monitor: {with_stream}");
            finish(&mut core);
        }
    }
}

/// A raw monitor comes before the stack: what it drops is not forwarded, and changes no count of events.
#[test]
fn d18_a_raw_monitor_comes_first() {
    let mut core = Core::new(Config::default());
    let order = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let [snd, raw] = [order.clone(), order.clone()];
    core.open(Monitor::<(), ()>::new("stream", ()).on_snd(Event::PktIn, move |_| snd.borrow_mut().push("snd")))
        .unwrap();
    core.open_raw(RawMonitor::new("raw", ()).on_packet(move |cx| {
        raw.borrow_mut().push("raw");
        assert!(cx.drop_packet());
    }))
    .unwrap();
    let frames = [Talk::new(1).syn()];
    let mut batch = batch(&frames);
    let mut burst = batch.burst(0..1);
    core.process(&mut burst);
    assert_eq!(core.stack().forwarded(0, &burst), None);
    assert_eq!(*order.borrow(), ["raw", "snd"]);
    finish(&mut core);
}

/// ORPHAN: every IP packet that belongs to no flow, whatever its protocol; no packet of a flow, and nothing that is no IP.
#[test]
fn d17_orphans_are_all_ip_packets_without_a_flow() {
    let (frames, ip) = frames();
    for burst in BURSTS {
        let monitor = Monitor::<usize, ()>::new("orphans", 0).on_orphan(|cx| *cx.state += 1);
        let (mut core, socket) = core_with(Config::default(), monitor);
        feed(&mut core, &mut batch(&frames), burst);
        // Not the 8 packets of the flow, the fragment that waits for the others, and the segment with a bad checksum.
        let flow = 8 + 1 + 1;
        assert_eq!(core.state::<usize>(socket), Some(&(ip - flow)), "bursts of {burst}");
        assert_eq!((core.stats().bad_checksums, core.stats().flows), (1, 1));
        finish(&mut core);
    }
    let mut talk = Talk::new(3);
    let stray = [talk.ack(Side::Client), talk.fin(Side::Server), talk.syn_ack(), talk.rst(Side::Client)];
    let monitor = Monitor::<usize, ()>::new("orphans", 0).on_orphan(|cx| *cx.state += 1);
    let (mut core, socket) = core_with(Config::default(), monitor);
    feed(&mut core, &mut batch(&stray), 64);
    assert_eq!(core.state::<usize>(socket), Some(&4));
}

/// The IP header can be read, the TCP header cannot: an IP packet all the same, of no flow.
#[test]
fn d18_a_packet_with_a_broken_tcp_header_is_an_ip_packet() {
    let mut frame = Talk::new(1).syn();
    frame.bytes[32] = 0;
    let mut core = Core::new(Config::default());
    let raw = core.open_raw(RawMonitor::new("raw", 0_u32).on_packet(|cx| *cx.state += 1)).unwrap();
    let stream = core.open(Monitor::<u32, ()>::new("orphans", 0).on_orphan(|cx| *cx.state += 1)).unwrap();
    feed(&mut core, &mut batch(&[frame]), 64);
    assert_eq!((core.state::<u32>(raw), core.state::<u32>(stream)), (Some(&1), Some(&1)));
    finish(&mut core);
}

/// What a raw monitor makes of a packet is what everybody behind it sees: other raw monitors, and the flow that it belongs to then.
#[test]
fn d18_an_edited_packet_is_another_one() {
    for burst in BURSTS {
        let mut core = Core::new(Config::default());
        let (inside, outside) =
            ("10.9.9.9:999".parse().unwrap(), "192.0.2.9:9000".parse::<std::net::SocketAddr>().unwrap());
        core.open_raw(RawMonitor::new("raw", ()).on_packet(move |cx| {
            let packet = cx.packet();
            match (packet.source() == inside, packet.destination() == outside) {
                (true, _) => cx.rewrite().src(outside.ip(), outside.port()).apply().unwrap(),
                (_, true) => cx.rewrite().dst(inside.ip(), inside.port()).apply().unwrap(),
                _ => {}
            }
        }))
        .unwrap();
        let second = RawMonitor::new("second", Vec::new())
            .on_packet(|cx: &mut mos_monitor::RawCx<'_, Vec<_>>| cx.state.push(cx.packet().source()));
        let second = core.open_raw(second).unwrap();
        let flows = Monitor::<Vec<_>, ()>::new("flows", Vec::new())
            .on_snd(Event::ConnStart, |cx| cx.state.push(cx.conn.endpoint(Side::Client)));
        let flows = core.open(flows).unwrap();
        let server = "198.51.100.1:80".parse().unwrap();
        let frames = Talk::between(inside, server, 5).whole(b"question", b"");
        feed(&mut core, &mut batch(&frames), burst);
        finish(&mut core);
        assert_eq!(core.stats().flows, 1);
        assert_eq!(*core.state::<Vec<std::net::SocketAddr>>(flows).unwrap(), [outside]);
        let seen = core.state::<Vec<std::net::SocketAddr>>(second).unwrap();
        assert!(seen.contains(&outside) && !seen.contains(&inside));
    }
}

/// A packet can become one that is no TCP any more, and the other way around.
#[test]
fn d18_an_edited_packet_may_change_its_kind() {
    for burst in BURSTS {
        let mut core = Core::new(Config { checksum: mos_core::config::ChecksumMode::Trust, ..Config::default() });
        let swap = RawMonitor::new("swap", ()).on_packet(|cx| {
            cx.edit_frame(|frame, packet| {
                let at = usize::from(packet.network) + 9;
                frame[at] = if packet.protocol == 6 { 50 } else { 6 };
            })
            .unwrap();
        });
        core.open_raw(swap).unwrap();
        let monitor = Monitor::<[u32; 2], ()>::new("counts", [0; 2])
            .on_snd(Event::PktIn, |cx| cx.state[0] += 1)
            .on_orphan(|cx| cx.state[1] += 1);
        let socket = core.open(monitor).unwrap();
        let mut frames = Vec::from(Talk::new(2).handshake());
        frames.iter_mut().for_each(|frame| frame.bytes[9] = 50);
        frames.extend(Talk::between("10.0.0.7:7".parse().unwrap(), "10.0.0.8:8".parse().unwrap(), 1).handshake());
        feed(&mut core, &mut batch(&frames), burst);
        assert_eq!(core.state::<[u32; 2]>(socket), Some(&[3, 3]));
        finish(&mut core);
    }
}

/// Orphans can be edited, one monitor after the other.
#[test]
fn d17_orphans_can_be_edited() {
    let mut core = Core::new(Config::default());
    for hops in [9, 7] {
        let monitor = Monitor::<(), ()>::new("hops", ()).on_orphan(move |cx| {
            let before = if hops == 9 { 64 } else { 9 };
            assert_eq!(cx.last_packet().ip[8], before);
            cx.rewrite().src([192, 0, 2, 77], 77).hop_limit(hops).apply().unwrap();
        });
        core.open(monitor).unwrap();
    }
    let bytes = udp(53, 54, b"query");
    let frame = Frame { wire_len: bytes.len() as u32, bytes, time: Talk::new(1).time, link: LinkType::RawIp };
    let mut batch = batch(&[frame]);
    let mut burst = batch.burst(0..1);
    core.process(&mut burst);
    let out = core.stack().forwarded(0, &burst).unwrap().to_vec();
    assert_eq!((&out[12..16], &out[20..24], out[8]), (&[192, 0, 2, 77][..], &[0, 77, 0, 54][..], 7));
    assert!(mos_core::wire::checksum::ipv4_header_ok(&out));
    finish(&mut core);
}

/// What goes on without a flow and is no orphan can be dropped all the same: fragments, and TCP with wrong checksums.
#[test]
fn what_no_flow_sees_can_be_dropped() {
    for burst in BURSTS {
        let monitor = Monitor::<[u32; 2], ()>::new("unseen", [0; 2])
            .on_snd(Event::PktIn, |cx| cx.state[0] += 1)
            .on_unseen(|cx| {
                cx.state[1] += 1;
                assert!(cx.drop_packet());
            });
        let (mut core, socket) = core_with(Config::default(), monitor);
        let mut talk = Talk::new(4);
        let mut frames = Vec::from(talk.handshake());
        let mut data = talk.data(Side::Client, b"data");
        *data.bytes.last_mut().unwrap() ^= 1;
        let mut syn = Talk::between("10.0.0.7:7".parse().unwrap(), "10.0.0.8:8".parse().unwrap(), 1).syn();
        syn.bytes[38] ^= 1;
        let mut fragment = ipv4(17, &[0; 24]);
        fragment[6] = 0x20;
        let sum = checksum(&[&fragment[..10], &[0, 0], &fragment[12..20]].concat());
        fragment[10..12].copy_from_slice(&sum.to_be_bytes());
        let fragment = Frame { wire_len: 44, bytes: fragment, time: talk.time, link: LinkType::RawIp };
        frames.extend([data, syn, fragment]);
        let mut kept = Vec::new();
        for frames in frames.chunks(burst) {
            let mut batch = batch(frames);
            let mut burst = batch.burst(0..frames.len());
            core.process(&mut burst);
            kept.extend((0..frames.len()).map(|at| core.stack().forwarded(at, &burst).is_some()));
        }
        assert_eq!(kept, [true, true, true, false, false, false], "bursts of {burst}");
        assert_eq!(core.state::<[u32; 2]>(socket), Some(&[3, 3]));
        finish(&mut core);
    }
}

/// A flow that one monitor refuses is none for the others either: its packets are orphans.
#[test]
fn a_refused_flow_is_nobodys() {
    let keeper = Monitor::<[u32; 2], ()>::new("keeper", [0; 2])
        .refuse(|packet| packet.packet.dst_port == 80)
        .on_snd(Event::PktIn, |cx| cx.state[0] += 1)
        .on_orphan(|cx| {
            cx.state[1] += 1;
            cx.drop_packet();
        });
    let (mut core, keeper) = core_with(Config::default(), keeper);
    let other = core.open(Monitor::<u32, ()>::new("other", 0).on_snd(Event::PktIn, |cx| *cx.state += 1)).unwrap();
    let (a, b): (std::net::SocketAddr, std::net::SocketAddr) =
        ("10.0.0.7:7".parse().unwrap(), "10.0.0.8:80".parse().unwrap());
    let mut frames = Talk::between(a, b, 1).whole(b"question", b"answer");
    let refused = frames.len() as u32;
    let c = "10.0.0.8:81".parse().unwrap();
    frames.extend(Talk::between(a, c, 1).handshake());
    feed(&mut core, &mut batch(&frames), 7);
    assert_eq!(core.state::<[u32; 2]>(keeper), Some(&[3, refused]));
    assert_eq!(core.state::<u32>(other), Some(&3));
    assert_eq!(core.stats().flows, 1);
    finish(&mut core);
}
