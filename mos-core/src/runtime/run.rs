//! One run: a device read to its end, by the workers of one or several cores.

use core::ops::ControlFlow;
use std::time::Duration;

use super::spread::Spread;
use super::threads;
use super::worker::Worker;
use crate::io::{Device, DeviceError, FrameBatch, Received};
use crate::packet::MAX_BURST;
use crate::time::Timestamp;

/// The most frames that are asked of the device at a time.
const BATCH_FRAMES: usize = 1024;

/// How long the reader sleeps when the device has nothing: it is asked again, but not without a pause.
const IDLE_PAUSE: Duration = Duration::from_millis(1);

/// How a device is to be run. Time is what the frames say, so the same frames give the same events whatever the number of
/// cores.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// How many workers. One works on the calling thread; several have threads of their own, and the calling thread hands
    /// out the frames.
    pub cores: usize,
    /// The most frames of a burst: 1 to [`MAX_BURST`]; what is beyond is taken for the nearest.
    pub burst: usize,
    /// The seed of the hash by which [`Spread`] chooses cores.
    pub seed: u64,
}

impl Default for Run {
    fn default() -> Self {
        Self { cores: 1, burst: MAX_BURST, seed: 0 }
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome<R> {
    /// What the workers left, by core.
    pub reports: Vec<R>,
    /// Why the device ended too early. All that came before was processed, and the flows were shut down as ever.
    pub error: Option<DeviceError>,
}

/// How the reading of a device ended.
struct Reading {
    /// The latest time of all frames.
    latest: Timestamp,
    /// Nobody needs any more frames.
    stopped: bool,
    error: Option<DeviceError>,
}

impl Run {
    /// Reads `device` to its end. `make` builds the worker of a core, on the thread where it will stay.
    ///
    /// At the end every core is told the latest time of all frames, whichever core they went to, and is then shut down:
    /// what the passing of time ends, ends on several cores as it does on one. If a worker wants no more frames, the run
    /// ends at once, without a shutdown.
    ///
    /// # Panics
    ///
    /// If a worker panics.
    pub fn run<W: Worker>(&self, device: &mut impl Device, make: impl Fn(usize) -> W + Sync) -> Outcome<W::Report> {
        let burst = self.burst.clamp(1, MAX_BURST);
        if self.cores <= 1 {
            let mut worker = make(0);
            let reading = read(device, |batch| work(&mut worker, batch, 0..batch.len(), burst));
            if !reading.stopped {
                worker.advance(reading.latest);
                worker.shutdown();
            }
            return Outcome { reports: vec![worker.report()], error: reading.error };
        }
        let spread = Spread::new(self.cores, self.seed);
        let (reports, error) = threads::run(spread, burst, make, |lanes| {
            let reading = read(device, |batch| lanes.hand_out(batch));
            if !reading.stopped {
                lanes.end(reading.latest);
            }
            reading.error
        });
        Outcome { reports, error }
    }
}

/// Reads to the end, or until `each` breaks off.
fn read(device: &mut impl Device, mut each: impl FnMut(&mut FrameBatch) -> ControlFlow<()>) -> Reading {
    let mut batch = FrameBatch::new();
    let mut reading = Reading { latest: Timestamp::ZERO, stopped: false, error: None };
    loop {
        batch.clear();
        match device.receive(&mut batch, BATCH_FRAMES) {
            Ok(Received::Frames(_)) => {}
            Ok(Received::Idle) => std::thread::sleep(IDLE_PAUSE),
            Ok(Received::End) => return reading,
            Err(error) => {
                reading.error = Some(error);
                return reading;
            }
        }
        let latest = batch.frames().iter().map(|meta| meta.timestamp).max();
        reading.latest = reading.latest.max(latest.unwrap_or_default());
        if !batch.is_empty() && each(&mut batch).is_break() {
            reading.stopped = true;
            return reading;
        }
    }
}

/// The frames of `range`, burst by burst.
pub(super) fn work(
    worker: &mut impl Worker,
    batch: &mut FrameBatch,
    range: core::ops::Range<usize>,
    burst: usize,
) -> ControlFlow<()> {
    for start in range.clone().step_by(burst) {
        worker.process(&mut batch.burst(start..range.end.min(start + burst)))?;
    }
    ControlFlow::Continue(())
}
