//! Datagrams that are too long for a link: judged, and cut into fragments where IPv4 allows it (RFC 791).

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use super::datagram::Datagram;
use super::icmp::{put, transport_checksum};
use crate::packet::Offload;
use crate::wire::checksum::checksum;
use crate::wire::{PacketKind, decode_ip};

/// "More fragments", in the field that has the offset.
const MORE: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// How a datagram fits a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// As it is.
    Whole,
    /// In fragments.
    Pieces,
    /// Not at all.
    TooBig,
}

/// How a datagram fits a link that takes `mtu` bytes.
pub(super) fn fit(datagram: &Datagram, frame: &[u8], offload: Offload, mtu: usize) -> Fit {
    if datagram.len <= mtu {
        return Fit::Whole;
    }
    if offload.segment_bytes > 0 {
        // What counts is how long its segments will be. They are not cut further: who sends so much in one stream looks
        // for the path's MTU, or takes a hint.
        let segment_len = headers(datagram, frame) + usize::from(offload.segment_bytes);
        return if segment_len <= mtu { Fit::Whole } else { Fit::TooBig };
    }
    //= RFC 791 section 3.2
    // A packet with more than the length field can say is a super-frame whose segments nobody has told us of.
    let is_cuttable = !datagram.dont_fragment(frame) && datagram.len <= usize::from(u16::MAX);
    if is_cuttable && mtu >= datagram.header_len + 8 { Fit::Pieces } else { Fit::TooBig }
}

/// The length of what each segment of a super-frame begins with.
fn headers(datagram: &Datagram, frame: &[u8]) -> usize {
    const UDP: u8 = 17;
    let bytes = datagram.bytes(frame);
    let packet = decode_ip(bytes, bytes.len() as u32);
    usize::from(packet.payload) + if packet.protocol == UDP { 8 } else { 0 }
}

/// Cuts the datagram of a frame into fragments of at most `mtu` bytes, each in a frame with the same link header.
pub(super) fn fragment(datagram: &Datagram, frame: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let link = frame.get(..datagram.at).unwrap_or_default();
    let (header, data) = datagram.bytes(frame).split_at_checked(datagram.header_len).unwrap_or_default();
    let [.., high, low] = *header.get(..8).unwrap_or(&[0, 0]) else { return Vec::new() };
    // It may be a fragment itself.
    let field = u16::from_be_bytes([high, low]);
    let mut fragments = Vec::new();
    let mut header = header.to_vec();
    let mut start = 0;
    while start < data.len() {
        let room = mtu.saturating_sub(header.len()) & !7;
        let is_last = data.len() - start <= mtu.saturating_sub(header.len());
        let end = if is_last { data.len() } else { start + room };
        let Some(piece) = data.get(start..end).filter(|piece| !piece.is_empty()) else { return Vec::new() };
        let offset = (field & OFFSET) + (start / 8) as u16;
        let more = if is_last { field & MORE } else { MORE };
        let len = header.len() + piece.len();
        put(&mut header, 2, len as u16);
        put(&mut header, 6, offset & OFFSET | more);
        put(&mut header, 10, 0);
        let sum = checksum(&header);
        put(&mut header, 10, sum);
        fragments.push([link, &header, piece].concat());
        if start == 0 {
            header = later_header(&header);
        }
        start = end;
    }
    fragments
}

/// The header of all fragments but the first: with those options only that are to be in every one.
fn later_header(header: &[u8]) -> Vec<u8> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;

    let (fixed, mut options) = header.split_at_checked(20).unwrap_or((header, &[]));
    let mut later = fixed.to_vec();
    while let [kind, ref rest @ ..] = *options {
        let len = match (kind, rest.first()) {
            (END, _) => break,
            (NO_OPERATION, _) => 1,
            (_, Some(&len)) if len >= 2 => usize::from(len),
            _ => break,
        };
        let Some((option, rest)) = options.split_at_checked(len) else { break };
        //= RFC 791 section 3.1
        if kind & COPIED != 0 {
            later.extend_from_slice(option);
        }
        options = rest;
    }
    later.resize(later.len().next_multiple_of(4), END);
    if let Some(first) = later.first_mut() {
        *first = 0x40;
    }
    let words = (later.len() / 4) as u8;
    if let Some(first) = later.first_mut() {
        *first |= words;
    }
    later
}

/// Fills in a checksum that was left to the device: a fragment goes over the wire as it is.
pub(super) fn complete_checksum(datagram: &Datagram, frame: &mut [u8]) {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let bytes = datagram.bytes(frame);
    let packet = decode_ip(bytes, bytes.len() as u32);
    let at = usize::from(packet.transport);
    let field = match packet.protocol {
        TCP => 16,
        UDP => 6,
        _ => return,
    };
    if packet.kind == PacketKind::Fragment || packet.ip_version != 4 {
        return;
    }
    let Some(message) = frame.get_mut(datagram.at + at..datagram.at + datagram.len) else { return };
    put(message, field, 0);
    let (source, destination) = (packet.src_v4.to_be_bytes(), packet.dst_v4.to_be_bytes());
    let sum = transport_checksum(&source, &destination, packet.protocol, message);
    //= RFC 768
    // A checksum of 0 would say that there is none.
    let sum = if sum == 0 && packet.protocol == UDP { 0xffff } else { sum };
    put(message, field, sum);
}
