//! Payload: into the stream of the side that receives it, past gaps, and to the readers at the end of the burst.
//!
//! In order, payload is shown to readers where it lies in its frame. Only what came out of order, what a reader left, and
//! what is kept as history goes to the side's backlog.

use super::pending::{Group, MAX_READERS, Source};
use super::{FlowCx, Stack, WHOLE};
use crate::event::{ErrorReason, Event, Hook, Interest, Observer, Side};
use crate::flow::record::{HalfFlags, SlowFlags};
use crate::packet::Burst;
use crate::reassembly::{Backlog, OverlapPolicy, Span, StoreError};
use crate::tcp::{Flow, Segment, TcpState};
use crate::wire::SeqNum;

/// The most separate ranges that are followed in a direction of which nobody reads bytes: they are not under the budget.
const MAX_NOTED: usize = 256;

impl Stack {
    /// Where the byte at `at` of the packet at `index` lies.
    #[inline]
    pub(super) fn source(&self, index: usize, at: usize, burst: &Burst<'_>) -> Source {
        if index == WHOLE {
            Source::Scratch(self.whole_start + at)
        } else {
            Source::Frame(burst.frames[index].start + at)
        }
    }

    /// Adds a run to what the readers of a side will find at the end of the burst. `base` is the number of its first byte.
    #[inline]
    pub(super) fn push(&mut self, slot: u32, side: Side, base: SeqNum, source: Source, len: u64) {
        let half = &mut self.flows.hot_mut(slot).half[side as usize];
        if half.flags.any(HalfFlags::PENDING) {
            self.pending.extend(slot, side, source, len);
        } else {
            half.flags.set(HalfFlags::PENDING);
            self.pending.begin(slot, side, base, source, len);
        }
    }

    /// Whether the payload repeats something that `side` was sent before; counted if so.
    pub(super) fn overlap(&mut self, slot: u32, side: Side, segment: &Segment) -> bool {
        let (hot, cold) = self.flows.parts(slot);
        let half = hot.half[side as usize];
        if segment.rst() || segment.syn() || !half.flags.any(HalfFlags::SYNCED) || half.state == TcpState::SynSent {
            return false;
        }
        let (start, end) = (segment.data_start(), segment.data_end());
        let mut repeated = 0;
        if segment.len > 0 && start.lt(half.rcv_nxt) {
            let old_end = if end.lt(half.rcv_nxt) { end } else { half.rcv_nxt };
            repeated = u64::from(old_end.offset_from(start));
        }
        let buffer = cold.half[side as usize].buffer.as_ref();
        if let Some(buffer) = buffer
            && half.flags.any(HalfFlags::HOLE)
            && end.gt(half.rcv_nxt)
        {
            let first = cold.half[side as usize].offset_of(start.max(half.rcv_nxt));
            if let Some(span) = Span::new(first, cold.half[side as usize].offset_of(end)) {
                repeated += self.buffers.get(buffer).stream.spans().covered(span);
            }
        }
        let fin_again = segment.fin() && segment.len == 0 && start.lt(half.rcv_nxt);
        if repeated == 0 && !fin_again {
            return false;
        }
        let cold = &mut cold.half[side as usize];
        cold.retransmits += 1;
        cold.retransmitted_bytes += repeated;
        true
    }

