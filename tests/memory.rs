//! Memory: what a live flow costs, everything included; and that nothing is left of flows that are gone.
//!
//! The memory of the process is measured, so one test runs at a time.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mos_core::config::{ChecksumMode, Config};
use mos_core::packet::{Burst, FrameMeta, LinkType, Offload};
use mos_core::time::Timestamp;
use mos_core::wire::emit::TcpSegment;
use mos_core::wire::{SeqNum, TcpFlags};
use mos_monitor::{Core, EndReason, Event, Monitor, Timer};

const FLOWS: u32 = 1_000_000;
/// The most that a live flow may take, buffers off.
const BYTES_PER_FLOW: u64 = 192;
/// The same with a buffer on either side, when all has been read.
const BYTES_PER_READ_FLOW: u64 = 320;

/// Resident memory of this process, in bytes; `None` where the system does not tell.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

static ALONE: Mutex<()> = Mutex::new(());

/// A handshake and a segment of data from each side, for one flow after the other: only address and port of the client
/// change.
struct Handshakes {
    memory: Vec<u8>,
    frames: [FrameMeta; 5],
    /// Where address and port of the client stand in each frame.
    client_at: [(usize, usize); 5],
}

impl Handshakes {
    fn new() -> Self {
        Self::between("10.0.0.1:1024", "192.168.0.1:80")
    }

    fn over_ipv6() -> Self {
        Self::between("[2001:db8::1]:1024", "[2001:db8::2]:80")
    }

    fn between(client: &str, server: &str) -> Self {
        let (client, server): (SocketAddr, SocketAddr) = (client.parse().unwrap(), server.parse().unwrap());
        let segment = |from_client: bool, flags, seq, ack, payload| {
            let (src, dst) = if from_client { (client, server) } else { (server, client) };
            let (seq, ack) = (SeqNum(seq), SeqNum(ack));
            TcpSegment { seq, ack, flags, window: 1000, payload, ..TcpSegment::new(src, dst) }.to_ethernet()
        };
        let all = [
            segment(true, TcpFlags::SYN, 100, 0, &b""[..]),
            segment(false, TcpFlags::SYN | TcpFlags::ACK, 500, 101, b""),
            segment(true, TcpFlags::ACK, 101, 501, b""),
            segment(true, TcpFlags::ACK, 101, 501, b"question"),
            segment(false, TcpFlags::ACK, 501, 109, b"answer"),
        ];
        let mut memory = Vec::new();
        let frames = all.map(|frame| {
            let meta = FrameMeta {
                start: memory.len(),
                captured: frame.len() as u32,
                wire_len: frame.len() as u32,
                timestamp: Timestamp::from_millis(1),
                port: 0,
                link: LinkType::Ethernet,
                offload: Offload::NONE,
            };
            memory.extend(frame);
            meta
        });
        // The last four bytes of the source or destination address, and the ports behind the network header.
        let (source, destination, ports) = if client.is_ipv4() { (26, 30, 34) } else { (34, 50, 54) };
        let client_at =
            [true, false, true, true, false].map(|sent| if sent { (source, ports) } else { (destination, ports + 2) });
        Self { memory, frames, client_at }
    }

    /// The first `count` segments of one flow.
    fn send(&mut self, core: &mut Core, flow: u32, count: usize) {
        let address = (0x0a00_0000 + flow / 50_000).to_be_bytes();
        let port = (1024 + flow % 50_000) as u16;
        for (meta, (address_at, port_at)) in self.frames.iter().zip(self.client_at) {
            self.memory[meta.start + address_at..][..4].copy_from_slice(&address);
            self.memory[meta.start + port_at..][..2].copy_from_slice(&port.to_be_bytes());
        }
        core.process(&mut Burst { memory: &mut self.memory, frames: &self.frames[..count], upcoming: &[] });
    }
}

/// What each of a million live flows takes, whose first `count` segments were seen; without any, `before` was resident.
fn bytes_per_flow(before: Option<u64>, core: &mut Core, mut handshakes: Handshakes, count: usize) -> Option<u64> {
    for flow in 0..FLOWS {
        handshakes.send(core, flow, count);
    }
    let after = resident()?;
    assert_eq!(core.stack().live_flows(), FLOWS as usize);
    Some(after.saturating_sub(before?) / u64::from(FLOWS))
}

