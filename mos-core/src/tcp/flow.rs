//! Both parts of a flow, and the small steps that all updates share.

use crate::event::Side;
use crate::flow::record::{Cold, ColdHalf, FlowFlags, Half, HalfFlags, Hot, Offers, SlowFlags};
use crate::tcp::{Segment, TcpState};
use crate::wire::SeqNum;

/// A scale no real one exceeds (RFC 7323 2.3): what is assumed of an endpoint whose SYN was not seen, so that its window
/// is never taken for narrower than it is.
pub const WIDEST_SHIFT: u8 = 14;

/// A flow, borrowed for one update.
#[derive(Debug)]
pub struct Flow<'a> {
    /// The hot line.
    pub hot: &'a mut Hot,
    /// The cold part.
    pub cold: &'a mut Cold,
}

impl Flow<'_> {
    /// The hot part of one endpoint.
    #[inline]
    pub fn half(&mut self, side: Side) -> &mut Half {
        &mut self.hot.half[side as usize]
    }

    /// The cold part of one endpoint.
    #[inline]
    pub fn cold(&mut self, side: Side) -> &mut ColdHalf {
        &mut self.cold.half[side as usize]
    }

    /// The state of one endpoint.
    #[inline]
    #[must_use]
    pub fn state(&self, side: Side) -> TcpState {
        self.hot.half[side as usize].state
    }

    /// Brings the cold part up to date: the short way moves only the hot one. Without a hole, all that was sent has arrived.
    pub fn reconcile(&mut self) {
        for side in Side::BOTH {
            let half = *self.half(side);
            if half.flags.any(HalfFlags::SYNCED) {
                self.advance(side, half.rcv_nxt);
            }
            let cold = self.cold(side);
            cold.ack_seen = cold.ack_seen.max(half.ack);
            let peer = self.hot.half[side.other() as usize];
            if peer.flags.any(HalfFlags::SYNCED) && !peer.flags.any(HalfFlags::HOLE) {
                let sender = self.cold(side);
                sender.snd_max = sender.snd_max.max(peer.rcv_nxt);
                sender.data_max = sender.data_max.max(peer.rcv_nxt);
            }
        }
    }

    /// From here on `side` expects `seq`, which is the first byte of its stream. Once the stream has begun, nothing can make
    /// it begin anew.
    #[inline(always)]
    pub fn synchronize(&mut self, side: Side, seq: SeqNum, guessed: bool) {
        if self.half(side).flags.any(HalfFlags::SYNCED) && !self.is_untouched(side) {
            return;
        }
        self.begin_stream(side, seq);
        if guessed {
            self.half(side).flags.set(HalfFlags::GUESSED);
        }
    }

    /// The same if it is known that the stream has not begun.
    #[inline(always)]
    pub fn begin_stream(&mut self, side: Side, seq: SeqNum) {
        let half = self.half(side);
        half.rcv_nxt = seq;
        if !half.slow.any(SlowFlags::ACKED) {
            // It has acknowledged nothing: so nothing before this.
            half.ack = seq;
        }
        half.flags.set(HalfFlags::SYNCED);
        half.flags.clear(HalfFlags::GUESSED);
        let cold = self.cold(side);
        cold.sync_seq = seq;
        cold.sync_offset = 0;
    }

    /// Moves RCV.NXT of `side` on to `seq`, and the known pair of sequence number and stream offset with it.
    pub fn advance(&mut self, side: Side, seq: SeqNum) {
        let old = self.half(side).rcv_nxt;
        debug_assert!(seq.ge(old), "a stream does not go back");
        let cold = self.cold(side);
        cold.sync_offset = cold.offset_of(old) + u64::from(seq.offset_from(old));
        cold.sync_seq = seq;
        self.half(side).rcv_nxt = seq;
    }

    /// No payload has reached `side` yet.
    #[must_use]
    pub fn is_untouched(&self, side: Side) -> bool {
        let (half, cold) = (&self.hot.half[side as usize], &self.cold.half[side as usize]);
        half.rcv_nxt == cold.sync_seq && cold.sync_offset == 0 && !half.flags.any(HalfFlags::HOLE | HalfFlags::PENDING)
    }

    /// Takes from a SYN what `side` offers in it (RFC 7323 2, RFC 2018).
    #[inline(always)]
    pub fn learn_options(&mut self, side: Side, segment: &Segment) {
        let Some(options) = &segment.options else { return };
        let cold = self.cold(side);
        cold.mss = options.mss;
        if options.sack_permitted {
            cold.offers.set(Offers::SACK);
        }
        if segment.ts_val.is_some() {
            cold.offers.set(Offers::TIMESTAMPS);
        }
        if let Some(ts_val) = segment.ts_val
            && !self.half(side).slow.any(SlowFlags::TS_RECENT)
        {
            // As long as the peer has sent nothing: the first time stamp that it may echo.
            self.half(side).ts_recent = ts_val;
        }
        let peer_syn_seen = self.half(side.other()).slow.any(SlowFlags::ISS);
        let peer_offered = self.cold(side.other()).offers.any(Offers::SCALE);
        match options.window_scale() {
            // Scaling takes effect only if both offer it.
            None => {
                self.half(side).window_shift = 0;
                self.half(side.other()).window_shift = 0;
            }
            Some(shift) => {
                self.cold(side).offers.set(Offers::SCALE);
                if peer_offered || !peer_syn_seen {
                    self.half(side).window_shift = shift;
                    if !peer_offered {
                        self.half(side.other()).window_shift = WIDEST_SHIFT;
                    }
                }
            }
        }
    }

    /// `side` sent an acknowledgment and a window.
    #[inline(always)]
    pub fn acknowledge(&mut self, side: Side, segment: &Segment) {
        if !segment.has_ack() {
            return;
        }
        let first = !self.half(side).slow.any(SlowFlags::ACKED);
        let peer_known = self.half(side.other()).slow.any(SlowFlags::ISS);
        let peer_sent = self.cold(side.other()).snd_max;
        let cold = self.cold(side);
        cold.ack_seen = if first { segment.ack } else { cold.ack_seen.max(segment.ack) };
        let seen = if peer_known && segment.ack.gt(peer_sent) { peer_sent } else { segment.ack };
        let half = self.half(side);
        let shift = if segment.syn() { 0 } else { half.window_shift };
        let edge = segment.ack + (u32::from(segment.window) << shift);
        half.ack = if first { seen } else { half.ack.max(seen) };
        half.slow.set(SlowFlags::ACKED);
        if half.flags.any(HalfFlags::WINDOW) {
            half.edge = half.edge.max(edge);
        } else {
            half.edge = edge;
            half.flags.set(HalfFlags::WINDOW);
        }
    }

    /// `side` received a time stamp (RFC 7323 4.3).
    #[inline(always)]
    pub fn note_timestamp(&mut self, side: Side, segment: &Segment) {
        let Some(ts_val) = segment.ts_val else { return };
        let peer = side.other();
        if segment.syn() && self.half(peer).slow.any(SlowFlags::ISS) && self.cold(peer).iss != segment.seq {
            // A rival SYN|ACK: its clock may be another one.
            return;
        }
        if !segment.syn() || segment.has_ack() {
            self.hot.flags.set(FlowFlags::TIMESTAMPS);
        }
        let half = self.half(side);
        if !half.slow.any(SlowFlags::TS_RECENT) {
            half.ts_recent = ts_val;
            half.slow.set(SlowFlags::TS_RECENT);
        } else if SeqNum(ts_val).ge(SeqNum(half.ts_recent))
            && (!half.slow.any(SlowFlags::ACKED) || segment.seq.le(half.ack))
        {
            half.ts_recent = ts_val;
        }
    }

    /// What `side`'s FIN stands at, if it has sent one.
    #[must_use]
    pub fn fin_seq(&self, side: Side) -> Option<SeqNum> {
        let sent = self.hot.half[side as usize].slow.any(SlowFlags::FIN_SENT);
        sent.then(|| self.cold.half[side as usize].fin_seq)
    }

    /// The peer of `side` was sent data where a FIN of `side` was said to stand, before it had reached that FIN: there is none.
    /// Endpoints take the data, too. False if the FIN has had its effect.
    pub fn withdraw_fin(&mut self, side: Side) -> bool {
        if self.half(side.other()).slow.any(SlowFlags::FIN_REACHED) {
            return false;
        }
        let half = self.half(side);
        half.slow.clear(SlowFlags::FIN_SENT);
        half.state = match half.state {
            TcpState::FinWait1 | TcpState::FinWait2 => TcpState::Established,
            TcpState::Closing | TcpState::LastAck | TcpState::TimeWait => TcpState::CloseWait,
            other => other,
        };
        true
    }

    /// How far the stream that `side` receives is known to reach: all that its peer has sent, without the FIN.
    #[must_use]
    #[inline]
    pub fn sent_to(&self, side: Side) -> SeqNum {
        let peer = side.other();
        self.fin_seq(peer).unwrap_or(self.cold.half[peer as usize].snd_max)
    }

    /// How much of the stream that `side` receives it must have got: what it acknowledged, as far as it is known to have
    /// been sent.
    #[must_use]
    pub fn acked_to(&self, side: Side) -> Option<SeqNum> {
        let acked = self.hot.half[side as usize].slow.any(SlowFlags::ACKED);
        let (seen, sent) = (self.cold.half[side as usize].ack_seen, self.sent_to(side));
        acked.then(|| if seen.gt(sent) { sent } else { seen })
    }

    /// Sets what follows from the rest: open holes, and whether the short way applies.
    pub fn settle(&mut self) {
        let mut in_order = true;
        for side in Side::BOTH {
            let beyond = self.sent_to(side).gt(self.half(side).rcv_nxt);
            let half = self.half(side);
            if beyond || half.slow.any(SlowFlags::HELD) {
                half.flags.set(HalfFlags::HOLE);
            } else {
                half.flags.clear(HalfFlags::HOLE);
            }
            let half = *half;
            // What is acknowledged and missing is given up with the next acknowledgment.
            let overdue = beyond && self.acked_to(side).is_some_and(|acked| acked.gt(half.rcv_nxt));
            // Of a client, the window is known from its ACK on: before that, the server is sent nothing the short way.
            let window = half.flags.any(HalfFlags::WINDOW) || self.state(side.other()) == TcpState::SynRcvd;
            in_order &= half.state >= TcpState::SynRcvd
                && window
                && half.flags.any(HalfFlags::SYNCED)
                && half.slow.any(SlowFlags::ISS)
                // Data behind a FIN may have been acknowledged.
                && half.ack.le(half.rcv_nxt)
                && !overdue
                && !half.slow.any(SlowFlags::HELD)
                && !half.flags.any(HalfFlags::GUESSED);
        }
        let established = Side::BOTH.iter().all(|side| self.state(*side) == TcpState::Established);
        self.hot.flags.clear(FlowFlags::FAST | FlowFlags::IN_ORDER);
        if in_order {
            self.hot.flags.set(if established { FlowFlags::FAST | FlowFlags::IN_ORDER } else { FlowFlags::IN_ORDER });
        }
        if !self.state(Side::Client).is_opening() && !self.state(Side::Server).is_opening() {
            self.hot.flags.clear(FlowFlags::HALF_OPEN);
        }
    }
}