    /// Payload (and a FIN) for the stream of `side`.
    pub(super) fn take<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        segment: &Segment,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        if segment.len == 0 {
            return;
        }
        let half = self.flows.hot(slot).half[side as usize];
        let (mut start, mut end) = (segment.data_start(), segment.data_end());
        if start.lt(half.rcv_nxt) {
            self.compare(slot, side, segment, index, burst, observer);
        }
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        if flow.fin_seq(side.other()).is_some_and(|fin| start.le(fin) && end.gt(fin)) && flow.withdraw_fin(side.other())
        {
            let state = Interest::of(Hook::Rcv, Event::TcpStateChange);
            self.raise(slot, side.other(), Some(index), Hook::Rcv, state, burst, observer);
        }
        let (hot, cold) = self.flows.parts(slot);
        if let Some(fin) = (Flow { hot, cold }).fin_seq(side.other())
            && end.gt(fin)
        {
            // Beyond the end of the stream nothing counts.
            end = if start.gt(fin) { start } else { fin };
            self.error(slot, side, ErrorReason::BeyondFin, Some(index), burst, observer);
        }
        let skip = if start.lt(half.rcv_nxt) { half.rcv_nxt.offset_from(start) } else { 0 };
        if end.le(start) || end.le(half.rcv_nxt) {
            return;
        }
        start += skip;
        let captured = self.packets[index].payload_captured.saturating_sub(skip).min(end.offset_from(start));
        let at = usize::from(self.packets[index].payload) + skip as usize;
        let source = self.source(index, at, burst);
        if start == half.rcv_nxt {
            self.take_in_order(slot, side, u64::from(captured), source, index, burst, observer);
        } else if captured > 0 {
            self.take_out_of_order(slot, side, start, u64::from(captured), source, index, burst, observer);
        }
        // What the receiver acknowledged before this came shows what will never come.
        self.skip_acked(slot, side, Some(index), burst, observer);
    }

    #[allow(clippy::too_many_arguments)]
    fn take_in_order<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        len: u64,
        source: Source,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let offset = self.offset(slot, side);
        let mut direct = len;
        if let Some(backlog) = self.backlog(slot, side) {
            if let Some(next) = backlog.stream.next_start(offset) {
                direct = direct.min(next - offset);
            }
            if len > direct {
                // Stored data lies in the way: which copy counts is decided there.
                let store_from = if self.config.overlap == OverlapPolicy::Last { 0 } else { direct };
                direct = store_from;
                let Some(span) = Span::new(offset + store_from, offset + len) else { return };
                if self.store(slot, side, span, advanced(source, store_from), index, burst, observer).is_err() {
                    direct = len;
                }
            }
            self.make_room(slot, side, offset + len, Some(index), burst, observer);
        }
        self.append(slot, side, source, direct);
        self.pull(slot, side);
    }

    #[allow(clippy::too_many_arguments)]
    fn take_out_of_order<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        start: SeqNum,
        len: u64,
        source: Source,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        loop {
            let cold = &self.flows.cold(slot).half[side as usize];
            let (offset, nxt) = (cold.offset_of(start), self.offset(slot, side));
            let Some(span) = Span::with_len(offset, len) else { return };
            if nxt >= offset {
                // Skipping gaps has brought the stream here.
                let skip = nxt - offset;
                if skip < len {
                    let source = advanced(source, skip);
                    self.take_in_order(slot, side, len - skip, source, index, burst, observer);
                }
                return;
            }
            let fits = span.end() - nxt <= self.config.receive_buffer_bytes;
            if fits && self.store(slot, side, span, source, index, burst, observer).is_ok() {
                return;
            }
            // No room to wait any longer: what is missing first is given up.
            let next = self.backlog(slot, side).and_then(|backlog| backlog.stream.next_start(nxt));
            let target = next.map_or(offset, |next| next.min(offset));
            self.skip_to(slot, side, target, Some(index), burst, observer);
        }
    }

    /// Stores bytes of a frame in the side's backlog, or only notes that they have come if nobody reads them.
    #[allow(clippy::too_many_arguments)]
    fn store<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        span: Span,
        source: Source,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> Result<(), StoreError> {
        let reads = self.flows.hot(slot).interest.any(Interest::buffer(side));
        self.ensure_backlog(slot, side);
        let readers = observer.readers(self.flows.hot(slot).table, side);
        let Some(buffer) = &self.flows.cold(slot).half[side as usize].buffer else { return Err(StoreError::Budget) };
        let backlog = self.buffers.get_mut(buffer);
        let stored = if reads {
            let keep_below = backlog.fastest(readers);
            let bytes = match source {
                Source::Frame(at) => &burst.memory[at..at + span.len() as usize],
                Source::Scratch(at) => &self.scratch[at..at + span.len() as usize],
                Source::Stored | Source::Missing => return Ok(()),
            };
            backlog.stream.store(&mut self.pool, span.start(), bytes, self.config.overlap, keep_below)?
        } else {
            if backlog.stream.keeps_bytes() {
                backlog.stream.forget_bytes(&mut self.pool);
            }
            if backlog.stream.spans().len() >= MAX_NOTED {
                return Err(StoreError::TooManySpans);
            }
            backlog.stream.note(span)?
        };
        if let Some(conflict) = stored.conflict {
            self.conflict(slot, side, conflict, index, burst, observer);
        }
        Ok(())
    }

    fn conflict<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        span: Span,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.flows.cold_mut(slot).half[side as usize].conflicts += 1;
        self.error(slot, side, ErrorReason::Conflict(span), Some(index), burst, observer);
    }

    /// A segment that begins before what is expected: if the old bytes are still at hand, do they differ? Under
    /// [`OverlapPolicy::Last`] the new ones replace those that nobody has read.
    pub(super) fn compare<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        segment: &Segment,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let hot = *self.flows.hot(slot);
        let half = hot.half[side as usize];
        let last = self.config.overlap == OverlapPolicy::Last;
        if !hot.interest.any(Interest::buffer(side)) || !(last || hot.interest.any(Interest::HISTORY)) {
            return;
        }
        if half.flags.any(HalfFlags::PENDING) {
            self.materialize(slot, side, burst);
        }
        let cold = &self.flows.cold(slot).half[side as usize];
        let (nxt, first) = (cold.offset_of(half.rcv_nxt), segment.data_start().distance(cold.sync_seq));
        let first = cold.sync_offset.checked_add_signed(i64::from(first));
        let captured = u64::from(self.packets[index].payload_captured);
        // A keep-alive may carry one byte from before the stream (RFC 9293 3.8.4).
        let (Some(first), Some(buffer)) = (first, &cold.buffer) else { return };
        if first >= nxt {
            return;
        }
        let len = captured.min(nxt - first) as usize;
        let at = usize::from(self.packets[index].payload);
        let bytes = if index == WHOLE {
            self.scratch.get(self.whole_start + at..self.whole_start + at + len)
        } else {
            let start = burst.frames[index].start + at;
            burst.memory.get(start..start + len)
        };
        let Some(bytes) = bytes else { return };
        let readers = observer.readers(hot.table, side);
        let backlog = self.buffers.get_mut(buffer);
        let conflict = backlog.stream.compare(&self.pool, first, bytes);
        if last && conflict.is_some() {
            // Only what is stored may be replaced: a gap that was given up stays one.
            let keep_below = backlog.fastest(readers);
            let stored: smallvec::SmallVec<[Span; 4]> = Span::with_len(first, bytes.len() as u64)
                .map(|span| backlog.stream.spans().overlaps_within(span).collect())
                .unwrap_or_default();
            for span in stored {
                let part = &bytes[(span.start() - first) as usize..(span.end() - first) as usize];
                let replaced =
                    backlog.stream.store(&mut self.pool, span.start(), part, OverlapPolicy::Last, keep_below);
                debug_assert!(replaced.is_ok(), "replacing stored bytes takes no room");
            }
        }
        if let Some(conflict) = conflict {
            self.conflict(slot, side, conflict, index, burst, observer);
        }
    }

    /// Data that came with a SYN waits for its acknowledgment (D3).
    pub(super) fn hold(&mut self, slot: u32, side: Side, segment: &Segment, index: usize, burst: &Burst<'_>) {
        let packet = &self.packets[index];
        let (captured, at) = (packet.payload_captured, usize::from(packet.payload));
        if segment.len == 0 || captured == 0 {
            return;
        }
        self.ensure_backlog(slot, side);
        let reads = self.flows.hot(slot).interest.any(Interest::buffer(side));
        let Some(buffer) = &self.flows.cold(slot).half[side as usize].buffer else { return };
        let stream = &mut self.buffers.get_mut(buffer).stream;
        let stored = if reads {
            let bytes = match index {
                WHOLE => &self.scratch[self.whole_start + at..],
                _ => &burst.memory[burst.frames[index].start + at..],
            };
            stream.store(&mut self.pool, 0, &bytes[..captured as usize], OverlapPolicy::First, 0)
        } else {
            Span::new(0, u64::from(captured)).map_or(Ok(Default::default()), |span| stream.note(span))
        };
        // Without room it is as if it had not been captured: the acknowledgment will show a gap.
        if stored.is_ok() {
            self.flows.hot_mut(slot).half[side as usize].slow.set(SlowFlags::HELD);
        }
    }

    /// What of the data that came with the SYN was accepted, up to `upto`, is part of the stream; the rest never was.
    pub(super) fn release_held(&mut self, slot: u32, side: Side, upto: SeqNum) {
        let half = &mut self.flows.hot_mut(slot).half[side as usize];
        half.slow.clear(SlowFlags::HELD);
        let nxt = half.rcv_nxt;
        let accepted = if upto.gt(nxt) { u64::from(upto.offset_from(nxt)) } else { 0 };
        let held = self.backlog(slot, side).map_or(0, |backlog| backlog.stream.contiguous_from(0));
        if accepted < held {
            self.cut_held(slot, side, accepted);
            let cold = &mut self.flows.cold_mut(slot).half[side.other() as usize];
            (cold.snd_max, cold.data_max) = (nxt + accepted as u32, nxt + accepted as u32);
        }
        self.pull(slot, side);
    }

    /// Keeps only the first `len` bytes of what came with a SYN: as much as any SYN holds, so they may be moved.
    fn cut_held(&mut self, slot: u32, side: Side, len: u64) {
        let Some(buffer) = &self.flows.cold(slot).half[side as usize].buffer else { return };
        let stream = &mut self.buffers.get_mut(buffer).stream;
        let mut bytes = alloc::vec![0; len as usize];
        let kept = stream.copy_out(&self.pool, 0, &mut bytes);
        let noted = Span::new(0, len).filter(|_| !stream.keeps_bytes());
        stream.clear(&mut self.pool);
        let cut = match noted {
            Some(span) => stream.note(span),
            None => stream.store(&mut self.pool, 0, &bytes[..kept], OverlapPolicy::First, 0),
        };
        debug_assert!(cut.is_ok(), "it takes no more room than before");
        if len == 0 {
            self.drop_backlog(slot, side);
        }
    }

    /// Appends a run in a frame to the stream.
    fn append(&mut self, slot: u32, side: Side, source: Source, len: u64) {
        if len == 0 {
            return;
        }
        let base = self.flows.hot(slot).half[side as usize].rcv_nxt;
        if self.flows.hot(slot).interest.any(Interest::buffer(side)) {
            self.push(slot, side, base, source, len);
            if source == Source::Missing
                && let Some(group) = self.pending.find(slot, side)
            {
                // Gaps may add up to more numbers than tell offsets apart.
                let start = self.group_start(group);
                self.pending.note_start(group, start);
            }
        }
        let (hot, cold) = self.flows.parts(slot);
        Flow { hot, cold }.advance(side, base + len as u32);
    }

    /// Appends what is stored and follows without a gap.
    pub(super) fn pull(&mut self, slot: u32, side: Side) {
        let offset = self.offset(slot, side);
        let Some(backlog) = self.backlog(slot, side) else { return };
        let mut end = backlog.stream.contiguous_from(offset);
        let (hot, cold) = self.flows.parts(slot);
        let flow = Flow { hot, cold };
        if let Some(fin) = flow.fin_seq(side.other()) {
            // Beyond the end of the stream nothing counts.
            end = end.min(flow.cold.half[side as usize].offset_of(fin));
        }
        if end <= offset {
            return;
        }
        self.append(slot, side, Source::Stored, end - offset);
        if !self.flows.hot(slot).interest.any(Interest::buffer(side)) {
            self.release(slot, side, end);
        }
    }

    /// What `side` has acknowledged and was not seen will never come (D8).
    pub(super) fn skip_acked<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: Option<usize>,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        self.admit_suspects(slot, side);
        let (hot, cold) = self.flows.parts(slot);
        let flow = Flow { hot, cold };
        let half = &flow.hot.half[side as usize];
        if !half.flags.any(HalfFlags::SYNCED)
            || half.slow.any(SlowFlags::HELD | SlowFlags::FIN_REACHED)
            || half.state == TcpState::Closed
        {
            return;
        }
        if let Some(acked) = flow.acked_to(side)
            && acked.gt(half.rcv_nxt)
        {
            let target = flow.cold.half[side as usize].offset_of(acked);
            self.confirm_suspects(slot, side, acked);
            self.skip_to(slot, side, target, index, burst, observer);
        }
    }

    /// Gives up what is missing below the offset `target`, and reads on behind it.
    fn skip_to<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        target: u64,
        index: Option<usize>,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        loop {
            let offset = self.offset(slot, side);
            let next = self.backlog(slot, side).and_then(|backlog| backlog.stream.next_start(offset));
            let Some(gap) = Span::new(offset, next.map_or(target, |next| next.min(target))) else { return };
            self.flows.cold_mut(slot).half[side as usize].gap_bytes += gap.len();
            self.append(slot, side, Source::Missing, gap.len());
            self.pull(slot, side);
            self.error(slot, side, ErrorReason::Gap(gap), index, burst, observer);
        }
    }

    /// The stream of `side` ends: readers get all that was seen, past every gap.
    pub(super) fn finish_stream<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let half = self.flows.hot(slot).half[side as usize];
        if half.flags.any(HalfFlags::SYNCED) && !half.slow.any(SlowFlags::HELD) {
            let (hot, cold) = self.flows.parts(slot);
            let mut flow = Flow { hot, cold };
            flow.reconcile();
            let sent = flow.sent_to(side);
            if sent.gt(half.rcv_nxt) {
                let target = flow.cold(side).offset_of(sent);
                self.skip_to(slot, side, target, None, burst, observer);
            }
        }
        if self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::PENDING)
            && let Some(group) = self.pending.find(slot, side)
        {
            self.deliver(group, burst, observer);
        }
    }

    /// NEW_DATA for one group; what its readers leave is kept.
    pub(super) fn deliver<O: Observer>(&mut self, group: usize, burst: &mut Burst<'_>, observer: &mut O) {
        let (slot, side) = (self.pending.group(group).slot, self.pending.group(group).side);
        if !self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::PENDING) {
            // The flow ended in this burst, and had it then.
            return;
        }
        self.delivering = Some(group);
        if self.flows.hot(slot).interest.any(Interest::of(Hook::Null, Event::NewData)) {
            observer.on_new_data(&mut FlowCx { stack: self, burst: burst.reborrow(), slot, index: None }, side);
        }
        self.keep_rest(group, burst, observer);
        self.delivering = None;
        self.flows.hot_mut(slot).half[side as usize].flags.clear(HalfFlags::PENDING);
    }

    fn keep_rest<O: Observer>(&mut self, group: usize, burst: &mut Burst<'_>, observer: &mut O) {
        let (slot, side, len) = {
            let group = self.pending.group(group);
            (group.slot, group.side, group.len)
        };
        let hot = self.flows.hot(slot);
        let readers = observer.readers(hot.table, side);
        let history = if hot.interest.any(Interest::HISTORY) { observer.history_bytes(hot.table) } else { 0 };
        if !hot.half[side as usize].flags.any(HalfFlags::BUFFERED) {
            let all = (0..MAX_READERS as u8).filter(|reader| readers & 1 << reader != 0);
            let slowest = all.map(|reader| self.pending.taken(group, reader)).min();
            if history == 0 && slowest.is_none_or(|taken| taken >= len) {
                return;
            }
        }
        let end = self.group_start(group) + len;
        self.make_room(slot, side, end, None, burst, observer);
        let Some(backlog) = self.ensure_backlog(slot, side) else { return };
        let keep_from = backlog.slowest(readers, end).min(end.saturating_sub(history)).max(backlog.floor());
        self.materialize_from(group, keep_from, burst);
        self.release(slot, side, keep_from);
        if let Some(backlog) = self.backlog(slot, side)
            && backlog.stream.is_empty()
            && backlog.slowest(readers, end) >= end
            && history == 0
        {
            self.drop_backlog(slot, side);
        }
    }

    /// Copies what a group has in frames to the backlog.
    fn materialize(&mut self, slot: u32, side: Side, burst: &Burst<'_>) {
        if let Some(group) = self.pending.find(slot, side)
            && self.ensure_backlog(slot, side).is_some()
        {
            self.materialize_from(group, 0, burst);
        }
    }

    fn materialize_from(&mut self, group: usize, keep_from: u64, burst: &Burst<'_>) {
        let mut at = self.group_start(group);
        let Group { slot, side, first, .. } = *self.pending.group(group);
        let Some(buffer) = &self.flows.cold(slot).half[side as usize].buffer else { return };
        let mut next = first;
        while let Some(piece) = self.pending.piece_mut(next) {
            let (start, end) = (at.max(keep_from), at + piece.len);
            let skip = (start - at) as usize;
            if let Some(span) = Span::new(start, end) {
                let backlog = self.buffers.get_mut(buffer);
                let bytes = match piece.source {
                    Source::Frame(from) => Some(&burst.memory[from + skip..from + piece.len as usize]),
                    Source::Scratch(from) => Some(&self.scratch[from + skip..from + piece.len as usize]),
                    Source::Stored => None,
                    Source::Missing => {
                        backlog.add_gap(span);
                        None
                    }
                };
                if let Some(bytes) = bytes {
                    let kept = backlog.stream.store(&mut self.pool, start, bytes, OverlapPolicy::First, 0);
                    match kept {
                        Ok(_) => piece.source = Source::Stored,
                        // No memory for what was left unread: readers find it missing.
                        Err(_) => backlog.add_gap(span),
                    }
                }
            }
            at = end;
            next = piece.next;
        }
    }

    /// Keeps what is unread of a direction within the receive buffer: the oldest goes, as in a ring, with an ERROR.
    fn make_room<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        end: u64,
        index: Option<usize>,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let hot = self.flows.hot(slot);
        if !hot.interest.any(Interest::buffer(side)) || !hot.half[side as usize].flags.any(HalfFlags::BUFFERED) {
            return;
        }
        let readers = observer.readers(hot.table, side);
        let mut floor = end.saturating_sub(self.config.receive_buffer_bytes);
        if index.is_some()
            && let Some(group) = self.pending.find(slot, side)
        {
            // What this burst brought has not been offered to the readers yet.
            floor = floor.min(self.group_start(group));
        }
        let Some(backlog) = self.backlog(slot, side) else { return };
        let slowest = backlog.slowest(readers, end).max(backlog.floor());
        let Some(lost) = Span::new(slowest, floor) else { return };
        let behind = backlog.behind(readers, floor);
        self.error_to(behind, slot, side, ErrorReason::Overrun(lost), index, burst, observer);
        if let Some(buffer) = &self.flows.cold(slot).half[side as usize].buffer {
            self.buffers.get_mut(buffer).give_up_below(&mut self.pool, floor);
        }
    }

    /// The offset of the next byte that `side` expects.
    pub(super) fn offset(&self, slot: u32, side: Side) -> u64 {
        self.flows.cold(slot).half[side as usize].offset_of(self.flows.hot(slot).half[side as usize].rcv_nxt)
    }

    /// The offset of the first byte of a group.
    pub(super) fn group_start(&self, group: usize) -> u64 {
        let group = self.pending.group(group);
        group.start.unwrap_or_else(|| self.flows.cold(group.slot).half[group.side as usize].offset_of(group.base))
    }

    /// The backlog of a side, if it has one.
    #[inline]
    pub(super) fn backlog(&self, slot: u32, side: Side) -> Option<&Backlog> {
        if !self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::BUFFERED) {
            return None;
        }
        self.flows.cold(slot).half[side as usize].buffer.as_ref().map(|buffer| self.buffers.get(buffer))
    }

    /// The backlog of a side, made if need be: readers stand where they stood.
    pub(super) fn ensure_backlog(&mut self, slot: u32, side: Side) -> Option<&mut Backlog> {
        if self.flows.cold(slot).half[side as usize].buffer.is_none() {
            let buffer = self.buffers.take()?;
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
            self.flows.cold_mut(slot).half[side as usize].buffer = Some(buffer);
        }
        let buffer = self.flows.cold(slot).half[side as usize].buffer.as_ref()?;
        Some(self.buffers.get_mut(buffer))
    }

    fn release(&mut self, slot: u32, side: Side, offset: u64) {
        if let Some(buffer) = &self.flows.cold(slot).half[side as usize].buffer {
            self.buffers.get_mut(buffer).release_below(&mut self.pool, offset);
        }
        let reads = self.flows.hot(slot).interest.any(Interest::buffer(side));
        if !reads && self.backlog(slot, side).is_some_and(|backlog| backlog.stream.is_empty()) {
            self.drop_backlog(slot, side);
        }
    }

    pub(super) fn drop_backlog(&mut self, slot: u32, side: Side) {
        if let Some(buffer) = self.flows.cold_mut(slot).half[side as usize].buffer.take() {
            self.buffers.give_back(buffer, &mut self.pool);
            self.flows.hot_mut(slot).half[side as usize].flags.clear(HalfFlags::BUFFERED);
        }
    }
}

/// The same run, `by` bytes further on.
fn advanced(source: Source, by: u64) -> Source {
    match source {
        Source::Frame(at) => Source::Frame(at + by as usize),
        Source::Scratch(at) => Source::Scratch(at + by as usize),
        other => other,
    }
}
