//! What the tests share: captures in memory, replaying them in bursts, and a monitor that writes everything down.

pub(crate) mod conversation;
pub(crate) mod dice;
pub(crate) mod in_step;
pub(crate) mod talk;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;

use std::path::{Path, PathBuf};

use mos_core::config::Config;
use mos_core::io::{CaptureReader, Device, FrameBatch, Received};
use mos_core::packet::LinkType;
use mos_core::time::Timestamp;
use mos_core::wire::{PacketKind, decode};
use mos_monitor::{
    Chunk, Conn, Core, Descriptor, EndReason, ErrorReason, Event, HalfInfo, Hook, Monitor, Side, TcpState,
};

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) wire_len: u32,
    pub(crate) time: Timestamp,
    pub(crate) link: LinkType,
}

impl Frame {
    /// All of an IP datagram.
    pub(crate) fn ip(bytes: Vec<u8>, time: Timestamp) -> Self {
        Self { wire_len: bytes.len() as u32, bytes, time, link: LinkType::RawIp }
    }

    /// The smaller and the larger address: what flows are spread over cores by. `None` if it is no IP packet.
    pub(crate) fn pair(&self) -> Option<[std::net::IpAddr; 2]> {
        let packet = decode(&self.bytes, self.wire_len, self.link);
        if matches!(packet.kind, PacketKind::Undecoded(_)) {
            return None;
        }
        let mut pair = [packet.source(&self.bytes), packet.destination(&self.bytes)];
        pair.sort_unstable();
        Some(pair)
    }
}

/// The frames as a device would hand them over.
pub(crate) fn batch(capture: &[Frame]) -> FrameBatch {
    let mut batch = FrameBatch::new();
    for frame in capture {
        batch.push(&frame.bytes, frame.wire_len, frame.time, 0, frame.link);
    }
    batch
}

/// Gives the frames to the core, `burst` at a time.
pub(crate) fn feed(core: &mut Core, batch: &mut FrameBatch, burst: usize) {
    for start in (0..batch.len()).step_by(burst) {
        let end = batch.len().min(start + burst);
        core.process(&mut batch.burst(start..end));
    }
}

/// What one direction delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    /// How long it is.
    pub(crate) len: u64,
    /// The bytes, zeros for missing ones; of a run of missing ones, a mebibyte at most.
    pub(crate) bytes: Vec<u8>,
    /// Which are missing, neighbours joined.
    pub(crate) missing: Vec<Range<u64>>,
}

impl Stream {
    fn push(&mut self, chunk: Chunk<'_>) {
        match chunk {
            Chunk::Data(data) => {
                self.bytes.extend_from_slice(data);
                self.len += data.len() as u64;
            }
            Chunk::Missing(len) => {
                let start = self.len;
                self.len += len;
                self.bytes.resize(self.bytes.len() + len.min(1 << 20) as usize, 0);
                match self.missing.last_mut() {
                    Some(last) if last.end == start => last.end += len,
                    _ => self.missing.push(start..start + len),
                }
            }
        }
    }

    pub(crate) fn missing_bytes(&self) -> u64 {
        self.missing.iter().map(|range| range.end - range.start).sum()
    }

    pub(crate) fn is_missing(&self, offset: u64) -> bool {
        self.missing.iter().any(|range| range.contains(&offset))
    }
}

/// An event as it was told, with both states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    At(Hook, Event, Side, [Option<TcpState>; 2]),
    Error(Side, ErrorReason, [Option<TcpState>; 2]),
}

/// Everything that was told of one flow. New data is joined: when it comes depends on the bursts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlowLog {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) entries: Vec<Entry>,
    /// What the client and the server received.
    pub(crate) streams: [Stream; 2],
    pub(crate) end: Option<(EndReason, [HalfInfo; 2])>,
}

/// Everything that was told on a core.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) flows: Vec<FlowLog>,
    pub(crate) orphans: BTreeMap<(SocketAddr, SocketAddr), u64>,
}

impl Log {
    /// The flows by their endpoints, those with the same ones in the order in which they began.
    pub(crate) fn by_endpoints(&self) -> BTreeMap<(SocketAddr, SocketAddr), Vec<FlowLog>> {
        let mut flows = BTreeMap::<_, Vec<_>>::new();
        for flow in &self.flows {
            flows.entry((flow.client, flow.server)).or_default().push(flow.clone());
        }
        flows
    }

    /// Where the other log tells something else, for messages.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let (mine, theirs) = (self.by_endpoints(), other.by_endpoints());
        let pairs = mine.values().flatten().zip(theirs.values().flatten());
        for (mine, theirs) in pairs {
            let entry = mine.entries.iter().zip(&theirs.entries).enumerate().find(|(_, (a, b))| a != b);
            if entry.is_some() || mine.end != theirs.end || mine.streams != theirs.streams {
                return format!("{}: entry {entry:?}, end {:?} and {:?}", mine.client, mine.end, theirs.end);
            }
        }
        format!("{} flows and {}", self.flows.len(), other.flows.len())
    }
}

fn flow<'a, At>(log: &'a mut Log, place: &mut Option<usize>, conn: &Conn<'_, '_, At>) -> &'a mut FlowLog {
    let index = *place.get_or_insert_with(|| {
        let (client, server) = (conn.endpoint(Side::Client), conn.endpoint(Side::Server));
        log.flows.push(FlowLog { client, server, entries: Vec::new(), streams: Default::default(), end: None });
        log.flows.len() - 1
    });
    let flow = &mut log.flows[index];
    assert!(flow.end.is_none(), "nothing is told of a flow after its end");
    flow
}

fn states<At>(conn: &Conn<'_, '_, At>) -> [Option<TcpState>; 2] {
    Side::BOTH.map(|side| conn.state(side))
}

