//! Capture files, read: pcap and pcapng as a device.
//!
//! The file is streamed through a small window, so its size does not matter and it may be a pipe. Each format is a
//! parser that looks at the bytes at hand and changes nothing until it has a whole record; that is why an error can
//! wait: with frames to hand over first, the reader just leaves the faulty record where it is and meets it again on the
//! next call.

mod classic;
mod damage;
mod ng;
mod record;
#[cfg(test)]
mod tests;
mod window;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use self::classic::Classic;
pub use self::damage::Damage;
use self::ng::Ng;
pub use self::record::MAX_FRAME_BYTES;
use self::record::{Frame, Parsed};
use self::window::{Filled, Window};
use super::batch::FrameBatch;
use super::device::{Device, DeviceError, MAX_RECEIVE_BYTES, Received};
use super::linktype;
use crate::time::Timestamp;

/// A file may name tens of thousands of link types, and the log is not its place: the first few are enough.
const MAX_WARNINGS: usize = 16;

/// Reads a capture file: pcap (either byte order; microseconds, nanoseconds, and the variant of Kuznetzov) or pcapng
/// (any number of sections and interfaces).
///
/// Frames come out as the file has them, in its order; their timestamps need not be ordered either. Frames whose link
/// type the stack does not read are skipped and counted.
///
/// # Errors
///
/// The file is looked at when frames are first asked for, so that is when [`Device::receive`] says that it is no
/// capture file. A truncated or damaged file gives all frames before the fault first, then the error with the place.
#[derive(Debug)]
pub struct CaptureReader<R: Read> {
    window: Window<R>,
    format: Option<Format>,
    name: String,
    port: u16,
    /// Sorted by link type.
    unsupported: Vec<(u32, u64)>,
    finished: bool,
}

#[derive(Debug)]
enum Format {
    Classic(Classic),
    Ng(Ng),
}

/// What taking one record came to.
enum Step {
    /// So many bytes of a frame were appended to the batch.
    Frame(usize),
    /// The record was not a frame to hand over.
    Other,
    /// No whole record is at hand.
    Starved,
    /// The file ended where a record may end.
    End,
}

impl CaptureReader<File> {
    /// Opens the file at `path`; its frames arrive on `port`.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Open`].
    pub fn open(path: impl AsRef<Path>, port: u16) -> Result<Self, DeviceError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Ok(Self::new(file, name, port)),
            Err(source) => Err(DeviceError::Open { name, source }),
        }
    }
}

impl<R: Read> CaptureReader<R> {
    /// Reads a capture file from `reader`, which needs no buffering; errors call it `name`, its frames arrive on
    /// `port`.
    #[must_use]
    pub fn new(reader: R, name: impl Into<String>, port: u16) -> Self {
        Self {
            window: Window::new(reader),
            format: None,
            name: name.into(),
            port,
            unsupported: Vec::new(),
            finished: false,
        }
    }

