//! A link that loses, repeats and reorders frames.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mos_core::io::{AfPacket, AfPacketConfig, Arrival, Port, wait};
use mos_core::packet::Offload;

use super::forwarder::open;
use super::net::Net;

/// A frame that is to be overtaken leaves after so many others, or after a time.
const OVERTAKING: u32 = 3;
const LATEST: Duration = Duration::from_millis(3);

/// Of a thousand frames each way, so many are lost, come twice, are late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) lost: u64,
    pub(super) twice: u64,
    pub(super) late: u64,
}

/// How often it has happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) lost: u64,
    pub(super) twice: u64,
    pub(super) late: u64,
}

/// A link between two interfaces of a namespace, until it is stopped.
pub(super) struct Impairment {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Counts>,
}

impl Impairment {
    pub(super) fn start(net: &Net, space: &str, interfaces: [&'static str; 2], rates: Rates) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, (ready, is_ready)) = (Arc::clone(&stop), std::sync::mpsc::channel());
        let thread = net.spawn(space, move || {
            let mut link = Link {
                ports: interfaces.map(|name| open(name, AfPacketConfig::default())),
                late: [VecDeque::new(), VecDeque::new()],
                rates,
                dice: interfaces[0].bytes().fold(0x9e37_79b9_7f4a_7c15, |seed, byte| seed ^ u64::from(byte) << 20),
                counts: Counts::default(),
            };
            ready.send(()).unwrap();
            while !told.load(Ordering::Relaxed) {
                link.serve();
            }
            link.counts
        });
        is_ready.recv().unwrap();
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Counts {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

struct Link {
    ports: [AfPacket; 2],
    /// Frames that are late, by the port at which they arrived.
    late: [VecDeque<Late>; 2],
    rates: Rates,
    dice: u64,
    counts: Counts,
}

struct Late {
    frame: Vec<u8>,
    offload: Offload,
    overtaking: u32,
    since: Instant,
}

impl Link {
    fn serve(&mut self) {
        let mut any = false;
        for from in 0..2 {
            let mut frames = Vec::new();
            let arrival = self.ports[from].receive(&mut |burst| {
                frames.extend(burst.frames.iter().map(|meta| (burst.memory[meta.range()].to_vec(), meta.offload)));
            });
            any |= matches!(arrival.unwrap(), Arrival::Frames(_));
            for (frame, offload) in frames {
                self.pass(from, frame, offload);
            }
            self.release(from);
            self.ports[1 - from].flush();
        }
        if !any {
            let fds: Vec<_> = self.ports.iter().filter_map(Port::poll_fd).collect();
            wait(&fds, Duration::from_millis(1)).unwrap();
        }
    }

    fn roll(&mut self, of_a_thousand: u64) -> bool {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 16) % 1000 < of_a_thousand
    }

    fn pass(&mut self, from: usize, frame: Vec<u8>, offload: Offload) {
        let Rates { lost, twice, late } = self.rates;
        self.counts.passed += 1;
        if self.roll(lost) {
            self.counts.lost += 1;
            return;
        }
        if self.roll(late) {
            self.counts.late += 1;
            self.late[from].push_back(Late { frame, offload, overtaking: OVERTAKING, since: Instant::now() });
            return;
        }
        let copies = if self.roll(twice) { 2 } else { 1 };
        self.counts.twice += copies - 1;
        for _ in 0..copies {
            // What cannot be sent is lost once more.
            let _ = self.ports[1 - from].transmit(&frame, offload);
        }
        for late in &mut self.late[from] {
            late.overtaking = late.overtaking.saturating_sub(1);
        }
        self.release(from);
    }

    /// Sends what has been late for long enough.
    fn release(&mut self, from: usize) {
        let is_due = |late: &mut Late| late.overtaking == 0 || late.since.elapsed() >= LATEST;
        while self.late[from].front_mut().is_some_and(is_due)
            && let Some(late) = self.late[from].pop_front()
        {
            let _ = self.ports[1 - from].transmit(&late.frame, late.offload);
        }
    }
}
