//! The firewall over captures, and its rules against slow and obvious ones.

use std::net::{IpAddr, SocketAddr};

use mos_core::io::FrameBatch;
use mos_core::packet::Verdict;
use mos_core::wire::TcpFlags;
use proptest::prelude::*;

use super::*;
use crate::testing::{self, Paper, Wire};
use mos_core::config::Net;

const CONFIG: &str = "simple_firewall/simple_firewall.conf";

fn parse(text: &str) -> Rules {
    Rules::parse("rules", text).unwrap()
}

fn run(rules: Rules, path: &std::path::Path, burst: usize) -> (SimpleFirewall, String) {
    let paper = Paper::default();
    let firewall = SimpleFirewall::new(rules, paper.output());
    let mut core = testing::core();
    firewall.open(&mut core, 0).unwrap();
    testing::replay(&mut core, path, burst);
    firewall.finish().unwrap();
    assert_eq!(core.panics(), 0);
    (firewall, paper.text())
}

#[test]
fn tables_are_as_expected() {
    for burst in [1, 64] {
        let rules = Rules::read(&testing::file(CONFIG)).unwrap();
        let (_, text) = run(rules, &testing::file("traces/tiny.pcap"), burst);
        testing::check_golden("simple_firewall/expected.txt", &text);
    }
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let text = "ACCEPT 10.0.0.0/33 any\n\
                \n\
                ALLOW any any # no such thing\n\
                drop any\n\
                DROP any !any\n\
                DROP any any dport:80 dport:81\n\
                DROP any any sport:2000-1000\n\
                DROP any any sport:65536\n\
                DROP any any 80\n\
                default maybe\n\
                DEFAULT drop now\n\
                DEFAULT drop\n\
                DEFAULT accept\n\
                DROP any any dport:!0\n";
    let error = Rules::parse("f", text).unwrap_err();
    let places: Vec<_> = error.mistakes.iter().map(|mistake| (mistake.line, mistake.column)).collect();
    let expected =
        [(1, 17), (3, 1), (4, 9), (5, 10), (6, 23), (7, 20), (8, 20), (9, 14), (10, 9), (11, 14), (13, 1), (14, 20)];
    assert_eq!(places, expected, "{error}");
    let first = error.to_string().lines().next().unwrap().to_owned();
    assert_eq!(first, "f:1:17: found \"33\", allowed: a prefix length of 0 to 32, or a dotted mask without holes");
}

#[test]
fn there_is_a_most_of_rules() {
    let line = "DROP any any\n";
    assert!(Rules::parse("f", &line.repeat(MAX_RULES)).is_ok());
    let error = Rules::parse("f", &line.repeat(MAX_RULES + 5)).unwrap_err();
    assert_eq!((error.mistakes.len(), error.mistakes[0].line), (1, MAX_RULES + 1));
}

#[test]
fn the_samples_own_syntax_is_read() {
    let rules =
        parse("accept 0.0.0.0 143.248.129.0/24 sport:0 dport:80\nDrop 10.0.0.1/255.0.0.0 :: SPORT:any dPort:1-2");
    assert_eq!(
        rules.to_string(),
        "ACCEPT any 143.248.129.0/24 dport:80\nDROP 10.0.0.0/8 any dport:1-2\nDEFAULT ACCEPT\n"
    );
    assert!(!parse("DROP 0.0.0.0/0 any").list()[0].source.matches("::1".parse().unwrap()));
}

/// What the firewall says to the frames, one burst each, and its counts.
fn verdicts(rules: &str, frames: &mut FrameBatch) -> (Vec<Verdict>, Vec<Count>) {
    let firewall = SimpleFirewall::new(parse(rules), Paper::default().output());
    let mut core = testing::core();
    firewall.open(&mut core, 0).unwrap();
    let verdicts = (0..frames.len()).map(|at| core.process(&mut frames.burst(at..at + 1))[0]).collect();
    (verdicts, firewall.counts())
}

#[test]
fn every_syn_of_a_dropped_flow_is_dropped_and_the_flow_counted_once() {
    let [a, b]: [SocketAddr; 2] = ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
    let mut wire = Wire::new();
    for _ in 0..3 {
        wire.send([a, b], TcpFlags::SYN, [100, 0], b"");
        wire.wait(1000);
    }
    wire.send([b, a], TcpFlags::SYN, [500, 0], b"");
    wire.send([a, b], TcpFlags::SYN, [100, 0], b"");
    let (verdicts, counts) = verdicts("DROP 10.0.0.1 any\nACCEPT 10.0.0.2 any", &mut wire.frames);
    use Verdict::{Drop, Forward};
    assert_eq!(verdicts, [Drop, Drop, Drop, Forward, Drop]);
    let count = |flows, packets| Count { flows, packets };
    assert_eq!(counts, [count(1, 4), count(0, 1), count(0, 0)]);
}

#[test]
fn an_accepted_flow_is_left_alone() {
    let ends: [SocketAddr; 2] = ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
    let mut wire = Wire::new();
    wire.send(ends, TcpFlags::SYN, [100, 0], b"");
    wire.send(ends, TcpFlags::SYN, [100, 0], b"");
    let (verdicts, counts) = verdicts("ACCEPT any any", &mut wire.frames);
    assert_eq!(verdicts, [Verdict::Forward; 2]);
    assert_eq!(counts[0], Count { flows: 1, packets: 1 });
}

#[test]
fn several_cores_count_as_one() {
    let counts = |cores| {
        let rules = Rules::read(&testing::file(CONFIG)).unwrap();
        let firewall = SimpleFirewall::new(rules, Paper::default().output());
        testing::replay_on(cores, |core, number| {
            firewall.open(core, number).unwrap();
        });
        firewall.counts()
    };
    assert_eq!(counts(3), counts(1));
}

