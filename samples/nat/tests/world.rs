//! Cores behind a fanout, and frames to send through them.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use mos_core::config::{ChecksumMode, Config};
use mos_core::io::FrameBatch;
use mos_core::packet::LinkType;
use mos_core::time::Timestamp;
use mos_core::wire::checksum::{checksum, ipv4_header_ok, pseudo_header_sum, tcp_ok};
use mos_core::wire::{Packet, PacketKind, TcpSegment, decode};
use mos_monitor::{Core, Descriptor, SeqNum};

use super::super::{Nat, NatConfig};
use crate::testing::Paper;

pub(super) fn end(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

/// An Ethernet frame around an IPv4 packet.
pub(super) fn ipv4(protocol: u8, src: Ipv4Addr, dst: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let [high, low] = ((20 + payload.len()) as u16).to_be_bytes();
    let mut header = [&[0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0], &src.octets()[..], &dst.octets()].concat();
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0], &header[..], payload].concat()
}

/// A UDP datagram with its checksum.
pub(super) fn udp(src: SocketAddrV4, dst: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    let header = [src.port(), dst.port(), len, 0].map(u16::to_be_bytes).concat();
    let mut frame = ipv4(17, *src.ip(), *dst.ip(), &[&header, payload].concat());
    let packet = decode(&frame, frame.len() as u32, LinkType::Ethernet);
    let pseudo = pseudo_header_sum(&packet, &frame).unwrap();
    let sum = checksum(&[&pseudo.to_be_bytes(), &frame[34..]].concat());
    frame[40..42].copy_from_slice(&(if sum == 0 { 0xffff } else { sum }).to_be_bytes());
    frame
}

/// An ICMP message of that type.
pub(super) fn icmp(src: Ipv4Addr, dst: Ipv4Addr, kind: u8, word: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0], &word[..], payload].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(1, src, dst, &message)
}

/// An echo (8) or its answer (0).
pub(super) fn echo(src: Ipv4Addr, dst: Ipv4Addr, kind: u8, identifier: u16) -> Vec<u8> {
    let [a, b] = identifier.to_be_bytes();
    icmp(src, dst, kind, [a, b, 0, 1], b"abc")
}

/// A TCP segment with flags.
pub(super) fn tcp(src: SocketAddrV4, dst: SocketAddrV4, flags: u8, [seq, ack]: [u32; 2], payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (SocketAddr::V4(src), SocketAddr::V4(dst));
    TcpSegment { seq: SeqNum(seq), ack: SeqNum(ack), flags, payload, ..TcpSegment::new(src, dst) }.to_ethernet()
}

pub(super) fn decoded(frame: &[u8]) -> Packet {
    decode(frame, frame.len() as u32, LinkType::Ethernet)
}

/// Both ends of a packet whose checksums are right. For an echo the identifier is both ports.
pub(super) fn ends(frame: &[u8]) -> (SocketAddrV4, SocketAddrV4) {
    let packet = decoded(frame);
    assert!(ipv4_header_ok(packet.network_header(frame)), "{frame:02x?}");
    let message = &frame[packet.transport.into()..];
    let mut ports = [packet.src_port, packet.dst_port];
    match (packet.kind, packet.protocol) {
        (PacketKind::Tcp, _) => assert_eq!(tcp_ok(&packet, frame), Some(true)),
        (_, 17) => {
            let pseudo = pseudo_header_sum(&packet, frame).unwrap();
            let sum = checksum(&[&pseudo.to_be_bytes(), message].concat());
            assert!(message[6..8] == [0, 0] || sum == 0, "{frame:02x?}");
        }
        (_, 1) => {
            assert_eq!(checksum(message), 0, "{frame:02x?}");
            ports =
                if matches!(message[0], 0 | 8) { [u16::from_be_bytes([message[4], message[5]]); 2] } else { [0; 2] };
        }
        other => panic!("{other:?}"),
    }
    let [src, dst] = [packet.src_v4, packet.dst_v4].map(Ipv4Addr::from_bits);
    (SocketAddrV4::new(src, ports[0]), SocketAddrV4::new(dst, ports[1]))
}

pub(super) struct World {
    pub(super) nat: Nat,
    pub(super) paper: Paper,
    pub(super) cores: Vec<Core>,
    pub(super) monitors: Vec<Descriptor>,
    hash: mos_core::io::fanout::FlowHash,
    now: Timestamp,
}

impl World {
    pub(super) fn new(config: NatConfig) -> Self {
        let (hash, count, paper) = (config.hash, config.cores, Paper::default());
        let nat = Nat::new(config, paper.output()).unwrap();
        let mut cores: Vec<Core> = (0..count)
            .map(|_| {
                Core::new(Config {
                    checksum: ChecksumMode::Verify,
                    timeouts: Nat::flow_timeouts(),
                    hash_seed: 1,
                    ..Config::default()
                })
            })
            .collect();
        let monitors = cores.iter_mut().enumerate().map(|(number, core)| nat.open(core, number).unwrap()).collect();
        Self { nat, paper, cores, monitors, hash, now: Timestamp::from_millis(1_000_000) }
    }

    /// The core that a frame reaches.
    pub(super) fn core_of(&self, frame: &[u8]) -> usize {
        self.hash.of_frame(frame) as usize % self.cores.len()
    }

    /// What goes on in place of a frame, a millisecond after the last one.
    pub(super) fn send(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        self.now = self.now + Duration::from_millis(1);
        let core = self.core_of(frame);
        let core = &mut self.cores[core];
        let mut batch = FrameBatch::new();
        batch.push(frame, frame.len() as u32, self.now, 0, LinkType::Ethernet);
        let mut burst = batch.burst(0..1);
        core.process(&mut burst);
        assert_eq!(core.panics(), 0);
        core.stack().forwarded(0, &burst).map(<[u8]>::to_vec)
    }

    /// Both ends of what goes on.
    pub(super) fn pass(&mut self, frame: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4)> {
        self.send(frame).map(|frame| ends(&frame))
    }

    pub(super) fn wait(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
        self.cores.iter_mut().for_each(|core| core.advance(self.now));
    }

    /// Nothing is left of any mapping.
    pub(super) fn assert_empty(&self) {
        let stats = self.nat.stats();
        assert_eq!((stats.in_use(), self.nat.shared.directory.len()), (0, 0), "{stats:?}");
        for (core, monitor) in self.cores.iter().zip(&self.monitors) {
            let translator = core.state::<super::super::Translator>(*monitor).unwrap();
            assert_eq!(translator.table.len(), 0);
            for protocol in super::super::Protocol::ALL {
                assert_eq!(translator.pool.free(protocol, 0), self.nat.shared.plan.ports.clone().count());
            }
        }
    }
}
