//! What is left to hardware, as Linux tells it: the header that precedes each frame of a packet socket (virtio 1.2, section
//! 5.1.6; PACKET_VNET_HDR).
//!
//! A frame that a local program sends, or that was merged on arrival, has no TCP or UDP checksum yet, and may be many segments
//! in one. On arrival the header is reduced to an [`Offload`]. On departure it is made anew from the frame's own headers,
//! because an edit may have moved or changed anything in between.

use crate::packet::{Checksums, LinkType, Offload};
use crate::wire::{Packet, PacketKind, TcpFlags, checksum, decode};

/// The length of the header, which is in the byte order of the machine.
pub(super) const HEADER_BYTES: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const CHECKSUM_VALID: u8 = 2;

const NO_SEGMENTS: u8 = 0;
const TCP_V4_SEGMENTS: u8 = 1;
const TCP_V6_SEGMENTS: u8 = 4;
const UDP_SEGMENTS: u8 = 5;
/// The first segment reduces the window (RFC 3168): only it is to say so.
const ECN: u8 = 0x80;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// Offset of a transport checksum within its header.
const TCP_FIELD: usize = 16;
const UDP_FIELD: usize = 6;
const SCTP_FIELD: usize = 8;

/// The header of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    flags: u8,
    segments: u8,
    /// Bytes of all headers, in front of the first byte that segments share out.
    header_bytes: u16,
    segment_bytes: u16,
    /// Where the checksum begins, and where it stands counted from there.
    checksum_start: u16,
    checksum_offset: u16,
}

/// The frame is more than can be told in an [`Offload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsupported;

