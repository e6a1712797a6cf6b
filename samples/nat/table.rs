//! The mappings of UDP and ICMP on one core, until they expire (RFC 4787, RFC 5508 section 3).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddrV4;
use std::time::Duration;

use mos_core::time::Timestamp;

use super::config::{NatTimeouts, Plan};
use super::stats::Protocol;

/// A mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) protocol: Protocol,
    pub(super) inside: SocketAddrV4,
    pub(super) outside: SocketAddrV4,
    /// Whom the host inside has talked to last; on several cores, the only one. For ICMP, port 0.
    pub(super) remote: SocketAddrV4,
    answered: bool,
    used: Timestamp,
}

/// Whom a mapping is for: a host's endpoint, and the other side's if that makes a difference.
type OutKey = (Protocol, SocketAddrV4, Option<SocketAddrV4>);

/// The mappings of one core.
#[derive(Debug)]
pub(super) struct Table {
    endpoint_independent: bool,
    timeouts: NatTimeouts,
    mappings: Vec<Option<Mapping>>,
    vacant: Vec<u32>,
    by_inside: HashMap<OutKey, u32>,
    /// On one core an address and port is never given out twice.
    by_outside: HashMap<(Protocol, SocketAddrV4), u32>,
    /// For each mapping, a time at which it does not expire before; looked at again then.
    due: BinaryHeap<Reverse<(Timestamp, u32)>>,
}

impl Table {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            endpoint_independent: plan.is_endpoint_independent(),
            timeouts: plan.timeouts,
            mappings: Vec::new(),
            vacant: Vec::new(),
            by_inside: HashMap::new(),
            by_outside: HashMap::new(),
            due: BinaryHeap::new(),
        }
    }

    /// Mappings that there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_outside.len()
    }

    fn key(&self, protocol: Protocol, inside: SocketAddrV4, remote: SocketAddrV4) -> OutKey {
        //= RFC 4787 section 4.1, REQ-1: the same mapping whomever the host talks to. Departure: not on several cores.
        (protocol, inside, (!self.endpoint_independent).then_some(remote))
    }

    /// Where packets from `inside` to `remote` come from. This keeps the mapping alive.
    pub(super) fn outbound(
        &mut self,
        protocol: Protocol,
        inside: SocketAddrV4,
        remote: SocketAddrV4,
        now: Timestamp,
    ) -> Option<SocketAddrV4> {
        let number = *self.by_inside.get(&self.key(protocol, inside, remote))?;
        let mapping = self.mappings[number as usize].as_mut()?;
        //= RFC 4787 section 4.3, REQ-6: what is sent outwards keeps a mapping alive.
        mapping.used = now;
        mapping.remote = remote;
        Some(mapping.outside)
    }

    /// Whom packets from `remote` to `outside` are for.
    pub(super) fn inbound(
        &mut self,
        protocol: Protocol,
        outside: SocketAddrV4,
        remote: SocketAddrV4,
        now: Timestamp,
    ) -> Option<SocketAddrV4> {
        let number = *self.by_outside.get(&(protocol, outside))?;
        let mapping = self.mappings[number as usize].as_mut()?;
        if mapping.remote == remote {
            // Only the one whom the host talks to may keep it alive: nobody else can hold it open.
            mapping.used = now;
            mapping.answered = true;
        } else if !self.endpoint_independent {
            return None;
        }
        //= RFC 4787 section 5, REQ-8: with an endpoint-independent mapping anybody may use it.
        Some(mapping.inside)
    }

    /// A new mapping.
    pub(super) fn insert(
        &mut self,
        protocol: Protocol,
        inside: SocketAddrV4,
        outside: SocketAddrV4,
        remote: SocketAddrV4,
        now: Timestamp,
    ) {
        let mapping = Mapping { protocol, inside, outside, remote, answered: false, used: now };
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.mappings.push(None);
            (self.mappings.len() - 1) as u32
        });
        self.mappings[number as usize] = Some(mapping);
        self.by_inside.insert(self.key(protocol, inside, remote), number);
        self.by_outside.insert((protocol, outside), number);
        self.due.push(Reverse((now + self.timeout(&mapping), number)));
    }

    fn timeout(&self, mapping: &Mapping) -> Duration {
        match (mapping.protocol, mapping.answered) {
            (Protocol::Icmp, _) => self.timeouts.icmp,
            (_, false) => self.timeouts.udp,
            (_, true) => self.timeouts.udp_answered,
        }
    }

    /// The next mapping that has expired by `now`; it is gone then.
    pub(super) fn expired(&mut self, now: Timestamp) -> Option<Mapping> {
        loop {
            let Reverse((due, number)) = *self.due.peek()?;
            if due > now {
                return None;
            }
            self.due.pop();
            let Some(mapping) = self.mappings[number as usize] else { continue };
            let end = mapping.used + self.timeout(&mapping);
            if end > now {
                self.due.push(Reverse((end, number)));
                continue;
            }
            self.mappings[number as usize] = None;
            self.vacant.push(number);
            // As it was made: only on one core has it been used for others.
            self.by_inside.remove(&self.key(mapping.protocol, mapping.inside, mapping.remote));
            self.by_outside.remove(&(mapping.protocol, mapping.outside));
            return Some(mapping);
        }
    }
}
