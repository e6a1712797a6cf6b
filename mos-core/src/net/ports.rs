//! The ports, by number: which have an interface, and which are paired.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::config::NetConfig;
use super::interface::Interface;
use super::mac::MacAddr;

/// Stands for a port that is in no pair.
const UNPAIRED: u32 = u32::MAX;

/// All ports.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    /// By the port that a frame comes in at: all that most bridged frames ask for.
    pairs: Vec<u32>,
    interfaces: Vec<Option<Interface>>,
    /// Whether anybody at a port, or at the one it is paired with, may be answered.
    speaks: Vec<bool>,
}

impl Ports {
    pub(super) fn new(config: &NetConfig) -> Self {
        let pairs = config.pairs.iter().flat_map(|&(a, b)| [a, b]);
        let numbers = config.interfaces.iter().map(|&(port, _)| port).chain(pairs);
        let count = numbers.max().map_or(0, |most| usize::from(most) + 1);
        let mut ports = Self {
            pairs: alloc::vec![UNPAIRED; count],
            interfaces: alloc::vec![None; count],
            speaks: alloc::vec![false; count],
        };
        for &(a, b) in &config.pairs {
            for (from, to) in [(a, b), (b, a)] {
                if let Some(pair) = ports.pairs.get_mut(usize::from(from)) {
                    *pair = to.into();
                }
            }
        }
        for (port, interface) in &config.interfaces {
            if let Some(place) = ports.interfaces.get_mut(usize::from(*port)) {
                *place = Some(interface.clone());
            }
        }
        for port in 0..count as u16 {
            let speaks = ports.interface(port).is_some() && ports.with_pair(port).any(Interface::has_addresses);
            if let Some(place) = ports.speaks.get_mut(usize::from(port)) {
                *place = speaks;
            }
        }
        ports
    }

    /// Another interface with the same addresses.
    pub(super) fn replace(&mut self, port: u16, mac: MacAddr, mtu: u32) {
        if let Some(Some(interface)) = self.interfaces.get_mut(usize::from(port)) {
            (interface.mac, interface.mtu) = (mac, mtu);
        }
    }

    /// The port that frames from this one go to, if it is in a pair.
    #[inline]
    pub(super) fn pair(&self, port: u16) -> Option<u16> {
        let pair = *self.pairs.get(usize::from(port))?;
        u16::try_from(pair).ok()
    }

    /// The port's interface.
    #[inline]
    pub(super) fn interface(&self, port: u16) -> Option<&Interface> {
        self.interfaces.get(usize::from(port))?.as_ref()
    }

    /// The port's hardware address.
    pub(super) fn mac(&self, port: u16) -> Option<MacAddr> {
        self.interface(port).map(|interface| interface.mac)
    }

    /// The longest IP packet that leaves by the port.
    #[inline]
    pub(super) fn mtu(&self, port: u16) -> usize {
        self.interface(port).map_or(usize::MAX, |interface| interface.mtu as usize)
    }

    /// Whether any address is spoken for at this port.
    #[inline]
    pub(super) fn speaks(&self, port: u16) -> bool {
        self.speaks.get(usize::from(port)) == Some(&true)
    }

    /// Whether an address is spoken for at this port. A pair is one link, so to hosts at either end the addresses of both
    /// ports are there.
    pub(super) fn owns(&self, port: u16, address: IpAddr) -> bool {
        self.with_pair(port).any(|interface| interface.owns(address))
    }

    /// Whether a host of that address is on the port's link.
    pub(super) fn is_on_link(&self, port: u16, address: IpAddr) -> bool {
        self.with_pair(port).any(|interface| interface.is_on_link(address))
    }

    /// The own address to speak from, at this port, to `destination`.
    pub(super) fn source_for(&self, port: u16, destination: IpAddr) -> Option<IpAddr> {
        self.with_pair(port).find_map(|interface| interface.source_for(destination))
    }

    /// The own address to speak from to `destination` if the port has none: that of any port.
    pub(super) fn any_source_for(&self, port: u16, destination: IpAddr) -> Option<IpAddr> {
        let any = || self.interfaces.iter().flatten().find_map(|interface| interface.source_for(destination));
        self.source_for(port, destination).or_else(any)
    }

    /// The port that has this address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<u16> {
        let owns = |interface: &Option<Interface>| interface.as_ref().is_some_and(|interface| interface.owns(address));
        let index = self.interfaces.iter().position(owns)?;
        u16::try_from(index).ok()
    }

    fn with_pair(&self, port: u16) -> impl Iterator<Item = &Interface> + '_ {
        let ports = [Some(port), self.pair(port)];
        ports.into_iter().flatten().filter_map(|port| self.interface(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_symmetric_and_share_their_addresses() {
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let own = IpAddr::from([192, 0, 2, 1]);
        let config = NetConfig {
            interfaces: vec![(1, Interface::new(mac)), (5, Interface::new(mac).address(own, 24))],
            pairs: vec![(5, 1), (2, 0)],
            ..NetConfig::default()
        };
        let ports = Ports::new(&config);
        assert_eq!([0, 1, 2, 3, 5, 6].map(|port| ports.pair(port)), [Some(2), Some(5), Some(0), None, Some(1), None]);
        assert!(ports.owns(1, own) && ports.owns(5, own) && !ports.owns(0, own));
        assert!(ports.speaks(1) && !ports.speaks(0) && !ports.speaks(99));
        assert_eq!(ports.source_for(1, [192, 0, 2, 9].into()), Some(own));
        assert_eq!((ports.mtu(1), ports.mtu(0)), (1500, usize::MAX));
    }
}