impl Header {
    pub(super) fn read(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [flags, segments, a, b, c, d, e, f, g, h] = *bytes;
        Self {
            flags,
            segments,
            header_bytes: u16::from_ne_bytes([a, b]),
            segment_bytes: u16::from_ne_bytes([c, d]),
            checksum_start: u16::from_ne_bytes([e, f]),
            checksum_offset: u16::from_ne_bytes([g, h]),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [[a, b], [c, d], [e, f], [g, h]] =
            [self.header_bytes, self.segment_bytes, self.checksum_start, self.checksum_offset].map(u16::to_ne_bytes);
        [self.flags, self.segments, a, b, c, d, e, f, g, h]
    }

    /// What the header says about a frame that has just arrived. A partial checksum that is not that of the outermost TCP or
    /// UDP header is completed here: when the frame leaves, nobody could tell where it was.
    ///
    /// # Errors
    ///
    /// Several segments in one that are not those of the outermost TCP or UDP header.
    #[inline]
    pub(super) fn arrived(self, frame: &mut [u8], link: LinkType) -> Result<Offload, Unsupported> {
        if self.flags & NEEDS_CHECKSUM == 0 && self.segments == NO_SEGMENTS {
            let known = if self.flags & CHECKSUM_VALID == 0 { Checksums::Unknown } else { Checksums::Good };
            return Ok(Offload { checksums: known, segment_bytes: 0 });
        }
        self.left_to_hardware(frame, link)
    }

    fn left_to_hardware(self, frame: &mut [u8], link: LinkType) -> Result<Offload, Unsupported> {
        let packet = decode(frame, frame.len() as u32, link);
        let (start, offset) = (usize::from(self.checksum_start), usize::from(self.checksum_offset));
        let is_partial = self.flags & NEEDS_CHECKSUM != 0;
        let is_outermost =
            field_of(&packet).is_some_and(|field| !is_partial || (start, offset) == (packet.transport.into(), field));
        if is_outermost {
            let checksums = if is_partial { Checksums::Partial } else { Checksums::Unknown };
            let segment_bytes = if self.segments == NO_SEGMENTS { 0 } else { self.segment_bytes };
            return Ok(Offload { checksums, segment_bytes });
        }
        if self.segments != NO_SEGMENTS {
            return Err(Unsupported);
        }
        if packet.protocol == SCTP && offset == SCTP_FIELD && start == usize::from(packet.transport) {
            complete_sctp(frame, start);
        } else {
            complete(frame, start, offset);
        }
        Ok(Offload::NONE)
    }

    /// The header for a frame that leaves, and the bytes of the frame that are to be sent: a trailer, over which a checksum
    /// would be taken, is not. Writes what the system expects where the checksum is to stand.
    ///
    /// # Errors
    ///
    /// There is something left to do, but the frame is not TCP or UDP that can be read.
    #[inline]
    pub(super) fn leaving(frame: &mut [u8], offload: Offload, link: LinkType) -> Result<(Self, usize), Unsupported> {
        if offload.checksums != Checksums::Partial && offload.segment_bytes == 0 {
            return Ok((Self::default(), frame.len()));
        }
        Self::of_leaving(frame, offload, link)
    }

    fn of_leaving(frame: &mut [u8], offload: Offload, link: LinkType) -> Result<(Self, usize), Unsupported> {
        let packet = decode(frame, frame.len() as u32, link);
        let field = field_of(&packet).ok_or(Unsupported)?;
        let transport = usize::from(packet.transport);
        let (headers, end) = match field {
            TCP_FIELD => (usize::from(packet.payload), packet.payload_range().end),
            _ => (transport + UDP_HEADER, packet.payload_range().end),
        };
        let payload = end.checked_sub(headers).ok_or(Unsupported)?;
        let is_super = offload.segment_bytes != 0 && payload > offload.segment_bytes.into();
        // Without a pseudo header that can be told, behind a routing header, what was there on arrival stands.
        if let Some(sum) = checksum::pseudo_header_sum(&packet, frame) {
            let place = frame.get_mut(transport + field..).and_then(<[u8]>::first_chunk_mut).ok_or(Unsupported)?;
            *place = sum.to_be_bytes();
        }
        let mut segments = match (is_super, packet.protocol, packet.ip_version) {
            (false, ..) => NO_SEGMENTS,
            (true, TCP, 4) => TCP_V4_SEGMENTS,
            (true, TCP, _) => TCP_V6_SEGMENTS,
            (true, ..) => UDP_SEGMENTS,
        };
        if is_super && packet.protocol == TCP && packet.tcp_flags & TcpFlags::CWR != 0 {
            segments |= ECN;
        }
        let header = Self {
            flags: NEEDS_CHECKSUM,
            segments,
            header_bytes: headers as u16,
            segment_bytes: if is_super { offload.segment_bytes } else { 0 },
            checksum_start: transport as u16,
            checksum_offset: field as u16,
        };
        Ok((header, end))
    }

    /// The bytes of the longest frame that appears on the wire when `bytes` bytes are sent with this header.
    pub(super) fn longest_on_wire(&self, bytes: usize) -> usize {
        if self.segments == NO_SEGMENTS {
            return bytes;
        }
        usize::from(self.header_bytes) + usize::from(self.segment_bytes)
    }

    /// Whether the system is to cut the frame into segments.
    pub(super) fn is_super(&self) -> bool {
        self.segments != NO_SEGMENTS
    }
}

const UDP_HEADER: usize = 8;

/// Where the checksum of the packet's transport header stands in it, if that is TCP or UDP and not a fragment.
fn field_of(packet: &Packet) -> Option<usize> {
    match (packet.kind, packet.protocol) {
        (PacketKind::Tcp, _) => Some(TCP_FIELD),
        (PacketKind::OtherIp, UDP) => Some(UDP_FIELD),
        _ => None,
    }
}

/// Completes a partial checksum: the field holds the sum of the pseudo header, if there is one.
fn complete(frame: &mut [u8], start: usize, offset: usize) {
    let Some(covered) = frame.get_mut(start..) else { return };
    let sum = checksum::checksum(covered);
    if let Some(field) = covered.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
        // Of the two zeros the one that UDP does not read as "none".
        *field = if sum == 0 { [0xff; 2] } else { sum.to_be_bytes() };
    }
}

/// Completes the CRC32c of an SCTP packet (RFC 9260 appendix A), which the system calls a partial checksum too.
fn complete_sctp(frame: &mut [u8], start: usize) {
    const REFLECTED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let Some(covered) = frame.get_mut(start..) else { return };
    if let Some(field) = covered.get_mut(SCTP_FIELD..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *field = [0; 4];
    }
    let crc = covered.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (REFLECTED_POLYNOMIAL & (crc & 1).wrapping_neg()))
    });
    if let Some(field) = covered.get_mut(SCTP_FIELD..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *field = (!crc).to_le_bytes();
    }
}

#[cfg(test)]
mod tests;
