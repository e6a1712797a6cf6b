//! The detection over captures, and the search against a slow and obvious one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use mos_core::wire::TcpFlags;
use serde_json::Value;

use super::*;
use crate::testing::{self, Paper, Wire};

mod captures;
mod language;
mod search;
mod splits;

fn run(rules: Rules, path: &Path, burst: usize) -> (Ids, String) {
    let paper = Paper::default();
    let ids = Ids::new(rules, paper.output()).unwrap();
    let mut core = testing::core();
    core.open(ids.monitor()).unwrap();
    testing::replay(&mut core, path, burst);
    ids.finish().unwrap();
    assert_eq!(core.panics(), 0);
    (ids, paper.text())
}

fn sample() -> Rules {
    Rules::read(&testing::file("ids/ids.rules")).unwrap()
}

/// Who was told of what, without when.
fn facts(text: &str) -> BTreeSet<(String, u64, u64)> {
    text.lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let number = |value: &Value| value.as_u64().unwrap();
            let (flow, sid) = (number(&record["flow_id"]), number(&record["alert"]["signature_id"]));
            (record["direction"].to_string(), flow, sid)
        })
        .collect()
}

#[test]
fn alerts_are_as_expected() {
    let path = testing::file("traces/tiny.pcap");
    let (ids, text) = run(sample(), &path, 64);
    testing::check_golden("ids/expected.jsonl", &text);
    assert_eq!(ids.alerts(), text.lines().count() as u64);
    assert_eq!(facts(&text).len(), text.lines().count(), "each rule once for each direction of a flow");
    for burst in [1, 5] {
        let (again, other) = run(sample(), &path, burst);
        assert_eq!(facts(&other), facts(&text), "bursts of {burst}");
        assert_eq!(again.scanned(), ids.scanned(), "bursts of {burst}");
    }
}

#[test]
fn several_cores_find_what_one_finds() {
    let said = |cores| {
        let paper = Paper::default();
        let ids = Ids::new(sample(), paper.output()).unwrap();
        testing::replay_on(cores, |core, _| {
            core.open(ids.monitor()).unwrap();
        });
        (facts(&paper.text()), ids.scanned(), ids.alerts())
    };
    assert_eq!(said(3), said(1));
}

#[test]
fn every_capture_is_taken_and_every_byte_is_scanned_once() {
    for path in testing::traces() {
        let rules = format!("{}\nalert tcp any any -> any any (content:\"HTTP\"; sid:9;)", sample());
        let (ids, text) = run(Rules::parse("f", &rules).unwrap(), &path, 64);
        assert_eq!(facts(&text).len(), text.lines().count(), "{}", path.display());
        if !path.ends_with("real/bulk_reorder.pcap") {
            continue;
        }
        let truth = std::fs::read_to_string(path.with_extension("truth.jsonl")).unwrap();
        let truth: Vec<Value> = truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let sent = |name: &str| truth.iter().map(|flow| flow[name].as_u64().expect("it is known")).sum::<u64>();
        assert_eq!(ids.scanned(), [sent("s2c_len"), sent("c2s_len")]);
    }
}