fn room_for_a_million() -> Core {
    Core::new(Config { max_flows: 1 << 20, checksum: ChecksumMode::Trust, hash_seed: 7, ..Config::default() })
}

fn established() -> Monitor<u64, ()> {
    Monitor::<u64, ()>::new("established", 0)
        .without_buffers()
        .on_rcv(Event::TcpStateChange, |cx| *cx.state += 1)
        .on_end(|cx| *cx.state += 1)
}

/// Runs `measure` in a process that has done nothing else: what others leave to the allocator would not count, or count
/// twice. `test` is the name of the caller.
fn in_a_fresh_process(test: &str, measure: fn()) {
    const CHILD: &str = "MOS_TEST_MEMORY_CHILD";
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if std::env::var_os(CHILD).is_some() {
        return measure();
    }
    let this = std::env::current_exe().unwrap();
    let child = Command::new(this).args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
    print!("{}", String::from_utf8_lossy(&child.stdout));
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

fn takes_at_most(limit: u64, each: Option<u64>, what: &str) {
    match each {
        Some(each) => {
            println!("{each} bytes per live flow, {what}, everything included");
            assert!(each <= limit, "{each} bytes per flow");
        }
        None => eprintln!("SKIPPED: this system does not tell how much memory a process has"),
    }
}

#[test]
fn a_million_live_flows_fit() {
    in_a_fresh_process("a_million_live_flows_fit", || {
        let before = resident();
        let mut core = room_for_a_million();
        let socket = core.open(established()).unwrap();
        takes_at_most(BYTES_PER_FLOW, bytes_per_flow(before, &mut core, Handshakes::new(), 3), "buffers off");
        core.shutdown();
        assert_eq!(core.stack().live_flows(), 0);
        // SYN at the server, SYN|ACK at the client, ACK at the server, the end of both sides; and that of the flow.
        assert_eq!(core.state::<u64>(socket), Some(&(u64::from(FLOWS) * 6)));
    });
}

#[test]
fn a_million_live_flows_over_ipv6_fit() {
    in_a_fresh_process("a_million_live_flows_over_ipv6_fit", || {
        let before = resident();
        let mut core = room_for_a_million();
        core.open(established()).unwrap();
        let each = bytes_per_flow(before, &mut core, Handshakes::over_ipv6(), 3);
        takes_at_most(BYTES_PER_FLOW + 2 * 18, each, "IPv6, buffers off");
    });
}

#[test]
fn a_million_live_flows_that_were_read_fit() {
    in_a_fresh_process("a_million_live_flows_that_were_read_fit", || {
        let before = resident();
        let mut core = room_for_a_million();
        let reader = Monitor::<u64, ()>::new("reader", 0).on_new_data(|cx| {
            let (mut bytes, side) = ([0; 16], cx.conn.side());
            *cx.state += cx.conn.peek(side, &mut bytes).unwrap_or(0) as u64;
        });
        let socket = core.open(reader).unwrap();
        takes_at_most(BYTES_PER_READ_FLOW, bytes_per_flow(before, &mut core, Handshakes::new(), 5), "both sides read");
        assert_eq!(core.state::<u64>(socket), Some(&(u64::from(FLOWS) * 14)));
    });
}

/// More flows than there is time for fall silent at once.
#[test]
fn a_million_flows_that_are_due_at_once_hold_up_no_packet() {
    /// What one packet may have to wait for.
    const AT_ONCE: usize = 64;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut core = room_for_a_million();
    let ends = Monitor::<[u64; 2], u8>::new("ends", [0; 2])
        .without_buffers()
        .on_rcv(Event::ConnStart, |_| {})
        .on_end(|cx| cx.state[usize::from(cx.reason() != EndReason::Timeout)] += 1);
    let socket = core.open(ends).unwrap();
    let mut handshakes = Handshakes::new();
    (0..FLOWS).for_each(|flow| handshakes.send(&mut core, flow, 3));
    // All of them are overdue, and the first packets are for the ones whose turn comes last.
    handshakes.frames.iter_mut().for_each(|meta| meta.timestamp = Timestamp::from_millis(1 << 28));
    let ended = |core: &Core| core.stack().stats().ended.iter().sum::<u64>();
    for flow in (0..2000).chain(FLOWS - 2000..FLOWS) {
        let before = (ended(&core), core.stack().stats().flows);
        handshakes.send(&mut core, flow, 1);
        assert_eq!(core.stack().stats().flows, before.1 + 1, "an overdue flow is over, and a new one begins");
        assert!((1..=AT_ONCE as u64 + 1).contains(&(ended(&core) - before.0)), "some, and not too many");
    }
    assert!(core.stack().live_flows() > FLOWS as usize / 2);
    assert!(core.stack().poll_timeout().is_some_and(|time| time <= core.stack().now()), "there is work left");
    // Without a packet that waits, all of it is done.
    core.advance(Timestamp::from_millis(1 << 28));
    assert_eq!(core.stack().live_flows(), 4000);
    assert_eq!(core.state::<[u64; 2]>(socket), Some(&[u64::from(FLOWS), 0]));
    core.shutdown();
    assert_eq!(core.state::<[u64; 2]>(socket), Some(&[u64::from(FLOWS), 4000]));
}

/// What the process may grow by where nothing should be left.
const SLACK: u64 = 24 << 20;

fn does_not_grow(core: &mut Core, flows: std::ops::Range<u32>, mut step: impl FnMut(&mut Core, u32)) {
    let warm = flows.start + (flows.end - flows.start) / 4;
    (flows.start..warm).for_each(|flow| step(core, flow));
    let before = resident().unwrap_or_default();
    (warm..flows.end).for_each(|flow| step(core, flow));
    let grown = resident().unwrap_or_default().saturating_sub(before);
    assert!(grown < SLACK, "{grown} bytes more after as many flows again, and again, and again");
}

#[test]
fn d27_a_million_syns_that_are_stopped_at_once_leave_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let config = Config { max_flows: 1 << 14, checksum: ChecksumMode::Trust, hash_seed: 7, ..Config::default() };
    let mut core = Core::new(config);
    let stopper = Monitor::<u64, [u64; 8]>::new("stopper", 0).on_snd(Event::ConnStart, |cx| {
        *cx.state += 1;
        assert!(cx.conn.socket().is_some());
        cx.conn.stop();
    });
    let socket = core.open(stopper).unwrap();
    let mut handshakes = Handshakes::new();
    does_not_grow(&mut core, 0..FLOWS, |core, flow| handshakes.send(core, flow, 1));
    assert!(core.stack().live_flows() <= 1 << 14);
    assert_eq!(core.state::<u64>(socket), Some(&u64::from(FLOWS)));
    assert_eq!(
        (core.panics(), core.unmonitored_flows(), core.handler_tables()),
        (0, 0, 1),
        "one table: what flows begin with"
    );
    core.shutdown();
    assert_eq!((core.stack().live_flows(), core.stack().reassembly_bytes()), (0, 0));
}

