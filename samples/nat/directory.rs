//! Who is behind what, for ICMP errors: these go by the addresses of whoever sends them, so they may reach any core.
//!
//! Each core has a part of its own, which only it writes: when a mapping begins or ends. So nobody waits for its lock, but for the rare
//! error that reaches another core; and no packet but the first of a mapping meets it.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::config::Plan;
use super::stats::Protocol;

/// One end of packets, and the other if that makes a difference.
type Key = (Protocol, SocketAddrV4, Option<SocketAddrV4>);

#[derive(Debug, Default)]
struct Part {
    inside: HashMap<Key, SocketAddrV4>,
    outside: HashMap<Key, SocketAddrV4>,
}

/// The mappings of all cores.
#[derive(Debug)]
pub(super) struct Directory {
    endpoint_independent: bool,
    parts: Box<[Mutex<Part>]>,
}

impl Directory {
    pub(super) fn new(plan: &Plan) -> Self {
        let parts = (0..plan.cores).map(|_| Mutex::default()).collect();
        Self { endpoint_independent: plan.is_endpoint_independent(), parts }
    }

    fn part(&self, core: usize) -> MutexGuard<'_, Part> {
        self.parts[core].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, protocol: Protocol, end: SocketAddrV4, remote: SocketAddrV4) -> Key {
        let one_for_all = self.endpoint_independent && protocol != Protocol::Tcp;
        let remote = if protocol == Protocol::Icmp { SocketAddrV4::new(*remote.ip(), 0) } else { remote };
        (protocol, end, (!one_for_all).then_some(remote))
    }

    /// `core` has a new mapping.
    pub(super) fn insert(
        &self,
        core: usize,
        protocol: Protocol,
        inside: SocketAddrV4,
        outside: SocketAddrV4,
        remote: SocketAddrV4,
    ) {
        let mut part = self.part(core);
        part.inside.insert(self.key(protocol, outside, remote), inside);
        part.outside.insert(self.key(protocol, inside, remote), outside);
    }

    /// That mapping is gone.
    pub(super) fn remove(
        &self,
        core: usize,
        protocol: Protocol,
        inside: SocketAddrV4,
        outside: SocketAddrV4,
        remote: SocketAddrV4,
    ) {
        let mut part = self.part(core);
        part.inside.remove(&self.key(protocol, outside, remote));
        // The host may have connected anew meanwhile, from the same port.
        let key = self.key(protocol, inside, remote);
        if part.outside.get(&key) == Some(&outside) {
            part.outside.remove(&key);
        }
    }

    /// Who sends from `outside` to `remote`.
    pub(super) fn inside(
        &self,
        plan: &Plan,
        protocol: Protocol,
        outside: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<SocketAddrV4> {
        let core = plan.core_of(outside, protocol.remote(remote, outside.port()));
        self.part(core).inside.get(&self.key(protocol, outside, remote)).copied()
    }

    /// Where packets from `inside` to `remote` come from.
    pub(super) fn outside(
        &self,
        plan: &Plan,
        protocol: Protocol,
        inside: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<SocketAddrV4> {
        let core = plan.core_of(inside, protocol.remote(remote, inside.port()));
        self.part(core).outside.get(&self.key(protocol, inside, remote)).copied()
    }

    /// How many mappings there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let len = |core| {
            let part = self.part(core);
            part.inside.len().max(part.outside.len())
        };
        (0..self.parts.len()).map(len).sum()
    }
}
