//! Payload: into the stream of the side that receives it, past gaps, and to the readers at the end of the burst.
//!
//! In order, payload is shown to readers where it lies in its frame. Only what came out of order, what a reader left, and
//! what is kept as history goes to the side's backlog.

use super::Stack;
use super::pending::Source;
use crate::event::{ErrorReason, Event, Hook, Interest, Observer, Reading, Side, Wanted};
use crate::flow::record::{HalfFlags, SlowFlags};
use crate::packet::Burst;
use crate::reassembly::{OverlapPolicy, Span, StoreError};
use crate::tcp::{Flow, Segment, TcpState};
use crate::wire::SeqNum;

/// The most separate ranges that are followed in a direction of which nobody reads bytes: they are not under the budget.
const MAX_NOTED: usize = 256;

impl Stack {
    /// Whether the payload repeats something that `side` was sent before; counted if so.
    pub(super) fn overlap(&mut self, slot: u32, side: Side, segment: &Segment) -> bool {
        let half = self.flows.hot(slot).half[side as usize];
        if segment.rst() || segment.syn() || !half.flags.any(HalfFlags::SYNCED) || half.state == TcpState::SynSent {
            return false;
        }
        let (start, end) = (segment.data_start(), segment.data_end());
        let mut repeated = 0;
        if segment.len > 0 && start.lt(half.rcv_nxt) {
            let old_end = if end.lt(half.rcv_nxt) { end } else { half.rcv_nxt };
            repeated = u64::from(old_end.offset_from(start));
        }
        if half.flags.any(HalfFlags::HOLE)
            && end.gt(half.rcv_nxt)
            && let Some(buffer) = &self.flows.spill(slot, side).buffer
        {
            let cold = &self.flows.cold(slot).half[side as usize];
            let first = cold.offset_of(start.max(half.rcv_nxt));
            if let Some(span) = Span::new(first, cold.offset_of(end)) {
                repeated += self.buffers.get(buffer).stream.spans().covered(span);
            }
        }
        let fin_again = segment.fin() && segment.len == 0 && start.lt(half.rcv_nxt);
        if repeated == 0 && !fin_again {
            return false;
        }
        let spill = self.flows.spill_mut(slot, side);
        spill.retransmits += 1;
        spill.retransmitted_bytes += repeated;
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
                let reading = observer.reading(self.flows.hot(slot).table, side);
                let store_from = if self.overlap_policy(reading) == OverlapPolicy::Last { 0 } else { direct };
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
            let fits =
                span.end() - nxt <= self.capacity(slot, side, observer.reading(self.flows.hot(slot).table, side));
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
        let reads = self.flows.hot(slot).wanted.any(Wanted::buffer(side));
        self.ensure_backlog(slot, side);
        let reading = observer.reading(self.flows.hot(slot).table, side);
        let (readers, policy) = (reading.readers, self.overlap_policy(reading));
        let Some(buffer) = &self.flows.spill(slot, side).buffer else { return Err(StoreError::Budget) };
        let backlog = self.buffers.get_mut(buffer);
        let stored = if reads {
            let keep_below = backlog.fastest(readers);
            let Some(bytes) = self.scratch.at(source, span.len() as usize, burst) else { return Ok(()) };
            backlog.stream.store(&mut self.pool, span.start(), bytes, policy, keep_below)?
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

    fn overlap_policy(&self, reading: Reading) -> OverlapPolicy {
        reading.overlap.unwrap_or(self.config.overlap)
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
        self.flows.spill_mut(slot, side).conflicts += 1;
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
        if !hot.wanted.any(Wanted::buffer(side)) {
            return;
        }
        let reading = observer.reading(hot.table, side);
        let Reading { readers, history_bytes, .. } = reading;
        let last = self.overlap_policy(reading) == OverlapPolicy::Last;
        if !last && history_bytes == 0 {
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
        let (Some(first), Some(buffer)) = (first, &self.flows.spill(slot, side).buffer) else { return };
        if first >= nxt {
            return;
        }
        let len = captured.min(nxt - first) as usize;
        let at = usize::from(self.packets[index].payload);
        let Some(bytes) = self.scratch.frame(index, burst).get(at..at + len) else { return };
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

    /// Appends a run to the stream: less than there are sequence numbers.
    fn append(&mut self, slot: u32, side: Side, source: Source, len: u64) {
        if len == 0 {
            return;
        }
        let base = self.flows.hot(slot).half[side as usize].rcv_nxt;
        if self.flows.hot(slot).wanted.any(Wanted::buffer(side)) {
            self.push(slot, side, base, source, len as u32);
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
        if !self.flows.hot(slot).wanted.any(Wanted::buffer(side)) {
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
            self.flows.spill_mut(slot, side).gap_bytes += gap.len();
            self.append(slot, side, Source::Missing, gap.len());
            self.pull(slot, side);
            self.error(slot, side, ErrorReason::Gap(gap), index, burst, observer);
        }
    }

    /// The stream of `side` ends: what is missing up to its end will never come.
    pub(super) fn end_stream<O: Observer>(&mut self, slot: u32, side: Side, burst: &mut Burst<'_>, observer: &mut O) {
        let half = self.flows.hot(slot).half[side as usize];
        if half.flags.any(HalfFlags::SYNCED) && !half.slow.any(SlowFlags::HELD) && !self.is_bypassed(slot) {
            let (hot, cold) = self.flows.parts(slot);
            let mut flow = Flow { hot, cold };
            let sent = flow.sent_to(side);
            if sent.gt(half.rcv_nxt) {
                flow.reconcile();
                let target = flow.cold(side).offset_of(sent);
                self.skip_to(slot, side, target, None, burst, observer);
            }
        }
    }

    /// Readers of `side` get all that waits for the end of the burst.
    pub(super) fn hand_out<O: Observer>(&mut self, slot: u32, side: Side, burst: &mut Burst<'_>, observer: &mut O) {
        if self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::PENDING)
            && let Some(group) = self.pending.find(slot, side)
        {
            self.deliver(group..group + 1, burst, observer);
        }
    }

    /// The offset of the next byte that `side` expects.
    pub(super) fn offset(&self, slot: u32, side: Side) -> u64 {
        self.flows.cold(slot).half[side as usize].offset_of(self.flows.hot(slot).half[side as usize].rcv_nxt)
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
