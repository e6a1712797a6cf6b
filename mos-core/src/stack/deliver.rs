//! From the stream to its readers: what a burst brought is shown to them at its end, and what they leave is kept.

use core::ops::Range;

use smallvec::SmallVec;

use super::pending::{FIRST, MAX_READERS, Source};
use super::{FlowCx, Stack};
use crate::event::{ErrorReason, Observer, Reading, Side, Wanted};
use crate::flow::record::HalfFlags;
use crate::packet::Burst;
use crate::reassembly::{Backlog, OverlapPolicy, Span};
use crate::wire::SeqNum;

impl Stack {
    /// Where the byte at `at` of the packet at `index` lies.
    #[inline]
    pub(super) fn source(&self, index: usize, at: usize, burst: &Burst<'_>) -> Source {
        self.scratch.source(index, at, burst)
    }

    /// Adds a run to what the readers of a side will find at the end of the burst. `base` is the number of its first byte.
    #[inline]
    pub(super) fn push(&mut self, slot: u32, side: Side, base: SeqNum, source: Source, len: u32) {
        let flags = &mut self.flows.hot_mut(slot).half[side as usize].flags;
        if flags.any(HalfFlags::PENDING) {
            self.pending.extend(slot, side, source, len);
        } else {
            flags.set(HalfFlags::PENDING);
            self.pending.begin(slot, side, base, source, len);
        }
    }

    /// NEW_DATA for all groups.
    pub(super) fn deliver_all<O: Observer>(&mut self, burst: &mut Burst<'_>, observer: &mut O) {
        let mut groups = 0..self.pending.len();
        while !groups.is_empty() {
            groups.start = self.deliver(groups.clone(), burst, observer);
        }
    }

    /// NEW_DATA for the first of `groups`, and for those behind it that the observer goes on to; what their readers leave is
    /// kept. Returns where the rest begins.
    pub(super) fn deliver<O: Observer>(
        &mut self,
        groups: Range<usize>,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> usize {
        let (first, group) = (groups.start, self.pending.group(groups.start));
        let (slot, side) = group.place();
        let hot = self.flows.hot(slot);
        let half = &hot.half[side as usize];
        if !half.flags.any(HalfFlags::PENDING) || self.pending.is_withdrawn(first) {
            // The flow ended in this burst, and had it then; or its readers have stopped reading.
            return first + 1;
        }
        let immediate = hot.wanted.any(Wanted::IMMEDIATE);
        let together = if immediate { first..first + 1 } else { groups };
        self.pending.begin_delivery(together, !half.flags.any(HalfFlags::BUFFERED));
        if immediate {
            self.announce(first, None, burst, observer);
        }
        if self.flows.hot(slot).wanted.any(Wanted::buffer(side)) {
            observer.on_new_data(&mut FlowCx { stack: self, burst: burst.reborrow(), slot, index: None }, side, false);
        }
        self.pending.join();
        let last = self.pending.delivered().unwrap_or(first);
        self.keep_rest(last, burst, observer);
        self.pending.end_delivery();
        let (slot, side) = self.pending.group(last).place();
        self.flows.hot_mut(slot).half[side as usize].flags.clear(HalfFlags::PENDING);
        last + 1
    }

    /// NEW_DATA with the packet that brought it, for those who want that (see [`Wanted::IMMEDIATE`]).
    #[inline(always)]
    pub(super) fn deliver_at_once<O: Observer>(
        &mut self,
        slot: u32,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        if self.flows.hot(slot).wanted.any(Wanted::IMMEDIATE) {
            self.deliver_immediate(slot, index, burst, observer);
        }
    }

    #[inline(never)]
    fn deliver_immediate<O: Observer>(&mut self, slot: u32, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        for side in Side::BOTH {
            if self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::PENDING)
                && let Some(group) = self.pending.find(slot, side)
            {
                self.dropped = false;
                let new = self.group_start(group) + self.pending.group(group).announced;
                self.newest = self.cut_before(slot, side, index, new).map(|offset| (side, offset));
                self.announce(group, Some(index), burst, observer);
                if let Some((side, offset)) = self.newest.take()
                    && self.dropped
                {
                    self.cut(slot, side, offset);
                }
            }
        }
    }

