//! The buffer against a map from offset to byte, its failures, and what a hostile peer would send.

use alloc::{collections::BTreeMap, vec, vec::Vec};

use proptest::prelude::*;

use super::super::{MAX_SPANS, MAX_WINDOW, SEGMENT_BYTES, SegmentPool, Span};
use super::{OverlapPolicy, StoreError, Stored, StreamBuffer};

use OverlapPolicy::{First, Last};

/// Offsets that the model covers: a dozen segments.
const WORLD: u64 = 12 * SEGMENT_BYTES as u64;

fn span(start: u64, end: u64) -> Span {
    Span::new(start, end).expect("not empty")
}

/// The stream's true byte at an offset.
fn truth(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn true_bytes(range: core::ops::Range<u64>) -> Vec<u8> {
    range.map(truth).collect()
}

/// The bytes of `span`, or of as much of it as is stored without a hole.
fn read(buffer: &StreamBuffer, pool: &SegmentPool, span: Span) -> Vec<u8> {
    buffer.slices(pool, span).flatten().copied().collect()
}

#[derive(Clone, Debug)]
enum Step {
    /// The true bytes, except for those of the lie (relative to the start), which are inverted.
    Store {
        start: u64,
        len: u64,
        lie: core::ops::Range<u64>,
        policy: OverlapPolicy,
        keep_below: u64,
    },
    Release(u64),
    Read {
        start: u64,
        len: u64,
    },
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = || prop_oneof![3 => 0..100u64, 3 => 1000..1600u64, 1 => 0..3 * SEGMENT_BYTES as u64];
    let lie = prop_oneof![2 => Just(0..0), 1 => (0..1500u64, 1..1500u64).prop_map(|(from, len)| from..from + len)];
    let policy = prop_oneof![Just(First), Just(Last)];
    let store = (0..WORLD, len(), lie, policy, prop_oneof![Just(0), 0..WORLD])
        .prop_map(|(start, len, lie, policy, keep_below)| Step::Store { start, len, lie, policy, keep_below });
    let step = prop_oneof![
        8 => store,
        2 => (0..WORLD / 2).prop_map(Step::Release),
        1 => (0..WORLD).prop_map(Step::Release),
        4 => (0..WORLD, len()).prop_map(|(start, len)| Step::Read { start, len }),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 1..40)
}

/// What the buffer is to do, byte by byte.
#[derive(Clone, Default)]
struct Model(BTreeMap<u64, u8>);

impl Model {
    fn store(&mut self, offset: u64, bytes: &[u8], policy: OverlapPolicy, keep_below: u64) -> Stored {
        let mut stored = Stored { conflict: self.compare(offset, bytes), ..Stored::default() };
        // Stops where the offsets end.
        for (at, byte) in (offset..u64::MAX).zip(bytes) {
            match self.0.get_mut(&at) {
                None => {
                    self.0.insert(at, *byte);
                    stored.fresh += 1;
                }
                Some(old) => {
                    if policy == Last && at >= keep_below {
                        *old = *byte;
                    }
                    stored.overlapped += 1;
                }
            }
        }
        stored
    }

    fn compare(&self, offset: u64, bytes: &[u8]) -> Option<Span> {
        let differs = |at: &u64| self.0.get(at).is_some_and(|old| *old != bytes[(at - offset) as usize]);
        let all = offset..offset.saturating_add(bytes.len() as u64);
        let start = all.clone().find(differs)?;
        Span::new(start, (start..all.end).take_while(differs).last()? + 1)
    }

    fn run_from(&self, offset: u64) -> Vec<u8> {
        (offset..u64::MAX).map_while(|at| self.0.get(&at)).copied().collect()
    }

    fn segments(&self) -> usize {
        let mut touched: Vec<_> = self.0.keys().map(|at| at / SEGMENT_BYTES as u64).collect();
        touched.dedup();
        touched.len()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn agrees_with_a_map(
        steps in steps(),
        base in prop_oneof![Just(0), Just(u64::MAX - WORLD), Just(1 << 40)],
        budget_segments in prop_oneof![2 => Just(usize::MAX), 1 => 1..12usize],
    ) {
        let mut pool = SegmentPool::new(budget_segments.saturating_mul(SEGMENT_BYTES));
        let mut buffer = StreamBuffer::new();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Store { start, len, lie, policy, keep_below } => {
                    let (offset, keep_below) = (base + start, base + keep_below);
                    let bytes: Vec<u8> = (0..len)
                        .map(|at| truth(offset.wrapping_add(at)) ^ if lie.contains(&at) { 0xff } else { 0 })
                        .collect();
                    prop_assert_eq!(buffer.compare(&pool, offset, &bytes), model.compare(offset, &bytes));
                    let mut after = model.clone();
                    let expected = after.store(offset, &bytes, policy, keep_below);
                    if after.segments() <= budget_segments {
                        prop_assert_eq!(buffer.store(&mut pool, offset, &bytes, policy, keep_below), Ok(expected));
                        model = after;
                    } else {
                        let refused = buffer.store(&mut pool, offset, &bytes, policy, keep_below);
                        prop_assert_eq!(refused, Err(StoreError::Budget));
                    }
                }
                Step::Release(below) => {
                    buffer.release_below(&mut pool, base + below);
                    model.0 = model.0.split_off(&(base + below));
                }
                Step::Read { start, len } => {
                    let run = model.run_from(base + start);
                    prop_assert_eq!(buffer.contiguous_from(base + start), base + start + run.len() as u64);
                    let next = buffer.spans().iter().map(|span| span.start()).find(|at| *at >= base + start);
                    prop_assert_eq!(buffer.next_start(base + start), next);
                    let mut out = vec![0xee; len as usize];
                    let copied = buffer.copy_out(&pool, base + start, &mut out);
                    prop_assert_eq!(copied, run.len().min(len as usize));
                    prop_assert_eq!(&out[..copied], &run[..copied]);
                    prop_assert!(out[copied..].iter().all(|byte| *byte == 0xee));
                }
                Step::Clear => {
                    buffer.clear(&mut pool);
                    model.0.clear();
                }
            }
            prop_assert_eq!(buffer.stored_bytes(), model.0.len() as u64);
            prop_assert_eq!(buffer.is_empty(), model.0.is_empty());
            prop_assert_eq!(buffer.segments_held(), model.segments());
            prop_assert_eq!(pool.in_use_bytes(), model.segments() * SEGMENT_BYTES);
            let all: Vec<u8> = buffer.spans().iter().flat_map(|span| read(&buffer, &pool, *span)).collect();
            prop_assert!(all.iter().eq(model.0.values()));
        }
        buffer.clear(&mut pool);
        prop_assert_eq!(pool.in_use_bytes(), 0);
    }
}

