//! The routing table: what an address means to a router, which for some addresses is not a way.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::config::NetConfig;
use super::lpm::Lpm;
use super::prefix::Prefix;

/// What an address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// It is out there: by this port, through the gateway if there is one.
    Via { port: u16, gateway: Option<IpAddr> },
    /// It is one of our own.
    Own,
    /// Everybody on a link.
    Broadcast,
    /// A group.
    Multicast,
    /// It means something on its link only.
    LinkLocal,
    /// It is not to be seen outside of a host, or means nothing.
    Martian,
}

const fn v4(a: u8, len: u8) -> Prefix {
    Prefix::fixed(IpAddr::V4(Ipv4Addr::new(a, 0, 0, 0)), len)
}

const fn v6(a: u16, len: u8) -> Prefix {
    Prefix::fixed(IpAddr::V6(Ipv6Addr::new(a, 0, 0, 0, 0, 0, 0, 0)), len)
}

/// Addresses that are the same for everybody.
const SPECIAL: [(Prefix, Hop); 11] = [
    //= RFC 1812 section 5.3.7
    //= RFC 6890 section 2.2.2
    (v4(0, 8), Hop::Martian),
    (v4(127, 8), Hop::Martian),
    (v4(240, 4), Hop::Martian),
    (v4(224, 4), Hop::Multicast),
    (Prefix::fixed(IpAddr::V4(Ipv4Addr::BROADCAST), 32), Hop::Broadcast),
    //= RFC 3927 section 7
    (Prefix::fixed(IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16), Hop::LinkLocal),
    //= RFC 4291 section 2.5
    //= RFC 6890 section 2.2.3
    // The unspecified and the loopback address; and those that stand for IPv4 addresses in programs.
    (v6(0, 128), Hop::Martian),
    (Prefix::fixed(IpAddr::V6(Ipv6Addr::LOCALHOST), 128), Hop::Martian),
    (Prefix::fixed(IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0)), 96), Hop::Martian),
    (v6(0xfe80, 10), Hop::LinkLocal),
    (v6(0xff00, 8), Hop::Multicast),
];

/// What every address means, under `config`.
pub(super) fn table(config: &NetConfig) -> Lpm<Hop> {
    let mut entries: Vec<(Prefix, Hop)> = Vec::new();
    let addresses = || {
        let interfaces = config.interfaces.iter();
        interfaces.flat_map(|(port, interface)| interface.addresses().map(move |(own, len)| (*port, own, len)))
    };
    // Of equal prefixes the first counts: what is ours, then what is special, then what the user wants.
    entries.extend(addresses().map(|(_, own, _)| (Prefix::host(own), Hop::Own)));
    entries.extend(addresses().filter_map(|(_, own, len)| Some((Prefix::host(broadcast(own, len)?), Hop::Broadcast))));
    entries.extend(SPECIAL);
    entries.extend(config.routes.iter().map(|route| {
        let hop = Hop::Via { port: route.port, gateway: route.gateway };
        (route.prefix, hop)
    }));
    entries.extend(
        addresses()
            .filter_map(|(port, own, len)| Some((Prefix::new(own, len).ok()?, Hop::Via { port, gateway: None }))),
    );
    // What lies within a special prefix is no better for a route that is longer, except on links that have such addresses:
    // these are not routed to either.
    let is_link_local = |prefix: &Prefix| match prefix.first() {
        IpAddr::V4(first) => first.is_link_local(),
        IpAddr::V6(first) => first.is_unicast_link_local(),
    };
    entries.retain(|(prefix, hop)| !(matches!(hop, Hop::Via { .. }) && is_link_local(prefix)));
    Lpm::new(&entries)
}

/// The address of everybody on the link of this address: IPv4 has one, if it leaves bits for it.
fn broadcast(own: IpAddr, len: u8) -> Option<IpAddr> {
    //= RFC 3021 section 2.1
    // Links of two hosts have none.
    (own.is_ipv4() && len < 31).then(|| Some(Prefix::new(own, len).ok()?.last()))?
}

#[cfg(test)]
mod tests {
    use super::super::{Interface, MacAddr, Route};
    use super::*;

    #[test]
    fn every_address_means_something() {
        let interface = Interface::new(MacAddr([2, 0, 0, 0, 0, 1]))
            .address([192, 0, 2, 1].into(), 24)
            .address([10, 0, 0, 0].into(), 31)
            .address("2001:db8::1".parse().unwrap(), 64);
        let gateway = Some(IpAddr::from([192, 0, 2, 254]));
        let config = NetConfig {
            interfaces: vec![(3, interface)],
            routes: vec![
                Route { prefix: "0.0.0.0/0".parse().unwrap(), gateway, port: 3 },
                Route { prefix: "fe80::/64".parse().unwrap(), gateway: None, port: 3 },
            ],
            ..NetConfig::default()
        };
        let table = table(&config);
        let find = |address: &str| table.find(address.parse().unwrap());
        let on_link = Some(Hop::Via { port: 3, gateway: None });
        for (address, hop) in [
            ("192.0.2.1", Some(Hop::Own)),
            ("192.0.2.2", on_link),
            ("192.0.2.255", Some(Hop::Broadcast)),
            ("192.0.3.1", Some(Hop::Via { port: 3, gateway })),
            ("10.0.0.0", Some(Hop::Own)),
            ("10.0.0.1", on_link),
            ("0.0.0.0", Some(Hop::Martian)),
            ("127.0.0.1", Some(Hop::Martian)),
            ("224.0.0.1", Some(Hop::Multicast)),
            ("241.0.0.1", Some(Hop::Martian)),
            ("255.255.255.255", Some(Hop::Broadcast)),
            ("169.254.1.1", Some(Hop::LinkLocal)),
            ("2001:db8::1", Some(Hop::Own)),
            ("2001:db8::2", on_link),
            ("2001:db8:1::2", None),
            ("fe80::ff:fe00:1", Some(Hop::Own)),
            ("fe80::1", Some(Hop::LinkLocal)),
            ("::", Some(Hop::Martian)),
            ("::1", Some(Hop::Martian)),
            ("::ffff:10.0.0.1", Some(Hop::Martian)),
            ("ff02::1", Some(Hop::Multicast)),
        ] {
            assert_eq!(find(address), hop, "{address}");
        }
    }
}
