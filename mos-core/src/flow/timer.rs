//! A hierarchical timer wheel: one timer a flow, ticks of 1 ms, constant cost, twelve bytes a timer.
//!
//! A packet never touches the wheel: it writes `last_seen`, and a timer that fires early finds that out and is armed again.
//! A closed flow's timer stays where it is; it fires for whoever has the slot then, or for nobody.
//!
//! However many timers are due at once, the caller says how many it wants to hear of now: time passes, and the others
//! follow when they are asked for.

use alloc::vec;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::prefetch::prefetch;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Six levels of 64 slots reach 2^36 ms, farther than any timer.
const LEVELS: usize = 6;
const NIL: u32 = u32::MAX;
/// In place of the previous timer: this one is first in its list, whose number is added. No timer has such a number.
const FIRST: u32 = u32::MAX - (LEVELS * SLOTS) as u32;
/// What is due later fires after so many ticks for the first time.
const FARTHEST: u64 = u32::MAX as u64 / 2;
/// So many timers at most fire together.
const BATCH: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Node {
    next: u32,
    /// `NIL` if it is not armed, `FIRST` and the list if nothing comes before it.
    previous: u32,
    /// When it is due, modulo 2^32: no earlier than the wheel's time, and not 2^32 later.
    due: u32,
}

const UNARMED: Node = Node { next: NIL, previous: NIL, due: 0 };

/// Timers that fire at the same tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The tick they were armed for.
    pub due: u64,
    /// Their names.
    pub ids: SmallVec<[u32; BATCH]>,
}

/// Timers named by small numbers (slots of flows).
#[derive(Debug)]
pub struct TimerWheel {
    nodes: Vec<Node>,
    /// The first timer of each list: level * SLOTS + slot.
    heads: Vec<u32>,
    /// One bit per slot that is not empty.
    occupied: [u64; LEVELS],
    /// All timers due before this tick have fired.
    now: u64,
    /// No timer is due before this tick: a lower bound, so that a packet pays one comparison.
    next: u64,
    armed: usize,
}

impl TimerWheel {
    /// A wheel whose time starts at tick `now`, with room for `capacity` timers reserved.
    #[must_use]
    pub fn new(now: u64, capacity: usize) -> Self {
        Self {
            nodes: Vec::with_capacity(capacity),
            heads: vec![NIL; LEVELS * SLOTS],
            occupied: [0; LEVELS],
            now,
            next: u64::MAX,
            armed: 0,
        }
    }

    /// No timer is due before this tick; `u64::MAX` if none is armed.
    #[inline]
    #[must_use]
    pub fn next_due(&self) -> u64 {
        self.next
    }

