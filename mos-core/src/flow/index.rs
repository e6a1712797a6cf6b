//! Finds slots by tags: a hash table of buckets that are one cache line each.
//!
//! It grows a little with each insertion. The larger table keeps the order of the smaller one, so it is filled from its
//! beginning on, bucket by bucket, and no insertion ever waits for all the others to be moved.

use alloc::vec::Vec;
use core::mem;

use super::table::NO_SLOT;
use crate::prefetch::prefetch;

const ENTRIES: usize = 7;
/// So many buckets are there from the start. Entries that are spread over far more room than they need would each cost a
/// cache line and a page of their own.
const FIRST_BUCKETS: usize = 1 << 10;
/// The table grows beyond so many entries in ten buckets: 80 % of what they hold.
const FULL_IN_TEN: usize = 56;
/// So many buckets are moved with each insertion. One would do to be ready before the next growth; two tables at a time are
/// twice the memory.
const MOVES: usize = 4;

#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u32; ENTRIES],
    /// Entries that found no room here, nor anywhere before, and lie in a later bucket.
    passed: u32,
    /// [`NO_SLOT`] where no entry is.
    slots: [u32; ENTRIES],
    /// Entries in use, one bit each.
    used: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    const EMPTY: Self = Self { tags: [0; ENTRIES], passed: 0, slots: [NO_SLOT; ENTRIES], used: 0 };

    #[inline]
    fn free_entry(&self) -> Option<usize> {
        let entry = self.used.trailing_ones() as usize;
        (entry < ENTRIES).then_some(entry)
    }
}

/// Buckets in the order of tags. Those at the end that were never used are not there yet.
#[derive(Debug, Default)]
struct Buckets {
    buckets: Vec<Bucket>,
    count: usize,
}

impl Buckets {
    fn new(count: usize) -> Self {
        Self { buckets: Vec::with_capacity(count), count }
    }

