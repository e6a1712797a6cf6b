//! What a forwarder is told at its start: interfaces, pairs, routes, neighbours.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::interface::Interface;
use super::mac::MacAddr;
use super::prefix::Prefix;

/// A line of the routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations it is for. The longest prefix counts; of equal ones the first.
    pub prefix: Prefix,
    /// The router that takes these packets on; without one, the destinations are on the port's link.
    pub gateway: Option<IpAddr>,
    /// The port towards them. It needs an interface.
    pub port: u16,
}

/// A line of mOS's `arp_table`: whoever has an address of the prefix has that hardware address, and is not asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticNeighbor {
    /// The addresses it is for. The longest prefix counts; of equal ones the first.
    pub prefix: Prefix,
    /// Their hardware address.
    pub mac: MacAddr,
}

/// Whose hardware address a bridged frame comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceMac {
    /// That of the host which sent it: the bridge is not seen, and switches learn where the host is.
    #[default]
    Keep,
    /// That of the port it leaves by, as in mOS, if the frame is IP. ARP and neighbour discovery still tell hosts the
    /// true addresses, so answers come to these.
    Replace,
}

/// How a forwarder is to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// Ports that have an interface, by number. Bridged ports do without: then frames of any length go out of them, and
    /// nobody there is answered.
    pub interfaces: Vec<(u16, Interface)>,
    /// Pairs of ports: what comes in at one goes out of the other. A port is in one pair at most, perhaps with itself. What comes in at a port
    /// without a pair is routed.
    pub pairs: Vec<(u16, u16)>,
    /// Routes, besides those to the links of the interfaces. Of equal prefixes these count.
    pub routes: Vec<Route>,
    /// Hardware addresses that are known beforehand.
    pub neighbors: Vec<StaticNeighbor>,
    /// Own addresses that are spoken for elsewhere, by the operating system for example: what is asked of them is not answered here.
    pub silent: Vec<IpAddr>,
    /// Whether anything is forwarded at all. If not, own addresses are spoken for and that is all.
    pub forward: bool,
    /// Whose hardware address bridged frames come from.
    pub source_mac: SourceMac,
    /// Whether to remember which hardware address and port the senders of bridged packets have (4096 at most, 300 s at
    /// most): packets that a monitor sends without one at hand, from a timer for example, find their way by it.
    pub learn_hosts: bool,
    /// Seed of the hash tables: random where frames come from strangers, fixed in tests.
    pub seed: u64,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            pairs: Vec::new(),
            routes: Vec::new(),
            neighbors: Vec::new(),
            silent: Vec::new(),
            forward: true,
            source_mac: SourceMac::default(),
            learn_hosts: true,
            seed: 0,
        }
    }
}

/// Why a configuration makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetConfigError {
    /// A port has two interfaces.
    #[error("port {port} has two interfaces")]
    TwoInterfaces {
        /// The port.
        port: u16,
    },
    /// A port is in two pairs.
    #[error("port {port} is paired twice")]
    PairedTwice {
        /// The port.
        port: u16,
    },
    /// An interface's prefix is longer than its address.
    #[error("port {port}: {address} has a prefix of {len} bits")]
    PrefixLen {
        /// The port.
        port: u16,
        /// The address.
        address: IpAddr,
        /// The length in bits.
        len: u8,
    },
    /// An interface's address, or hardware address, cannot be that of a host.
    #[error("port {port}: not the address of a host: {address}")]
    NotAHost {
        /// The port.
        port: u16,
        /// The address; 0.0.0.0 if it is the hardware address.
        address: IpAddr,
    },
    /// A link whose packets are that short is none: IPv4 needs 68 bytes (RFC 791).
    #[error("port {port}: an MTU of {mtu} bytes, at least 68 are needed")]
    Mtu {
        /// The port.
        port: u16,
        /// The MTU in bytes.
        mtu: u32,
    },
    /// A route leads to a port without an interface.
    #[error("the route to {prefix} leads to port {port}, which has no interface")]
    RoutePort {
        /// The route.
        prefix: Prefix,
        /// The port.
        port: u16,
    },
    /// A route's gateway has another IP version than its destinations, or is no host.
    #[error("the route to {prefix} leads to {gateway}, which cannot be its gateway")]
    Gateway {
        /// The route.
        prefix: Prefix,
        /// The gateway.
        gateway: IpAddr,
    },
}