/// A monitor that reads everything at once and writes it down.
pub(crate) fn reader() -> Monitor<Log, Option<usize>> {
    Monitor::new("reader", Log::default())
        .on_new_data(|cx| {
            let side = cx.conn.side();
            let log = flow(cx.state, cx.flow, &cx.conn);
            let stream = &mut log.streams[side as usize];
            assert_eq!(cx.conn.position(side), stream.len, "reading goes on where it stopped");
            let before = stream.len;
            for chunk in cx.conn.chunks() {
                stream.push(chunk);
            }
            assert!(stream.len > before, "NEW_DATA without anything new");
            assert_eq!(cx.conn.info(side).stream_bytes, stream.len);
            cx.conn.consume_all();
            assert_eq!(cx.conn.unread_len(side), 0);
        })
        .on_end(|cx| {
            let reason = cx.reason();
            let info = Side::BOTH.map(|side| cx.conn.info(side));
            let log = flow(cx.state, cx.flow, &cx.conn);
            for (info, stream) in info.iter().zip(&log.streams) {
                assert_eq!(info.stream_bytes, stream.len, "all was read before the end");
                assert_eq!(info.gap_bytes, stream.missing_bytes(), "what is missing was counted");
            }
            log.end = Some((reason, info));
        })
}

/// As [`reader`], and writes all other events down as well.
pub(crate) fn recorder() -> Monitor<Log, Option<usize>> {
    recorder_of(&[Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd])
}

/// The same without PKT_IN: packets that change nothing go unnoticed.
pub(crate) fn states_recorder() -> Monitor<Log, Option<usize>> {
    recorder_of(&[Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd])
}

fn recorder_of(events: &[Event]) -> Monitor<Log, Option<usize>> {
    let mut monitor = reader();
    for &event in events {
        monitor = monitor
            .on_snd(event, move |cx| {
                let entry = Entry::At(Hook::Snd, event, cx.conn.side(), states(&cx.conn));
                flow(cx.state, cx.flow, &cx.conn).entries.push(entry);
            })
            .on_rcv(event, move |cx| {
                let entry = Entry::At(Hook::Rcv, event, cx.conn.side(), states(&cx.conn));
                flow(cx.state, cx.flow, &cx.conn).entries.push(entry);
            });
    }
    monitor
        .on_error(|cx| {
            let entry = Entry::Error(cx.conn.side(), cx.reason(), states(&cx.conn));
            flow(cx.state, cx.flow, &cx.conn).entries.push(entry);
        })
        .on_orphan(|cx| {
            let packet = cx.packet();
            *cx.state.orphans.entry((packet.source(), packet.destination())).or_default() += 1;
        })
}

/// A core with one monitor.
pub(crate) fn core_with<S: 'static, F: Default + 'static>(
    config: Config,
    monitor: Monitor<S, F>,
) -> (Core, Descriptor) {
    let mut core = Core::new(config);
    let socket = core.open(monitor).expect("there is room for one monitor");
    (core, socket)
}

/// An event's name in the logs that tests compare.
pub(crate) fn event_name(event: Event) -> &'static str {
    match event {
        Event::PktIn => "PKT_IN",
        Event::ConnStart => "CONN_START",
        Event::NewData => "NEW_DATA",
        Event::Error => "ERROR",
        Event::TcpStateChange => "STATE",
        Event::Orphan => "ORPHAN",
        Event::Rexmit => "REXMIT",
        Event::ConnEnd => "CONN_END",
    }
}

/// Replays a capture to its end, and checks that nothing is left.
pub(crate) fn replay(config: &Config, monitor: Monitor<Log, Option<usize>>, capture: &[Frame], burst: usize) -> Replay {
    let (mut core, socket) = core_with(config.clone(), monitor);
    feed(&mut core, &mut batch(capture), burst);
    if let Some(last) = capture.iter().map(|frame| frame.time).max() {
        core.advance(last);
    }
    finish(&mut core);
    Replay { log: core.state::<Log>(socket).expect("the monitor is open").clone(), stats: core.stats().clone() }
}

/// What a replay came to.
pub(crate) struct Replay {
    pub(crate) log: Log,
    pub(crate) stats: mos_core::stats::Stats,
}

/// Shuts down and checks that nothing is left.
pub(crate) fn finish(core: &mut Core) {
    core.shutdown();
    assert_eq!(core.stack().live_flows(), 0, "live flows after the shutdown");
    assert_eq!(core.stack().reassembly_bytes(), 0, "reassembly memory in use after the shutdown");
    let ended: u64 = core.stats().ended.iter().sum();
    assert_eq!(ended, core.stats().flows, "every flow ends once");
}

/// Every frame of a capture file, up to where it is damaged.
pub(crate) fn read(path: &Path) -> Vec<Frame> {
    let mut reader = CaptureReader::open(path, 0).unwrap_or_else(|error| panic!("{error}"));
    let mut batch = FrameBatch::new();
    while let Ok(Received::Frames(_)) = reader.receive(&mut batch, usize::MAX) {}
    let frames = batch.frames().iter().enumerate();
    frames
        .map(|(at, meta)| Frame {
            bytes: batch.frame(at).to_vec(),
            wire_len: meta.wire_len,
            time: meta.timestamp,
            link: meta.link,
        })
        .collect()
}

/// The folder with the captures: `MOS_TRACES`, or `shared/traces` beside the workspace. Says so if there is none.
pub(crate) fn traces() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let folder = std::env::var_os("MOS_TRACES").map_or_else(beside, PathBuf::from);
    if !folder.is_dir() {
        eprintln!("SKIPPED: no captures in {}; set MOS_TRACES", folder.display());
        return None;
    }
    Some(folder)
}
