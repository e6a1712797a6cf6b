//! What is charged to each subscriber.

use std::collections::HashMap;

use mos_core::time::Timestamp;

use super::subscribers::Subscriber;

/// The most subscribers that are told apart. Whoever can make up source addresses must not fill the memory: those who come
/// later are charged together, as others.
const MAX_SUBSCRIBERS: usize = 1 << 20;

/// One direction of some flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Packets.
    pub packets: u64,
    /// Their bytes on the wire.
    pub wire_bytes: u64,
    /// Bytes of the stream, each once.
    pub payload: u64,
    /// Bytes that came again and are not charged.
    pub retransmitted_free: u64,
    /// Bytes that came again in flows that cheat.
    pub retransmitted_charged: u64,
    /// Bytes of the stream that were never seen.
    pub missing: u64,
}

impl Way {
    /// What is to be paid for.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.payload + self.retransmitted_charged
    }

    fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.wire_bytes += other.wire_bytes;
        self.payload += other.payload;
        self.retransmitted_free += other.retransmitted_free;
        self.retransmitted_charged += other.retransmitted_charged;
        self.missing += other.missing;
    }
}

/// What some flows come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// How many.
    pub flows: u64,
    /// What the subscriber sent.
    pub up: Way,
    /// What the subscriber was sent.
    pub down: Way,
    /// Flows that have repeated bytes which were not the same.
    pub conflicting_flows: u64,
    /// How often they did.
    pub conflicts: u64,
    /// When the last one ended.
    pub last: Timestamp,
}

impl Entry {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.flows += other.flows;
        self.up.add(&other.up);
        self.down.add(&other.down);
        self.conflicting_flows += other.conflicting_flows;
        self.conflicts += other.conflicts;
        self.last = self.last.max(other.last);
    }
}

/// The accounts of all subscribers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<Subscriber, Entry>,
}

impl Ledger {
    pub(super) fn add(&mut self, subscriber: Subscriber, entry: &Entry) {
        let has_room = self.accounts.len() < MAX_SUBSCRIBERS || self.accounts.contains_key(&subscriber);
        let subscriber = if has_room { subscriber } else { Subscriber::Other };
        self.accounts.entry(subscriber).or_default().add(entry);
    }

    /// All accounts, in the order of subscribers.
    pub(super) fn take(&mut self) -> Vec<(Subscriber, Entry)> {
        let mut accounts: Vec<_> = self.accounts.drain().collect();
        accounts.sort_unstable_by_key(|(subscriber, _)| *subscriber);
        accounts
    }
}
