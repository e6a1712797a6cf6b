//! One golden log, two front ends: programs in C that write down what they are told, against what monitors in Rust are told and
//! against what hosts have sent.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::BufWriter;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mos_core::io::{Arrival, CapturePort, CaptureWriter, Port};
use mos_core::packet::LinkType;
use mos_core::time::Timestamp;

use crate::golden::{captures, told_of};
use crate::scenario::{frame, scenarios, split};
use crate::support::traces;
use crate::truth::assert_exact;

#[path = "../mos-monitor/capi/tests/programs/library.rs"]
mod library;

const CAPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../mos-monitor/capi");

/// What a program writes; it runs in a folder of its own.
#[track_caller]
fn written(program: &Path, capture: &Path, arguments: &[&str]) -> String {
    let mut name = program.file_name().unwrap_or_default().to_owned();
    for argument in [capture.file_stem().unwrap_or_default()].into_iter().chain(arguments.iter().map(AsRef::as_ref)) {
        name.push("-");
        name.push(argument);
    }
    let folder = library::folder("in-c").join(name);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    library::output(
        Command::new(program).arg(std::path::absolute(capture).unwrap()).args(arguments).current_dir(folder),
    )
}

/// What C is told of a line of a golden log, if anything. It hears neither why an error was raised nor why a flow has ended, and a
/// packet outside any stream is at offset 0.
fn common(line: &str) -> Option<String> {
    if line.contains(" END ") {
        return None;
    }
    let mut line = line.strip_suffix(" at -").map_or_else(|| line.to_owned(), |start| format!("{start} at 0"));
    if let Some(start) = line.find(" NULL ERROR ") {
        // What follows both states is the reason, and then the packet from its flags on.
        let reason = start + line[start..].find(") ").expect("a line has states") + 1;
        let packet = line.find(" no packet").or_else(|| {
            let seq = line.find(" seq ")?;
            line[..seq].rfind(' ')
        });
        line.replace_range(reason..packet.expect("a line tells of the packet"), "");
    }
    Some(line)
}

/// Without the lines of NEW_DATA, which come at other times in other bursts.
fn without_new_data<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    lines.into_iter().filter(|line| !line.contains(" NULL NEW_DATA ")).collect()
}

/// Where two logs part, if they do.
fn parting(what: &str, expected: &[&str], written: &[&str]) -> Option<String> {
    if expected == written {
        return None;
    }
    let at = expected.iter().zip(written).position(|(a, b)| a != b).unwrap_or(expected.len().min(written.len()));
    Some(format!("{what}, line {at}: {:?}, not {:?}", written.get(at), expected.get(at)))
}

