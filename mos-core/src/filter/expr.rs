//! The checked expression: what parsing leaves of a text, normalised, and the text it is printed as.
//!
//! Alternatives of spelling are gone: `less 60` is a length, `portrange 5-1` is one from 1 to 5, a host is a net of one
//! address. What is printed here is therefore not what was written, but parses to the same expression.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::{self, Display};
use core::net::{Ipv4Addr, Ipv6Addr};

/// Which packets.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Test(Test),
    /// Never holds another `Not`.
    Not(Box<Expr>),
    /// Joined from left to right. A list and not a tree of pairs: its depth is what an author wrote in parentheses, not
    /// how many things were joined, so walking it (and dropping it) takes a bounded stack.
    Chain {
        first: Box<Expr>,
        /// Never empty.
        rest: Vec<(Joint, Expr)>,
    },
}

impl Expr {
    /// The opposite.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(other.into()),
        }
    }

    /// In parentheses if it needs them as part of another.
    fn fmt_operand(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Chain { .. } = self { write!(f, "({self})") } else { self.fmt(f) }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test(test) => test.fmt(f),
            Self::Not(inner) => {
                f.write_str("not ")?;
                inner.fmt_operand(f)
            }
            Self::Chain { first, rest } => {
                first.fmt_operand(f)?;
                rest.iter().try_for_each(|(joint, operand)| {
                    f.write_str(if *joint == Joint::And { " and " } else { " or " })?;
                    operand.fmt_operand(f)
                })
            }
        }
    }
}

/// What stands between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    And,
    Or,
}

/// What one packet either is or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Address {
        side: Side,
        net: Net,
    },
    /// From `first` to `last`, which is not below it.
    Port {
        transport: Option<Transport>,
        side: Side,
        first: u16,
        last: u16,
    },
    Version(Version),
    /// Of any version of IP, if there is none.
    Protocol {
        version: Option<Version>,
        number: u8,
    },
    /// Of any id, if there is none.
    Vlan(Option<u16>),
    /// Never true: labelled frames are not decoded.
    Mpls,
    /// Bytes on the wire.
    Length {
        relation: Relation,
        len: u32,
    },
    /// TCP flags, of which only those in `mask` are looked at.
    Flags {
        mask: u8,
        relation: Relation,
        value: u8,
    },
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address { side, net } => write!(f, "{side}{net}"),
            Self::Port { transport, side, first, last } => {
                f.write_str(match transport {
                    None => "",
                    Some(Transport::Tcp) => "tcp ",
                    Some(Transport::Udp) => "udp ",
                })?;
                if first == last {
                    write!(f, "{side}port {first}")
                } else {
                    write!(f, "{side}portrange {first}-{last}")
                }
            }
            Self::Version(version) => version.fmt(f),
            Self::Protocol { version: None, number: 6 } => f.write_str("tcp"),
            Self::Protocol { version: None, number: 17 } => f.write_str("udp"),
            Self::Protocol { version: Some(Version::V4), number: 1 } => f.write_str("icmp"),
            Self::Protocol { version: Some(Version::V6), number: 58 } => f.write_str("icmp6"),
            Self::Protocol { version: None, number } => write!(f, "proto {number}"),
            Self::Protocol { version: Some(version), number } => write!(f, "{version} proto {number}"),
            Self::Vlan(None) => f.write_str("vlan"),
            Self::Vlan(Some(id)) => write!(f, "vlan {id}"),
            Self::Mpls => f.write_str("mpls"),
            Self::Length { relation, len } => write!(f, "len {relation} {len}"),
            Self::Flags { mask: 0xff, relation, value } => write!(f, "tcp[tcpflags] {relation} {value}"),
            Self::Flags { mask, relation, value } => write!(f, "tcp[tcpflags] & {mask:#x} {relation} {value:#x}"),
        }
    }
}

/// Which end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
    Either,
    Both,
}

/// As it stands before other words: with a space after it, if it says anything.
impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "src ",
            Self::Destination => "dst ",
            Self::Either => "",
            Self::Both => "src and dst ",
        })
    }
}

/// Which IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::V4 { "ip" } else { "ip6" })
    }
}

/// What has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// Addresses that agree in the bits of a mask, outside of which `net` has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Net {
    V4 { net: u32, mask: u32 },
    V6 { net: u128, mask: u128 },
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4 { net, mask: u32::MAX } => write!(f, "host {}", Ipv4Addr::from_bits(net)),
            Self::V6 { net, mask: u128::MAX } => write!(f, "host {}", Ipv6Addr::from_bits(net)),
            // Masks may have holes.
            Self::V4 { net, mask } if mask.leading_ones() != mask.count_ones() => {
                write!(f, "net {} mask {}", Ipv4Addr::from_bits(net), Ipv4Addr::from_bits(mask))
            }
            Self::V4 { net, mask } => write!(f, "net {}/{}", Ipv4Addr::from_bits(net), mask.leading_ones()),
            Self::V6 { net, mask } => write!(f, "net {}/{}", Ipv6Addr::from_bits(net), mask.leading_ones()),
        }
    }
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}
