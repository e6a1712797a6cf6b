//! One run: a device read to its end, by workers of one or several cores.

use core::ops::ControlFlow;
use std::time::Duration;

use super::spread::Spread;
use super::threads::{self, Batch};
use super::worker::Worker;
use crate::io::{Device, DeviceError, FrameBatch, Received};
use crate::packet::MAX_BURST;
use crate::time::Timestamp;

/// The most frames that are asked of the device at a time.
const BATCH_FRAMES: usize = 1024;

/// How long the reader sleeps when a device has nothing: it is asked again, but never in a loop without pause.
const IDLE_PAUSE: Duration = Duration::from_millis(1);

/// How a device is to be run. Time is what the frames say, so the same frames give the same events whatever the burst
/// size and the number of cores.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Workers. One runs on the calling thread; several each on their own, and the calling thread hands out frames.
    pub cores: usize,
    /// The most frames of a burst; what is beyond [`MAX_BURST`] is taken for that, 0 for 1.
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

impl Run {
    /// Reads `device` to its end. `make` builds the worker of a core, on the thread where it will stay.
    ///
    /// At the end every core is told the latest time of all frames, whichever core they went to, and is then shut down:
    /// what the passing of time ends, ends on several cores as it does on one.
    ///
    /// # Panics
    ///
    /// If a worker panics.
    pub fn run<W: Worker>(&self, device: &mut impl Device, make: impl Fn(usize) -> W + Sync) -> Outcome<W::Report> {
        match self.cores {
            0 | 1 => self.run_here(device, make(0)),
            cores => {
                threads::run(cores, self.burst, make, |lanes| self.read(device, |batch| lanes.send(batch, self.spread())))
            }
        }
    }

    fn spread(&self) -> Spread {
        Spread::new(self.cores, self.seed)
    }

    fn run_here<W: Worker>(&self, device: &mut impl Device, mut worker: W) -> Outcome<W::Report> {
        let (reading, latest) = self.read(device, |batch| threads::work_off(&mut worker, batch, self.burst));
        threads::close(&mut worker, &reading, latest);
        Outcome { reports: vec![worker.report()], error: reading.err() }
    }
}
