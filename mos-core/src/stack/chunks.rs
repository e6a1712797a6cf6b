//! Unread stream, run by run and where it lies: in a backlog, in frames, or nowhere.

use super::Stack;
use super::pending::{Piece, Source};
use crate::reassembly::{Backlog, SegmentPool, Slices, Span, StreamBuffer, Stretch};

/// A run of unread stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Bytes, where they lie.
    Data(&'a [u8]),
    /// That many bytes never came, or were given up because nobody read them in time.
    Missing(u64),
}

/// Unread stream, run by run. Made by [`FlowCx::chunks`](super::FlowCx::chunks).
#[derive(Debug)]
pub struct Chunks<'a> {
    /// One run in a frame: most often that is all there is.
    only: Option<&'a [u8]>,
    runs: Option<Runs<'a>>,
}

impl<'a> Chunks<'a> {
    /// One run of bytes, which may be empty.
    #[inline]
    pub(super) fn one(bytes: &'a [u8]) -> Self {
        Self { only: Some(bytes).filter(|bytes| !bytes.is_empty()), runs: None }
    }

    /// Any number of runs.
    pub(super) fn several(runs: Runs<'a>) -> Self {
        Self { only: None, runs: Some(runs) }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    #[inline]
    fn next(&mut self) -> Option<Chunk<'a>> {
        match self.only.take() {
            Some(bytes) => Some(Chunk::Data(bytes)),
            None => self.runs.as_mut().and_then(Runs::next),
        }
    }
}

/// Unread stream, run by run, wherever it lies.
#[derive(Debug)]
pub(super) struct Runs<'a> {
    pub(super) stack: &'a Stack,
    pub(super) memory: &'a [u8],
    pub(super) backlog: Option<&'a Backlog>,
    pub(super) position: u64,
    pub(super) end: u64,
    pub(super) piece: Option<&'a Piece>,
    pub(super) piece_start: u64,
    pub(super) pieces_from: u64,
    pub(super) slices: Option<Slices<'a>>,
}

impl<'a> Runs<'a> {
    fn missing(&mut self, len: u64) -> Option<Chunk<'a>> {
        self.position += len;
        Some(Chunk::Missing(len))
    }

    fn data(&mut self, data: &'a [u8]) -> Option<Chunk<'a>> {
        self.position += data.len() as u64;
        Some(Chunk::Data(data))
    }

    fn pool(&self) -> &'a SegmentPool {
        &self.stack.pool
    }

    #[inline(never)]
    fn next(&mut self) -> Option<Chunk<'a>> {
        loop {
            if let Some(slice) = self.slices.as_mut().and_then(Iterator::next) {
                return self.data(slice);
            }
            self.slices = None;
            if self.position >= self.end {
                return None;
            }
            if let Some(backlog) = self.backlog
                && self.position < self.pieces_from.max(backlog.floor().min(self.end))
            {
                match backlog.next(self.position, self.pieces_from.max(backlog.floor().min(self.end)))? {
                    Stretch::Stored(span) => self.slices = Some(backlog.stream.slices(self.pool(), span)),
                    Stretch::Missing(span) => return self.missing(span.len()),
                }
                continue;
            }
            let piece = self.piece?;
            let piece_end = self.piece_start + piece.len;
            if self.position >= piece_end {
                self.piece_start = piece_end;
                self.piece = self.stack.pending.after(piece);
                continue;
            }
            let (skip, len) = ((self.position - self.piece_start) as usize, piece.len as usize);
            match piece.source {
                Source::Frame(at) => return self.data(&self.memory[at + skip..at + len]),
                Source::Scratch(at) => {
                    let stack = self.stack;
                    return self.data(&stack.scratch.bytes[at + skip..at + len]);
                }
                Source::Missing => return self.missing(piece_end - self.position),
                Source::Stored => {
                    let span = Span::new(self.position, piece_end)?;
                    let there = |stream: &StreamBuffer| {
                        stream.keeps_bytes() && stream.contiguous_from(span.start()) > span.start()
                    };
                    match self.backlog.filter(|backlog| there(&backlog.stream)) {
                        Some(backlog) => self.slices = Some(backlog.stream.slices(self.pool(), span)),
                        None => return self.missing(span.len()),
                    }
                }
            }
        }
    }
}