    fn announce<O: Observer>(&mut self, group: usize, index: Option<usize>, burst: &mut Burst<'_>, observer: &mut O) {
        let waiting = self.pending.group(group);
        let (slot, side) = waiting.place();
        if self.flows.hot(slot).wanted.any(Wanted::IMMEDIATE) && waiting.len > waiting.announced {
            self.pending.announce(group);
            observer.on_new_data(&mut FlowCx { stack: self, burst: burst.reborrow(), slot, index }, side, true);
        }
    }

    fn keep_rest<O: Observer>(&mut self, group: usize, burst: &mut Burst<'_>, observer: &mut O) {
        let (slot, side) = self.pending.group(group).place();
        let hot = self.flows.hot(slot);
        let Reading { readers, history_bytes: history, .. } = observer.reading(hot.table, side);
        let buffered = hot.half[side as usize].flags.any(HalfFlags::BUFFERED);
        if buffered || history > 0 || !self.pending.is_taken(group, readers) {
            self.keep(group, burst, observer);
        }
    }

    #[inline(never)]
    fn keep<O: Observer>(&mut self, group: usize, burst: &mut Burst<'_>, observer: &mut O) {
        let (slot, side) = self.pending.group(group).place();
        let end = self.group_start(group) + self.pending.group(group).len;
        self.make_room(slot, side, end, None, burst, observer);
        let hot = self.flows.hot(slot);
        if !hot.wanted.any(Wanted::buffer(side)) {
            // Nobody reads any more: whoever was told of an overrun may have stopped then.
            return;
        }
        let Reading { readers, history_bytes: history, .. } = observer.reading(hot.table, side);
        let Some(backlog) = self.ensure_backlog(slot, side) else { return };
        backlog.capacity = backlog.capacity.min(end.saturating_sub(backlog.slowest(readers, end)));
        let keep_from = backlog.slowest(readers, end).min(end.saturating_sub(history)).max(backlog.floor());
        for span in self.materialize_from(group, keep_from, burst) {
            self.lose(slot, side, span, burst, observer);
        }
        self.release(slot, side, keep_from);
        if let Some(backlog) = self.backlog(slot, side)
            && backlog.stream.is_empty()
            && backlog.slowest(readers, end) >= end
            && history == 0
        {
            self.drop_backlog(slot, side);
        }
    }

    /// There is no memory to keep `span` of what a burst brought: with an ERROR for those who have not read it.
    fn lose<O: Observer>(&mut self, slot: u32, side: Side, span: Span, burst: &mut Burst<'_>, observer: &mut O) {
        let readers = observer.reading(self.flows.hot(slot).table, side).readers;
        let Some(backlog) = self.backlog(slot, side) else { return };
        let behind = backlog.behind(readers, span.end());
        if let Some(unread) = span.at_or_above(backlog.slowest(behind, span.end())) {
            self.error_to(behind, slot, side, ErrorReason::Overrun(unread), None, burst, observer);
        }
        if let Some(buffer) = &self.flows.spill(slot, side).buffer {
            self.buffers.get_mut(buffer).add_gap(span);
        }
    }

    /// Copies what a group has in frames to the backlog, as far as there is memory for it: the rest stays where it lies.
    pub(super) fn materialize(&mut self, slot: u32, side: Side, burst: &Burst<'_>) {
        if let Some(group) = self.pending.find(slot, side)
            && self.ensure_backlog(slot, side).is_some()
        {
            let _ = self.materialize_from(group, 0, burst);
        }
    }

