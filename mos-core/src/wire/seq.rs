//! The TCP sequence number (RFC 9293 section 3.4): a point on a circle of 2^32.
//!
//! On a circle there is no order, only a distance, so the type has neither `Sub` nor `Ord`. Distances are signed and
//! comparisons hold for points less than 2^31 apart, which the largest window (2^30, RFC 7323) keeps within. Every
//! operation is defined for every pair of numbers: a hostile sender chooses them freely.

use core::fmt;
use core::ops::{Add, AddAssign};

/// A sequence number. Addition wraps; see [`distance`](Self::distance) for the way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// How far `self` lies ahead of `from`: negative if it lies behind.
    #[inline]
    #[must_use]
    pub const fn distance(self, from: Self) -> i32 {
        self.0.wrapping_sub(from.0).cast_signed()
    }

    /// How far `self` lies ahead of `base`, going forward only. For numbers that are known not to lie behind `base`.
    #[inline]
    #[must_use]
    pub const fn offset_from(self, base: Self) -> u32 {
        self.0.wrapping_sub(base.0)
    }

    /// Whether `self` lies before `other`.
    #[inline]
    #[must_use]
    pub const fn lt(self, other: Self) -> bool {
        self.distance(other) < 0
    }

    /// Whether `self` lies before `other` or is the same.
    #[inline]
    #[must_use]
    pub const fn le(self, other: Self) -> bool {
        self.distance(other) <= 0
    }

    /// Whether `self` lies after `other`.
    #[inline]
    #[must_use]
    pub const fn gt(self, other: Self) -> bool {
        self.distance(other) > 0
    }

    /// Whether `self` lies after `other` or is the same.
    #[inline]
    #[must_use]
    pub const fn ge(self, other: Self) -> bool {
        self.distance(other) >= 0
    }

    /// The later of two numbers.
    #[inline]
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if self.lt(other) { other } else { self }
    }
}

impl Add<u32> for SeqNum {
    type Output = Self;

    #[inline]
    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for SeqNum {
    #[inline]
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::SeqNum;
    use proptest::prelude::*;

    /// Half the circle: further apart, "before" and "after" mean nothing.
    const HALF: u32 = 1 << 31;

    #[test]
    fn wraps() {
        let last = SeqNum(u32::MAX);
        assert_eq!(last + 1, SeqNum(0));
        assert_eq!((last + 3).distance(last), 3);
        assert_eq!(last.distance(last + 3), -3);
        assert_eq!((last + 3).offset_from(last), 3);
        assert!(last.lt(SeqNum(0)) && SeqNum(0).gt(last));
        assert_eq!(last.max(SeqNum(2)), SeqNum(2));
    }

    #[test]
    fn opposite_points_do_not_panic() {
        assert_eq!(SeqNum(HALF).distance(SeqNum(0)), i32::MIN);
        assert_eq!(SeqNum(0).distance(SeqNum(HALF)), i32::MIN);
    }

    proptest! {
        #[test]
        fn distance_undoes_addition(base: u32, bytes in 0..HALF) {
            let base = SeqNum(base);
            prop_assert_eq!((base + bytes).distance(base).cast_unsigned(), bytes);
            prop_assert_eq!((base + bytes).offset_from(base), bytes);
        }

        #[test]
        fn comparisons_are_integer_comparisons_on_a_turned_circle(base: u32, a in 0..HALF, b in 0..HALF) {
            let (x, y) = (SeqNum(base) + a, SeqNum(base) + b);
            prop_assert_eq!(x.lt(y), a < b);
            prop_assert_eq!(x.le(y), a <= b);
            prop_assert_eq!(x.gt(y), a > b);
            prop_assert_eq!(x.ge(y), a >= b);
            prop_assert_eq!(x.max(y), SeqNum(base) + a.max(b));
        }

        #[test]
        fn total_on_any_pair(a: u32, b: u32) {
            let (a, b) = (SeqNum(a), SeqNum(b));
            prop_assert_eq!(a.lt(b), !a.ge(b));
            prop_assert_eq!(a.gt(b), !a.le(b));
            prop_assert_eq!(b + a.offset_from(b), a);
        }
    }
}
