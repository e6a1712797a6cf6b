//! What every source and sink of frames has in common, and what can go wrong with one.

use std::io;

use thiserror::Error;

use super::batch::FrameBatch;
use super::capture::Damage;
use crate::time::Timestamp;

/// A call of [`Device::receive`] stops after the frame with which it has appended this many bytes (1 MiB), so that a
/// batch stays small whatever the size of its frames.
pub const MAX_RECEIVE_BYTES: usize = 1 << 20;

/// What a call of [`Device::receive`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many frames were appended: at least one, unless none were asked for.
    Frames(usize),
    /// Nothing has arrived; more may come.
    Idle,
    /// Nothing will ever come again.
    End,
}

/// A source and sink of frames.
pub trait Device {
    /// Appends frames that have arrived to `batch`, in order: at most `max_frames`, and at most about
    /// [`MAX_RECEIVE_BYTES`]. It may return fewer than there are, and does not wait for more once it has one.
    ///
    /// # Errors
    ///
    /// An error is reported when everything that arrived before it has been handed over, and it is final: after it the
    /// device answers [`Received::End`].
    fn receive(&mut self, batch: &mut FrameBatch, max_frames: usize) -> Result<Received, DeviceError>;

    /// Sends a frame out of `port` at `timestamp`.
    ///
    /// # Errors
    ///
    /// The frame was not sent: the device is full, broken or cannot send.
    fn transmit(&mut self, port: u16, frame: &[u8], timestamp: Timestamp) -> Result<(), DeviceError>;
}

impl<D: Device + ?Sized> Device for Box<D> {
    fn receive(&mut self, batch: &mut FrameBatch, max_frames: usize) -> Result<Received, DeviceError> {
        (**self).receive(batch, max_frames)
    }

    fn transmit(&mut self, port: u16, frame: &[u8], timestamp: Timestamp) -> Result<(), DeviceError> {
        (**self).transmit(port, frame, timestamp)
    }
}

/// Why a device could not do what was asked of it. `name` says which device, as the user named it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The file cannot be opened or created.
    #[error("{name}: cannot be opened: {source}")]
    Open {
        /// The device.
        name: String,
        /// What the system says.
        source: io::Error,
    },

    /// The system failed to read.
    #[error("{name}: cannot be read at byte {offset}: {source}")]
    Read {
        /// The device.
        name: String,
        /// Where the record starts that was being read, in bytes from the start.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },

    /// The system failed to write.
    #[error("{name}: cannot be written: {source}")]
    Write {
        /// The device.
        name: String,
        /// What the system says.
        source: io::Error,
    },

    /// The capture file has no bytes at all, not even a header.
    #[error("{name}: empty: not even the header of a capture file")]
    Empty {
        /// The device.
        name: String,
    },

    /// The file does not start like a capture file.
    #[error(
        "{name}: neither pcap nor pcapng: it starts with {:02x} {:02x} {:02x} {:02x}",
        magic[0], magic[1], magic[2], magic[3]
    )]
    UnknownFormat {
        /// The device.
        name: String,
        /// The first four bytes.
        magic: [u8; 4],
    },

    /// The capture file ends within a record (or within its header, which is the record at byte 0).
    #[error("{name}: truncated: the record at byte {offset} needs {needs} bytes, the file has {has}")]
    Truncated {
        /// The device.
        name: String,
        /// Where the record starts, in bytes from the start of the file.
        offset: u64,
        /// Bytes that the record needs, as far as its remains tell: its header, or all of it.
        needs: usize,
        /// Bytes that are there from `offset` on.
        has: usize,
    },

    /// A record of the capture file contradicts the file format.
    #[error("{name}: damaged: the record at byte {offset} {what}")]
    Damaged {
        /// The device.
        name: String,
        /// Where the record starts, in bytes from the start of the file.
        offset: u64,
        /// The contradiction.
        what: Damage,
    },

    /// The device has no room for another frame now.
    #[error("{name}: full: {capacity} frames wait to be received")]
    Full {
        /// The device.
        name: String,
        /// Frames that it can hold.
        capacity: usize,
    },

    /// The frame is longer than the device takes.
    #[error("{name}: a frame of {bytes} bytes is too long, the most is {most}")]
    FrameTooLong {
        /// The device.
        name: String,
        /// Length of the frame.
        bytes: usize,
        /// Length of the longest frame that the device takes.
        most: usize,
    },

    /// The process may not do this.
    #[error(
        "{name}: not permitted: packet sockets need CAP_NET_RAW, and CAP_NET_ADMIN for large buffers; run as root or give \
         them to the program: setcap cap_net_raw,cap_net_admin+ep PROGRAM ({source})"
    )]
    NotPermitted {
        /// The device.
        name: String,
        /// What the system says.
        source: io::Error,
    },

    /// There is no such interface, or something cannot be had from it.
    #[error("{name}: cannot be set up: {what}: {source}")]
    Setup {
        /// The device.
        name: String,
        /// What was asked for.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },

    /// The interface's frames are of a kind that the stack does not read.
    #[error("{name}: its frames are of a kind that is not read (hardware type {hardware})")]
    UnknownHardware {
        /// The device.
        name: String,
        /// ARPHRD_* of Linux.
        hardware: u16,
    },

    /// A setting does not make sense.
    #[error("{name}: {what}")]
    Setting {
        /// The device.
        name: String,
        /// The contradiction.
        what: &'static str,
    },

    /// The device only receives.
    #[error("{name}: cannot send: it is only read from")]
    ReceiveOnly {
        /// The device.
        name: String,
    },
}
