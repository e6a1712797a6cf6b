//! Round-trip times: between this point of the path and each of the endpoints.
//!
//! The handshake gives one sample of each for nothing. Who wants more ([`Wanted::RTT`]) gets one segment at a time timed
//! until it is acknowledged; what was retransmitted is not (Karn's algorithm, RFC 6298 3).

use alloc::vec::Vec;
use core::time::Duration;

use super::Stack;
use crate::event::{Side, Wanted};
use crate::flow::record::{Cold, SlowFlags};
use crate::tcp::Segment;
use crate::time::Timestamp;
use crate::wire::SeqNum;

/// The round-trip time between here and an endpoint: from a segment passing here until its acknowledgment passes. It
/// includes the endpoint's own delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtt {
    /// The last sample.
    pub last: Duration,
    /// The smoothed time (SRTT, RFC 6298 2).
    pub smoothed: Duration,
    /// The smallest sample.
    pub min: Duration,
    /// How many samples there were.
    pub samples: u32,
}

impl Rtt {
    fn first(sample: Duration) -> Self {
        Self { last: sample, smoothed: sample, min: sample, samples: 1 }
    }

    fn add(&mut self, sample: Duration) {
        self.last = sample;
        self.smoothed = self.smoothed * 7 / 8 + sample / 8;
        self.min = self.min.min(sample);
        self.samples = self.samples.saturating_add(1);
    }
}

/// The segment that is timed, and what was found so far.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    timed: Option<(SeqNum, Timestamp)>,
    rtt: Option<Rtt>,
}

/// The meters of all flows, by slot; there are some only if anybody wants them.
#[derive(Debug, Default)]
pub(super) struct RttTable {
    meters: Vec<[Meter; 2]>,
}

impl RttTable {
    /// A new flow has the slot.
    pub(super) fn reset(&mut self, slot: u32) {
        if let Some(meters) = self.meters.get_mut(slot as usize) {
            *meters = Default::default();
        }
    }

    fn get_mut(&mut self, slot: u32, side: Side) -> &mut Meter {
        let slot = slot as usize;
        if slot >= self.meters.len() {
            self.meters.resize(slot + 1, Default::default());
        }
        &mut self.meters[slot][side as usize]
    }
}

impl Cold {
    /// The server's SYN|ACK has come, to a SYN that was sent once.
    #[inline(always)]
    pub(super) fn time_syn_ack(&mut self, now: Timestamp) {
        let passed = self.microseconds_at(now);
        let [_, server] = &mut self.half;
        if server.handshake_us == 0 {
            server.handshake_us = passed.max(1);
        }
    }

    /// The client's ACK has come, to a SYN|ACK that was sent once.
    #[inline(always)]
    pub(super) fn time_ack(&mut self, now: Timestamp) {
        let passed = self.microseconds_at(now);
        let [client, server] = &mut self.half;
        if client.handshake_us == 0 && server.handshake_us > 0 {
            client.handshake_us = passed.saturating_sub(server.handshake_us).max(1);
        }
    }

    /// The flow's age, as far as a number of 32 bits holds it.
    #[inline(always)]
    fn microseconds_at(&self, now: Timestamp) -> u32 {
        let passed = now.as_nanos().saturating_sub(self.created.as_nanos()) / 1000;
        u32::try_from(passed).unwrap_or(u32::MAX)
    }
}

impl Stack {
    /// What is known of the round-trip time to `side`.
    pub(super) fn rtt(&self, slot: u32, side: Side) -> Option<Rtt> {
        let measured = self.rtts.meters.get(slot as usize).and_then(|meters| meters[side as usize].rtt);
        let handshake = self.flows.cold(slot).half[side as usize].handshake_us;
        measured.or_else(|| (handshake > 0).then(|| Rtt::first(Duration::from_micros(handshake.into()))))
    }

    /// An acknowledging segment of the handshake from `side`, with or without SYN: the answers tell how far away the endpoints
    /// are.
    #[inline]
    pub(super) fn time_handshake(&mut self, slot: u32, side: Side, syn: bool) {
        let repeated = self.flows.cold(slot).has_spill() && self.flows.spill(slot, side).retransmits > 0;
        let (hot, cold) = self.flows.parts(slot);
        if repeated || hot.half[Side::Client as usize].slow.any(SlowFlags::MIDSTREAM) {
            return;
        }
        match side {
            Side::Server if syn => cold.time_syn_ack(self.now),
            Side::Client if !syn => cold.time_ack(self.now),
            _ => {}
        }
    }

    /// A segment from `side` passes: it may begin a measurement, and end one. `repeated`: it brings something again.
    pub(super) fn measure(&mut self, slot: u32, side: Side, segment: &Segment, repeated: bool) {
        if !self.flows.hot(slot).wanted.any(Wanted::RTT) {
            return;
        }
        let (now, known) = (self.now, self.rtt(slot, side));
        let meter = self.rtts.get_mut(slot, side);
        if let Some((until, since)) = meter.timed
            && segment.has_ack()
            && segment.ack.ge(until)
        {
            let sample = now.saturating_since(since);
            match meter.rtt.as_mut() {
                Some(rtt) => rtt.add(sample),
                None => {
                    let mut rtt = known.unwrap_or(Rtt::first(sample));
                    if known.is_some() {
                        rtt.add(sample);
                    }
                    meter.rtt = Some(rtt);
                }
            }
            meter.timed = None;
        }
        let meter = self.rtts.get_mut(slot, side.other());
        if repeated {
            meter.timed = None;
        } else if segment.len > 0 && meter.timed.is_none() {
            meter.timed = Some((segment.data_end(), now));
        }
    }
}
