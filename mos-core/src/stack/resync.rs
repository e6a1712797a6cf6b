//! A capture that has missed more than a window: data beyond the window of its receiver, and acknowledgments of it.
//!
//! Either alone may be forged by anybody, and is refused. When both sides agree, twice, and nothing of what was expected
//! has come in between, then the connection is where they say it is, and the monitor goes there.

#[cfg(test)]
mod tests;

use super::Stack;
use crate::event::Side;
use crate::flow::record::{Ahead, HalfFlags};
use crate::tcp::validate::WIDEST_WINDOW;
use crate::tcp::{Flow, Segment};
use crate::wire::SeqNum;

/// How often the two sides must agree.
const AGREEMENTS: u8 = 2;

impl Stack {
    /// Data for `side` beyond its window. True if that is where the connection is: the segment may be judged again.
    pub(super) fn note_data_ahead(&mut self, slot: u32, side: Side, segment: &Segment) -> bool {
        let (low, high) = (segment.data_start(), segment.data_end());
        if segment.len == 0 || !self.is_near(slot, side, high) {
            return false;
        }
        let mut ahead = self.ahead(slot, side, low, high);
        // A stretch that goes on; anything else begins anew.
        if low.le(ahead.high) && high.ge(ahead.low) {
            ahead.high = ahead.high.max(high);
            if low.lt(ahead.low) {
                ahead.low = low;
            }
        } else {
            ahead = Ahead { low, high, ack: ahead.ack, agreements: 0, ..ahead };
        }
        self.judge(slot, ahead)
    }

    /// An acknowledgment by `side` of what lies beyond its own window. True if that is where the connection is.
    pub(super) fn note_ack_ahead(&mut self, slot: u32, side: Side, segment: &Segment) -> bool {
        if !self.is_near(slot, side, segment.ack) {
            return false;
        }
        let mut ahead = self.ahead(slot, side, segment.ack, segment.ack);
        ahead.ack = Some(segment.ack);
        self.judge(slot, ahead)
    }

    /// Not further ahead than any window reaches. What lies there cannot be told from numbers that have wrapped.
    pub(super) fn is_near(&self, slot: u32, side: Side, seq: SeqNum) -> bool {
        let expected = self.flows.hot(slot).half[side as usize].rcv_nxt;
        (0..=WIDEST_WINDOW as i32).contains(&seq.distance(expected))
    }

    /// Forgets what the flow has overtaken of what is kept besides its records. True if nothing is left: then it can go the short
    /// ways again.
    pub(super) fn forget_extras(&mut self, slot: u32) -> bool {
        self.forget_suspects(slot);
        let expected = self.flows.hot(slot).half.map(|half| half.rcv_nxt);
        let Some(extras) = self.flows.extras_if_any(slot) else { return true };
        extras.ahead.take_if(|ahead| ahead.expected != expected[ahead.side as usize]);
        for side in Side::BOTH {
            // Whatever is new lies behind what its receiver expects.
            extras.refused[side as usize].take_if(|end| end.le(expected[side.other() as usize]));
        }
        let empty = extras.is_empty();
        if empty {
            self.flows.drop_extras(slot);
        }
        empty
    }

    /// What is known so far, unless the flow has gone on as expected since.
    fn ahead(&self, slot: u32, side: Side, low: SeqNum, high: SeqNum) -> Ahead {
        let expected = self.flows.hot(slot).half[side as usize].rcv_nxt;
        let known = self.flows.extras(slot).and_then(|extras| extras.ahead);
        known.filter(|ahead| ahead.side == side && ahead.expected == expected).unwrap_or(Ahead {
            side,
            expected,
            low,
            high,
            ack: None,
            agreements: 0,
        })
    }

    fn judge(&mut self, slot: u32, mut ahead: Ahead) -> bool {
        let agreed = ahead.ack.filter(|ack| ack.gt(ahead.low) && ack.le(ahead.high));
        if agreed.is_some() {
            ahead.agreements += 1;
            ahead.ack = None;
        }
        let Some(ack) = agreed.filter(|_| ahead.agreements >= AGREEMENTS) else {
            self.flows.extras_mut(slot).ahead = Some(ahead);
            return false;
        };
        self.flows.extras_mut(slot).ahead = None;
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        let half = flow.half(ahead.side);
        if !half.flags.all(HalfFlags::WINDOW | HalfFlags::SYNCED) {
            return false;
        }
        half.ack = ack;
        half.edge = half.edge.max(ahead.high);
        flow.cold(ahead.side).ack_seen = ack;
        flow.cold(ahead.side.other()).snd_max = ahead.high;
        true
    }
}
