//! Capture files, written: classic pcap with timestamps in nanoseconds.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::capture::MAX_FRAME_BYTES;
use super::device::DeviceError;
use super::linktype;
use crate::packet::LinkType;
use crate::time::Timestamp;

/// The magic number that says: pcap, in the byte order of this number, fractions of a second in nanoseconds.
const NANOSECOND_MAGIC: u32 = 0xa1b2_3c4d;

/// The snapshot length in the header: what tcpdump writes when it keeps frames whole, and the most that libpcap reads.
const SNAPLEN: u32 = 262_144;

/// Writes frames of one link type to a capture file, little-endian whatever the machine.
#[derive(Debug)]
pub struct CaptureWriter<W: Write> {
    writer: W,
    name: String,
}

impl CaptureWriter<BufWriter<File>> {
    /// Creates the file at `path`, or empties it, and writes the header.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Open`] or [`DeviceError::Write`].
    pub fn create(path: impl AsRef<Path>, link: LinkType) -> Result<Self, DeviceError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        match File::create(path) {
            Ok(file) => Self::new(BufWriter::new(file), name, link),
            Err(source) => Err(DeviceError::Open { name, source }),
        }
    }
}

impl<W: Write> CaptureWriter<W> {
    /// Writes the header for frames of type `link`. Every frame is two small writes, so `writer` had better be
    /// buffered. Errors call it `name`.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Write`].
    pub fn new(writer: W, name: impl Into<String>, link: LinkType) -> Result<Self, DeviceError> {
        let mut header = [0; 24];
        header[0..4].copy_from_slice(&NANOSECOND_MAGIC.to_le_bytes());
        header[4..6].copy_from_slice(&2u16.to_le_bytes());
        header[6..8].copy_from_slice(&4u16.to_le_bytes());
        header[16..20].copy_from_slice(&SNAPLEN.to_le_bytes());
        header[20..24].copy_from_slice(&linktype::to_number(link).to_le_bytes());
        let mut this = Self { writer, name: name.into() };
        this.put(&header)?;
        Ok(this)
    }

    /// Appends a frame: the `bytes` present of the `wire_len` bytes that it had on the wire (at least as many).
    ///
    /// The format ends in the year 2106: a later `timestamp` becomes the last one that it can say.
    ///
    /// # Errors
    ///
    /// [`DeviceError::FrameTooLong`] above [`MAX_FRAME_BYTES`], with nothing written; [`DeviceError::Write`].
    pub fn write(&mut self, timestamp: Timestamp, bytes: &[u8], wire_len: u32) -> Result<(), DeviceError> {
        if bytes.len() > MAX_FRAME_BYTES {
            let name = self.name.clone();
            return Err(DeviceError::FrameTooLong { name, bytes: bytes.len(), most: MAX_FRAME_BYTES });
        }
        let captured = bytes.len() as u32;
        let (seconds, nanos) = match u32::try_from(timestamp.as_nanos() / 1_000_000_000) {
            Ok(seconds) => (seconds, (timestamp.as_nanos() % 1_000_000_000) as u32),
            Err(_) => (u32::MAX, 999_999_999),
        };
        let mut header = [0; 16];
        for (field, value) in header.chunks_exact_mut(4).zip([seconds, nanos, captured, wire_len.max(captured)]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        self.put(&header)?;
        self.put(bytes)
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Write`].
    pub fn flush(&mut self) -> Result<(), DeviceError> {
        self.writer.flush().map_err(|source| DeviceError::Write { name: self.name.clone(), source })
    }

    /// Writes out what is buffered and gives the writer back. Dropping the capture writer instead loses the errors of
    /// this last step.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Write`].
    pub fn finish(mut self) -> Result<W, DeviceError> {
        match self.writer.flush() {
            Ok(()) => Ok(self.writer),
            Err(source) => Err(DeviceError::Write { name: self.name, source }),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), DeviceError> {
        self.writer.write_all(bytes).map_err(|source| DeviceError::Write { name: self.name.clone(), source })
    }
}
