//! A hierarchical timer wheel: one timer a flow, ticks of 1 ms, constant cost.
//!
//! A packet never touches the wheel: it writes `last_seen`, and a timer that fires early finds that out and is armed again.
//! A closed flow's timer stays where it is; it fires for whoever has the slot then, or for nobody.

use alloc::vec;
use alloc::vec::Vec;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Six levels of 64 slots reach 2^36 ms, more than two years; what lies further waits in the last level.
const LEVELS: usize = 6;
const NIL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    next: u32,
    previous: u32,
    /// When it is due; meaningful while `list` is not `NIL`.
    due: u64,
    /// The list it is in: level * SLOTS + slot.
    list: u32,
}

const UNARMED: Node = Node { next: NIL, previous: NIL, due: 0, list: NIL };

/// Timers named by small numbers (slots of flows).
#[derive(Debug)]
pub struct TimerWheel {
    nodes: Vec<Node>,
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

    /// Makes sure that timer `id` fires at tick `due` or before. Moving a timer forward costs, leaving it does not: the
    /// caller looks at what is really due when it fires.
    ///
    /// `now` is the tick of the caller's time: an empty wheel is wound forward to it.
    pub fn arm_by(&mut self, id: u32, due: u64, now: u64) {
        if self.armed == 0 {
            self.now = self.now.max(now);
        }
        if id as usize >= self.nodes.len() {
            self.nodes.resize(id as usize + 1, UNARMED);
        }
        let node = self.nodes[id as usize];
        if node.list != NIL {
            if node.due <= due {
                return;
            }
            self.unlink(id);
        }
        self.link(id, due.max(self.now));
    }

    /// The next timer that is due at `until` or before, and the tick it was armed for. It is then no longer armed.
    /// Time moves on to that tick, or to `until` if there is none.
    pub fn pop(&mut self, until: u64) -> Option<(u32, u64)> {
        loop {
            let Some((level, slot, start)) = self.first_slot() else {
                self.now = self.now.max(until);
                self.next = u64::MAX;
                return None;
            };
            if start > until {
                self.now = self.now.max(until);
                self.next = start;
                return None;
            }
            self.now = self.now.max(start);
            let list = level * SLOTS + slot;
            if level == 0 {
                let id = self.heads[list];
                let due = self.nodes[id as usize].due;
                self.unlink(id);
                return Some((id, due));
            }
            self.cascade(list);
        }
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

    fn cascade(&mut self, list: usize) {
        let mut id = self.heads[list];
        self.heads[list] = NIL;
        self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        while id != NIL {
            let node = self.nodes[id as usize];
            self.armed -= 1;
            self.link(id, node.due);
            id = node.next;
        }
    }

    fn link(&mut self, id: u32, due: u64) {
        let list = self.list_for(due);
        let head = self.heads[list];
        if head != NIL {
            self.nodes[head as usize].previous = id;
        }
        self.nodes[id as usize] = Node { next: head, previous: NIL, due, list: list as u32 };
        self.heads[list] = id;
        self.occupied[list / SLOTS] |= 1 << (list % SLOTS);
        self.armed += 1;
        let shift = SLOT_BITS * (list / SLOTS) as u32;
        self.next = self.next.min((due >> shift << shift).max(self.now));
    }

    fn unlink(&mut self, id: u32) {
        let node = self.nodes[id as usize];
        let list = node.list as usize;
        if node.previous == NIL {
            self.heads[list] = node.next;
            if node.next == NIL {
                self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
            }
        } else {
            self.nodes[node.previous as usize].next = node.next;
        }
        if node.next != NIL {
            self.nodes[node.next as usize].previous = node.previous;
        }
        self.nodes[id as usize] = UNARMED;
        self.armed -= 1;
    }

    /// The list for a timer due at `due`: on the level of the highest bit group in which `due` and now differ.
    fn list_for(&self, due: u64) -> usize {
        let due = due.max(self.now);
        let differing = due ^ self.now;
        let level = if differing == 0 { 0 } else { ((63 - differing.leading_zeros()) / SLOT_BITS) as usize };
        if level >= LEVELS {
            // Round the last level; what lies further waits in the slot that comes last, and is looked at again then.
            let shift = SLOT_BITS * (LEVELS as u32 - 1);
            let position = (due >> shift).min((self.now >> shift) + (SLOTS as u64 - 1));
            return (LEVELS - 1) * SLOTS + (position & (SLOTS as u64 - 1)) as usize;
        }
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
        let delay = prop_oneof![0..3u64, 0..70u64, 0..5000u64, 0..5_000_000u64, 0..(1u64 << 40)];
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
        ) {
            let mut wheel = TimerWheel::new(start, 0);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = start;
            for step in steps {
                match step {
                    Step::Arm(id, delay) => {
                        wheel.arm_by(id, now + delay, now);
                        let due = model.entry(id).or_insert(u64::MAX);
                        *due = (*due).min(now + delay);
                    }
                    Step::Advance(delay) => {
                        now += delay;
                        let mut last = 0;
                        let earliest = model.values().min().copied().unwrap_or(u64::MAX);
                        prop_assert!(wheel.next_due() <= earliest);
                        while let Some((id, due)) = wheel.pop(now) {
                            prop_assert_eq!(model.remove(&id), Some(due));
                            prop_assert!(due >= last && due <= now);
                            last = due;
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
        assert_eq!(wheel.pop((1 << 50) - 1), None);
        assert_eq!(wheel.pop(u64::MAX), Some((0, 1 << 50)));
    }
}
