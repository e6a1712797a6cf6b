//! What is stored of one direction, and where each of its readers stands.

use smallvec::SmallVec;

use super::{RangeSet, SegmentPool, Span, StreamBuffer};

/// Stored data of a direction with its readers' positions. Made when something must be kept beyond its burst: data out of
/// order, data that a reader left, or history.
#[derive(Debug, Default)]
pub struct Backlog {
    /// The bytes.
    pub stream: StreamBuffer,
    /// Where each reader stands; one without an entry stands at `start`.
    cursors: SmallVec<[u64; 2]>,
    start: u64,
    /// What will never come, among what is not read by all.
    gaps: RangeSet,
    /// Bytes below were given up for want of room.
    floor: u64,
    /// A larger capacity than the direction should have by now: it was made smaller while so much was unread.
    pub capacity: u64,
}

impl Backlog {
    /// Begins anew: every reader stands at `start`, nothing is stored.
    pub fn begin(&mut self, start: u64) {
        self.cursors.clear();
        self.gaps.clear();
        self.start = start;
        self.floor = 0;
        self.capacity = 0;
    }

    /// Where `reader` stands.
    #[must_use]
    pub fn cursor(&self, reader: u8) -> u64 {
        self.cursors.get(usize::from(reader)).copied().unwrap_or(self.start)
    }

    /// Moves `reader` on to `offset`.
    pub fn move_to(&mut self, reader: u8, offset: u64) {
        let index = usize::from(reader);
        if index >= self.cursors.len() {
            self.cursors.resize(index + 1, self.start);
        }
        self.cursors[index] = self.cursors[index].max(offset);
    }

    /// The positions of `readers`, one bit each.
    fn cursors(&self, readers: u16) -> impl Iterator<Item = u64> + '_ {
        (0..16).filter(move |reader| readers & 1 << reader != 0).map(|reader| self.cursor(reader))
    }

    /// Where the slowest of `readers` stands, or `end` without any.
    #[must_use]
    pub fn slowest(&self, readers: u16, end: u64) -> u64 {
        self.cursors(readers).min().unwrap_or(end)
    }

    /// Where the fastest of `readers` stands.
    #[must_use]
    pub fn fastest(&self, readers: u16) -> u64 {
        self.cursors(readers).max().unwrap_or(0)
    }

    /// What lies below was given up.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Gives up everything below `floor`, read or not.
    pub fn give_up_below(&mut self, pool: &mut SegmentPool, floor: u64) {
        self.floor = self.floor.max(floor);
        self.release_below(pool, floor);
    }

    /// Frees what lies below `offset`: all readers are past it.
    pub fn release_below(&mut self, pool: &mut SegmentPool, offset: u64) {
        self.stream.release_below(pool, offset);
        self.gaps.remove_below(offset);
    }

    /// `gap` will never come.
    pub fn add_gap(&mut self, gap: Span) {
        if self.gaps.insert(gap).is_err() {
            // More gaps than anybody can make sense of: everything up to here counts as missing.
            self.floor = self.floor.max(gap.end());
        }
    }

    /// Those of `readers` that stand below `offset`.
    #[must_use]
    pub fn behind(&self, readers: u16, offset: u64) -> u16 {
        (0..16)
            .filter(|&reader| readers & 1 << reader != 0 && self.cursor(reader) < offset)
            .fold(0, |all, one| all | 1 << one)
    }

    /// What a reader at `from` finds next, up to `end`.
    #[must_use]
    pub fn next(&self, from: u64, end: u64) -> Option<Stretch> {
        if from >= end {
            return None;
        }
        if from < self.floor {
            return Span::new(from, self.floor.min(end)).map(Stretch::Missing);
        }
        if let Some(gap) = self.gaps.containing(from) {
            return Span::new(from, gap.end().min(end)).map(Stretch::Missing);
        }
        let until = self.gaps.next_after(from).map_or(end, |gap| gap.start().min(end));
        let stored = self.stream.contiguous_from(from).min(until);
        if stored > from {
            let stretch = if self.stream.keeps_bytes() { Stretch::Stored } else { Stretch::Missing };
            return Span::new(from, stored).map(stretch);
        }
        // Nothing there: only a stream of which no bytes were kept looks like this.
        let next = self.stream.next_start(from).unwrap_or(until).min(until);
        Span::new(from, next).map(Stretch::Missing)
    }
}

/// A run of the stored part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Bytes.
    Stored(Span),
    /// Bytes that never came, or were given up.
    Missing(Span),
}
