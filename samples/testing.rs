//! What the monitors' tests share: a replay of a capture, and paper to write on.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use mos_core::config::{ChecksumMode, Config};
use mos_core::io::{CaptureReader, Device, FrameBatch, Received};
use mos_core::packet::{Burst, LinkType};
use mos_core::runtime::{Run, Worker};
use mos_core::time::Timestamp;
use mos_core::wire::{SeqNum, TcpSegment};
use mos_monitor::{Core, Monitor};
use proptest::test_runner::{Config as ProptestConfig, RngSeed};

use crate::output::Output;

/// What was written, for looking at it.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    pub(crate) fn output(&self) -> Arc<Output> {
        Arc::new(Output::new(self.clone()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A file of this crate.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Compares with the file `name` of this crate, or writes it if `MOS_BLESS` is set.
pub(crate) fn check_golden(name: &str, got: &str) {
    if std::env::var_os("MOS_BLESS").is_some() {
        std::fs::write(file(name), got).unwrap();
    }
    let expected = std::fs::read_to_string(file(name)).unwrap();
    assert_eq!(got, expected, "{name} differs; MOS_BLESS=1 writes it anew");
}

/// A core as `mos replay` makes it, with a fixed seed.
pub(crate) fn core() -> Core {
    Core::new(Config {
        checksum: ChecksumMode::Auto,
        receive_buffer_bytes: 64 << 20,
        hash_seed: 1,
        timeouts: mos_core::config::Timeouts::all(std::time::Duration::from_secs(3600)),
        ..Config::default()
    })
}

/// Replays the capture `tiny` on several cores, as `mos replay` does. `open` opens a monitor on the core of that number.
pub(crate) fn replay_on(cores: usize, open: impl Fn(&mut Core, usize) + Sync) {
    let mut reader = CaptureReader::open(file("traces/tiny.pcap"), 0).unwrap();
    let run = Run { cores, ..Run::default() };
    let outcome = run.run(&mut reader, |number| {
        let mut core = core();
        open(&mut core, number);
        CoreWorker(core)
    });
    assert!(outcome.error.is_none());
    assert_eq!(outcome.reports, vec![0; cores], "panics");
}

struct CoreWorker(Core);

impl Worker for CoreWorker {
    type Report = u64;

    fn process(&mut self, burst: &mut Burst<'_>) -> ControlFlow<()> {
        self.0.process(burst);
        ControlFlow::Continue(())
    }

    fn advance(&mut self, now: Timestamp) {
        self.0.advance(now);
    }

    fn shutdown(&mut self) {
        self.0.shutdown();
    }

    fn report(self) -> u64 {
        self.0.panics()
    }
}

/// Replays the capture at `path` to its end, as far as it can be read, and ends all flows.
pub(crate) fn replay(core: &mut Core, path: &Path, burst: usize) {
    feed_all(core, path, burst);
    core.shutdown();
}

/// Feeds the capture at `path`, as far as it can be read.
pub(crate) fn feed_all(core: &mut Core, path: &Path, burst: usize) {
    let Ok(mut reader) = CaptureReader::open(path, 0) else { return };
    let mut frames = FrameBatch::new();
    while let Ok(received) = reader.receive(&mut frames, 1000)
        && received != Received::End
    {
        feed(core, &mut frames, burst);
        frames.clear();
    }
}

/// Runs a bundled capture past a monitor, in bursts of so many frames.
pub(crate) fn replay_bundled<S: 'static, F: Default + 'static>(capture: &str, burst: usize, monitor: Monitor<S, F>) {
    let mut core = core();
    core.open(monitor).unwrap();
    replay(&mut core, &file(&format!("traces/{capture}")), burst);
    assert_eq!((core.panics(), core.stack().reassembly_bytes()), (0, 0));
}

/// Lines in an order that does not depend on how bursts were cut. Within a burst flows come one after the other.
pub(crate) fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// The same cases every time, so that a change is to blame for what fails after it. `PROPTEST_CASES=N` searches: N cases,
/// new ones each time.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let (cases, rng_seed) = match std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()) {
        Some(cases) => (cases, RngSeed::Random),
        None => (count, RngSeed::Fixed(9293)),
    };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

pub(crate) fn feed(core: &mut Core, frames: &mut FrameBatch, burst: usize) {
    for start in (0..frames.len()).step_by(burst) {
        core.process(&mut frames.burst(start..frames.len().min(start + burst)));
    }
}

/// All captures of the folder `MOS_TRACES`; says so if there is none.
pub(crate) fn traces() -> Vec<PathBuf> {
    let beside = || file("../../shared/traces");
    let folder = std::env::var_os("MOS_TRACES").map_or_else(beside, PathBuf::from);
    let mut found: Vec<_> = ["real", "edge", "public"]
        .iter()
        .filter_map(|kind| std::fs::read_dir(folder.join(kind)).ok())
        .flat_map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())))
        .filter(|path| path.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng"))
        .collect();
    if found.is_empty() {
        eprintln!("SKIPPED: no captures in {}; set MOS_TRACES", folder.display());
    }
    found.sort();
    found
}

/// Frames made one by one, a millisecond apart.
pub(crate) struct Wire {
    pub(crate) frames: FrameBatch,
    millis: u64,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self { frames: FrameBatch::new(), millis: 1000 }
    }

    /// The next frame comes at that time.
    pub(crate) fn set(&mut self, millis: u64) {
        self.millis = millis - 1;
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.millis += millis;
    }

    pub(crate) fn send(&mut self, [src, dst]: [SocketAddr; 2], flags: u8, [seq, ack]: [u32; 2], payload: &[u8]) {
        let segment = TcpSegment { seq: SeqNum(seq), ack: SeqNum(ack), flags, payload, ..TcpSegment::new(src, dst) };
        let frame = segment.to_raw_ip();
        self.millis += 1;
        let time = Timestamp::from_millis(self.millis);
        self.frames.push(&frame, frame.len() as u32, time, 0, LinkType::RawIp);
    }
}
