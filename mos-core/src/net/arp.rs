//! ARP (RFC 826) of IPv4 over Ethernet: the packet, read and written.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::mac::MacAddr;

/// ARP's EtherType.
pub(super) const ETHER_TYPE: u16 = 0x0806;

/// Ethernet, IPv4, and the lengths of their addresses: how every packet begins.
const KIND: [u8; 6] = [0, 1, 0x08, 0, 6, 4];

/// The length of a packet.
const LEN: usize = 28;

/// What a packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Request,
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arp {
    pub(super) operation: Operation,
    pub(super) sender_mac: MacAddr,
    pub(super) sender: Ipv4Addr,
    pub(super) target_mac: MacAddr,
    pub(super) target: Ipv4Addr,
}

impl Arp {
    /// Reads the packet that `bytes` begins with. `None`: it is of another kind, or claims what no host can.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        //= RFC 826 packet reception
        let packet: &[u8; LEN] = bytes.first_chunk()?;
        let (kind, rest) = packet.split_first_chunk()?;
        let (operation, addresses) = rest.split_first_chunk()?;
        let operation = match operation {
            [0, 1] => Operation::Request,
            [0, 2] => Operation::Reply,
            _ => return None,
        };
        let ip = |at: usize| addresses.get(at..)?.first_chunk().map(|octets| Ipv4Addr::from(*octets));
        let arp = Self {
            operation,
            sender_mac: MacAddr::read(addresses, 0)?,
            sender: ip(6)?,
            target_mac: MacAddr::read(addresses, 10)?,
            target: ip(16)?,
        };
        //= RFC 1812 section 3.3.2
        // A host's hardware address is no group's.
        let is_sane = arp.sender_mac.is_host() && !arp.sender.is_multicast() && !arp.sender.is_broadcast();
        (*kind == KIND && is_sane).then_some(arp)
    }

    /// The packet in a frame to `to`.
    pub(super) fn frame(&self, to: MacAddr) -> Vec<u8> {
        let operation: [u8; 2] = match self.operation {
            Operation::Request => [0, 1],
            Operation::Reply => [0, 2],
        };
        let mut frame = Vec::with_capacity(14 + LEN);
        frame.extend_from_slice(&to.0);
        frame.extend_from_slice(&self.sender_mac.0);
        frame.extend_from_slice(&ETHER_TYPE.to_be_bytes());
        frame.extend_from_slice(&KIND);
        frame.extend_from_slice(&operation);
        frame.extend_from_slice(&self.sender_mac.0);
        frame.extend_from_slice(&self.sender.octets());
        frame.extend_from_slice(&self.target_mac.0);
        frame.extend_from_slice(&self.target.octets());
        frame
    }

    /// The answer of `mac`, which has the address that was asked for.
    pub(super) fn answer(&self, mac: MacAddr) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUEST: Arp = Arp {
        operation: Operation::Request,
        sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        sender: Ipv4Addr::new(10, 0, 0, 1),
        target_mac: MacAddr::UNKNOWN,
        target: Ipv4Addr::new(10, 0, 0, 2),
    };

    #[test]
    fn rfc_826_what_is_written_is_read() {
        let frame = REQUEST.frame(MacAddr::BROADCAST);
        assert_eq!(frame.len(), 42);
        assert_eq!(Arp::read(&frame[14..]), Some(REQUEST));
        let answer = REQUEST.answer(MacAddr([2, 0, 0, 0, 0, 2]));
        assert_eq!((answer.sender, answer.target_mac), (REQUEST.target, REQUEST.sender_mac));
        assert_eq!(Arp::read(&answer.frame(answer.target_mac)[14..]), Some(answer));
    }

    #[test]
    fn rfc_826_other_kinds_and_impossible_senders_are_refused() {
        let frame = REQUEST.frame(MacAddr::BROADCAST);
        // Hardware, protocol, lengths, operation, sender's hardware address, sender.
        for (at, value) in [(1, 6), (2, 0x86), (4, 8), (5, 16), (7, 3), (8, 0xff), (14, 224)] {
            let mut packet = frame[14..].to_vec();
            packet[at] = value;
            assert_eq!(Arp::read(&packet), None, "byte {at}");
        }
        assert_eq!(Arp::read(&frame[14..41]), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(arp) = Arp::read(&bytes) {
                let frame = arp.frame(MacAddr::BROADCAST);
                prop_assert_eq!(&frame[14..], &bytes[..28]);
            }
        }
    }
}
