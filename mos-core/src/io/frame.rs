//! A frame that owns its bytes, for devices that keep frames over time.

use super::batch::FrameBatch;
use crate::packet::LinkType;
use crate::time::Timestamp;

/// One frame on its own.
#[derive(Clone, Debug)]
pub(super) struct OwnedFrame {
    pub(super) bytes: Vec<u8>,
    pub(super) wire_len: u32,
    pub(super) timestamp: Timestamp,
    pub(super) port: u16,
    pub(super) link: LinkType,
}

impl OwnedFrame {
    /// A copy of the frame at `index` of `batch`.
    pub(super) fn copy_from(batch: &FrameBatch, index: usize) -> Self {
        let meta = batch.frames()[index];
        Self {
            bytes: batch.frame(index).to_vec(),
            wire_len: meta.wire_len,
            timestamp: meta.timestamp,
            port: meta.port,
            link: meta.link,
        }
    }

    /// Appends a copy of the frame to `batch`.
    pub(super) fn push_to(&self, batch: &mut FrameBatch) {
        batch.push(&self.bytes, self.wire_len, self.timestamp, self.port, self.link);
    }
}