    /// The same for what lies at `keep_from` or behind. Returns what is not there.
    fn materialize_from(&mut self, group: usize, keep_from: u64, burst: &Burst<'_>) -> SmallVec<[Span; 2]> {
        let mut left = SmallVec::<[Span; 2]>::new();
        let mut at = self.group_start(group);
        let (slot, side) = self.pending.group(group).place();
        let Some(buffer) = &self.flows.spill(slot, side).buffer else { return left };
        let mut next = FIRST;
        while let Some(piece) = self.pending.piece_mut(group, next) {
            let (start, end) = (at.max(keep_from), at + u64::from(piece.len));
            let skip = (start - at) as usize;
            if let Some(span) = Span::new(start, end) {
                let backlog = self.buffers.get_mut(buffer);
                if piece.source == Source::Missing {
                    backlog.add_gap(span);
                }
                if let Some(bytes) = self.scratch.at(piece.source, piece.len as usize, burst) {
                    let bytes = &bytes[skip..];
                    let kept = backlog.stream.store(&mut self.pool, start, bytes, OverlapPolicy::First, 0);
                    match (kept, left.last_mut()) {
                        (Ok(_), _) => piece.source = Source::Stored,
                        (Err(_), Some(last)) if last.end() == start => {
                            *last = Span::new(last.start(), end).unwrap_or(*last);
                        }
                        (Err(_), _) => left.push(span),
                    }
                }
            }
            at = end;
            next = piece.next;
        }
        left
    }

