//! What a segment says about the endpoint that sent it: the SND half of an update.
//!
//! Follows the state machine of RFC 9293 3.10.7 as seen from outside, and tolerates segments that were never captured.

use crate::event::{Event, Hook, Interest, Side};
use crate::flow::record::SlowFlags;
use crate::tcp::validate::plausible_ack;
use crate::tcp::{Flow, Segment, TcpState};
use crate::wire::SeqNum;

const START: Interest = Interest::of(Hook::Snd, Event::ConnStart);
const STATE: Interest = Interest::of(Hook::Snd, Event::TcpStateChange);

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// What is to be raised at the SND hook, PKT_IN aside.
    pub events: Interest,
    /// A SYN|ACK with another initial sequence number than the first one (D11).
    pub other_syn_ack: Option<SeqNum>,
}

/// `side` sent `segment`, which has passed [`super::validate`].
///
/// Part of its callers: for who knows what the segment is, most of it is no code.
#[inline(always)]
pub fn update(flow: &mut Flow<'_>, side: Side, segment: &Segment) -> Sent {
    let mut sent = Sent::default();
    if segment.rst() {
        if flow.state(side) != TcpState::Closed {
            flow.half(side).state = TcpState::Closed;
        }
        sent.events = STATE;
        return sent;
    }
    if segment.syn() {
        update_syn(flow, side, segment, &mut sent);
    } else {
        update_plain(flow, side, segment, &mut sent);
    }
    if plausible_ack(flow, side, segment) {
        flow.acknowledge(side, segment);
    }
    sent
}

#[inline(always)]
fn update_syn(flow: &mut Flow<'_>, side: Side, segment: &Segment, sent: &mut Sent) {
    let known = flow.half(side).slow.any(SlowFlags::ISS);
    if known && flow.cold(side).iss != segment.seq {
        if segment.has_ack() {
            sent.other_syn_ack = Some(segment.seq);
        }
        return;
    }
    flow.half(side).slow.set(SlowFlags::ISS);
    let cold = flow.cold(side);
    cold.snd_max = if known { cold.snd_max.max(segment.end()) } else { segment.end() };
    cold.iss = segment.seq;
    cold.data_max = if known { cold.data_max.max(segment.data_end()) } else { segment.data_end() };
    if !known {
        flow.learn_options(side, segment);
    }
    if flow.state(side) == TcpState::Listen && !segment.has_ack() {
        flow.half(side).state = TcpState::SynSent;
        sent.events = START.or(STATE);
    }
}

fn update_plain(flow: &mut Flow<'_>, side: Side, segment: &Segment, sent: &mut Sent) {
    let known = flow.half(side).slow.any(SlowFlags::ISS);
    let cold = flow.cold(side);
    // A FIN before data that was sent already is none.
    let ends_stream = segment.fin() && (!known || segment.data_end().ge(cold.data_max));
    if segment.len > 0 {
        cold.data_max = if known { cold.data_max.max(segment.data_end()) } else { segment.data_end() };
    }
    if known {
        cold.snd_max = cold.snd_max.max(segment.end());
    } else {
        // Its SYN was not captured; or it has sent none yet: the first ACK of a split handshake, which proves nothing.
        cold.iss = SeqNum(segment.seq.0.wrapping_sub(1));
        cold.snd_max = segment.end();
        cold.data_max = segment.data_end();
        if segment.len > 0 || segment.fin() {
            flow.half(side).slow.set(SlowFlags::ISS);
        }
    }
    match flow.state(side) {
        // The SYN|ACK that this acknowledges was not captured.
        TcpState::SynSent if segment.has_ack() && segment.seq.gt(flow.cold(side).iss) => {
            flow.half(side).state = TcpState::Established;
            flow.synchronize(side, segment.ack, true);
            sent.events = STATE;
        }
        // The ACK that this answers was not captured; or it is the first ACK of a split handshake, which does not count.
        TcpState::SynRcvd if segment.has_ack() && flow.half(side).slow.any(SlowFlags::ISS) => {
            flow.half(side).state = TcpState::Established;
            sent.events = STATE;
        }
        _ => {}
    }
    if ends_stream && !flow.half(side).slow.any(SlowFlags::FIN_SENT) {
        let acknowledges = segment.has_ack() && segment.ack.ge(flow.half(side).rcv_nxt);
        let Some(next) = flow.state(side).after_sending_fin(acknowledges) else { return };
        flow.half(side).state = next;
        flow.half(side).slow.set(SlowFlags::FIN_SENT);
        flow.cold(side).fin_seq = segment.data_end();
        sent.events = STATE;
    }
}
