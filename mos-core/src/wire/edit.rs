//! Frames edited: bytes of a decoded TCP frame overwritten, inserted and removed (IPv4: RFC 791, IPv6: RFC 8200, TCP:
//! RFC 9293 section 3.1), with checksums updated incrementally (RFC 1624) or computed anew (RFC 1071).
//!
//! A [`Packet`] says where the layers lie, so it has to be that of the frame as it is: after an edit that moved something
//! the frame is to be decoded again. With the packet of another frame an edit gives nonsense or an error, never a panic.
//!
//! Checksums that are updated are only moved by what the edit changes. So nothing but the edited bytes has to be there,
//! and a checksum that was wrong by some amount remains wrong by the same: the receiver notices what it would have noticed.

pub(super) mod extent;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::ops::Range;

use super::packet::{Packet, PacketKind};
use extent::{Change, Extent, put};

/// The lengths that 4 bits of 32-bit words can give an IPv4 or a TCP header.
const HEADER_LEN: core::ops::RangeInclusive<usize> = 20..=60;

/// Where an offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The link header with its tags, whatever the link type. Frames of raw IP have none.
    Ethernet,
    /// The IP header with its options or extension headers.
    Ip,
    /// The TCP header with its options.
    Tcp,
    /// The TCP payload, as far as it is in the frame.
    Payload,
}

impl Layer {
    /// Where the layer lies in the packet's frame.
    fn bounds(self, packet: &Packet) -> Range<usize> {
        let [network, transport, payload] = [packet.network, packet.transport, packet.payload].map(usize::from);
        match self {
            Self::Ethernet => 0..network,
            Self::Ip => network..transport,
            Self::Tcp => transport..payload,
            Self::Payload => packet.payload_range(),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ethernet => "link header",
            Self::Ip => "IP header",
            Self::Tcp => "TCP header",
            Self::Payload => "payload",
        })
    }
}

/// What becomes of the IPv4 header checksum and the TCP checksum. Edits of the link header touch neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checksums {
    /// They are updated (RFC 1624): a wrong one stays exactly as wrong as it was. One that the edit itself overwrites, in
    /// part or in whole, stands as written.
    #[default]
    Incremental,
    /// Both are computed anew, which needs the whole packet.
    Full,
    /// The IPv4 header checksum is computed anew, the TCP checksum stays as it is.
    OnlyIpv4,
    /// The TCP checksum is computed anew, which needs the whole packet; the IPv4 header checksum stays as it is.
    OnlyTcp,
    /// They stay as they are.
    Keep,
}

impl Checksums {
    /// Whether the sum over the TCP segment is computed anew.
    fn sums_tcp(self) -> bool {
        matches!(self, Self::Full | Self::OnlyTcp)
    }

    /// Computes anew what is to be.
    fn fill(self, frame: &mut [u8], extent: &Extent) {
        if matches!(self, Self::Full | Self::OnlyIpv4) {
            extent.fill_ipv4(frame);
        }
        if self.sums_tcp() {
            extent.fill_tcp(frame);
        }
    }
}

/// Why a frame was not edited. Nothing of it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// Of other packets only the link header can be edited byte by byte, and of their fields those that they have.
    #[error("the packet is not TCP: only its link header can be edited")]
    NotTcp,
    /// Ports, for a packet that has none.
    #[error("the packet has no TCP or UDP header: it has no ports")]
    NoPorts,
    /// The frame does not have this layer, or is not the packet's frame.
    #[error("there is no {layer} in the frame")]
    NoLayer {
        /// The layer that is not there.
        layer: Layer,
    },
    /// The bytes to be edited are not all within the layer.
    #[error("{len} bytes at offset {offset} are out of bounds: the {layer} has {layer_len}")]
    OutOfBounds {
        /// The layer.
        layer: Layer,
        /// Where in it.
        offset: usize,
        /// How many bytes were to be overwritten or removed.
        len: usize,
        /// How many bytes the layer has.
        layer_len: usize,
    },
    /// A change of length where there can be none.
    #[error("the length of the {layer} cannot change at offset {offset}: that of IPv4 and TCP options and payload can")]
    FixedLength {
        /// The layer.
        layer: Layer,
        /// Where in it.
        offset: usize,
    },
    /// A header of a length that its length field cannot say.
    #[error("the {layer} would have {len} bytes: a multiple of 4 from 20 to 60 is allowed")]
    HeaderLength {
        /// The layer.
        layer: Layer,
        /// The length it would have, options included.
        len: usize,
    },
    /// A packet that grows beyond what is allowed, or beyond what its length field can say.
    #[error("the IP packet would have {len} bytes: at most {max} are allowed")]
    TooLong {
        /// The length it would have, from the first byte of the IP header.
        len: usize,
        /// The most it may have.
        max: usize,
    },
    /// Changes of length and checksums computed anew need the whole packet.
    #[error("{captured} of the segment's {len} bytes were captured: all are needed")]
    Truncated {
        /// Bytes of TCP header and payload in the frame.
        captured: usize,
        /// Bytes of them on the wire.
        len: usize,
    },
    /// The checksum covers a destination that is yet to be found in a routing header.
    #[error("the final destination is in a routing header: the TCP checksum can be updated, not computed anew")]
    PendingRoute,
    /// The length is in an option.
    #[error("the packet has hop-by-hop options and no length, as a jumbogram has: its length cannot change")]
    Jumbogram,
    /// An address of the other IP version.
    #[error("the IPv{} address {address} cannot stand in an IPv{version} packet", if address.is_ipv4() { 4 } else { 6 })]
    Family {
        /// The address that was to be written.
        address: IpAddr,
        /// The packet's IP version.
        version: u8,
    },
    /// Hardware addresses, for a frame that has none.
    #[error("the frame has no Ethernet header: hardware addresses cannot be set")]
    NotEthernet,
    /// A code point that does not fit.
    #[error("the code point {dscp} does not fit into 6 bits: at most 63 is allowed")]
    Dscp {
        /// The code point.
        dscp: u8,
    },
}

