//! One run on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::time::Duration;
use std::{process, thread};

use super::measurement::{Measurement, Pace, Task};
use super::processors::{Processor, pin_to};
use super::traffic::Traffic;
use super::{Counts, Speed};

/// What one run came to.
#[derive(Debug)]
pub(crate) struct Run {
    /// Each core, while all of them were at work.
    pub(crate) cores: Vec<Measurement>,
    /// One core, which took all shares one after the other; empty if there is only one.
    in_turn: Vec<Measurement>,
}

impl Run {
    /// The traffic on this thread.
    pub(crate) fn alone(traffic: &mut Traffic, task: &Task) -> Self {
        Self { cores: vec![measure_alone(traffic, task)], in_turn: Vec::new() }
    }

    /// Each core's share on a processor of its own, all at a time; then all of them on the first.
    pub(crate) fn together(traffics: &mut [Traffic], task: &Task, processors: &[Processor]) -> Self {
        let pace = Pace::of(traffics);
        let cores = thread::scope(|scope| {
            let each = |(traffic, &processor)| {
                let pace = &pace;
                scope.spawn(move || {
                    pin_to(processor);
                    let measure = AssertUnwindSafe(|| Measurement::take(traffic, task, pace));
                    // The other cores would wait for this one for ever.
                    catch_unwind(measure).unwrap_or_else(|_| process::exit(101))
                })
            };
            let threads: Vec<_> = traffics.iter_mut().zip(processors).map(each).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not unwind")).collect()
        });
        let in_turn = thread::scope(|scope| {
            let one = || {
                pin_to(processors[0]);
                traffics.iter_mut().map(|traffic| measure_alone(traffic, task)).collect()
            };
            scope.spawn(one).join().expect("what was measured before does not panic")
        });
        Self { cores, in_turn }
    }

    /// That of all cores together.
    pub(crate) fn speed(&self) -> Speed {
        self.cores.iter().map(Measurement::speed).sum()
    }

    /// That of one core with all shares in turn; `None` if there is only one.
    pub(crate) fn speed_in_turn(&self) -> Option<Speed> {
        let sum = |value: fn(&Measurement) -> u64| self.in_turn.iter().map(value).sum();
        let cpu: Duration = self.in_turn.iter().map(|measurement| measurement.cpu).sum();
        let speed = Speed::new(sum(|measurement| measurement.packets), sum(|measurement| measurement.wire_bytes), cpu);
        (!self.in_turn.is_empty()).then_some(speed)
    }

    /// CPU time for a handshake, if these were measured apart.
    pub(crate) fn nanos_per_new_flow(&self) -> Option<f64> {
        let opening: Duration = self.cores.iter().map(|core| core.opening).sum();
        let flows: u64 = self.cores.iter().filter_map(|core| core.made_up).map(|made_up| made_up.flows).sum();
        (!opening.is_zero() && flows > 0).then(|| opening.as_secs_f64() * 1e9 / flows as f64)
    }

    /// Flows that began among the packets and ended with them, in a second; `None` if handshakes were measured apart.
    pub(crate) fn flows_per_second(&self) -> Option<f64> {
        let among_packets = |core: &Measurement| core.opening.is_zero() && core.counts.flows > 0;
        let per_second = |core: &Measurement| core.counts.flows as f64 * core.speed().packets / core.packets as f64;
        let cores: Vec<_> = self.cores.iter().filter(|core| among_packets(core)).map(per_second).collect();
        (!cores.is_empty()).then(|| cores.iter().sum())
    }

    /// What all cores have counted.
    pub(crate) fn counts(&self) -> Counts {
        self.cores.iter().fold(Counts::default(), |mut counts, core| {
            counts += core.counts;
            counts
        })
    }

    /// An error if a core has not counted what there was.
    pub(crate) fn check(&self, task: &Task) -> anyhow::Result<()> {
        self.cores.iter().chain(&self.in_turn).try_for_each(|core| core.check(task.load))
    }
}

fn measure_alone(traffic: &mut Traffic, task: &Task) -> Measurement {
    let pace = Pace::of(slice::from_ref(traffic));
    Measurement::take(traffic, task, &pace)
}
