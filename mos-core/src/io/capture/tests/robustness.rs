//! Bytes of any kind, readers of any kind.

use proptest::prelude::*;

use super::*;
use crate::io::capture::record::ByteOrder::{Big, Little};

/// Reads `bytes` in several ways, which must come to the same; gives the frames and the text of the error.
fn read_every_way(bytes: &[u8]) -> (Vec<Got>, Option<String>) {
    let text = |(frames, error): (Vec<Got>, Option<DeviceError>)| (frames, error.map(|error| error.to_string()));
    let whole = text(drain(bytes));
    let dripped = text(drain_by(&mut CaptureReader::new(Drip(bytes), "test", 0), 64));
    assert_eq!(whole, dripped);
    let singly = text(drain_by(&mut CaptureReader::new(bytes, "test", 0), 1));
    assert_eq!(whole, singly);
    whole
}

fn small_files() -> [Vec<u8>; 3] {
    let ng = NgFile::new(Big)
        .interface(1, 8, &[(2, b"eth0"), (9, &[0x8a]), (14, &[0xff; 8]), (0, b"")])
        .enhanced(0, 1 << 40, b"enhanced", 60)
        .section(Little)
        .interface(101, 0, &[(9, &[9])])
        .simple(b"simple", 6)
        .obsolete(0, 12, b"obsolete", 8)
        .block(4, vec![0; 20]);
    let classic = |order, magic| {
        ClassicFile::new(order, magic, 1).frame(1, 2, b"abcd", 4).frame(3, 4, b"", 60).frame(5, 6, b"xyz", 3).bytes
    };
    [ng.bytes, classic(Little, 0xa1b2_c3d4), classic(Big, 0xa1b2_cd34)]
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        start in prop::sample::select(vec![
            &b""[..],
            b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d",
            b"\x34\xcd\xb2\xa1", b"\xa1\xb2\xcd\x34", b"\x0a\x0d\x0d\x0a",
            b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        read_every_way(&[start, &rest].concat());
    }

    #[test]
    fn damaged_files_are_read_up_to_the_damage(
        which in 0..3usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = small_files()[which].clone();
        let whole = frames(&bytes);
        let first = flips.iter().map(|(index, _)| index.index(bytes.len())).min().unwrap_or(0);
        for (index, value) in flips {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let (got, _) = read_every_way(&bytes);
        // Frames whose records end before the first changed byte are as they were.
        let (unharmed, _) = drain(&bytes[..first]);
        prop_assert!(got.starts_with(&unharmed));
        prop_assert!(whole.starts_with(&unharmed));
    }
}

#[test]
fn dripping_changes_nothing() {
    for bytes in small_files() {
        let (frames, error) = read_every_way(&bytes);
        assert_eq!((frames.len(), error), (3, None));
    }
}

/// Gives what each element says.
struct Script(Vec<io::Result<Vec<u8>>>);

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let bytes = self.0.remove(0)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

#[test]
fn a_reader_that_does_not_block_makes_an_idle_device() {
    let [_, bytes, _] = small_files();
    let refusal = || Err(io::ErrorKind::WouldBlock.into());
    let script = vec![refusal(), Ok(bytes[..50].to_vec()), refusal(), Ok(bytes[50..].to_vec())];
    let mut reader = CaptureReader::new(Script(script), "test", 3);
    let mut batch = FrameBatch::new();
    let mut next = || reader.receive(&mut batch, 64).unwrap();
    assert_eq!(
        [next(), next(), next(), next(), next()],
        [Received::Idle, Received::Frames(1), Received::Idle, Received::Frames(2), Received::End]
    );
    assert!(batch.frames().iter().all(|meta| meta.port == 3));
    assert!(matches!(reader.transmit(0, b"", Timestamp::ZERO), Err(DeviceError::ReceiveOnly { .. })));
}

#[test]
fn a_reader_that_fails_makes_an_error_behind_the_frames() {
    let [_, bytes, _] = small_files();
    let script = vec![Ok(bytes[..50].to_vec()), Err(io::Error::other("unplugged"))];
    let (got, error) = drain_by(&mut CaptureReader::new(Script(script), "disk", 0), 64);
    assert_eq!(got.len(), 1);
    assert_eq!(error.unwrap().to_string(), "disk: cannot be read at byte 44: unplugged");
}

/// A file that is far larger than any memory that reading it should take.
struct Endless {
    record: Vec<u8>,
    records: u64,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.record.len() && self.records > 0 {
            (self.at, self.records) = (0, self.records - 1);
        }
        let count = (&self.record[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let start = ClassicFile::new(Little, 0xa1b2_c3d4, 1).bytes;
    let record = ClassicFile::new(Little, 0xa1b2_c3d4, 1).frame(0, 0, &[1; 60_000], 60_000).bytes.split_off(24);
    let size = (start.len() + 10_000 * record.len()) as u64;
    let mut reader = CaptureReader::new(start.chain(Endless { at: record.len(), record, records: 10_000 }), "test", 0);
    let (mut batch, mut total) = (FrameBatch::new(), 0);
    while let Received::Frames(count) = reader.receive(&mut batch, 1_000).unwrap() {
        assert!(batch.memory_bytes() < MAX_RECEIVE_BYTES + 65_536);
        total += count;
        batch.clear();
    }
    assert_eq!((total, reader.position()), (10_000, size));
    assert!(reader.window.capacity() <= 256 << 10);
}

#[test]
fn a_claimed_length_takes_no_memory() {
    let length = MAX_FRAME_BYTES as u32;
    let file = ClassicFile::new(Little, 0xa1b2_c3d4, 1).header(0, 0, length, length);
    let mut reader = CaptureReader::new(&file.bytes[..], "test", 0);
    let (_, error) = drain_by(&mut reader, 64);
    assert_eq!(
        error.unwrap().to_string(),
        "test: truncated: the record at byte 24 needs 16777232 bytes, the file has 16"
    );
    assert!(reader.window.capacity() <= 256 << 10);
}