    /// Where a tag belongs.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.count as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.count { 0 } else { bucket + 1 }
    }

    /// Bucket and entry of the first slot with this tag that `is_it`.
    #[inline]
    fn find(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<(usize, usize)> {
        let mut at = self.home(tag);
        for _ in 0..self.count {
            let bucket = self.buckets.get(at)?;
            for entry in 0..ENTRIES {
                let slot = bucket.slots[entry];
                if bucket.tags[entry] == tag && slot != NO_SLOT && is_it(slot) {
                    return Some((at, entry));
                }
            }
            if bucket.passed == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    fn insert(&mut self, tag: u32, slot: u32) {
        let mut at = self.home(tag);
        loop {
            if at >= self.buckets.len() {
                self.buckets.resize(at + 1, Bucket::EMPTY);
            }
            let bucket = &mut self.buckets[at];
            if let Some(entry) = bucket.free_entry() {
                bucket.tags[entry] = tag;
                bucket.slots[entry] = slot;
                bucket.used |= 1 << entry;
                return;
            }
            bucket.passed += 1;
            at = self.after(at);
        }
    }

    /// Takes an entry out; `home` is where it belongs.
    fn take(&mut self, home: usize, bucket: usize, entry: usize) -> u32 {
        let mut at = home;
        while at != bucket {
            self.buckets[at].passed -= 1;
            at = self.after(at);
        }
        let bucket = &mut self.buckets[bucket];
        bucket.used &= !(1 << entry);
        mem::replace(&mut bucket.slots[entry], NO_SLOT)
    }
}

/// Slots by tags. A tag may have several slots.
#[derive(Debug)]
pub(super) struct TagIndex {
    buckets: Buckets,
    /// While the table grows: what it was before. Its buckets below `moved` have nothing any more that belongs there.
    old: Buckets,
    moved: usize,
    len: usize,
}

impl TagIndex {
    /// An index that will hold `expected` entries, or more.
    pub(super) fn new(expected: usize) -> Self {
        let count = (expected / ENTRIES + 1).min(FIRST_BUCKETS);
        Self { buckets: Buckets::new(count), old: Buckets::default(), moved: 0, len: 0 }
    }

    /// The table in which `tag` is, if it is in any.
    #[inline]
    fn table(&self, tag: u32) -> &Buckets {
        if self.old.count > 0 && self.old.home(tag) >= self.moved { &self.old } else { &self.buckets }
    }

    #[inline]
    fn table_mut(&mut self, tag: u32) -> &mut Buckets {
        if self.old.count > 0 && self.old.home(tag) >= self.moved { &mut self.old } else { &mut self.buckets }
    }

    /// Fetches the line in which `tag` is looked for first.
    #[inline]
    pub(super) fn prefetch(&self, tag: u32) {
        let table = self.table(tag);
        prefetch(&table.buckets, table.home(tag));
    }

    /// The first slot with this tag that `is_it`, or [`NO_SLOT`].
    #[inline]
    pub(super) fn find(&self, tag: u32, is_it: impl FnMut(u32) -> bool) -> u32 {
        let table = self.table(tag);
        table.find(tag, is_it).map_or(NO_SLOT, |(bucket, entry)| table.buckets[bucket].slots[entry])
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, tag: u32, slot: u32) {
        if self.old.count > 0 {
            for _ in 0..MOVES {
                self.move_bucket();
            }
        } else if self.len >= self.buckets.count * FULL_IN_TEN / 10 {
            let larger = Buckets::new(self.buckets.count + self.buckets.count.div_ceil(2));
            self.old = mem::replace(&mut self.buckets, larger);
            self.moved = 0;
        }
        self.table_mut(tag).insert(tag, slot);
        self.len += 1;
    }

    /// Removes an entry, if it is there.
    pub(super) fn remove(&mut self, tag: u32, slot: u32) {
        let table = self.table_mut(tag);
        if let Some((bucket, entry)) = table.find(tag, |other| other == slot) {
            table.take(table.home(tag), bucket, entry);
            self.len -= 1;
        }
    }

    /// Moves what belongs to the next bucket of the old table to the new one.
    fn move_bucket(&mut self) {
        let (old, home) = (&mut self.old, self.moved);
        if home == old.count {
            return;
        }
        let mut at = home;
        for _ in 0..old.count {
            let Some(bucket) = old.buckets.get(at) else { break };
            // What belongs here and lies behind may be moved away, and nobody counts as passing any more.
            let passed = bucket.passed;
            let mut used = bucket.used;
            while used != 0 {
                let entry = used.trailing_zeros() as usize;
                let tag = old.buckets[at].tags[entry];
                if old.home(tag) == home {
                    let slot = old.take(home, at, entry);
                    self.buckets.insert(tag, slot);
                }
                used &= used - 1;
            }
            if passed == 0 {
                break;
            }
            at = old.after(at);
        }
        self.moved += 1;
        if self.moved == old.count {
            self.old = Buckets::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_what_a_sorted_set_holds(
            // Few tags meet in few buckets, also at the end, from where they pass on to the beginning.
            steps in prop::collection::vec(
                (prop_oneof![any::<u32>(), 0..3u32, (u32::MAX - 3)..=u32::MAX], 0..4u32, 0..3u8), 1..2000),
            expected in 0..100usize,
        ) {
            let mut index = TagIndex::new(expected);
            let mut model = BTreeSet::new();
            for (tag, slot, action) in steps {
                if action == 0 {
                    index.remove(tag, slot);
                    model.remove(&(tag, slot));
                } else if model.insert((tag, slot)) {
                    index.insert(tag, slot);
                }
                let found = index.find(tag, |other| other == slot);
                prop_assert_eq!(found, if model.contains(&(tag, slot)) { slot } else { NO_SLOT });
                prop_assert_eq!(index.len, model.len());
            }
            for &(tag, slot) in &model {
                prop_assert_eq!(index.find(tag, |other| other == slot), slot);
            }
            for &(tag, slot) in &model {
                index.remove(tag, slot);
            }
            for table in [&index.buckets, &index.old] {
                prop_assert!(table.buckets.iter().all(|bucket| bucket.used == 0 && bucket.passed == 0));
            }
        }
    }

    #[test]
    fn growing_moves_a_few_entries_at_a_time() {
        let mut index = TagIndex::new(usize::MAX);
        let tag = |slot: u32| slot.wrapping_mul(0x9e37_79b1);
        for slot in 0..200_000 {
            let before = index.moved;
            index.insert(tag(slot), slot);
            assert!(index.moved <= before + MOVES);
            assert!(index.find(tag(slot / 2), |other| other == slot / 2) == slot / 2);
        }
        assert!(index.buckets.count * ENTRIES < 2 * 200_000, "room for few more than there are");
    }
}
