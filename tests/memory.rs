//! What a live flow costs: a million of them, established, buffers off, everything included.

use mos_core::config::{ChecksumMode, Config};
use mos_core::packet::{Burst, FrameMeta, LinkType};
use mos_core::time::Timestamp;
use mos_core::wire::emit::TcpSegment;
use mos_core::wire::{SeqNum, TcpFlags};
use mos_monitor::{Core, Event, Monitor};

const FLOWS: u32 = 1_000_000;
const BYTES_PER_FLOW: u64 = 600;

/// Resident memory of this process, in bytes; `None` where the system does not tell.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The three segments of a handshake, for one flow after the other: only address and port of the client change.
struct Handshakes {
    memory: Vec<u8>,
    frames: [FrameMeta; 3],
}

impl Handshakes {
    fn new() -> Self {
        let (client, server) = ("10.0.0.1:1024".parse().unwrap(), "192.168.0.1:80".parse().unwrap());
        let segment = |from_client: bool, flags, seq, ack| {
            let (src, dst) = if from_client { (client, server) } else { (server, client) };
            let segment =
                TcpSegment { seq: SeqNum(seq), ack: SeqNum(ack), flags, window: 1000, ..TcpSegment::new(src, dst) };
            segment.to_ethernet()
        };
        let all = [
            segment(true, TcpFlags::SYN, 100, 0),
            segment(false, TcpFlags::SYN | TcpFlags::ACK, 500, 101),
            segment(true, TcpFlags::ACK, 101, 501),
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
            };
            memory.extend(frame);
            meta
        });
        Self { memory, frames }
    }

    fn open(&mut self, core: &mut Core, flow: u32) {
        let address = (0x0a00_0000 + flow / 50_000).to_be_bytes();
        let port = (1024 + flow % 50_000) as u16;
        for (index, meta) in self.frames.iter().enumerate() {
            let (address_at, port_at) = if index == 1 { (30, 36) } else { (26, 34) };
            self.memory[meta.start + address_at..][..4].copy_from_slice(&address);
            self.memory[meta.start + port_at..][..2].copy_from_slice(&port.to_be_bytes());
        }
        core.process(&mut Burst { memory: &mut self.memory, frames: &self.frames, upcoming: &[] });
    }
}

#[test]
fn a_million_live_flows_fit() {
    if resident().is_none() {
        eprintln!("SKIPPED: this system does not tell how much memory a process has");
        return;
    }
    let config = Config { max_flows: 1 << 20, checksum: ChecksumMode::Trust, hash_seed: 7, ..Config::default() };
    let mut core = Core::new(config);
    let established = Monitor::<u64, u64>::new("established", 0)
        .without_buffers()
        .on_rcv(Event::TcpStateChange, |cx| *cx.flow += 1)
        .on_end(|cx| *cx.state += *cx.flow);
    let socket = core.open(established).unwrap();
    let mut handshakes = Handshakes::new();
    let before = resident().unwrap();
    for flow in 0..FLOWS {
        handshakes.open(&mut core, flow);
    }
    let after = resident().unwrap();
    assert_eq!(core.stack().live_flows(), FLOWS as usize);
    let each = (after - before) / u64::from(FLOWS);
    println!("{each} bytes per live flow, buffers off, everything included");
    assert!(each <= BYTES_PER_FLOW, "{each} bytes per flow");
    core.shutdown();
    assert_eq!(core.stack().live_flows(), 0);
    // SYN at the server, SYN|ACK at the client, ACK at the server, and the end of both sides.
    assert_eq!(core.state::<u64>(socket), Some(&(u64::from(FLOWS) * 5)));
}
