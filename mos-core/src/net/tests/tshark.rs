//! What `tshark` says of the frames that are made here. Without it the test says so.

use std::process::Command;

use super::world::*;
use crate::io::CaptureWriter;
use crate::packet::LinkType;
use crate::time::Timestamp;

/// Every message there is, as it goes over a wire.
fn frames() -> Vec<Vec<u8>> {
    let mut world = World::routed(1400);
    for (a, b) in [("10.0.0.2", "10.0.1."), ("2001:db8::2", "2001:db8:1::")] {
        let far = format!("{b}2");
        // Answered, expired, too long, no route, nobody there.
        world.send(0, &echo_request(a, &far, 64, 56));
        world.send(0, &echo_request(a, &far, 1, 56));
        world.send(0, &echo_request(a, &far, 64, 1450));
        let nowhere = if ip(a).is_ipv4() { "203.0.113.1" } else { "2001:db8:9::1" };
        world.send(0, &echo_request(a, nowhere, 64, 0));
        world.send(0, &echo_request(a, &format!("{b}99"), 64, 3));
    }
    let mut request = echo_request("10.0.0.2", "10.0.1.2", 64, 1450);
    request[6] = 0;
    reseal(&mut request, 0);
    world.send(0, &request);
    world.wait(core::time::Duration::from_secs(100));
    world.seen.into_iter().map(|(_, frame)| frame).collect()
}

#[test]
fn tshark_finds_nothing_wrong() {
    const FIELDS: [&str; 5] =
        ["_ws.malformed", "ip.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status", "frame.protocols"];
    let frames = frames();
    assert!(frames.len() > 40);
    let path = std::env::temp_dir().join(format!("mos-net-{}.pcap", std::process::id()));
    let mut writer = CaptureWriter::create(&path, LinkType::Ethernet).unwrap();
    for frame in &frames {
        writer.write(Timestamp::ZERO, frame, frame.len() as u32).unwrap();
    }
    writer.finish().unwrap();
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(&path).args(["-o", "ip.check_checksum:TRUE", "-T", "fields", "-E", "occurrence=f"]);
    command.args(FIELDS.iter().flat_map(|field| ["-e", field]));
    let output = command.output();
    std::fs::remove_file(&path).unwrap();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: frames of ARP, ICMP and neighbour discovery are not read by tshark: {error}");
            return;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), frames.len());
    for (line, frame) in text.lines().zip(&frames) {
        let fields: Vec<_> = line.split('\t').collect();
        assert_eq!(fields[0], "", "malformed: {frame:02x?}");
        // Good, not there, or (a first fragment's) not to be told.
        assert!(fields[1..4].iter().all(|status| ["1", "", "2"].contains(status)), "{line}: {frame:02x?}");
    }
}
