//! All contents at once, in any pieces, against one after the other in the whole.

use std::sync::Arc;

use proptest::prelude::*;

use crate::eve::Direction;
use crate::ids::{Action, Content, Matcher, Rule, Rules, Scan};

/// A piece of a stream.
#[derive(Clone, Debug)]
enum Piece {
    Data(Vec<u8>),
    Missing(u64),
}

/// Whether the content occurs anywhere in the runs, which begin at these offsets.
fn occurs(content: &Content, runs: &[(u64, Vec<u8>)]) -> bool {
    let len = content.bytes.len();
    let same = |a: &[u8], b: &[u8]| if content.nocase { a.eq_ignore_ascii_case(b) } else { a == b };
    runs.iter().any(|(start, bytes)| {
        bytes.windows(len).enumerate().any(|(at, window)| {
            let (from, offset) = (start + at as u64, u64::from(content.offset));
            let in_depth = content.depth.is_none_or(|depth| from + len as u64 <= offset + u64::from(depth));
            same(window, &content.bytes) && from >= offset && in_depth
        })
    })
}

/// Data between the gaps, put together.
fn runs(pieces: &[Piece]) -> Vec<(u64, Vec<u8>)> {
    let mut runs = vec![(0, Vec::new())];
    let mut position = 0;
    for piece in pieces {
        match piece {
            Piece::Data(data) => {
                position += data.len() as u64;
                runs.last_mut().unwrap().1.extend_from_slice(data);
            }
            Piece::Missing(len) => {
                position += len;
                runs.push((position, Vec::new()));
            }
        }
    }
    runs
}

/// The rules that were found, in the order in which they were.
fn found(matcher: &Matcher, pieces: &[Piece]) -> (Vec<usize>, Scan) {
    let mut scan = Scan::default();
    let mut found = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Data(data) => matcher.scan(&mut scan, data, |rule| found.push(rule)),
            Piece::Missing(len) => scan.skip(*len),
        }
    }
    (found, scan)
}

/// As few letters as there can be, so that much is found and overlaps.
fn text(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"abAB.\0\xff"[..]), len)
}

fn content() -> impl Strategy<Value = Content> {
    let depth = prop::option::weighted(0.3, 0..30u32);
    let offset = prop_oneof![3 => Just(0), 1 => 0..20u32];
    (text(1..5), any::<bool>(), offset, depth).prop_map(|(bytes, nocase, offset, depth)| {
        let depth = depth.map(|depth| depth + bytes.len() as u32);
        Content { bytes, nocase, offset, depth }
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let number = any::<u32>();
    let numbers = (number, number, 1..=255u8);
    let direction = prop::sample::select(vec![None, Some(Direction::ToServer), Some(Direction::ToClient)]);
    let texts = (r"\PC{0,9}", prop::option::of("[a-z-]{1,9}"));
    let operand = r"(any|!?(10\.1\.2\.3/[0-9]|\[10\.0\.0\.0/8,!10\.1\.0\.0/16\]|\[::1,fd00::/8\]))";
    let port = r"(any|!?([1-9][0-9]|:[1-9]|[1-9]:|\[80,!81,443:\]))";
    let header = (operand, port, operand, port);
    let parts = (prop::sample::select(&Action::ALL[..]), direction, any::<bool>());
    let contents = prop::collection::vec(content(), 1..4);
    (parts, texts, numbers, contents, header).prop_map(|(parts, texts, numbers, contents, header)| {
        let ((action, direction, established), (msg, classtype)) = (parts, texts);
        let ((sid, rev, priority), (source, sport, destination, dport)) = (numbers, header);
        let head = format!("alert tcp {source} {sport} -> {destination} {dport} (content:\"a\"; sid:1;)");
        let mut rule = match Rules::parse("f", &head) {
            Ok(rules) => rules.list()[0].clone(),
            Err(error) => panic!("{head}: {error}"),
        };
        let sid = sid.max(1);
        rule = Rule { action, msg, direction, established, contents, classtype, sid, rev, priority, ..rule };
        rule
    })
}

proptest! {
    #[test]
    fn any_split_finds_what_the_whole_has(
        rules in prop::collection::vec(rule(), 1..12),
        stream in prop::collection::vec(
            prop_oneof![9 => text(0..12).prop_map(Piece::Data), 1 => (1..9u64).prop_map(Piece::Missing)], 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let matcher = Matcher::new(&rules).unwrap();
        let (told, scan) = found(&matcher, &stream);
        let compact = Matcher::within(&rules, 0).unwrap();
        prop_assert_eq!(&found(&compact, &stream).0, &told, "compact tables");
        let runs = runs(&stream);
        let expected: Vec<_> = (0..rules.len())
            .filter(|rule| rules[*rule].contents.iter().all(|content| occurs(content, &runs)))
            .collect();
        let mut sorted = told.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, expected);
        let bytes: usize = runs.iter().map(|(_, bytes)| bytes.len()).sum();
        prop_assert_eq!(scan.scanned(), bytes as u64);

        // The same stream, cut elsewhere.
        let mut again = Vec::new();
        for (number, (start, bytes)) in runs.iter().enumerate() {
            let end_before = number.checked_sub(1).map_or(0, |before| runs[before].0 + runs[before].1.len() as u64);
            again.extend((*start > end_before).then(|| Piece::Missing(start - end_before)));
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            again.extend(at.windows(2).map(|cut| Piece::Data(bytes[cut[0]..cut[1]].to_vec())));
        }
        let (other, other_scan) = found(&matcher, &again);
        prop_assert_eq!(other, told, "in the same order, too");
        prop_assert_eq!((other_scan.scanned(), other_scan.position()), (scan.scanned(), scan.position()));
    }

    #[test]
    fn rules_read_as_they_are_written(rules in prop::collection::vec(rule(), 0..6)) {
        let mut rules = rules;
        for (sid, rule) in rules.iter_mut().enumerate() {
            rule.sid = sid as u32 + 1;
        }
        let text: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
        let again = Rules::parse("f", &text).unwrap();
        prop_assert_eq!(again.list(), &rules[..], "{}", text);
    }
}

#[test]
fn rules_are_shared_not_copied() {
    let text: String =
        (1..=100).map(|sid| format!("alert tcp 10.0.0.0/8 any -> any any (content:\"{sid}\"; sid:{sid};)\n")).collect();
    let rules = Rules::parse("f", &text).unwrap();
    assert!(rules.list().windows(2).all(|pair| Arc::ptr_eq(&pair[0].source, &pair[1].source)));
}
