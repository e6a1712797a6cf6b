//! From a frame to the number of the core that takes it.

use core::net::IpAddr;

use crate::packet::FrameMeta;
use crate::wire::{PacketKind, decode};

/// Chooses cores by a seeded, symmetric hash of the pair of IP addresses.
///
/// *Only the addresses* count, not the ports: the second and later fragments of a datagram have no ports, and must meet the
/// first one, and the flow they belong to, on one core; so must what the two hosts tell each other by ICMP. (An ICMP error
/// from a router in between goes by its own addresses.) The price is that all flows of one pair of hosts share a core.
///
/// Frames without an IP header go to core 0. The frames of a tunnel that is not opened go by its outer addresses.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    seed: u64,
    cores: usize,
}

impl Spread {
    /// Spreads over `cores` cores, at least one. The seed should be random, so that nobody can aim at one core.
    #[must_use]
    pub fn new(cores: usize, seed: u64) -> Self {
        Self { seed, cores: cores.max(1) }
    }

    /// How many cores there are.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// The core that takes the frame: a number below that of the cores.
    #[must_use]
    pub fn core_of(&self, frame: &[u8], meta: &FrameMeta) -> usize {
        let packet = decode(frame, meta.wire_len, meta.link);
        if let PacketKind::Undecoded(_) = packet.kind {
            return 0;
        }
        let hash = self.hash(packet.source(frame), packet.destination(frame));
        ((u128::from(hash) * self.cores as u128) >> 64) as usize
    }

    /// The same for both orders of the pair.
    fn hash(&self, a: IpAddr, b: IpAddr) -> u64 {
        let (a, b) = (bits(a), bits(b));
        let words = [a.min(b), a.max(b)].map(|address| [address as u64, (address >> 64) as u64]);
        words.as_flattened().iter().fold(self.seed, |hash, &word| mix(hash ^ word))
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The finalizer of SplitMix64: a bijection in which every input bit reaches every output bit.
fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}