/// When tables were written, in bursts of `burst` frames: by how many flows the first rule had decided about.
fn tables(times: &[u64], burst: usize) -> Vec<String> {
    let ends: [SocketAddr; 2] = ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
    let mut wire = Wire::new();
    for (number, millis) in times.iter().enumerate() {
        wire.set(*millis);
        let client = SocketAddr::new(ends[0].ip(), 1000 + number as u16);
        wire.send([client, ends[1]], TcpFlags::SYN, [100, 0], b"");
    }
    let paper = Paper::default();
    let firewall = SimpleFirewall::new(parse("ACCEPT any any"), paper.output());
    let mut core = testing::core();
    firewall.open(&mut core, 0).unwrap();
    testing::feed(&mut core, &mut wire.frames, burst);
    let rows = paper.text();
    rows.lines().filter(|line| line.starts_with("1 ")).map(|line| line[6..].split(' ').next().unwrap().into()).collect()
}

#[test]
fn a_table_comes_each_second_whatever_is_watched() {
    for burst in [1, 2, 64] {
        // Seconds count from the first frame; several without one are one table; time that jumps back stands still.
        assert_eq!(tables(&[1500, 1999, 2499, 2500, 2700, 3600], burst), ["3", "5"], "bursts of {burst}");
        assert_eq!(tables(&[1500, 1600, 9000, 9400, 9500, 9499], burst), ["2", "4"], "bursts of {burst}");
        assert_eq!(tables(&[1500, 2500, 1000, 3499, 3500], burst), ["1", "4"], "bursts of {burst}");
    }
}

#[test]
fn cores_add_up() {
    let firewall = SimpleFirewall::new(parse("DROP 10.0.0.0/8 any"), Paper::default().output());
    for number in 0..2u8 {
        let mut core = testing::core();
        firewall.open(&mut core, number.into()).unwrap();
        let mut wire = Wire::new();
        wire.send([SocketAddr::from(([10, 0, 0, number], 9)), SocketAddr::from(([1, 1, 1, 1], 80))], 2, [7, 0], b"");
        testing::feed(&mut core, &mut wire.frames, 64);
    }
    assert_eq!(firewall.counts()[0], Count { flows: 2, packets: 2 });
}

#[test]
fn every_capture_is_taken() {
    for path in testing::traces() {
        let rules = "DROP any any dport:80\nACCEPT any any dport:1-79\nDEFAULT DROP";
        let (firewall, _) = run(parse(rules), &path, 64);
        assert!(firewall.counts().iter().all(|count| count.flows <= count.packets), "{}", path.display());
    }
}

/// Few different addresses, so that rules and packets meet.
fn some_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..4u8, 0..4u8).prop_map(|(a, b)| IpAddr::from([10, a, 0, b])),
        (0..4u16, 0..4u16).prop_map(|(a, b)| IpAddr::from([0xfd00, a, 0, 0, 0, 0, 0, b])),
        Just(IpAddr::from([0, 0, 0, 0])),
    ]
}

fn some_address() -> impl Strategy<Value = Address> {
    let net = (some_ip(), 0..=128u8).prop_map(|(ip, prefix)| Net::new(ip, prefix));
    (net, 0..3u8).prop_map(|(net, kind)| match kind {
        0 => Address::Any,
        1 => Address::In(net),
        _ => Address::NotIn(net),
    })
}

fn some_ports() -> impl Strategy<Value = Ports> {
    let port = || 0..5u16;
    prop_oneof![
        Just(Ports::ANY),
        (port(), port(), any::<bool>()).prop_map(|(a, b, negated)| Ports { first: a.min(b), last: a.max(b), negated }),
    ]
}

fn some_rule() -> impl Strategy<Value = Rule> {
    let target = prop_oneof![Just(Target::Accept), Just(Target::Drop)];
    let parts = (target, some_address(), some_address(), some_ports(), some_ports());
    parts.prop_map(|(target, source, destination, source_port, destination_port)| Rule {
        target,
        source,
        destination,
        source_port,
        destination_port,
    })
}

proptest! {
    #[test]
    fn rules_read_as_they_are_written(list in prop::collection::vec(some_rule(), 0..20), drops in any::<bool>()) {
        let rules = Rules::new(list, if drops { Target::Drop } else { Target::Accept });
        let again = Rules::parse("f", &rules.to_string()).unwrap();
        prop_assert_eq!(again.list(), rules.list());
        prop_assert_eq!(again.default_target(), rules.default_target());
    }

    #[test]
    fn the_index_finds_what_trying_all_finds(
        list in prop::collection::vec(some_rule(), 0..20),
        ends in prop::collection::vec((some_ip(), 0..5u16, some_ip(), 0..5u16), 20),
    ) {
        let rules = Rules::new(list, Target::Accept);
        for (source, sport, destination, dport) in ends {
            let (source, destination) = (SocketAddr::new(source, sport), SocketAddr::new(destination, dport));
            let slow = rules.list().iter().position(|rule| rule.matches(source, destination));
            prop_assert_eq!(rules.find(source, destination), slow);
        }
    }

    #[test]
    fn no_text_is_too_much(text in r"((ACCEPT|DROP|DEFAULT|any|!|10\.0\.0\.1|::1|/|8|dport:|sport:|-|#|\PC)[ \n]?){0,40}") {
        let _ = Rules::parse("f", &text).map_err(|error| error.to_string());
    }
}
