//! The stored part of one direction of a stream: its ranges, and the bytes in them if anyone is going to read them.

#[cfg(test)]
mod tests;

use super::{RangeSet, SegmentPool, Span, TooManySpans, table::SegmentTable};

/// Which copy of a byte counts when a stream carries it more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OverlapPolicy {
    /// The one that came first.
    #[default]
    First,
    /// The one that came last, except where somebody has read the byte already.
    Last,
}

/// What became of bytes that were stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bytes that were not there before.
    pub fresh: u64,
    /// Bytes that were there before, equal or not.
    pub overlapped: u64,
    /// The first run of bytes that were there with other values, whichever copy was kept.
    pub conflict: Option<Span>,
}

/// Why bytes were not stored. The buffer and the pool are then as they were before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StoreError {
    /// The pool's budget does not allow the segments this would take.
    #[error("the reassembly memory is used up")]
    Budget,
    /// There would be more than [`MAX_SPANS`](super::MAX_SPANS) separate ranges.
    #[error("too many separate ranges")]
    TooManySpans,
    /// The bytes lie more than [`MAX_WINDOW`](super::MAX_WINDOW) from others that are stored.
    #[error("too far from what is stored")]
    TooFar,
    /// A range without bytes was noted in a buffer that has bytes in it.
    #[error("a range without bytes cannot be noted among bytes")]
    KeepsBytes,
}

impl From<TooManySpans> for StoreError {
    fn from(_: TooManySpans) -> Self {
        Self::TooManySpans
    }
}

/// What is stored of one direction of a stream. Offsets are those of the stream; those near `u64::MAX` are as good as any.
///
/// A buffer keeps bytes ([`store`](Self::store)) or only ranges ([`note`](Self::note)). The first call on an empty
/// buffer decides, and the decision holds until the buffer is empty again. Reading from ranges yields nothing.
///
/// All calls on a buffer must be given the same pool. **Whoever owns a buffer must [`clear`](Self::clear) it before
/// dropping it**, unless the pool is dropped too: a buffer cannot reach the pool by itself, so its segments would
/// stay in use for good.
#[derive(Debug, Default)]
pub struct StreamBuffer {
    spans: RangeSet,
    /// Has a segment exactly where a stored byte is. Empty in a buffer that keeps only ranges.
    table: SegmentTable,
    /// Whether the spans, if there are any, have no bytes.
    ranges_only: bool,
}

impl StreamBuffer {
    /// An empty buffer. Does not allocate.
    #[must_use]
    pub fn new() -> Self {
        Self { spans: RangeSet::new(), table: SegmentTable::new(), ranges_only: false }
    }

    /// Stores `bytes` at `offset`, all of them or none.
    ///
    /// Gaps are filled always. Where bytes are stored already, `policy` says which copy stays, and bytes below
    /// `keep_below` stay in any case: somebody has read them. Bytes that would lie beyond `u64::MAX` are ignored.
    /// In a buffer that holds ranges without bytes, the range is noted and the bytes are not kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Budget`], [`StoreError::TooManySpans`] or [`StoreError::TooFar`]; nothing has changed then.
    pub fn store(
        &mut self,
        pool: &mut SegmentPool,
        offset: u64,
        bytes: &[u8],
        policy: OverlapPolicy,
        keep_below: u64,
    ) -> Result<Stored, StoreError> {
        let Some(span) = Span::with_len(offset, bytes.len() as u64) else { return Ok(Stored::default()) };
        if self.is_empty() {
            self.ranges_only = false;
        } else if self.ranges_only {
            return self.insert(span, None);
        }
        if !self.spans.admits(span) {
            return Err(StoreError::TooManySpans);
        }
        self.table.reserve(pool, span)?;
        for gap in self.spans.gaps_within(span) {
            self.table.write(pool, gap.start(), part(bytes, offset, gap));
        }
        let conflict = self.compare_span(pool, span, bytes);
        if let Some(conflict) = conflict
            && policy == OverlapPolicy::Last
            && let Some(open) = span.at_or_above(keep_below.max(conflict.start()))
        {
            // From the first difference on. The gaps in there are filled already, with the same bytes.
            self.table.write(pool, open.start(), part(bytes, offset, open));
        }
        self.insert(span, conflict)
    }

    /// Notes that the bytes of `span` have come, without keeping them: for streams of which nobody reads bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooManySpans`], or [`StoreError::KeepsBytes`] if bytes are stored; nothing has changed then.
    pub fn note(&mut self, span: Span) -> Result<Stored, StoreError> {
        if self.keeps_bytes() {
            return Err(StoreError::KeepsBytes);
        }
        let stored = self.insert(span, None)?;
        self.ranges_only = true;
        Ok(stored)
    }

    /// Whether bytes are stored, so that ranges cannot be noted. False in an empty buffer.
    #[must_use]
    pub fn keeps_bytes(&self) -> bool {
        self.table.held() > 0
    }

    /// Whether nothing is stored.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The end of the stored run that `offset` lies in, or `offset` if it lies in none.
    #[must_use]
    pub fn contiguous_from(&self, offset: u64) -> u64 {
        self.spans.containing(offset).map_or(offset, Span::end)
    }

