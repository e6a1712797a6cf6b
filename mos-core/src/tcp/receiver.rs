//! What a segment does to the endpoint that receives it: the RCV half of an update.
//!
//! Follows RFC 9293 3.10.7.2 to 3.10.7.4 in the loss-tolerant form: the monitor may miss what the endpoint got.

use crate::event::{Event, Hook, Interest, Side};
use crate::flow::record::{HalfFlags, SlowFlags};
use crate::tcp::validate::WIDEST_WINDOW;
use crate::tcp::{Flow, Segment, TcpState};
use crate::wire::SeqNum;

const START: Interest = Interest::of(Hook::Rcv, Event::ConnStart);
const STATE: Interest = Interest::of(Hook::Rcv, Event::TcpStateChange);
const REXMIT: Interest = Interest::of(Hook::Rcv, Event::Rexmit);

/// What is to become of the segment's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: there is none, or it does not count.
    Ignore,
    /// It belongs to the stream.
    Take,
    /// It came with a SYN: kept until it is acknowledged (D3).
    Hold,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// What is to be raised at the RCV hook, PKT_IN aside.
    pub events: Interest,
    /// The payload's fate.
    pub payload: Payload,
    /// It is a SYN that the endpoint has received before.
    pub syn_again: bool,
}

/// `side` received `segment`, which has passed [`super::validate`]. The stream is not moved here: the caller does that by
/// what it finds in `payload`, and then calls [`reach_fin`].
///
/// Part of its callers: for who knows what the segment is, most of it is no code.
#[inline(always)]
pub fn update(flow: &mut Flow<'_>, side: Side, segment: &Segment) -> Received {
    let peer = side.other();
    let mut events = Interest::NONE;
    let mut payload = Payload::Ignore;
    let mut syn_again = false;
    flow.note_timestamp(side, segment);
    if segment.rst() {
        flow.half(side).state = TcpState::Closed;
        return Received { events: STATE, payload, syn_again };
    }
    if !flow.state(side).is_opening() && !flow.half(side).flags.any(HalfFlags::SYNCED) {
        // The flow began in its middle, with a segment that acknowledged nothing.
        flow.synchronize(side, segment.data_start(), false);
    }
    match flow.state(side) {
        TcpState::Closed => {}
        TcpState::Listen => {
            if segment.syn() && !segment.has_ack() {
                flow.half(side).state = TcpState::SynRcvd;
                flow.synchronize(side, segment.data_start(), false);
                events = START.or(STATE);
                payload = Payload::Hold;
            }
        }
        TcpState::SynSent if segment.syn() => {
            flow.synchronize(side, segment.data_start(), false);
            flow.half(side).state = if segment.has_ack() { TcpState::Established } else { TcpState::SynRcvd };
            events = STATE;
            payload = Payload::Hold;
        }
        TcpState::SynSent if segment.has_ack() => {
            // The first ACK of a split handshake, or one after a SYN|ACK that was not captured: the next segment tells.
            let only_ack = segment.len == 0 && !segment.fin();
            flow.synchronize(side, segment.seq, only_ack);
            if !only_ack {
                flow.half(side).state = TcpState::Established;
                events = STATE;
                payload = Payload::Take;
            }
        }
        TcpState::SynSent => {}
        TcpState::SynRcvd if segment.syn() => {
            if flow.half(side).flags.any(HalfFlags::GUESSED) {
                flow.synchronize(side, segment.data_start(), false);
            } else if segment.has_ack() && covers_syn(flow, side, segment) {
                // Both sent a SYN; this is the peer's again, now with the acknowledgment of ours.
                flow.half(side).state = TcpState::Established;
                events = STATE;
            } else {
                events = REXMIT;
                syn_again = true;
                if flow.is_untouched(side) && !flow.half(side).slow.any(SlowFlags::HELD) {
                    // The first SYN brought no data; this one may.
                    payload = Payload::Hold;
                }
            }
        }
        TcpState::SynRcvd if segment.has_ack() => {
            if !flow.half(side).slow.any(SlowFlags::ISS) {
                // The SYN|ACK that this acknowledges was not captured.
                flow.half(side).slow.set(SlowFlags::ISS);
                let cold = flow.cold(side);
                cold.iss = SeqNum(segment.ack.0.wrapping_sub(1));
                cold.snd_max = segment.ack;
                cold.data_max = segment.ack;
            }
            flow.half(side).state = TcpState::Established;
            events = STATE;
            payload = Payload::Take;
        }
        TcpState::SynRcvd => {}
        _ if segment.syn() => {
            if flow.half(side).flags.any(HalfFlags::GUESSED) && flow.is_untouched(side) {
                flow.synchronize(side, segment.data_start(), false);
            } else if flow.half(peer).slow.any(SlowFlags::ISS) && flow.cold(peer).iss == segment.seq {
                events = REXMIT;
                syn_again = true;
            }
        }
        _ => {
            if segment.len > 0 || segment.fin() {
                payload = Payload::Take;
                // Nothing better than the guess will come, unless that was wild.
                if flow.half(side).flags.any(HalfFlags::GUESSED)
                    && segment.data_start().distance(flow.half(side).rcv_nxt).unsigned_abs() > WIDEST_WINDOW
                {
                    flow.synchronize(side, segment.data_start(), false);
                    flow.half(side).slow.clear(SlowFlags::ACKED);
                    flow.half(side).flags.clear(HalfFlags::WINDOW);
                }
                flow.half(side).flags.clear(HalfFlags::GUESSED);
            }
        }
    }
    if is_fin_repeated(flow, peer, side, segment) {
        events = events.or(REXMIT);
    }
    if acknowledge_fin(flow, side, segment) {
        events = events.or(STATE);
    }
    Received { events, payload, syn_again }
}

fn covers_syn(flow: &mut Flow<'_>, side: Side, segment: &Segment) -> bool {
    flow.half(side).slow.any(SlowFlags::ISS) && segment.ack.gt(flow.cold(side).iss)
}

/// A FIN that its receiver has acted on already.
fn is_fin_repeated(flow: &mut Flow<'_>, sender: Side, receiver: Side, segment: &Segment) -> bool {
    segment.fin()
        && flow.fin_seq(sender) == Some(segment.data_end())
        && matches!(
            flow.state(receiver),
            TcpState::CloseWait | TcpState::LastAck | TcpState::Closing | TcpState::TimeWait
        )
}

/// The peer acknowledged the FIN of `side`.
fn acknowledge_fin(flow: &mut Flow<'_>, side: Side, segment: &Segment) -> bool {
    let Some(fin_seq) = flow.fin_seq(side) else { return false };
    if !segment.has_ack() || !segment.ack.gt(fin_seq) {
        return false;
    }
    let before = flow.state(side);
    flow.half(side).state = before.after_ack_of_fin();
    flow.state(side) != before
}

/// The stream of `side` has reached the peer's FIN, if it has (D6).
pub fn reach_fin(flow: &mut Flow<'_>, side: Side) -> bool {
    if flow.fin_seq(side.other()) != Some(flow.half(side).rcv_nxt) {
        return false;
    }
    let half = flow.half(side);
    let next = half.state.after_fin();
    if next == half.state {
        return false;
    }
    half.state = next;
    half.slow.set(SlowFlags::FIN_REACHED);
    let beyond = half.rcv_nxt + 1;
    flow.advance(side, beyond);
    true
}
