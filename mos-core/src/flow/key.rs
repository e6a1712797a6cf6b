//! The name of a flow: its two endpoints, sorted, so that both directions have the same one; and the hash of it.
//!
//! The hash is seeded and not linear in the input, so nobody can construct collisions from outside. (The symmetric
//! Toeplitz hash that network cards offer has 65,536 values per million flows and can be collided by anyone.)

use core::net::{Ipv4Addr, SocketAddrV4};

use crate::wire::{Endpoints, NO_VLAN, Packet};

/// Marks, in the second word, the key of an IPv6 flow.
const V6: u64 = 1 << 63;

/// Marks, in the second word, the key of a flow that is closed; no packet's key has it.
const CLOSED: u64 = 1 << 62;

/// Two sorted endpoints. Of IPv4 the first word holds the addresses, the second one the ports, the lower endpoint above the
/// higher one; such a key is exact. Of IPv6 each word holds a keyed digest of an endpoint, so equality must be confirmed with
/// the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FlowKey {
    first: u64,
    second: u64,
}

impl FlowKey {
    /// The key of no packet and no flow.
    pub const NONE: Self = Self { first: u64::MAX, second: u64::MAX };

    /// This key matches no packet any more, but tells the endpoints still.
    #[must_use]
    pub fn closed(self) -> Self {
        Self { second: self.second | CLOSED, ..self }
    }

    /// Whether this is the key of a flow that is closed.
    #[inline]
    #[must_use]
    pub fn is_closed(self) -> bool {
        self.second & CLOSED != 0
    }

    /// Whether this names an IPv6 flow.
    #[inline]
    #[must_use]
    pub fn is_v6(self) -> bool {
        self.second & V6 != 0
    }

    /// The higher or the lower endpoint of an IPv4 key. What a VLAN changed lies beyond these bits.
    #[must_use]
    pub fn endpoint_v4(self, high: bool) -> SocketAddrV4 {
        let (address, port) = if high { (self.first, self.second) } else { (self.first >> 32, self.second >> 16) };
        SocketAddrV4::new(Ipv4Addr::from_bits(address as u32), port as u16)
    }
}

/// A packet's key, and which of the two sorted endpoints sent it. Aligned, as a packet is: see there.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub struct PacketKey {
    /// The flow that the packet belongs to.
    pub key: FlowKey,
    /// 32 bits of the key's hash: the tag in the flow table.
    pub tag: u32,
    /// The packet came from the higher endpoint.
    pub from_high: bool,
}

impl PacketKey {
    /// The key of what belongs to no flow.
    pub const NONE: Self = Self { key: FlowKey::NONE, tag: 0, from_high: false };
}

/// Makes keys and hashes under one seed.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    seed: [u64; 2],
    /// Odd: the last step, from 64 bits to 32.
    factor: u64,
    vlan_tracking: bool,
}

impl Hasher {
    /// A hasher under `seed`; with `vlan_tracking` the innermost VLAN id is part of the key.
    #[must_use]
    pub fn new(seed: u64, vlan_tracking: bool) -> Self {
        // Any fixed odd constants do: they keep a zero operand out of the multiplication.
        let seeds = [seed ^ 0x9e37_79b9_7f4a_7c15, seed.rotate_left(29) ^ 0xd6e8_feb8_6659_fd93];
        Self { seed: seeds, factor: seeds[0].rotate_left(21) | 1, vlan_tracking }
    }

    /// The key of a decoded TCP packet.
    #[must_use]
    pub fn key(&self, packet: &Packet, frame: &[u8]) -> PacketKey {
        // Bits 48 to 60 are free beside IPv4 ports; in an IPv6 word they are hash bits and may as well be mixed.
        let tracked = self.vlan_tracking && packet.vlan != NO_VLAN;
        let vlan = if tracked { (u64::from(packet.vlan) | 0x1000) << 48 } else { 0 };
        if packet.ip_version == 4 {
            return self.v4(packet.endpoints_v4(), vlan);
        }
        let source = self.endpoint_v6(packet.src_v6(frame), packet.src_port);
        let destination = self.endpoint_v6(packet.dst_v6(frame), packet.dst_port);
        self.sorted([source, destination], [destination, source], vlan)
    }

