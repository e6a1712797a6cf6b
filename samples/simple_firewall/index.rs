//! The first rule that matches, without trying all of them: rules of the same shape (lengths of both prefixes, and which
//! ports are single ones) lie in one hash table, so a lookup costs one probe for each shape in use. Files of thousands of
//! rules have few shapes. What a shape leaves open (negations, ranges) is tried rule by rule among those that the probe
//! finds.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::rules::{Address, Rule};
use mos_core::config::masked;

/// What the rules of a table have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    source: Prefix,
    destination: Prefix,
    source_port: bool,
    destination_port: bool,
}

/// Version and length of a prefix; `None` where the address is left open.
type Prefix = Option<(bool, u8)>;

/// What tells the rules of a shape apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    addresses: [Option<IpAddr>; 2],
    ports: [Option<u16>; 2],
}

#[derive(Debug)]
struct Table {
    shape: Shape,
    /// The first of all its rules.
    first: usize,
    /// Places of rules, in their order.
    rules: HashMap<Key, Vec<usize>>,
}

/// All rules by their shapes.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// In the order of their first rules.
    tables: Vec<Table>,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        let mut by_shape = HashMap::new();
        for (place, rule) in rules.iter().enumerate() {
            let shape = Shape::of(rule);
            let table = *by_shape.entry(shape).or_insert_with(|| {
                index.tables.push(Table { shape, first: place, rules: HashMap::new() });
                index.tables.len() - 1
            });
            index.tables[table].rules.entry(Key::of(rule)).or_default().push(place);
        }
        index
    }

    /// The place of the first of `rules`, which are those it was made of, about a connection.
    pub(super) fn find(&self, rules: &[Rule], source: SocketAddr, destination: SocketAddr) -> Option<usize> {
        let mut best: Option<usize> = None;
        for table in &self.tables {
            if best.is_some_and(|best| best < table.first) {
                break;
            }
            let Some(key) = table.shape.key(source, destination) else { continue };
            let Some(candidates) = table.rules.get(&key) else { continue };
            let better = candidates.iter().take_while(|place| best.is_none_or(|best| **place < best));
            if let Some(found) = better.copied().find(|place| rules[*place].matches(source, destination)) {
                best = Some(found);
            }
        }
        best
    }
}

impl Shape {
    fn of(rule: &Rule) -> Self {
        let prefix = |address| match address {
            Address::In(net) => Some((net.is_v6(), net.prefix())),
            Address::Any | Address::NotIn(_) => None,
        };
        Self {
            source: prefix(rule.source),
            destination: prefix(rule.destination),
            source_port: rule.source_port.single().is_some(),
            destination_port: rule.destination_port.single().is_some(),
        }
    }

    /// Under which key rules of this shape lie that may match; `None` if the addresses are of another version.
    fn key(&self, source: SocketAddr, destination: SocketAddr) -> Option<Key> {
        let part = |prefix: Prefix, address: IpAddr| match prefix {
            None => Some(None),
            Some((v6, length)) => (v6 == address.is_ipv6()).then(|| Some(masked(address, length))),
        };
        Some(Key {
            addresses: [part(self.source, source.ip())?, part(self.destination, destination.ip())?],
            ports: [self.source_port.then_some(source.port()), self.destination_port.then_some(destination.port())],
        })
    }
}

impl Key {
    fn of(rule: &Rule) -> Self {
        let first = |address| match address {
            Address::In(net) => Some(net.first()),
            Address::Any | Address::NotIn(_) => None,
        };
        Self {
            addresses: [first(rule.source), first(rule.destination)],
            ports: [rule.source_port.single(), rule.destination_port.single()],
        }
    }
}
