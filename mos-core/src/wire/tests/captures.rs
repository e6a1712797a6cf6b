//! The decoder against captured frames. The captures lie outside the project: `MOS_TRACES` names their folder, otherwise
//! it is looked for next to the workspace. Without it these tests say so and pass.

use std::fs;
use std::path::{Path, PathBuf};

use crate::packet::LinkType;
use crate::wire::*;

/// A frame of a capture: its bytes and its length on the wire.
pub(in crate::wire) type Frame = (Vec<u8>, u32);

/// The frames of a capture, and its LINKTYPE. `None`, loudly, if the folder is not there.
pub(in crate::wire) fn read(name: &str) -> Option<(u32, Vec<Frame>)> {
    let path = folder()?.join(name);
    Some(parse(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))))
}

fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let folder = std::env::var_os("MOS_TRACES").map_or_else(beside, PathBuf::from);
    if !folder.is_dir() {
        eprintln!("SKIPPED: no captures in {}; set MOS_TRACES", folder.display());
        return None;
    }
    Some(folder)
}

/// Just enough of pcap and pcapng for whole files of known origin.
fn parse(file: &[u8]) -> (u32, Vec<Frame>) {
    let is_swapped = file[0] == 0xa1;
    let word = |at: usize| {
        let bytes = *file[at..].first_chunk().unwrap();
        if is_swapped { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    let mut frames = Vec::new();
    let mut frame =
        |at: usize, captured: u32, wire: u32| frames.push((file[at..at + captured as usize].to_vec(), wire));
    if word(0) == 0x0a0d_0d0a {
        let (mut at, mut link) = (0, 0);
        while at < file.len() {
            match word(at) {
                1 => link = word(at + 8) & 0xffff,
                6 => frame(at + 28, word(at + 20), word(at + 24)),
                _ => {}
            }
            at += word(at + 4) as usize;
        }
        return (link, frames);
    }
    let mut at = 24;
    while at < file.len() {
        frame(at + 16, word(at + 8), word(at + 12));
        at += 16 + word(at + 8) as usize;
    }
    (word(20), frames)
}

/// A LINKTYPE in our words.
pub(in crate::wire) fn link_type(number: u32) -> Option<LinkType> {
    Some(match number {
        1 => LinkType::Ethernet,
        113 => LinkType::LinuxSll,
        276 => LinkType::LinuxSll2,
        12 | 14 | 101 | 228 | 229 => LinkType::RawIp,
        0 | 108 => LinkType::Null,
        _ => return None,
    })
}

/// The packets of a capture, with their frames.
fn packets(name: &str) -> Option<Vec<(Packet, Vec<u8>)>> {
    let (number, frames) = read(name)?;
    let link = link_type(number).expect("a known link type");
    Some(frames.into_iter().map(|(frame, wire_len)| (decode(&frame, wire_len, link), frame)).collect())
}

fn count(packets: &[(Packet, Vec<u8>)], kind: PacketKind) -> usize {
    packets.iter().filter(|(packet, _)| packet.kind == kind).count()
}

#[test]
fn every_capture_decodes_without_panic() {
    let Some(folder) = folder() else { return };
    let mut files = 0;
    for name in ["edge", "public", "real"] {
        for entry in fs::read_dir(folder.join(name)).unwrap() {
            let path = entry.unwrap().path();
            if !path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng") {
                continue;
            }
            files += 1;
            let (number, frames) = parse(&fs::read(&path).unwrap());
            let mut kinds: Vec<(PacketKind, usize)> = Vec::new();
            for (frame, wire_len) in &frames {
                for link in super::LINKS {
                    let packet = decode(frame, *wire_len, link);
                    assert!(packet.payload_range().end <= frame.len());
                    if Some(link) != link_type(number) {
                        continue;
                    }
                    match kinds.iter_mut().find(|(kind, _)| *kind == packet.kind) {
                        Some((_, count)) => *count += 1,
                        None => kinds.push((packet.kind, 1)),
                    }
                }
            }
            println!("{} link {number}: {} frames, {kinds:?}", path.file_name().unwrap().display(), frames.len());
        }
    }
    assert!(files > 60, "{files} captures");
}

#[test]
fn clean_captures_are_read_in_full() {
    // What INDEX.md and truth.txt say of them.
    for (name, tcp) in [
        ("edge/basic.pcap", 20),
        ("edge/ipv6.pcap", 20),
        ("edge/synflood.pcap", 1200),
        ("edge/optlen0.pcap", 10),
        ("public/PcapPlusPlus--four_ipv6_http_streams.pcap", 81),
        ("public/suricata-verify--decode-sll2-01--input.pcap", 5),
        ("public/suricata-verify--tcp-fastopen-05--tfo.pcap", 16),
        ("public/suricata-verify--bug-5881-01--input.pcap", 42),
        ("public/suricata-verify--bug-4376--syn_retransmit_with_ts.pcap", 254),
        ("public/nDPI--synscan.pcap", 2011),
        ("public/nDPI--rtsp.pcap", 568),
    ] {
        let Some(packets) = packets(name) else { return };
        assert_eq!(count(&packets, PacketKind::Tcp), tcp, "{name}");
    }
}

#[test]
fn real_traffic_has_correct_checksums() {
    let Some(packets) = packets("real/tiny.pcap") else { return };
    for (packet, frame) in packets.iter().filter(|(packet, _)| packet.kind == PacketKind::Tcp) {
        assert_eq!(checksum::tcp_ok(packet, frame), Some(true));
        assert!(packet.ip_version == 6 || checksum::ipv4_header_ok(packet.network_header(frame)));
    }
    assert!(count(&packets, PacketKind::Tcp) > 500);
}

#[test]
fn bad_checksums_are_noticed() {
    let Some(packets) = packets("edge/badsum.pcap") else { return };
    let bad = packets.iter().filter(|(packet, frame)| checksum::tcp_ok(packet, frame) == Some(false)).count();
    assert_eq!((packets.len(), bad), (11, 1));
}

#[test]
fn options_of_length_zero_do_not_hide_the_segment() {
    let Some(packets) = packets("edge/optlen0.pcap") else { return };
    let malformed = packets.iter().filter(|(packet, frame)| TcpOptions::parse(packet.tcp_options(frame)).malformed);
    assert!(malformed.count() > 0);
    assert_eq!(packets.iter().map(|(packet, _)| packet.payload_len).sum::<u32>(), 1200);
}

#[test]
fn a_data_offset_of_zero_is_malformed() {
    let Some(packets) = packets("edge/doff0.pcap") else { return };
    assert_eq!(count(&packets, PacketKind::Undecoded(Undecoded::TcpBadDataOffset)), 1);
    assert_eq!(count(&packets, PacketKind::Tcp), packets.len() - 1);
}

#[test]
fn garbage_is_malformed() {
    // Nine IP lengths beyond the wire and a TCP header beyond its packet, as an independent count has it.
    let Some(packets) = packets("public/nDPI--reasm_crash_anon.pcapng") else { return };
    assert_eq!(count(&packets, PacketKind::Undecoded(Undecoded::LengthExceedsWire)), 9);
    assert_eq!(count(&packets, PacketKind::Undecoded(Undecoded::TcpBadDataOffset)), 1);
    assert_eq!(count(&packets, PacketKind::Tcp), 199);
}

#[test]
fn d14_cut_captures_keep_their_lengths() {
    let Some(packets) = packets("edge/truncated.pcap") else { return };
    assert_eq!(count(&packets, PacketKind::Tcp), 20);
    assert_eq!(packets.iter().map(|(packet, _)| packet.payload_len).sum::<u32>(), 8200);
    assert!(packets.iter().map(|(packet, _)| packet.payload_captured).sum::<u32>() < 8200);
    assert!(packets.iter().any(|(packet, frame)| checksum::tcp_ok(packet, frame).is_none()));
}

#[test]
fn d15_vlan_tags() {
    let Some(packets) = packets("edge/vlan.pcap") else { return };
    assert_eq!(count(&packets, PacketKind::Tcp), 20);
    assert!(packets.iter().all(|(packet, _)| packet.vlan != NO_VLAN));
}

#[test]
fn frames_larger_than_any_link_allows() {
    let Some(packets) = packets("edge/gro20k.pcap") else { return };
    assert_eq!(count(&packets, PacketKind::Tcp), 18);
    assert!(packets.iter().any(|(packet, _)| packet.payload_len > 15_000));
    assert_eq!(packets.iter().map(|(packet, _)| packet.payload_captured).sum::<u32>(), 100_200);
}

#[test]
fn d15_tunnels_and_other_links_are_named() {
    let Some(packets_of_gre) = packets("public/suricata-verify--bug-5633-gre-02--gre-sample.pcap") else { return };
    assert!(packets_of_gre.iter().any(|(packet, _)| packet.tunnel() == Some(Tunnel::Gre)));
    let pppoe = packets("public/suricata-verify--bug-4810--pppoe-session-http.pcap").unwrap_or_default();
    assert_eq!(count(&pppoe, PacketKind::Undecoded(Undecoded::PppoeSession)), 30);
    let zoom = packets("public/nDPI--zoom.pcap").unwrap_or_default();
    assert!(zoom.iter().any(|(packet, _)| packet.tunnel() == Some(Tunnel::GtpU)));
}