/// What is said about a connection on which the client sends `pieces` at these offsets.
fn talk(rules: &str, pieces: &[(u32, &[u8])], burst: usize) -> Vec<Value> {
    let ends: [SocketAddr; 2] = ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
    let back = [ends[1], ends[0]];
    let mut wire = Wire::new();
    wire.send(ends, TcpFlags::SYN, [99, 0], b"");
    wire.send(back, TcpFlags::SYN | TcpFlags::ACK, [499, 100], b"");
    wire.send(ends, TcpFlags::ACK, [100, 500], b"");
    let mut end = 0;
    for (offset, bytes) in pieces {
        wire.send(ends, TcpFlags::ACK, [100 + offset, 500], bytes);
        end = end.max(offset + bytes.len() as u32);
    }
    wire.send(back, TcpFlags::ACK, [500, 100 + end], b"");
    let paper = Paper::default();
    let ids = Ids::new(Rules::parse("f", rules).unwrap(), paper.output()).unwrap();
    let mut core = testing::core();
    core.open(ids.monitor()).unwrap();
    testing::feed(&mut core, &mut wire.frames, burst);
    core.shutdown();
    paper.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_match_lies_across_segments_in_whatever_order() {
    let rule = "drop tcp 10.0.0.1 1000 -> any 80 (msg:\"m\"; flow:established; content:\"abcdef\"; sid:7; rev:3;)";
    for burst in [1, 2, 64] {
        let alerts = talk(rule, &[(0, b"xab"), (5, b"efabcdef"), (3, b"cd")], burst);
        let [alert] = &alerts[..] else { panic!("{alerts:?}") };
        let expected =
            r#"{"action":"allowed","gid":1,"signature_id":7,"rev":3,"signature":"m","category":"","severity":3}"#;
        assert_eq!(alert["alert"], serde_json::from_str::<Value>(expected).unwrap());
        assert_eq!((&alert["src_ip"], &alert["dest_port"]), (&"10.0.0.1".into(), &80.into()));
        assert_eq!((&alert["direction"], &alert["proto"]), (&"to_server".into(), &"TCP".into()));
    }
}

#[test]
fn nothing_is_found_across_a_gap() {
    let rule = "alert tcp any any -> any any (content:\"abcd\"; sid:7;)";
    assert_eq!(talk(rule, &[(0, b"ab"), (3, b"cd")], 64).len(), 0);
    assert_eq!(talk(rule, &[(0, b"ab"), (3, b"abcd")], 64).len(), 1);
    let far = "alert tcp any any -> any any (content:\"abcd\"; offset:3; depth:4; sid:7;)";
    assert_eq!(talk(far, &[(0, b"ab"), (3, b"abcd")], 64).len(), 1, "missing bytes count for offsets");
}

#[test]
fn rules_are_about_whom_they_say() {
    let matches = |header: &str, options: &str| {
        let rule = format!("alert tcp {header} ({options} content:\"abc\"; sid:1;)");
        !talk(&rule, &[(0, b"abc")], 64).is_empty()
    };
    assert!(matches("any any -> any any", ""));
    assert!(matches("[10.0.0.0/8,!10.1.0.0/16] 1000 -> !10.0.0.1 [:79,80]", "flow:from_client,established;"));
    assert!(!matches("10.0.0.2 any -> any any", ""));
    assert!(!matches("any any -> any !80", ""));
    assert!(!matches("any any -> any 80", "flow:to_client;"));
    assert!(!matches("::/0 any -> any any", ""));
}

#[test]
fn an_established_rule_waits_for_the_handshake() {
    let ends: [SocketAddr; 2] = ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
    let back = [ends[1], ends[0]];
    let said = |frames: usize, burst: usize| {
        let mut wire = Wire::new();
        // TCP Fast Open: the server takes the data, and acknowledges it before the handshake is over.
        wire.send(ends, TcpFlags::SYN, [99, 0], b"abc");
        wire.send(back, TcpFlags::SYN | TcpFlags::ACK, [499, 103], b"");
        if frames > 2 {
            wire.send(ends, TcpFlags::ACK, [103, 500], b"");
        }
        let paper = Paper::default();
        let rule = "alert tcp any any -> any any (flow:established; content:\"abc\"; sid:1;)";
        let ids = Ids::new(Rules::parse("f", rule).unwrap(), paper.output()).unwrap();
        let mut core = testing::core();
        core.open(ids.monitor()).unwrap();
        testing::feed(&mut core, &mut wire.frames, burst);
        core.shutdown();
        paper.text().lines().count()
    };
    for burst in [1, 64] {
        assert_eq!((said(2, burst), said(3, burst)), (0, 1), "bursts of {burst}");
    }
}
