//! The stream buffers of one core, by four-byte ids, recycled.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::{Backlog, SegmentPool};

/// The right to use one buffer of a [`BufferStore`]. `Option<BufferId>` is four bytes too.
///
/// Like a [`SegmentId`](super::SegmentId), it can be neither copied nor made up, and giving back consumes it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a dropped id is a buffer lost to its store"]
pub struct BufferId(NonZeroU32);

impl BufferId {
    fn at(index: usize) -> Option<Self> {
        // Counting from one leaves zero for `Option`'s `None`.
        u32::try_from(index).ok()?.checked_add(1).and_then(NonZeroU32::new).map(Self)
    }

    fn index(&self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Stream buffers for the flows of one core. A buffer that is given back keeps its capacities for the next flow.
#[derive(Debug, Default)]
pub struct BufferStore {
    buffers: Vec<Backlog>,
    /// Ids of the buffers without an owner, all of them empty. Its capacity covers every buffer, so giving back never
    /// allocates.
    free: Vec<BufferId>,
}

impl BufferStore {
    /// A store without buffers. Does not allocate.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffers: Vec::new(), free: Vec::new() }
    }

    /// Takes an empty buffer: the one given back last, or a new one. `None` only if 2^32 - 1 are out already.
    pub fn take(&mut self) -> Option<BufferId> {
        if let Some(id) = self.free.pop() {
            return Some(id);
        }
        let id = BufferId::at(self.buffers.len())?;
        self.buffers.push(Backlog::default());
        self.free.reserve(self.buffers.len());
        Some(id)
    }

    /// Takes a buffer back, and its segments to `pool`.
    ///
    /// # Panics
    ///
    /// May panic if `id` is from another store, which is a mistake in the program that no input can cause.
    pub fn give_back(&mut self, id: BufferId, pool: &mut SegmentPool) {
        self.get_mut(&id).stream.clear(pool);
        self.free.push(id);
    }

    /// The buffer.
    ///
    /// # Panics
    ///
    /// May panic if `id` is from another store, which is a mistake in the program that no input can cause.
    #[inline]
    #[must_use]
    pub fn get(&self, id: &BufferId) -> &Backlog {
        &self.buffers[id.index()]
    }

    /// The buffer, to be changed.
    ///
    /// # Panics
    ///
    /// May panic if `id` is from another store, which is a mistake in the program that no input can cause.
    #[inline]
    #[must_use]
    pub fn get_mut(&mut self, id: &BufferId) -> &mut Backlog {
        &mut self.buffers[id.index()]
    }

    /// Buffers that have an owner.
    #[must_use]
    pub const fn live(&self) -> usize {
        self.buffers.len() - self.free.len()
    }

    /// Gives the capacities that buffers without an owner have kept back to the allocator.
    ///
    /// It visits all of those: for quiet moments, together with [`SegmentPool::trim`].
    pub fn trim(&mut self) {
        for id in &self.free {
            self.buffers[id.index()] = Backlog::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OverlapPolicy, SEGMENT_BYTES};
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_with_their_capacity() {
        let mut pool = SegmentPool::new(1 << 20);
        let mut store = BufferStore::new();
        let (first, second) = (store.take().unwrap(), store.take().unwrap());
        assert_ne!(first, second);
        assert_eq!(store.live(), 2);
        store.get_mut(&first).stream.store(&mut pool, 1 << 16, b"late", OverlapPolicy::First, 0).unwrap();
        store.get_mut(&second).stream.store(&mut pool, 7, b"other", OverlapPolicy::First, 0).unwrap();
        assert_eq!(pool.in_use_bytes(), 2 * SEGMENT_BYTES);

        let index = first.index();
        store.give_back(first, &mut pool);
        assert_eq!((store.live(), pool.in_use_bytes()), (1, SEGMENT_BYTES));
        let again = store.take().unwrap();
        assert_eq!(again.index(), index);
        assert!(store.get(&again).stream.is_empty());
        assert_eq!(store.get(&second).stream.stored_bytes(), 5);

        store.give_back(again, &mut pool);
        store.trim();
        assert_eq!(store.get(&second).stream.stored_bytes(), 5);
        store.give_back(second, &mut pool);
        assert_eq!((store.live(), pool.in_use_bytes()), (0, 0));
    }

    #[test]
    fn an_optional_id_costs_four_bytes() {
        assert_eq!(size_of::<Option<BufferId>>(), 4);
    }
}
