//! The time that a core goes by.
//!
//! The system's clock is set now and then, by hours perhaps, and then all connections would seem to have been silent for so long.
//! So a core's time begins as the system's and then passes evenly, as the monotonic clock does. It follows the system's by a
//! hundredth of what passes: that is enough to stay with a clock that is only kept right, and does no harm to any timer.

use std::time::{Instant, SystemTime};

use crate::time::Timestamp;

/// Of the time that passes, one part of so many may be lost or gained to come closer to the system's clock.
const SLEW: i64 = 100;

/// A difference to the system's clock that is left in frames' times, in nanoseconds. (The two clocks are not read at the very same
/// moment, either.)
const TOLERANCE: i64 = 10_000_000;

/// Where the time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// From the system, as the time stamps of live frames do. If its clock is set while the core runs, the core's time goes on
    /// evenly all the same, and comes closer by a hundredth of the time that passes.
    System,
    /// From the frames alone: they come from captures, and it passes as it passed then.
    Frames,
}

impl Clock {
    /// From now on.
    pub(super) fn start(self) -> RunningClock {
        let even = (self == Self::System).then(|| Even::new(system(), Instant::now()));
        RunningClock { even }
    }
}

/// The system's time.
fn system() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// A clock that runs.
#[derive(Debug)]
pub(super) struct RunningClock {
    even: Option<Even>,
}

impl RunningClock {
    /// One that is so far ahead of the system's.
    #[cfg(test)]
    pub(super) fn ahead(by: std::time::Duration) -> Self {
        Self { even: Some(Even::new(system() + by, Instant::now())) }
    }

    /// The time, if frames are not all that tells it.
    pub(super) fn now(&mut self) -> Option<Timestamp> {
        let even = self.even.as_mut()?;
        Some(even.tick(system(), Instant::now()))
    }

    /// What is to be added to the system's time, in nanoseconds, to get that of this clock, as far as was known when it was read last;
    /// `None` if they are as good as the same.
    pub(super) fn shift(&self) -> Option<i64> {
        self.even.as_ref().map(|even| even.shift).filter(|shift| shift.abs() > TOLERANCE)
    }
}

/// Time that passes evenly.
#[derive(Debug)]
struct Even {
    now: i64,
    at: Instant,
    /// How far it is ahead of the system's.
    shift: i64,
}

impl Even {
    fn new(system: Timestamp, at: Instant) -> Self {
        Self { now: signed(system), at, shift: 0 }
    }

    fn tick(&mut self, system: Timestamp, at: Instant) -> Timestamp {
        let passed = i64::try_from(at.saturating_duration_since(self.at).as_nanos()).unwrap_or(i64::MAX);
        let plain = self.now.saturating_add(passed);
        let (most, system) = (passed / SLEW, signed(system));
        self.now = plain + system.saturating_sub(plain).clamp(-most, most);
        self.at = at.max(self.at);
        self.shift = self.now.saturating_sub(system);
        Timestamp::from_nanos(self.now as u64)
    }
}

/// As a signed number, for which there is room until the year 2262.
fn signed(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: u64 = 3_600_000_000_000;
    const SECOND: u64 = 1_000_000_000;
    const START: u64 = 500_000 * HOUR;

    #[test]
    fn a_clock_that_leaps_is_followed_slowly() {
        for (leap, slow) in [(HOUR as i64, 101), (-(HOUR as i64), 99)] {
            let start = Instant::now();
            let mut clock = RunningClock { even: Some(Even::new(Timestamp::from_nanos(START), start)) };
            let even = clock.even.as_mut().unwrap();
            let leapt = START.wrapping_add_signed(leap);
            for second in 1..=100 {
                let now =
                    even.tick(Timestamp::from_nanos(leapt + second * SECOND), start + Duration::from_secs(second));
                assert_eq!(now.as_nanos(), START + second * SECOND * slow / 100, "{leap}: {second}");
            }
            // Stamps of the system become those of this clock.
            let shift = clock.shift().unwrap();
            assert_eq!(shift, -leap + leap.signum() * SECOND as i64);
        }
    }

    #[test]
    fn a_clock_that_is_kept_right_is_followed() {
        let start = Instant::now();
        let mut clock = RunningClock { even: Some(Even::new(Timestamp::from_nanos(START), start)) };
        // Corrected by 500 millionths, the most that time daemons do.
        for milli in 1..100_000u64 {
            let system = Timestamp::from_nanos(START + milli * 1_000_500);
            let now = clock.even.as_mut().unwrap().tick(system, start + Duration::from_millis(milli));
            assert_eq!(now, system);
        }
        assert_eq!(clock.shift(), None);
    }

    #[test]
    fn it_never_runs_backwards() {
        let start = Instant::now();
        let mut even = Even::new(Timestamp::from_nanos(START), start);
        let (mut before, mut at) = (START, start);
        for step in 0..10_000u64 {
            at += Duration::from_nanos(step * 37 % 1000);
            let system = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
            let now = even.tick(Timestamp::from_nanos(system), at).as_nanos();
            assert!(now >= before);
            before = now;
        }
    }
}
