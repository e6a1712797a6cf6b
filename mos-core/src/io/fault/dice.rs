//! Random numbers that are the same for the same seed, on every machine.

/// A counter that is scrambled (SplitMix64: Steele, Lea and Flood, OOPSLA 2014): not for secrets.
#[derive(Debug)]
pub(super) struct Dice {
    state: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number; all are equally likely.
    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Whether something happens that has this likelihood. Beyond 0 and 1 it is never and always; not a number is
    /// never.
    pub(super) fn hits(&mut self, likelihood: f64) -> bool {
        // The 53 bits that a double can hold make a number from 0 to just below 1.
        ((self.next() >> 11) as f64) < likelihood * (1u64 << 53) as f64
    }
}

/// Maps a number from the dice evenly onto `0..limit`; 0 if `limit` is 0.
pub(super) fn scale(number: u64, limit: u64) -> u64 {
    ((u128::from(number) * u128::from(limit)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihoods() {
        let share = |likelihood| {
            let mut dice = Dice::new(1);
            (0..100_000).filter(|_| dice.hits(likelihood)).count()
        };
        assert_eq!((share(0.0), share(-1.0), share(f64::NAN)), (0, 0, 0));
        assert_eq!((share(1.0), share(7.0)), (100_000, 100_000));
        assert!(share(0.1).abs_diff(10_000) < 500);
    }

    #[test]
    fn scaling() {
        assert_eq!((scale(0, 10), scale(u64::MAX, 10), scale(u64::MAX, 0)), (0, 9, 0));
        assert_eq!(scale(1 << 63, 10), 5);
    }
}
