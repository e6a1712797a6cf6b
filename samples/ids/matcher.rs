//! All contents of all rules, looked for at once while a stream passes by.
//!
//! There are two Aho-Corasick automata, one for contents in the case as written and one for those in any case. A stream's
//! place in them is two numbers, so whatever lies across segments is found without keeping or copying a byte. A byte costs
//! one step in each automaton that has contents: rules of one kind only cost half. Nothing is ever checked twice.
//!
//! A step is one look into a table with an entry for every state and kind of byte, 100 to 1,000 bytes for each byte of
//! contents, as long as that is not too much. Beyond, the tables are compact ones of some 15 bytes for each byte of
//! contents, and a step takes several looks.
//!
//! The automata are run without prefilters, which look for whole contents within a run of bytes and would miss those that
//! begin at its end.

use std::collections::HashMap;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, BuildError, MatchKind};

use super::rule::{Content, Rule};

/// The most bytes of tables with one entry for every state and kind of byte.
const MAX_TABLE_BYTES: usize = 64 << 20;

/// The contents of some rules, ready to be looked for.
#[derive(Debug)]
pub struct Matcher {
    searches: Searches,
    needs: Vec<Need>,
    /// What each rule needs, by the number of the rule.
    rules: Vec<Box<[u32]>>,
}

/// The searches for contents in the case as written, and for those in any case.
#[derive(Debug)]
enum Searches {
    /// As long as the tables are small enough.
    Fast([Option<Search<DFA>>; 2]),
    Compact([Option<Search<NFA>>; 2]),
}

#[derive(Debug)]
struct Search<A> {
    automaton: A,
    start: StateID,
    /// By the number of the pattern: the needs that it may fulfil.
    patterns: Vec<Vec<u32>>,
}

/// A content, once for all rules that have the same.
#[derive(Debug)]
struct Need {
    content: Content,
    /// Those that need it.
    rules: Vec<u32>,
}

/// How far the search in one direction of a flow has come.
#[derive(Debug, Default)]
pub struct Scan {
    /// Where it stands in each automaton; `None` at the start, and behind bytes that are missing.
    states: Option<[StateID; 2]>,
    position: u64,
    scanned: u64,
    /// One bit for each need that was fulfilled, once there is one.
    seen: Option<Box<[u64]>>,
}

impl Scan {
    /// Bytes that were looked at, each once.
    #[must_use]
    pub fn scanned(&self) -> u64 {
        self.scanned
    }

    /// The offset in the stream of the next byte.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// That many bytes are missing: nothing is found across them.
    pub fn skip(&mut self, missing: u64) {
        self.states = None;
        self.position = self.position.saturating_add(missing);
    }

    fn has_seen(&self, need: u32) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen[need as usize / 64] >> (need % 64) & 1 == 1)
    }
}

impl Matcher {
    /// A matcher for these rules.
    ///
    /// # Errors
    ///
    /// If their contents are too much for an automaton.
    pub fn new(rules: &[Rule]) -> Result<Self, BuildError> {
        Self::within(rules, MAX_TABLE_BYTES)
    }

    /// As [`Self::new`], with compact tables if the others would take more than so many bytes.
    pub(super) fn within(rules: &[Rule], table_bytes: usize) -> Result<Self, BuildError> {
        let mut needs: Vec<Need> = Vec::new();
        let mut need_numbers: HashMap<Content, u32> = HashMap::new();
        let mut wanted = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            let mut its_needs = Vec::new();
            for content in &rule.contents {
                let content = canonical(content);
                let need = *need_numbers.entry(content.clone()).or_insert_with(|| {
                    needs.push(Need { content, rules: Vec::new() });
                    needs.len() as u32 - 1
                });
                // Said twice within a rule, it is needed once.
                if needs[need as usize].rules.last() != Some(&(number as u32)) {
                    needs[need as usize].rules.push(number as u32);
                    its_needs.push(need);
                }
            }
            wanted.push(its_needs.into_boxed_slice());
        }
        let texts = [Texts::new(&needs, false), Texts::new(&needs, true)];
        let [exact, any_case] = &texts;
        let searches = if exact.table_bytes() + any_case.table_bytes() <= table_bytes {
            Searches::Fast([exact.fast()?, any_case.fast()?])
        } else {
            Searches::Compact([exact.compact()?, any_case.compact()?])
        };
        Ok(Self { searches, needs, rules: wanted })
    }

    /// Goes on with the next bytes of a stream. `on_rule` is told the number of each rule of which all contents have
    /// occurred now: once for each direction of a flow.
    pub fn scan(&self, scan: &mut Scan, data: &[u8], on_rule: impl FnMut(usize)) {
        match &self.searches {
            Searches::Fast(searches) => self.run(searches, scan, data, on_rule),
            Searches::Compact(searches) => self.run(searches, scan, data, on_rule),
        }
    }

    fn run<A: Automaton>(
        &self,
        searches: &[Option<Search<A>>; 2],
        scan: &mut Scan,
        data: &[u8],
        mut on_rule: impl FnMut(usize),
    ) {
        let start = scan.position;
        let mut states = scan.states.unwrap_or_else(|| searches.each_ref().map(Search::start));
        let mut found = |search: &Search<A>, state, at: usize| {
            self.note(scan, search, state, start + at as u64 + 1, &mut on_rule);
        };
        if let [Some(exact), Some(any_case)] = searches {
            let [mut exact_state, mut any_state] = states;
            for (at, byte) in data.iter().enumerate() {
                // Step by step, so that what is found first is told first.
                if exact.step(&mut exact_state, *byte) {
                    found(exact, exact_state, at);
                }
                if any_case.step(&mut any_state, *byte) {
                    found(any_case, any_state, at);
                }
            }
            states = [exact_state, any_state];
        } else {
            for (search, state) in searches.iter().zip(&mut states) {
                let Some(search) = search else { continue };
                let mut now = *state;
                for (at, byte) in data.iter().enumerate() {
                    if search.step(&mut now, *byte) {
                        found(search, now, at);
                    }
                }
                *state = now;
            }
        }
        scan.states = Some(states);
        scan.position += data.len() as u64;
        scan.scanned += data.len() as u64;
    }

    /// Some patterns end before the offset `end`.
    #[cold]
    fn note<A: Automaton>(
        &self,
        scan: &mut Scan,
        search: &Search<A>,
        state: StateID,
        end: u64,
        on_rule: &mut impl FnMut(usize),
    ) {
        for index in 0..search.automaton.match_len(state) {
            let pattern = search.automaton.match_pattern(state, index);
            for &need in &search.patterns[pattern.as_usize()] {
                let Need { content, rules } = &self.needs[need as usize];
                if scan.has_seen(need) || !content.may_end_at(end) {
                    continue;
                }
                let words = self.needs.len().div_ceil(64);
                let seen = scan.seen.get_or_insert_with(|| vec![0; words].into_boxed_slice());
                seen[need as usize / 64] |= 1 << (need % 64);
                for &rule in rules {
                    // This was the last one that was missing, so it happens once.
                    if self.rules[rule as usize].iter().all(|&need| scan.has_seen(need)) {
                        on_rule(rule as usize);
                    }
                }
            }
        }
    }
}

