//! Which core a frame goes to, when the system deals an interface's frames out to several sockets: one hash in two forms, a
//! program that the system runs on each frame (`program`) and a function ([`FlowHash`]) that says the same.
//!
//! So whoever chooses an address or a port, as a NAT does, can choose it such that the answers come to its own core.

#[cfg(target_os = "linux")]
mod program;
#[cfg(test)]
mod tests;

use core::net::{IpAddr, SocketAddr};

#[cfg(target_os = "linux")]
pub(super) use program::program;

const VLAN: u16 = 0x8100;
const PROVIDER_VLAN: u16 = 0x88a8;
const OLD_PROVIDER_VLAN: u16 = 0x9100;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;

/// Tags that are looked past, beside the one that the system takes out of the frame before.
const INNER_TAGS: usize = 2;

/// A seeded hash of a flow that is the same for both its directions.
///
/// | frame | what counts |
/// |---|---|
/// | TCP or UDP, not in fragments | both addresses and both ports |
/// | ICMP and ICMPv6 echo, and its reply | both addresses, and the identifier as if it were both ports |
/// | other IPv4 and IPv6, and fragments | both addresses |
/// | frames that are not IP, or end within these fields | nothing: core 0 |
///
/// IPv6 is looked into as far as its fixed header: behind extension headers only the addresses count. So does what an ICMP error
/// quotes: it goes by the addresses of who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowHash {
    /// Odd, so that multiplying loses nothing.
    multiplier: u32,
    start: u32,
}

impl FlowHash {
    /// The hash of that seed, which should be random, so that nobody can aim at one core.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // The finalizer of SplitMix64.
        let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        // Bits far apart are set whatever the seed, so that no multiplier is weak.
        Self { multiplier: word as u32 | 0x4010_0201, start: (word >> 32) as u32 }
    }

    /// The core, of `cores`, that gets the packets between two endpoints, in both directions. For an ICMP echo both ports are
    /// its identifier, and for what has no ports they are 0.
    ///
    /// # Panics
    ///
    /// If there is no core.
    #[must_use]
    pub fn core_of(&self, a: SocketAddr, b: SocketAddr, cores: usize) -> usize {
        self.of_flow(a, b) as usize % cores
    }

    /// The hash of the packets between two endpoints.
    #[must_use]
    pub fn of_flow(&self, a: SocketAddr, b: SocketAddr) -> u32 {
        let endpoint = |endpoint: SocketAddr| match endpoint.ip() {
            IpAddr::V4(address) => self.endpoint(&address.octets(), endpoint.port()),
            IpAddr::V6(address) => self.endpoint(&address.octets(), endpoint.port()),
        };
        self.both(endpoint(a), endpoint(b))
    }

    /// The hash of an Ethernet frame, as the system computes it: 0 if there is nothing to go by.
    #[must_use]
    pub fn of_frame(&self, frame: &[u8]) -> u32 {
        // The outermost tag is gone when the system's program runs; the others stand in front of the network header.
        let outer = half(frame, 12).unwrap_or(0);
        let (ether_type, network) = match outer {
            VLAN | PROVIDER_VLAN => (half(frame, 16), 18),
            _ => (Some(outer), 14),
        };
        let network = frame.get(network..).unwrap_or_default();
        ether_type.and_then(|ether_type| self.of_network(ether_type, network)).unwrap_or(0)
    }

    /// The same from the network header on. `None` if the packet ends within what counts.
    fn of_network(&self, mut ether_type: u16, mut packet: &[u8]) -> Option<u32> {
        for _ in 0..INNER_TAGS {
            if let VLAN | PROVIDER_VLAN | OLD_PROVIDER_VLAN = ether_type {
                ether_type = half(packet, 2)?;
                packet = packet.get(4..).unwrap_or_default();
            }
        }
        match ether_type {
            IPV4 => {
                let is_fragment = half(packet, 6)? & 0x3fff != 0;
                let protocol = *packet.get(9)?;
                let transport = usize::from(packet.first()? & 0xf) * 4;
                let ports = if is_fragment { [0; 2] } else { ports(protocol, ICMP, [0, 8], packet, transport)? };
                let [a, b] = [packet.get(12..16)?, packet.get(16..20)?];
                Some(self.both(self.endpoint(a, ports[0]), self.endpoint(b, ports[1])))
            }
            IPV6 => {
                let protocol = *packet.get(6)?;
                let ports = ports(protocol, ICMP_V6, [128, 129], packet, 40)?;
                let [a, b] = [packet.get(8..24)?, packet.get(24..40)?];
                Some(self.both(self.endpoint(a, ports[0]), self.endpoint(b, ports[1])))
            }
            _ => None,
        }
    }

    fn endpoint(&self, address: &[u8], port: u16) -> u32 {
        let words = address.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word));
        words.chain([port.into()]).fold(self.start, |hash, word| self.step(hash, word))
    }

    /// The order of the two does not matter, so the sum is all that may be taken of them.
    fn both(&self, a: u32, b: u32) -> u32 {
        self.step(0, a.wrapping_add(b))
    }

    fn step(&self, hash: u32, word: u32) -> u32 {
        let product = hash.wrapping_add(word).wrapping_mul(self.multiplier);
        product ^ product >> 16
    }
}

/// The ports of TCP and UDP, the identifier of an echo twice, zeros for all else.
fn ports(protocol: u8, icmp: u8, echo: [u8; 2], packet: &[u8], transport: usize) -> Option<[u16; 2]> {
    if protocol == TCP || protocol == UDP {
        return Some([half(packet, transport)?, half(packet, transport + 2)?]);
    }
    if protocol == icmp && echo.contains(packet.get(transport)?) {
        return Some([half(packet, transport + 4)?; 2]);
    }
    Some([0; 2])
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}
