//! Which parts of a stream are present: a sorted set of disjoint ranges of offsets.

#[cfg(test)]
mod tests;

use core::ops::Range;

use smallvec::SmallVec;

/// The most spans a [`RangeSet`] holds. It bounds the work of one insertion to moving 64 KiB, and is far beyond what
/// loss and reordering produce: only a peer that leaves holes on purpose comes near.
pub const MAX_SPANS: usize = 4096;

/// Spans that fit without an allocation. Real reordering rarely leaves more holes than that open at once.
const INLINE_SPANS: usize = 4;

/// Capacity, in spans, that [`RangeSet::clear`] keeps for the next use: 2 KiB.
const KEPT_SPANS: usize = 128;

/// A range of stream offsets, `start..end`. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    start: u64,
    end: u64,
}

#[expect(clippy::len_without_is_empty, reason = "a span is never empty")]
impl Span {
    /// The span `start..end`; `None` if that is empty or backwards.
    #[inline]
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start < end { Some(Self { start, end }) } else { None }
    }

    /// The span of `len` bytes from `start` on, cut off at `u64::MAX`; `None` if nothing is left of it.
    #[inline]
    #[must_use]
    pub const fn with_len(start: u64, len: u64) -> Option<Self> {
        Self::new(start, start.saturating_add(len))
    }

    /// The first offset in the span.
    #[inline]
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The first offset behind the span.
    #[inline]
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Bytes in the span, at least 1.
    #[inline]
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether `offset` lies in the span.
    #[inline]
    #[must_use]
    pub const fn contains(self, offset: u64) -> bool {
        self.start <= offset && offset < self.end
    }

    /// What both spans have in common, if anything.
    #[inline]
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// The part of the span at or above `offset`, if any.
    #[inline]
    #[must_use]
    pub fn at_or_above(self, offset: u64) -> Option<Self> {
        Self::new(self.start.max(offset), self.end)
    }

    /// The smallest span that has both in it.
    fn hull(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// An insertion would have made more than [`MAX_SPANS`] spans. The set is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_SPANS} separate ranges")]
pub struct TooManySpans;

/// A set of stream offsets, kept as sorted spans that neither overlap nor touch.
///
/// Positions are found by binary search, after a look at both ends, where a stream nearly always grows and shrinks.
/// Changes move the spans on the shorter side of the place, so filling the first hole and appending at the tail move
/// nothing. Up to four spans need no allocation.
#[derive(Clone, Debug, Default)]
pub struct RangeSet {
    /// The spans, behind `dead` slots that were given up at the front. Leaving those in place is what makes taking
    /// away at the front free of moves; they are used again by insertions there, or squeezed out before growing.
    slots: SmallVec<[Span; INLINE_SPANS]>,
    dead: usize,
    total: u64,
}

impl RangeSet {
    /// The empty set. Does not allocate.
    #[must_use]
    pub fn new() -> Self {
        Self { slots: SmallVec::new(), dead: 0, total: 0 }
    }

    /// The number of spans, at most [`MAX_SPANS`].
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.dead
    }

    /// Whether no offset is in the set.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in all spans together.
    #[inline]
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The spans in ascending order.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[Span] {
        &self.slots[self.dead..]
    }

    /// Iterates over the spans in ascending order.
    pub fn iter(&self) -> core::slice::Iter<'_, Span> {
        self.as_slice().iter()
    }

    /// The lowest span.
    #[inline]
    #[must_use]
    pub fn first(&self) -> Option<Span> {
        self.as_slice().first().copied()
    }

    /// The highest span.
    #[inline]
    #[must_use]
    pub fn last(&self) -> Option<Span> {
        self.as_slice().last().copied()
    }

    /// The span that `offset` lies in.
    #[must_use]
    pub fn containing(&self, offset: u64) -> Option<Span> {
        self.iter_from(offset).next().copied().filter(|span| span.contains(offset))
    }

    /// The first span that starts at or above `offset`: where a gap that begins at `offset` ends.
    #[must_use]
    pub fn next_after(&self, offset: u64) -> Option<Span> {
        // Of the spans that end above `offset`, only the first can start below it.
        self.iter_from(offset).copied().find(|span| span.start >= offset)
    }

    /// The parts of `span` that are in the set, in ascending order.
    pub fn overlaps_within(&self, span: Span) -> impl Iterator<Item = Span> {
        self.iter_from(span.start).map_while(move |present| present.intersection(span))
    }

    /// The parts of `span` that are not in the set, in ascending order.
    pub fn gaps_within(&self, span: Span) -> impl Iterator<Item = Span> {
        let mut present = self.overlaps_within(span);
        let mut reached = span.start;
        core::iter::from_fn(move || {
            // A span that covers the very start leaves no gap before it; every other one does.
            while reached < span.end {
                let (gap_end, resume) = present.next().map_or((span.end, span.end), |p| (p.start, p.end));
                let gap = Span::new(reached, gap_end);
                reached = resume;
                if gap.is_some() {
                    return gap;
                }
            }
            None
        })
    }

    /// Bytes of `span` that are in the set.
    #[must_use]
    pub fn covered(&self, span: Span) -> u64 {
        self.overlaps_within(span).map(Span::len).sum()
    }

    /// Whether [`insert`](Self::insert) of `span` would succeed.
    #[must_use]
    pub fn admits(&self, span: Span) -> bool {
        self.len() < MAX_SPANS || !self.touching(span).is_empty()
    }

    /// Adds `span` and returns how many of its bytes were not in the set before.
    ///
    /// # Errors
    ///
    /// [`TooManySpans`] if the set has [`MAX_SPANS`] spans and `span` touches none of them.
    pub fn insert(&mut self, span: Span) -> Result<u64, TooManySpans> {
        if !self.admits(span) {
            return Err(TooManySpans);
        }
        let absorbed = self.touching(span);
        let (merged, present) = self.as_slice()[absorbed.clone()]
            .iter()
            .fold((span, 0), |(merged, bytes), old| (merged.hull(*old), bytes + old.len()));
        let fresh = merged.len() - present;
        self.replace(absorbed, merged);
        self.total += fresh;
        Ok(fresh)
    }

    /// Takes every offset below `offset` out of the set.
    pub fn remove_below(&mut self, offset: u64) {
        let gone = self.first_ending_above(offset);
        self.total -= self.as_slice()[..gone].iter().map(|span| span.len()).sum::<u64>();
        self.dead += gone;
        match self.slots.get_mut(self.dead) {
            Some(cut) if cut.start < offset => {
                self.total -= offset - cut.start;
                cut.start = offset;
            }
            Some(_) => {}
            None => self.clear(),
        }
    }

    /// Takes everything out. Keeps a moderate capacity for reuse, and gives an immoderate one back.
    pub fn clear(&mut self) {
        if self.slots.capacity() > KEPT_SPANS {
            self.slots = SmallVec::new();
        }
        self.slots.clear();
        self.dead = 0;
        self.total = 0;
    }

    /// The index of the first span with an end above `offset`.
    fn first_ending_above(&self, offset: u64) -> usize {
        match self.as_slice() {
            [.., last] if last.end <= offset => self.len(),
            [first, ..] if first.end > offset => 0,
            spans => spans.partition_point(|span| span.end <= offset),
        }
    }

    /// The spans with an end above `offset`.
    fn iter_from(&self, offset: u64) -> core::slice::Iter<'_, Span> {
        self.as_slice()[self.first_ending_above(offset)..].iter()
    }

    /// The indices of the spans that overlap `span` or are adjacent to it. If there are none, an empty range at the
    /// place where `span` belongs.
    fn touching(&self, span: Span) -> Range<usize> {
        // "Ends at or above the start" is "ends above the offset before the start"; at 0 every span does.
        let from = span.start.checked_sub(1).map_or(0, |before| self.first_ending_above(before));
        let behind = &self.as_slice()[from..];
        let count = match behind {
            [] => 0,
            [next, ..] if next.start > span.end => 0,
            [_, next, ..] if next.start > span.end => 1,
            _ => behind.partition_point(|present| present.start <= span.end),
        };
        from..from + count
    }

    /// Puts `span` in the place of the spans at `indices`.
    fn replace(&mut self, indices: Range<usize>, span: Span) {
        let before = indices.start;
        let after = self.len() - indices.end;
        match indices.len() {
            0 => self.insert_at(before, span),
            1 => self.slots[self.dead + before] = span,
            count if before <= after => {
                let surplus = count - 1;
                self.slots.copy_within(self.dead..self.dead + before, self.dead + surplus);
                self.dead += surplus;
                self.slots[self.dead + before] = span;
            }
            _ => {
                self.slots[self.dead + before] = span;
                self.slots.drain(self.dead + before + 1..self.dead + indices.end);
            }
        }
    }

    /// Makes `span` the span at `index`.
    fn insert_at(&mut self, index: usize, span: Span) {
        if self.dead > 0 && index <= self.len() - index {
            self.slots.copy_within(self.dead..self.dead + index, self.dead - 1);
            self.dead -= 1;
            self.slots[self.dead + index] = span;
            return;
        }
        // Squeezing costs a move of everything, so it waits until it gains a quarter: a constant number of moves
        // per insertion in the long run, at a third more memory.
        if self.slots.len() == self.slots.capacity() && self.dead * 4 >= self.slots.len() {
            self.slots.drain(..self.dead);
            self.dead = 0;
        }
        self.slots.insert(self.dead + index, span);
    }
}

impl<'a> IntoIterator for &'a RangeSet {
    type Item = &'a Span;
    type IntoIter = core::slice::Iter<'a, Span>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
