//! Frames that are to leave: what the forwarder itself sends, and what had to wait or to be copied.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::packet::Offload;

/// The most frames that wait to be taken.
pub const MAX_OUTPUT: usize = 4096;

/// The most bytes that wait to be taken, in all frames: 4 MiB.
pub const MAX_OUTPUT_BYTES: usize = 4 << 20;

/// A frame that is to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The port it leaves by.
    pub port: u16,
    /// Its bytes, from the link header on.
    pub frame: Vec<u8>,
    /// What is left for the device to do.
    pub offload: Offload,
}

/// Frames that wait to be taken, in order.
#[derive(Debug, Default)]
pub(super) struct Output {
    frames: VecDeque<Departure>,
    bytes: usize,
}

impl Output {
    /// Adds a frame, if there is room for it.
    pub(super) fn push(&mut self, departure: Departure) -> bool {
        let len = departure.frame.len();
        let fits = self.frames.len() < MAX_OUTPUT && self.bytes + len <= MAX_OUTPUT_BYTES;
        if fits {
            self.bytes += len;
            self.frames.push_back(departure);
        }
        fits
    }

    /// The next frame.
    pub(super) fn pop(&mut self) -> Option<Departure> {
        let departure = self.frames.pop_front()?;
        self.bytes -= departure.frame.len();
        Some(departure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_in_order_and_within_bounds() {
        let departure = |port, len| Departure { port, frame: vec![0; len], offload: Offload::NONE };
        let mut output = Output::default();
        let pushed = (0..MAX_OUTPUT + 9).filter(|&port| output.push(departure(port as u16, 1))).count();
        assert_eq!(pushed, MAX_OUTPUT);
        assert!((0..MAX_OUTPUT).all(|port| output.pop().is_some_and(|frame| frame.port == port as u16)));
        assert_eq!(output.pop(), None);
        assert!(output.push(departure(0, MAX_OUTPUT_BYTES)));
        assert!(!output.push(departure(0, 1)));
    }
}
