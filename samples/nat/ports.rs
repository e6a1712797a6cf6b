//! The free ports of one address, for one protocol on one core: those that were free for the longest time come first.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Numbers that are free.
#[derive(Debug)]
pub(super) struct Ports {
    first: u16,
    count: u32,
    /// So many were never given out. They are taken in an order that depends on a seed: the n-th is `start + n * stride`, modulo
    /// `count`, of which `stride` is no divisor. So memory is needed for ports that are in use only.
    fresh: u32,
    start: u32,
    stride: u32,
    /// Those that came back, in this order.
    freed: VecDeque<u16>,
}

impl Ports {
    /// All of `range`, of which there must be at least one.
    pub(super) fn new(range: RangeInclusive<u16>, seed: u32) -> Self {
        let count = u32::from(*range.end()) - u32::from(*range.start()) + 1;
        //= RFC 6056 section 3.3: which port comes next is not to be guessed.
        let strides = (0..count).map(|step| (seed.wrapping_add(step)) % count);
        let stride = strides.into_iter().find(|&stride| gcd(stride, count) == 1).unwrap_or(1);
        Self {
            first: *range.start(),
            count,
            fresh: count,
            start: seed.rotate_left(16) % count,
            stride,
            freed: VecDeque::new(),
        }
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.fresh as usize + self.freed.len()
    }

    /// Takes one that `fits`, of at most `tries`. Those that do not fit go behind the others: what is free for the longest time is
    /// still in front of what comes back later.
    pub(super) fn take(&mut self, tries: usize, mut fits: impl FnMut(u16) -> bool) -> Option<u16> {
        for _ in 0..tries.min(self.free()) {
            let port = self.next()?;
            if fits(port) {
                return Some(port);
            }
            self.freed.push_back(port);
        }
        None
    }

    fn next(&mut self) -> Option<u16> {
        if self.fresh == 0 {
            return self.freed.pop_front();
        }
        self.fresh -= 1;
        let number = (u64::from(self.start) + u64::from(self.fresh) * u64::from(self.stride)) % u64::from(self.count);
        Some(self.first + number as u16)
    }

    /// The port is free again.
    pub(super) fn give_back(&mut self, port: u16) {
        self.freed.push_back(port);
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