    /// The start of the first stored run that starts at or above `offset`.
    #[must_use]
    pub fn next_start(&self, offset: u64) -> Option<u64> {
        self.spans.next_after(offset).map(Span::start)
    }

    /// The bytes of `span`, in order and where they lie: from its start up to the first byte that is not stored.
    #[must_use]
    pub fn slices<'a>(&'a self, pool: &'a SegmentPool, span: Span) -> Slices<'a> {
        let end = self.contiguous_from(span.start()).min(span.end());
        Slices { table: &self.table, pool, next: span.start(), end }
    }

    /// Copies bytes from `offset` on, up to the end of the stored run or of `out`, and returns how many.
    pub fn copy_out(&self, pool: &SegmentPool, offset: u64, out: &mut [u8]) -> usize {
        let Some(span) = Span::with_len(offset, out.len() as u64) else { return 0 };
        let mut copied = 0;
        for slice in self.slices(pool, span) {
            out[copied..copied + slice.len()].copy_from_slice(slice);
            copied += slice.len();
        }
        copied
    }

    /// The first run of `bytes`, taken to start at `offset`, that differs from what is stored. Bytes that are not
    /// stored do not differ.
    #[must_use]
    pub fn compare(&self, pool: &SegmentPool, offset: u64, bytes: &[u8]) -> Option<Span> {
        self.compare_span(pool, Span::with_len(offset, bytes.len() as u64)?, bytes)
    }

    /// Forgets everything below `offset` and frees the segments in which nothing is left.
    pub fn release_below(&mut self, pool: &mut SegmentPool, offset: u64) {
        self.spans.remove_below(offset);
        match self.spans.first() {
            Some(first) => self.table.free_below(pool, first.start()),
            None => self.table.clear(pool),
        }
    }

    /// Turns stored bytes into noted ranges and frees all segments: for when the last reader of bytes has gone.
    pub fn forget_bytes(&mut self, pool: &mut SegmentPool) {
        self.table.clear(pool);
        self.ranges_only = true;
    }

    /// Forgets everything and frees all segments. Keeps some capacity for reuse.
    pub fn clear(&mut self, pool: &mut SegmentPool) {
        self.spans.clear();
        self.table.clear(pool);
    }

    /// The stored ranges.
    #[must_use]
    pub const fn spans(&self) -> &RangeSet {
        &self.spans
    }

    /// Bytes in the stored ranges.
    #[must_use]
    pub const fn stored_bytes(&self) -> u64 {
        self.spans.total()
    }

    /// Segments of the pool that the buffer holds.
    #[must_use]
    pub const fn segments_held(&self) -> usize {
        self.table.held()
    }

    fn insert(&mut self, span: Span, conflict: Option<Span>) -> Result<Stored, StoreError> {
        let fresh = self.spans.insert(span)?;
        Ok(Stored { fresh, overlapped: span.len() - fresh, conflict })
    }

    fn compare_span(&self, pool: &SegmentPool, span: Span, bytes: &[u8]) -> Option<Span> {
        self.spans.overlaps_within(span).find_map(|overlap| {
            first_difference(self.slices(pool, overlap), overlap.start(), part(bytes, span.start(), overlap))
        })
    }
}

/// The bytes of `within`, out of `bytes` that start at `offset` and reach over it.
fn part(bytes: &[u8], offset: u64, within: Span) -> &[u8] {
    &bytes[(within.start() - offset) as usize..(within.end() - offset) as usize]
}

/// The first run in which `bytes` differ from `stored`, where both start at `at`.
fn first_difference<'a>(stored: impl Iterator<Item = &'a [u8]>, mut at: u64, mut bytes: &[u8]) -> Option<Span> {
    let mut differs_from = None;
    for old in stored {
        let (new, rest) = bytes.split_at(old.len());
        bytes = rest;
        // The usual retransmission repeats what was there, and then this comparison is all it costs.
        if differs_from.is_none() && old == new {
            at += old.len() as u64;
            continue;
        }
        for (old, new) in old.iter().zip(new) {
            match differs_from {
                None if old != new => differs_from = Some(at),
                Some(start) if old == new => return Span::new(start, at),
                _ => {}
            }
            at += 1;
        }
    }
    differs_from.and_then(|start| Span::new(start, at))
}

/// Stored bytes in order, as the slices in which they lie in their segments. Made by [`StreamBuffer::slices`].
#[derive(Clone, Debug)]
pub struct Slices<'a> {
    table: &'a SegmentTable,
    pool: &'a SegmentPool,
    next: u64,
    end: u64,
}

impl<'a> Iterator for Slices<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let left = Span::new(self.next, self.end)?.len();
        let segment = self.table.bytes_from(self.pool, self.next)?;
        let slice = &segment[..usize::try_from(left).map_or(segment.len(), |left| left.min(segment.len()))];
        self.next += slice.len() as u64;
        Some(slice)
    }
}

impl core::iter::FusedIterator for Slices<'_> {}