    /// The key of an IPv4 packet without a VLAN id, by its endpoints.
    #[inline(always)]
    pub(crate) fn key_v4(&self, endpoints: Endpoints) -> PacketKey {
        self.v4(endpoints, 0)
    }

    #[inline(always)]
    fn v4(&self, Endpoints { addresses, ports }: Endpoints, vlan: u64) -> PacketKey {
        let turned = [addresses.rotate_left(32), ports.rotate_left(16).into()];
        self.sorted([addresses, ports.into()], turned, vlan)
    }

    /// The key of a packet whose endpoints are `there`, from source to destination, and `back`, the other way round: the lesser
    /// of the two. As one number each they are compared without a branch.
    #[inline(always)]
    fn sorted(&self, there: [u64; 2], back: [u64; 2], vlan: u64) -> PacketKey {
        let number = |[first, second]: [u64; 2]| u128::from(first) << 64 | u128::from(second);
        let (there, back) = (number(there), number(back));
        let lesser = there.min(back);
        let key = FlowKey { first: (lesser >> 64) as u64, second: lesser as u64 ^ vlan };
        PacketKey { key, tag: self.tag(key), from_high: there > back }
    }

    /// The tag of `key`.
    #[inline]
    pub(super) fn tag(&self, key: FlowKey) -> u32 {
        let mixed = fold(key.first ^ self.seed[0], key.second ^ self.seed[1]);
        // Not the exclusive or of both halves: addresses that are counted up together would cancel out there.
        (mixed.wrapping_mul(self.factor) >> 32) as u32
    }

    fn endpoint_v6(&self, address: [u8; 16], port: u16) -> u64 {
        let value = u128::from_be_bytes(address);
        let digest = fold((value >> 64) as u64 ^ self.seed[0], value as u64 ^ self.seed[1]);
        fold(digest ^ self.seed[1], u64::from(port) ^ self.seed[0]) & !CLOSED | V6
    }
}

/// The 128-bit product of the operands, folded to 64 bits: cheap, and every output bit depends on every input bit.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn key_of(hasher: &Hasher, source: SocketAddrV4, destination: SocketAddrV4) -> PacketKey {
        let endpoint = |end: SocketAddrV4| Endpoints { addresses: end.ip().to_bits().into(), ports: end.port().into() };
        let (source, destination) = (endpoint(source), endpoint(destination));
        hasher.key_v4(Endpoints {
            addresses: source.addresses << 32 | destination.addresses,
            ports: source.ports << 16 | destination.ports,
        })
    }

    proptest! {
        #[test]
        fn both_directions_have_one_key_and_it_tells_the_endpoints(
            // Few addresses and ports, so that endpoints are often alike in part.
            source in (0..3u32, 0..3u16), destination in (0..3u32, 0..3u16), seed: u64,
        ) {
            let hasher = Hasher::new(seed, false);
            let end = |(address, port): (u32, u16)| SocketAddrV4::new(Ipv4Addr::from_bits(address << 31 | 7), port << 14);
            let (source, destination) = (end(source), end(destination));
            let (there, back) = (key_of(&hasher, source, destination), key_of(&hasher, destination, source));
            prop_assert_eq!((there.key, there.tag), (back.key, back.tag));
            prop_assert_eq!(there.from_high, source > destination);
            prop_assert_eq!(back.from_high, destination > source);
            prop_assert_eq!(there.key.endpoint_v4(true), source.max(destination));
            prop_assert_eq!(there.key.endpoint_v4(false), source.min(destination));
            prop_assert!(!there.key.is_v6() && !there.key.is_closed() && there.key.closed().is_closed());
        }
    }

    #[test]
    fn endpoints_that_count_up_together_have_different_tags() {
        let hasher = Hasher::new(7, false);
        let end = |address, port| SocketAddrV4::new(Ipv4Addr::from_bits(address), port);
        let pairs = (0..1 << 16).map(|i| key_of(&hasher, end(0x0a00_0000 + i, 40000), end(0x0b00_0000 + i, 443)).tag);
        // Of random tags one in 131,072 is there twice.
        assert!(pairs.collect::<BTreeSet<_>>().len() > (1 << 16) - 8);
    }
}
