//! The workers' threads, and the way batches go to them and back.
//!
//! Each worker has a lane: a short channel of batches towards it, and one for the empty batches that come back. A lane that
//! is full makes the reader wait, a lane that is empty makes its worker wait; nobody spins, and memory is bounded.

use core::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::run::work;
use super::spread::Spread;
use super::worker::Worker;
use crate::io::FrameBatch;
use crate::time::Timestamp;

/// The most batches that wait for a worker.
const LANE_BATCHES: usize = 4;

/// Frames for one worker.
#[derive(Default)]
struct Batch {
    frames: FrameBatch,
    /// Before the frame with this index, let time pass to this point.
    times: Vec<(usize, Timestamp)>,
}

enum Message {
    Frames(Batch),
    /// No frame will come any more; this was the latest time.
    End(Timestamp),
}

/// The way to one worker, seen from the reader.
struct Lane {
    to: SyncSender<Message>,
    back: Receiver<Batch>,
    /// What is being filled.
    batch: Batch,
    /// The latest time that the worker has been told.
    told: Timestamp,
}

/// The ways to all workers.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    spread: Spread,
    latest: Timestamp,
}

/// Runs a worker per core of `spread`, each on a thread of its own, for as long as `feed` takes to hand out frames.
pub(super) fn run<W: Worker, R>(
    spread: Spread,
    burst: usize,
    make: impl Fn(usize) -> W + Sync,
    feed: impl FnOnce(&mut Lanes) -> R,
) -> (Vec<W::Report>, R) {
    thread::scope(|scope| {
        let make = &make;
        let start = |core: usize| {
            let (to, from_reader) = sync_channel(LANE_BATCHES);
            let (to_reader, back) = channel();
            let body = move || serve(make(core), &from_reader, &to_reader, burst);
            let handle = thread::Builder::new().name(format!("core-{core}")).spawn_scoped(scope, body);
            (handle, Lane { to, back, batch: Batch::default(), told: Timestamp::ZERO })
        };
        let (handles, lanes): (Vec<_>, Vec<_>) = (0..spread.cores()).map(start).unzip();
        let mut lanes = Lanes { lanes, spread, latest: Timestamp::ZERO };
        let fed = feed(&mut lanes);
        // Without their lanes the workers end.
        drop(lanes);
        let reports = handles.into_iter().map(|handle| {
            let handle = handle.expect("the system has no thread for another core");
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        (reports.collect(), fed)
    })
}

/// The life of a worker.
fn serve<W: Worker>(mut worker: W, from: &Receiver<Message>, back: &Sender<Batch>, burst: usize) -> W::Report {
    for message in from {
        match message {
            Message::Frames(mut batch) => {
                if work_off(&mut worker, &mut batch, burst).is_break() {
                    break;
                }
                batch.frames.clear();
                batch.times.clear();
                // The reader may be done already; then the batch has no use any more.
                let _ = back.send(batch);
            }
            Message::End(latest) => {
                worker.advance(latest);
                worker.shutdown();
            }
        }
    }
    worker.report()
}

fn work_off(worker: &mut impl Worker, batch: &mut Batch, burst: usize) -> ControlFlow<()> {
    let mut done = 0;
    for &(index, time) in &batch.times {
        work(worker, &mut batch.frames, done..index, burst)?;
        worker.advance(time);
        done = index;
    }
    let end = batch.frames.len();
    work(worker, &mut batch.frames, done..end, burst)
}

impl Lanes {
    /// Hands every frame to its core, and sends what there is: no frame waits for others to come. Breaks off if a worker
    /// wants no more.
    pub(super) fn hand_out(&mut self, batch: &FrameBatch) -> ControlFlow<()> {
        for (index, meta) in batch.frames().iter().enumerate() {
            let lane = &mut self.lanes[self.spread.core_of(batch.frame(index), meta)];
            // A frame that is late is taken at the time of the latest one; on one core, and so here too.
            if meta.timestamp < self.latest && lane.told < self.latest {
                lane.told = self.latest;
                lane.batch.times.push((lane.batch.frames.len(), self.latest));
            }
            lane.batch.frames.push_from(batch, index);
            self.latest = self.latest.max(meta.timestamp);
            lane.told = lane.told.max(meta.timestamp);
        }
        for lane in self.lanes.iter_mut().filter(|lane| !lane.batch.frames.is_empty()) {
            let next = lane.back.try_recv().unwrap_or_default();
            let full = std::mem::replace(&mut lane.batch, next);
            if lane.to.send(Message::Frames(full)).is_err() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// No frame will come any more.
    pub(super) fn end(&mut self, latest: Timestamp) {
        for lane in &self.lanes {
            // A worker that has gone needs no end.
            let _ = lane.to.send(Message::End(latest));
        }
    }
}