/// The contents of one kind, each once.
struct Texts<'a> {
    nocase: bool,
    texts: Vec<&'a [u8]>,
    patterns: Vec<Vec<u32>>,
}

impl<'a> Texts<'a> {
    fn new(needs: &'a [Need], nocase: bool) -> Self {
        let mut all = Self { nocase, texts: Vec::new(), patterns: Vec::new() };
        let mut numbers: HashMap<&[u8], usize> = HashMap::new();
        for (number, Need { content, .. }) in needs.iter().enumerate().filter(|(_, need)| need.content.nocase == nocase)
        {
            let pattern = *numbers.entry(&content.bytes).or_insert_with(|| {
                all.texts.push(&content.bytes);
                all.patterns.push(Vec::new());
                all.patterns.len() - 1
            });
            all.patterns[pattern].push(number as u32);
        }
        all
    }

    /// The most that a table with an entry for every state and kind of byte may take.
    fn table_bytes(&self) -> usize {
        let mut bytes = [false; 256];
        for byte in self.texts.iter().copied().flatten() {
            bytes[usize::from(*byte)] = true;
            bytes[usize::from(byte.to_ascii_uppercase())] |= self.nocase;
        }
        // Bytes that are alike are one kind: those that occur, and the runs between them.
        let kinds = (2 * bytes.iter().filter(|occurs| **occurs).count() + 1).min(256).next_power_of_two();
        let states = self.texts.iter().map(|text| text.len()).sum::<usize>() + 3;
        states * kinds * size_of::<StateID>()
    }

    fn fast(&self) -> Result<Option<Search<DFA>>, BuildError> {
        let mut builder = DFA::builder();
        builder.match_kind(MatchKind::Standard).ascii_case_insensitive(self.nocase).prefilter(false);
        self.search(|texts| builder.build(texts))
    }

    fn compact(&self) -> Result<Option<Search<NFA>>, BuildError> {
        let mut builder = NFA::builder();
        builder.match_kind(MatchKind::Standard).ascii_case_insensitive(self.nocase).prefilter(false);
        self.search(|texts| builder.build(texts))
    }

    /// `None` if there is nothing to look for.
    fn search<A: Automaton>(
        &self,
        build: impl FnOnce(&[&[u8]]) -> Result<A, BuildError>,
    ) -> Result<Option<Search<A>>, BuildError> {
        if self.texts.is_empty() {
            return Ok(None);
        }
        let automaton = build(&self.texts)?;
        // Both kinds can be started anywhere unless they are told otherwise.
        let start = automaton.start_state(Anchored::No).unwrap_or_default();
        Ok(Some(Search { automaton, start, patterns: self.patterns.clone() }))
    }
}

impl<A: Automaton> Search<A> {
    fn start(search: &Option<Self>) -> StateID {
        search.as_ref().map(|search| search.start).unwrap_or_default()
    }

    /// Whether any pattern ends with this byte.
    #[inline]
    fn step(&self, state: &mut StateID, byte: u8) -> bool {
        *state = self.automaton.next_state(Anchored::No, *state, byte);
        self.automaton.is_special(*state) && self.automaton.is_match(*state)
    }
}

/// The same for all spellings of a content.
fn canonical(content: &Content) -> Content {
    let mut content = content.clone();
    if content.nocase {
        content.bytes.make_ascii_lowercase();
        // Without letters there is no case: one automaton less to run, perhaps.
        content.nocase = content.bytes.iter().any(u8::is_ascii_alphabetic);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Rules;

    #[test]
    fn a_bit_set_is_there_only_once_something_was_found() {
        let rules = Rules::parse("f", "alert tcp any any -> any any (content:\"needle\"; sid:1;)").unwrap();
        let matcher = Matcher::new(rules.list()).unwrap();
        let mut scan = Scan::default();
        matcher.scan(&mut scan, &b"needl".repeat(1000), |_| panic!("nothing is there"));
        assert!(scan.seen.is_none());
        let mut found = 0;
        matcher.scan(&mut scan, b"e needle", |_| found += 1);
        assert_eq!((found, scan.seen.is_some()), (1, true));
    }
}