#[test]
fn first_and_last_differ_only_where_nobody_has_read() {
    for (policy, expected) in [(First, b"aaaaaaaa"), (Last, b"aaaabbbb")] {
        let mut pool = SegmentPool::new(1 << 20);
        let mut buffer = StreamBuffer::new();
        buffer.store(&mut pool, 100, b"aaaaaaaa", policy, 0).unwrap();
        let again = buffer.store(&mut pool, 98, b"bbbbbbbbbbbb", policy, 104).unwrap();
        assert_eq!(again, Stored { fresh: 4, overlapped: 8, conflict: Some(span(100, 108)) });
        assert_eq!(read(&buffer, &pool, span(98, 110)), [b"bb", &expected[..], b"bb"].concat());
    }
}

#[test]
fn last_replaces_behind_the_mark_even_if_the_first_conflict_lies_below_it() {
    let mut pool = SegmentPool::new(1 << 20);
    let mut buffer = StreamBuffer::new();
    buffer.store(&mut pool, 0, b"0123456789", First, 0).unwrap();
    let stored = buffer.store(&mut pool, 0, b"0x234567x9", Last, 5).unwrap();
    assert_eq!(stored.conflict, Some(span(1, 2)));
    assert_eq!(read(&buffer, &pool, span(0, 10)), b"01234567x9");
}

#[test]
fn a_conflict_is_one_run_across_segments_and_ends_at_a_hole() {
    let mut pool = SegmentPool::new(1 << 20);
    let mut buffer = StreamBuffer::new();
    let edge = SEGMENT_BYTES as u64;
    buffer.store(&mut pool, 0, &[7; 2 * SEGMENT_BYTES], First, 0).unwrap();
    let mut other = [7; 100];
    other[40..60].fill(8);
    assert_eq!(buffer.compare(&pool, edge - 50, &other), Some(span(edge - 10, edge + 10)));
    // It also ends where a segment does, if the next one is equal throughout.
    let mut up_to_the_edge = [7; 100];
    up_to_the_edge[40..50].fill(8);
    assert_eq!(buffer.compare(&pool, edge - 50, &up_to_the_edge), Some(span(edge - 10, edge)));
    assert_eq!(buffer.compare(&pool, 2 * edge - 3, &[8; 10]), Some(span(2 * edge - 3, 2 * edge)));
    assert_eq!(buffer.compare(&pool, 2 * edge, &[8; 10]), None);
}

