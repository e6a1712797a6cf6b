//! The memory that stored stream bytes lie in: fixed-size segments, shared by all flows of one core.

use alloc::{boxed::Box, vec, vec::Vec};
use core::num::NonZeroU32;

/// Bytes in a segment. A full-sized Ethernet payload touches two at most, and a hole costs less than two.
pub const SEGMENT_BYTES: usize = 2048;

/// Segments that are taken from and given back to the allocator at once: 128 KiB.
const SLAB_SEGMENTS: usize = 64;

type Segment = [u8; SEGMENT_BYTES];

/// The right to use one segment of a [`SegmentPool`].
///
/// It can be neither copied nor made up, and freeing consumes it. So a segment is never freed twice, never used after
/// it was freed, and never in use by two owners; one that is dropped without [`SegmentPool::free`] is lost to the pool.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a dropped id is a segment lost to its pool"]
pub struct SegmentId(NonZeroU32);

impl SegmentId {
    /// The id of the segment `within` the slab at index `slab`.
    fn at(slab: usize, within: usize) -> Option<Self> {
        // Counting from one leaves zero for `Option`'s `None`.
        u32::try_from(slab * SLAB_SEGMENTS + within + 1).ok().and_then(NonZeroU32::new).map(Self)
    }

    /// The slab it lies in, and its place there.
    fn place(&self) -> (usize, usize) {
        let index = self.0.get() as usize - 1;
        (index / SLAB_SEGMENTS, index % SLAB_SEGMENTS)
    }
}

/// Segments that the allocator gave at once.
#[derive(Debug)]
struct Slab {
    /// Empty while the memory is given back; the slab keeps its index, and with it the ids of its segments.
    segments: Box<[Segment]>,
    in_use: usize,
}

/// A pool of segments under a budget, for one core.
///
/// Memory is taken from the allocator as it is needed, 64 segments at a time, and never beyond the budget. Freed
/// segments are used again last-in first-out, while they are still in the cache. [`trim`](Self::trim) gives memory
/// back. A new segment's bytes are whatever its last owner left there.
#[derive(Debug)]
pub struct SegmentPool {
    slabs: Vec<Slab>,
    /// Every slab below this index has its memory, so a vacant one need not be looked for there.
    backed_below: usize,
    /// Ids of all segments that have memory and no owner. Its capacity covers every segment, so freeing never
    /// allocates.
    free: Vec<SegmentId>,
    max_segments: usize,
    in_use: usize,
    high_water: usize,
}

impl SegmentPool {
    /// A pool that hands out at most `budget_bytes`, rounded down to whole segments. Does not allocate.
    #[must_use]
    pub const fn new(budget_bytes: usize) -> Self {
        let wanted = budget_bytes / SEGMENT_BYTES;
        let addressable = u32::MAX as usize - 1;
        let max_segments = if wanted < addressable { wanted } else { addressable };
        Self { slabs: Vec::new(), backed_below: 0, free: Vec::new(), max_segments, in_use: 0, high_water: 0 }
    }

    /// Takes a segment; `None` if the budget is used up.
    pub fn allocate(&mut self) -> Option<SegmentId> {
        if self.free.is_empty() {
            self.grow();
        }
        let id = self.free.pop()?;
        self.slabs[id.place().0].in_use += 1;
        self.in_use += 1;
        self.high_water = self.high_water.max(self.in_use);
        Some(id)
    }

    /// Gives a segment back.
    ///
    /// # Panics
    ///
    /// May panic if `id` is from another pool, which is a mistake in the program that no input can cause.
    pub fn free(&mut self, id: SegmentId) {
        self.slabs[id.place().0].in_use -= 1;
        self.in_use -= 1;
        self.free.push(id);
    }

    /// A segment's bytes.
    ///
    /// # Panics
    ///
    /// May panic if `id` is from another pool, which is a mistake in the program that no input can cause.
    #[inline]
    #[must_use]
    pub fn bytes(&self, id: &SegmentId) -> &[u8; SEGMENT_BYTES] {
        let (slab, within) = id.place();
        &self.slabs[slab].segments[within]
    }

    /// A segment's bytes, to be written.
    ///
    /// # Panics
    ///
    /// May panic if `id` is from another pool, which is a mistake in the program that no input can cause.
    #[inline]
    #[must_use]
    pub fn bytes_mut(&mut self, id: &SegmentId) -> &mut [u8; SEGMENT_BYTES] {
        let (slab, within) = id.place();
        &mut self.slabs[slab].segments[within]
    }

    /// Bytes of all segments that have an owner.
    #[must_use]
    pub const fn in_use_bytes(&self) -> usize {
        self.in_use * SEGMENT_BYTES
    }

    /// The most bytes the pool hands out, in whole segments.
    #[must_use]
    pub const fn budget_bytes(&self) -> usize {
        self.max_segments * SEGMENT_BYTES
    }

    /// The most bytes that were in use at any one time.
    #[must_use]
    pub const fn high_water_bytes(&self) -> usize {
        self.high_water * SEGMENT_BYTES
    }

