//! Around every callback: what panics is caught and counted, and, if that is asked for, the time it takes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::control::Control;

/// How long callbacks take.
#[derive(Clone, Debug)]
pub struct CallbackTimes {
    budget: Duration,
    slow: u64,
    counts: [u64; 32],
}

impl CallbackTimes {
    /// The time that a callback should not exceed.
    #[must_use]
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// Callbacks that took longer.
    #[must_use]
    pub fn slow(&self) -> u64 {
        self.slow
    }

    /// All callbacks that were timed.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many callbacks took how long: number `n` counts those of less than 2^n nanoseconds that no number before it counts; the
    /// last one has all the rest.
    #[must_use]
    pub fn histogram(&self) -> &[u64; 32] {
        &self.counts
    }

    fn add(&mut self, taken: Duration) {
        let nanos = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX);
        let place = (u64::BITS - nanos.leading_zeros()) as usize;
        self.counts[place.min(self.counts.len() - 1)] += 1;
        if taken > self.budget {
            self.slow += 1;
            if self.slow.is_power_of_two() {
                log::warn!("{} callbacks have taken longer than {:?} so far", self.slow, self.budget);
            }
        }
    }
}

/// What happens in callbacks.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    pub(crate) panics: u64,
    pub(crate) times: Option<CallbackTimes>,
    /// When the callback that runs began, if it is timed. Here, not in [`Control::time`]: few are.
    started: Option<Instant>,
}

impl Guard {
    /// From now on callbacks are timed: two looks at a clock each.
    pub(crate) fn time(&mut self, budget: Duration) {
        self.times = Some(CallbackTimes { budget, slow: 0, counts: [0; 32] });
    }

    #[inline]
    pub(crate) fn is_timing(&self) -> bool {
        self.times.is_some()
    }

    #[cold]
    fn start(&mut self) {
        self.started = Some(Instant::now());
    }

    #[cold]
    fn stop(&mut self) {
        if let (Some(times), Some(started)) = (&mut self.times, self.started.take()) {
            times.add(started.elapsed());
        }
    }

    #[cold]
    fn panicked(&mut self) {
        self.stop();
        self.panics += 1;
        // Traffic may be what makes it panic: the log must not grow with it.
        if self.panics.is_power_of_two() {
            log::error!("{} callbacks have panicked so far; monitors hear no more of the flows concerned", self.panics);
        }
    }
}

impl Control {
    /// Runs a callback, and takes its time if that is asked for.
    #[inline(always)]
    pub(crate) fn time<R>(&mut self, callback: impl FnOnce(&mut Self) -> R) -> R {
        if self.guard.is_timing() {
            self.guard.start();
        }
        let result = callback(self);
        if self.guard.is_timing() {
            self.guard.stop();
        }
        result
    }

    /// The same for those who know whether that is asked for.
    #[inline(always)]
    pub(crate) fn time_if<const TIMED: bool, R>(&mut self, callback: impl FnOnce(&mut Self) -> R) -> R {
        if TIMED { self.time(callback) } else { callback(self) }
    }

    /// Runs a callback, and takes its time if that is asked for. `None` if it panicked: then that is counted.
    #[inline(always)]
    pub(crate) fn run<R>(&mut self, callback: impl FnOnce(&mut Self) -> R) -> Option<R> {
        self.catch(|control| control.time(callback))
    }

    /// Runs callbacks that take their times themselves, or what is a monitor's own but no callback: its states begin and go.
    /// `None` if it panicked, as for [`Self::run`].
    ///
    /// Always part of its caller: handed on, what is run would be copied on the way, and waited for.
    #[inline(always)]
    pub(crate) fn catch<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> Option<R> {
        // The contexts hold nothing that a callback could leave half done: each of their calls completes or does nothing.
        // The monitor's own states are its own concern.
        let result = catch_unwind(AssertUnwindSafe(|| run(self)));
        if result.is_err() {
            self.guard.panicked();
        }
        result.ok()
    }
}