#[test]
fn storing_nothing_is_nothing() {
    let mut pool = SegmentPool::new(0);
    let mut buffer = StreamBuffer::new();
    for (offset, bytes) in [(5, &b""[..]), (u64::MAX, b"beyond the end")] {
        assert_eq!(buffer.store(&mut pool, offset, bytes, Last, 0), Ok(Stored::default()));
        assert_eq!(buffer.compare(&pool, offset, bytes), None);
        assert_eq!(buffer.copy_out(&pool, offset, &mut [0; 4]), 0);
    }
    buffer.release_below(&mut pool, u64::MAX);
    assert!(buffer.is_empty());
}

#[test]
fn an_exhausted_budget_leaves_everything_as_it_was() {
    let mut pool = SegmentPool::new(3 * SEGMENT_BYTES);
    let mut buffer = StreamBuffer::new();
    let far = 10 * SEGMENT_BYTES as u64;
    buffer.store(&mut pool, 50, b"here", First, 0).unwrap();
    buffer.store(&mut pool, far, b"there", First, 0).unwrap();
    // Three more segments would be needed, one is left.
    let wide = vec![0; 4 * SEGMENT_BYTES];
    assert_eq!(buffer.store(&mut pool, 52, &wide, Last, 0), Err(StoreError::Budget));
    assert_eq!(buffer.spans().as_slice(), [span(50, 54), span(far, far + 5)]);
    assert_eq!((buffer.segments_held(), pool.in_use_bytes()), (2, 2 * SEGMENT_BYTES));
    assert_eq!(read(&buffer, &pool, span(50, 54)), b"here");
    // What fits still fits, and bytes that need no new segment always do.
    assert!(buffer.store(&mut pool, far + SEGMENT_BYTES as u64, b"x", First, 0).is_ok());
    assert!(buffer.store(&mut pool, 0, b"beginning", First, 0).is_ok());
    buffer.clear(&mut pool);
    assert_eq!(pool.in_use_bytes(), 0);
}

#[test]
fn an_empty_buffer_starts_anywhere_and_a_full_one_within_the_window() {
    let mut pool = SegmentPool::new(1 << 20);
    let mut buffer = StreamBuffer::new();
    for offset in [0, u64::MAX - 3, 1 << 50, 3] {
        buffer.store(&mut pool, offset, b"abc", First, 0).unwrap();
        assert_eq!((buffer.segments_held(), buffer.stored_bytes()), (1, 3));
        buffer.release_below(&mut pool, offset + 3);
        assert!(buffer.is_empty());
    }

    buffer.store(&mut pool, 1 << 40, b"abc", First, 0).unwrap();
    for offset in [0, (1 << 40) - MAX_WINDOW, (1 << 40) + MAX_WINDOW, u64::MAX - 3] {
        assert_eq!(buffer.store(&mut pool, offset, b"def", First, 0), Err(StoreError::TooFar));
        assert_eq!((buffer.segments_held(), buffer.stored_bytes()), (1, 3));
    }
    let edge = (1 << 40) + MAX_WINDOW - 3;
    buffer.store(&mut pool, edge, b"def", First, 0).unwrap();
    assert_eq!(read(&buffer, &pool, span(1 << 40, u64::MAX)), b"abc");
    assert_eq!(read(&buffer, &pool, span(edge, u64::MAX)), b"def");
    // What has been released no longer counts.
    buffer.release_below(&mut pool, (1 << 40) + 3);
    buffer.store(&mut pool, edge + MAX_WINDOW / 2, b"ghi", First, 0).unwrap();
    buffer.clear(&mut pool);
    assert_eq!(pool.in_use_bytes(), 0);
}

#[test]
fn ranges_and_bytes_do_not_mix() {
    let mut pool = SegmentPool::new(1 << 20);
    let mut buffer = StreamBuffer::new();
    assert_eq!(buffer.note(span(10, 20)).map(|stored| stored.fresh), Ok(10));
    assert_eq!(buffer.note(span(15, 30)), Ok(Stored { fresh: 10, overlapped: 5, conflict: None }));
    // Among ranges, bytes become a range.
    let stored = buffer.store(&mut pool, 28, b"bytes", Last, 0);
    assert_eq!(stored, Ok(Stored { fresh: 3, overlapped: 2, conflict: None }));
    assert_eq!((buffer.contiguous_from(10), pool.in_use_bytes()), (33, 0));
    assert!(!buffer.keeps_bytes());
    assert_eq!(buffer.slices(&pool, span(10, 33)).next(), None);
    assert_eq!(buffer.copy_out(&pool, 10, &mut [0; 50]), 0);
    assert_eq!(buffer.compare(&pool, 10, b"anything"), None);

    // Once empty it may keep bytes, and then ranges are refused.
    buffer.release_below(&mut pool, 33);
    buffer.store(&mut pool, 40, b"bytes", First, 0).unwrap();
    assert!(buffer.keeps_bytes());
    assert_eq!(buffer.note(span(50, 60)), Err(StoreError::KeepsBytes));
    assert_eq!(buffer.stored_bytes(), 5);

    buffer.forget_bytes(&mut pool);
    assert_eq!((buffer.stored_bytes(), pool.in_use_bytes()), (5, 0));
    assert!(buffer.note(span(50, 60)).is_ok());
}