    /// Timers that are armed.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.armed
    }

    /// Fetches the line of timer `id`.
    #[inline]
    pub fn prefetch(&self, id: u32) {
        prefetch(&self.nodes, id as usize);
    }

    /// When timer `id` is due; `u64::MAX` if it is not armed.
    #[inline]
    #[must_use]
    pub fn due(&self, id: u32) -> u64 {
        match self.nodes.get(id as usize) {
            Some(node) if node.previous != NIL => self.unfold(node.due),
            _ => u64::MAX,
        }
    }

    /// Makes sure that timer `id` fires at tick `due` or before. Moving a timer forward costs, leaving it does not: the
    /// caller looks at what is really due when it fires.
    ///
    /// `now` is the tick of the caller's time: an empty wheel is wound forward to it.
    #[inline]
    pub fn arm_by(&mut self, id: u32, due: u64, now: u64) {
        if self.due(id) > due {
            self.move_forward(id, due, now);
        }
    }

    fn move_forward(&mut self, id: u32, due: u64, now: u64) {
        if self.armed == 0 {
            self.now = self.now.max(now);
        }
        if id as usize >= self.nodes.len() {
            self.nodes.resize(id as usize + 1, UNARMED);
        }
        if self.nodes[id as usize].previous != NIL {
            self.unlink(id);
        }
        self.link(id, due.clamp(self.now, self.now.saturating_add(FARTHEST)));
    }

    /// The next timers that are due, at one tick no later than `until`. They are then no longer armed. Time moves on to
    /// that tick, or to `until` if there is none.
    ///
    /// Each timer that fires, or comes closer to that on its way through the wheel, takes one from `work`. When nothing is
    /// left of it, `None` does not mean that no timer is due: [`Self::next_due`] tells.
    pub fn pop(&mut self, until: u64, work: &mut usize) -> Option<Fired> {
        loop {
            let Some((level, slot, start)) = self.first_slot() else {
                self.now = self.now.max(until);
                self.next = u64::MAX;
                return None;
            };
            if start > until || *work == 0 {
                self.now = self.now.max(until.min(start));
                self.next = start;
                return None;
            }
            self.now = self.now.max(start);
            let list = level * SLOTS + slot;
            if level == 0 {
                let ids = self.take_first(list, BATCH.min(*work));
                *work -= ids.len();
                return Some(Fired { due: start, ids });
            }
            self.cascade(list, work);
        }
    }

    /// The tick that is `due` modulo 2^32.
    #[inline]
    fn unfold(&self, due: u32) -> u64 {
        self.now + u64::from(due.wrapping_sub(self.now as u32))
    }

    /// The first slot that is not empty: level, slot and the tick it begins at.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        let mut best: Option<(usize, usize, u64)> = None;
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            let shift = SLOT_BITS * level as u32;
            let current = self.now >> shift;
            let position = (current & (SLOTS as u64 - 1)) as u32;
            let ahead = self.occupied[level].rotate_right(position).trailing_zeros();
            let start = (current + u64::from(ahead)) << shift;
            let start = start.max(self.now);
            let slot = ((position + ahead) as usize) % SLOTS;
            // At equal starts the higher level comes first: it may hold something due at that very tick.
            if best.is_none_or(|(_, _, other)| start <= other) {
                best = Some((level, slot, start));
            }
        }
        best
    }

    /// Takes up to `count` timers out of `list`.
    fn take_first(&mut self, list: usize, count: usize) -> SmallVec<[u32; BATCH]> {
        let mut ids = SmallVec::new();
        let mut id = self.heads[list];
        while id != NIL && ids.len() < count {
            ids.push(id);
            id = core::mem::replace(&mut self.nodes[id as usize], UNARMED).next;
        }
        self.set_first(list, id);
        self.armed -= ids.len();
        ids
    }

    /// Moves timers of a slot that has begun to lower levels.
    fn cascade(&mut self, list: usize, work: &mut usize) {
        let mut id = self.heads[list];
        while id != NIL && *work > 0 {
            let node = self.nodes[id as usize];
            self.armed -= 1;
            self.link(id, self.unfold(node.due));
            id = node.next;
            *work -= 1;
        }
        self.set_first(list, id);
    }

    fn set_first(&mut self, list: usize, id: u32) {
        self.heads[list] = id;
        if id == NIL {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        } else {
            self.nodes[id as usize].previous = FIRST + list as u32;
            self.occupied[list / SLOTS] |= 1 << (list % SLOTS);
        }
    }

    fn link(&mut self, id: u32, due: u64) {
        let list = self.list_for(due);
        let head = self.heads[list];
        if head != NIL {
            self.nodes[head as usize].previous = id;
        }
        self.nodes[id as usize] = Node { next: head, previous: NIL, due: due as u32 };
        self.set_first(list, id);
        self.armed += 1;
        let shift = SLOT_BITS * (list / SLOTS) as u32;
        self.next = self.next.min((due >> shift << shift).max(self.now));
    }

    fn unlink(&mut self, id: u32) {
        let Node { next, previous, .. } = core::mem::replace(&mut self.nodes[id as usize], UNARMED);
        if previous >= FIRST {
            self.set_first((previous - FIRST) as usize, next);
        } else {
            self.nodes[previous as usize].next = next;
            if next != NIL {
                self.nodes[next as usize].previous = previous;
            }
        }
        self.armed -= 1;
    }

    /// The list for a timer due at `due`: on the level of the highest bit group in which `due` and now differ, or on the
    /// last level if that comes round in between.
    fn list_for(&self, due: u64) -> usize {
        let differing = due ^ self.now;
        let level = if differing == 0 { 0 } else { ((63 - differing.leading_zeros()) / SLOT_BITS) as usize };
        let level = level.min(LEVELS - 1);
        let slot = (due >> (SLOT_BITS * level as u32) & (SLOTS as u64 - 1)) as usize;
        level * SLOTS + slot
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Arm(u32, u64),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let delay = prop_oneof![0..3u64, 0..70u64, 0..5000u64, 0..5_000_000u64, 0..(1u64 << 33)];
        prop_oneof![
            3 => (0..40u32, delay.clone()).prop_map(|(id, delay)| Step::Arm(id, delay)),
            2 => delay.prop_map(Step::Advance),
        ]
    }

    proptest! {
        #[test]
        fn fires_what_a_sorted_map_fires(
            // Half of the times lie close before the wheel's last level comes round.
            start in prop_oneof![0..(1u64 << 42), (1..64u64, 0..5000u64).prop_map(|(turn, before)| (turn << 36) - before)],
            steps in prop::collection::vec(step(), 1..80),
            work in 1..5usize,
        ) {
            let mut wheel = TimerWheel::new(start, 0);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = start;
            for step in steps {
                match step {
                    Step::Arm(id, delay) => {
                        wheel.arm_by(id, now + delay, now);
                        let due = model.entry(id).or_insert(u64::MAX);
                        *due = (*due).min(now + delay.min(FARTHEST));
                        prop_assert_eq!(wheel.due(id), *due);
                    }
                    Step::Advance(delay) => {
                        now += delay;
                        let mut last = 0;
                        let earliest = model.values().min().copied().unwrap_or(u64::MAX);
                        prop_assert!(wheel.next_due() <= earliest);
                        loop {
                            let mut left = work;
                            while let Some(Fired { due, ids }) = wheel.pop(now, &mut left) {
                                for id in ids {
                                    prop_assert_eq!(model.remove(&id), Some(due));
                                }
                                prop_assert!(due >= last && due <= now);
                                last = due;
                            }
                            if wheel.next_due() > now {
                                break;
                            }
                        }
                        prop_assert!(model.values().all(|&due| due > now), "{:?} at {}", model, now);
                        prop_assert_eq!(wheel.armed(), model.len());
                    }
                }
            }
        }
    }

    #[test]
    fn a_jump_over_years_costs_no_walk() {
        let mut wheel = TimerWheel::new(0, 1);
        wheel.arm_by(0, 1 << 50, 0);
        let mut work = 100;
        assert_eq!(wheel.pop(FARTHEST - 1, &mut work), None);
        let fired = wheel.pop(u64::MAX, &mut work).expect("it waits no longer than that");
        assert_eq!((fired.due, fired.ids.as_slice()), (FARTHEST, &[0][..]));
        assert!(work > 90);
    }

    #[test]
    fn a_crowd_fires_as_fast_as_it_is_asked_to() {
        const CROWD: u32 = 10_000;
        let mut wheel = TimerWheel::new(0, CROWD as usize);
        for id in 0..CROWD {
            wheel.arm_by(id, 300_000, 0);
        }
        let mut fired = 0;
        let mut calls = 0;
        while wheel.next_due() <= 300_000 {
            let mut work = 64;
            while let Some(batch) = wheel.pop(300_000, &mut work) {
                fired += batch.ids.len();
            }
            calls += 1;
        }
        assert_eq!((fired, wheel.armed()), (CROWD as usize, 0));
        // Each comes down through a few levels, and then fires.
        assert!((CROWD / 64..CROWD / 64 * 5).contains(&calls), "{calls} calls");
    }

    #[test]
    fn a_timer_costs_twelve_bytes() {
        assert_eq!(size_of::<Node>(), 12);
    }
}
