//! Filters of monitors (spec 7): the language's words on real frames, and what each kind of filter decides.

use mos_core::config::Config;
use mos_core::packet::LinkType;
use mos_core::wire::{FrameBuilder, SeqNum, TcpFlags, TcpSegment};
use mos_monitor::{Core, Event, Filter, Monitor, RawMonitor, Side};

use super::links::{ethernet, udp};
use crate::support::talk::Talk;
use crate::support::{Frame, batch, core_with, feed, finish};

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn frames() -> Vec<Frame> {
    let talk = Talk::new(1);
    let tcp = |src: &str, dst: &str, flags| TcpSegment {
        seq: SeqNum(1),
        flags,
        ..TcpSegment::new(src.parse().unwrap(), dst.parse().unwrap())
    };
    let v4 = tcp("10.1.2.3:40000", "192.0.2.1:80", TcpFlags::SYN);
    let v6 = tcp("[fd00::1]:50000", "[2001:db8::1]:443", TcpFlags::ACK);
    let icmp = [&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 1, 0, 9, 10, 2, 0, 8][..], &[8, 0, 0, 0, 0, 0, 0, 0]];
    let bytes = [
        v4.to_ethernet(),
        v6.to_ethernet(),
        FrameBuilder::new().vlan(100).ethernet(&v4),
        ethernet(0x0800, &udp(53, 4000, b"")),
        ethernet(0x0800, &icmp.concat()),
    ];
    let link = LinkType::Ethernet;
    bytes.map(|bytes| Frame { wire_len: bytes.len() as u32, bytes, time: talk.time, link }).into()
}

/// Every word that the specification asks for; which of the frames a raw monitor sees: IPv4, IPv6, tagged, UDP, ICMP.
#[test]
fn spec_7_every_word_of_the_language_filters_raw_packets() {
    let table = [
        ("host 10.1.2.3", "4v"),
        ("host fd00::1", "6"),
        ("net 10.0.0.0/8", "4vui"),
        ("port 80", "4v"),
        ("portrange 50-100", "4vu"),
        ("proto 17", "u"),
        ("proto tcp", "46v"),
        ("ip", "4vui"),
        ("ip6", "6"),
        ("tcp", "46v"),
        ("udp", "u"),
        ("icmp", "i"),
        ("vlan", "v"),
        ("vlan 100 and tcp", "v"),
        ("mpls", ""),
        ("src port 40000", "4v"),
        ("dst port 443", "6"),
        ("src host 10.1.2.3 and dst port 80", "4v"),
        ("tcp or udp", "46vu"),
        ("not tcp", "ui"),
        ("(udp or icmp) and not port 53", "i"),
        ("tcp && !vlan", "46"),
        ("udp || icmp", "ui"),
        ("tcp[tcpflags] & tcp-syn != 0", "4v"),
        ("tcp[13] = 16", "6"),
        ("len > 60", "6"),
        ("len <= 46", "ui"),
        ("less 45 or greater 70", "6ui"),
    ];
    let letters = ['4', '6', 'v', 'u', 'i'];
    for (text, expected) in table {
        let raw = RawMonitor::new("raw", Vec::<usize>::new()).filter(filter(text));
        let raw = raw.on_packet(|cx| {
            let len = cx.packet().frame.len();
            cx.state.push(len);
        });
        let mut core = Core::new(Config::default());
        let socket = core.open_raw(raw).unwrap();
        let mut seen = String::new();
        for (letter, frame) in letters.into_iter().zip(frames()) {
            let before = core.state::<Vec<usize>>(socket).unwrap().len();
            feed(&mut core, &mut batch(&[frame]), 1);
            match core.state::<Vec<usize>>(socket).unwrap().len() - before {
                0 => {}
                1 => seen.push(letter),
                more => panic!("{text}: {more} events for one packet"),
            }
        }
        let expected: String = letters.into_iter().filter(|letter| expected.contains(*letter)).collect();
        assert_eq!(seen, expected, "{text}");
    }
}

/// `&&`, `||` and `!` are `and`, `or` and `not`.
#[test]
fn spec_7_signs_mean_the_same_as_words() {
    for (signs, words) in [
        ("tcp && port 80", "tcp and port 80"),
        ("tcp || udp", "tcp or udp"),
        ("!tcp", "not tcp"),
        ("! (src host 10.0.0.1 && !udp) || ip6", "not (src host 10.0.0.1 and not udp) or ip6"),
    ] {
        assert_eq!(Filter::parse(signs), Filter::parse(words), "{signs}");
    }
}

/// What does not parse says where, with a caret below the place; there is no monitor with half a filter.
#[test]
fn spec_7_errors_have_a_caret_below_the_place() {
    for (text, caret) in [
        ("tcp and prot 80", "        ^"),
        ("host 300.1.1.1", "     ^"),
        ("port 65536", "     ^"),
        ("(tcp", "^"),
        ("tcp &", "    ^"),
        ("portrange 5", "          ^"),
        ("tcp[tcpflags] & x != 0", "                ^"),
    ] {
        let error = Filter::parse(text).unwrap_err();
        let shown = error.to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[1..], [format!("  {text}"), format!("  {caret}")], "{shown}");
    }
}

