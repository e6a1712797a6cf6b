//! The filter language: which packets, in the words of `tcpdump`.
//!
//! A [`Filter`] is an expression of pcap-filter's language, read once and evaluated on decoded [`Packet`]s. A blank one
//! matches every packet.
//!
//! ```
//! use mos_core::filter::Filter;
//! use mos_core::packet::LinkType;
//! use mos_core::wire::{TcpFlags, TcpSegment, decode};
//!
//! let (client, server) = ("10.0.0.1:40000".parse()?, "10.0.0.2:443".parse()?);
//! let frame = TcpSegment { flags: TcpFlags::SYN, ..TcpSegment::new(client, server) }.to_ethernet();
//! let wire_len = frame.len() as u32;
//! let packet = decode(&frame, wire_len, LinkType::Ethernet);
//!
//! let filter = Filter::parse("src net 10.0/16 and dst port (80 or 443) and tcp[tcpflags] & tcp-syn != 0")?;
//! assert!(filter.matches(&packet, &frame, wire_len));
//!
//! let error = Filter::parse("tcp and prot 80").unwrap_err();
//! assert_eq!(error.column, 9);
//! assert!(error.to_string().ends_with("\n  tcp and prot 80\n          ^"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Primitives
//!
//! | primitive | matches |
//! |---|---|
//! | `host A` | an address is `A`, IPv4 or IPv6 |
//! | `net A/len`, `net A mask M`, `net A` | an address is in the net; `net 10.1` is `net 10.1.0.0/16` |
//! | `port N`, `portrange N-M` | a TCP or UDP port is `N`, or lies between the two |
//! | `ip`, `ip6` | IPv4, IPv6 |
//! | `tcp`, `udp`, `icmp`, `icmp6` | the protocol, of the IP version that has it |
//! | `proto N` | the protocol by number or name; `ip proto N` and `ip6 proto N` of one version |
//! | `vlan`, `vlan N` | a VLAN tag, an innermost VLAN tag with this id |
//! | `mpls`, `mpls N` | nothing: frames with labels are not decoded |
//! | `less N`, `greater N` | bytes on the wire: at most, at least |
//! | `len OP N` | bytes on the wire, compared by `=` `==` `!=` `<` `<=` `>` `>=` |
//! | `tcp[tcpflags] & C OP C` | TCP flags, perhaps masked, compared to a constant; `tcp[13]` is the same byte |
//!
//! Before `host`, `net`, `port` and `portrange` may stand `src`, `dst`, `src or dst` (what is meant without) or
//! `src and dst`; before these `ip` or `ip6` for addresses, `tcp` or `udp` for ports. After a direction `host` may be
//! left out. Constants are numbers, decimal or hexadecimal, `tcp-fin`, `tcp-syn`, `tcp-rst`, `tcp-push`, `tcp-ack`,
//! `tcp-urg`, `tcp-ece`, `tcp-cwr`, and several of them joined by `|`; a mask of several needs parentheses.
//!
//! # Joining
//!
//! `not` (or `!`) binds tightest. `and` (`&&`) and `or` (`||`) bind **equally**, from left to right, as in pcap-filter:
//! `a or b and c` is `(a or b) and c`. What lacks its qualifiers has those of the primitive before it:
//! `tcp src port 80 or 443` is `tcp src port 80 or tcp src port 443`, and so is `tcp src port (80 or 443)`.
//!
//! # Where it differs from libpcap
//!
//! It sees packets, not bytes:
//!
//! * VLAN tags are transparent: `tcp` matches tagged TCP too, and `vlan` does not shift what comes after it.
//! * The protocol is the one after all extension headers, and `tcp[tcpflags]` works in IPv6.
//! * Fragments have addresses and a protocol, but neither ports nor flags, not even first ones: whole datagrams do.
//! * Frames that are not decoded match lengths, and what is negated.
//! * IPv4 in an IPv6 address is IPv6.
//!
//! It resolves no host, network and service names; `host` takes full addresses only; and numbers with a leading zero,
//! octal to libpcap and decimal to most readers, are refused.
//!
//! | file | noun |
//! |---|---|
//! | `expr` | the checked expression, and its text |
//! | `lex` | words and signs |
//! | `operand` | numbers, ports, addresses, nets |
//! | `parse` | text to expression |
//! | `eval` | expression and packet to yes or no |

mod eval;
mod expr;
mod lex;
mod operand;
mod parse;

#[cfg(test)]
mod tests;

use alloc::string::String;
use core::fmt;

pub use parse::{MAX_DEPTH, MAX_LEN};

use crate::wire::Packet;
use expr::Expr;

/// Which packets: an expression of the [filter language](self).
///
/// Its `Display` is an expression that means the same and, if it keeps within [`MAX_LEN`], parses to an equal filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// `None` matches everything.
    root: Option<Expr>,
}

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text).map(|root| Self { root }).map_err(|fault| FilterError::new(text, fault))
    }

    /// Whether the packet is one of those meant. `frame` is what it was decoded from, which had `wire_len` bytes on the
    /// wire. (A `wire_len` below what was captured is taken for that.)
    #[must_use]
    pub fn matches(&self, packet: &Packet, frame: &[u8], wire_len: u32) -> bool {
        self.root.as_ref().is_none_or(|root| root.matches(&eval::Subject { packet, frame, wire_len }))
    }
}

impl core::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.as_ref().map_or(Ok(()), |root| root.fmt(f))
    }
}

/// Why a text is no filter expression. `Display` shows the text as well, with a caret under the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct FilterError {
    /// Where, in characters from 1; one beyond the last if something is missing there.
    pub column: usize,
    /// What was found, and what is allowed.
    pub message: String,
    /// The text around the place, on one line.
    excerpt: String,
    /// How many characters of the excerpt stand before the place.
    indent: usize,
}

impl FilterError {
    fn new(text: &str, parse::Fault { column, message }: parse::Fault) -> Self {
        /// Characters shown on either side: errors are for terminals, expressions may be long.
        const AROUND: usize = 60;

        let before = column - 1;
        let skipped = before.saturating_sub(AROUND);
        let shown = before - skipped + AROUND;
        let mut rest = text.chars().skip(skipped);
        let mut excerpt: String = if skipped > 0 { "...".into() } else { String::new() };
        let indent = excerpt.len() + before - skipped;
        // A line break or a tab would move the caret away from its place.
        excerpt.extend(rest.by_ref().take(shown).map(|c| if c.is_control() { ' ' } else { c }));
        if rest.next().is_some() {
            excerpt.push_str("...");
        }
        Self { column, message, excerpt, indent }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}\n  {:indent$}^", self.message, self.excerpt, "", indent = self.indent)
    }
}
