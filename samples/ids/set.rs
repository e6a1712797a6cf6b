//! Sets of addresses and of ports, as ranges: whatever a rule writes in lists, negations and variables becomes a sorted list
//! of ranges, so two texts that mean the same are the same, and a lookup is a binary search.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mos_core::config::Net;

/// A number that ranges are made of.
pub(super) trait Point: Copy + Ord {
    const MIN: Self;
    const MAX: Self;
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

macro_rules! points {
    ($($number:ty),*) => {$(
        impl Point for $number {
            const MIN: Self = Self::MIN;
            const MAX: Self = Self::MAX;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}

points!(u16, u32, u128);

/// Numbers, as ranges from the first to the last: sorted, and with something between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges<T>(Vec<(T, T)>);

impl<T: Point> Ranges<T> {
    pub(super) fn all() -> Self {
        Self(vec![(T::MIN, T::MAX)])
    }

    pub(super) fn new(mut ranges: Vec<(T, T)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(T, T)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                // Nothing lies between them: the next number after the one before is not below this one.
                Some(before) if before.1.next().is_none_or(|next| next >= first) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    pub(super) fn contains(&self, number: T) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).is_some_and(|at| number <= self.0[at].1)
    }

    fn complement(&self) -> Self {
        let mut gaps = Vec::new();
        let mut start = Some(T::MIN);
        for (first, last) in &self.0 {
            if let (Some(start), Some(end)) = (start, first.previous())
                && start <= end
            {
                gaps.push((start, end));
            }
            start = last.next();
        }
        gaps.extend(start.map(|start| (start, T::MAX)));
        Self(gaps)
    }

    fn union(sets: &[&Self]) -> Self {
        Self::new(sets.iter().flat_map(|set| set.0.iter().copied()).collect())
    }

    fn minus(&self, other: &Self) -> Self {
        Self::union(&[&self.complement(), other]).complement()
    }
}

/// What the two kinds of sets have in common.
pub(super) trait Set: Sized {
    /// Everything.
    fn any() -> Self;
    /// What `text` names, which is no list, negation or variable. An error says where in it, in characters, what may stand.
    fn atom(text: &str) -> Result<Self, (usize, &'static str)>;
    fn union(sets: &[&Self]) -> Self;
    fn minus(&self, other: &Self) -> Self;
    fn is_empty(&self) -> bool;
    /// How many ranges it takes.
    fn len(&self) -> usize;
}

/// Addresses of both versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Addresses {
    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.v4.contains(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.contains(v6.to_bits()),
        }
    }
}

impl Set for Addresses {
    fn any() -> Self {
        Self { v4: Ranges::all(), v6: Ranges::all() }
    }

    fn atom(text: &str) -> Result<Self, (usize, &'static str)> {
        let net: Net = text.parse().map_err(|bad: mos_core::config::BadNet| match bad.at {
            0 => (0, "an address, a network (address/mask), any, $NAME or a list in [ ], perhaps after !"),
            at => (at, bad.allowed),
        })?;
        Ok(match (net.first(), net.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Self { v4: Ranges::new(vec![(first.to_bits(), last.to_bits())]), ..Self::default() }
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Self { v6: Ranges::new(vec![(first.to_bits(), last.to_bits())]), ..Self::default() }
            }
            // A network is of one version.
            _ => Self::default(),
        })
    }

    fn union(sets: &[&Self]) -> Self {
        let (v4, v6): (Vec<_>, Vec<_>) = sets.iter().map(|set| (&set.v4, &set.v6)).unzip();
        Self { v4: Ranges::union(&v4), v6: Ranges::union(&v6) }
    }

    fn minus(&self, other: &Self) -> Self {
        Self { v4: self.v4.minus(&other.v4), v6: self.v6.minus(&other.v6) }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.v4.0.len() + self.v6.0.len()
    }
}

impl fmt::Display for Addresses {
    /// `any`, or the networks that make up the set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::any() {
            return f.write_str("any");
        }
        let v4 = self.v4.0.iter().flat_map(|(first, last)| {
            networks(u128::from(*first), u128::from(*last), 32)
                .map(|(first, prefix)| Net::new(Ipv4Addr::from_bits(first as u32).into(), prefix))
        });
        let v6 = self.v6.0.iter().flat_map(|(first, last)| {
            networks(*first, *last, 128).map(|(first, prefix)| Net::new(Ipv6Addr::from_bits(first).into(), prefix))
        });
        list(f, v4.chain(v6))
    }
}

