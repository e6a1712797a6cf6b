//! Whether the receiver of a segment would accept it. What it would not accept changes nothing: otherwise anybody could
//! end or distort what the monitor sees by segments that the endpoints ignore.

use crate::event::{ErrorReason, Side};
use crate::flow::record::{FlowFlags, Half, HalfFlags, Offers, SlowFlags};
use crate::tcp::{Flow, Segment, TcpState};
use crate::wire::SeqNum;

/// What a segment is to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It counts.
    Accept,
    /// All of it lies before what the receiver has acknowledged: a late copy. It changes nothing.
    Stale,
    /// The receiver would not accept it.
    Reject(ErrorReason),
}

use Acceptance::{Accept, Reject, Stale};

/// No window is wider (RFC 7323 2.3). What lies further ahead or behind belongs to nothing that the receiver knows of.
pub const WIDEST_WINDOW: u32 = 1 << 30;

/// See [`is_old_timestamp`].
const GRACE_TICKS: i32 = 1;

/// Judges a segment from `sender`, by the variables of its receiver.
#[must_use]
pub fn validate(flow: &mut Flow<'_>, sender: Side, segment: &Segment) -> Acceptance {
    let receiver = sender.other();
    if segment.signed && !flow.hot.flags.any(FlowFlags::SIGNED) {
        return Reject(ErrorReason::Signature);
    }
    if segment.rst() {
        return if accepts_reset(flow, receiver, segment) { Accept } else { Reject(ErrorReason::Reset) };
    }
    let state = flow.state(receiver);
    if state == TcpState::SynSent {
        let opens = !segment.has_ack() && segment.syn() || answers_syn(flow, receiver, segment);
        // With Fast Open, data of the server may overtake its SYN|ACK: where the stream begins, it does not say.
        let early = !segment.syn() && segment.len > 0 && flow.cold(receiver).data_max.gt(flow.cold(receiver).iss + 1);
        return if opens && !early { Accept } else { Reject(ErrorReason::Handshake) };
    }
    if segment.syn() {
        return Accept;
    }
    if state == TcpState::Listen {
        return Accept;
    }
    if !segment.has_ack() {
        return Reject(ErrorReason::NoAck);
    }
    let half = *flow.half(receiver);
    if !half.flags.any(HalfFlags::SYNCED) || half.flags.any(HalfFlags::GUESSED) {
        return Accept;
    }
    if state == TcpState::SynRcvd && !answers_syn_ack(flow, receiver, segment) {
        return Reject(ErrorReason::Handshake);
    }
    if segment.end().distance(half.rcv_nxt).unsigned_abs() > WIDEST_WINDOW {
        return Reject(ErrorReason::Window);
    }
    if is_old_timestamp(flow, receiver, segment) {
        return if segment.end().le(half.rcv_nxt) { Stale } else { Reject(ErrorReason::Timestamp) };
    }
    if half.slow.any(SlowFlags::ACKED) && segment.end().lt(half.ack) {
        return Stale;
    }
    if half.flags.any(HalfFlags::WINDOW) && !within_window(&half, segment) {
        return Reject(ErrorReason::Window);
    }
    Accept
}

/// RFC 9293 3.10.7.4, first check, with the widest window ever advertised: an acknowledgment may have been missed. One
/// byte at the edge of a full window passes: it probes the window, and an update may have crossed it. Without data, the number that
/// is expected passes always: it may lie beyond the window, if a segment has reached over its edge.
fn within_window(receiver: &Half, segment: &Segment) -> bool {
    let edge = receiver.edge;
    if segment.len == 0 {
        return segment.seq.le((edge + 1).max(receiver.rcv_nxt));
    }
    segment.seq.lt(edge) || segment.seq == edge && segment.len == 1
}

