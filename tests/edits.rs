//! Edited frames, judged by somebody else: random edits of built and captured frames, one after the other, and what comes
//! out is read by `tshark`, which has its own opinion on checksums, lengths and options. Without it the test says so.

mod tshark;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use mos_core::io::{CaptureReader, CaptureWriter, Device, FrameBatch, Received};
use mos_core::packet::LinkType;
use mos_core::time::Timestamp;
use mos_core::wire::{
    Checksums, FrameBuilder, Layer, Packet, PacketKind, Rewrite, SeqNum, TcpFlags, TcpOptions, TcpSegment, checksum,
    decode, overwrite, renumber, splice,
};

use crate::support::Frame;

use crate::support::dice::Dice;

/// Built frames; those of the capture come on top.
const BUILT: usize = 2000;

/// The most edits of a frame.
const MOST_EDITS: usize = 6;

/// Edited packets stay below it.
const MAX_IP_LEN: usize = 3000;

impl Dice {
    /// Fewer bytes than `most`.
    fn some_bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.below(most);
        self.fill(len)
    }

    fn seq(&mut self) -> SeqNum {
        SeqNum(self.next() as u32)
    }

    fn endpoint(&mut self, is_v6: bool) -> SocketAddr {
        let [a, b] = [self.next() as u8, self.next() as u8];
        let address: IpAddr =
            if is_v6 { [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b].into() } else { [10, 0, a, b].into() };
        SocketAddr::new(address, self.next() as u16)
    }

    /// TCP options that mean something, filled up to words.
    fn options(&mut self) -> Vec<u8> {
        let mut options = Vec::new();
        for _ in 0..self.below(4) {
            let option = match self.below(6) {
                0 => vec![2, 4, 5, 0xb4],
                1 => vec![3, 3, 7],
                2 => vec![4, 2],
                3 => [&[8, 10][..], &self.fill(8)].concat(),
                4 => {
                    let blocks = 1 + self.below(3);
                    [&[5, 2 + 8 * blocks as u8][..], &self.fill(8 * blocks)].concat()
                }
                _ => vec![1],
            };
            if options.len() + option.len() <= 40 {
                options.extend(option);
            }
        }
        options.resize(options.len().next_multiple_of(4), 1);
        options
    }
}

/// A frame being edited, and what it is expected to be.
struct Subject {
    bytes: Vec<u8>,
    link: LinkType,
    payload: Vec<u8>,
    options: Vec<u8>,
    /// Bytes of IPv4 options or IPv6 extension headers.
    ip_options: usize,
    len: usize,
}

impl Subject {
    fn new(bytes: Vec<u8>, link: LinkType) -> Self {
        let packet = decode(&bytes, bytes.len() as u32, link);
        let ip_options = packet.network_header(&bytes).len() - if packet.ip_version == 4 { 20 } else { 40 };
        let (payload, options) = (packet.payload(&bytes).to_vec(), packet.tcp_options(&bytes).to_vec());
        Self { payload, options, ip_options, len: bytes.len(), bytes, link }
    }

    fn packet(&self) -> Packet {
        decode(&self.bytes, self.bytes.len() as u32, self.link)
    }

    /// Everything that was not edited is as before, and what was is as told.
    fn check(&self) {
        let packet = self.packet();
        assert_eq!(packet.kind, PacketKind::Tcp);
        assert_eq!(self.bytes.len(), self.len);
        assert_eq!(packet.payload(&self.bytes), self.payload);
        assert_eq!(packet.tcp_options(&self.bytes), self.options);
        let fixed = if packet.ip_version == 4 { 20 } else { 40 };
        assert_eq!(packet.network_header(&self.bytes).len(), fixed + self.ip_options);
        assert_eq!(checksum::tcp_ok(&packet, &self.bytes), Some(true));
        assert!(packet.ip_version == 6 || checksum::ipv4_header_ok(packet.network_header(&self.bytes)));
    }

    /// One random edit.
    fn edit(&mut self, dice: &mut Dice) {
        let checksums = if dice.one_in(4) { Checksums::Full } else { Checksums::Incremental };
        match dice.below(6) {
            0 => self.overwrite_header(dice, checksums),
            1 => self.overwrite_payload(dice, checksums),
            2 => self.splice_payload(dice, checksums),
            3 => self.splice_options(dice, checksums),
            4 => self.rewrite(dice),
            _ => self.renumber(dice),
        }
        self.check();
    }