/// The fewest networks that make up a range of addresses of `width` bits.
fn networks(first: u128, last: u128, width: u32) -> impl Iterator<Item = (u128, u8)> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let first = next.filter(|first| *first <= last)?;
        let fits = |bits: u32| {
            let mask = u128::MAX.checked_shr(128 - bits).unwrap_or(0);
            first & mask == 0 && first | mask <= last
        };
        let bits = (0..=width).rev().find(|bits| fits(*bits)).unwrap_or(0);
        next = (first | u128::MAX.checked_shr(128 - bits).unwrap_or(0)).checked_add(1);
        Some((first, (width - bits) as u8))
    })
}

/// Ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(Ranges<u16>);

impl Ports {
    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(port)
    }
}

impl Set for Ports {
    fn any() -> Self {
        Self(Ranges::all())
    }

    fn atom(text: &str) -> Result<Self, (usize, &'static str)> {
        const ALLOWED: &str = "a port, a range (1:1023, :1023, 1024:), any, $NAME or a list in [ ], perhaps after !";
        let bad = (0, ALLOWED);
        let port = |text: &str, absent: Option<u16>| match text {
            "" => absent.ok_or(bad),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_err(|_| bad),
            _ => Err(bad),
        };
        let (first, last) = match text.split_once(':') {
            _ if text == ":" => return Err(bad),
            Some((first, last)) => (port(first, Some(0))?, port(last, Some(u16::MAX))?),
            None => {
                let only = port(text, None)?;
                (only, only)
            }
        };
        if first > last {
            return Err((0, "a range from the lower to the higher port"));
        }
        Ok(Self(Ranges::new(vec![(first, last)])))
    }

    fn union(sets: &[&Self]) -> Self {
        Self(Ranges::union(&sets.iter().map(|set| &set.0).collect::<Vec<_>>()))
    }

    fn minus(&self, other: &Self) -> Self {
        Self(self.0.minus(&other.0))
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.0.0.len()
    }
}

impl fmt::Display for Ports {
    /// `any`, or the ranges that make up the set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::any() {
            return f.write_str("any");
        }
        list(
            f,
            self.0.0.iter().map(|(first, last)| match first == last {
                true => first.to_string(),
                false => format!("{first}:{last}"),
            }),
        )
    }
}

/// One item, or several in brackets.
fn list(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = impl fmt::Display>) -> fmt::Result {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    match &items[..] {
        [only] => f.write_str(only),
        items => write!(f, "[{}]", items.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_make_up_a_range() {
        assert_eq!(Ranges::<u16>::all().complement(), Ranges::default());
        let text = |first: &str, last: &str| {
            let bits = |text: &str| text.parse::<Ipv4Addr>().unwrap().to_bits();
            Addresses { v4: Ranges::new(vec![(bits(first), bits(last))]), ..Addresses::default() }.to_string()
        };
        assert_eq!(text("10.0.0.1", "10.0.0.6"), "[10.0.0.1,10.0.0.2/31,10.0.0.4/31,10.0.0.6]");
        assert_eq!(text("0.0.0.0", "255.255.255.255"), "0.0.0.0/0");
    }

    fn ranges() -> impl Strategy<Value = Vec<(u16, u16)>> {
        let end = prop_oneof![0..20u16, 65_516..=u16::MAX];
        prop::collection::vec((end.clone(), end).prop_map(|(a, b)| (a.min(b), a.max(b))), 0..6)
    }

    proptest! {
        #[test]
        fn sets_have_what_lists_have(a in ranges(), b in ranges()) {
            let is_in = |list: &[(u16, u16)], port| list.iter().any(|(first, last)| (*first..=*last).contains(&port));
            let (set_a, set_b) = (Ranges::new(a.clone()), Ranges::new(b.clone()));
            let (both, rest) = (Ranges::union(&[&set_a, &set_b]), set_a.minus(&set_b));
            for port in (0..22).chain(65_510..=u16::MAX) {
                prop_assert_eq!(set_a.contains(port), is_in(&a, port));
                prop_assert_eq!(both.contains(port), is_in(&a, port) || is_in(&b, port));
                prop_assert_eq!(rest.contains(port), is_in(&a, port) && !is_in(&b, port));
            }
        }
    }
}
