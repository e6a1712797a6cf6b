//! Captures with known truth: what two real hosts say they sent, and what made captures hold. The captures lie beside the
//! project; where they do not, these tests say that they were skipped.

use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mos_core::config::{ChecksumMode, Config, Timeouts};
use mos_core::io::{CaptureReader, Device, FrameBatch, Received};
use mos_monitor::Core;
use mos_samples::flowlog::{FlowLog, Format};
use mos_samples::output::Output;
use serde_json::Value;

use crate::support::traces;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The flow records of a capture, as `mos replay --format json --digest` writes them.
fn records(capture: &Path, burst: usize, midstream: bool) -> Vec<Value> {
    let paper = Paper::default();
    let log = FlowLog::new(Format::Json, true, Arc::new(Output::new(paper.clone())));
    let brief = Duration::from_secs(30);
    let timeouts = Timeouts { established: Duration::from_secs(3600), ..Timeouts::all(brief) };
    let mut core = Core::new(Config {
        checksum: ChecksumMode::Auto,
        receive_buffer_bytes: 64 << 20,
        midstream,
        timeouts,
        ..Config::default()
    });
    core.open(log.monitor()).unwrap();
    let mut reader = CaptureReader::open(capture, 0).unwrap();
    let mut batch = FrameBatch::new();
    while reader.receive(&mut batch, 1024).unwrap() != Received::End {
        for start in (0..batch.len()).step_by(burst) {
            core.process(&mut batch.burst(start..batch.len().min(start + burst)));
        }
        batch.clear();
    }
    core.shutdown();
    log.finish().unwrap();
    assert_eq!(core.stack().reassembly_bytes(), 0);
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn address(value: &Value) -> IpAddr {
    value.as_str().unwrap().parse::<IpAddr>().unwrap().to_canonical()
}

/// Every connection that its hosts saw through to its end has a record with the very bytes of both directions.
pub(crate) fn assert_exact(name: &str, truth: &str, records: &[Value]) {
    let mut streams = HashMap::<_, Vec<&Value>>::new();
    for record in records {
        let client = (address(&record["src_ip"]), record["src_port"].as_u64());
        let server = (address(&record["dest_ip"]), record["dest_port"].as_u64());
        streams.entry((client, server)).or_default().push(&record["stream"]);
    }
    let mut judged = 0;
    for truth in truth.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if truth["complete"] != true || !truth["err"].is_null() {
            continue;
        }
        let end = |name: &str| (address(&truth[name][0]), truth[name][1].as_u64());
        let seen = streams.get(&(end("cli"), end("srv"))).map_or(&[][..], Vec::as_slice);
        for (sent, got) in [("c2s", "toserver"), ("s2c", "toclient")] {
            let (len, digest) = (&truth[format!("{sent}_len")], &truth[format!("{sent}_sha")]);
            if len.as_u64().is_some_and(|len| len > 0) {
                judged += 1;
                let exact = seen
                    .iter()
                    .any(|stream| stream[format!("bytes_{got}")] == *len && stream[format!("sha256_{got}")] == *digest);
                assert!(exact, "{name}: {got} of {}: sent {len} bytes, seen {seen:?}", truth["cli"]);
            }
        }
    }
    assert!(judged > 0, "{name}: nothing to judge");
}

#[test]
fn what_real_hosts_sent_is_delivered() {
    let Some(folder) = traces().map(|folder| folder.join("real")) else { return };
    for name in ["tiny", "http_clean", "http_lossy", "bulk_reorder"] {
        let truth = std::fs::read_to_string(folder.join(format!("{name}.truth.jsonl"))).unwrap();
        for burst in [64, 1] {
            let records = records(&folder.join(format!("{name}.pcap")), burst, false);
            assert_exact(name, &truth, &records);
        }
    }
}

/// Flows, bytes delivered to servers and clients, bytes missing there.
fn totals(records: &[Value]) -> [u64; 5] {
    let sum = |field: &str| records.iter().map(|record| record["stream"][field].as_u64().unwrap()).sum();
    let [servers, clients] = ["bytes_toserver", "bytes_toclient"].map(sum);
    let [gaps_servers, gaps_clients] = ["gaps_toserver", "gaps_toclient"].map(sum);
    [records.len() as u64, servers, clients, gaps_servers, gaps_clients]
}

