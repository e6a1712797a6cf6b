//! Header fields changed in place: addresses, ports and numbers of a decoded frame (IPv4: RFC 791, IPv6: RFC 8200, UDP:
//! RFC 768, TCP: RFC 9293 section 3.1, DSCP: RFC 2474 section 3, SACK: RFC 2018 section 3). Lengths stay, and checksums are updated
//! incrementally (RFC 1624).

mod datagram;
#[cfg(test)]
mod tests;

use core::net::{IpAddr, SocketAddr};

use super::edit::{Checksums, EditError, Layer, overwrite};
use super::packet::{Packet, PacketKind, TcpFlags};
use super::seq::SeqNum;

/// The largest code point: DSCP has 6 bits.
const MAX_DSCP: u8 = 63;

/// Where the SACK blocks of a header can begin.
const OPTIONS: usize = 20;

/// Header fields to be changed; those that are `None` stay. They are changed all or not at all, and checksums are updated
/// incrementally (RFC 1624): a wrong one stays exactly as wrong as it was.
///
/// ```
/// use mos_core::packet::LinkType;
/// use mos_core::wire::{Rewrite, TcpSegment, checksum, decode};
///
/// let (client, server) = ("10.0.0.1:40000".parse()?, "192.0.2.2:80".parse()?);
/// let mut frame = TcpSegment::new(client, server).to_ethernet();
/// let wire_len = frame.len() as u32;
/// let packet = decode(&frame, wire_len, LinkType::Ethernet);
///
/// Rewrite { src: Some("198.51.100.1:1024".parse()?), ..Rewrite::default() }.apply(&mut frame, &packet)?;
/// let packet = decode(&frame, wire_len, LinkType::Ethernet);
/// assert_eq!((packet.source(&frame), packet.src_port), ("198.51.100.1".parse()?, 1024));
/// assert_eq!(checksum::tcp_ok(&packet, &frame), Some(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Rewrite {
    /// Source address and port. Without ports, in what is neither TCP nor UDP, the address counts.
    pub src: Option<SocketAddr>,
    /// Destination address and port.
    pub dst: Option<SocketAddr>,
    /// Source port; counts before the one in `src`.
    pub src_port: Option<u16>,
    /// Destination port; counts before the one in `dst`.
    pub dst_port: Option<u16>,
    /// Source hardware address, of Ethernet frames only.
    pub src_mac: Option<[u8; 6]>,
    /// Destination hardware address, of Ethernet frames only.
    pub dst_mac: Option<[u8; 6]>,
    /// Sequence number.
    pub seq: Option<SeqNum>,
    /// Acknowledgment number; written whether or not the ACK flag is set.
    pub ack: Option<SeqNum>,
    /// Window, unscaled.
    pub window: Option<u16>,
    /// [`TcpFlags`].
    pub flags: Option<u8>,
    /// Hop limit, which IPv4 calls time to live.
    pub hop_limit: Option<u8>,
    /// Differentiated services code point, at most 63: the upper 6 bits of IPv6's traffic class and IPv4's type of service.
    pub dscp: Option<u8>,
}

impl Rewrite {
    /// Changes the fields in the frame that `packet` was decoded from. Hardware addresses can be changed in any decoded
    /// packet, ports in TCP and UDP, what else is in the IP header in any IP packet that is no fragment, all else in TCP only.
    ///
    /// # Errors
    ///
    /// [`EditError`]; the frame is as it was then.
    pub fn apply(&self, frame: &mut [u8], packet: &Packet) -> Result<(), EditError> {
        self.check(packet)?;
        let macs = self.changes_macs().then(|| self.macs(frame)).transpose()?;
        if self.changes_headers() && packet.kind == PacketKind::OtherIp {
            datagram::apply(self, frame, packet)?;
            return macs.map_or(Ok(()), |macs| overwrite(frame, packet, Layer::Ethernet, 0, &macs, Checksums::Keep));
        }
        let headers = self.changes_headers().then(|| Headers::read(frame, packet)).transpose()?;
        // The rest cannot fail: all that is written now was read before.
        if let Some(macs) = macs {
            overwrite(frame, packet, Layer::Ethernet, 0, &macs, Checksums::Incremental)?;
        }
        if let Some(mut headers) = headers {
            self.change_ip(&mut headers.ip, headers.version == 4);
            self.change_tcp(&mut headers.tcp);
            headers.write(frame, packet)?;
        }
        Ok(())
    }

