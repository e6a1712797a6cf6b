//! Which segment holds which part of a stream: a window of segment slots, addressed by stream offset.

use alloc::collections::VecDeque;

use super::{SEGMENT_BYTES, SegmentId, SegmentPool, Span, StoreError};

/// The farthest that offsets stored at the same time may lie from each other, in bytes. Twice what TCP's largest window
/// needs (RFC 7323 section 2.3), so that only a mistake above meets it. The table costs one 512th of the distance.
pub const MAX_WINDOW: u64 = 2 << 30;

/// Capacity, in slots, that [`SegmentTable::clear`] keeps for the next use: 2 KiB, which spans 1 MiB.
const KEPT_SLOTS: usize = 512;

/// The segment size as the offsets have it.
const SEGMENT: u64 = SEGMENT_BYTES as u64;

/// Segments of one stream. The first and the last slot are always filled.
#[derive(Debug, Default)]
pub(super) struct SegmentTable {
    /// Index in the stream (offset / segment size) of the first slot.
    base: u64,
    slots: VecDeque<Option<SegmentId>>,
    held: usize,
}

impl SegmentTable {
    pub(super) const fn new() -> Self {
        Self { base: 0, slots: VecDeque::new(), held: 0 }
    }

    /// Segments held.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Makes sure that every byte of `span` has a segment, or changes nothing.
    pub(super) fn reserve(&mut self, pool: &mut SegmentPool, span: Span) -> Result<(), StoreError> {
        let (first, last) = (span.start() / SEGMENT, (span.end() - 1) / SEGMENT);
        if self.slots.is_empty() {
            self.base = first;
        }
        let lowest = self.base.min(first);
        let behind = (last + 1).max(self.base + self.slots.len() as u64);
        if behind - lowest > MAX_WINDOW / SEGMENT {
            return Err(StoreError::TooFar);
        }
        let missing = (first..=last).filter(|&index| self.get(index).is_none()).count();
        if missing > pool.available_segments() {
            return Err(StoreError::Budget);
        }
        if missing == 0 {
            return Ok(());
        }
        // The distances fit any usize, being at most 2^20 slots.
        for _ in lowest..self.base {
            self.slots.push_front(None);
        }
        self.base = lowest;
        self.slots.resize_with((behind - lowest) as usize, || None);
        let range = (first - lowest) as usize..=(last - lowest) as usize;
        for slot in self.slots.range_mut(range).filter(|slot| slot.is_none()) {
            *slot = pool.allocate();
        }
        self.held += missing;
        Ok(())
    }

    /// The bytes from `offset` to the end of its segment; `None` where no segment is.
    pub(super) fn bytes_from<'a>(&self, pool: &'a SegmentPool, offset: u64) -> Option<&'a [u8]> {
        let id = self.get(offset / SEGMENT)?;
        Some(&pool.bytes(id)[(offset % SEGMENT) as usize..])
    }

    /// Writes `bytes` at `offset`, up to the first byte that has no segment.
    pub(super) fn write(&self, pool: &mut SegmentPool, mut offset: u64, mut bytes: &[u8]) {
        while let Some(id) = self.get(offset / SEGMENT).filter(|_| !bytes.is_empty()) {
            let room = &mut pool.bytes_mut(id)[(offset % SEGMENT) as usize..];
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            offset = offset.saturating_add(count as u64);
        }
    }

    /// Frees all segments that lie wholly below the one with `offset`, which must have a segment.
    pub(super) fn free_below(&mut self, pool: &mut SegmentPool, offset: u64) {
        while self.base < offset / SEGMENT
            && let Some(slot) = self.slots.pop_front()
        {
            self.base += 1;
            self.give_back(pool, slot);
        }
    }

    /// Frees all segments. Keeps a moderate capacity for reuse, and gives an immoderate one back.
    pub(super) fn clear(&mut self, pool: &mut SegmentPool) {
        while let Some(slot) = self.slots.pop_front() {
            self.give_back(pool, slot);
        }
        self.slots.shrink_to(KEPT_SLOTS);
    }

    fn give_back(&mut self, pool: &mut SegmentPool, slot: Option<SegmentId>) {
        if let Some(id) = slot {
            pool.free(id);
            self.held -= 1;
        }
    }

    /// The segment at `index` in the stream.
    fn get(&self, index: u64) -> Option<&SegmentId> {
        let slot = usize::try_from(index.checked_sub(self.base)?).ok()?;
        self.slots.get(slot)?.as_ref()
    }
}
