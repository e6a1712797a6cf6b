//! Networks, as configuration files have them: an address, perhaps with a mask.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// All addresses of one version of IP whose first bits are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Net {
    /// Without any bit beyond the prefix.
    first: IpAddr,
    prefix: u8,
}

/// A text that names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowed here: {allowed}")]
pub struct BadNet {
    /// Where in the text, in characters from 0.
    pub at: usize,
    /// What could stand there.
    pub allowed: &'static str,
}

impl Net {
    /// The network of `address` with a prefix of so many bits, or the longest there is. Bits beyond it do not count.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        let prefix = prefix.min(width(address));
        Self { first: masked(address, prefix), prefix }
    }

    /// One address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self::new(address, u8::MAX)
    }

    /// The lowest address.
    #[must_use]
    pub fn first(self) -> IpAddr {
        self.first
    }

    /// The highest address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() | !v4_mask(self.prefix)).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() | !v6_mask(self.prefix)).into(),
        }
    }

    /// How many bits are given.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is a network of IPv6.
    #[must_use]
    pub fn is_v6(self) -> bool {
        self.first.is_ipv6()
    }

    /// Whether `address` belongs to it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_v6() && masked(address, self.prefix) == self.first
    }
}

/// The first bits of an address, the others being 0.
#[must_use]
pub fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & v4_mask(prefix)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & v6_mask(prefix)).into(),
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn v4_mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0)
}

fn v6_mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0)
}

impl fmt::Display for Net {
    /// As it is read. One address stands without a mask.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == width(self.first) {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}/{}", self.first, self.prefix)
        }
    }
}

impl FromStr for Net {
    type Err = BadNet;

    fn from_str(text: &str) -> Result<Self, BadNet> {
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| BadNet { at: 0, allowed: "an IPv4 or IPv6 address, perhaps with /mask" })?;
        let Some(mask) = mask else { return Ok(Self::host(address)) };
        let width = width(address);
        let allowed = match address {
            IpAddr::V4(_) => "a prefix length of 0 to 32, or a dotted mask without holes",
            IpAddr::V6(_) => "a prefix length of 0 to 128",
        };
        // The address is ASCII: bytes are characters.
        let bad = BadNet { at: text.len() - mask.len(), allowed };
        let is_number = !mask.is_empty() && mask.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match (is_number, address) {
            (true, _) => mask.parse::<u8>().ok().filter(|prefix| *prefix <= width),
            (false, IpAddr::V4(_)) => {
                let bits = mask.parse::<Ipv4Addr>().map_err(|_| bad)?.to_bits();
                (bits.leading_ones() == bits.count_ones()).then_some(bits.count_ones() as u8)
            }
            (false, IpAddr::V6(_)) => None,
        };
        Ok(Self::new(address, prefix.ok_or(bad)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Net {
        text.parse().unwrap()
    }

    #[test]
    fn masks_are_lengths_or_dotted() {
        assert_eq!(net("10.1.2.3/255.255.0.0"), net("10.1.0.0/16"));
        assert_eq!(net("10.1.2.3").to_string(), "10.1.2.3");
        assert_eq!(net("10.1.2.3/0").to_string(), "0.0.0.0/0");
        assert_eq!(net("2001:db8:ffff::/33").to_string(), "2001:db8:8000::/33");
        assert_eq!(net("::/0").last().to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert!(net("10.0.0.0/8").contains("10.255.0.1".parse().unwrap()));
        assert!(!net("0.0.0.0/0").contains("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, at) in [
            ("", 0),
            ("10.0.0", 0),
            ("10.0.0.1/", 9),
            ("10.0.0.1/33", 9),
            ("10.0.0.1/+8", 9),
            ("10.0.0.1/255.0.255.0", 9),
            ("::1/129", 4),
            ("::1/255.0.0.0", 4),
            ("10.0.0.1/8/8", 9),
        ] {
            assert_eq!(text.parse::<Net>().unwrap_err().at, at, "{text}");
        }
    }
}