    /// Fields of headers that decide nothing about the rest.
    fn overwrite_header(&mut self, dice: &mut Dice, checksums: Checksums) {
        let packet = self.packet();
        let is_v4 = packet.ip_version == 4;
        let (layer, field) = match dice.below(6) {
            0 if self.link == LinkType::Ethernet => (Layer::Ethernet, 0..12),
            0 | 1 if is_v4 => (Layer::Ip, 12..20),
            2 if is_v4 => (Layer::Ip, 4..6),
            1 | 2 => (Layer::Ip, 8..40),
            3 => (Layer::Tcp, 18..20),
            4 => (Layer::Tcp, 13..16),
            _ => (Layer::Tcp, 0..12),
        };
        let from = field.start + dice.below(field.len());
        let len = 1 + dice.below(field.end - from);
        let bytes = dice.fill(len);
        overwrite(&mut self.bytes, &packet, layer, from, &bytes, checksums).unwrap();
    }

    fn overwrite_payload(&mut self, dice: &mut Dice, checksums: Checksums) {
        let from = dice.below(self.payload.len() + 1);
        let bytes = dice.some_bytes(self.payload.len() - from + 1);
        self.payload[from..from + bytes.len()].copy_from_slice(&bytes);
        let packet = self.packet();
        overwrite(&mut self.bytes, &packet, Layer::Payload, from, &bytes, checksums).unwrap();
    }

    fn splice_payload(&mut self, dice: &mut Dice, checksums: Checksums) {
        let from = dice.below(self.payload.len() + 1);
        let removed = dice.below(self.payload.len() - from + 1);
        let inserted = dice.some_bytes(60);
        self.splice(Layer::Payload, from, removed, &inserted, checksums);
        self.payload.splice(from..from + removed, inserted);
    }

    fn splice_options(&mut self, dice: &mut Dice, checksums: Checksums) {
        let is_v4 = self.packet().ip_version == 4;
        if is_v4 && dice.one_in(3) {
            // Router alert, no operation; what is there is such a list too.
            let inserted = if dice.one_in(2) { vec![0x94, 4, 0, 0] } else { vec![1; 4 * (1 + dice.below(3))] };
            let removed = if dice.one_in(2) { self.ip_options } else { 0 };
            if self.ip_options - removed + inserted.len() <= 40 {
                self.splice(Layer::Ip, 20, removed, &inserted, checksums);
                self.ip_options = self.ip_options - removed + inserted.len();
            }
            return;
        }
        let inserted = dice.options();
        let removed = if dice.one_in(2) { self.options.len() } else { 0 };
        if self.options.len() - removed + inserted.len() <= 40 {
            self.splice(Layer::Tcp, 20, removed, &inserted, checksums);
            self.options.splice(..removed, inserted);
        }
    }

    /// The frame is cut where its IP packet ends, and may be behind others.
    fn splice(&mut self, layer: Layer, from: usize, removed: usize, inserted: &[u8], checksums: Checksums) {
        let packet = self.packet();
        let start = self.len % 3;
        let mut buffer = vec![0xbb; start];
        buffer.append(&mut self.bytes);
        splice(&mut buffer, start, &packet, layer, from, removed, inserted, checksums, MAX_IP_LEN).unwrap();
        self.bytes = buffer.split_off(start);
        assert_eq!(buffer, vec![0xbb; start]);
        self.len = packet.payload_range().end - removed + inserted.len();
    }

    fn rewrite(&mut self, dice: &mut Dice) {
        let packet = self.packet();
        let mut rewrite = Rewrite::default();
        let is_v6 = packet.ip_version == 6;
        for field in 0..10 {
            if dice.one_in(2) {
                continue;
            }
            let number = dice.next();
            match field {
                0 => rewrite.src = Some(dice.endpoint(is_v6)),
                1 => rewrite.dst = Some(dice.endpoint(is_v6)),
                2 => rewrite.src_port = Some(number as u16),
                3 => rewrite.seq = Some(dice.seq()),
                4 => rewrite.ack = Some(dice.seq()),
                5 => rewrite.window = Some(number as u16),
                6 => rewrite.flags = Some(number as u8),
                7 => rewrite.hop_limit = Some(number as u8),
                8 => rewrite.dscp = Some(number as u8 & 63),
                _ if self.link == LinkType::Ethernet => rewrite.src_mac = Some([2, 0, 0, 0, 0, number as u8]),
                _ => {}
            }
        }
        rewrite.apply(&mut self.bytes, &packet).unwrap();
        let packet = self.packet();
        if let Some(dst) = rewrite.dst {
            assert_eq!((packet.destination(&self.bytes), packet.dst_port), (dst.ip(), dst.port()));
        }
        assert_eq!(packet.seq, rewrite.seq.unwrap_or(packet.seq));
    }

    fn renumber(&mut self, dice: &mut Dice) {
        let packet = self.packet();
        let (seq, ack, shift) = (dice.seq(), dice.seq(), dice.next() as u32);
        let sack = TcpOptions::parse(&self.options).sack;
        renumber(&mut self.bytes, &packet, seq, ack, |block| block.map(|edge| edge + shift));
        let after = self.packet();
        assert_eq!(after.seq, seq);
        assert_eq!(after.ack, if packet.tcp_flags & TcpFlags::ACK != 0 { ack } else { packet.ack });
        self.options = after.tcp_options(&self.bytes).to_vec();
        let renumbered = TcpOptions::parse(&self.options).sack;
        assert_eq!(renumbered.len(), sack.len());
        for (after, before) in renumbered.iter().zip(&*sack) {
            assert_eq!(*after, (before.0 + shift, before.1 + shift));
        }
    }

