//! IP headers: IPv4 (RFC 791), IPv6 with its extension headers (RFC 8200), authentication headers in both (RFC 4302),
//! jumbograms (RFC 2675) and atomic fragments (RFC 6946).
//!
//! Lengths come from the headers and are held against the length on the wire; bytes come from what was captured. A
//! length field of 0 is what a capture shows of a packet that is too large for the field, because the network card had
//! yet to split it or has already joined it: such a packet reaches to the end of the frame.

use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice, err,
    ip_number,
};

use super::link::Network;
use super::packet::{Packet, PacketKind};
use super::reason::Undecoded;
use super::u32_at;

/// The length of an IPv6 header without extensions.
pub(super) const IPV6_LEN: usize = 40;

/// The most extension headers a packet may carry. RFC 8200 has a use for seven.
const MAX_EXTENSIONS: usize = 8;

/// Reads the IP header at `network`: the packet it returns is [`PacketKind::OtherIp`] or [`PacketKind::Fragment`].
pub(super) fn decode(frame: &[u8], wire_len: usize, network: Network) -> Result<Packet, Undecoded> {
    let at = Span { frame, wire_len, network };
    if network.version == 4 { at.ipv4() } else { at.ipv6() }
}

/// A frame whose IP header is being read.
struct Span<'a> {
    frame: &'a [u8],
    /// At least the length of `frame`.
    wire_len: usize,
    network: Network,
}

impl<'a> Span<'a> {
    fn ipv4(&self) -> Result<Packet, Undecoded> {
        use err::ipv4::{HeaderError, HeaderSliceError};

        let header = Ipv4HeaderSlice::from_slice(self.captured(self.wire_len)).map_err(|error| match error {
            HeaderSliceError::Len(_) if self.is_cut() => Undecoded::IpHeaderCut,
            HeaderSliceError::Len(_) => Undecoded::Ipv4HeaderTooShort,
            HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => Undecoded::Ipv4BadVersion,
            HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { .. }) => Undecoded::Ipv4BadIhl,
        })?;
        let header_len = header.slice().len();
        let end = match usize::from(header.total_len()) {
            0 => self.wire_len,
            length if length < header_len => return Err(Undecoded::Ipv4LengthBelowHeader),
            length => self.network.offset + length,
        };
        let packet = self.captured(self.within_wire(end)?);
        let mut protocol = header.protocol().0;
        let mut transport = header_len;
        let kind = if header.is_fragmenting_payload() {
            PacketKind::Fragment
        } else {
            if header.protocol() == ip_number::AUTH {
                let mut extensions = Extensions { packet, protocol, field: 9, at: header_len, broken: false };
                // More than one makes no sense; what follows the first is named, not opened.
                extensions.next();
                if extensions.broken {
                    return Err(self.cut_or(end, Undecoded::Ipv4BadAuthentication));
                }
                (protocol, transport) = (extensions.protocol, extensions.at);
            }
            PacketKind::OtherIp
        };
        Ok(Packet {
            src_v4: u32::from_be_bytes(header.source()),
            dst_v4: u32::from_be_bytes(header.destination()),
            ..self.packet(kind, protocol, transport, end)
        })
    }

    fn ipv6(&self) -> Result<Packet, Undecoded> {
        use err::ipv6::HeaderSliceError;

        let header = Ipv6HeaderSlice::from_slice(self.captured(self.wire_len)).map_err(|error| match error {
            HeaderSliceError::Len(_) if self.is_cut() => Undecoded::IpHeaderCut,
            HeaderSliceError::Len(_) => Undecoded::Ipv6HeaderTooShort,
            HeaderSliceError::Content(_) => Undecoded::Ipv6BadVersion,
        })?;
        let start = self.network.offset + IPV6_LEN;
        let mut end = match usize::from(header.payload_length()) {
            0 => self.wire_len,
            length => self.within_wire(start + length)?,
        };
        let mut extensions = Extensions::of_ipv6(self.captured(end));
        let mut kind = PacketKind::OtherIp;
        for count in 0.. {
            let Some(extension) = extensions.next() else { break };
            if count == MAX_EXTENSIONS {
                return Err(Undecoded::TooManyHeaders);
            }
            match extension.protocol {
                ip_number::IPV6_HEADER_HOP_BY_HOP => {
                    if extension.at != IPV6_LEN {
                        return Err(Undecoded::Ipv6BadExtension);
                    }
                    if let Some(length) = jumbo_length(extension.bytes).filter(|_| header.payload_length() == 0) {
                        end = self.within_wire(start.saturating_add(length))?;
                        extensions.packet = self.captured(end);
                    }
                }
                ip_number::IPV6_FRAGMENTATION_HEADER if extension.is_fragmenting() => {
                    kind = PacketKind::Fragment;
                    break;
                }
                _ => {}
            }
        }
        if extensions.broken {
            return Err(self.cut_or(end, Undecoded::Ipv6BadExtension));
        }
        Ok(self.packet(kind, extensions.protocol, extensions.at, end))
    }

    /// A packet whose IP payload lies between `transport`, counted from the IP header, and `end`, counted from the frame.
    fn packet(&self, kind: PacketKind, protocol: u8, transport: usize, end: usize) -> Packet {
        let transport = self.network.offset + transport;
        Packet {
            kind,
            ip_version: self.network.version,
            protocol,
            // The link header and the extension headers are bounded: together they stay below 20 KiB.
            network: self.network.offset as u16,
            transport: transport as u16,
            payload: transport as u16,
            vlan: self.network.vlan,
            payload_len: end.saturating_sub(transport) as u32,
            payload_captured: end.min(self.frame.len()).saturating_sub(transport) as u32,
            ..Packet::BLANK
        }
    }

    /// The captured bytes from the IP header up to `end`.
    fn captured(&self, end: usize) -> &'a [u8] {
        self.frame.get(self.network.offset..end.min(self.frame.len())).unwrap_or_default()
    }

    /// `end`, if the frame reached that far on the wire.
    fn within_wire(&self, end: usize) -> Result<usize, Undecoded> {
        if end <= self.wire_len { Ok(end) } else { Err(Undecoded::LengthExceedsWire) }
    }

    /// Whether the capture holds less than what was on the wire.
    fn is_cut(&self) -> bool {
        self.frame.len() < self.wire_len
    }

    /// Why a header is not there in full: the capture may have cut a packet that ends at `end`.
    fn cut_or(&self, end: usize, broken: Undecoded) -> Undecoded {
        if self.frame.len() < end { Undecoded::IpHeaderCut } else { broken }
    }
}