/// A timer of an hour for every flow, and every flow ends long before: evicted, or left.
#[test]
fn nothing_is_left_of_the_timers_of_flows_that_end_early() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let config = Config { max_flows: 1 << 12, checksum: ChecksumMode::Trust, hash_seed: 7, ..Config::default() };
    let mut core = Core::new(config);
    let mut monitor = Monitor::<u64, u64>::new("timers", 0);
    let fired = monitor.timer_handler(|cx| *cx.state += 1);
    let monitor = monitor
        .on_snd(Event::ConnStart, move |cx| {
            for timer in [Timer::after(Duration::from_secs(3600)), Timer::every(Duration::from_secs(7200))] {
                assert!(cx.conn.set_timer(timer, fired).is_ok());
            }
        })
        .on_rcv(Event::ConnStart, |cx| {
            if cx.conn.endpoint(mos_monitor::Side::Client).port() % 2 == 0 {
                cx.conn.stop();
            }
        });
    let socket = core.open(monitor).unwrap();
    let mut handshakes = Handshakes::new();
    does_not_grow(&mut core, 0..FLOWS / 2, |core, flow| handshakes.send(core, flow, 1));
    assert_eq!((core.panics(), core.state::<u64>(socket)), (0, Some(&0)));
    // All that is half open times out before the first timer is due. At most one call in vain is left of the timers.
    core.advance(Timestamp::from_millis(600_000));
    assert_eq!(core.stack().live_flows(), 0);
    core.advance(Timestamp::from_millis(100_000_000));
    assert_eq!((core.panics(), core.state::<u64>(socket)), (0, Some(&0)));
    assert_eq!(core.stack().poll_timeout(), None, "a timer is left");
    core.shutdown();
}
