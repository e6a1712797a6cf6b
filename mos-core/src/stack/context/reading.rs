//! What a side of the flow at hand has received: unread stream, run by run or copied, and where its buffer stands.

use smallvec::SmallVec;

use super::super::Stack;
use super::super::chunks::{Chunk, Chunks, Runs};
use super::super::pending::Source;
use super::FlowCx;
use crate::event::Side;
use crate::flow::record::{HalfFlags, SlowFlags};
use crate::reassembly::Span;
use crate::wire::SeqNum;

/// Where a side's receive buffer stands, in the sequence numbers of its peer as this side knows them (`tcp_buf_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufInfo {
    /// The number of the stream's first byte.
    pub init_seq: SeqNum,
    /// The number of the last byte that the reader has taken; the one before `init_seq` if it has taken none.
    pub last_byte_read: SeqNum,
    /// The number of the next byte that is expected.
    pub next_byte_expected: SeqNum,
    /// The number of the last byte that has come, in order or not.
    pub last_byte_received: SeqNum,
}

impl FlowCx<'_> {
    /// Where the receive buffer of `side` stands for `reader`; `None` as long as the stream's beginning is not known.
    #[must_use]
    pub fn buf_info(&self, side: Side, reader: u8) -> Option<BufInfo> {
        let half = &self.stack.flows.hot(self.slot).half[side as usize];
        if !half.flags.any(HalfFlags::SYNCED) {
            return None;
        }
        let end = self.info(side).stream_bytes;
        let fin = u64::from(half.slow.any(SlowFlags::FIN_REACHED));
        // The number of the byte at an offset: as far from RCV.NXT as that is from the stream's end.
        let number = |offset: u64| half.rcv_nxt + offset.wrapping_sub(end + fin) as u32;
        let last = self.stack.backlog(self.slot, side).and_then(|backlog| backlog.stream.spans().last());
        let received = last.map_or(end, |span| span.end().max(end));
        Some(BufInfo {
            init_seq: number(0),
            last_byte_read: number(self.position(side, reader).wrapping_sub(1)),
            next_byte_expected: number(end),
            last_byte_received: number(received.wrapping_sub(1)),
        })
    }

    /// What has come of the stream that `side` receives and is not taken by `reader`: the part in order first, if anything of
    /// that is left, then what lies beyond holes, by stream offsets (MOS_FRAGINFO).
    #[must_use]
    pub fn fragments(&self, side: Side, reader: u8) -> SmallVec<[Span; 4]> {
        let end = self.info(side).stream_bytes;
        let in_order = Span::new(self.position(side, reader), end);
        let beyond = self.stack.backlog(self.slot, side).into_iter().flat_map(|backlog| backlog.stream.spans().iter());
        in_order.into_iter().chain(beyond.filter_map(|span| span.at_or_above(end))).collect()
    }

    /// What `reader` has not taken of the bytes that `side` received, in order.
    #[inline]
    #[must_use]
    pub fn chunks(&self, side: Side, reader: u8) -> Chunks<'_> {
        self.stack.note_reading();
        match self.only_piece(side, reader) {
            Some(bytes) => Chunks::one(bytes),
            None => Chunks::several(self.runs(side, reader)),
        }
    }

    /// What `reader` has not taken, if that is one piece in a frame of this burst: the usual case.
    #[inline]
    fn only_piece(&self, side: Side, reader: u8) -> Option<&[u8]> {
        let pending = &self.stack.pending;
        let (group, left) = pending.only(self.slot, side, reader)?;
        let group = pending.group(group);
        let Source::Frame(at) = group.first.source else { return None };
        if group.first.len != group.len {
            return None;
        }
        self.burst.memory.get(at + (group.len - left) as usize..at + group.len as usize)
    }

    #[inline(never)]
    fn runs(&self, side: Side, reader: u8) -> Runs<'_> {
        let (position, end, origin, group) = self.unread(side, reader);
        Runs {
            stack: self.stack,
            memory: self.burst.memory,
            backlog: self.stack.backlog(self.slot, side),
            position,
            end,
            piece: group.map(|group| &self.stack.pending.group(group).first),
            piece_start: origin,
            pieces_from: origin,
            slices: None,
        }
    }

    /// The bytes, seen or missing, that `reader` has not taken yet.
    #[inline]
    #[must_use]
    pub fn unread_len(&self, side: Side, reader: u8) -> u64 {
        match self.stack.pending.only(self.slot, side, reader) {
            Some((_, left)) => left,
            None => self.unread_len_anywhere(side, reader),
        }
    }

    #[inline(never)]
    fn unread_len_anywhere(&self, side: Side, reader: u8) -> u64 {
        let (position, end, ..) = self.unread_anywhere(side, reader);
        end - position
    }

    /// The stream offset of the first byte that `reader` has not taken.
    #[must_use]
    pub fn position(&self, side: Side, reader: u8) -> u64 {
        let (position, _, origin, group) = self.unread(side, reader);
        match group {
            Some(group) => self.stack.group_start(group).wrapping_add(position).wrapping_sub(origin),
            None => position,
        }
    }

    /// `reader` has taken `len` bytes more, or all there are.
    #[inline]
    pub fn consume(&mut self, side: Side, reader: u8, len: u64) {
        if !self.stack.pending.take_only(self.slot, side, reader, len) {
            self.consume_anywhere(side, reader, len);
        }
    }

    #[inline(never)]
    fn consume_anywhere(&mut self, side: Side, reader: u8, len: u64) {
        if !self.is_stored(side) {
            if let Some(group) = self.pending_group(side) {
                self.stack.pending.take(group, reader, len);
            }
            return;
        }
        let (position, end, ..) = self.unread_anywhere(side, reader);
        let position = position.saturating_add(len).min(end);
        if let Some(buffer) = &self.stack.flows.spill(self.slot, side).buffer {
            self.stack.buffers.get_mut(buffer).move_to(reader, position);
        }
    }

    /// In NEW_DATA at the end of a burst, if reader 0 is the only one and no history is kept: once that has taken everything, this
    /// goes on to what the burst has brought next, if the same handlers are told of that. Returns the side that has received it.
    ///
    /// Without that, the stack goes on: it asks who reads, and begins again with the next one.
    #[inline(always)]
    pub fn go_on(&mut self) -> Option<Side> {
        let Stack { flows, pending, .. } = &mut *self.stack;
        let (slot, side) = pending.next_if_taken()?.place();
        let (hot, next) = (flows.hot(self.slot), flows.hot(slot));
        let flags = next.half[side as usize].flags.mask(HalfFlags::PENDING | HalfFlags::BUFFERED);
        if flags != HalfFlags::PENDING || next.table != hot.table || next.wanted != hot.wanted {
            return None;
        }
        let before = pending.go_on();
        flows.hot_mut(self.slot).half[before as usize].flags.clear(HalfFlags::PENDING);
        self.slot = slot;
        Some(side)
    }

    /// Copies what `reader` has not taken, up to the next missing byte, and takes it.
    ///
    /// # Errors
    ///
    /// [`PeekError::Missing`] if the next bytes are missing; they count as taken then, so the next call reads on.
    #[inline]
    pub fn peek(&mut self, side: Side, reader: u8, out: &mut [u8]) -> Result<usize, PeekError> {
        let Some(bytes) = self.only_piece(side, reader) else { return self.peek_anywhere(side, reader, out) };
        let copied = bytes.len().min(out.len());
        out[..copied].copy_from_slice(&bytes[..copied]);
        self.stack.pending.take_only(self.slot, side, reader, copied as u64);
        self.stack.note_reading();
        Ok(copied)
    }

    #[inline(never)]
    fn peek_anywhere(&mut self, side: Side, reader: u8, out: &mut [u8]) -> Result<usize, PeekError> {
        let mut copied = 0;
        for chunk in self.chunks(side, reader) {
            match chunk {
                Chunk::Data(data) => {
                    let len = data.len().min(out.len() - copied);
                    out[copied..copied + len].copy_from_slice(&data[..len]);
                    copied += len;
                }
                Chunk::Missing(len) if copied == 0 && !out.is_empty() => {
                    self.consume(side, reader, len);
                    return Err(PeekError::Missing(len));
                }
                Chunk::Missing(_) => break,
            }
            if copied == out.len() {
                break;
            }
        }
        self.consume(side, reader, copied as u64);
        Ok(copied)
    }

    /// Copies bytes at stream offset `offset` without taking them: unread, out of order, or kept as history. Stops at the
    /// next byte that is not there; 0 if the first one is not.
    #[must_use]
    pub fn ppeek(&self, side: Side, offset: u64, out: &mut [u8]) -> usize {
        self.stack.note_reading();
        let mut copied = 0;
        while copied < out.len() {
            let at = offset.saturating_add(copied as u64);
            let step = match self.in_pending(side, at) {
                Some(bytes) => {
                    let len = bytes.len().min(out.len() - copied);
                    out[copied..copied + len].copy_from_slice(&bytes[..len]);
                    len
                }
                None => self
                    .stack
                    .backlog(self.slot, side)
                    .map_or(0, |backlog| backlog.stream.copy_out(&self.stack.pool, at, &mut out[copied..])),
            };
            if step == 0 {
                break;
            }
            copied += step;
        }
        copied
    }

    /// The bytes from `offset` on, as far as they lie in one frame of this burst.
    fn in_pending(&self, side: Side, offset: u64) -> Option<&[u8]> {
        let group = self.pending_group(side)?;
        let mut at = self.stack.group_start(group);
        for piece in self.stack.pending.pieces(group) {
            if offset < at {
                return None;
            }
            if offset < at + piece.len {
                let (skip, len) = ((offset - at) as usize, piece.len as usize);
                return self.stack.scratch.at(piece.source, len, &self.burst).map(|bytes| &bytes[skip..]);
            }
            at += piece.len;
        }
        None
    }

    /// The group that is being delivered, if it is of `side`.
    #[inline]
    fn delivered(&self, side: Side) -> Option<usize> {
        let pending = &self.stack.pending;
        pending.delivered().filter(|&index| pending.group(index).place() == (self.slot, side))
    }

    fn pending_group(&self, side: Side) -> Option<usize> {
        if let Some(group) = self.delivered(side) {
            return Some(group);
        }
        let pending = self.stack.flows.hot(self.slot).half[side as usize].flags.any(HalfFlags::PENDING);
        pending.then(|| self.stack.pending.find(self.slot, side)).flatten()
    }

    /// Whether more than what this burst brought is kept of a side.
    #[inline]
    fn is_stored(&self, side: Side) -> bool {
        self.stack.flows.hot(self.slot).half[side as usize].flags.any(HalfFlags::BUFFERED)
    }

    /// Where `reader` stands, where the readable part ends, where the pending pieces begin, and their group. Offsets of
    /// the stream if there is a backlog; otherwise all that is unread is pending, and they count from its first byte.
    #[inline]
    fn unread(&self, side: Side, reader: u8) -> (u64, u64, u64, Option<usize>) {
        match self.stack.pending.only(self.slot, side, reader) {
            Some((group, left)) => {
                let len = self.stack.pending.group(group).len;
                (len - left, len, 0, Some(group))
            }
            None => self.unread_anywhere(side, reader),
        }
    }

    #[inline(never)]
    fn unread_anywhere(&self, side: Side, reader: u8) -> (u64, u64, u64, Option<usize>) {
        let group = self.pending_group(side);
        let len = group.map_or(0, |group| self.stack.pending.group(group).len);
        match (self.stack.backlog(self.slot, side), group) {
            (Some(backlog), Some(group)) => {
                let origin = self.stack.group_start(group);
                (backlog.cursor(reader).min(origin + len), origin + len, origin, Some(group))
            }
            (Some(backlog), None) => {
                let end = self.info(side).stream_bytes;
                (backlog.cursor(reader).min(end), end, end, None)
            }
            (None, Some(index)) => (self.stack.pending.taken(index, reader).min(len), len, 0, group),
            (None, None) => {
                let end = self.info(side).stream_bytes;
                (end, end, end, None)
            }
        }
    }
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// That many bytes never came, or were given up because nobody read them in time.
    #[error("{0} bytes of the stream are missing")]
    Missing(u64),
}
