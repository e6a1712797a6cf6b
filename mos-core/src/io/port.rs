//! Live ports: what frames come from and go to while they pass by.
//!
//! A [`Device`](super::Device) copies frames into a batch; a port lends them, in its own memory, for as long as they are looked
//! at. It is one queue of one interface: a core owns one port of each interface and shares it with nobody.

use std::fmt;
use std::net::IpAddr;
#[cfg(unix)]
use std::os::fd::BorrowedFd;

use thiserror::Error;

use super::device::DeviceError;
use crate::packet::{Burst, LinkType, Offload};
use crate::time::Timestamp;

/// What a call of [`Port::receive`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing has arrived.
    Idle,
    /// So many frames were handed over: at least one.
    Frames(usize),
    /// Nothing can arrive: the link is down or the interface is gone. The port sees by itself when it is back, if it is asked
    /// again; asking every 10 to 100 milliseconds is soon enough.
    Down,
    /// Nothing will ever arrive again.
    End,
}

/// How an interface is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// Frames pass.
    #[default]
    Up,
    /// It is up, but there is nothing at the other end of the cable.
    NoCarrier,
    /// It was set down.
    Down,
    /// It does not exist.
    Gone,
}

/// What a port's interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Its name.
    pub name: String,
    /// Its index in the system.
    pub index: u32,
    /// Its hardware address; zeros if it has none.
    pub mac: [u8; 6],
    /// The bytes of the longest packet that it sends, without the link header.
    pub mtu: usize,
    /// How the first header of its frames is to be read.
    pub link: LinkType,
    /// Its IP addresses, with the lengths of their networks' prefixes in bits.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// What became of frames. The numbers only grow; those of a port that several cores share are this core's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Frames handed over. A super-frame counts as one.
    pub received: u64,
    /// Bytes of these, with their link headers.
    pub received_bytes: u64,
    /// Frames that arrived when there was no room for them, so the system dropped them.
    pub kernel_drops: u64,
    /// Frames of which not all arrived, so they were dropped.
    pub cut: u64,
    /// Super-frames of tunnels, which cannot be handed on, so they were dropped.
    pub unsupported: u64,
    /// Frames that the system took to send. A super-frame counts as one.
    pub transmitted: u64,
    /// Bytes of these, with their link headers.
    pub transmitted_bytes: u64,
    /// Frames that were not sent, by the reason.
    pub transmit_drops: TransmitDrops,
    /// How the interface is, as far as the port has noticed.
    pub link: LinkState,
    /// How often the interface was opened again after it had gone.
    pub reopened: u64,
}

impl fmt::Display for PortCounters {
    /// What an operator wants to see go by.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, transmitted, kernel_drops, transmit_drops, .. } = self;
        let unsent = transmit_drops.total();
        write!(
            f,
            "{received} received, {transmitted} transmitted, {kernel_drops} dropped by the kernel, {unsent} not sent"
        )
    }
}

/// Frames that were not sent, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransmitDrops {
    /// The link was down or the interface gone.
    pub down: u64,
    /// Longer than the interface sends.
    pub too_long: u64,
    /// The system or the interface had no room, after some attempts.
    pub no_room: u64,
    /// What was left to the hardware could not be told.
    pub unsupported: u64,
    /// Refused for any other reason.
    pub refused: u64,
}

impl TransmitDrops {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { down, too_long, no_room, unsupported, refused } = *self;
        down + too_long + no_room + unsupported + refused
    }
}

/// Why a frame is not sent. It has been counted.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransmitError {
    /// The link is down or the interface gone.
    #[error("the link is down")]
    Down,
    /// The frame, or each segment of a super-frame, is longer than the interface sends.
    #[error("a frame of {bytes} bytes is too long, the most is {most}")]
    TooLong {
        /// Length of the frame, or of the longest segment, with the link header.
        bytes: usize,
        /// The longest that the interface sends, with the link header.
        most: usize,
    },
    /// Something of the frame was left to the hardware, but it is not TCP or UDP that can be read: neither can be done.
    #[error("a frame with a partial checksum or of several segments that is neither TCP nor UDP")]
    Unsupported,
}

/// One queue of one interface.
pub trait Port: Send {
    /// Hands frames that have arrived to `take`, in order, in the port's own memory: at most [`MAX_BURST`] by one call. They
    /// may be edited in place, and are gone when `take` returns. Does not wait.
    ///
    /// [`MAX_BURST`]: crate::packet::MAX_BURST
    ///
    /// # Errors
    ///
    /// The port is broken for good. What can pass, as a link that is down, is no error.
    fn receive(&mut self, take: &mut dyn FnMut(&mut Burst<'_>)) -> Result<Arrival, DeviceError>;

    /// The same, but not beyond a frame that is later than `until`, for ports that know what is to come.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    fn receive_until(
        &mut self,
        _until: Timestamp,
        take: &mut dyn FnMut(&mut Burst<'_>),
    ) -> Result<Arrival, DeviceError> {
        self.receive(take)
    }

    /// The time of the frame that comes next, for ports that know what is to come.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    fn next_time(&mut self) -> Result<Option<Timestamp>, DeviceError> {
        Ok(None)
    }

    /// The time that has come, for ports that tell it: no frame that is earlier will be handed over.
    fn time(&self) -> Option<Timestamp> {
        None
    }

    /// Appends a frame to those to be sent. `offload` is what the frame came with, also after it was edited; of a frame that
    /// was made here it is [`Offload::NONE`], and its checksums are right. The frame goes out at the next [`flush`](Self::flush)
    /// or earlier, in order.
    ///
    /// # Errors
    ///
    /// The frame is not sent. What goes wrong later is only counted.
    fn transmit(&mut self, frame: &[u8], offload: Offload) -> Result<(), TransmitError>;

    /// Sends what was appended.
    fn flush(&mut self);

    /// Nothing will be sent any more: what was appended is sent, and written for good.
    ///
    /// # Errors
    ///
    /// What has gone wrong with writing, if no other call has said it.
    fn finish(&mut self) -> Result<(), DeviceError> {
        self.flush();
        Ok(())
    }

    /// What became of frames so far.
    fn counters(&mut self) -> PortCounters;

    /// What to wait on for frames with poll(2); `None` while nothing can wake a sleeper: sleep for a while then.
    #[cfg(unix)]
    fn poll_fd(&self) -> Option<BorrowedFd<'_>>;

    /// What the interface is. It may be another one after it was gone.
    fn info(&self) -> &PortInfo;
}

impl<P: Port + ?Sized> Port for Box<P> {
    fn receive(&mut self, take: &mut dyn FnMut(&mut Burst<'_>)) -> Result<Arrival, DeviceError> {
        (**self).receive(take)
    }

    fn receive_until(
        &mut self,
        until: Timestamp,
        take: &mut dyn FnMut(&mut Burst<'_>),
    ) -> Result<Arrival, DeviceError> {
        (**self).receive_until(until, take)
    }

    fn next_time(&mut self) -> Result<Option<Timestamp>, DeviceError> {
        (**self).next_time()
    }

    fn time(&self) -> Option<Timestamp> {
        (**self).time()
    }

    fn transmit(&mut self, frame: &[u8], offload: Offload) -> Result<(), TransmitError> {
        (**self).transmit(frame, offload)
    }

    fn flush(&mut self) {
        (**self).flush();
    }

    fn finish(&mut self) -> Result<(), DeviceError> {
        (**self).finish()
    }

    fn counters(&mut self) -> PortCounters {
        (**self).counters()
    }

    #[cfg(unix)]
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        (**self).poll_fd()
    }

    fn info(&self) -> &PortInfo {
        (**self).info()
    }
}