/// The extension headers of an IP packet, one after the other. Once it returns `None`, `protocol` and `at` tell what
/// follows them, or `broken` that the packet ended within one.
#[derive(Debug)]
pub(super) struct Extensions<'a> {
    /// From the first byte of the IP header to the end of the packet, as far as captured.
    packet: &'a [u8],
    /// What follows.
    pub(super) protocol: u8,
    /// Where the number in `protocol` was found.
    field: usize,
    /// Where what follows begins.
    pub(super) at: usize,
    /// Whether what follows is an extension header that is not there in full.
    pub(super) broken: bool,
}

/// One extension header. Offsets count from the first byte of the IP header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extension<'a> {
    pub(super) protocol: IpNumber,
    /// Where the preceding header names this one.
    pub(super) field: usize,
    pub(super) at: usize,
    pub(super) bytes: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Those of an IPv6 packet, which starts with an IPv6 header.
    pub(super) fn of_ipv6(packet: &'a [u8]) -> Self {
        const NEXT_HEADER: usize = 6;
        let protocol = packet.get(NEXT_HEADER).copied().unwrap_or(ip_number::IPV6_NO_NEXT_HEADER.0);
        Self { packet, protocol, field: NEXT_HEADER, at: IPV6_LEN, broken: false }
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        let protocol = IpNumber(self.protocol);
        let rest = self.packet.get(self.at..).unwrap_or_default();
        let bytes = match protocol {
            ip_number::IPV6_HEADER_HOP_BY_HOP | ip_number::IPV6_ROUTE_HEADER | ip_number::IPV6_DESTINATION_OPTIONS => {
                Ipv6RawExtHeaderSlice::from_slice(rest).map(|header| header.slice()).ok()
            }
            ip_number::IPV6_FRAGMENTATION_HEADER => {
                Ipv6FragmentHeaderSlice::from_slice(rest).map(|header| header.slice()).ok()
            }
            ip_number::AUTH => IpAuthHeaderSlice::from_slice(rest).map(|header| header.slice()).ok(),
            _ => return None,
        };
        let Some((bytes, &next)) = bytes.and_then(|bytes| Some((bytes, bytes.first()?))) else {
            self.broken = true;
            return None;
        };
        let extension = Extension { protocol, field: self.field, at: self.at, bytes };
        self.protocol = next;
        self.field = self.at;
        self.at += bytes.len();
        Some(extension)
    }
}

impl Extension<'_> {
    /// Whether this is the header of a real fragment. One that is first and last at once is the whole datagram: RFC 6946
    /// has it processed on its own.
    fn is_fragmenting(&self) -> bool {
        Ipv6FragmentHeaderSlice::from_slice(self.bytes).is_ok_and(|header| header.is_fragmenting_payload())
    }
}

/// The length in a jumbo payload option, if there is one among these hop-by-hop options and it is a jumbogram's.
fn jumbo_length(header: &[u8]) -> Option<usize> {
    const PAD1: u8 = 0;
    const JUMBO: u8 = 0xc2;
    let mut options = header.get(2..)?;
    loop {
        options = match *options {
            [PAD1, ref rest @ ..] => rest,
            [JUMBO, 4, ..] => {
                let length = u32_at(options, 2)?;
                return usize::try_from(length).ok().filter(|&length| length > u16::MAX.into());
            }
            [_, length, ref rest @ ..] => rest.get(length.into()..)?,
            _ => return None,
        };
    }
}