#[test]
fn programs_in_c_are_told_what_monitors_in_rust_are_told() {
    let Some(program) = library::program("golden") else { return };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut wrong = String::new();
    for path in captures() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for (midstream, ending) in [(false, ""), (true, "-on")] {
            let log = written(&program, &path, &[if midstream { "1" } else { "0" }]);
            let log: Vec<_> = log.lines().collect();
            // In the same bursts everything comes at the same place.
            let told = told_of(midstream, false, |core| {
                let mut port = CapturePort::open(&path.to_string_lossy(), None, 0).unwrap();
                while port.receive(&mut |burst| _ = core.process(burst)).is_ok_and(|arrival| arrival != Arrival::End) {}
                core.advance(port.time().unwrap_or_default());
            });
            let told: Vec<_> = told.lines.iter().filter_map(|line| common(line)).collect();
            let told: Vec<_> = told.iter().map(String::as_str).collect();
            let name = format!("{stem}{ending}");
            let mut differences = vec![parting(&name, &told, &log)];
            // The golden log itself, if it has one and that is whole.
            let text = fs::read_to_string(golden.join(format!("{name}.txt"))).unwrap_or_default();
            if !text.is_empty() && !text.contains("\n... ") {
                let lines: Vec<_> = text.lines().filter_map(common).collect();
                let expected = without_new_data(lines.iter().map(String::as_str));
                let log = without_new_data(log.iter().copied());
                differences.push(parting(&format!("{name}, golden"), &expected, &log));
            }
            for difference in differences.into_iter().flatten() {
                let _ = writeln!(wrong, "{difference}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The bytes that a program in C reads are those that were sent, whatever the length of its buffer.
#[test]
fn programs_in_c_read_what_real_hosts_sent() {
    let Some(program) = library::program("exact") else { return };
    let Some(folder) = traces().map(|folder| folder.join("real")) else { return };
    let cases = [
        ("tiny", &["1", "7", "1000", "1048576"][..]),
        ("http_clean", &["1000"]),
        ("http_lossy", &["1", "7", "1048576"]),
        ("bulk_reorder", &["1000", "1048576"]),
    ];
    for (name, lengths) in cases {
        let capture: PathBuf = folder.join(format!("{name}.pcap"));
        let truth = fs::read_to_string(folder.join(format!("{name}.truth.jsonl"))).unwrap();
        for length in lengths {
            for random in ["0", "1"] {
                let records = written(&program, &capture, &[length, random]);
                let records: Vec<_> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                assert_exact(&format!("{name}, {length} bytes at a time, random {random}"), &truth, &records);
            }
        }
    }
}

/// An empty UDP datagram.
const TICK: [u8; 42] = [
    0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0, // Ethernet
    0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0x26, 0x0b, 10, 0, 0, 99, 10, 0, 0, 100, // IPv4
    0x13, 0x88, 0, 53, 0, 8, 0, 0, // UDP, without a checksum
];

/// What a scenario says to a program in C: captures, and settings.
struct Played {
    packets: CaptureWriter<BufWriter<File>>,
    ticks: CaptureWriter<BufWriter<File>>,
    settings: String,
    packet_count: usize,
    time: Timestamp,
    ends: [SocketAddr; 2],
}

impl Played {
    fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("the target folder can be written");
        let create = |name| CaptureWriter::create(folder.join(name), LinkType::Ethernet).unwrap();
        Self {
            packets: create("in.pcap"),
            ticks: create("ticks.pcap"),
            settings: String::new(),
            packet_count: 0,
            time: Timestamp::from_millis(1_000_000),
            ends: ["10.0.0.1:1234", "10.0.0.2:80"].map(|end| end.parse().unwrap()),
        }
    }

    /// A packet of nothing, half a millisecond later: the burst ends before it.
    fn tick(&mut self, after: Duration) {
        self.ticks.write(self.time + after, &TICK, TICK.len() as u32).unwrap();
    }

    fn command(&mut self, command: &str) {
        let words = split(command);
        match words[0].as_str() {
            "c" | "s" => {
                let (frame, wire_len) = frame(&words, self.ends[0], self.ends[1]);
                self.time = self.time + Duration::from_millis(1);
                self.packets.write(self.time, &frame, wire_len).unwrap();
                self.packet_count += 1;
                self.tick(Duration::from_micros(500));
            }
            "wait" => {
                self.time = self.time + Duration::from_millis(words[1].parse().unwrap());
                self.tick(Duration::ZERO);
            }
            "shutdown" => {}
            _ => self.set(&words[1], &words[2]),
        }
    }

    fn set(&mut self, what: &str, value: &str) {
        let seconds = |milliseconds: &str| milliseconds.parse::<u64>().unwrap() / 1000;
        let (what, value) = match what {
            "client" => return self.ends[0] = value.parse().unwrap(),
            "server" => return self.ends[1] = value.parse().unwrap(),
            "receive_buffer" => ("conf", format!("rmem_size={value}")),
            "midstream" | "checksum" => ("conf", format!("{what}={value}")),
            "time_wait" => ("conf", format!("tcp_tw_interval={}", seconds(value))),
            _ => (what, value.to_owned()),
        };
        let _ = writeln!(self.settings, "{} {what} {value}", self.packet_count);
    }
}

/// Every scenario, but for those that set what C cannot.
#[test]
fn scenarios_raise_their_events_in_c() {
    let Some(program) = library::program("scenario") else { return };
    let mut wrong = String::new();
    let mut played = 0;
    for (name, text) in scenarios() {
        if ["set history", "set memory"].iter().any(|setting| text.contains(setting)) {
            continue;
        }
        played += 1;
        let folder = library::folder("scenarios").join(&name);
        let mut scenario = Played::new(&folder);
        if !text.contains("set checksum") {
            scenario.set("checksum", "verify");
        }
        let commands = text.lines().filter(|line| !line.starts_with([' ', '#']) && !line.trim().is_empty());
        let mut last = "";
        for command in commands {
            scenario.command(command);
            last = command;
        }
        fs::write(folder.join("settings"), &scenario.settings).unwrap();
        drop(scenario);
        let log = library::output(Command::new(&program).current_dir(&folder));
        let expected: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| !line.starts_with("END "))
            .map(|line| match line.find(") ") {
                Some(at) if line.starts_with("NULL ERROR ") => &line[..=at],
                _ => line,
            })
            .collect();
        // The end of the captures is that of all flows, whatever the scenario says.
        let told = log.lines().take(if last == "shutdown" { usize::MAX } else { expected.len() });
        if let Some(difference) = parting(&name, &expected, &told.collect::<Vec<_>>()) {
            let _ = writeln!(wrong, "{difference}");
        }
    }
    assert!(wrong.is_empty() && played > 50, "{played} played\n{wrong}");
}
