//! Timers of monitors: for one flow or for the core, once or again and again, in the time of the frames or in another one
//! that the core is told.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use mos_core::flow::FlowId;
use mos_core::socket::{Descriptor, DescriptorTable};
use mos_core::time::Timestamp;
use smallvec::SmallVec;

use crate::control::Socket;
use crate::sets::Member;

/// The shortest time that a timer takes: a tick.
const TICK: Duration = Duration::from_millis(1);

/// Which time a timer goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Clock {
    /// That of the frames: in a capture file, the time when they were captured.
    #[default]
    Frames,
    /// That which [`Core::advance_monotonic`](crate::Core::advance_monotonic) is told: real time, whatever the frames say.
    Monotonic,
}

/// When a timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a timer does nothing until it is set"]
pub struct Timer {
    pub(crate) after: Duration,
    pub(crate) period: Option<Duration>,
    pub(crate) clock: Clock,
}

impl Timer {
    /// Once, that much later, and a millisecond at least. (Set from a timer's callback, while time leaps over more than that
    /// timer: that much after the leap, unless by [`Control::call_at`](crate::Control::call_at).)
    pub fn after(delay: Duration) -> Self {
        Self { after: delay.max(TICK), period: None, clock: Clock::Frames }
    }

    /// Again and again; periods under a millisecond are one. If time leaps over several, it fires once for them, and says how
    /// many were missed.
    pub fn every(period: Duration) -> Self {
        let period = period.max(TICK);
        Self { after: period, period: Some(period), clock: Clock::Frames }
    }

    /// The same timer, by another clock.
    pub fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }
}

/// So many timers can be set within one leap of time to fire before its end. Those that are set after that, by callbacks that set
/// theirs again and again, count from the end: a leap over years is soon over.
const WITHIN_A_LEAP: u32 = 1 << 16;

/// Names a timer that was set, among the descriptors of its core: a timer is no socket, and cannot be closed like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(pub(crate) Descriptor);

impl TimerId {
    /// Its number among the descriptors.
    #[must_use]
    pub fn descriptor(self) -> Descriptor {
        self.0
    }
}

/// What fires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed {
    pub(crate) id: TimerId,
    pub(crate) member: Member,
    pub(crate) handler: u32,
    pub(crate) flow: Option<FlowId>,
    /// When it was due.
    pub(crate) due: Timestamp,
    /// Periods that were leapt over.
    pub(crate) missed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    member: Member,
    handler: u32,
    flow: Option<FlowId>,
    timer: Timer,
    due: Timestamp,
    /// Of timers that are due at the same time, the one that was set first fires first.
    order: u64,
    /// It was set before the time was known: it counts from the first time there is.
    unstarted: bool,
}

/// When a timer is due, and its place among those that are due at the same time.
type Due = (Timestamp, u64, TimerId);

/// So many places are kept before those that no timer has any more are looked for.
const PLACES: usize = 64;

/// All timers of a core.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: HashMap<TimerId, Entry>,
    /// What is due when, by clock. A timer that was taken back, or has another time now, leaves its place here: it is passed
    /// over. The first place is always that of a timer.
    due: [BinaryHeap<Reverse<Due>>; 2],
    of_flows: HashMap<FlowId, SmallVec<[TimerId; 2]>>,
    next_order: u64,
    /// By clock; `None` as long as it has not been told.
    now: [Option<Timestamp>; 2],
    /// The next time of the frames at which something is due has changed.
    pub(crate) changed: bool,
    /// Where time leaps to, or leapt last, and how many timers were set meanwhile that count from a time before that.
    leap: (Timestamp, u32),
}

impl Timers {
    /// The time by a clock has come so far. It does not go back.
    #[inline]
    pub(crate) fn set_now(&mut self, clock: Clock, now: Timestamp) {
        let place = &mut self.now[clock as usize];
        *place = (*place).max(Some(now));
    }

    /// Sets a timer. `None` if there are no descriptors left.
    pub(crate) fn set(
        &mut self,
        sockets: &mut DescriptorTable<Socket>,
        member: Member,
        handler: u32,
        flow: Option<FlowId>,
        timer: Timer,
    ) -> Option<TimerId> {
        self.set_from(self.now[timer.clock as usize], sockets, member, handler, flow, timer)
    }

    /// Sets a timer of no flow that counts from the time of the frames that its callback sees, though time may be about to leap
    /// further.
    pub(crate) fn set_within_leap(
        &mut self,
        sockets: &mut DescriptorTable<Socket>,
        member: Member,
        handler: u32,
        timer: Timer,
        seen: Timestamp,
    ) -> Option<TimerId> {
        let mut from = self.now[timer.clock as usize];
        if let Some(end) = from.filter(|end| timer.clock == Clock::Frames && seen < *end) {
            if self.leap.0 != end {
                self.leap = (end, 0);
            }
            if self.leap.1 < WITHIN_A_LEAP {
                self.leap.1 += 1;
                from = Some(seen);
            }
        }
        self.set_from(from, sockets, member, handler, None, timer)
    }

