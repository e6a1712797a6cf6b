//! Flows that come and go: a trace of short connections, many at a time, in small frames.
//!
//! A connection is 17 packets: three open it, eleven carry 1 to 6 bytes, in turns and acknowledging what came before, three
//! close it. Whose packet is next is left to chance. So 35 % of the packets open and close connections: it measures the life of
//! flows as much as packets.

use mos_core::event::Side;
use mos_core::time::Timestamp;
use mos_core::wire::TcpFlags;

use super::conversation::{CLOSING, HANDSHAKE};
use super::{Conversation, Counts, Dice, Share, Trace};

/// Segments with payload.
const SEGMENTS: usize = 11;

/// Packets of a connection.
const PACKETS: usize = HANDSHAKE.len() + SEGMENTS + CLOSING.len();

/// One packet each microsecond.
const INTERVAL_NANOS: u64 = 1000;

/// A trace of connections, `live` at a time, and what is in it: as many whole connections as it takes for `packets` packets.
#[must_use]
pub fn churn(live: u32, packets: u32, seed: u64) -> (Trace, Counts) {
    share_of_churn(live, packets, seed, Share::of(0, 1))
}

/// The same for one core: its part of the packets, of connections that are all in its share.
pub(crate) fn share_of_churn(live: u32, packets: u32, seed: u64, share: Share) -> (Trace, Counts) {
    let mut dice = Dice::new(seed);
    let mut trace = Trace::default();
    let mut counts = Counts::default();
    let flows = share.part(packets as usize).div_ceil(PACKETS);
    let mut waiting =
        (0..).filter(|number| share.has(*number)).take(flows).map(|number| (Conversation::new(number), 0));
    let mut open: Vec<_> = waiting.by_ref().take(share.part(live as usize)).collect();
    while !open.is_empty() {
        let index = dice.below(open.len());
        let (conversation, step) = &mut open[index];
        let (from, flags, payload) = packet(*step, &mut dice);
        trace.push_made_up(
            &conversation.frame(from, flags, payload),
            Timestamp::from_nanos(counts.packets * INTERVAL_NANOS),
        );
        counts.packets += 1;
        counts.bytes += payload as u64;
        *step += 1;
        if *step == PACKETS {
            match waiting.next() {
                Some(next) => open[index] = next,
                None => _ = open.swap_remove(index),
            }
        }
    }
    trace.align();
    (trace, Counts { flows: flows as u64, flow_packets: counts.packets - flows as u64, ..counts })
}

/// A connection's packet with this number: who sends it, its flags, its payload's length.
fn packet(step: usize, dice: &mut Dice) -> (Side, u8, usize) {
    let without_payload = |(from, flags)| (from, flags, 0);
    match step.checked_sub(HANDSHAKE.len()) {
        None => without_payload(HANDSHAKE[step]),
        Some(segment) if segment < SEGMENTS => {
            let from = if segment % 2 == 0 { Side::Client } else { Side::Server };
            (from, TcpFlags::PSH | TcpFlags::ACK, 1 + dice.below(6))
        }
        Some(later) => without_payload(CLOSING[later - SEGMENTS]),
    }
}
