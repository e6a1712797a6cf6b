//! The name of a flow: its two endpoints, sorted, so that both directions have the same one; and the hash of it.
//!
//! The hash is seeded and not linear in the input, so nobody can construct collisions from outside. (The symmetric
//! Toeplitz hash that network cards offer has 65,536 values per million flows and can be collided by anyone.)

use core::net::{Ipv4Addr, SocketAddrV4};

use crate::wire::{Endpoints, NO_VLAN, Packet};

/// Marks the key of an IPv6 flow; an IPv4 word never has it.
const V6: u64 = 1 << 63;

/// Marks, in the lower endpoint, the key of a flow that is closed; no packet's key has it.
const CLOSED: u64 = 1 << 62;

/// Two sorted endpoints. An IPv4 key is exact; an IPv6 key holds keyed digests of the endpoints, so equality must be
/// confirmed with the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FlowKey {
    low: u64,
    high: u64,
}

impl FlowKey {
    /// The key of no packet and no flow.
    pub const NONE: Self = Self { low: u64::MAX, high: u64::MAX };

    /// This key matches no packet any more, but tells the endpoints still.
    #[must_use]
    pub fn closed(self) -> Self {
        Self { low: self.low | CLOSED, ..self }
    }

    /// Whether this is the key of a flow that is closed.
    #[inline]
    #[must_use]
    pub fn is_closed(self) -> bool {
        self.low & CLOSED != 0
    }

    /// Whether this names an IPv6 flow.
    #[inline]
    #[must_use]
    pub fn is_v6(self) -> bool {
        self.low & V6 != 0
    }

    /// The higher or the lower endpoint of an IPv4 key. What a VLAN changed lies beyond these bits.
    #[must_use]
    pub fn endpoint_v4(self, high: bool) -> SocketAddrV4 {
        let word = if high { self.high } else { self.low };
        SocketAddrV4::new(Ipv4Addr::from_bits((word >> 16) as u32), word as u16)
    }
}

/// A packet's key, and which of the two sorted endpoints sent it.
#[derive(Clone, Copy, Debug)]
pub struct PacketKey {
    /// The flow that the packet belongs to.
    pub key: FlowKey,
    /// 32 bits of the key's hash: the tag in the flow table.
    pub tag: u32,
    /// The packet came from the higher endpoint.
    pub from_high: bool,
}

/// Makes keys and hashes under one seed.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    seed: [u64; 2],
    vlan_tracking: bool,
}

impl Hasher {
    /// A hasher under `seed`; with `vlan_tracking` the innermost VLAN id is part of the key.
    #[must_use]
    pub fn new(seed: u64, vlan_tracking: bool) -> Self {
        // Any fixed odd constants do: they keep a zero operand out of the multiplication.
        Self { seed: [seed ^ 0x9e37_79b9_7f4a_7c15, seed.rotate_left(29) ^ 0xd6e8_feb8_6659_fd93], vlan_tracking }
    }

    /// The key of a decoded TCP packet.
    #[must_use]
    pub fn key(&self, packet: &Packet, frame: &[u8]) -> PacketKey {
        let (source, destination) = if packet.ip_version == 4 {
            (
                u64::from(packet.src_v4) << 16 | u64::from(packet.src_port),
                u64::from(packet.dst_v4) << 16 | u64::from(packet.dst_port),
            )
        } else {
            (
                self.endpoint_v6(packet.src_v6(frame), packet.src_port),
                self.endpoint_v6(packet.dst_v6(frame), packet.dst_port),
            )
        };
        // Bits 48 to 60 are free in an IPv4 word; in an IPv6 word they are hash bits and may as well be mixed.
        let tracked = self.vlan_tracking && packet.vlan != NO_VLAN;
        let vlan = if tracked { (u64::from(packet.vlan) | 0x1000) << 48 } else { 0 };
        self.sorted(source, destination, vlan)
    }

    /// The key of an IPv4 packet without a VLAN id, by its endpoints.
    #[inline(always)]
    pub(crate) fn key_v4(&self, Endpoints { source, destination }: Endpoints) -> PacketKey {
        self.sorted(source, destination, 0)
    }

    #[inline(always)]
    fn sorted(&self, source: u64, destination: u64, vlan: u64) -> PacketKey {
        let key = FlowKey { low: source.min(destination), high: source.max(destination) ^ vlan };
        PacketKey { key, tag: self.tag(key), from_high: source > destination }
    }

    /// The tag of `key`.
    #[inline]
    pub(super) fn tag(&self, key: FlowKey) -> u32 {
        let mixed = fold(key.low ^ self.seed[0], key.high ^ self.seed[1]);
        (mixed ^ mixed >> 32) as u32
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
