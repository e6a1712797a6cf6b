//! Packets of a burst that do not lie in their frames: datagrams made whole from fragments, and packets that were given
//! another length.

use alloc::vec::Vec;
use core::ops::Range;

use super::WHOLE;
use super::pending::Source;
use crate::packet::Burst;

/// A packet that was given another length.
#[derive(Clone, Debug)]
struct Replacement {
    index: usize,
    range: Range<usize>,
}

/// Such packets, one after the other, until the next burst: what they became is forwarded after this one.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) bytes: Vec<u8>,
    /// The last datagram made whole.
    whole: Range<usize>,
    /// One bit for each packet that is here and not in its frame.
    replaced: u64,
    replacements: Vec<Replacement>,
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        if !self.bytes.is_empty() {
            self.bytes.clear();
            self.replacements.clear();
            self.replaced = 0;
        }
    }

    /// Takes a datagram that was made whole: it is the packet at [`WHOLE`] now.
    pub(super) fn put_whole(&mut self, datagram: &[u8]) -> &[u8] {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.whole = start..self.bytes.len();
        &self.bytes[start..]
    }

    /// Whether the packet at `index` lies in its frame.
    #[inline]
    pub(super) fn is_in_frame(&self, index: usize) -> bool {
        index < WHOLE && self.replaced >> index & 1 == 0
    }

    /// Whether the packet at `index` was given another length.
    #[inline]
    pub(super) fn is_replaced(&self, index: usize) -> bool {
        index < WHOLE && self.replaced >> index & 1 != 0
    }

    fn replacement(&self, index: usize) -> Option<&Replacement> {
        self.replacements.iter().rfind(|replacement| replacement.index == index)
    }

    /// Where the packet at `index` lies among the bytes, if it is not in its frame.
    fn range(&self, index: usize) -> Option<Range<usize>> {
        if index == WHOLE {
            Some(self.whole.clone())
        } else if self.is_replaced(index) {
            self.replacement(index).map(|replacement| replacement.range.clone())
        } else {
            None
        }
    }

    /// The bytes of the packet at `index`.
    #[inline]
    pub(super) fn frame<'f>(&'f self, index: usize, burst: &'f Burst<'_>) -> &'f [u8] {
        if self.is_in_frame(index) {
            return &burst.memory[burst.frames[index].range()];
        }
        self.range(index).map_or(&[], |range| &self.bytes[range])
    }

    /// The bytes of the packet at `index`, to change in place.
    pub(super) fn frame_mut<'f>(&'f mut self, index: usize, burst: &'f mut Burst<'_>) -> &'f mut [u8] {
        match self.range(index) {
            Some(range) => &mut self.bytes[range],
            None => &mut burst.memory[burst.frames[index].range()],
        }
    }

    /// Where the byte at `at` of the packet at `index` lies.
    #[inline]
    pub(super) fn source(&self, index: usize, at: usize, burst: &Burst<'_>) -> Source {
        if self.is_in_frame(index) {
            return Source::Frame(burst.frames[index].start + at);
        }
        Source::Scratch(self.range(index).map_or(0, |range| range.start) + at)
    }

    /// The bytes that lie at `source`, if it is a place.
    pub(super) fn at<'f>(&'f self, source: Source, len: usize, burst: &'f Burst<'_>) -> Option<&'f [u8]> {
        match source {
            Source::Frame(at) => burst.memory.get(at..at + len),
            Source::Scratch(at) => self.bytes.get(at..at + len),
            Source::Stored | Source::Missing => None,
        }
    }

    /// Lets `change` give the packet at `index` another length: it gets all bytes, the packet last, and where that begins.
    /// If it fails, nothing has changed.
    pub(super) fn replace<E>(
        &mut self,
        index: usize,
        burst: &Burst<'_>,
        change: impl FnOnce(&mut Vec<u8>, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let kept = self.bytes.len();
        let last = self.range(index).filter(|range| range.end == kept);
        let start = match (last, self.range(index)) {
            (Some(range), _) => range.start,
            (None, Some(range)) => {
                self.bytes.extend_from_within(range);
                kept
            }
            (None, None) => {
                self.bytes.extend_from_slice(&burst.memory[burst.frames[index].range()]);
                kept
            }
        };
        if let Err(error) = change(&mut self.bytes, start) {
            self.bytes.truncate(kept);
            return Err(error);
        }
        let range = start..self.bytes.len();
        match self.replacements.iter_mut().find(|replacement| replacement.index == index) {
            Some(replacement) => replacement.range = range,
            None => self.replacements.push(Replacement { index, range }),
        }
        self.replaced |= 1 << index;
        Ok(())
    }
}
