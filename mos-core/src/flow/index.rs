//! Finds slots by tags: a hash table that holds a 32-bit tag and a slot for each flow.
//!
//! When it is full there is a larger one beside it for a while, to which the entries are moved a few at a time: no burst waits
//! for all of them.

use core::mem;

use hashbrown::hash_table::HashTable;

use super::table::NO_SLOT;

/// Room for so many entries is there from the start. It doubles as they come: entries that are spread over far more room than
/// they need would each cost a cache line and a page of their own.
const FIRST_ENTRIES: usize = 1 << 13;

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u32,
    slot: u32,
}

/// The table wants 64 bits; a rehash must be able to make the same ones from the stored tag alone.
#[inline]
fn spread(tag: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(tag)
}

/// Slots by tags. A tag may have several slots.
#[derive(Debug)]
pub(super) struct TagIndex {
    table: HashTable<Entry>,
    /// What the table was before it was full, with the entries that were not moved yet.
    old: HashTable<Entry>,
}

impl TagIndex {
    /// An index that will hold `expected` entries, or more.
    pub(super) fn new(expected: usize) -> Self {
        Self { table: HashTable::with_capacity(expected.min(FIRST_ENTRIES)), old: HashTable::new() }
    }

    /// Whether there are entries that wait to be moved: see [`Self::move_entry`].
    #[inline]
    pub(super) fn is_growing(&self) -> bool {
        !self.old.is_empty()
    }

    /// The first slot with this tag that `is_it`, or [`NO_SLOT`].
    #[inline]
    pub(super) fn find(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> u32 {
        match self.table.find(spread(tag), |entry| entry.tag == tag && is_it(entry.slot)) {
            Some(entry) => entry.slot,
            None if self.is_growing() => self.find_old(tag, is_it),
            None => NO_SLOT,
        }
    }

    /// The same among those that wait to be moved. Not inlined: who looks for many has the registers for the other table.
    #[cold]
    #[inline(never)]
    fn find_old(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> u32 {
        let found = self.old.find(spread(tag), |entry| entry.tag == tag && is_it(entry.slot));
        found.map_or(NO_SLOT, |entry| entry.slot)
    }

    /// Adds an entry. True if the table was full and there is another one now.
    pub(super) fn insert(&mut self, tag: u32, slot: u32) -> bool {
        let full = self.table.len() == self.table.capacity();
        if full {
            self.enlarge();
        }
        self.table.insert_unique(spread(tag), Entry { tag, slot }, |entry| spread(entry.tag));
        full
    }

    /// Begins a larger table.
    #[cold]
    #[inline(never)]
    fn enlarge(&mut self) {
        // What was removed may take up room still: then a table of the same size will do.
        let room = self.table.num_buckets() / 2;
        let capacity = if self.table.len() > room { 2 * self.table.len() } else { room };
        let waiting = mem::replace(&mut self.old, mem::replace(&mut self.table, HashTable::with_capacity(capacity)));
        for entry in waiting {
            self.table.insert_unique(spread(entry.tag), entry, |entry| spread(entry.tag));
        }
    }

    /// Moves an entry to the larger table, if it is not there yet.
    pub(super) fn move_entry(&mut self, tag: u32, slot: u32) {
        if let Ok(place) = self.old.find_entry(spread(tag), |entry| entry.slot == slot && entry.tag == tag) {
            let (entry, _) = place.remove();
            self.table.insert_unique(spread(tag), entry, |entry| spread(entry.tag));
        }
        if self.old.is_empty() {
            self.old = HashTable::new();
        }
    }

    /// Removes an entry, if it is there.
    #[inline]
    pub(super) fn remove(&mut self, tag: u32, slot: u32) {
        match self.table.find_entry(spread(tag), |entry| entry.slot == slot && entry.tag == tag) {
            Ok(place) => _ = place.remove(),
            Err(_) => self.remove_old(tag, slot),
        }
    }

    /// The same for one that waits to be moved.
    #[cold]
    #[inline(never)]
    fn remove_old(&mut self, tag: u32, slot: u32) {
        if let Ok(place) = self.old.find_entry(spread(tag), |entry| entry.slot == slot && entry.tag == tag) {
            place.remove();
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
            steps in prop::collection::vec((prop_oneof![any::<u32>(), 0..3u32], 0..4u32, 0..4u8), 1..2000),
            expected in 0..100usize,
        ) {
            let mut index = TagIndex::new(expected);
            let mut model = BTreeSet::new();
            for (tag, slot, action) in steps {
                if action == 0 {
                    index.remove(tag, slot);
                    model.remove(&(tag, slot));
                } else if action == 1 {
                    if let Some(&(tag, slot)) = model.range((tag, 0)..).next() {
                        index.move_entry(tag, slot);
                    }
                } else if model.insert((tag, slot)) {
                    index.insert(tag, slot);
                }
                let found = index.find(tag, |other| other == slot);
                prop_assert_eq!(found, if model.contains(&(tag, slot)) { slot } else { NO_SLOT });
                prop_assert_eq!(index.table.len() + index.old.len(), model.len());
            }
            for &(tag, slot) in &model {
                prop_assert_eq!(index.find(tag, |other| other == slot), slot);
            }
            for &(tag, slot) in &model {
                index.remove(tag, slot);
            }
            prop_assert!(index.table.is_empty() && index.old.is_empty());
        }
    }
}
