//! Evaluation: an expression and a packet to yes or no. Per packet, so nothing is allocated; and every recursion is one
//! that parsing has bounded.

use super::expr::{Expr, Joint, Net, Relation, Side, Test, Transport, Version};
use crate::wire::{NO_VLAN, Packet, PacketKind};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The bytes at the start of a UDP header that hold its ports.
const UDP_PORTS_LEN: u32 = 4;

/// What is asked about.
pub(super) struct Subject<'a> {
    pub(super) packet: &'a Packet,
    pub(super) frame: &'a [u8],
    pub(super) wire_len: u32,
}

impl Expr {
    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Test(test) => subject.is(test),
            Self::Not(inner) => !inner.matches(subject),
            Self::Chain { first, rest } => {
                rest.iter().fold(first.matches(subject), |so_far, (joint, operand)| match joint {
                    Joint::And => so_far && operand.matches(subject),
                    Joint::Or => so_far || operand.matches(subject),
                })
            }
        }
    }
}

impl Subject<'_> {
    fn is(&self, test: &Test) -> bool {
        match *test {
            Test::Address { side, net } => self.is_in(side, net),
            Test::Port { transport, side, first, last } => {
                self.has_ports(transport)
                    && side.holds(self.packet.src_port, self.packet.dst_port, |port| (first..=last).contains(&port))
            }
            Test::Version(version) => self.version() == Some(version),
            Test::Protocol { version, number } => {
                let found = self.version();
                self.packet.protocol == number && found.is_some() && (version.is_none() || version == found)
            }
            Test::Vlan(None) => self.packet.vlan != NO_VLAN,
            Test::Vlan(Some(id)) => self.packet.vlan == id,
            Test::Mpls => false,
            Test::Length { relation, len } => {
                let captured = u32::try_from(self.frame.len()).unwrap_or(u32::MAX);
                relation.holds(self.wire_len.max(captured), len)
            }
            Test::Flags { mask, relation, value } => {
                self.packet.kind == PacketKind::Tcp
                    && relation.holds((self.packet.tcp_flags & mask).into(), value.into())
            }
        }
    }

    /// `None` of what was not decoded.
    fn version(&self) -> Option<Version> {
        match self.packet.ip_version {
            4 => Some(Version::V4),
            6 => Some(Version::V6),
            _ => None,
        }
    }

    fn is_in(&self, side: Side, net: Net) -> bool {
        let packet = self.packet;
        match (net, self.version()) {
            (Net::V4 { net, mask }, Some(Version::V4)) => {
                side.holds(packet.src_v4, packet.dst_v4, |address| address & mask == net)
            }
            (Net::V6 { net, mask }, Some(Version::V6)) => {
                side.holds(packet.src_v6(self.frame), packet.dst_v6(self.frame), |address| {
                    u128::from_be_bytes(address) & mask == net
                })
            }
            _ => false,
        }
    }

    /// Whether the packet has ports, and those of `transport`.
    fn has_ports(&self, transport: Option<Transport>) -> bool {
        match (self.packet.kind, self.packet.protocol) {
            (PacketKind::Tcp, TCP) => transport != Some(Transport::Udp),
            // The decoder does not insist on UDP headers being there.
            (PacketKind::OtherIp, UDP) => {
                transport != Some(Transport::Tcp) && self.packet.payload_captured >= UDP_PORTS_LEN
            }
            _ => false,
        }
    }
}

impl Side {
    fn holds<T>(self, source: T, destination: T, is_meant: impl Fn(T) -> bool) -> bool {
        match self {
            Self::Source => is_meant(source),
            Self::Destination => is_meant(destination),
            Self::Either => is_meant(source) || is_meant(destination),
            Self::Both => is_meant(source) && is_meant(destination),
        }
    }
}

impl Relation {
    fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}
