//! What stands behind keywords: numbers, ports, addresses and nets, read from single words.

use alloc::format;
use alloc::string::String;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::expr::Net;

/// The protocols that have a name here; numbers are IANA's.
const PROTOCOLS: [(&str, u8); 10] = [
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", 58),
    ("pim", 103),
    ("sctp", 132),
];

/// The constants of [`TcpFlags`](crate::wire::TcpFlags), by the names they have in expressions.
const FLAGS: [(&str, u8); 8] = [
    ("tcp-fin", 1),
    ("tcp-syn", 2),
    ("tcp-rst", 4),
    ("tcp-push", 8),
    ("tcp-ack", 16),
    ("tcp-urg", 32),
    ("tcp-ece", 64),
    ("tcp-cwr", 128),
];

/// A number up to `max`, decimal or hexadecimal. `what` names it, with its article.
pub(super) fn number(text: &str, what: &str, max: u32) -> Result<u32, String> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(format!("`{text}` is no number: {what} is one from 0 to {max}"));
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Err(format!("`{text}` begins with 0, which may mean octal: write it without, or in hexadecimal"));
    }
    // All digits: it fails only for being too large.
    let number = u32::from_str_radix(digits, radix).ok().filter(|number| *number <= max);
    number.ok_or_else(|| format!("`{text}` is out of range: {what} is a number from 0 to {max}"))
}

/// A port.
pub(super) fn port(text: &str) -> Result<u16, String> {
    number(text, "a port", u16::MAX.into()).map(|port| port as u16)
}

/// Two ports with a dash between them, the lower one first in what is returned.
pub(super) fn port_range(text: &str) -> Result<(u16, u16), String> {
    let Some((first, last)) = text.split_once('-') else {
        return Err(format!("`{text}` is no range of ports: write `{text}-{text}` or `port {text}`"));
    };
    let (first, last) = (port(first)?, port(last)?);
    Ok((first.min(last), first.max(last)))
}

/// The number of a protocol that is named here. Names that are keywords may have a backslash, as libpcap has it.
pub(super) fn protocol_named(text: &str) -> Option<u8> {
    let name = text.strip_prefix('\\').unwrap_or(text);
    PROTOCOLS.iter().find(|(known, _)| *known == name).map(|&(_, number)| number)
}

/// A protocol by number or name.
pub(super) fn protocol(text: &str) -> Result<u8, String> {
    if let Some(number) = protocol_named(text) {
        return Ok(number);
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return number(text, "a protocol", u8::MAX.into()).map(|number| number as u8);
    }
    let names = PROTOCOLS.map(|(name, _)| name).join(", ");
    Err(format!("unknown protocol `{text}`: a number from 0 to 255 is allowed, and {names}"))
}

/// A constant to hold TCP flags against.
pub(super) fn flags(text: &str) -> Result<u8, String> {
    if let Some(&(_, flag)) = FLAGS.iter().find(|(name, _)| *name == text) {
        return Ok(flag);
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return number(text, "a byte of flags", u8::MAX.into()).map(|number| number as u8);
    }
    let names = FLAGS.map(|(name, _)| name).join(", ");
    Err(format!("unknown flag `{text}`: a number from 0 to 255 is allowed, and {names}"))
}

/// One address, as a net of one.
pub(super) fn host(text: &str) -> Result<Net, String> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => Ok(Net::V4 { net: address.to_bits(), mask: u32::MAX }),
        Ok(IpAddr::V6(address)) => Ok(Net::V6 { net: address.to_bits(), mask: u128::MAX }),
        Err(_) if net(text).is_ok() => Err(format!("`{text}` is not one address: write `net {text}`")),
        Err(_) => Err(format!("`{text}` is no address: an IPv4 or IPv6 address is allowed, names are not")),
    }
}

/// `A/len`, or `A` alone: an IPv6 address, or as many of an IPv4 address's numbers as the net has.
pub(super) fn net(text: &str) -> Result<Net, String> {
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (text, None),
    };
    let prefix_len = |max: u32| len.map(|len| number(len, "a prefix length here", max)).transpose();
    if let Ok(address) = address.parse::<Ipv6Addr>() {
        let len = prefix_len(128)?.unwrap_or(128);
        let (net, mask) = (address.to_bits(), u128::MAX.checked_shl(128 - len).unwrap_or(0));
        let rounded = Ipv6Addr::from_bits(net & mask);
        return if rounded == address {
            Ok(Net::V6 { net, mask })
        } else {
            Err(format!("`{text}` has bits beyond its prefix: the net is `{rounded}/{len}`"))
        };
    }
    let (net, known) = v4_start(address)?;
    let len = prefix_len(32)?.unwrap_or(known);
    masked_v4(text, net, u32::MAX.checked_shl(32 - len).unwrap_or(0))
}

/// `address mask mask`, which only IPv4 has.
pub(super) fn net_with_mask(address: &str, mask: &str) -> Result<Net, String> {
    let (mask, _) = v4_start(mask)?;
    masked_v4(address, v4_start(address)?.0, mask)
}

fn masked_v4(text: &str, net: u32, mask: u32) -> Result<Net, String> {
    if net & mask == net {
        return Ok(Net::V4 { net, mask });
    }
    let rounded = Net::V4 { net: net & mask, mask };
    Err(format!("`{text}` has bits beyond its mask: write `{rounded}`"))
}

/// The first one to four numbers of an IPv4 address: it with zeros for the others, and how many bits are given.
fn v4_start(text: &str) -> Result<(u32, u32), String> {
    let unknown = || format!("`{text}` is no net: allowed are an IPv6 address and the first numbers of an IPv4 one");
    let (mut octets, mut known) = ([0; 4], 0);
    for part in text.split('.') {
        let octet = octets.get_mut(known).ok_or_else(unknown)?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unknown());
        }
        *octet = number(part, "each part of an IPv4 address", u8::MAX.into())? as u8;
        known += 1;
    }
    Ok((Ipv4Addr::from(octets).to_bits(), 8 * known as u32))
}