    fn changes_macs(&self) -> bool {
        self.src_mac.is_some() || self.dst_mac.is_some()
    }

    fn changes_headers(&self) -> bool {
        *self != Self { src_mac: self.src_mac, dst_mac: self.dst_mac, ..Self::default() }
    }

    /// Something that only TCP has.
    fn changes_tcp(&self) -> bool {
        self.seq.is_some() || self.ack.is_some() || self.window.is_some() || self.flags.is_some()
    }

    fn check(&self, packet: &Packet) -> Result<(), EditError> {
        if self.changes_macs() && !has_ethernet_header(packet) {
            return Err(EditError::NotEthernet);
        }
        let fits = match packet.kind {
            PacketKind::Tcp => true,
            PacketKind::OtherIp => !self.changes_tcp(),
            PacketKind::Fragment | PacketKind::Undecoded(_) => !self.changes_headers(),
        };
        if !fits {
            return Err(EditError::NotTcp);
        }
        for address in [self.src, self.dst].into_iter().flatten().map(|endpoint| endpoint.ip()) {
            if address.is_ipv4() != (packet.ip_version == 4) {
                return Err(EditError::Family { address, version: packet.ip_version });
            }
        }
        match self.dscp {
            Some(dscp) if dscp > MAX_DSCP => Err(EditError::Dscp { dscp }),
            _ => Ok(()),
        }
    }

    /// Both hardware addresses as they are to be.
    fn macs(&self, frame: &[u8]) -> Result<[u8; 12], EditError> {
        let mut macs = *frame.first_chunk().ok_or(EditError::NoLayer { layer: Layer::Ethernet })?;
        put(&mut macs, 0, self.dst_mac);
        put(&mut macs, 6, self.src_mac);
        Ok(macs)
    }

    fn change_ip(&self, ip: &mut [u8; 40], is_v4: bool) {
        let octets = |endpoint: SocketAddr| endpoint.ip();
        let (src, dst) = if is_v4 { (12, 16) } else { (8, 24) };
        for (at, address) in [(src, self.src), (dst, self.dst)] {
            match address.map(octets) {
                Some(IpAddr::V4(address)) => put(ip, at, Some(address.octets())),
                Some(IpAddr::V6(address)) => put(ip, at, Some(address.octets())),
                None => {}
            }
        }
        put(ip, if is_v4 { 8 } else { 7 }, self.hop_limit.map(|hops| [hops]));
        if let Some(dscp) = self.dscp {
            if is_v4 {
                ip[1] = ip[1] & 0x03 | dscp << 2;
            } else {
                // The class lies across two bytes: 4 bits of version, 8 of class, 20 of flow label.
                ip[0] = ip[0] & 0xf0 | dscp >> 2;
                ip[1] = ip[1] & 0x3f | dscp << 6;
            }
        }
    }

    /// The ports, which stand at the same place in TCP and UDP.
    fn change_ports(&self, header: &mut [u8]) {
        let port = |port: Option<u16>, endpoint: Option<SocketAddr>| port.or(endpoint.map(|endpoint| endpoint.port()));
        put(header, 0, port(self.src_port, self.src).map(u16::to_be_bytes));
        put(header, 2, port(self.dst_port, self.dst).map(u16::to_be_bytes));
    }

    fn change_tcp(&self, tcp: &mut [u8; Headers::TCP]) {
        self.change_ports(tcp);
        put(tcp, 4, self.seq.map(|seq| seq.0.to_be_bytes()));
        put(tcp, 8, self.ack.map(|ack| ack.0.to_be_bytes()));
        put(tcp, 13, self.flags.map(|flags| [flags]));
        put(tcp, 14, self.window.map(u16::to_be_bytes));
    }
}

/// Whether the frame begins with an Ethernet header: that and its tags are 14 + 4n bytes, all other link headers 4n.
fn has_ethernet_header(packet: &Packet) -> bool {
    packet.network >= 14 && packet.network % 4 == 2
}

/// Copies of the headers' fixed parts.
struct Headers {
    version: u8,
    /// 20 bytes of IPv4, or 40 of IPv6.
    ip: [u8; 40],
    tcp: [u8; Self::TCP],
}