/// Writes `bytes` over as many bytes at `offset` of a layer.
///
/// Length fields may be overwritten too: whether the frame makes sense afterwards is the caller's business.
///
/// # Errors
///
/// [`EditError`]; the frame is as it was then.
pub fn overwrite(
    frame: &mut [u8],
    packet: &Packet,
    layer: Layer,
    offset: usize,
    bytes: &[u8],
    checksums: Checksums,
) -> Result<(), EditError> {
    let range = locate(frame, packet, layer, offset, bytes.len())?;
    let place = frame.get_mut(range.clone()).ok_or(EditError::NoLayer { layer })?;
    if layer == Layer::Ethernet {
        place.copy_from_slice(bytes);
        return Ok(());
    }
    let extent = Extent::of(frame, packet, layer)?;
    if checksums.sums_tcp() {
        extent.check_whole(frame, packet)?;
        extent.check_route()?;
    }
    let before = (layer == Layer::Ip).then(|| extent.ip_sums(frame));
    let mut tcp = Change::default();
    let place = frame.get_mut(range.clone()).ok_or(EditError::NoLayer { layer })?;
    if before.is_none() {
        tcp.replace(place, bytes, range.start - extent.transport);
    }
    place.copy_from_slice(bytes);
    match checksums {
        Checksums::Incremental => {
            let is_written = |field: usize| range.start < field + 2 && field < range.end;
            if let Some(before) = before {
                let after = extent.ip_sums(frame);
                tcp.replace_sum(before.addresses, after.addresses);
                if !is_written(extent.ipv4_field()) {
                    extent.update_ipv4(frame, before.header, after.header);
                }
            }
            if !is_written(extent.tcp_field()) {
                tcp.apply(frame, extent.tcp_field());
            }
        }
        anew => anew.fill(frame, &extent),
    }
    Ok(())
}

/// Puts `inserted` in the place of `removed` bytes at `offset` of a layer. The frame is the tail of the buffer,
/// `buffer[start..]`; what stands behind its IP packet, as Ethernet padding does, is cut off.
///
/// IPv4's total length and header length, IPv6's payload length and TCP's data offset are set to the new lengths. A length
/// of 0, which segmentation offload leaves and which means "to the end of the frame", stays 0. The length of the link
/// header, of IPv6 headers and of the first 20 bytes of IPv4 and TCP headers cannot change. The packet, counted from its
/// IP header, may not grow beyond `max_ip_len`.
///
/// # Errors
///
/// [`EditError`]; the buffer is as it was then.
#[expect(clippy::too_many_arguments, reason = "what, where, and instead of what")]
pub fn splice(
    buffer: &mut Vec<u8>,
    start: usize,
    packet: &Packet,
    layer: Layer,
    offset: usize,
    removed: usize,
    inserted: &[u8],
    checksums: Checksums,
    max_ip_len: usize,
) -> Result<(), EditError> {
    let frame = buffer.get_mut(start..).ok_or(EditError::NoLayer { layer })?;
    if removed == inserted.len() {
        overwrite(frame, packet, layer, offset, inserted, checksums)?;
        buffer.truncate(start.saturating_add(packet.payload_range().end));
        return Ok(());
    }
    let range = locate(frame, packet, layer, offset, removed)?;
    let old = Extent::of(frame, packet, layer)?;
    let change = LengthChange::check(frame, packet, &old, layer, &range, inserted.len(), max_ip_len)?;
    if checksums.sums_tcp() {
        old.check_route()?;
    }
    let new = change.extent(&old);
    let before = old.ip_sums(frame);
    let mut tcp = Change::default();
    if layer != Layer::Ip {
        let at = range.start - old.transport;
        let bytes = |range: Range<usize>| frame.get(range).unwrap_or_default();
        tcp.replace(bytes(range.clone()), inserted, at);
        tcp.shift(bytes(range.end..old.end), at + removed, at + inserted.len());
        tcp.replace_number(old.tcp_len(), new.tcp_len());
    }
    buffer.truncate(start.saturating_add(old.end));
    drop(buffer.splice(start + range.start..start + range.end, inserted.iter().copied()));
    let frame = buffer.get_mut(start..).unwrap_or_default();
    change.write_lengths(frame, &new, &mut tcp);
    match checksums {
        Checksums::Incremental => {
            new.update_ipv4(frame, before.header, new.ip_sums(frame).header);
            tcp.apply(frame, new.tcp_field());
        }
        anew => anew.fill(frame, &new),
    }
    Ok(())
}

