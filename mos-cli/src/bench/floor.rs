//! The floors: what programs without a stack would do with the same packets.

use std::fmt;

use mos_core::packet::{Burst, LinkType, MAX_BURST};
use mos_core::prefetch::prefetch;
use mos_core::wire::{Packet, decode, decode_into};

/// How many frames ahead a header is fetched when the next burst is not known: as the stack does.
const HEADERS_AHEAD: usize = 8;

/// Larger than the caches of one core, as what is kept of live traffic would be.
const RING_BYTES: usize = 4 << 20;

/// A burst's headers, decoded as in the stack's first loop, header prefetch included.
pub(super) struct Decoder {
    packets: [Packet; MAX_BURST],
    /// Payload bytes by the headers, as far as captured.
    pub(super) bytes: u64,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { packets: [decode(&[], 0, LinkType::Ethernet); MAX_BURST], bytes: 0 }
    }

    #[inline]
    pub(super) fn process(&mut self, burst: &Burst<'_>) {
        for (index, (meta, packet)) in burst.frames.iter().zip(&mut self.packets).enumerate() {
            if let Some(next) = burst.upcoming.get(index).or_else(|| burst.frames.get(index + HEADERS_AHEAD)) {
                prefetch(burst.memory, next.start);
            }
            decode_into(packet, &burst.memory[meta.range()], meta.wire_len, meta.link);
            self.bytes += u64::from(packet.payload_captured);
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Payloads, one after the other in a ring: what a program does that keeps all of them and knows no flows.
pub(super) struct Copier {
    decoder: Decoder,
    ring: Box<[u8]>,
    next: usize,
}

impl Copier {
    pub(super) fn new() -> Self {
        // Not zeros: memory that was never written is not there yet.
        Self { decoder: Decoder::new(), ring: vec![1; RING_BYTES].into_boxed_slice(), next: 0 }
    }

    #[inline]
    pub(super) fn process(&mut self, burst: &Burst<'_>) {
        self.decoder.process(burst);
        for (meta, packet) in burst.frames.iter().zip(&self.decoder.packets) {
            let payload = packet.payload(&burst.memory[meta.range()]);
            if self.ring.len() - self.next < payload.len() {
                self.next = 0;
            }
            // What is longer than the ring (no frame is) is cut.
            let len = payload.len().min(self.ring.len());
            self.ring[self.next..self.next + len].copy_from_slice(&payload[..len]);
            self.next += len;
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.decoder.bytes
    }
}

impl fmt::Debug for Copier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copier").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
