//! The longest prefix that matches: a table of prefixes, cut into ranges of addresses that do not overlap.
//!
//! Prefixes nest or are disjoint, so n of them cut the addresses into 2n + 1 ranges at most, and in each range one prefix
//! is the longest. Looking an address up is one binary search; the table is built once and never changes.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::prefix::Prefix;

/// Values by prefix.
#[derive(Clone, Debug)]
pub(super) struct Lpm<T> {
    v4: Ranges<u32, T>,
    v6: Ranges<u128, T>,
}

impl<T: Copy> Lpm<T> {
    /// The table of these prefixes. Of equal ones the first counts.
    pub(super) fn new(entries: &[(Prefix, T)]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for &(prefix, value) in entries {
            match (prefix.first(), prefix.last()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits(), value)),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.to_bits(), last.to_bits(), value)),
                _ => {}
            }
        }
        Self { v4: Ranges::new(v4, |last| last.checked_add(1)), v6: Ranges::new(v6, |last| last.checked_add(1)) }
    }

    /// The value of the longest prefix that holds `address`.
    #[inline]
    pub(super) fn find(&self, address: IpAddr) -> Option<T> {
        match address {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        }
    }
}

/// Values by range of addresses.
#[derive(Clone, Debug)]
struct Ranges<K, T> {
    /// Where each range begins; it ends where the next one does.
    starts: Vec<K>,
    values: Vec<Option<T>>,
}

impl<K: Copy + Ord, T: Copy> Ranges<K, T> {
    /// From prefixes as first address, last address and value.
    fn new(mut entries: Vec<(K, K, T)>, next: impl Fn(K) -> Option<K>) -> Self {
        // Those that hold others come before them. The sort is stable, so of equal ones the first stays the first.
        entries.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        entries.dedup_by_key(|entry| (entry.0, entry.1));
        let mut ranges = Self { starts: Vec::new(), values: Vec::new() };
        let mut open: Vec<(K, T)> = Vec::new();
        for (first, last, value) in entries {
            while let Some((end, _)) = open.pop_if(|(end, _)| *end < first) {
                ranges.resume(next(end), &open);
            }
            ranges.begin(first, Some(value));
            open.push((last, value));
        }
        while let Some((end, _)) = open.pop() {
            ranges.resume(next(end), &open);
        }
        ranges
    }

    /// Behind a prefix, the one that holds it goes on.
    fn resume(&mut self, start: Option<K>, open: &[(K, T)]) {
        if let Some(start) = start {
            self.begin(start, open.last().map(|&(_, value)| value));
        }
    }

    /// Begins a range, in place of one that would begin there too.
    fn begin(&mut self, start: K, value: Option<T>) {
        if self.starts.last() == Some(&start) {
            self.values.pop();
        } else {
            self.starts.push(start);
        }
        self.values.push(value);
    }

    #[inline]
    fn find(&self, key: K) -> Option<T> {
        let behind = self.starts.partition_point(|&start| start <= key);
        *self.values.get(behind.checked_sub(1)?)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_counts_and_of_equal_ones_the_first() {
        let entries = [("0.0.0.0/0", 0), ("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.0.0/16", 3), ("::/0", 6)];
        let table = Lpm::new(&entries.map(|(prefix, value)| (prefix.parse().unwrap(), value)));
        let find = |address: &str| table.find(address.parse().unwrap());
        assert_eq!(find("0.0.0.0"), Some(0));
        assert_eq!(find("255.255.255.255"), Some(0));
        assert_eq!(find("10.255.255.255"), Some(1));
        assert_eq!(find("10.1.255.255"), Some(2));
        assert_eq!(find("11.0.0.0"), Some(0));
        assert_eq!(find("2001:db8::1"), Some(6));
        assert_eq!(Lpm::<u8>::new(&[]).find([10, 0, 0, 1].into()), None);
    }

    /// Few addresses, so that prefixes nest and border on each other.
    fn address() -> impl Strategy<Value = IpAddr> {
        let byte = || prop_oneof![Just(0u8), Just(1), Just(127), Just(128), Just(255), any::<u8>()];
        prop_oneof![
            (byte(), byte(), byte()).prop_map(|(a, b, c)| IpAddr::from([a, b, 0, c])),
            (byte(), byte(), byte())
                .prop_map(|(a, b, c)| { IpAddr::from([a, 0, 0, 0, 0, 0, 0, b, 0, 0, 0, 0, 0, 0, 0, c]) }),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_linear_scan(
            prefixes in prop::collection::vec((address(), 0u8..=128), 0..40),
            asked in prop::collection::vec(address(), 1..60),
        ) {
            let entries: Vec<(Prefix, usize)> = prefixes
                .iter()
                .enumerate()
                .map(|(index, &(address, len))| {
                    (Prefix::new(address, if address.is_ipv4() { len % 33 } else { len }).unwrap(), index)
                })
                .collect();
            let table = Lpm::new(&entries);
            let edges = entries.iter().flat_map(|(prefix, _)| [prefix.first(), prefix.last()]);
            for address in asked.into_iter().chain(edges.collect::<Vec<_>>()) {
                let mut best: Option<(Prefix, usize)> = None;
                for &(prefix, index) in &entries {
                    if prefix.contains(address) && best.is_none_or(|(best, _)| prefix.len() > best.len()) {
                        best = Some((prefix, index));
                    }
                }
                prop_assert_eq!(table.find(address), best.map(|(_, index)| index), "{}", address);
            }
        }
    }
}
