//! What handlers of single flows cost in memory: two hundred thousand live flows, each switched among four sets.
//!
//! A test binary of its own: it looks at the memory of the whole process.

use mos_core::config::{ChecksumMode, Config};
use mos_core::packet::{Burst, FrameMeta, LinkType, Offload};
use mos_core::socket::Descriptor;
use mos_core::time::Timestamp;
use mos_core::wire::TcpFlags;
use mos_core::wire::emit::TcpSegment;
use mos_monitor::{Core, Event, Hook, Monitor};

const FLOWS: u32 = 200_000;
const SETS: usize = 4;

/// Resident memory of this process, in bytes; `None` where the system does not tell.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A SYN of one flow after the other: only address and port of the client change.
fn open(core: &mut Core, frame: &mut [u8], flow: u32) {
    frame[26..30].copy_from_slice(&(0x0a00_0000 + flow / 50_000).to_be_bytes());
    frame[34..36].copy_from_slice(&((1024 + flow % 50_000) as u16).to_be_bytes());
    let len = frame.len() as u32;
    let meta = FrameMeta {
        start: 0,
        captured: len,
        wire_len: len,
        timestamp: Timestamp::from_millis(1),
        port: 0,
        link: LinkType::Ethernet,
        offload: Offload::NONE,
    };
    core.process(&mut Burst { memory: frame, frames: &[meta], upcoming: &[] });
}

/// Defect 22 and spec 4.2: equal handlers are one object, and changing to and fro leaves nothing behind.
#[test]
fn spec_4_2_flows_with_equal_handlers_share_one_table() {
    let config = Config { max_flows: FLOWS as usize, checksum: ChecksumMode::Trust, hash_seed: 7, ..Config::default() };
    let mut core = Core::new(config);
    let mut monitor = Monitor::<Vec<Descriptor>, ()>::new("switching", Vec::new());
    let handlers = [(); SETS].map(|()| monitor.rcv_handler(|_| ()));
    let monitor = monitor
        .without_buffers()
        .register(Event::PktIn, handlers[0])
        .on_snd(Event::ConnStart, |cx| cx.state.extend(cx.conn.socket()));
    let socket = core.open(monitor).unwrap();
    let syn = TcpSegment {
        flags: TcpFlags::SYN,
        ..TcpSegment::new("10.0.0.1:1024".parse().unwrap(), "192.168.0.1:80".parse().unwrap())
    };
    let mut frame = syn.to_ethernet();
    for flow in 0..FLOWS {
        open(&mut core, &mut frame, flow);
    }
    let flows = core.state::<Vec<Descriptor>>(socket).unwrap().clone();
    assert_eq!((flows.len(), core.stack().live_flows(), core.handler_tables()), (FLOWS as usize, FLOWS as usize, 1));
    let mut before = None;
    for round in 0..8 {
        for (number, flow) in flows.iter().enumerate() {
            let handler = handlers[(number + round) % SETS];
            core.control(|control| control.register(*flow, Event::PktIn, handler)).unwrap();
        }
        assert_eq!(core.handler_tables(), SETS);
        let now = resident();
        // Whatever the first round has made, no later one makes again.
        if let (Some(before), Some(now)) = (before, now) {
            assert!(now < before + (1 << 20), "{before} bytes, then {now}");
        }
        before = before.or(now);
    }
    assert_eq!((core.unchanged_handlers(), core.unmonitored_flows()), (0, 0));
    // A fifth set is one more table, and goes when nothing refers to it any more and others are made.
    core.control(|control| control.deregister(flows[0], Hook::Rcv, Event::PktIn)).unwrap();
    assert_eq!(core.handler_tables(), SETS + 1);
    core.shutdown();
    assert_eq!(core.stack().live_flows(), 0);
}