    /// Keeps what is unread of a direction within the receive buffer: the oldest goes, as in a ring, with an ERROR.
    pub(super) fn make_room<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        end: u64,
        index: Option<usize>,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let hot = self.flows.hot(slot);
        if !hot.wanted.any(Wanted::buffer(side)) || !hot.half[side as usize].flags.any(HalfFlags::BUFFERED) {
            return;
        }
        let reading = observer.reading(hot.table, side);
        let readers = reading.readers;
        let mut floor = end.saturating_sub(self.capacity(slot, side, reading));
        if index.is_some() {
            // What this burst brings has not been offered to the readers yet, nor has what is about to be appended.
            let group = self.pending.find(slot, side);
            floor = floor.min(group.map_or_else(|| self.offset(slot, side), |group| self.group_start(group)));
        }
        let Some(backlog) = self.backlog(slot, side) else { return };
        let slowest = backlog.slowest(readers, end).max(backlog.floor());
        let Some(lost) = Span::new(slowest, floor) else { return };
        let behind = backlog.behind(readers, floor);
        self.error_to(behind, slot, side, ErrorReason::Overrun(lost), index, burst, observer);
        if let Some(buffer) = &self.flows.spill(slot, side).buffer {
            self.buffers.get_mut(buffer).give_up_below(&mut self.pool, floor);
        }
    }

    /// A buffer of `capacity` bytes is to have less: what is unread in it stays.
    pub(super) fn keep_capacity(&mut self, slot: u32, side: Side, capacity: u64) {
        if self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::PENDING) {
            // What this burst brought is unread as well, and only a backlog remembers the capacity.
            self.ensure_backlog(slot, side);
        }
        if let Some(buffer) = &self.flows.spill(slot, side).buffer {
            let backlog = self.buffers.get_mut(buffer);
            backlog.capacity = backlog.capacity.max(capacity);
        }
    }

    /// Nobody reads what `side` receives any more: no bytes are kept, only what is needed to follow the stream.
    pub(super) fn stop_reading(&mut self, slot: u32, side: Side) {
        if self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::PENDING) {
            // Whoever begins to read later in this burst has no use for that, and what comes until then has no place in it.
            if let Some(group) = self.pending.find(slot, side) {
                self.pending.withdraw(group);
            }
            self.flows.hot_mut(slot).half[side as usize].flags.clear(HalfFlags::PENDING);
        }
        let offset = self.offset(slot, side);
        let Some(buffer) = &self.flows.spill(slot, side).buffer else { return };
        let backlog = self.buffers.get_mut(buffer);
        backlog.release_below(&mut self.pool, offset);
        backlog.stream.forget_bytes(&mut self.pool);
        if backlog.stream.is_empty() {
            self.drop_backlog(slot, side);
        }
    }

    /// How many bytes of a direction may be kept, unread or out of order. A buffer that was made smaller than what is unread
    /// in it shrinks as that is read.
    pub(super) fn capacity(&self, slot: u32, side: Side, reading: Reading) -> u64 {
        let wanted = reading.capacity(self.config.receive_buffer_bytes);
        self.backlog(slot, side).map_or(wanted, |backlog| backlog.capacity.max(wanted))
    }

    /// The offset of the first byte of a group.
    pub(super) fn group_start(&self, group: usize) -> u64 {
        let of_number = || {
            let group = self.pending.group(group);
            let (slot, side) = group.place();
            self.flows.cold(slot).half[side as usize].offset_of(group.base)
        };
        self.pending.start(group).unwrap_or_else(of_number)
    }

    /// The backlog of a side, if it has one.
    #[inline]
    pub(super) fn backlog(&self, slot: u32, side: Side) -> Option<&Backlog> {
        if !self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::BUFFERED) {
            return None;
        }
        self.flows.spill(slot, side).buffer.as_ref().map(|buffer| self.buffers.get(buffer))
    }

    /// The backlog of a side, made if need be: readers stand where they stood.
    pub(super) fn ensure_backlog(&mut self, slot: u32, side: Side) -> Option<&mut Backlog> {
        if self.flows.spill(slot, side).buffer.is_none() {
            let buffer = self.buffers.take()?;
            self.pending.join();
            let pending = self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::PENDING);
            let group = pending.then(|| self.pending.find(slot, side)).flatten();
            let start = group.map_or_else(|| self.offset(slot, side), |group| self.group_start(group));
            let backlog = self.buffers.get_mut(&buffer);
            match group {
                Some(index) => {
                    backlog.begin(start);
                    for reader in 0..MAX_READERS as u8 {
                        let taken = self.pending.taken(index, reader);
                        if taken > 0 {
                            backlog.move_to(reader, start + taken);
                        }
                    }
                }
                None => backlog.begin(start),
            }
            self.flows.hot_mut(slot).half[side as usize].flags.set(HalfFlags::BUFFERED);
            self.flows.spill_mut(slot, side).buffer = Some(buffer);
        }
        let buffer = self.flows.spill(slot, side).buffer.as_ref()?;
        Some(self.buffers.get_mut(buffer))
    }

    pub(super) fn release(&mut self, slot: u32, side: Side, offset: u64) {
        if let Some(buffer) = &self.flows.spill(slot, side).buffer {
            self.buffers.get_mut(buffer).release_below(&mut self.pool, offset);
        }
        let reads = self.flows.hot(slot).wanted.any(Wanted::buffer(side));
        if !reads && self.backlog(slot, side).is_some_and(|backlog| backlog.stream.is_empty()) {
            self.drop_backlog(slot, side);
        }
    }

    #[inline]
    pub(super) fn drop_backlog(&mut self, slot: u32, side: Side) {
        if !self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::BUFFERED) {
            return;
        }
        if let Some(buffer) = self.flows.spill_mut(slot, side).buffer.take() {
            self.buffers.give_back(buffer, &mut self.pool);
            self.flows.hot_mut(slot).half[side as usize].flags.clear(HalfFlags::BUFFERED);
        }
    }
}

impl FlowCx<'_> {
    /// The same as [`Stack::deliver_at_once`], where the context is there already.
    #[inline(always)]
    pub(super) fn deliver_at_once<O: Observer>(&mut self, observer: &mut O) {
        if self.wanted().any(Wanted::IMMEDIATE) {
            self.deliver_immediate(observer);
        }
    }

    #[inline(never)]
    fn deliver_immediate<O: Observer>(&mut self, observer: &mut O) {
        if let Some(index) = self.index {
            self.stack.deliver_immediate(self.slot, index, &mut self.burst, observer);
        }
    }
}
