//! The set against a plain vector of booleans, and its edges.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::{INLINE_SPANS, KEPT_SPANS, MAX_SPANS, RangeSet, Span, TooManySpans};

/// Offsets that the model covers. Small, so that spans meet.
const WORLD: u64 = 200;

#[derive(Clone, Debug)]
enum Step {
    Insert(u64, u64),
    RemoveBelow(u64),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        // Mostly short spans: they leave the most holes.
        16 => (0..WORLD, 1..4u64).prop_map(|(start, len)| Step::Insert(start, len)),
        4 => (0..WORLD, 1..60u64).prop_map(|(start, len)| Step::Insert(start, len)),
        3 => (0..WORLD / 2).prop_map(Step::RemoveBelow),
        1 => (0..=WORLD).prop_map(Step::RemoveBelow),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 1..120)
}

fn span(start: u64, end: u64) -> Span {
    Span::new(start, end).expect("not empty")
}

/// The runs of `wanted` within `range`, shifted to begin at `base`.
fn runs(model: &[bool], wanted: bool, range: core::ops::Range<usize>, base: u64) -> Vec<Span> {
    let mut found = Vec::new();
    let mut at = range.start;
    for run in model[range].chunk_by(|a, b| a == b) {
        if run[0] == wanted {
            found.push(span(base + at as u64, base + (at + run.len()) as u64));
        }
        at += run.len();
    }
    found
}

proptest! {
    #[test]
    fn agrees_with_booleans(steps in steps(), at_the_end in any::<bool>(), from in 0..WORLD, len in 1..WORLD) {
        let base = if at_the_end { u64::MAX - WORLD } else { 0 };
        let mut model = [false; WORLD as usize];
        let mut set = RangeSet::new();
        for step in steps {
            match step {
                Step::Insert(start, len) => {
                    let covered = &mut model[start as usize..WORLD.min(start + len) as usize];
                    let fresh = covered.iter().filter(|present| !**present).count() as u64;
                    covered.fill(true);
                    // At the end of the offsets `with_len` does the cutting; elsewhere it is done here.
                    let len = if at_the_end { len } else { len.min(WORLD - start) };
                    prop_assert_eq!(set.insert(Span::with_len(base + start, len).unwrap()), Ok(fresh));
                }
                Step::RemoveBelow(offset) => {
                    model[..offset as usize].fill(false);
                    set.remove_below(base + offset);
                }
                Step::Clear => {
                    model.fill(false);
                    set.clear();
                }
            }
            let all = runs(&model, true, 0..WORLD as usize, base);
            prop_assert_eq!(set.as_slice(), &all[..]);
            prop_assert_eq!(set.len(), all.len());
            prop_assert_eq!(set.is_empty(), all.is_empty());
            prop_assert_eq!(set.total(), all.iter().map(|span| span.len()).sum::<u64>());
            prop_assert_eq!(set.first(), all.first().copied());
            prop_assert_eq!(set.last(), all.last().copied());

            let probe = base + from;
            prop_assert_eq!(set.containing(probe), all.iter().copied().find(|span| span.contains(probe)));
            prop_assert_eq!(set.next_after(probe), all.iter().copied().find(|span| span.start() >= probe));
            let until = WORLD.min(from + len);
            let within = span(probe, base + until);
            let present = runs(&model, true, from as usize..until as usize, base);
            prop_assert_eq!(set.covered(within), present.iter().map(|span| span.len()).sum::<u64>());
            prop_assert_eq!(set.overlaps_within(within).collect::<Vec<_>>(), present);
            let absent = runs(&model, false, from as usize..until as usize, base);
            prop_assert_eq!(set.gaps_within(within).collect::<Vec<_>>(), absent);
        }
    }
}

#[test]
fn spans_are_never_empty() {
    assert_eq!(Span::new(5, 5), None);
    assert_eq!(Span::new(6, 5), None);
    assert_eq!(Span::with_len(5, 0), None);
    assert_eq!(Span::with_len(u64::MAX, 7), None);
    assert_eq!(Span::with_len(u64::MAX - 2, 7).map(Span::len), Some(2));
    assert_eq!(span(0, 10).intersection(span(10, 20)), None);
    assert_eq!(span(0, 10).at_or_above(4), Some(span(4, 10)));
    assert_eq!(span(0, 10).at_or_above(10), None);
}

#[test]
fn the_last_offset_is_no_special_case() {
    let mut set = RangeSet::new();
    assert_eq!(set.insert(span(u64::MAX - 1, u64::MAX)), Ok(1));
    assert_eq!(set.containing(u64::MAX), None);
    assert_eq!(set.next_after(u64::MAX), None);
    assert_eq!(set.insert(span(0, u64::MAX)), Ok(u64::MAX - 1));
    assert_eq!((set.total(), set.len()), (u64::MAX, 1));
    set.remove_below(u64::MAX);
    assert!(set.is_empty());
}

/// One-byte spans with one-byte holes between them, as many as there may be.
fn full() -> RangeSet {
    let mut set = RangeSet::new();
    for index in 0..MAX_SPANS as u64 {
        assert_eq!(set.insert(span(2 * index + 1, 2 * index + 2)), Ok(1));
    }
    set
}

#[test]
fn refuses_one_span_too_many_and_stays_usable() {
    let mut set = full();
    let before = set.clone();
    let apart = span(3 * MAX_SPANS as u64, 3 * MAX_SPANS as u64 + 1);
    assert_eq!(set.insert(apart), Err(TooManySpans));
    assert!(!set.admits(apart));
    assert_eq!(set.as_slice(), before.as_slice());
    assert_eq!(set.total(), before.total());
    // What touches a span makes no new one.
    assert_eq!(set.insert(span(4, 5)), Ok(1));
    assert_eq!(set.len(), MAX_SPANS - 1);
    assert_eq!(set.insert(apart), Ok(1));
}

#[test]
fn filling_first_holes_moves_nothing() {
    let mut set = full();
    let place = set.slots.as_ptr();
    for index in 1..MAX_SPANS as u64 {
        assert_eq!(set.insert(span(2 * index, 2 * index + 1)), Ok(1));
        assert_eq!(set.dead, index as usize, "the merged span stays where the second was");
    }
    assert_eq!(set.as_slice(), [span(1, 2 * MAX_SPANS as u64)]);
    assert_eq!(set.slots.as_ptr(), place);
}

#[test]
fn a_window_that_moves_along_stays_inline() {
    let mut set = RangeSet::new();
    for step in 0..1000 {
        set.insert(span(10 * step, 10 * step + 5)).unwrap();
        if let Some(left) = step.checked_sub(INLINE_SPANS as u64 - 2) {
            set.remove_below(10 * left);
        }
        assert!(!set.slots.spilled());
    }
}

#[test]
fn a_window_that_moves_along_does_not_grow() {
    let mut set = RangeSet::new();
    for step in 0..100_000 {
        set.insert(span(10 * step, 10 * step + 5)).unwrap();
        set.remove_below((10 * step).saturating_sub(1000));
    }
    assert!(set.slots.capacity() <= 256, "{} slots for 101 spans", set.slots.capacity());
}

#[test]
fn clear_keeps_a_moderate_capacity_only() {
    let mut set = full();
    set.clear();
    assert!(set.is_empty() && set.slots.capacity() == INLINE_SPANS);
    for index in 0..KEPT_SPANS as u64 {
        set.insert(span(2 * index, 2 * index + 1)).unwrap();
    }
    let place = set.slots.as_ptr();
    set.clear();
    assert_eq!((set.slots.as_ptr(), set.slots.capacity()), (place, KEPT_SPANS));
}
