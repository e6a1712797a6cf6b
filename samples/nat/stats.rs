//! Counters, to be read from anywhere. Each has one writer, so that counting is a load and a store.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};

use super::config::Plan;

/// What has ports, or something like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo, whose identifier stands for both ports.
    Icmp,
}

impl Protocol {
    pub(super) const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }

    /// The other end of what has `port` at this end, as the hash of the fanout sees it.
    pub(super) fn remote(self, remote: SocketAddrV4, port: u16) -> SocketAddrV4 {
        if self == Self::Icmp { SocketAddrV4::new(*remote.ip(), port) } else { remote }
    }
}

/// The ports of one address, for one protocol on one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// The protocol.
    pub protocol: Protocol,
    /// The core.
    pub core: usize,
    /// The address.
    pub address: Ipv4Addr,
    /// Mappings that there are.
    pub in_use: u64,
    /// Ports that have none. On several cores only some of them lead back to this one from a given server.
    pub free: u64,
    /// The most mappings that there were at a time.
    pub peak: u64,
    /// Mappings made.
    pub made: u64,
    /// Packets that were dropped because hosts that have this address first got no port from any.
    pub exhausted: u64,
}

/// The counters of a NAT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatStats {
    /// By protocol, then core, then address.
    pub pools: Vec<PoolStats>,
    /// Dropped: packets for which there is no mapping, and that can make none.
    pub no_mapping: u64,
    /// Dropped: fragments.
    pub fragments: u64,
    /// Dropped: TCP with wrong checksums.
    pub bad_checksums: u64,
    /// Dropped: what has no ports, and ICMP that is neither echo nor error.
    pub untranslatable: u64,
    /// ICMP errors that were translated.
    pub errors: u64,
    /// Packets from inside to inside by way of an address outside.
    pub hairpinned: u64,
}

impl NatStats {
    /// Mappings that there are.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        self.sum(|pool| pool.in_use)
    }

    /// Mappings made.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.sum(|pool| pool.made)
    }

    /// Packets that were dropped because there was no port.
    #[must_use]
    pub fn exhausted(&self) -> u64 {
        self.sum(|pool| pool.exhausted)
    }

    pub(super) fn sum(&self, of: impl Fn(&PoolStats) -> u64) -> u64 {
        self.pools.iter().map(of).sum()
    }
}

/// What is counted besides mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    NoMapping,
    Fragments,
    BadChecksums,
    Untranslatable,
    Errors,
    Hairpinned,
}

/// A number that one core writes.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.set(self.get() + 1);
    }
}

/// The mappings of a pool.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    in_use: Counter,
    peak: Counter,
    made: Counter,
    exhausted: Counter,
}

impl Gauge {
    pub(super) fn take(&self) {
        self.made.add();
        self.in_use.add();
        self.peak.set(self.peak.get().max(self.in_use.get()));
    }

    pub(super) fn give_back(&self) {
        self.in_use.set(self.in_use.get().saturating_sub(1));
    }

    pub(super) fn exhaust(&self) {
        self.exhausted.add();
    }
}

/// What one core writes: in an allocation of its own, so that cores do not share lines of memory.
#[derive(Debug)]
struct CoreBoard {
    /// By protocol, then by address.
    gauges: [Box<[Gauge]>; Protocol::ALL.len()],
    counts: [Counter; 6],
}

/// The counters of all cores.
#[derive(Debug)]
pub(super) struct Board {
    addresses: Box<[Ipv4Addr]>,
    ports: u64,
    cores: Box<[Box<CoreBoard>]>,
}

impl Board {
    pub(super) fn new(plan: &Plan) -> Self {
        let gauges = || plan.addresses.iter().map(|_| Gauge::default()).collect();
        let core = |_| Box::new(CoreBoard { gauges: [gauges(), gauges(), gauges()], counts: Default::default() });
        Self {
            addresses: plan.addresses.clone(),
            ports: plan.ports.clone().count() as u64,
            cores: (0..plan.cores).map(core).collect(),
        }
    }

    pub(super) fn gauge(&self, core: usize, protocol: Protocol, address: usize) -> &Gauge {
        &self.cores[core].gauges[protocol as usize][address]
    }

    pub(super) fn count(&self, core: usize, count: Count) {
        self.cores[core].counts[count as usize].add();
    }

    pub(super) fn stats(&self) -> NatStats {
        let mut pools = Vec::new();
        for protocol in Protocol::ALL {
            for (core, board) in self.cores.iter().enumerate() {
                for (address, gauge) in self.addresses.iter().zip(&board.gauges[protocol as usize]) {
                    let in_use = gauge.in_use.get();
                    pools.push(PoolStats {
                        protocol,
                        core,
                        address: *address,
                        in_use,
                        free: self.ports.saturating_sub(in_use),
                        peak: gauge.peak.get(),
                        made: gauge.made.get(),
                        exhausted: gauge.exhausted.get(),
                    });
                }
            }
        }
        let sum = |count: Count| self.cores.iter().map(|core| core.counts[count as usize].get()).sum();
        NatStats {
            pools,
            no_mapping: sum(Count::NoMapping),
            fragments: sum(Count::Fragments),
            bad_checksums: sum(Count::BadChecksums),
            untranslatable: sum(Count::Untranslatable),
            errors: sum(Count::Errors),
            hairpinned: sum(Count::Hairpinned),
        }
    }
}
