//! The accounts of captures, and of flows that cheat.

use std::net::SocketAddr;
use std::path::Path;

use mos_core::wire::TcpFlags;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::flowlog::FlowLog;
use crate::testing::{self, Paper, Wire};

const ACK: u8 = TcpFlags::ACK;
const SYN: u8 = TcpFlags::SYN;

fn run(subscribers: Subscribers, format: Format, path: &Path, burst: usize) -> String {
    let paper = Paper::default();
    let accounting = Accounting::new(subscribers, format, paper.output());
    let mut core = testing::core();
    core.open(accounting.monitor()).unwrap();
    testing::replay(&mut core, path, burst);
    accounting.finish().unwrap();
    assert_eq!(core.panics(), 0);
    paper.text()
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn accounts_are_as_expected() {
    let path = testing::file("traces/tiny.pcap");
    for burst in [1, 64] {
        testing::check_golden("accounting/expected.txt", &run(Subscribers::clients(), Format::Table, &path, burst));
        let subscribers = Subscribers::read(&testing::file("accounting/accounting.conf")).unwrap();
        testing::check_golden("accounting/expected.jsonl", &run(subscribers, Format::Json, &path, burst));
    }
}

#[test]
fn every_byte_of_every_stream_is_charged_once() {
    let path = testing::file("traces/tiny.pcap");
    let paper = Paper::default();
    // A test holds the flow log to what the hosts know they sent.
    let log = FlowLog::new(Format::Json, false, paper.output());
    let mut core = testing::core();
    core.open(log.monitor()).unwrap();
    testing::replay(&mut core, &path, 64);
    log.finish().unwrap();
    let charged = run(Subscribers::clients(), Format::Json, &path, 64);
    for (name, sent) in [("up", "bytes_toserver"), ("down", "bytes_toclient")] {
        let delivered: u64 = json(&paper.text()).iter().filter_map(|flow| flow["stream"][sent].as_u64()).sum();
        let charged: u64 = json(&charged).iter().filter_map(|record| record[name]["charged"].as_u64()).sum();
        assert!(delivered > 100_000);
        assert_eq!(charged, delivered, "{name}");
    }
}

#[test]
fn several_cores_account_as_one() {
    let records = |cores| {
        let paper = Paper::default();
        let accounting = Accounting::new(Subscribers::clients(), Format::Json, paper.output());
        testing::replay_on(cores, |core, _| {
            core.open(accounting.monitor()).unwrap();
        });
        accounting.finish().unwrap();
        paper.text()
    };
    assert_eq!(records(3), records(1));
}

#[test]
fn every_capture_is_taken() {
    for path in testing::traces() {
        let text = run(Subscribers::clients(), Format::Json, &path, 64);
        if path.parent().is_some_and(|folder| folder.ends_with("real")) {
            assert!(!text.contains("\"alert\""), "honest hosts in {}: {text}", path.display());
        }
        for record in json(&text).iter().filter(|record| record["event_type"] == "accounting") {
            for way in ["up", "down"] {
                let number = |name: &str| record[way][name].as_u64().unwrap();
                assert!(number("wire_bytes") >= number("payload") || number("packets") > 0, "{record}");
                assert_eq!(number("charged"), number("payload") + number("retransmitted_charged"), "{record}");
            }
        }
    }
}

/// A client that sends 0123456789 and then repeats `(offset, bytes)` one after the other, and a server that takes it.
fn repeat(pieces: &[(u32, &[u8])], burst: usize) -> Vec<Value> {
    let ends: [SocketAddr; 2] = ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
    let back = [ends[1], ends[0]];
    let mut wire = Wire::new();
    wire.send(ends, SYN, [99, 0], b"");
    wire.send(back, SYN | ACK, [499, 100], b"");
    wire.send(ends, ACK, [100, 500], b"");
    wire.send(ends, ACK, [100, 500], b"0123456789");
    wire.send(back, ACK, [500, 110], b"answer");
    for (offset, bytes) in pieces {
        wire.send(ends, ACK, [100 + offset, 506], bytes);
    }
    wire.send(back, ACK, [500, 110], b"answer");
    let end = pieces.iter().map(|(offset, bytes)| offset + bytes.len() as u32).fold(10, u32::max);
    wire.send(back, ACK, [506, 100 + end], b"");
    wire.send(ends, TcpFlags::RST, [100 + end, 0], b"");
    let paper = Paper::default();
    let accounting = Accounting::new(Subscribers::clients(), Format::Json, paper.output());
    let mut core = testing::core();
    core.open(accounting.monitor()).unwrap();
    testing::feed(&mut core, &mut wire.frames, burst);
    core.shutdown();
    accounting.finish().unwrap();
    json(&paper.text())
}

#[test]
fn honest_retransmissions_are_free() {
    let records = repeat(&[(0, b"01234"), (5, b"56789")], 64);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&record["up"]["charged"], &record["up"]["retransmitted_free"]), (&10.into(), &10.into()));
    assert_eq!((&record["down"]["charged"], &record["down"]["retransmitted_free"]), (&6.into(), &6.into()));
}