impl Headers {
    /// Up to the checksum: what follows is not rewritten.
    const TCP: usize = 16;

    fn read(frame: &[u8], packet: &Packet) -> Result<Self, EditError> {
        let version = packet.ip_version;
        let mut ip = [0; 40];
        let len = if version == 4 { 20 } else { 40 };
        let header = packet.network_header(frame).get(..len).ok_or(EditError::NoLayer { layer: Layer::Ip })?;
        ip.iter_mut().zip(header).for_each(|(copy, byte)| *copy = *byte);
        let tcp = packet.transport_header(frame).first_chunk().ok_or(EditError::NoLayer { layer: Layer::Tcp })?;
        if packet.payload_range().end > frame.len() {
            return Err(EditError::NoLayer { layer: Layer::Payload });
        }
        Ok(Self { version, ip, tcp: *tcp })
    }

    fn write(&self, frame: &mut [u8], packet: &Packet) -> Result<(), EditError> {
        // Not the checksum of IPv4: what is written there would stand.
        let parts = if self.version == 4 { [0..10, 12..20] } else { [0..40, 40..40] };
        for part in parts {
            let bytes = self.ip.get(part.clone()).unwrap_or_default();
            if packet.network_header(frame).get(part.clone()) != Some(bytes) {
                overwrite(frame, packet, Layer::Ip, part.start, bytes, Checksums::Incremental)?;
            }
        }
        overwrite(frame, packet, Layer::Tcp, 0, &self.tcp, Checksums::Incremental)
    }
}

/// Writes a field, if there is something to write and it fits.
fn put<const N: usize>(header: &mut [u8], at: usize, value: Option<[u8; N]>) {
    let field = header.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
    if let (Some(field), Some(value)) = (field, value) {
        *field = value;
    }
}

/// Other sequence and acknowledgment numbers for a segment, and its SACK blocks (RFC 2018), edge pair by edge pair, as
/// `sack` has them. The acknowledgment number is written only if the ACK flag is set, and options are changed only as far
/// as they are in the frame. What is not TCP stays as it is.
pub fn renumber(
    frame: &mut [u8],
    packet: &Packet,
    seq: SeqNum,
    ack: SeqNum,
    mut sack: impl FnMut([SeqNum; 2]) -> [SeqNum; 2],
) {
    let has_ack = packet.tcp_flags & TcpFlags::ACK != 0;
    let numbers = Rewrite { seq: Some(seq), ack: has_ack.then_some(ack), ..Rewrite::default() };
    if numbers.apply(frame, packet).is_err() {
        return;
    }
    let mut at = OPTIONS;
    while let Some(blocks) = next_sack(packet.transport_header(frame), &mut at) {
        for block in blocks.step_by(8) {
            let Some(&[a, b, c, d, e, f, g, h]) =
                packet.transport_header(frame).get(block..).and_then(<[u8]>::first_chunk)
            else {
                return;
            };
            let [left, right] = [[a, b, c, d], [e, f, g, h]].map(|edge| SeqNum(u32::from_be_bytes(edge)));
            let edges = sack([left, right]).map(|edge| edge.0.to_be_bytes());
            // Within the header, so it cannot fail.
            let _ = overwrite(frame, packet, Layer::Tcp, block, edges.as_flattened(), Checksums::Incremental);
        }
    }
}

/// Where in the header the blocks of the next SACK option at or behind `at` lie; `at` is moved behind it. Options are
/// walked over as [`TcpOptions::parse`](super::TcpOptions::parse) does it: one of a length that is not a SACK's is none, a
/// length that cannot be ends the list.
fn next_sack(header: &[u8], at: &mut usize) -> Option<core::ops::Range<usize>> {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const SACK: u8 = 5;
    loop {
        let (kind, length) = match *header.get(*at..)? {
            [] | [END, ..] => return None,
            [NOP, ..] => {
                *at += 1;
                continue;
            }
            [kind, length, ..] if length >= 2 => (kind, usize::from(length)),
            _ => return None,
        };
        let option = *at..*at + length;
        if option.end > header.len() {
            return None;
        }
        *at = option.end;
        if kind == SACK && matches!(length, 10 | 18 | 26 | 34) {
            return Some(option.start + 2..option.end);
        }
    }
}
