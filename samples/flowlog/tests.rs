//! The flow log against what the hosts of a real capture know they sent.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use serde_json::Value;

use super::{FlowLog, Format};
use crate::testing::{Paper, check_golden, file, replay_bundled};

/// The log of the capture `tiny`.
fn log(format: Format, digest: bool, burst: usize) -> String {
    let paper = Paper::default();
    let log = FlowLog::new(format, digest, paper.output());
    replay_bundled("tiny.pcap", burst, log.monitor());
    log.finish().unwrap();
    paper.text()
}

fn address(value: &Value) -> IpAddr {
    value.as_str().unwrap().parse::<IpAddr>().unwrap().to_canonical()
}

fn check(truth: &str, log: &str) {
    let records: HashMap<_, Value> = log
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let client = (address(&record["src_ip"]), record["src_port"].as_u64());
            ((client, address(&record["dest_ip"]), record["dest_port"].as_u64()), record)
        })
        .collect();
    let mut judged = 0;
    for line in truth.lines() {
        let truth: Value = serde_json::from_str(line).unwrap();
        let end = |name: &str| (address(&truth[name][0]), truth[name][1].as_u64());
        let ((server, port), client) = (end("srv"), end("cli"));
        let record = &records[&(client, server, port)];
        for (sent, got) in [("c2s", "toserver"), ("s2c", "toclient")] {
            let (len, digest) = (&truth[format!("{sent}_len")], &truth[format!("{sent}_sha")]);
            if len.as_u64().is_some_and(|len| len > 0) {
                let stream = &record["stream"];
                assert_eq!(stream[format!("bytes_{got}")], *len, "{got} in {record}");
                assert_eq!(stream[format!("sha256_{got}")], *digest, "{got} in {record}");
                assert_eq!(stream[format!("gaps_{got}")], 0, "{got} in {record}");
                judged += 1;
            }
        }
    }
    assert_eq!(judged, 34);
}

#[test]
fn the_log_is_as_expected() {
    for burst in [1, 64] {
        check_golden("flowlog/expected.txt", &log(Format::Table, false, burst));
    }
    // Within a burst flows come one after the other.
    check_golden("flowlog/expected.jsonl", &log(Format::Json, true, 64));
}

#[test]
fn every_byte_is_as_it_was_sent() {
    let truth = std::fs::read_to_string(file("traces/tiny.truth.jsonl")).unwrap();
    let whole = log(Format::Json, true, 64);
    check(&truth, &whole);
    for burst in [1, 7] {
        assert_eq!(log(Format::Json, true, burst), whole, "bursts of {burst}");
    }
}

#[test]
fn a_record_is_as_suricata_has_it() {
    let text = log(Format::Json, false, 64);
    let first = text.lines().next().unwrap();
    assert!(first.starts_with(r#"{"timestamp":"2026-"#), "{first}");
    let record: Value = serde_json::from_str(first).unwrap();
    assert_eq!((&record["event_type"], &record["proto"]), (&"flow".into(), &"TCP".into()));
    let numbers: HashSet<_> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["flow_id"].as_u64()).collect();
    assert_eq!(numbers.len(), 29);
    assert_eq!((&record["flow"]["state"], &record["flow"]["reason"]), (&"closed".into(), &"fin".into()));
    assert_eq!((&record["tcp"]["syn"], &record["tcp"]["rst"]), (&true.into(), &false.into()));
    assert!(record["stream"].get("sha256_toserver").is_none());
}

#[test]
fn the_table_is_aligned_and_sorted() {
    let text = log(Format::Table, false, 64);
    let (table, summary) = text.split_once("\n\n").unwrap();
    let widths: Vec<_> = table.lines().map(str::len).collect();
    assert_eq!(widths.len(), 30);
    assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    let starts: Vec<_> = table.lines().skip(1).map(|line| &line[..26]).collect();
    assert!(starts.is_sorted());
    assert!(summary.starts_with("29 flows, "), "{summary}");
}