impl NetConfig {
    /// # Errors
    ///
    /// The first contradiction.
    pub(super) fn check(&self) -> Result<(), NetConfigError> {
        for (index, (port, interface)) in self.interfaces.iter().enumerate() {
            if self.interfaces.iter().take(index).any(|(other, _)| other == port) {
                return Err(NetConfigError::TwoInterfaces { port: *port });
            }
            check_interface(*port, interface)?;
        }
        for (index, &(a, b)) in self.pairs.iter().enumerate() {
            let earlier = self.pairs.iter().take(index);
            let mut taken = earlier.flat_map(|&(a, b)| [a, b]).filter(|&port| port == a || port == b);
            if let Some(port) = taken.next() {
                return Err(NetConfigError::PairedTwice { port });
            }
        }
        for &Route { prefix, gateway, port } in &self.routes {
            if !self.interfaces.iter().any(|&(other, _)| other == port) {
                return Err(NetConfigError::RoutePort { prefix, port });
            }
            if let Some(gateway) = gateway.filter(|&gateway| {
                gateway.is_ipv4() != prefix.first().is_ipv4() || gateway.is_multicast() || gateway.is_unspecified()
            }) {
                return Err(NetConfigError::Gateway { prefix, gateway });
            }
        }
        Ok(())
    }
}

fn check_interface(port: u16, interface: &Interface) -> Result<(), NetConfigError> {
    if interface.mac.is_group() {
        return Err(NetConfigError::NotAHost { port, address: IpAddr::from([0, 0, 0, 0]) });
    }
    if interface.mtu < 68 {
        return Err(NetConfigError::Mtu { port, mtu: interface.mtu });
    }
    for (address, len) in interface.addresses() {
        Prefix::new(address, len).map_err(|_| NetConfigError::PrefixLen { port, address, len })?;
        let is_broadcast = address == IpAddr::from([255; 4]);
        if address.is_multicast() || address.is_unspecified() || address.is_loopback() || is_broadcast {
            return Err(NetConfigError::NotAHost { port, address });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_named() {
        let a = Interface::new(MacAddr([2, 0, 0, 0, 0, 1]));
        let check = |config: NetConfig| config.check().unwrap_err();
        let with = |interface: Interface| NetConfig { interfaces: vec![(0, interface)], ..NetConfig::default() };
        assert_eq!(
            check(NetConfig { interfaces: vec![(1, a.clone()), (1, a.clone())], ..NetConfig::default() }),
            NetConfigError::TwoInterfaces { port: 1 }
        );
        let itself = NetConfig { pairs: vec![(3, 3)], ..NetConfig::default() };
        assert_eq!(itself.check(), Ok(()));
        for (pairs, port) in [(vec![(0, 1), (2, 1)], 1), (vec![(3, 3), (3, 4)], 3)] {
            let pairs = NetConfig { pairs, ..NetConfig::default() };
            assert_eq!(check(pairs), NetConfigError::PairedTwice { port });
        }
        let address = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(
            check(with(a.clone().address(address, 33))),
            NetConfigError::PrefixLen { port: 0, address, len: 33 }
        );
        let address = IpAddr::from([224, 0, 0, 1]);
        assert_eq!(check(with(a.clone().address(address, 4))), NetConfigError::NotAHost { port: 0, address });
        assert_eq!(check(with(Interface { mtu: 67, ..a.clone() })), NetConfigError::Mtu { port: 0, mtu: 67 });
        let prefix = "10.0.0.0/8".parse().unwrap();
        let route = Route { prefix, gateway: None, port: 7 };
        let routed = |route| NetConfig { routes: vec![route], ..with(a.clone()) };
        assert_eq!(check(routed(route)), NetConfigError::RoutePort { prefix, port: 7 });
        let gateway: IpAddr = "fe80::1".parse().unwrap();
        let route = Route { gateway: Some(gateway), port: 0, ..route };
        assert_eq!(check(routed(route)), NetConfigError::Gateway { prefix, gateway });
        assert_eq!(routed(Route { gateway: None, ..route }).check(), Ok(()));
    }
}