#[test]
fn who_tunnels_in_retransmissions_pays_from_then_on() {
    for burst in [1, 3, 64] {
        // The last one is honest, but its flow is not any more.
        let records = repeat(&[(0, b"012"), (2, b"23xy67"), (4, b"zzz"), (0, b"0123456789")], burst);
        let [alert, record] = &records[..] else { panic!("{records:?}") };
        assert_eq!((&alert["event_type"], &alert["direction"]), (&"alert".into(), &"to_server".into()));
        assert_eq!((&alert["src_ip"], &alert["dest_port"]), (&"10.0.0.1".into(), &80.into()));
        assert_eq!(alert["alert"]["signature"], SIGNATURE);
        let part = &alert["accounting"];
        assert_eq!(
            (&part["conflicts"], &part["first_offset"], &part["first_bytes"]),
            (&1.into(), &4.into(), &2.into())
        );
        let up = &record["up"];
        assert_eq!((&up["payload"], &up["retransmitted_free"]), (&10.into(), &3.into()));
        assert_eq!((&up["retransmitted_charged"], &up["charged"]), (&(6 + 3 + 10).into(), &29.into()));
        // The answer is repeated by an accomplice.
        assert_eq!((&record["down"]["charged"], &record["down"]["retransmitted_free"]), (&12.into(), &0.into()));
        assert_eq!((&record["conflicts"]["flows"], &record["conflicts"]["spans"]), (&1.into(), &2.into()));
    }
}

#[test]
fn what_waits_behind_a_hole_is_compared_too() {
    for burst in [1, 64] {
        let records = repeat(&[(12, b"abcdef"), (12, b"abXYef"), (10, b"..")], burst);
        let [alert, record] = &records[..] else { panic!("{records:?}") };
        assert_eq!(
            (&alert["accounting"]["first_offset"], &alert["accounting"]["first_bytes"]),
            (&14.into(), &2.into())
        );
        assert_eq!((&record["up"]["payload"], &record["up"]["retransmitted_charged"]), (&18.into(), &6.into()));
        assert_eq!(record["up"]["retransmitted_free"], 0);
    }
}

#[test]
fn a_keep_alive_is_no_tunnel() {
    let records = repeat(&[(9, b"\0"), (9, b"\0")], 64);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&record["up"]["charged"], &record["up"]["retransmitted_free"]), (&10.into(), &2.into()));
    assert_eq!((&record["conflicts"]["flows"], &record["conflicts"]["spans"]), (&0.into(), &2.into()));
}

proptest! {
    #[test]
    fn every_repeated_byte_is_free_or_charged(
        pieces in prop::collection::vec((0..9u32, 1..10usize, any::<bool>()), 0..12),
        burst in 1..64usize,
    ) {
        let made: Vec<(u32, Vec<u8>, bool)> = pieces
            .into_iter()
            .map(|(offset, len, honest)| {
                let len = len.min(10 - offset as usize);
                // A single other byte at the end would be a keep-alive.
                let honest = honest || offset == 9;
                let bytes = if honest { &b"0123456789"[offset as usize..][..len] } else { &b"xxxxxxxxxx"[..len] };
                (offset, bytes.to_vec(), honest)
            })
            .collect();
        let pieces: Vec<_> = made.iter().map(|(offset, bytes, _)| (*offset, &bytes[..])).collect();
        let records = repeat(&pieces, burst);
        let len = |pieces: &[(u32, Vec<u8>, bool)]| pieces.iter().map(|(_, bytes, _)| bytes.len() as u64).sum::<u64>();
        let honest = made.iter().position(|(.., honest)| !honest).unwrap_or(made.len());
        let record = records.last().unwrap();
        prop_assert_eq!(record["up"]["retransmitted_free"].as_u64(), Some(len(&made[..honest])));
        prop_assert_eq!(record["up"]["retransmitted_charged"].as_u64(), Some(len(&made[honest..])));
        prop_assert_eq!(records.len(), 1 + usize::from(honest < made.len()));
    }
}
