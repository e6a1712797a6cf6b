//! Machines with wires between them, and a clock.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::super::icmp::{ipv4_datagram, ipv6_datagram};
use super::super::{Arrival, Forwarder, Interface, MacAddr, NetConfig, Next, Route};
use crate::time::Timestamp;

/// The hardware address with that number.
pub(super) const fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host of two addresses, with a default route for each version.
pub(super) fn host(number: u8, addresses: [(&str, u8); 2], gateways: [&str; 2]) -> Forwarder {
    let [v4, v6] = addresses.map(|(address, len)| (ip(address), len));
    let interface = Interface::new(mac(number)).address(v4.0, v4.1).address(v6.0, v6.1);
    let routes = ["0.0.0.0/0", "::/0"].into_iter().zip(gateways);
    let routes =
        routes.map(|(prefix, gateway)| Route { prefix: prefix.parse().unwrap(), gateway: Some(ip(gateway)), port: 0 });
    let config = NetConfig {
        interfaces: vec![(0, interface)],
        routes: routes.collect(),
        forward: false,
        ..NetConfig::default()
    };
    Forwarder::new(config).unwrap()
}

/// The router of the tests: port 0 is 10.0.0.1 and 2001:db8::1, port 1 is 10.0.1.1 and 2001:db8:1::1 with this MTU.
pub(super) fn router_config(mtu: u32) -> NetConfig {
    let left = Interface::new(mac(1)).address(ip("10.0.0.1"), 24).address(ip("2001:db8::1"), 64);
    let right = Interface::new(mac(2)).address(ip("10.0.1.1"), 24).address(ip("2001:db8:1::1"), 64);
    NetConfig { interfaces: vec![(0, left), (1, Interface { mtu, ..right })], ..NetConfig::default() }
}

/// An echo request: a datagram with so many bytes of data.
pub(super) fn echo_request(source: &str, destination: &str, hops: u8, len: usize) -> Vec<u8> {
    let head = |kind: u8| [&[kind, 0, 0, 0, 0, 7, 0, 1][..], &vec![0xa5; len]].concat();
    match (ip(source), ip(destination)) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut datagram = ipv4_datagram(source, destination, 0, head(8));
            datagram[8] = hops;
            reseal(&mut datagram, 0);
            datagram
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6_datagram(source, destination, hops, head(128)),
        _ => panic!(),
    }
}

/// Makes the checksum of an IPv4 header right again.
pub(super) fn reseal(frame: &mut [u8], at: usize) {
    let len = usize::from(frame[at] & 0xf) * 4;
    frame[at + 10..at + 12].fill(0);
    let sum = crate::wire::checksum::checksum(&frame[at..at + len]);
    frame[at + 10..at + 12].copy_from_slice(&sum.to_be_bytes());
}

/// A datagram in a frame.
pub(super) fn framed(to: MacAddr, from: MacAddr, datagram: &[u8]) -> Vec<u8> {
    super::super::forwarder::ethernet(to, from, datagram)
}

/// All that a forwarder has to send.
pub(super) fn outputs(forwarder: &mut Forwarder) -> Vec<(u16, Vec<u8>)> {
    core::iter::from_fn(|| forwarder.poll_output()).map(|departure| (departure.port, departure.frame)).collect()
}

/// Machines and wires.
pub(super) struct World {
    pub(super) nodes: Vec<Forwarder>,
    wires: Vec<[(usize, u16); 2]>,
    pub(super) now: Timestamp,
    /// What each machine was sent.
    pub(super) local: Vec<Vec<Vec<u8>>>,
    /// What went over a wire, from which machine.
    pub(super) seen: Vec<(usize, Vec<u8>)>,
}

impl World {
    pub(super) fn new(nodes: Vec<Forwarder>, wires: &[[(usize, u16); 2]]) -> Self {
        let local = nodes.iter().map(|_| Vec::new()).collect();
        Self { nodes, wires: wires.to_vec(), now: Timestamp::from_millis(1_000), local, seen: Vec::new() }
    }

    /// Host, router, host: 10.0.0.2 and 2001:db8::2, the router, 10.0.1.2 and 2001:db8:1::2.
    pub(super) fn routed(mtu: u32) -> Self {
        let a = host(0xa, [("10.0.0.2", 24), ("2001:db8::2", 64)], ["10.0.0.1", "2001:db8::1"]);
        let b = host(0xb, [("10.0.1.2", 24), ("2001:db8:1::2", 64)], ["10.0.1.1", "2001:db8:1::1"]);
        let router = Forwarder::new(router_config(mtu)).unwrap();
        Self::new(vec![a, router, b], &[[(0, 0), (1, 0)], [(1, 1), (2, 0)]])
    }

    /// A machine sends a datagram of its own, and all that follows from it happens.
    pub(super) fn send(&mut self, node: usize, datagram: &[u8]) {
        self.nodes[node].send_datagram(datagram, self.now).unwrap();
        self.settle();
    }

    /// Time passes.
    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(next) = self.nodes.iter().filter_map(Forwarder::poll_timeout).min().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            for node in &mut self.nodes {
                node.handle_timeout(self.now);
            }
            self.settle();
        }
        self.now = end;
    }

    pub(super) fn settle(&mut self) {
        let mut moved = true;
        while core::mem::take(&mut moved) {
            for node in 0..self.nodes.len() {
                for (port, frame) in outputs(&mut self.nodes[node]) {
                    moved = true;
                    self.carry(node, port, frame);
                }
            }
        }
    }

    fn carry(&mut self, node: usize, port: u16, mut frame: Vec<u8>) {
        self.seen.push((node, frame.clone()));
        let wires = self.wires.iter().flat_map(|&[a, b]| [(a, b), (b, a)]);
        let ends: Vec<_> = wires.filter(|(from, _)| *from == (node, port)).map(|(_, to)| to).collect();
        for (node, port) in ends {
            match self.nodes[node].forward(&mut frame, Arrival::ethernet(port), self.now) {
                Next::Transmit(port) => self.carry(node, port, frame.clone()),
                Next::Local => self.local[node].push(frame.clone()),
                Next::Queued | Next::Drop(_) => {}
            }
        }
    }

    /// Datagrams of this protocol that a machine was sent, without their link headers. (ICMP: 1 or 58 whose type is none of
    /// neighbour discovery.)
    pub(super) fn icmp_at(&self, node: usize) -> Vec<Vec<u8>> {
        let frames = self.local[node].iter().filter(|frame| match frame[12..14] {
            [0x08, 0x00] => frame[23] == 1,
            [0x86, 0xdd] => frame[20] == 58 && !(133..=137).contains(&frame[54]),
            _ => false,
        });
        frames.map(|frame| frame[14..].to_vec()).collect()
    }
}
