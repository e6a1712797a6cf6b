//! The part of a file that is in memory: it owns the reader, the bytes read but not used up, and the place in the file.

use std::io::{self, ErrorKind, Read};

/// Size of the window to begin with, in bytes; it doubles when a record does not fit.
const INITIAL_BYTES: usize = 256 << 10;

/// A window that moves over what a reader gives.
#[derive(Debug)]
pub(super) struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The bytes at hand are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Where `start` lies in the file.
    offset: u64,
    ended: bool,
}

/// What [`Window::fill`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// The bytes are at hand.
    Enough,
    /// The file ended before.
    Ended,
    /// The reader does not block and has no more now.
    Later,
}

impl<R: Read> Window<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), start: 0, end: 0, offset: 0, ended: false }
    }

    /// The bytes at hand.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where in the file the bytes at hand start.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Uses up the first `count` of the bytes at hand.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    /// Reads until `needs` bytes are at hand, and as much more as comes with them.
    pub(super) fn fill(&mut self, needs: usize) -> io::Result<Filled> {
        while self.end - self.start < needs {
            if self.ended {
                return Ok(Filled::Ended);
            }
            self.make_room();
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => return Ok(Filled::Later),
                    _ => return Err(error),
                },
            }
        }
        Ok(Filled::Enough)
    }

    /// Bytes of memory that the window takes up.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// Moves the bytes at hand, part of one record, to the front. The buffer grows with what was really read, never
    /// with what a record claims to need.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize((2 * self.end).max(INITIAL_BYTES), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_moves_and_grows() {
        let data: Vec<u8> = (0..1_000_000).map(|index| (index % 251) as u8).collect();
        let mut window = Window::new(&data[..]);
        assert_eq!(window.fill(10).unwrap(), Filled::Enough);
        assert_eq!(window.bytes(), &data[..INITIAL_BYTES]);
        window.consume(INITIAL_BYTES - 3);
        assert_eq!(window.fill(INITIAL_BYTES + 1).unwrap(), Filled::Enough);
        let start = INITIAL_BYTES - 3;
        assert_eq!(window.bytes(), &data[start..start + 2 * INITIAL_BYTES]);
        assert_eq!(window.offset(), start as u64);
        assert_eq!(window.fill(1_000_000).unwrap(), Filled::Ended);
        assert_eq!(window.bytes(), &data[start..]);
    }

    /// Gives one byte, one interruption and one refusal in turn.
    struct Unwilling<'a>(&'a [u8], u32);

    impl Read for Unwilling<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 % 3 {
                0 => self.0.read(&mut buffer[..1]),
                1 => Err(ErrorKind::Interrupted.into()),
                _ => Err(ErrorKind::WouldBlock.into()),
            }
        }
    }

    #[test]
    fn interruptions_are_retried_and_refusals_reported() {
        let mut window = Window::new(Unwilling(b"abc", 0));
        let mut later = 0;
        while window.fill(3).unwrap() == Filled::Later {
            later += 1;
        }
        assert_eq!((window.bytes(), later), (&b"abc"[..], 3));
    }
}