#[test]
fn a_reused_segment_shows_nothing_of_its_last_owner() {
    let mut pool = SegmentPool::new(SEGMENT_BYTES);
    let mut secret = StreamBuffer::new();
    secret.store(&mut pool, 0, &[0x5e; SEGMENT_BYTES], First, 0).unwrap();
    secret.clear(&mut pool);
    let mut other = StreamBuffer::new();
    other.store(&mut pool, 100, b"mine", First, 0).unwrap();
    assert_eq!(read(&other, &pool, span(100, 5000)), b"mine");
    assert_eq!(read(&other, &pool, span(0, 5000)), b"");
    assert_eq!(read(&other, &pool, span(102, 103)), b"n");
}

#[test]
fn nothing_is_allocated_once_warm() {
    let mut pool = SegmentPool::new(1 << 30);
    let mut buffer = StreamBuffer::new();
    let payload = true_bytes(0..1448);
    let mut held = None;
    // Every other segment of a window comes early, then the rest; over and over, a thousand times.
    for round in 0..1000 {
        let start = round * 64 * 1448;
        for number in (0..64).step_by(2).chain((1..64).step_by(2)) {
            buffer.store(&mut pool, start + number * 1448, &payload, First, 0).unwrap();
        }
        let end = start + 64 * 1448;
        assert_eq!(buffer.contiguous_from(start), end);
        buffer.release_below(&mut pool, end);
        let now = (pool.held_bytes(), pool.high_water_bytes());
        // The rounds do not begin at the edges of segments, so that the second one may need one more.
        if round > 2 {
            assert_eq!(*held.get_or_insert(now), now);
        }
    }
    assert_eq!(pool.in_use_bytes(), 0);
}

#[test]
fn a_window_of_one_byte_holes_is_filled_from_either_end() {
    let holes = MAX_SPANS as u64;
    for backwards in [false, true] {
        let mut pool = SegmentPool::new(1 << 20);
        let mut buffer = StreamBuffer::new();
        let order = |index: u64| if backwards { holes - 1 - index } else { index };
        for at in (0..holes).map(order) {
            let bytes = true_bytes(256 * at + 1..256 * at + 256);
            assert_eq!(buffer.store(&mut pool, 256 * at + 1, &bytes, First, 0).map(|s| s.fresh), Ok(255));
        }
        assert_eq!(buffer.spans().len(), MAX_SPANS);
        let beyond = 256 * holes + 10;
        assert_eq!(buffer.store(&mut pool, beyond, b"x", First, 0), Err(StoreError::TooManySpans));
        assert_eq!(buffer.segments_held(), 512);
        for at in (0..holes).map(order) {
            let stored = buffer.store(&mut pool, 256 * at, &[truth(256 * at)], Last, 0);
            assert_eq!(stored, Ok(Stored { fresh: 1, ..Stored::default() }));
        }
        assert_eq!(buffer.spans().as_slice(), [span(0, 256 * holes)]);
        assert_eq!(read(&buffer, &pool, span(0, u64::MAX)), true_bytes(0..256 * holes));
    }
}

#[test]
fn a_window_that_comes_in_reverse_is_one_run() {
    let mut pool = SegmentPool::new(1 << 20);
    let mut buffer = StreamBuffer::new();
    for at in (0..1u64 << 20).rev().step_by(4).map(|last| last - 3) {
        buffer.store(&mut pool, at, &true_bytes(at..at + 4), First, 0).unwrap();
        assert_eq!(buffer.spans().len(), 1);
    }
    assert_eq!(read(&buffer, &pool, span(0, 1 << 20)), true_bytes(0..1 << 20));
}

#[test]
fn a_segment_larger_than_many_pool_segments_is_stored_whole() {
    let mut pool = SegmentPool::new(1 << 20);
    let mut buffer = StreamBuffer::new();
    let giant = true_bytes(777..777 + 65_535);
    buffer.store(&mut pool, 1000, &true_bytes(1000..1003), First, 0).unwrap();
    buffer.store(&mut pool, 30_000, &true_bytes(30_000..35_000), First, 0).unwrap();
    let stored = buffer.store(&mut pool, 777, &giant, First, 0).unwrap();
    assert_eq!(stored, Stored { fresh: 65_535 - 5003, overlapped: 5003, conflict: None });
    assert_eq!(read(&buffer, &pool, span(777, u64::MAX)), giant);
}