/// RFC 7323 5.3, R1, with one tick of grace, which Linux gives too: segments sent before a retransmission that repairs a
/// hole, and overtaken by it, are older than it by that much, and endpoints take them.
fn is_old_timestamp(flow: &mut Flow<'_>, receiver: Side, segment: &Segment) -> bool {
    let in_use = flow.hot.flags.any(FlowFlags::TIMESTAMPS);
    let half = flow.half(receiver);
    match segment.ts_val {
        Some(ts_val) if in_use && half.slow.any(SlowFlags::TS_RECENT) => {
            SeqNum(half.ts_recent).distance(SeqNum(ts_val)) > GRACE_TICKS
        }
        _ => false,
    }
}

/// SND.UNA < SEG.ACK <= SND.NXT in SYN-SENT (RFC 9293 3.10.7.3); and a time stamp that is echoed must be one that was sent.
fn answers_syn(flow: &mut Flow<'_>, receiver: Side, segment: &Segment) -> bool {
    let latest = *flow.half(receiver.other());
    let first = SeqNum(flow.half(receiver).ts_recent);
    let cold = flow.cold(receiver);
    if !segment.has_ack() || !segment.ack.gt(cold.iss) || !segment.ack.le(cold.snd_max) {
        return false;
    }
    let Some(echo) =
        segment.ts_ecr.filter(|&echo| echo != 0 && !flow.half(Side::Client).slow.any(SlowFlags::MIDSTREAM))
    else {
        return true;
    };
    if !flow.cold(receiver).offers.any(Offers::TIMESTAMPS) {
        return false;
    }
    !latest.slow.any(SlowFlags::TS_RECENT) || SeqNum(echo).ge(first) && SeqNum(echo).le(SeqNum(latest.ts_recent))
}

/// Whether the handshake's last ACK fits the SYN|ACK, if that was captured. Some data may have gone unseen before it.
fn answers_syn_ack(flow: &mut Flow<'_>, receiver: Side, segment: &Segment) -> bool {
    // A server may send its first window with Fast Open, before the client's ACK; hardly more than this.
    const UNSEEN: u32 = 1 << 20;
    let half = flow.half(receiver);
    if half.flags.any(HalfFlags::SYNCED) && segment.seq.lt(half.rcv_nxt) {
        // Of an earlier connection of the same endpoints.
        return false;
    }
    let known = half.slow.any(SlowFlags::ISS);
    !known || (1..UNSEEN).contains(&segment.ack.offset_from(flow.cold(receiver).iss))
}

/// D4: in SYN-SENT a reset must acknowledge the SYN; later it must lie in the window, and pass the time stamp test.
fn accepts_reset(flow: &mut Flow<'_>, receiver: Side, segment: &Segment) -> bool {
    let half = *flow.half(receiver);
    if half.state == TcpState::SynSent {
        return answers_syn(flow, receiver, segment);
    }
    if !half.flags.any(HalfFlags::SYNCED) || is_old_timestamp(flow, receiver, segment) {
        return false;
    }
    let acked = half.slow.any(SlowFlags::ACKED);
    if !acked && half.state == TcpState::SynRcvd {
        // It has not answered: there is no window yet, and nothing to reset.
        return false;
    }
    let (first, sent) = (flow.cold(receiver).sync_seq, flow.cold(receiver.other()).snd_max);
    let low = if acked { half.ack } else { first };
    let high = if half.flags.any(HalfFlags::WINDOW) { half.edge.max(half.rcv_nxt) } else { sent.max(half.rcv_nxt) };
    segment.seq.ge(low) && segment.seq.le(high)
}

/// Whether an acknowledgment can be true: nobody acknowledges what lies beyond the window it offered, unless it took it all
/// the same. (More than was seen to be sent is possible: the capture may have missed it.)
#[must_use]
pub fn plausible_ack(flow: &mut Flow<'_>, sender: Side, segment: &Segment) -> bool {
    let half = flow.half(sender);
    let ahead = segment.ack.distance(half.rcv_nxt);
    // Half the circle away, before and behind are the same.
    !half.flags.any(HalfFlags::SYNCED)
        || ahead.unsigned_abs() <= WIDEST_WINDOW
            && (ahead <= 0 || !half.flags.any(HalfFlags::WINDOW) || segment.ack.le(half.edge + 1))
}
