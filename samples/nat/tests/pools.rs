//! Pools against obvious ones.

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::pool::Pool;
use super::super::ports::Ports;
use super::super::*;
use super::config;
use super::world::end;
use crate::testing::{Paper, cases};

#[test]
fn each_port_is_given_out_once_and_the_oldest_comes_first() {
    for (range, seed) in [(1024..=65535, 0), (1024..=65535, 4_000_000_000), (5..=5, 9), (0..=65535, 77), (10..=39, 30)]
    {
        let mut ports = Ports::new(range.clone(), seed);
        let count = range.clone().count();
        let all: Vec<_> = std::iter::from_fn(|| ports.take(1, |_| true)).collect();
        assert_eq!(all.iter().copied().collect::<BTreeSet<_>>(), range.collect());
        assert_eq!((all.len(), ports.free()), (count, 0));
        all.iter().rev().for_each(|port| ports.give_back(*port));
        let again: Vec<_> = std::iter::from_fn(|| ports.take(1, |_| true)).collect();
        assert!(again.iter().eq(all.iter().rev()));
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// Against a queue of the ports that came back, and a set of those that were never given out.
    #[test]
    fn ports_are_as_obvious_ones(seed: u32, acts in prop::collection::vec((any::<bool>(), 1..5usize, 0..3u16), 1..300)) {
        let range = 100..=119u16;
        let mut ports = Ports::new(range.clone(), seed);
        let (mut fresh, mut queue, mut used) = (range.collect::<BTreeSet<_>>(), VecDeque::new(), VecDeque::new());
        for (takes, tries, rest) in acts {
            if takes {
                let mut tried = Vec::new();
                let got = ports.take(tries, |port| {
                    tried.push(port);
                    port % 3 == rest
                });
                for port in &tried {
                    match fresh.is_empty() {
                        true => prop_assert_eq!(queue.pop_front(), Some(*port)),
                        false => prop_assert!(fresh.remove(port)),
                    }
                    match port % 3 == rest {
                        true => used.push_back(*port),
                        false => queue.push_back(*port),
                    }
                }
                prop_assert!(tried.len() <= tries);
                prop_assert_eq!(got, tried.last().copied().filter(|port| port % 3 == rest));
                prop_assert!(got.is_some() || tried.len() == tries.min(fresh.len() + queue.len()) );
            } else if let Some(port) = used.pop_front() {
                ports.give_back(port);
                queue.push_back(port);
            }
            prop_assert_eq!(ports.free(), fresh.len() + queue.len());
        }
    }
}

fn pools(config: NatConfig) -> Vec<Pool> {
    let cores = config.cores;
    let nat = Nat::new(config, Paper::default().output()).unwrap();
    (0..cores).map(|core| Pool::new(Arc::clone(&nat.shared), core)).collect()
}

/// So many connections at once, from one host to one server, whatever the number of cores: one address has enough ports for
/// nearly all of them, and a host goes on to the next when its own has none.
#[test]
fn sixty_thousand_connections_fit() {
    let server = end("198.51.100.1:443");
    for (addresses, cores, connections) in
        [("203.0.113.1-203.0.113.4", 2, 60_000), ("203.0.113.1", 2, 60_000), ("203.0.113.1-203.0.113.4", 5, 240_000)]
    {
        let addresses = address_range(addresses).unwrap();
        let mut all = BTreeSet::new();
        let hash = config(cores).hash;
        for (core, pool) in pools(NatConfig { addresses, ..config(cores) }).iter_mut().enumerate() {
            for _ in 0..connections / cores {
                let outside = pool.take(Protocol::Tcp, Ipv4Addr::new(10, 0, 0, 1), server).unwrap();
                assert_eq!(hash.core_of(outside.into(), server.into(), cores), core);
                assert!(all.insert(outside), "{outside} twice for the same server");
            }
        }
        assert_eq!(all.len(), connections / cores * cores);
    }
}

/// A host keeps to one address, and hosts are spread over all of them.
#[test]
fn a_host_has_one_address() {
    let mut pool = pools(NatConfig { addresses: address_range("203.0.113.0/29").unwrap(), ..config(1) }).remove(0);
    let mut used = BTreeSet::new();
    for host in 0..100 {
        let mut take = |protocol, port| {
            let server = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), port);
            *pool.take(protocol, Ipv4Addr::new(10, 0, 0, host), server).unwrap().ip()
        };
        let address = take(Protocol::Tcp, 80);
        assert_eq!([take(Protocol::Tcp, 81), take(Protocol::Udp, 53), take(Protocol::Icmp, 1)], [address; 3]);
        used.insert(address);
    }
    assert_eq!(used.len(), 8);
}

#[test]
fn echoes_lead_back_by_their_identifier() {
    let (config, server) = (config(3), end("198.51.100.1:9"));
    let hash = config.hash;
    for (core, pool) in pools(config).iter_mut().enumerate() {
        for _ in 0..200 {
            let outside = pool.take(Protocol::Icmp, Ipv4Addr::new(10, 0, 0, 1), server).unwrap();
            let remote = SocketAddrV4::new(*server.ip(), outside.port());
            assert_eq!(hash.core_of(outside.into(), remote.into(), 3), core);
        }
    }
}
