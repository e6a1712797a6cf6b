//! A limit on how often something is done that others can provoke: a bucket of tokens that fills at a steady rate.

use crate::time::Timestamp;

const NANOS: u64 = 1_000_000_000;

/// A bucket of tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    /// What it holds at most, in billionths of a token.
    capacity: u128,
    /// Tokens that are added in a second.
    per_second: u32,
    /// What it holds, in billionths of a token.
    level: u128,
    since: Timestamp,
}

impl TokenBucket {
    /// A full one that holds `burst` tokens and gets `per_second`.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let capacity = u128::from(burst) * u128::from(NANOS);
        Self { capacity, per_second, level: capacity, since: Timestamp::ZERO }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let elapsed = now.as_nanos().saturating_sub(self.since.as_nanos());
        self.since = self.since.max(now);
        let added = u128::from(elapsed) * u128::from(self.per_second);
        self.level = (self.level + added).min(self.capacity);
        let is_there = self.level >= u128::from(NANOS);
        if is_there {
            self.level -= u128::from(NANOS);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4443_2_4_f_a_burst_and_then_a_steady_rate() {
        let mut bucket = TokenBucket::new(10, 5);
        let now = Timestamp::from_millis(1_000_000);
        let taken = |bucket: &mut TokenBucket, now| (0..100).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, now), 5);
        assert_eq!(taken(&mut bucket, Timestamp::from_millis(1_000_099)), 0);
        assert_eq!(taken(&mut bucket, Timestamp::from_millis(1_000_100)), 1);
        assert_eq!(taken(&mut bucket, Timestamp::from_millis(1_000_350)), 2);
        assert_eq!(taken(&mut bucket, Timestamp::from_millis(9_000_000)), 5);
        // Time that goes back gives nothing.
        assert_eq!(taken(&mut bucket, Timestamp::ZERO), 0);
        assert_eq!(taken(&mut bucket, Timestamp::MAX), 5);
    }
}
