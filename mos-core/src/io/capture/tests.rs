//! Files made by hand, cut, flipped and dripped, and the real ones.

mod build;
mod formats;
mod robustness;
mod traces;

use std::io::{self, Read};

use self::build::{ClassicFile, NgFile};
use super::*;
use crate::packet::LinkType;

/// What a reader says about one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    bytes: Vec<u8>,
    wire_len: u32,
    nanos: u64,
    link: LinkType,
}

fn ethernet(bytes: &[u8], nanos: u64) -> Got {
    Got { bytes: bytes.to_vec(), wire_len: bytes.len() as u32, nanos, link: LinkType::Ethernet }
}

/// Reads to the end, `max_frames` at a time: all frames, and the error if that was the end. Checks that the end is
/// final.
fn drain_by<R: Read>(reader: &mut CaptureReader<R>, max_frames: usize) -> (Vec<Got>, Option<DeviceError>) {
    let (mut got, mut batch) = (Vec::new(), FrameBatch::new());
    loop {
        batch.clear();
        let received = reader.receive(&mut batch, max_frames);
        match received {
            Ok(Received::Frames(count)) => {
                assert!(count == batch.len() && count > 0 && count <= max_frames);
                got.extend(batch.frames().iter().enumerate().map(|(index, meta)| Got {
                    bytes: batch.frame(index).to_vec(),
                    wire_len: meta.wire_len,
                    nanos: meta.timestamp.as_nanos(),
                    link: meta.link,
                }));
            }
            Ok(Received::Idle) => panic!("a reader that blocks is never idle"),
            Ok(Received::End) => return (got, None),
            Err(error) => {
                assert!(batch.is_empty(), "frames and an error from one call");
                assert_eq!(reader.receive(&mut batch, max_frames).unwrap(), Received::End);
                return (got, Some(error));
            }
        }
    }
}

fn drain(bytes: &[u8]) -> (Vec<Got>, Option<DeviceError>) {
    drain_by(&mut CaptureReader::new(bytes, "test", 0), 64)
}

/// All frames of a file that has no fault.
fn frames(bytes: &[u8]) -> Vec<Got> {
    let (frames, error) = drain(bytes);
    assert!(error.is_none(), "{}", error.unwrap());
    frames
}

/// Gives one byte at a time.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let take = buffer.len().min(1);
        self.0.read(&mut buffer[..take])
    }
}