/// Where in the frame `len` bytes at `offset` of a layer lie.
fn locate(frame: &[u8], packet: &Packet, layer: Layer, offset: usize, len: usize) -> Result<Range<usize>, EditError> {
    if packet.kind != PacketKind::Tcp && layer != Layer::Ethernet {
        return Err(EditError::NotTcp);
    }
    let bounds = layer.bounds(packet);
    if bounds.end > frame.len() || bounds.is_empty() && layer != Layer::Payload {
        return Err(EditError::NoLayer { layer });
    }
    let layer_len = bounds.len();
    match offset.checked_add(len) {
        Some(end) if end <= layer_len => Ok(bounds.start + offset..bounds.start + end),
        _ => Err(EditError::OutOfBounds { layer, offset, len, layer_len }),
    }
}

/// An edit that changes lengths, found possible.
struct LengthChange {
    layer: Layer,
    removed: usize,
    inserted: usize,
    /// The new length of the header whose options change; 0 if none do.
    header_len: usize,
}

impl LengthChange {
    fn check(
        frame: &[u8],
        packet: &Packet,
        extent: &Extent,
        layer: Layer,
        range: &Range<usize>,
        inserted: usize,
        max_ip_len: usize,
    ) -> Result<Self, EditError> {
        let bounds = layer.bounds(packet);
        let offset = range.start - bounds.start;
        let removed = range.len();
        let options_end = match layer {
            Layer::Ip if extent.version == 4 => extent.ipv4_header(frame).len(),
            Layer::Tcp => bounds.len(),
            Layer::Ethernet | Layer::Ip | Layer::Payload => 0,
        };
        let has_options = layer != Layer::Payload;
        if has_options && (offset < *HEADER_LEN.start() || offset + removed > options_end) {
            return Err(EditError::FixedLength { layer, offset });
        }
        extent.check_whole(frame, packet)?;
        let header_len = if has_options { options_end - removed + inserted } else { 0 };
        if has_options && !(HEADER_LEN.contains(&header_len) && header_len.is_multiple_of(4)) {
            return Err(EditError::HeaderLength { layer, len: header_len });
        }
        let has_length = extent.length_field(frame) != Some(0);
        if !has_length && extent.has_hop_by_hop(frame) {
            return Err(EditError::Jumbogram);
        }
        let sayable = usize::from(u16::MAX) + extent.not_in_length();
        let max = if has_length { max_ip_len.min(sayable) } else { max_ip_len };
        let old_len = extent.end - extent.network;
        let len = (old_len - removed).saturating_add(inserted);
        // A packet that was too long before may still get shorter.
        if len > max && len > old_len {
            return Err(EditError::TooLong { len, max });
        }
        Ok(Self { layer, removed, inserted, header_len })
    }

    /// Where the layers lie after the edit.
    fn extent(&self, old: &Extent) -> Extent {
        let moved = |at: usize| at - self.removed + self.inserted;
        let transport = if self.layer == Layer::Ip { moved(old.transport) } else { old.transport };
        Extent { transport, end: moved(old.end), ..*old }
    }

    /// Writes the new lengths into the headers, and notes what becomes of the sum over the segment.
    fn write_lengths(&self, frame: &mut [u8], new: &Extent, tcp: &mut Change) {
        if new.length_field(frame) != Some(0) {
            let len = (new.end - new.network).saturating_sub(new.not_in_length());
            put(frame, new.length_offset(), len as u16);
        }
        let words = (self.header_len / 4) as u8;
        match self.layer {
            Layer::Ip => {
                if let Some(first) = frame.get_mut(new.network) {
                    *first = *first & 0xf0 | words;
                }
            }
            Layer::Tcp => {
                if let Some(offset) = frame.get_mut(new.transport + 12) {
                    let old = *offset;
                    *offset = *offset & 0x0f | words << 4;
                    tcp.replace(&[old], &[*offset], 12);
                }
            }
            Layer::Ethernet | Layer::Payload => {}
        }
    }
}
