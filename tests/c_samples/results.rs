//! What the samples find out, against what is known otherwise.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use mos_core::config::{ChecksumMode, Config, Machine, MosConf, Timeouts};
use mos_core::io::{CaptureReader, Device, FrameBatch, Received};
use mos_core::wire::{PacketKind, SeqNum};
use mos_monitor::Core;
use mos_samples::flowlog::{FlowLog, Format};
use mos_samples::output::Output;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::captures::{Frame, bundled, read, write};
use crate::workshop::{Workshop, skipped, well};

const PUBLIC: [u8; 4] = [192, 0, 2, 1];
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 2));

/// Built as the Makefile has it, and shared: each test has files of its own in it.
fn workshop() -> Option<&'static Workshop> {
    static WORKSHOP: LazyLock<Option<Workshop>> = LazyLock::new(|| Workshop::new("plain", "cc", "-O2 -g"));
    WORKSHOP.as_ref()
}

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

/// The flow records of a capture, as `mos replay --format json` writes them.
fn records(capture: &Path) -> Vec<Value> {
    let paper = Paper::default();
    let log = FlowLog::new(Format::Json, false, Arc::new(Output::new(paper.clone())));
    let timeouts = Timeouts { half_open: Duration::from_secs(30), ..Timeouts::all(Duration::from_secs(3600)) };
    let mut core = Core::new(Config { checksum: ChecksumMode::Auto, timeouts, ..Config::default() });
    core.open(log.monitor()).unwrap();
    let mut reader = CaptureReader::open(capture, 0).unwrap();
    let mut batch = FrameBatch::new();
    while reader.receive(&mut batch, 64).unwrap() != Received::End || !batch.is_empty() {
        let count = batch.len();
        core.process(&mut batch.burst(0..count));
        batch.clear();
    }
    core.shutdown();
    log.finish().unwrap();
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Flows, packets and bytes of the records for which it is so.
fn totals(records: &[Value], mut is_so: impl FnMut(&str) -> bool) -> [u64; 3] {
    let chosen = records.iter().filter(|record| is_so(record["flow"]["reason"].as_str().unwrap()));
    chosen.fold([0; 3], |[flows, packets, bytes], record| {
        let both = |what: &str| {
            let way = |way: &str| record["flow"][format!("{what}_{way}")].as_u64().unwrap();
            way("toserver") + way("toclient")
        };
        [flows + 1, packets + both("pkts"), bytes + both("bytes")]
    })
}

#[test]
fn counts_are_those_of_the_flow_log() {
    let Some(workshop) = workshop() else { return };
    let edge = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let mut captures: Vec<PathBuf> = fs::read_dir(edge)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    captures.extend(["tiny", "http", "tls"].map(|name| bundled(&format!("{name}.pcap"))));
    // With connections that are open at the end, and some that never are.
    let cut = workshop.path("cut.pcap");
    write(&cut, &read(&bundled("tiny.pcap"))[..100]);
    captures.push(cut);
    let mut all = [0; 3];
    for capture in captures {
        workshop.conf_for("counted.conf", "tap.conf", &capture);
        let table = well(&mut workshop.sample("flow_counter counted.conf"));
        let line = |name: &str| -> [u64; 3] {
            let line = table.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{table}"));
            let numbers: Vec<_> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
            numbers.try_into().unwrap()
        };
        let other: Vec<[u64; 3]> = ["silent, or open at the end", "never open"].map(line).into();
        let other = [0, 1, 2].map(|column| other[0][column] + other[1][column]);
        let counted = [line("closed by both sides"), line("reset"), other];

        let records = records(&capture);
        let known = [
            totals(&records, |reason| reason == "fin"),
            totals(&records, |reason| reason == "rst"),
            totals(&records, |reason| !["fin", "rst"].contains(&reason)),
        ];
        assert_eq!(counted, known, "{}:\n{table}", capture.display());
        (0..3).for_each(|end| all[end] += counted[end][0]);
    }
    assert!(all.iter().all(|flows| *flows > 0), "some have ended in each way: {all:?}");
}

/// Everything that `make run` prints, and what README.md says about it.
#[test]
fn output_is_as_expected() {
    let Some(workshop) = workshop() else { return };
    let output = well(workshop.run("make").args(["--silent", "run"]));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/c/expected.txt");
    if std::env::var_os("MOS_BLESS").is_some() {
        fs::write(&golden, &output).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap();
    assert!(output == expected, "expected.txt differs; MOS_BLESS=1 writes it anew:\n{output}");
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the hosts say they have sent is in the files.
#[test]
fn files_have_what_was_sent() {
    let Some(workshop) = workshop() else { return };
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let shared = std::env::var_os("MOS_TRACES").map_or_else(beside, PathBuf::from).join("real");
    let mut captures = vec![(bundled("tiny.pcap"), bundled("tiny.truth.jsonl"))];
    if shared.is_dir() {
        let file = |name: &str| shared.join(name);
        captures.push((file("tiny.pcap"), file("tiny.truth.jsonl")));
        captures.push((file("http_lossy.pcap"), file("http_lossy.truth.jsonl")));
    } else {
        skipped(&format!("streams of large captures: there are none in {}; set MOS_TRACES", shared.display()));
    }
    for (capture, truth) in captures {
        workshop.conf_for("streams.conf", "tap.conf", &capture);
        let folder = workshop.make_folder("of-truth");
        let output = well(&mut workshop.sample("reassemble streams.conf of-truth"));
        let truth = fs::read_to_string(truth).unwrap();
        let mut judged = 0;
        for truth in truth.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            if truth["complete"] != true || !truth["err"].is_null() {
                continue;
            }
            let end = |name: &str| {
                let address: IpAddr = truth[name][0].as_str().unwrap().parse().unwrap();
                format!("{}.{}", address.to_canonical(), truth[name][1])
            };
            let name = format!("{}-{}", end("cli"), end("srv"));
            for (sent, way) in [("c2s", "to-server"), ("s2c", "to-client")] {
                // Ports are used again.
                let files = [format!("{name}.{way}"), format!("{name}.2.{way}"), format!("{name}.3.{way}")];
                let streams: Vec<_> = files.iter().filter_map(|file| fs::read(folder.join(file)).ok()).collect();
                let digest = truth[format!("{sent}_sha")].as_str().unwrap();
                let is_it = |stream: &Vec<u8>| {
                    truth[format!("{sent}_len")] == stream.len() && (stream.is_empty() || hex(stream) == digest)
                };
                assert!(streams.iter().any(is_it), "{}: {name}.{way}", capture.display());
                judged += 1;
            }
        }
        assert!(judged >= 34, "{judged}");
        let files = fs::read_dir(&folder).unwrap().count();
        assert_eq!(files, 2 * output.lines().filter(|line| line.contains("bytes to the server, ")).count());
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// A name that is there already gets a number.
#[test]
fn files_are_not_written_to_again() {
    let Some(workshop) = workshop() else { return };
    let folder = workshop.make_folder("again");
    well(&mut workshop.sample("reassemble tap.conf again"));
    let first = files(&folder);
    well(&mut workshop.sample("reassemble tap.conf again"));
    let both = files(&folder);
    assert_eq!(both.len(), 2 * first.len());
    for (name, bytes) in first {
        let again = name.replace(".to-", ".2.to-");
        assert!(both[&name] == bytes && both[&again] == bytes, "{name}");
    }
}

#[test]
fn what_cannot_be_written_is_told() {
    let Some(workshop) = workshop() else { return };
    let output = workshop.sample("reassemble tap.conf nowhere").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr.lines().filter(|line| line.ends_with(": No such file or directory")).count(), 29, "{stderr}");
}

#[test]
fn configuration_for_a_wire_is_fine() {
    let text = include_str!("../../samples/c/wire.conf");
    MosConf::parse("wire.conf", text, Machine::default()).unwrap_or_else(|faults| panic!("{faults}"));
}

/// Frames that are taken out of a capture leave zeros in the files, and are told of.
#[test]
fn what_is_missing_is_zeros_and_told() {
    let Some(workshop) = workshop() else { return };
    let frames = read(&bundled("tiny.pcap"));
    let from_server = |client_port: u16| {
        let frames = &frames;
        (0..frames.len()).filter(move |index| {
            let frame = &frames[*index];
            frame.is_tcp() && frame.destination().1 == client_port && frame.packet().payload_len > 0
        })
    };
    // In the middle and at the end of one stream, and all of another.
    let of_first: Vec<usize> = from_server(57760).collect();
    let out = [of_first[2], *of_first.last().unwrap(), from_server(39162).next().unwrap()];
    let first_byte = |port: u16| -> SeqNum {
        let answer = frames.iter().find(|frame| frame.is_tcp() && frame.destination().1 == port).unwrap();
        answer.packet().seq + 1
    };
    let kept = frames.iter().enumerate().filter(|(index, _)| !out.contains(index)).map(|(_, frame)| frame);
    write(&workshop.path("holes.pcap"), kept);
    workshop.conf_for("holes.conf", "tap.conf", &workshop.path("holes.pcap"));
    let [whole, holes] = ["whole", "holes"].map(|name| workshop.make_folder(name));
    well(&mut workshop.sample("reassemble tap.conf whole"));
    let output = well(&mut workshop.sample("reassemble holes.conf holes"));

    let mut expected = files(&whole);
    for index in out {
        let (packet, port) = (frames[index].packet(), frames[index].destination().1);
        let start = packet.seq.offset_from(first_byte(port)) as usize;
        let end = start + packet.payload_len as usize;
        let (name, stream) = expected
            .iter_mut()
            .find(|(name, _)| name.contains(&format!(".{port}-")) && name.ends_with(".to-client"))
            .unwrap();
        stream[start..end].fill(0);
        let name = name.strip_suffix(".to-client").unwrap();
        let note = format!("{name}: {} bytes to the client are missing, from {start} on\n", end - start);
        assert!(output.contains(&note), "{note}{output}");
    }
    assert_eq!(output.matches("are missing").count(), out.len(), "{output}");
    assert!(files(&holes) == expected);
}

/// A refused SYN is not in the output, however often it comes; all else is.
#[test]
fn what_is_refused_does_not_get_through() {
    let Some(workshop) = workshop() else { return };
    workshop.conf_for("refusing.conf", "inline.conf", &bundled("tiny.pcap"));
    let conf = String::from_utf8(workshop.read("refusing.conf")).unwrap();
    workshop.write("refusing.conf", &conf.replace("out.pcap", "refused.pcap"));
    let table = well(&mut workshop.sample("firewall refusing.conf rules"));
    // As `rules` has it.
    let is_refused = |frame: &Frame| {
        let (address, port) = frame.destination();
        let web_of_ipv6 = "fd00:9::1".parse::<IpAddr>().unwrap();
        frame.is_syn() && ((port, address.is_ipv4()) == (9000, true) || (port, address) == (80, web_of_ipv6))
    };
    let frames = read(&bundled("tiny.pcap"));
    let expected: Vec<_> = frames.iter().filter(|frame| !is_refused(frame)).map(|frame| &frame.bytes).collect();
    let went = read(&workshop.path("refused.pcap"));
    assert!(went.iter().map(|frame| &frame.bytes).eq(expected.iter().copied()), "{}", went.len());

    let dropped = frames.len() - expected.len();
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = table.lines().skip(2).map(columns).collect();
    let sum = |action: &str| -> usize {
        lines.iter().filter(|line| line[1] == action).map(|line| line[3].parse::<usize>().unwrap()).sum()
    };
    assert_eq!((sum("drop"), sum("accept")), (dropped, frames.iter().filter(|frame| frame.is_syn()).count() - dropped));
}

#[test]
fn mistakes_in_rules_are_found() {
    let Some(workshop) = workshop() else { return };
    for rule in [
        "drop any any",
        "drop any any 0",
        "drop any any 80 x",
        "reject any any 80",
        "drop 10.0.0.0/33 any 80",
        "drop x any 80",
    ] {
        workshop.write("wrong", &format!("# one\naccept any any 80\n\n{rule}\n"));
        let output = workshop.sample("firewall inline.conf wrong").output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(&format!("wrong:4: found `{rule}`")), "{rule}: {stderr}");
    }
}

/// A capture as it would be outside: the server answers to the public address. Returns what the client should see as well.
fn from_outside(frames: &[Frame], port_of: impl Fn(u16) -> u16) -> (Vec<Frame>, Vec<Frame>) {
    let mut ports = HashMap::new();
    let (mut came, mut goes) = (Vec::new(), Vec::new());
    for frame in frames {
        let is_ipv4_tcp = frame.is_tcp() && frame.packet().ip_version == 4;
        if !is_ipv4_tcp {
            came.push(frame.clone());
            // Other packets of IPv4 have no translation.
            if frame.packet().ip_version != 4 {
                goes.push(frame.clone());
            }
            continue;
        }
        let (source, destination) = (frame.source(), frame.destination());
        let is_from_client = source.0 == CLIENT;
        let inside = if is_from_client { source } else { destination };
        let next = port_of(ports.len() as u16);
        let port = *ports.entry(inside.1).or_insert(next);
        let outside = frame.readdressed(!is_from_client, (PUBLIC, port));
        // The same, with the checksums that a NAT gives it.
        let inside = frame.readdressed(!is_from_client, ([10, 9, 0, 2], inside.1));
        came.push(if is_from_client { inside.clone() } else { outside.clone() });
        goes.push(if is_from_client { outside } else { inside });
    }
    (came, goes)
}

fn nat(workshop: &Workshop, name: &str, frames: &[Frame], ports: &str) -> (Vec<Frame>, String) {
    let capture = workshop.path(&format!("{name}.pcap"));
    write(&capture, frames);
    workshop.conf_for(&format!("{name}.conf"), "inline.conf", &capture);
    let conf = String::from_utf8(workshop.read(&format!("{name}.conf"))).unwrap();
    workshop.write(&format!("{name}.conf"), &conf.replace(">out.pcap", &format!(">{name}-out.pcap")));
    let output = well(&mut workshop.sample(&format!("nat {name}.conf 192.0.2.1 10.9.0.2/32{ports}")));
    (read(&workshop.path(&format!("{name}-out.pcap"))), output)
}

#[test]
fn only_the_public_address_is_seen_outside() {
    let Some(workshop) = workshop() else { return };
    let frames = read(&bundled("tiny.pcap"));
    let (came, goes) = from_outside(&frames, |number| 2000 + number);
    let (went, output) = nat(workshop, "outside", &came, " 2000-2999");
    assert!(output.contains("\n12 connections translated, 12 of them ended, 1000 ports free\n"), "{output}");
    let goes: Vec<_> = goes.iter().map(|frame| &frame.bytes).collect();
    let went_bytes: Vec<_> = went.iter().map(|frame| &frame.bytes).collect();
    assert_eq!(went_bytes.len(), goes.len(), "{output}");
    assert!(went_bytes == goes, "{output}");
    let mut both = [0, 0];
    for frame in went.iter().filter(|frame| frame.is_tcp() && frame.packet().ip_version == 4) {
        assert!(frame.has_right_checksums());
        let is_to_client = frame.destination().0 == CLIENT;
        assert!(is_to_client || frame.source().0 == IpAddr::from(PUBLIC));
        both[usize::from(is_to_client)] += 1;
    }
    assert!(both.iter().all(|count| *count > 100), "{both:?}");
}

/// How many of something the NAT counted: the number before these words.
fn count(output: &str, words: &str) -> u64 {
    let (before, _) = output.split_once(words).unwrap_or_else(|| panic!("{words}: {output}"));
    before.rsplit([' ', '\n']).next().unwrap().parse().unwrap()
}

/// More connections than ports, but not at a time.
#[test]
fn ports_come_back() {
    let Some(workshop) = workshop() else { return };
    let mut frames = read(&bundled("tiny.pcap"));
    frames.retain(|frame| {
        let ports = [frame.source().1, frame.destination().1];
        frame.is_tcp() && frame.packet().ip_version == 4 && ports.contains(&80)
    });
    let (came, goes) = from_outside(&frames, |number| 5000 + number % 2);
    let (went, output) = nat(workshop, "again", &came, " 5000-5001");
    assert!(went.iter().map(|frame| &frame.bytes).eq(goes.iter().map(|frame| &frame.bytes)), "{output}");
    assert_eq!(count(&output, " connections translated"), 6, "{output}");
    assert_eq!(count(&output, " ports free"), 2, "{output}");
}

/// More connections at a time than ports: nothing leaves as it is.
#[test]
fn ports_run_out() {
    let Some(workshop) = workshop() else { return };
    // Nobody answers, so nothing is closed.
    let (went, output) = nat(workshop, "few", &read(&bundled("tiny.pcap")), " 5000-5002");
    let of_ipv4: Vec<_> = went.iter().filter(|frame| frame.packet().ip_version == 4).collect();
    let ports: BTreeSet<_> = of_ipv4.iter().map(|frame| frame.source().1).collect();
    assert!(of_ipv4.iter().all(|frame| frame.source().0 == IpAddr::from(PUBLIC) && frame.has_right_checksums()));
    assert_eq!(ports, BTreeSet::from([5000, 5001, 5002]), "{output}");
    assert!(count(&output, " without a port") > 0, "{output}");
    assert_eq!(count(&output, " ports free"), 3, "{output}");
}

/// The first request and answer of each connection of HTTP, as `http-log` has them.
#[test]
fn events_are_those_of_the_http_log() {
    let Some(workshop) = workshop() else { return };
    let golden = [("tiny.pcap", "expected.jsonl"), ("http.pcap", "expected-http.jsonl")];
    for (capture, expected) in golden {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/http_log");
        let expected = fs::read_to_string(folder.join(expected)).unwrap();
        let (mut flows, mut requests) = (BTreeSet::new(), BTreeMap::<_, usize>::new());
        for record in expected.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let method = record["http"]["http_method"].as_str().unwrap_or_default().to_owned();
            if flows.insert(record["flow_id"].as_u64().unwrap()) && ["GET", "CONNECT"].contains(&&*method) {
                *requests.entry(method).or_default() += 1;
            }
        }
        workshop.conf_for("events.conf", "tap.conf", &bundled(capture));
        let output = well(&mut workshop.sample("events events.conf GET CONNECT"));
        for method in ["GET", "CONNECT"] {
            let count = requests.get(method).copied().unwrap_or_default();
            assert!(output.contains(&format!("\n{method:<8} {count}\n")), "{capture}: {method} {count}\n{output}");
        }
    }
}

/// Connections with a pause of that length between two of their packets, and no others.
#[test]
fn silence_is_noticed() {
    let Some(workshop) = workshop() else { return };
    let frames = read(&bundled("tiny.pcap"));
    let mut pauses = BTreeMap::<String, Duration>::new();
    let mut last = HashMap::new();
    for frame in frames.iter().filter(|frame| frame.packet().kind == PacketKind::Tcp) {
        let mut ends = [frame.source(), frame.destination()];
        // The servers have the lower ports here.
        let is_from_client = ends[0].1 > ends[1].1;
        if !is_from_client {
            ends.swap(0, 1);
        }
        let [client, server] = ends;
        let name = format!("{}.{}-{}.{}", client.0, client.1, server.0, server.1);
        assert!(!is_from_client || frame.flow_name() == name);
        let before = last.insert(name.clone(), frame.time).unwrap_or(frame.time);
        let pause = pauses.entry(name).or_default();
        *pause = (*pause).max(frame.time.saturating_since(before));
    }
    for limit in [10, 15, 20, 40, 100, 300] {
        let output = well(&mut workshop.sample(&format!("timers tap.conf {}", f64::from(limit) / 1000.0)));
        let silent: BTreeSet<_> =
            output.lines().filter_map(|line| line.split_once(": silent")).map(|(name, _)| name.to_owned()).collect();
        // The library's clock of connections counts in milliseconds.
        let [surely, perhaps] = [limit + 2, limit - 1].map(|millis| {
            let limit = Duration::from_millis(u64::try_from(millis).unwrap());
            pauses.iter().filter(|(_, pause)| **pause >= limit).map(|(name, _)| name.clone()).collect::<BTreeSet<_>>()
        });
        assert!(surely.is_subset(&silent) && silent.is_subset(&perhaps), "{limit}: {surely:?} {perhaps:?}\n{output}");
    }
}