#[test]
fn made_captures_give_what_they_hold() {
    let Some(folder) = traces().map(|folder| folder.join("edge")) else { return };
    let truth = std::fs::read_to_string(folder.join("truth.txt")).unwrap();
    for line in truth.lines() {
        let (name, facts) = line.split_once(": ").unwrap();
        let fact = |key: &str| -> u64 {
            let word = facts.split(' ').find_map(|word| word.strip_prefix(key)).unwrap();
            word.parse().unwrap()
        };
        let [flows, servers, clients] = ["flows=", "c2s=", "s2c="].map(fact);
        for midstream in [true, false] {
            if !midstream && ["midstream", "synlost"].contains(&name) {
                continue;
            }
            let [seen_flows, got_servers, got_clients, gaps_servers, gaps_clients] =
                totals(&records(&folder.join(format!("{name}.pcap")), 64, midstream));
            assert_eq!(seen_flows, flows, "{name}");
            // What a short snap length cut off is missing; elsewhere only what was never captured, beside the truth.
            let cut = u64::from(name == "truncated");
            let seen = (got_servers + cut * gaps_servers, got_clients + cut * gaps_clients);
            assert_eq!(seen, (servers, clients), "{name}");
        }
    }
}

#[test]
fn public_captures_give_what_their_index_says() {
    let Some(folder) = traces().map(|folder| folder.join("public")) else { return };
    // Flows, bytes to servers, to clients, and missing ones.
    let cases: [(&str, [u64; 5]); 15] = [
        // Resets and FINs with false time stamps between SYN and SYN|ACK: the flow survives.
        ("suricata-verify--bug-3286-02-linux-evasion--with_evasion_linux.pcap", [1, 338, 79, 0, 0]),
        ("suricata-verify--bug-3286-03-windows-evasion--with_evasion_windows.pcap", [1, 343, 79, 0, 0]),
        // A signed reset on an unsigned connection: the session goes on.
        ("suricata-verify--security-4710-01--input.pcap", [1, 132, 291, 0, 0]),
        ("suricata-verify--bug-7657-01--input.pcap", [24, 1626, 0, 0, 0]),
        ("suricata-verify--tcp-split-handshake-01-4whs--split-handshake-4whs.pcap", [1, 4, 0, 0, 0]),
        ("suricata-verify--tcp-split-handshake-02-5whs--split-handshake-5whs.pcap", [1, 4, 0, 0, 0]),
        ("suricata-verify--tcp-fastopen-05--tfo.pcap", [2, 6, 12, 0, 0]),
        ("suricata-verify--eve-overlap-payload-05-gap--tcp-simple-gap2.pcap", [1, 8, 0, 4, 0]),
        ("suricata-verify--eve-payload-06-tcp-data-leading-gap--tcp-leading-gap.pcap", [1, 8, 0, 4, 0]),
        ("suricata-verify--bug-6244-tcp-rst-with-data--tcp-rst-with-data.pcap", [1, 0, 17, 0, 0]),
        ("suricata-verify--tcp-rst-unacked-stream-01-raw--input.pcap", [1, 0, 17, 0, 0]),
        ("suricata-verify--tcp-rst-unacked-stream-03-gap--input.pcap", [1, 0, 13, 0, 4]),
        ("suricata-verify--bug-6887-defrag-eth-vlan-ipv4-tcp-syn--frag-eth-vlan-ip-tcp-syn.pcap", [1, 0, 0, 0, 0]),
        ("nDPI--synscan.pcap", [1994, 0, 0, 0, 0]),
        ("nDPI--WebattackRCE.pcap", [0, 0, 0, 0, 0]),
    ];
    for (name, expected) in cases {
        for burst in [64, 1] {
            assert_eq!(totals(&records(&folder.join(name), burst, false)), expected, "{name}");
        }
    }
}
