//! The interface: what a port is called on its link, and what lies on that link.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::mac::MacAddr;
use super::prefix::Prefix;

/// The largest payload of an Ethernet frame, unless the link is told to take more.
pub const ETHERNET_MTU: u32 = 1500;

/// What a port needs to know of itself in order to speak for itself. It speaks Ethernet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its hardware address.
    pub mac: MacAddr,
    /// The longest IP packet that its link takes, in bytes, link header not counted.
    pub mtu: u32,
    /// Its IPv4 addresses, each with the length of the prefix on its link, 0 to 32.
    pub ipv4: Vec<(Ipv4Addr, u8)>,
    /// Its IPv6 addresses, each with the length of the prefix on its link, 0 to 128. If there are some but none of them is
    /// link-local, the link-local address that is made from the hardware address is its own, too.
    pub ipv6: Vec<(Ipv6Addr, u8)>,
}

impl Interface {
    /// An interface without IP addresses, whose link takes packets of [`ETHERNET_MTU`].
    #[must_use]
    pub const fn new(mac: MacAddr) -> Self {
        Self { mac, mtu: ETHERNET_MTU, ipv4: Vec::new(), ipv6: Vec::new() }
    }

    /// Adds an address with the length of its prefix.
    #[must_use]
    pub fn address(mut self, address: IpAddr, prefix_len: u8) -> Self {
        match address {
            IpAddr::V4(address) => self.ipv4.push((address, prefix_len)),
            IpAddr::V6(address) => self.ipv6.push((address, prefix_len)),
        }
        self
    }

    /// Its addresses with the lengths of their prefixes, the implied link-local one included.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> + '_ {
        let implied = !self.ipv6.is_empty() && !self.ipv6.iter().any(|(address, _)| address.is_unicast_link_local());
        let implied = implied.then(|| (self.mac.link_local().into(), 64));
        let v4 = self.ipv4.iter().map(|&(address, len)| (IpAddr::V4(address), len));
        let v6 = self.ipv6.iter().map(|&(address, len)| (IpAddr::V6(address), len));
        v4.chain(v6).chain(implied)
    }

    /// Whether it has any address.
    pub(super) fn has_addresses(&self) -> bool {
        !self.ipv4.is_empty() || !self.ipv6.is_empty()
    }

    /// Whether the address is its own.
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        self.addresses().any(|(own, _)| own == address)
    }

    /// Whether a host of that address is on its link.
    pub(super) fn is_on_link(&self, address: IpAddr) -> bool {
        if let IpAddr::V6(address) = address
            && address.is_unicast_link_local()
        {
            return true;
        }
        self.addresses().any(|(own, len)| Prefix::new(own, len).is_ok_and(|prefix| prefix.contains(address)))
    }

    /// The own address to speak from to `destination`: the one whose prefix it is in, else the first that has as wide a
    /// scope.
    pub(super) fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        let usable = |own: IpAddr| match (own, destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => true,
            //= RFC 6724 section 5
            // Rule 2: a link-local source would not be of use to who is farther away.
            (IpAddr::V6(own), IpAddr::V6(to)) => !own.is_unicast_link_local() || to.is_unicast_link_local(),
            _ => false,
        };
        let near = |&(own, len): &(IpAddr, u8)| Prefix::new(own, len).is_ok_and(|prefix| prefix.contains(destination));
        let found = self.addresses().filter(|&(own, _)| usable(own)).find(near);
        found.or_else(|| self.addresses().find(|&(own, _)| usable(own))).map(|(own, _)| own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface() -> Interface {
        Interface::new(MacAddr([2, 0, 0, 0, 0, 1]))
            .address([192, 0, 2, 1].into(), 24)
            .address([10, 0, 0, 1].into(), 8)
            .address("2001:db8::1".parse().unwrap(), 64)
    }

    #[test]
    fn speaks_from_the_nearest_address() {
        let source = |to: &str| interface().source_for(to.parse().unwrap()).map(|own| own.to_string());
        assert_eq!(source("10.9.9.9").as_deref(), Some("10.0.0.1"));
        assert_eq!(source("8.8.8.8").as_deref(), Some("192.0.2.1"));
        assert_eq!(source("2001:db8:1::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(source("fe80::9").as_deref(), Some("fe80::ff:fe00:1"));
        assert_eq!(Interface::new(MacAddr::UNKNOWN).source_for([10, 0, 0, 1].into()), None);
    }

    #[test]
    fn knows_its_link() {
        let on_link = |address: &str| interface().is_on_link(address.parse().unwrap());
        assert!(on_link("192.0.2.200") && on_link("2001:db8::7") && on_link("fe80::1:2"));
        assert!(!on_link("192.0.3.1") && !on_link("2001:db8:0:1::7"));
        assert!(interface().owns("fe80::ff:fe00:1".parse().unwrap()));
        assert!(!Interface::new(MacAddr::UNKNOWN).has_addresses());
    }
}
