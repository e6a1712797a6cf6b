//! Flows that end by time, however many of them at once.

use super::Stack;
use crate::event::{EndReason, Observer};
use crate::packet::Burst;
use crate::time::Timestamp;

/// So many timers at most are looked at before a packet; the others follow with the next packets, or when there is time.
/// So no packet waits for all the flows that came to be silent at once, and what happens does not depend on the bursts.
const TIMERS_PER_PACKET: usize = 64;

/// Timers that were due longer ago, in ticks, do not wait for others: 32 bits do not tell times apart that lie farther from
/// each other. Only a clock that was set, or a capture of several, makes such leaps.
const LEAP: u64 = 1 << 30;

impl Stack {
    /// Some timers are overdue: there were too many.
    #[inline]
    pub(super) fn is_late(&self) -> bool {
        self.quiet_until == Timestamp::ZERO
    }

    /// How many timers may be looked at before time moves on to `tick`.
    pub(super) fn timer_work(&self, tick: u64) -> usize {
        if tick.saturating_sub(self.timers.next_due()) > LEAP { usize::MAX } else { TIMERS_PER_PACKET }
    }

    /// The timers due up to `tick`, as many as `work` allows; true if none is left. Each flow ends at the time it was due; or
    /// now, if time has moved on since.
    pub(super) fn fire_timers<O: Observer>(
        &mut self,
        tick: u64,
        work: &mut usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        while let Some(fired) = self.timers.pop(tick, work) {
            for &slot in &fired.ids {
                self.flows.prefetch(slot);
            }
            for slot in fired.ids {
                self.fire(slot, fired.due, burst, observer);
            }
        }
        self.timers.next_due() > tick
    }

    fn fire<O: Observer>(&mut self, slot: u32, due: u64, burst: &mut Burst<'_>, observer: &mut O) {
        if !self.flows.is_live(slot) {
            return;
        }
        let Some((deadline, reason)) = self.deadline(slot, due) else { return };
        if deadline > due {
            return self.timers.arm_by(slot, deadline, self.tick);
        }
        self.now = self.now.max(Timestamp::from_millis(deadline));
        self.tick = self.tick.max(deadline);
        self.end(slot, reason, burst, observer);
    }

    /// When the flow is to end for its silence, in ticks, and how. Its timer is due at `due`.
    fn deadline(&self, slot: u32, due: u64) -> Option<(u64, EndReason)> {
        let (patience, reason) = self.patience(slot);
        // The timer is due within 2^31 ticks of the last packet, so 32 bits say when that was.
        let since = self.flows.hot(slot).last_seen.wrapping_sub(due as u32) as i32;
        (patience > 0).then(|| (due.saturating_add_signed(since.into()) + patience, reason))
    }

    /// How the flow should have ended by now, if its turn had come.
    pub(super) fn overdue(&self, slot: u32) -> Option<EndReason> {
        let due = self.timers.due(slot);
        if due > self.tick {
            return None;
        }
        self.deadline(slot, due).filter(|(deadline, _)| *deadline <= self.tick).map(|(_, reason)| reason)
    }

    /// A packet has come for a flow that should have ended before: it ends first. True if so.
    #[cold]
    pub(super) fn end_if_overdue<O: Observer>(&mut self, slot: u32, burst: &mut Burst<'_>, observer: &mut O) -> bool {
        let reason = self.overdue(slot);
        if let Some(reason) = reason {
            self.end(slot, reason, burst, observer);
        }
        reason.is_some()
    }
}
