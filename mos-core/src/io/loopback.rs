//! A device in memory: what is sent on it comes back.

use std::collections::VecDeque;

use super::batch::FrameBatch;
use super::device::{Device, DeviceError, MAX_RECEIVE_BYTES, Received};
use super::frame::OwnedFrame;
use crate::packet::LinkType;
use crate::time::Timestamp;

/// A bounded first-in, first-out queue of frames. A frame comes back on the port that it was sent out of, with the
/// timestamp that it was sent at.
#[derive(Debug)]
pub struct Loopback {
    queue: VecDeque<OwnedFrame>,
    capacity: usize,
    link: LinkType,
    closed: bool,
}

impl Loopback {
    /// A loopback for Ethernet frames that holds up to `capacity` of them.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::with_link(capacity, LinkType::Ethernet)
    }

    /// A loopback for frames of type `link` that holds up to `capacity` of them.
    #[must_use]
    pub fn with_link(capacity: usize, link: LinkType) -> Self {
        Self { queue: VecDeque::new(), capacity, link, closed: false }
    }

    /// Says that nothing more will be sent: after the frames that wait comes [`Received::End`] instead of
    /// [`Received::Idle`]. Sending opens it again.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Frames that were sent and not received yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether every frame that was sent has been received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Device for Loopback {
    fn receive(&mut self, batch: &mut FrameBatch, max_frames: usize) -> Result<Received, DeviceError> {
        if self.queue.is_empty() {
            return Ok(if self.closed { Received::End } else { Received::Idle });
        }
        let (mut frames, mut bytes) = (0, 0);
        while frames < max_frames && bytes < MAX_RECEIVE_BYTES {
            let Some(frame) = self.queue.pop_front() else { break };
            frame.push_to(batch);
            frames += 1;
            bytes += frame.bytes.len();
        }
        Ok(Received::Frames(frames))
    }

    /// # Errors
    ///
    /// [`DeviceError::Full`] if as many frames as fit wait to be received, [`DeviceError::FrameTooLong`] from 4 GiB on.
    fn transmit(&mut self, port: u16, frame: &[u8], timestamp: Timestamp) -> Result<(), DeviceError> {
        let name = || "loopback".to_owned();
        if self.queue.len() >= self.capacity {
            return Err(DeviceError::Full { name: name(), capacity: self.capacity });
        }
        let Ok(wire_len) = u32::try_from(frame.len()) else {
            return Err(DeviceError::FrameTooLong { name: name(), bytes: frame.len(), most: u32::MAX as usize });
        };
        self.queue.push_back(OwnedFrame { bytes: frame.to_vec(), wire_len, timestamp, port, link: self.link });
        self.closed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_in_order() {
        let mut device = Loopback::new(3);
        let mut batch = FrameBatch::new();
        assert_eq!(device.receive(&mut batch, 8).unwrap(), Received::Idle);
        for index in 0..3u8 {
            device.transmit(index.into(), &[index; 9], Timestamp::from_nanos(index.into())).unwrap();
        }
        let error = device.transmit(0, &[7], Timestamp::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "loopback: full: 3 frames wait to be received");

        assert_eq!(device.receive(&mut batch, 2).unwrap(), Received::Frames(2));
        assert_eq!((device.len(), device.is_empty()), (1, false));
        device.close();
        assert_eq!(device.receive(&mut batch, 2).unwrap(), Received::Frames(1));
        assert_eq!(device.receive(&mut batch, 2).unwrap(), Received::End);
        for index in 0..3 {
            assert_eq!(batch.frame(index), [index as u8; 9]);
            let meta = batch.frames()[index];
            assert_eq!((meta.port, meta.timestamp.as_nanos()), (index as u16, index as u64));
            assert_eq!((meta.wire_len, meta.link), (9, LinkType::Ethernet));
        }

        device.transmit(0, &[1], Timestamp::ZERO).unwrap();
        assert_eq!(device.receive(&mut batch, 2).unwrap(), Received::Frames(1));
        assert_eq!(device.receive(&mut batch, 2).unwrap(), Received::Idle);
    }

    #[test]
    fn a_call_stops_after_about_a_mebibyte() {
        let mut device = Loopback::with_link(100, LinkType::RawIp);
        for _ in 0..100 {
            device.transmit(0, &[0; 65_536], Timestamp::ZERO).unwrap();
        }
        let mut batch = FrameBatch::new();
        assert_eq!(device.receive(&mut batch, usize::MAX).unwrap(), Received::Frames(16));
        assert_eq!(batch.frames()[0].link, LinkType::RawIp);
    }
}
