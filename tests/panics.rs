//! A callback that panics: its monitor hears no more of that flow, and nothing else is disturbed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use mos_core::config::Config;
use mos_core::io::FrameBatch;
use mos_core::packet::LinkType;
use mos_core::time::Timestamp;
use mos_core::wire::emit::TcpSegment;
use mos_core::wire::{SeqNum, TcpFlags};
use mos_monitor::{Chunk, Core, Descriptor, Event, Monitor, OpenError, RawMonitor, Side};

const SYN: u8 = TcpFlags::SYN;
const ACK: u8 = TcpFlags::ACK;
const FIN: u8 = TcpFlags::FIN;

/// The port of the client on whose flow callbacks panic; the other flow comes from the next port.
const UNLUCKY: u16 = 1000;

/// Two connections side by side, a stray segment of the unlucky port's, with 5 bytes each way and a repeated segment.
fn traffic() -> FrameBatch {
    let server: SocketAddr = "10.0.0.2:80".parse().unwrap();
    // From the client or not, flags, sequence number, acknowledgment, payload.
    let steps: [(bool, u8, u32, u32, &[u8]); 10] = [
        (true, ACK, 1, 1, b""),
        (true, SYN, 100, 0, b""),
        (false, SYN | ACK, 500, 101, b""),
        (true, ACK, 101, 501, b""),
        (true, ACK, 101, 501, b"hello"),
        (true, ACK, 101, 501, b"hello"),
        (false, ACK, 501, 106, b"world"),
        (true, FIN | ACK, 106, 506, b""),
        (false, FIN | ACK, 506, 107, b""),
        (true, ACK, 107, 507, b""),
    ];
    let mut batch = FrameBatch::new();
    for (at, (from_client, flags, seq, ack, payload)) in steps.into_iter().enumerate() {
        for port in [UNLUCKY, UNLUCKY + 1] {
            let client = SocketAddr::new([10, 0, 0, 1].into(), port);
            let (src, dst) = if from_client { (client, server) } else { (server, client) };
            let (seq, ack) = (SeqNum(seq), SeqNum(ack));
            let segment = TcpSegment { seq, ack, flags, window: 1000, payload, ..TcpSegment::new(src, dst) };
            let frame = segment.to_ethernet();
            let time = Timestamp::from_millis(at as u64 + 1);
            batch.push(&frame, frame.len() as u32, time, 0, LinkType::Ethernet);
        }
    }
    batch
}

type Streams = Rc<RefCell<BTreeMap<(u16, Side), Vec<u8>>>>;

fn reader(streams: &Streams) -> Monitor {
    let streams = streams.clone();
    Monitor::new("reader", ()).on_new_data(move |cx| {
        let name = (cx.conn.endpoint(Side::Client).port(), cx.conn.side());
        for chunk in cx.conn.chunks() {
            let Chunk::Data(data) = chunk else { panic!("nothing is missing") };
            streams.borrow_mut().entry(name).or_default().extend_from_slice(data);
        }
        cx.conn.consume_all();
    })
}

/// Runs the traffic past a reader and a monitor that panics; says how often callbacks panicked.
fn run(burst: usize, open: impl FnOnce(&mut Core) -> Result<Descriptor, OpenError>) -> u64 {
    let streams = Streams::default();
    let mut core = Core::new(Config { hash_seed: 3, ..Config::default() });
    open(&mut core).unwrap();
    core.open(reader(&streams)).unwrap();
    let mut batch = traffic();
    for start in (0..batch.len()).step_by(burst) {
        core.process(&mut batch.burst(start..batch.len().min(start + burst)));
    }
    core.shutdown();
    assert_eq!((core.stack().live_flows(), core.stack().reassembly_bytes()), (0, 0));
    for port in [UNLUCKY, UNLUCKY + 1] {
        for (side, expected) in [(Side::Server, b"hello"), (Side::Client, b"world")] {
            assert_eq!(streams.borrow()[&(port, side)], expected, "{port} {side:?}");
        }
    }
    core.panics()
}

fn unlucky(client: SocketAddr) {
    assert!(client.port() != UNLUCKY, "on purpose");
}

#[test]
fn a_panic_in_any_callback_of_a_flow_concerns_only_that_flow() {
    for burst in [1, 64] {
        for event in [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::ConnEnd] {
            let snd = Monitor::<(), ()>::new("snd", ()).on_snd(event, |cx| unlucky(cx.conn.endpoint(Side::Client)));
            assert_eq!(run(burst, |core| core.open(snd)), 1, "{event:?} at SND");
        }
        for event in [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd] {
            let rcv = Monitor::<(), ()>::new("rcv", ()).on_rcv(event, |cx| unlucky(cx.conn.endpoint(Side::Client)));
            assert_eq!(run(burst, |core| core.open(rcv)), 1, "{event:?} at RCV");
        }
        let data = Monitor::<(), ()>::new("data", ()).on_new_data(|cx| unlucky(cx.conn.endpoint(Side::Client)));
        assert_eq!(run(burst, |core| core.open(data)), 1, "NEW_DATA");
        let end = Monitor::<(), ()>::new("end", ()).on_end(|cx| unlucky(cx.conn.endpoint(Side::Client)));
        assert_eq!(run(burst, |core| core.open(end)), 1, "end");
    }
}

#[test]
fn a_panic_without_a_flow_concerns_only_that_packet() {
    let orphan = Monitor::<(), ()>::new("orphan", ()).on_orphan(|cx| unlucky(cx.packet().source()));
    assert_eq!(run(1, |core| core.open(orphan)), 1, "ORPHAN");
    let accept = Monitor::<(), ()>::new("accept", ()).accept(|packet| {
        unlucky(packet.source());
        true
    });
    assert_eq!(run(1, |core| core.open(accept)), 1, "accept");
    let raw = RawMonitor::new("raw", ()).on_packet(|cx| unlucky(cx.packet().source()));
    // The unlucky client sends seven of the packets.
    assert_eq!(run(64, |core| core.open_raw(raw)), 7, "raw");
}
