//! Capture files in the place of interfaces: what `mos run` says of them is what `mos replay` says. No root is needed for that.

use std::path::Path;

use mos_core::io::{CaptureReader, Device, FrameBatch, Received};

use super::middlebox::{Folder, mos};

const TRACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../samples/traces");

const MONITORS: [&str; 8] = [
    "flowlog",
    "flowlog --format json --digest",
    "http-log",
    "tls-log",
    "midstat",
    "accounting",
    "ids --rules {dir}/ids.rules",
    "simple-firewall --rules {dir}/firewall.conf",
];

/// As `mos replay` has it.
fn conf(device: &str, forward: u8) -> String {
    format!(
        "mos {{\n    forward = {forward}\n    tcp_timeout = 3600\n    timeout_half_open = 30\n    timeout_closing = 30\n    \
         netdev {{\n        {device} 0x1\n    }}\n    nic_forward_table {{\n        {device} {device}\n    }}\n}}\n"
    )
}

fn folder() -> Folder {
    let folder = Folder::new();
    let samples = Path::new(TRACES).parent().unwrap();
    for (from, to) in [("ids/ids.rules", "ids.rules"), ("simple_firewall/simple_firewall.conf", "firewall.conf")] {
        folder.write(to, &std::fs::read_to_string(samples.join(from)).unwrap());
    }
    folder
}

/// All frames of a file, with their times.
fn frames(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut reader = CaptureReader::open(path, 0).unwrap();
    let (mut batch, mut frames) = (FrameBatch::new(), Vec::new());
    loop {
        batch.clear();
        let received = reader.receive(&mut batch, 64).unwrap();
        let mut all = Vec::new();
        let count = batch.len();
        let burst = batch.burst(0..count);
        all.extend(burst.frames.iter().map(|meta| (meta.timestamp.as_nanos(), burst.memory[meta.range()].to_vec())));
        frames.extend(all);
        if received == Received::End {
            return frames;
        }
    }
}

#[test]
fn every_monitor_says_of_a_capture_what_it_says_when_it_is_replayed() {
    let folder = folder();
    for trace in ["tiny", "http", "tls"] {
        for monitor in MONITORS {
            let (name, options) = monitor.split_once(' ').unwrap_or((monitor, ""));
            let file = format!("{TRACES}/{trace}.pcap");
            let device = format!("pcap:{file}>{}", folder.path("out.pcap").display());
            folder.write("mos.conf", &conf(&device, 1));
            let run =
                mos(&folder, &format!("run {monitor} -f {{dir}}/mos.conf --socket {{dir}}/sock")).output().unwrap();
            let replay = mos(&folder, &format!("replay {file} --monitor {name} {options}")).output().unwrap();
            let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
            assert!(run.status.success() && replay.status.success(), "{trace} {monitor}: {stderr}");
            assert_eq!(stderr, "", "{trace} {monitor}");
            let [run, replay] = [run, replay].map(|output| String::from_utf8(output.stdout).unwrap());
            assert!(run == replay, "{trace} {monitor}:\n{run}\n--- replayed:\n{replay}");
            assert!(!run.is_empty() || !["flowlog", "midstat"].contains(&monitor));
            // The firewall has dropped some.
            if name != "simple-firewall" {
                let (came, went) = (frames(Path::new(&file)), frames(&folder.path("out.pcap")));
                assert_eq!(came.len(), went.len(), "{trace} {monitor}");
                assert!(
                    came.iter().map(|(_, frame)| frame).eq(went.iter().map(|(_, frame)| frame)),
                    "{trace} {monitor}"
                );
            }
        }
    }
}

#[test]
fn a_tap_sends_nothing() {
    let folder = folder();
    let device = format!("pcap:{TRACES}/tiny.pcap>{}", folder.path("out.pcap").display());
    folder.write("mos.conf", &conf(&device, 0));
    let run = mos(&folder, "run flowlog -f {dir}/mos.conf --socket {dir}/sock").output().unwrap();
    assert!(run.status.success() && !run.stdout.is_empty());
    assert_eq!(frames(&folder.path("out.pcap")), []);
}

#[test]
fn a_capture_that_cannot_be_written_is_an_error() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let folder = folder();
    folder.write("mos.conf", &conf(&format!("pcap:{TRACES}/tiny.pcap>/dev/full"), 1));
    let run = mos(&folder, "run flowlog -f {dir}/mos.conf --socket {dir}/sock").output().unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("mos: ") && stderr.contains("/dev/full"), "{stderr}");
}
