use super::*;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use proptest::prelude::*;

const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);
const ANSWER: Evidence = Evidence::Answer { replaces: true };

fn key(number: u8) -> NeighborKey {
    NeighborKey { port: 0, address: [10, 0, 0, number].into() }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn rfc_1122_2_3_2_1_a_neighbor_is_asked_once_a_second_and_three_times() {
    let mut neighbors = Neighbors::new(1, 10);
    assert_eq!(neighbors.find(key(1), at(0)), Lookup::Unknown);
    assert_eq!(neighbors.find(key(1), at(1)), Lookup::Asked);
    assert_eq!(neighbors.poll(at(999)), None);
    for second in [1, 2] {
        assert_eq!(neighbors.next_deadline(), Some(at(second * 1000)));
        assert_eq!(neighbors.poll(at(second * 1000)), Some(Due::Ask(key(1), None)));
        assert_eq!(neighbors.poll(at(second * 1000)), None);
    }
    assert_eq!(neighbors.poll(at(3000)), Some(Due::Silent(key(1))));
    assert_eq!((neighbors.len(), neighbors.next_deadline()), (0, None));
    assert_eq!(neighbors.find(key(1), at(3001)), Lookup::Unknown);
}

#[test]
fn rfc_4861_7_3_a_neighbor_is_believed_for_30_s_then_asked_directly_then_forgotten() {
    let mut neighbors = Neighbors::new(1, 10);
    let _ = neighbors.find(key(1), at(0));
    assert_eq!(neighbors.learn(key(1), A, ANSWER, at(10)), Learned::Resolved);
    assert_eq!(neighbors.find(key(1), at(30_009)), Lookup::Known(A));
    assert_eq!(neighbors.find(key(1), at(30_010)), Lookup::Stale(A));
    assert_eq!(neighbors.find(key(1), at(30_011)), Lookup::Known(A), "used while it is asked");
    assert_eq!(neighbors.poll(at(31_010)), Some(Due::Ask(key(1), Some(A))));
    assert_eq!(neighbors.learn(key(1), A, ANSWER, at(31_020)), Learned::Nothing);
    assert_eq!(neighbors.find(key(1), at(61_019)), Lookup::Known(A));
    assert_eq!(neighbors.find(key(1), at(61_020)), Lookup::Stale(A));
    assert_eq!(neighbors.poll(at(62_020)), Some(Due::Ask(key(1), Some(A))));
    assert_eq!(neighbors.poll(at(63_020)), Some(Due::Ask(key(1), Some(A))));
    assert_eq!(neighbors.poll(at(64_020)), Some(Due::Silent(key(1))));
    assert_eq!(neighbors.mac(key(1)), None);
}

#[test]
fn who_is_not_needed_is_forgotten_after_ten_minutes() {
    let mut neighbors = Neighbors::new(1, 10);
    let _ = neighbors.learn(key(1), A, Evidence::Request, at(0));
    assert_eq!(neighbors.mac(key(1)), Some(A));
    assert_eq!(neighbors.poll(at(599_999)), None);
    assert_eq!(neighbors.len(), 1);
    assert_eq!(neighbors.poll(at(600_000)), None);
    assert_eq!(neighbors.len(), 0);
}

#[test]
fn rfc_826_nobody_is_learned_who_was_not_asked_for_and_has_not_asked() {
    let mut neighbors = Neighbors::new(1, 10);
    assert_eq!(neighbors.learn(key(1), A, ANSWER, at(0)), Learned::Nothing);
    assert_eq!(neighbors.learn(key(1), A, Evidence::Overheard, at(0)), Learned::Nothing);
    assert_eq!(neighbors.len(), 0);
    // Who asks for us is used, and asked as soon as it is.
    assert_eq!(neighbors.learn(key(1), A, Evidence::Request, at(0)), Learned::Nothing);
    assert_eq!(neighbors.find(key(1), at(1)), Lookup::Stale(A));
}

#[test]
fn rfc_4861_7_2_5_another_address_counts_if_it_replaces() {
    let mut neighbors = Neighbors::new(1, 10);
    let _ = neighbors.find(key(1), at(0));
    let _ = neighbors.learn(key(1), A, ANSWER, at(0));
    assert_eq!(neighbors.learn(key(1), B, Evidence::Answer { replaces: false }, at(1)), Learned::Nothing);
    assert_eq!(neighbors.find(key(1), at(2)), Lookup::Stale(A), "doubtful now");
    assert_eq!(neighbors.learn(key(1), B, Evidence::Answer { replaces: false }, at(3)), Learned::Nothing);
    assert_eq!(neighbors.learn(key(1), B, ANSWER, at(4)), Learned::Moved(A));
    assert_eq!(neighbors.find(key(1), at(5)), Lookup::Known(B));
    assert_eq!(neighbors.learn(key(1), A, Evidence::Overheard, at(6)), Learned::Moved(B));
    assert_eq!(neighbors.find(key(1), at(7)), Lookup::Stale(A), "used, and asked about");
}

#[test]
fn a_scan_pushes_itself_out() {
    let mut neighbors = Neighbors::new(1, 4);
    for number in [1, 2] {
        let _ = neighbors.find(key(number), at(0));
        let _ = neighbors.learn(key(number), A, ANSWER, at(0));
    }
    let mut evicted = Vec::new();
    for number in 10..20 {
        assert_eq!(neighbors.find(key(number), at(u64::from(number))), Lookup::Unknown);
        evicted.extend(neighbors.take_evicted());
    }
    assert_eq!(evicted, (10..18).map(key).collect::<Vec<_>>());
    assert_eq!((neighbors.len(), neighbors.mac(key(1))), (4, Some(A)));
}

/// What is true of a neighbour, in other words: by when things happened, looked at from now.
#[derive(Clone, Copy, Debug)]
struct Fact {
    mac: Option<MacAddr>,
    fresh_until: u64,
    asked: u8,
    wake: u64,
}

#[derive(Clone, Debug, Default)]
struct Model {
    facts: BTreeMap<u8, Fact>,
    most: usize,
}

impl Model {
    fn add(&mut self, number: u8, fact: Fact) -> Option<u8> {
        let first = self.facts.iter().map(|(&number, fact)| (fact.wake, number)).min();
        let evicted = first.filter(|_| self.facts.len() >= self.most).map(|(_, number)| number);
        if let Some(evicted) = evicted {
            self.facts.remove(&evicted);
        }
        self.facts.insert(number, fact);
        evicted
    }

    fn find(&mut self, number: u8, now: u64) -> (Lookup, Option<u8>) {
        let Some(fact) = self.facts.get_mut(&number) else {
            let new = Fact { mac: None, fresh_until: 0, asked: 1, wake: now + 1000 };
            return (Lookup::Unknown, self.add(number, new));
        };
        let lookup = match fact.mac {
            None => Lookup::Asked,
            Some(mac) if fact.asked > 0 || now < fact.fresh_until => Lookup::Known(mac),
            Some(mac) => {
                (fact.asked, fact.wake) = (1, now + 1000);
                Lookup::Stale(mac)
            }
        };
        (lookup, None)
    }

    fn learn(&mut self, number: u8, mac: MacAddr, evidence: Evidence, now: u64) -> (Learned, Option<u8>) {
        let stale = Fact { mac: Some(mac), fresh_until: now, asked: 0, wake: now + 600_000 };
        let sure = Fact { fresh_until: now + 30_000, ..stale };
        let Some(fact) = self.facts.get_mut(&number) else {
            let evicted = if evidence == Evidence::Request { self.add(number, stale) } else { None };
            return (Learned::Nothing, evicted);
        };
        let was_asked = fact.asked > 0;
        let answers = was_asked && matches!(evidence, Evidence::Answer { .. });
        let yields = evidence != (Evidence::Answer { replaces: false });
        let before = fact.mac;
        let learned = match before {
            None => Learned::Resolved,
            Some(before) if before != mac && yields => Learned::Moved(before),
            Some(_) => Learned::Nothing,
        };
        match before {
            Some(before) if before != mac && !yields => {
                if !was_asked {
                    fact.fresh_until = fact.fresh_until.min(now);
                }
            }
            Some(before) if before == mac && !was_asked => fact.wake = now + 600_000,
            Some(before) if before == mac && !answers => {}
            _ => *fact = if answers { sure } else { stale },
        }
        (learned, None)
    }

    fn poll(&mut self, now: u64) -> Option<Due> {
        loop {
            let (wake, number) = self.facts.iter().map(|(&number, fact)| (fact.wake, number)).min()?;
            let fact = self.facts.get_mut(&number).filter(|_| wake <= now)?;
            match fact.asked {
                0 => {
                    self.facts.remove(&number);
                }
                3 => {
                    self.facts.remove(&number);
                    return Some(Due::Silent(key(number)));
                }
                _ => {
                    fact.asked += 1;
                    fact.wake = now + 1000;
                    return Some(Due::Ask(key(number), fact.mac));
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Find(u8),
    Learn(u8, bool, Evidence),
    Wait(u64),
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    let evidence = prop_oneof![
        any::<bool>().prop_map(|replaces| Evidence::Answer { replaces }),
        Just(Evidence::Overheard),
        Just(Evidence::Request),
    ];
    prop_oneof![
        4 => (0u8..8).prop_map(Step::Find),
        4 => (0u8..8, any::<bool>(), evidence).prop_map(|(number, is_a, evidence)| Step::Learn(number, is_a, evidence)),
        2 => prop_oneof![0u64..2000, 29_000u64..31_000, 500_000u64..700_000].prop_map(Step::Wait),
        3 => Just(Step::Poll),
    ]
}

proptest! {
    #[test]
    fn agrees_with_the_model(steps in prop::collection::vec(step(), 1..200), seed: u64) {
        let mut neighbors = Neighbors::new(seed, 5);
        let mut model = Model { most: 5, ..Model::default() };
        let mut now = 0;
        for step in steps {
            match step {
                Step::Find(number) => {
                    let (lookup, evicted) = model.find(number, now);
                    prop_assert_eq!(neighbors.find(key(number), at(now)), lookup);
                    prop_assert_eq!(neighbors.take_evicted(), evicted.map(key));
                }
                Step::Learn(number, is_a, evidence) => {
                    let mac = if is_a { A } else { B };
                    let (learned, evicted) = model.learn(number, mac, evidence, now);
                    prop_assert_eq!(neighbors.learn(key(number), mac, evidence, at(now)), learned);
                    prop_assert_eq!(neighbors.take_evicted(), evicted.map(key));
                }
                Step::Wait(millis) => now += millis,
                Step::Poll => prop_assert_eq!(neighbors.poll(at(now)), model.poll(now)),
            }
            prop_assert_eq!(neighbors.len(), model.facts.len());
            let wake = model.facts.values().map(|fact| at(fact.wake)).min();
            prop_assert_eq!(neighbors.next_deadline(), wake);
        }
    }
}