    /// The frame as Ethernet has it: a capture file is of one link type.
    fn into_ethernet(self) -> Vec<u8> {
        let packet = self.packet();
        if self.link == LinkType::Ethernet {
            return self.bytes;
        }
        let ether_type: [u8; 2] = if packet.ip_version == 4 { [8, 0] } else { [0x86, 0xdd] };
        [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &ether_type, &self.bytes[packet.network.into()..]].concat()
    }
}

/// A frame with anything there can be around a segment.
fn built(dice: &mut Dice) -> Subject {
    let is_v6 = dice.one_in(2);
    let (src, dst) = (dice.endpoint(is_v6), dice.endpoint(is_v6));
    let (options, payload) = (dice.options(), dice.some_bytes(300));
    let (options, payload) = (&options[..], &payload[..]);
    let flags = if dice.one_in(4) { TcpFlags::SYN } else { TcpFlags::ACK };
    let (seq, ack) = (dice.seq(), dice.seq());
    let segment = TcpSegment { seq, ack, flags, options, payload, ..TcpSegment::new(src, dst) };
    let mut builder = FrameBuilder::new().identification(dice.next() as u16);
    for _ in 0..dice.below(3) {
        builder = builder.vlan(dice.next() as u16 & 0xfff);
    }
    let mut datagram = builder.raw_ip(&segment);
    if is_v6 && dice.one_in(3) {
        // Destination options that say nothing: the pseudo header does not have them.
        datagram[6] = 60;
        datagram.splice(40..40, [6, 0, 1, 4, 0, 0, 0, 0]);
        let len = (datagram.len() - 40) as u16;
        datagram[4..6].copy_from_slice(&len.to_be_bytes());
    }
    match dice.below(4) {
        0 => Subject::new(datagram, LinkType::RawIp),
        1 => {
            let mut frame = vec![0; 14];
            frame.extend(if is_v6 { [0x86, 0xdd] } else { [8, 0] });
            frame.extend(datagram);
            Subject::new(frame, LinkType::LinuxSll)
        }
        _ => {
            let link_header = builder.ethernet(&TcpSegment::new(src, dst));
            let len = link_header.len() - if is_v6 { 60 } else { 40 };
            let mut frame = link_header[..len].to_vec();
            frame.extend(datagram);
            frame.resize(frame.len().max(60), 0);
            Subject::new(frame, LinkType::Ethernet)
        }
    }
}

/// The whole TCP segments of the capture that comes with the project.
fn captured() -> Vec<Subject> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/traces/tiny.pcap");
    let mut reader = CaptureReader::open(&path, 0).unwrap_or_else(|error| panic!("{error}"));
    let mut batch = FrameBatch::new();
    while let Ok(Received::Frames(_)) = reader.receive(&mut batch, usize::MAX) {}
    let frames = batch.frames().iter().enumerate().map(|(at, meta)| Frame {
        bytes: batch.frame(at).to_vec(),
        wire_len: meta.wire_len,
        time: meta.timestamp,
        link: meta.link,
    });
    let is_whole_tcp = |frame: &Frame| {
        let packet = decode(&frame.bytes, frame.wire_len, frame.link);
        packet.kind == PacketKind::Tcp && frame.bytes.len() == frame.wire_len as usize
    };
    frames.filter(is_whole_tcp).map(|frame| Subject::new(frame.bytes, frame.link)).collect()
}

#[test]
fn edited_frames_are_right_to_somebody_else() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut subjects: Vec<_> = (0..BUILT).map(|_| built(&mut dice)).collect();
    subjects.extend(captured());
    let path = std::env::temp_dir().join(format!("mos-edits-{}.pcap", std::process::id()));
    let mut writer = CaptureWriter::create(&path, LinkType::Ethernet).unwrap();
    let mut expected = Vec::new();
    for (index, mut subject) in subjects.into_iter().enumerate() {
        subject.check();
        for _ in 0..=dice.below(MOST_EDITS) {
            subject.edit(&mut dice);
        }
        expected.push(tshark::expected(&subject));
        let bytes = subject.into_ethernet();
        writer.write(Timestamp::from_millis(index as u64), &bytes, bytes.len() as u32).unwrap();
    }
    writer.finish().unwrap();
    let found = tshark::dissect(&path);
    std::fs::remove_file(&path).unwrap();
    let Some(found) = found else { return };
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        for (field, pair) in tshark::FIELDS.iter().zip(found.iter().zip(expected)) {
            assert_eq!(pair.0, pair.1, "{field} of frame {}", index + 1);
        }
    }
}
