//! The packet at hand, with all that mOS's `pkt_info` says of it; borrowed, or copied to be kept.

use std::ops::Range;

use mos_core::stack::PacketView;
use mos_core::time::Timestamp;

/// What is known of a packet besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// When it arrived (`cur_ts`).
    pub timestamp: Timestamp,
    /// The port that it came in on (`in_ifidx`).
    pub port: u16,
    /// The frame's length on the wire, in bytes (`eth_len`).
    pub eth_len: u32,
    /// The IP packet's length on the wire, in bytes (`ip_len`).
    pub ip_len: u32,
    /// The stream offset of its first payload byte, in the stream of the side that receives it (`offset`); `None` without a flow.
    pub offset: Option<u64>,
    /// Payload bytes on the wire (`payloadlen`).
    pub payload_len: u32,
    /// Sequence number (`seq`); 0 if it is not TCP.
    pub seq: u32,
    /// Acknowledgment number (`ack_seq`); 0 if it is not TCP.
    pub ack: u32,
    /// The window as it stands in the header, not scaled (`window`).
    pub window: u16,
    /// TCP flags.
    pub flags: u8,
}

/// A packet, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct LastPacket<'a> {
    /// What is known of it.
    pub info: PacketInfo,
    /// The link header (`ethh`); empty if there is none.
    pub ethernet: &'a [u8],
    /// The IP header with its options or extension headers (`iph`).
    pub ip: &'a [u8],
    /// The TCP header with its options (`tcph`); empty if it is not TCP.
    pub tcp: &'a [u8],
    /// The payload (`payload`), as far as it was captured; of what is not TCP, that of the IP packet.
    pub payload: &'a [u8],
}

impl<'a> LastPacket<'a> {
    pub(crate) fn new(view: PacketView<'a>, offset: Option<u64>) -> Self {
        let packet = view.packet;
        let link_len = usize::from(packet.network).min(view.frame.len());
        let info = PacketInfo {
            timestamp: view.timestamp,
            port: view.port,
            eth_len: view.wire_len,
            ip_len: u32::from(packet.payload.saturating_sub(packet.network)) + packet.payload_len,
            offset,
            payload_len: packet.payload_len,
            seq: packet.seq.0,
            ack: packet.ack.0,
            window: packet.window,
            flags: packet.tcp_flags,
        };
        Self {
            info,
            ethernet: &view.frame[..link_len],
            ip: packet.network_header(view.frame),
            tcp: packet.transport_header(view.frame),
            payload: packet.payload(view.frame),
        }
    }

    /// A copy to be kept.
    #[must_use]
    pub fn to_copy(&self) -> PacketCopy {
        let parts = [self.ethernet, self.ip, self.tcp, self.payload];
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        let ranges = parts.map(|part| {
            let start = bytes.len();
            bytes.extend_from_slice(part);
            start..bytes.len()
        });
        PacketCopy { info: self.info, bytes: bytes.into(), ranges }
    }
}

/// A packet that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketCopy {
    info: PacketInfo,
    bytes: Box<[u8]>,
    ranges: [Range<usize>; 4],
}

impl PacketCopy {
    /// The packet, taken apart.
    #[must_use]
    pub fn as_packet(&self) -> LastPacket<'_> {
        let [ethernet, ip, tcp, payload] = self.ranges.clone().map(|range| &self.bytes[range]);
        LastPacket { info: self.info, ethernet, ip, tcp, payload }
    }

    /// Link header, IP packet and payload, one behind the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
