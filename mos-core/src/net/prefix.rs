//! Address prefixes, of either version (RFC 4632, RFC 4291 section 2.3).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    first: IpAddr,
    len: u8,
}

/// What is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// The length is more than the address has bits.
    #[error("a prefix of {len} bits: an address of this version has {most}")]
    TooLong {
        /// The length in bits.
        len: u8,
        /// 32 or 128.
        most: u8,
    },
    /// The text is not an address, a slash and a number of bits.
    #[error("not a prefix: an address and a number of bits are expected, as 192.0.2.0/24 or 2001:db8::/32")]
    Syntax,
}

impl Prefix {
    /// The prefix of `len` bits that `address` begins with: up to 32 for IPv4, 128 for IPv6. What follows these bits does
    /// not matter.
    ///
    /// # Errors
    ///
    /// [`PrefixError::TooLong`].
    pub fn new(address: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let most = bits(address);
        if len > most {
            return Err(PrefixError::TooLong { len, most });
        }
        let first = match address {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !host_mask_v4(len)).into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !host_mask_v6(len)).into(),
        };
        Ok(Self { first, len })
    }

    /// The prefix that holds one address only.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self { first: address, len: bits(address) }
    }

    /// For prefixes that stand in the code.
    pub(super) const fn fixed(first: IpAddr, len: u8) -> Self {
        Self { first, len }
    }

    /// Its length in bits.
    #[must_use]
    pub const fn len(&self) -> u8 {
        self.len
    }

    /// Whether it has no bits, and so holds every address of its version.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its lowest address.
    #[must_use]
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// Its highest address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() | host_mask_v4(self.len)).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() | host_mask_v6(self.len)).into(),
        }
    }

    /// Whether it holds `address`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last()
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Ones where a host's number stands behind a prefix.
fn host_mask_v4(len: u8) -> u32 {
    u32::MAX.checked_shr(len.into()).unwrap_or(0)
}

fn host_mask_v6(len: u8) -> u128 {
    u128::MAX.checked_shr(len.into()).unwrap_or(0)
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.len)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, len) = text.split_once('/').ok_or(PrefixError::Syntax)?;
        if len.starts_with('+') {
            return Err(PrefixError::Syntax);
        }
        let len = len.parse().map_err(|_| PrefixError::Syntax)?;
        Self::new(address.parse().map_err(|_| PrefixError::Syntax)?, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_begins_alike() {
        let prefix: Prefix = "192.0.2.77/26".parse().unwrap();
        assert_eq!(prefix.to_string(), "192.0.2.64/26");
        assert_eq!(prefix.last(), IpAddr::from([192, 0, 2, 127]));
        assert!(prefix.contains([192, 0, 2, 64].into()) && prefix.contains([192, 0, 2, 127].into()));
        assert!(!prefix.contains([192, 0, 2, 128].into()) && !prefix.contains("::".parse().unwrap()));
        let all: Prefix = "::/0".parse().unwrap();
        assert!(all.is_empty() && all.contains("ffff::1".parse().unwrap()) && !all.contains([0; 4].into()));
        assert_eq!(Prefix::host([10, 0, 0, 1].into()), "10.0.0.1/32".parse().unwrap());
    }

    #[test]
    fn what_is_none_says_why() {
        assert_eq!("10.0.0.0/33".parse::<Prefix>(), Err(PrefixError::TooLong { len: 33, most: 32 }));
        assert_eq!("::/129".parse::<Prefix>(), Err(PrefixError::TooLong { len: 129, most: 128 }));
        for wrong in ["10.0.0.0", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/256", "/8"] {
            assert_eq!(wrong.parse::<Prefix>(), Err(PrefixError::Syntax), "{wrong}");
        }
    }
}
