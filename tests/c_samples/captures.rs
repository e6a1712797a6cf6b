//! Captures: the frames of the bundled one, and what tests make of them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use mos_core::io::{CaptureReader, CaptureWriter, Device, FrameBatch, Received};
use mos_core::packet::LinkType;
use mos_core::time::Timestamp;
use mos_core::wire::{Packet, PacketKind, TcpFlags, checksum, decode};

use crate::workshop::Workshop;

impl Workshop {
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a mos.conf that is like `like`, for another capture.
    pub(crate) fn conf_for(&self, name: &str, like: &str, capture: &Path) {
        let like = String::from_utf8(self.read(like)).unwrap();
        assert!(like.contains("../traces/tiny.pcap"));
        self.write(name, &like.replace("../traces/tiny.pcap", capture.to_str().unwrap()));
    }
}

/// A captured frame of Ethernet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) time: Timestamp,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/traces").join(name)
}

pub(crate) fn read(path: &Path) -> Vec<Frame> {
    let mut reader = CaptureReader::open(path, 0).unwrap_or_else(|error| panic!("{error}"));
    let (mut batch, mut frames) = (FrameBatch::new(), Vec::new());
    loop {
        batch.clear();
        let received = reader.receive(&mut batch, 64).unwrap();
        let count = batch.len();
        let burst = batch.burst(0..count);
        let copy = |meta: &mos_core::packet::FrameMeta| Frame {
            time: meta.timestamp,
            bytes: burst.memory[meta.range()].to_vec(),
        };
        frames.extend(burst.frames.iter().map(copy));
        if received == Received::End {
            return frames;
        }
    }
}

pub(crate) fn write<'a>(path: &Path, frames: impl IntoIterator<Item = &'a Frame>) {
    let mut writer = CaptureWriter::create(path, LinkType::Ethernet).unwrap();
    for frame in frames {
        writer.write(frame.time, &frame.bytes, frame.bytes.len() as u32).unwrap();
    }
    writer.flush().unwrap();
}

impl Frame {
    pub(crate) fn packet(&self) -> Packet {
        decode(&self.bytes, self.bytes.len() as u32, LinkType::Ethernet)
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.packet().kind == PacketKind::Tcp
    }

    /// It begins a connection.
    pub(crate) fn is_syn(&self) -> bool {
        self.is_tcp() && self.packet().tcp_flags & (TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::SYN
    }

    pub(crate) fn source(&self) -> (IpAddr, u16) {
        let packet = self.packet();
        (packet.source(&self.bytes), packet.src_port)
    }

    pub(crate) fn destination(&self) -> (IpAddr, u16) {
        let packet = self.packet();
        (packet.destination(&self.bytes), packet.dst_port)
    }

    /// The same with another address and port (IPv4): of the destination, if that is said, else of the source.
    pub(crate) fn readdressed(&self, destination: bool, (address, port): ([u8; 4], u16)) -> Self {
        let (mut changed, packet) = (self.clone(), self.packet());
        let address_at = usize::from(packet.network) + if destination { 16 } else { 12 };
        let port_at = usize::from(packet.transport) + if destination { 2 } else { 0 };
        changed.bytes[address_at..address_at + 4].copy_from_slice(&address);
        changed.bytes[port_at..port_at + 2].copy_from_slice(&port.to_be_bytes());
        let packet = changed.packet();
        assert!(checksum::fill_ipv4(&mut changed.bytes, &packet) && checksum::fill_tcp(&mut changed.bytes, &packet));
        changed
    }

    /// Both checksums of a TCP packet are right (IPv4).
    pub(crate) fn has_right_checksums(&self) -> bool {
        let packet = self.packet();
        checksum::ipv4_header_ok(packet.network_header(&self.bytes))
            && checksum::tcp_ok(&packet, &self.bytes) == Some(true)
    }

    /// How the samples in C call its connection, if it comes from the client.
    pub(crate) fn flow_name(&self) -> String {
        let [(client, client_port), (server, server_port)] = [self.source(), self.destination()];
        format!("{client}.{client_port}-{server}.{server_port}")
    }
}
