//! The memory in which a device leaves frames: it owns their bytes until the batch is cleared.

use core::ops::Range;

use crate::packet::{Burst, FrameMeta, LinkType, MAX_BURST, Offload};
use crate::time::Timestamp;

/// Every frame starts at a multiple of this, counted from the start of the memory (which the allocator aligns at least
/// as well on 64-bit systems), so that the loads of a header do not straddle more cache lines than they must.
const FRAME_ALIGNMENT: usize = 16;

/// Frames in the order they arrived, in one region of memory that is reused from batch to batch.
#[derive(Debug, Default)]
pub struct FrameBatch {
    memory: Vec<u8>,
    frames: Vec<FrameMeta>,
}

impl FrameBatch {
    /// An empty batch, with no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with memory for `frames` frames that have `bytes` bytes together; it grows when that is too
    /// little.
    #[must_use]
    pub fn with_capacity(frames: usize, bytes: usize) -> Self {
        let memory = Vec::with_capacity(bytes + frames * (FRAME_ALIGNMENT - 1));
        Self { memory, frames: Vec::with_capacity(frames) }
    }

    /// Forgets all frames and keeps the memory.
    pub fn clear(&mut self) {
        self.memory.clear();
        self.frames.clear();
    }

    /// Appends a copy of a frame: the `bytes` present of the `wire_len` bytes that it had on the wire.
    ///
    /// A `wire_len` below the number of bytes present is taken for that number. Bytes from 4 GiB on are cut off.
    #[inline]
    pub fn push(&mut self, bytes: &[u8], wire_len: u32, timestamp: Timestamp, port: u16, link: LinkType) {
        let captured = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let start = self.memory.len().next_multiple_of(FRAME_ALIGNMENT);
        self.memory.resize(start, 0);
        self.memory.extend_from_slice(&bytes[..captured as usize]);
        let (wire_len, offload) = (wire_len.max(captured), Offload::NONE);
        self.frames.push(FrameMeta { start, captured, wire_len, timestamp, port, link, offload });
    }

    /// Appends a copy of the frame at `index` of `other`, with all that is known about it.
    ///
    /// # Panics
    ///
    /// If `other` has no frame at `index`.
    pub fn push_from(&mut self, other: &Self, index: usize) {
        let FrameMeta { wire_len, timestamp, port, link, .. } = other.frames[index];
        self.push(other.frame(index), wire_len, timestamp, port, link);
    }

    /// Keeps only the frames that `keep` says yes to, in their order. Those that go give back no memory before the batch is cleared.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &FrameMeta) -> bool) {
        let Self { memory, frames } = self;
        frames.retain(|meta| keep(&memory[meta.range()], meta));
    }

    /// How many frames there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are no frames.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What is known about each frame, in order of arrival.
    #[inline]
    #[must_use]
    pub fn frames(&self) -> &[FrameMeta] {
        &self.frames
    }

    /// The bytes present of the frame at `index`.
    ///
    /// # Panics
    ///
    /// If there is no frame at `index`.
    #[inline]
    #[must_use]
    pub fn frame(&self, index: usize) -> &[u8] {
        &self.memory[self.frames[index].range()]
    }

    /// Bytes of memory that the frames take up, padding included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.memory.len()
    }

    /// The frames of `range` as a burst for the stack, which takes at most [`MAX_BURST`]. The burst names the frames
    /// that follow, up to as many again, as the upcoming ones.
    ///
    /// # Panics
    ///
    /// If `range` is not within the batch.
    #[inline]
    pub fn burst(&mut self, range: Range<usize>) -> Burst<'_> {
        debug_assert!(range.len() <= MAX_BURST, "a burst has at most {MAX_BURST} frames");
        let upcoming_end = self.frames.len().min(range.end + MAX_BURST);
        Burst { upcoming: &self.frames[range.end..upcoming_end], frames: &self.frames[range], memory: &mut self.memory }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch_of(count: usize) -> FrameBatch {
        let mut batch = FrameBatch::with_capacity(count, count * 10);
        for index in 0..count {
            let bytes = vec![index as u8; index % 23];
            batch.push(&bytes, 5, Timestamp::from_nanos(index as u64), index as u16, LinkType::Ethernet);
        }
        batch
    }

    #[test]
    fn frames_keep_their_bytes_and_start_aligned() {
        let batch = batch_of(200);
        assert_eq!(batch.len(), 200);
        for (index, meta) in batch.frames().iter().enumerate() {
            assert_eq!(meta.start % FRAME_ALIGNMENT, 0);
            assert_eq!(batch.frame(index), vec![index as u8; index % 23]);
            assert_eq!(meta.wire_len, 5.max(meta.captured));
            assert_eq!((meta.timestamp.as_nanos(), meta.port), (index as u64, index as u16));
        }
    }

    #[test]
    fn a_burst_names_what_comes_next() {
        let mut batch = batch_of(100);
        let burst = batch.burst(0..32);
        assert_eq!((burst.frames.len(), burst.upcoming.len()), (32, MAX_BURST));
        assert_eq!(burst.upcoming[0].port, 32);
        burst.memory[burst.frames[3].start] = 0xee;
        assert_eq!(batch.frame(3), [0xee, 3, 3]);
        let burst = batch.burst(90..100);
        assert_eq!((burst.frames.len(), burst.upcoming.len()), (10, 0));
    }

    #[test]
    fn frames_move_between_batches() {
        let from = batch_of(30);
        let mut to = FrameBatch::new();
        to.push_from(&from, 22);
        to.push_from(&from, 7);
        assert_eq!(to.frame(0), from.frame(22));
        assert_eq!(to.frame(1), from.frame(7));
        assert_eq!(to.frames()[1].timestamp, from.frames()[7].timestamp);
        assert_eq!(to.memory_bytes(), 32 + 7);
        to.clear();
        assert!(to.is_empty() && to.memory_bytes() == 0);
    }
}