    /// Bytes of the file that have been used up, for a progress bar.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.window.offset()
    }

    /// The frames that were skipped because the stack does not read their link type: the LINKTYPE number and how many,
    /// sorted by number.
    #[must_use]
    pub fn unsupported(&self) -> &[(u32, u64)] {
        &self.unsupported
    }

    /// Takes the next record. Reads from the file only if it `may_read`: reading may block.
    fn step(&mut self, batch: &mut FrameBatch, may_read: bool) -> Result<Step, DeviceError> {
        loop {
            let bytes = self.window.bytes();
            match parse(&mut self.format, bytes) {
                Ok(Parsed::Needs(needs)) => {
                    if !may_read {
                        return Ok(Step::Starved);
                    }
                    match self.window.fill(needs) {
                        Ok(Filled::Enough) => {}
                        Ok(Filled::Later) => return Ok(Step::Starved),
                        Ok(Filled::Ended) => return self.end(needs),
                        Err(source) => {
                            let (name, offset) = self.place();
                            return Err(DeviceError::Read { name, offset, source });
                        }
                    }
                }
                Ok(Parsed::Record { len, frame: None }) => {
                    self.window.consume(len);
                    return Ok(Step::Other);
                }
                Ok(Parsed::Record { len, frame: Some(Frame { data, wire_len, timestamp, linktype }) }) => {
                    let taken = data.len();
                    let supported = linktype::from_number(linktype);
                    if let Some(link) = supported {
                        batch.push(&bytes[data], wire_len, Timestamp::from_nanos(timestamp), self.port, link);
                    } else {
                        self.skip(linktype);
                    }
                    self.window.consume(len);
                    return Ok(if supported.is_some() { Step::Frame(taken) } else { Step::Other });
                }
                Err(Reject::Magic(magic)) => {
                    return Err(DeviceError::UnknownFormat { name: self.name.clone(), magic });
                }
                Err(Reject::Damage(what)) => {
                    let (name, offset) = self.place();
                    return Err(DeviceError::Damaged { name, offset, what });
                }
            }
        }
    }

    /// Judges the end of the file, met where a record of at least `needs` bytes was looked for.
    fn end(&self, needs: usize) -> Result<Step, DeviceError> {
        let (name, offset) = self.place();
        match self.window.bytes().len() {
            0 if self.format.is_some() => Ok(Step::End),
            0 => Err(DeviceError::Empty { name }),
            has => Err(DeviceError::Truncated { name, offset, needs, has }),
        }
    }

    /// The file, and where in it the record at hand starts.
    fn place(&self) -> (String, u64) {
        (self.name.clone(), self.window.offset())
    }

    /// Counts a frame of a link type that the stack does not read.
    fn skip(&mut self, linktype: u32) {
        match self.unsupported.binary_search_by_key(&linktype, |&(number, _)| number) {
            Ok(index) => self.unsupported[index].1 += 1,
            Err(index) => {
                self.unsupported.insert(index, (linktype, 1));
                if self.unsupported.len() <= MAX_WARNINGS {
                    log::warn!("{}: frames of link type {linktype} are skipped: it is not supported", self.name);
                }
            }
        }
    }
}

/// Why [`parse`] found no record.
enum Reject {
    /// The file starts with these bytes, which no format does.
    Magic([u8; 4]),
    Damage(Damage),
}

impl From<Damage> for Reject {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

/// Looks for a record at the start of `bytes`; the first record of a file decides its format.
#[inline]
fn parse(format: &mut Option<Format>, bytes: &[u8]) -> Result<Parsed, Reject> {
    match format {
        Some(Format::Classic(classic)) => Ok(classic.parse(bytes)?),
        Some(Format::Ng(ng)) => Ok(ng.parse(bytes)?),
        None => parse_first(format, bytes),
    }
}

#[cold]
fn parse_first(format: &mut Option<Format>, bytes: &[u8]) -> Result<Parsed, Reject> {
    let Some(&magic) = bytes.first_chunk() else { return Ok(Parsed::Needs(4)) };
    if magic == ng::MAGIC {
        let mut section = Ng::default();
        let parsed = section.parse(bytes)?;
        if let Parsed::Record { .. } = parsed {
            *format = Some(Format::Ng(section));
        }
        return Ok(parsed);
    }
    let Some(variant) = classic::Variant::from_magic(magic) else { return Err(Reject::Magic(magic)) };
    let Some(header) = bytes.first_chunk() else { return Ok(Parsed::Needs(classic::HEADER_LEN)) };
    *format = Some(Format::Classic(Classic::new(variant, header)));
    Ok(Parsed::Record { len: classic::HEADER_LEN, frame: None })
}

impl<R: Read> Device for CaptureReader<R> {
    fn receive(&mut self, batch: &mut FrameBatch, max_frames: usize) -> Result<Received, DeviceError> {
        let (mut frames, mut bytes) = (0, 0);
        while frames < max_frames && bytes < MAX_RECEIVE_BYTES && !self.finished {
            match self.step(batch, frames == 0) {
                Ok(Step::Frame(taken)) => {
                    frames += 1;
                    bytes += taken;
                }
                Ok(Step::Other) => {}
                Ok(Step::Starved) if frames == 0 => return Ok(Received::Idle),
                // What stops the reader is found again by the next call, which has nothing to hand over first.
                _ if frames > 0 => break,
                Ok(_) => self.finished = true,
                Err(error) => {
                    self.finished = true;
                    return Err(error);
                }
            }
        }
        Ok(if self.finished { Received::End } else { Received::Frames(frames) })
    }

    /// # Errors
    ///
    /// Always [`DeviceError::ReceiveOnly`].
    fn transmit(&mut self, _port: u16, _frame: &[u8], _timestamp: Timestamp) -> Result<(), DeviceError> {
        Err(DeviceError::ReceiveOnly { name: self.name.clone() })
    }
}