    /// Bytes the pool holds from the allocator, in use or not. Never above the budget.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        (self.in_use + self.free.len()) * SEGMENT_BYTES
    }

    /// Segments that the budget still allows to allocate: that many calls of [`allocate`](Self::allocate) succeed.
    #[must_use]
    pub const fn available_segments(&self) -> usize {
        self.max_segments - self.in_use
    }

    /// Gives all memory in which no segment has an owner back to the allocator, and returns how many bytes that were.
    ///
    /// It looks at every slab and every free segment: for quiet moments, not for every burst.
    pub fn trim(&mut self) -> usize {
        let held = self.held_bytes();
        for slab in self.slabs.iter_mut().filter(|slab| slab.in_use == 0) {
            slab.segments = Box::default();
        }
        self.free.retain(|id| !self.slabs[id.place().0].segments.is_empty());
        let backed = |slab: &Slab| !slab.segments.is_empty();
        self.slabs.truncate(self.slabs.iter().rposition(backed).map_or(0, |last| last + 1));
        self.backed_below = 0;
        self.free.shrink_to(self.in_use + self.free.len());
        held - self.held_bytes()
    }

    /// Makes one more slab of free segments, if the budget allows one.
    fn grow(&mut self) {
        // Where memory was given back there is an index to use again.
        let vacant = self.slabs.iter().skip(self.backed_below).position(|slab| slab.segments.is_empty());
        let index = vacant.map_or(self.slabs.len(), |ahead| self.backed_below + ahead);
        self.backed_below = index;
        // The last slab is cut short so that what is held never exceeds the budget either.
        let count = self.max_segments.saturating_sub(index * SLAB_SEGMENTS).min(SLAB_SEGMENTS);
        if count == 0 {
            return;
        }
        let slab = Slab { segments: vec![[0; SEGMENT_BYTES]; count].into_boxed_slice(), in_use: 0 };
        match self.slabs.get_mut(index) {
            Some(vacant) => *vacant = slab,
            None => self.slabs.push(slab),
        }
        self.free.reserve(self.in_use + count);
        self.free.extend((0..count).rev().filter_map(|within| SegmentId::at(index, within)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(pool: &mut SegmentPool, count: usize) -> Vec<SegmentId> {
        (0..count).map(|_| pool.allocate().expect("within the budget")).collect()
    }

    #[test]
    fn the_budget_is_exact_and_memory_never_exceeds_it() {
        for segments in [0, 1, 63, 64, 65, 200] {
            let mut pool = SegmentPool::new(segments * SEGMENT_BYTES + 5);
            let ids = take(&mut pool, segments);
            assert_eq!(pool.allocate(), None);
            assert_eq!(pool.available_segments(), 0);
            assert_eq!(pool.in_use_bytes(), segments * SEGMENT_BYTES);
            assert_eq!(pool.held_bytes(), pool.budget_bytes());
            ids.into_iter().for_each(|id| pool.free(id));
            assert_eq!((pool.in_use_bytes(), pool.high_water_bytes()), (0, segments * SEGMENT_BYTES));
            assert_eq!(pool.trim(), segments * SEGMENT_BYTES);
            assert_eq!((pool.held_bytes(), pool.slabs.len()), (0, 0));
        }
    }

    #[test]
    fn segments_are_distinct_and_reused_last_in_first_out() {
        let mut pool = SegmentPool::new(usize::MAX);
        let mut ids = take(&mut pool, 3 * SLAB_SEGMENTS);
        for (mark, id) in ids.iter().enumerate() {
            pool.bytes_mut(id).fill(mark as u8);
        }
        for (mark, id) in ids.iter().enumerate() {
            assert!(pool.bytes(id).iter().all(|byte| *byte == mark as u8));
        }
        let place = ids[5].place();
        pool.free(ids.swap_remove(9));
        pool.free(ids.swap_remove(5));
        assert_eq!(pool.allocate().map(|id| id.place()), Some(place));
    }

    #[test]
    fn trim_gives_back_what_is_wholly_free_and_ids_outlive_it() {
        let mut pool = SegmentPool::new(1 << 30);
        let mut ids = take(&mut pool, 4 * SLAB_SEGMENTS);
        let last = ids.split_off(3 * SLAB_SEGMENTS);
        pool.bytes_mut(&last[7]).fill(0xa5);
        let kept = ids.remove(0);
        ids.into_iter().for_each(|id| pool.free(id));

        // Slabs 1 and 2 go, 0 and 3 stay for the segments in use.
        assert_eq!(pool.trim(), 2 * SLAB_SEGMENTS * SEGMENT_BYTES);
        assert_eq!(pool.trim(), 0);
        assert!(pool.bytes(&last[7]).iter().all(|byte| *byte == 0xa5));

        // What was given back is taken again under the same indices, the lowest first, and only then new ones.
        let more = take(&mut pool, 4 * SLAB_SEGMENTS);
        assert_eq!(pool.slabs.len(), 6);
        let mut places: Vec<_> = more.iter().chain(&last).chain([&kept]).map(SegmentId::place).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 5 * SLAB_SEGMENTS + 1);
        more.into_iter().chain(last).chain([kept]).for_each(|id| pool.free(id));
        assert_eq!(pool.in_use_bytes(), 0);
        pool.trim();
        assert_eq!(pool.held_bytes(), 0);
    }

    #[test]
    fn neither_allocating_nor_freeing_allocates_once_warm() {
        let mut pool = SegmentPool::new(1 << 20);
        for _ in 0..3 {
            let ids = take(&mut pool, 300);
            let (capacity, held) = (pool.free.capacity(), pool.held_bytes());
            ids.into_iter().for_each(|id| pool.free(id));
            assert_eq!((pool.free.capacity(), pool.held_bytes()), (capacity, held));
        }
    }

    #[test]
    fn an_optional_id_costs_four_bytes() {
        assert_eq!(size_of::<Option<SegmentId>>(), 4);
    }
}
