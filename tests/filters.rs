//! Filters of monitors: each decides for itself, flow by flow and packet by packet.

use std::net::SocketAddr;

use mos_core::config::Config;
use mos_core::io::FrameBatch;
use mos_core::packet::LinkType;
use mos_core::time::Timestamp;
use mos_core::wire::emit::TcpSegment;
use mos_core::wire::{SeqNum, TcpFlags};
use mos_monitor::{Core, Descriptor, Event, Filter, Monitor, RawMonitor};

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A SYN to each port, and a stray ACK from each.
fn traffic(ports: &[u16]) -> FrameBatch {
    let mut batch = FrameBatch::new();
    for &port in ports {
        let client: SocketAddr = "10.0.0.1:4000".parse().unwrap();
        let server = SocketAddr::new([10, 0, 0, 2].into(), port);
        let syn = TcpSegment { seq: SeqNum(1), flags: TcpFlags::SYN, ..TcpSegment::new(client, server) };
        let stray = TcpSegment { flags: TcpFlags::ACK, ..TcpSegment::new(server, "10.0.0.9:9".parse().unwrap()) };
        for frame in [syn.to_ethernet(), stray.to_ethernet()] {
            batch.push(&frame, frame.len() as u32, Timestamp::from_millis(1), 0, LinkType::Ethernet);
        }
    }
    batch
}

fn counts(core: &Core, sockets: &[Descriptor]) -> Vec<u32> {
    sockets.iter().map(|&socket| *core.state::<u32>(socket).unwrap()).collect()
}

#[test]
fn spec_7_each_monitor_gets_what_its_own_filters_let_through() {
    let flows = |text: &str| {
        let monitor = Monitor::<u32, ()>::new("flows", 0).syn_filter(filter(text));
        monitor.on_snd(Event::ConnStart, |cx| *cx.state += 1)
    };
    let mut core = Core::new(Config { hash_seed: 1, ..Config::default() });
    let orphans = Monitor::<u32, ()>::new("orphans", 0)
        .syn_filter(filter("port 1"))
        .orphan_filter(filter("src port 80 or 81"))
        .on_orphan(|cx| *cx.state += 1);
    let raw = RawMonitor::new("raw", 0_u32).filter(filter("tcp[tcpflags] & tcp-syn != 0"));
    let sockets = [
        core.open(flows("dst port 80")).unwrap(),
        core.open(flows("dst portrange 81-82")).unwrap(),
        core.open(flows("src port 80")).unwrap(),
        core.open(flows("")).unwrap(),
        core.open(orphans).unwrap(),
        core.open_raw(raw.on_packet(|cx| *cx.state += 1)).unwrap(),
    ];
    let mut batch = traffic(&[80, 81, 82, 83]);
    let all = batch.len();
    core.process(&mut batch.burst(0..all));
    // Flows that one filter accepts are not forced upon the monitors whose filters refuse them.
    assert_eq!(counts(&core, &sockets), [1, 2, 0, 4, 2, 4]);
    core.shutdown();
}
