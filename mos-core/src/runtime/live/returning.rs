//! Frames that leave by the port at which they arrived: it lends its memory to the burst, and can take them only afterwards.

use crate::io::Port;
use crate::packet::Offload;

/// Such frames, in order. The memory is used again.
#[derive(Debug, Default)]
pub(super) struct Returning {
    memory: Vec<u8>,
    /// Where each one ends.
    frames: Vec<(usize, Offload)>,
}

impl Returning {
    pub(super) fn push(&mut self, frame: &[u8], offload: Offload) {
        self.memory.extend_from_slice(frame);
        self.frames.push((self.memory.len(), offload));
    }

    /// Sends all of them.
    pub(super) fn send(&mut self, port: &mut dyn Port) {
        let mut start = 0;
        for (end, offload) in self.frames.drain(..) {
            // What cannot be sent is counted by the port.
            let _ = port.transmit(&self.memory[start..end], offload);
            start = end;
        }
        self.memory.clear();
    }
}
