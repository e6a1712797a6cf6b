//! The other opinion: what `tshark` says of frames, and what it is to say.

use std::path::Path;
use std::process::Command;

use mos_core::packet::LinkType;
use mos_core::wire::{TcpFlags, TcpOptions};

use super::Subject;

/// What is asked for, in the order of [`expected`].
pub(super) const FIELDS: [&str; 20] = [
    "ip.checksum.status",
    "tcp.checksum.status",
    "_ws.malformed",
    "frame.len",
    "ip.len",
    "ipv6.plen",
    "ip.hdr_len",
    "tcp.hdr_len",
    "tcp.len",
    "tcp.payload",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.window_size_value",
    "ip.src",
    "ipv6.src",
    "ip.dst",
    "ipv6.dst",
    "tcp.options.sack_re",
];

/// What tshark is to say about the frame.
pub(super) fn expected(subject: &Subject) -> Vec<String> {
    let (packet, frame) = (subject.packet(), &subject.bytes);
    let is_v4 = packet.ip_version == 4;
    let header = packet.network_header(frame);
    let ip_len = packet.payload_range().end - usize::from(packet.network);
    let only = |condition: bool, text: String| if condition { text } else { String::new() };
    let link_len = if subject.link == LinkType::Ethernet { 0 } else { 14 - i64::from(packet.network) };
    let hex: String = subject.payload.iter().map(|byte| format!("{byte:02x}")).collect();
    // tshark lists the blocks of every SACK option, we know those of the last.
    let last_sack = TcpOptions::parse(&subject.options).sack.last().map(|block| block.1);
    vec![
        only(is_v4, "1".into()),
        "1".into(),
        String::new(),
        (subject.bytes.len() as i64 + link_len).to_string(),
        only(is_v4, ip_len.to_string()),
        only(!is_v4, (ip_len.saturating_sub(40)).to_string()),
        only(is_v4, header.len().to_string()),
        packet.transport_header(frame).len().to_string(),
        subject.payload.len().to_string(),
        // To tshark the payload of a reset is its cause.
        only(packet.tcp_flags & TcpFlags::RST == 0, hex),
        packet.src_port.to_string(),
        packet.dst_port.to_string(),
        packet.seq.to_string(),
        packet.ack.to_string(),
        packet.window.to_string(),
        only(is_v4, packet.source(frame).to_string()),
        only(!is_v4, packet.source(frame).to_string()),
        only(is_v4, packet.destination(frame).to_string()),
        only(!is_v4, packet.destination(frame).to_string()),
        last_sack.map(|edge| edge.to_string()).unwrap_or_default(),
    ]
}

/// What tshark says of each frame. `None`, loudly, if it is not there.
pub(super) fn dissect(capture: &Path) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(capture).args(["-T", "fields", "-E", "occurrence=l"]);
    // Random ports and payload: whatever they look like, it is data.
    command.args(["-d", "tcp.port==0-65535,data"]);
    for preference in [
        "ip.check_checksum:TRUE",
        "tcp.check_checksum:TRUE",
        "tcp.desegment_tcp_streams:FALSE",
        "tcp.analyze_sequence_numbers:FALSE",
        "tcp.try_heuristic_first:FALSE",
    ] {
        command.args(["-o", preference]);
    }
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: edited frames are not read by tshark: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}
