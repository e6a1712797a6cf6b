//! Hardware addresses of Ethernet (IEEE 802), and what IPv6 derives from and for them (RFC 2464, RFC 4291).

use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

/// A hardware address of 48 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Everybody on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// What stands where an address is not known.
    pub const UNKNOWN: Self = Self([0; 6]);

    /// Whether it stands for a group, of which everybody (broadcast) is one.
    #[inline]
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it can be that of one host.
    #[must_use]
    pub fn is_host(self) -> bool {
        !self.is_group() && self != Self::UNKNOWN
    }

    /// The link-local IPv6 address that is made from it.
    #[must_use]
    pub const fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        //= RFC 4291 appendix A
        // ff:fe in the middle, and the bit turned that says "local".
        let octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f];
        Ipv6Addr::from_bits(u128::from_be_bytes(octets))
    }

    /// The group address to which packets for an IPv6 group are sent.
    #[must_use]
    pub const fn of_group(group: Ipv6Addr) -> Self {
        //= RFC 2464 section 7
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }

    /// The address that stands at `at` of a frame, if the frame reaches that far.
    #[inline]
    pub(super) fn read(frame: &[u8], at: usize) -> Option<Self> {
        frame.get(at..)?.first_chunk().copied().map(Self)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is no hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hardware address: six hexadecimal bytes with colons between them are expected, as 02:00:00:00:00:01")]
pub struct MacAddrError;

impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(MacAddrError)?;
            if part.is_empty() || part.len() > 2 || part.starts_with('+') {
                return Err(MacAddrError);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacAddrError)?;
        }
        if parts.next().is_some() { Err(MacAddrError) } else { Ok(Self(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let mac: MacAddr = "02:0:5e:10:ff:Aa".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:5e:10:ff:aa");
        for wrong in ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "02:00:00:00:00:1ff", "02:00:00:00:00:+1", "x"] {
            assert_eq!(wrong.parse::<MacAddr>(), Err(MacAddrError), "{wrong}");
        }
    }

    #[test]
    fn hosts_and_groups() {
        assert!(MacAddr::BROADCAST.is_group());
        assert!(!MacAddr::UNKNOWN.is_group() && !MacAddr::UNKNOWN.is_host());
        assert!(MacAddr([2, 0, 0, 0, 0, 1]).is_host());
    }

    #[test]
    fn rfc_4291_a_link_local_address_from_a_mac() {
        let mac = MacAddr([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
        assert_eq!(mac.link_local(), "fe80::3656:78ff:fe9a:bcde".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn rfc_2464_7_group_addresses() {
        let group = "ff02::1:ff28:9c5a".parse().unwrap();
        assert_eq!(MacAddr::of_group(group).to_string(), "33:33:ff:28:9c:5a");
    }
}
