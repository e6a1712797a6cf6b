//! Frames in memory, laid out once and read many times.

use std::path::Path;

use anyhow::Context;
use mos_core::io::{CaptureReader, Device, FrameBatch, Received};
use mos_core::packet::{Burst, FrameMeta, LinkType, Offload};
use mos_core::time::Timestamp;

use super::Share;

/// Every frame starts at a multiple of this address: a cache line, as in the buffers of a network card.
const FRAME_ALIGNMENT: usize = 64;

/// The frames asked of the file at a time.
const BATCH_FRAMES: usize = 1024;

/// Frames, one after the other.
#[derive(Debug, Default)]
pub struct Trace {
    memory: Vec<u8>,
    frames: Vec<FrameMeta>,
}

impl Trace {
    /// Reads the file at `path` to its end. All of it must be readable.
    ///
    /// # Errors
    ///
    /// What the file or the system says.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let mut reader = CaptureReader::open(path, 0)?;
        let mut trace = Self::default();
        let mut batch = FrameBatch::new();
        while reader.receive(&mut batch, BATCH_FRAMES).context("a benchmark needs the whole file")? != Received::End {
            trace.append(&batch);
            batch.clear();
        }
        trace.align();
        Ok(trace)
    }

    fn append(&mut self, batch: &FrameBatch) {
        for (index, meta) in batch.frames().iter().enumerate() {
            self.push(batch.frame(index), *meta);
        }
    }

    fn push(&mut self, frame: &[u8], meta: FrameMeta) {
        let start = self.memory.len().next_multiple_of(FRAME_ALIGNMENT);
        self.memory.resize(start, 0);
        self.memory.extend_from_slice(frame);
        self.frames.push(FrameMeta { start, ..meta });
    }

    /// An Ethernet frame that came from no device.
    pub(super) fn push_made_up(&mut self, frame: &[u8], timestamp: Timestamp) {
        let len = frame.len() as u32;
        let (link, offload) = (LinkType::Ethernet, Offload::NONE);
        self.push(frame, FrameMeta { start: 0, captured: len, wire_len: len, timestamp, port: 0, link, offload });
    }

    /// The frames that are in the share, copied.
    pub(super) fn part(&self, share: Share) -> Self {
        let mut part = Self::default();
        for meta in &self.frames {
            let frame = &self.memory[meta.range()];
            if share.has_frame(frame, meta.wire_len, meta.link) {
                part.push(frame, *meta);
            }
        }
        part.align();
        part
    }

    /// Forgets all frames, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.memory.clear();
        self.frames.clear();
    }

    /// To be called after the last frame: until now frames are aligned within the memory; the memory itself need not be.
    pub(super) fn align(&mut self) {
        self.memory.reserve_exact(FRAME_ALIGNMENT);
        let (len, shift) = (self.memory.len(), self.memory.as_ptr().align_offset(FRAME_ALIGNMENT));
        self.memory.resize(len + shift, 0);
        self.memory.copy_within(..len, shift);
        for meta in &mut self.frames {
            meta.start += shift;
        }
    }

    /// How many frames there are.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.frames.len()
    }

    /// Bytes that the frames had on the wire.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.frames.iter().map(|meta| u64::from(meta.wire_len)).sum()
    }

    /// Bytes of memory that the trace takes up.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.len() + size_of_val(&self.frames[..])
    }

    /// All frames in order, in bursts of `size` that know which frames come next.
    pub fn each_burst(&mut self, size: usize, mut each: impl FnMut(&mut Burst<'_>)) {
        let mut rest = &self.frames[..];
        while !rest.is_empty() {
            let (frames, later) = rest.split_at(size.min(rest.len()));
            let upcoming = &later[..size.min(later.len())];
            each(&mut Burst { memory: &mut self.memory, frames, upcoming });
            rest = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_aligned_and_come_once() {
        let mut batch = FrameBatch::new();
        for index in 0..10u8 {
            batch.push(&vec![index; 30 * usize::from(index)], 0, Timestamp::ZERO, 0, LinkType::Ethernet);
        }
        let mut trace = Trace::default();
        trace.append(&batch);
        trace.align();
        let (mut seen, mut upcoming) = (Vec::new(), Vec::new());
        trace.each_burst(4, |burst| {
            for meta in burst.frames {
                let frame = &burst.memory[meta.range()];
                assert_eq!(burst.memory[meta.start..].as_ptr() as usize % FRAME_ALIGNMENT, 0);
                assert!(frame.iter().all(|&byte| usize::from(byte) == seen.len()));
                seen.push(frame.len());
            }
            upcoming.push(burst.upcoming.len());
        });
        assert_eq!(seen, (0..10).map(|index| 30 * index).collect::<Vec<_>>());
        assert_eq!(upcoming, [4, 2, 0]);
    }
}