    fn set_from(
        &mut self,
        now: Option<Timestamp>,
        sockets: &mut DescriptorTable<Socket>,
        member: Member,
        handler: u32,
        flow: Option<FlowId>,
        timer: Timer,
    ) -> Option<TimerId> {
        let id = TimerId(sockets.open(Socket::Timer)?);
        let order = self.next_order;
        self.next_order += 1;
        let unstarted = now.is_none();
        let due = now.map_or(Timestamp::ZERO, |now| now + timer.after);
        if let Some(flow) = flow {
            self.of_flows.entry(flow).or_default().push(id);
        }
        self.arm(id, Entry { member, handler, flow, timer, due, order, unstarted });
        Some(id)
    }

    fn arm(&mut self, id: TimerId, entry: Entry) {
        let clock = entry.timer.clock;
        self.due[clock as usize].push(Reverse((entry.due, entry.order, id)));
        self.entries.insert(id, entry);
        self.changed = true;
        if self.due[clock as usize].len() > PLACES + 4 * self.entries.len() {
            let entries = &self.entries;
            self.due[clock as usize].retain(|Reverse(due)| is_of(entries, *due));
        }
    }

    /// The first place is that of a timer again.
    fn settle(&mut self, clock: Clock) {
        let due = &mut self.due[clock as usize];
        while due.peek().is_some_and(|Reverse(due)| !is_of(&self.entries, *due)) {
            due.pop();
        }
    }

    /// Whether the timer is still set.
    pub(crate) fn has(&self, id: TimerId) -> bool {
        self.entries.contains_key(&id)
    }

    /// Takes a timer back. False if it has fired for the last time, or was never set by `member`.
    pub(crate) fn cancel(&mut self, sockets: &mut DescriptorTable<Socket>, member: Member, id: TimerId) -> bool {
        match self.entries.get(&id) {
            Some(entry) if entry.member == member => self.remove(sockets, id).is_some(),
            _ => false,
        }
    }

    fn remove(&mut self, sockets: &mut DescriptorTable<Socket>, id: TimerId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        let _ = sockets.close(id.0);
        self.settle(entry.timer.clock);
        if let Some(flow) = entry.flow
            && let Some(ids) = self.of_flows.get_mut(&flow)
        {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.of_flows.remove(&flow);
            }
        }
        Some(entry)
    }

    /// `member` hears no more of the flow.
    #[inline]
    pub(crate) fn leave(
        &mut self,
        sockets: &mut DescriptorTable<Socket>,
        member: Member,
        flow: impl FnOnce() -> FlowId,
    ) {
        // Flows with timers are few: mostly there is none.
        if !self.of_flows.is_empty() {
            self.cancel_all(sockets, member, flow());
        }
    }

    /// Takes back all timers that `member` has set for the flow.
    fn cancel_all(&mut self, sockets: &mut DescriptorTable<Socket>, member: Member, flow: FlowId) {
        let Some(ids) = self.of_flows.get(&flow) else { return };
        let mine: SmallVec<[TimerId; 2]> =
            ids.iter().copied().filter(|id| self.entries.get(id).is_some_and(|entry| entry.member == member)).collect();
        for id in mine {
            self.remove(sockets, id);
        }
    }

    /// `member` is gone.
    pub(crate) fn close(&mut self, sockets: &mut DescriptorTable<Socket>, member: Member) {
        let mine: Vec<TimerId> =
            self.entries.iter().filter(|(_, entry)| entry.member == member).map(|(id, _)| *id).collect();
        for id in mine {
            self.remove(sockets, id);
        }
    }

    /// All are gone.
    pub(crate) fn clear(&mut self, sockets: &mut DescriptorTable<Socket>) {
        for (id, _) in self.entries.drain() {
            let _ = sockets.close(id.0);
        }
        self.due.iter_mut().for_each(BinaryHeap::clear);
        self.of_flows.clear();
        self.changed = true;
    }

    /// When something is due by the clock of the frames.
    pub(crate) fn next_due(&self) -> Timestamp {
        self.due[Clock::Frames as usize].peek().map_or(Timestamp::MAX, |Reverse((due, ..))| *due)
    }

    /// The next timer that is due by `now`; time is about to move on to `until`. It is armed again if it is periodic.
    pub(crate) fn pop(
        &mut self,
        sockets: &mut DescriptorTable<Socket>,
        clock: Clock,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<Armed> {
        loop {
            let Reverse((due, _, id)) = *self.due[clock as usize].peek()?;
            // What would be due beyond the end of time is never due.
            if due > now || due == Timestamp::MAX {
                return None;
            }
            let entry = *self.entries.get(&id)?;
            if entry.unstarted {
                self.due[clock as usize].pop();
                self.arm(id, Entry { due: until + entry.timer.after, unstarted: false, ..entry });
                self.settle(clock);
                continue;
            }
            let mut missed = 0;
            match entry.timer.period {
                None => {
                    self.remove(sockets, id);
                }
                Some(period) => {
                    missed = (until.saturating_since(due).as_nanos() / period.as_nanos()) as u64;
                    let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
                    let leap = Duration::from_nanos(nanos.saturating_mul(missed.saturating_add(1)));
                    self.due[clock as usize].pop();
                    self.arm(id, Entry { due: due + leap, ..entry });
                    self.settle(clock);
                }
            }
            let Entry { member, handler, flow, .. } = entry;
            return Some(Armed { id, member, handler, flow, due, missed });
        }
    }
}