/// It sees the packet from client to server: `dst port` is the server's. It is asked once for each flow: all later packets,
/// from both sides, belong to it.
#[test]
fn spec_7_syn_filter_decides_once_on_the_packet_from_client_to_server() {
    for (text, counts) in
        [("dst port 80", [8, 0]), ("src port 80", [0, 8]), ("tcp[tcpflags] = tcp-syn", [8, 8]), ("udp", [0, 0])]
    {
        let monitor = Monitor::<[u32; 2], ()>::new("filtered", [0; 2]).syn_filter(filter(text));
        let monitor = monitor.on_snd(Event::PktIn, |cx| {
            let is_odd = cx.conn.endpoint(Side::Client).port() == 80;
            cx.state[usize::from(is_odd)] += 1;
        });
        let (mut core, socket) = core_with(Config::default(), monitor);
        let [a, b, c, d] = ["10.0.0.1:4000", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:4000"];
        let mut frames = Talk::between(a.parse().unwrap(), b.parse().unwrap(), 1).whole(b"question", b"answer");
        frames.extend(Talk::between(c.parse().unwrap(), d.parse().unwrap(), 2).whole(b"question", b"answer"));
        feed(&mut core, &mut batch(&frames), 64);
        assert_eq!(core.state::<[u32; 2]>(socket), Some(&counts), "{text}");
        // What nobody monitors is an orphan.
        assert_eq!(core.stats().orphans, u64::from(16 - counts[0] - counts[1]), "{text}");
        finish(&mut core);
    }
}

/// A flow that one monitor accepts, and a later flow on the same core, are decided anew for every other monitor.
#[test]
fn spec_7_syn_filter_is_decided_for_each_flow_and_monitor() {
    let ports = |text: &str| {
        let monitor = Monitor::<Vec<u16>, ()>::new("ports", Vec::new()).syn_filter(filter(text));
        monitor.on_snd(Event::ConnStart, |cx| cx.state.push(cx.conn.endpoint(Side::Server).port()))
    };
    let (mut core, low) = core_with(Config::default(), ports("dst portrange 1-2"));
    let odd = core.open(ports("dst port 1 or 3")).unwrap();
    for port in [1_u16, 2, 3, 4, 1, 4] {
        let client = ([10, 0, 0, 1], 1000 + port + core.stats().flows as u16 * 10).into();
        let syn = Talk::between(client, ([10, 0, 0, 2], port).into(), 1).syn();
        feed(&mut core, &mut batch(&[syn]), 1);
    }
    assert_eq!(core.state::<Vec<u16>>(low), Some(&vec![1, 2, 1]));
    assert_eq!(core.state::<Vec<u16>>(odd), Some(&vec![1, 3, 1]));
    finish(&mut core);
}

/// Not set, every filter lets everything through; bound again, the last one counts.
#[test]
fn spec_7_not_set_accepts_all_and_the_last_one_bound_counts() {
    let count = |bound: &[&str]| {
        let mut monitor = Monitor::<[u32; 2], ()>::new("stream", [0; 2])
            .on_snd(Event::ConnStart, |cx| cx.state[0] += 1)
            .on_orphan(|cx| cx.state[1] += 1);
        let mut raw = RawMonitor::new("raw", 0_u32).on_packet(|cx| *cx.state += 1);
        for text in bound {
            monitor = monitor.syn_filter(filter(text)).orphan_filter(filter(text));
            raw = raw.filter(filter(text));
        }
        let (mut core, stream) = core_with(Config::default(), monitor);
        let raw = core.open_raw(raw).unwrap();
        feed(&mut core, &mut batch(&frames()), 64);
        let [flows, orphans] = *core.state::<[u32; 2]>(stream).unwrap();
        (flows, orphans, *core.state::<u32>(raw).unwrap())
    };
    // Two SYNs with the same endpoints and number are one flow.
    assert_eq!(count(&[]), (1, 3, 5));
    assert_eq!(count(&[""]), (1, 3, 5));
    assert_eq!(count(&["udp"]), (0, 1, 1));
    assert_eq!(count(&["udp", "tcp"]), (1, 1, 3));
    assert_eq!(count(&["tcp", "icmp or udp"]), (0, 2, 2));
}

/// The orphan filter is asked for every packet without a flow, of any protocol, and by no means for the others.
#[test]
fn spec_7_orphan_filter_chooses_among_packets_without_a_flow() {
    for (text, expected) in [("udp or icmp", 2), ("ip6", 1), ("vlan", 0), ("port 53 or 443", 2)] {
        let monitor = Monitor::<u32, ()>::new("orphans", 0).orphan_filter(filter(text)).on_orphan(|cx| *cx.state += 1);
        let (mut core, socket) = core_with(Config::default(), monitor);
        feed(&mut core, &mut batch(&frames()), 64);
        assert_eq!(core.state::<u32>(socket), Some(&expected), "{text}");
        finish(&mut core);
    }
}
