//! The free ports of all addresses on one core, and which of them lead back to it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use super::Shared;
use super::ports::Ports;
use super::stats::{Gauge, Protocol};

/// So many ports are tried for each core there is before an address is given up. Of those that are free about one in so many as there
/// are cores fits: not to find one becomes likely when fewer than one in a hundred of these are left.
const TRIES: usize = 128;

/// The pools of one core.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    core: usize,
    /// By protocol, then by address.
    ports: [Box<[Ports]>; Protocol::ALL.len()],
}

impl Pool {
    pub(super) fn new(shared: Arc<Shared>, core: usize) -> Self {
        let plan = &shared.plan;
        let ports = Protocol::ALL.map(|protocol| {
            let of = |address: &Ipv4Addr| {
                let numbers = [protocol as u16, core as u16].map(|number| SocketAddrV4::new(*address, number).into());
                Ports::new(plan.ports.clone(), plan.hash.of_flow(numbers[0], numbers[1]))
            };
            plan.addresses.iter().map(of).collect()
        });
        Self { shared, core, ports }
    }

    fn gauge(&self, protocol: Protocol, address: usize) -> &Gauge {
        self.shared.board.gauge(self.core, protocol, address)
    }

    /// An address and a port for packets from `inside` to `server`, whose answers reach this core. For ICMP the port is the
    /// identifier.
    pub(super) fn take(&mut self, protocol: Protocol, inside: Ipv4Addr, server: SocketAddrV4) -> Option<SocketAddrV4> {
        let plan = &self.shared.plan;
        let count = plan.addresses.len();
        //= RFC 4787 section 4.1, REQ-2: a host has one address outside, as long as that has ports.
        let own = (inside.to_bits().wrapping_mul(0x9e37_79b1) >> 16) as usize % count;
        let (core, tries) = (self.core, TRIES * plan.cores);
        for step in 0..count {
            let place = (own + step) % count;
            let address = plan.addresses[place];
            let leads_back =
                |port| plan.core_of(SocketAddrV4::new(address, port), protocol.remote(server, port)) == core;
            if let Some(port) = self.ports[protocol as usize][place].take(tries, leads_back) {
                self.gauge(protocol, place).take();
                return Some(SocketAddrV4::new(address, port));
            }
        }
        self.gauge(protocol, own).exhaust();
        None
    }

    /// The port is free again.
    pub(super) fn give_back(&mut self, protocol: Protocol, outside: SocketAddrV4) {
        let Some(place) = self.shared.plan.position(*outside.ip()) else { return };
        self.ports[protocol as usize][place].give_back(outside.port());
        self.gauge(protocol, place).give_back();
    }

    /// How many ports of an address are free.
    #[cfg(test)]
    pub(super) fn free(&self, protocol: Protocol, address: usize) -> usize {
        self.ports[protocol as usize][address].free()
    }
}