/// Whether a place is still that of its timer.
fn is_of(entries: &HashMap<TimerId, Entry>, (due, order, id): Due) -> bool {
    entries.get(&id).is_some_and(|entry| (entry.due, entry.order) == (due, order))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: Member = Member { index: 0, order: 0 };

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    type Sockets = DescriptorTable<Socket>;

    fn fired(timers: &mut Timers, sockets: &mut Sockets, until: u64) -> Vec<(u64, u32, u64)> {
        let mut all = Vec::new();
        while timers.next_due() <= at(until) {
            let now = timers.next_due();
            while let Some(armed) = timers.pop(sockets, Clock::Frames, now, at(until)) {
                all.push((armed.due.as_millis(), armed.handler, armed.missed));
            }
        }
        all
    }

    #[test]
    fn timers_fire_in_order_of_time_and_again() {
        let (mut timers, mut sockets) = (Timers::default(), Sockets::default());
        timers.set_now(Clock::Frames, at(1000));
        timers.set(&mut sockets, MEMBER, 1, None, Timer::every(Duration::from_millis(100)));
        let once = timers.set(&mut sockets, MEMBER, 2, None, Timer::after(Duration::from_millis(150))).unwrap();
        let never = timers.set(&mut sockets, MEMBER, 3, None, Timer::after(Duration::from_millis(10))).unwrap();
        assert!(timers.cancel(&mut sockets, MEMBER, never));
        assert!(!timers.cancel(&mut sockets, MEMBER, never));
        assert_eq!(fired(&mut timers, &mut sockets, 1120), [(1100, 1, 0)]);
        assert_eq!(fired(&mut timers, &mut sockets, 1220), [(1150, 2, 0), (1200, 1, 0)]);
        assert!(!timers.cancel(&mut sockets, MEMBER, once));
        // A leap over years is one call.
        assert_eq!(fired(&mut timers, &mut sockets, 100_000_000), [(1300, 1, 999_987)]);
        assert_eq!(timers.next_due(), at(100_000_100));
    }

    /// Fires what is due up to `until`, and sets the same timer again each time, as a callback would. Returns when it fired.
    fn fired_again(timers: &mut Timers, sockets: &mut Sockets, timer: Timer, until: Timestamp) -> Vec<u64> {
        let mut all = Vec::new();
        while timers.next_due() <= until {
            let now = timers.next_due();
            timers.set_now(Clock::Frames, until);
            while timers.pop(sockets, Clock::Frames, now, until).is_some() {
                all.push(now.as_millis());
                timers.set_within_leap(sockets, MEMBER, 1, timer, now).unwrap();
            }
        }
        all
    }

    #[test]
    fn what_is_set_within_a_leap_counts_from_what_its_callback_sees() {
        let (mut timers, mut sockets) = (Timers::default(), Sockets::default());
        let timer = Timer::after(Duration::from_millis(100));
        timers.set_now(Clock::Frames, at(1000));
        timers.set_within_leap(&mut sockets, MEMBER, 1, timer, at(1000)).unwrap();
        assert_eq!(fired_again(&mut timers, &mut sockets, timer, at(1450)), [1100, 1200, 1300, 1400]);
        assert_eq!(fired_again(&mut timers, &mut sockets, timer, at(1600)), [1500, 1600]);
    }

    #[test]
    fn leap_over_years_is_soon_over() {
        let (mut timers, mut sockets) = (Timers::default(), Sockets::default());
        let timer = Timer::after(TICK);
        timers.set_now(Clock::Frames, at(1000));
        timers.set_within_leap(&mut sockets, MEMBER, 1, timer, at(1000)).unwrap();
        for end in [100_000_000_000, 200_000_000_000] {
            assert_eq!(fired_again(&mut timers, &mut sockets, timer, at(end)).len(), WITHIN_A_LEAP as usize + 1);
            assert_eq!(timers.next_due(), at(end + 1));
        }
    }

    #[test]
    fn what_is_set_before_the_first_frame_counts_from_it() {
        let (mut timers, mut sockets) = (Timers::default(), Sockets::default());
        timers.set(&mut sockets, MEMBER, 1, None, Timer::after(Duration::from_secs(1)));
        assert_eq!(fired(&mut timers, &mut sockets, 5_000_000), []);
        assert_eq!(timers.next_due(), at(5_001_000));
    }
}
