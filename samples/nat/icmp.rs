//! What a packet without a flow is to the NAT; echoes, and errors about translated packets (RFC 792, RFC 5508).

use mos_core::wire::checksum::{checksum, update_u16};
use mos_core::wire::{Packet, PacketKind};
use mos_monitor::PacketView;

use super::quote::Quote;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const HEADER: usize = 8;

/// Offset of an ICMP checksum in its message.
pub(super) const CHECKSUM: usize = 2;
/// Offset of an echo's identifier.
pub(super) const IDENTIFIER: usize = 4;

/// What a packet is to the NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// TCP that belongs to no flow.
    Tcp,
    /// UDP with its header.
    Udp,
    /// An echo, and its identifier.
    Request(u16),
    /// An answer to an echo.
    Reply(u16),
    /// An error about another packet.
    Error(Quote),
    /// What the NAT cannot tell anything of.
    Other,
}

impl Message {
    pub(super) fn read(view: &PacketView<'_>) -> Self {
        let message = view.frame.get(view.packet.payload_range()).unwrap_or_default();
        match (view.packet.protocol, view.packet.kind) {
            (TCP, _) => Self::Tcp,
            (UDP, PacketKind::OtherIp) if message.len() >= HEADER => Self::Udp,
            (ICMP, PacketKind::OtherIp) if message.len() >= HEADER => Self::icmp(view, message),
            _ => Self::Other,
        }
    }

    fn icmp(view: &PacketView<'_>, message: &[u8]) -> Self {
        let identifier = u16::from_be_bytes([message[IDENTIFIER], message[IDENTIFIER + 1]]);
        match message[0] {
            8 => Self::Request(identifier),
            0 => Self::Reply(identifier),
            // Unreachable, source quench, time exceeded, parameter problem.
            3 | 4 | 11 | 12 => {
                //= RFC 5508 section 4.1, REQ-3: an error with a wrong checksum is dropped.
                let is_whole = view.packet.payload_len == view.packet.payload_captured;
                if is_whole && checksum(message) != 0 {
                    return Self::Other;
                }
                Quote::read(view.frame, view.packet).map_or(Self::Other, Self::Error)
            }
            _ => Self::Other,
        }
    }
}

/// Gives an echo or its answer another identifier.
pub(super) fn set_identifier(frame: &mut [u8], packet: &Packet, identifier: u16) {
    let transport = usize::from(packet.transport);
    Patch::new(frame, transport + CHECKSUM).word(transport + IDENTIFIER, identifier);
}

/// Changes words that a checksum covers, and the checksum with them (RFC 1624).
pub(super) struct Patch<'a> {
    pub(super) frame: &'a mut [u8],
    field: usize,
}

impl<'a> Patch<'a> {
    /// The checksum stands at `field`; what it covers begins at an even distance from all that is changed.
    pub(super) fn new(frame: &'a mut [u8], field: usize) -> Self {
        Self { frame, field }
    }

    pub(super) fn get(&self, at: usize) -> Option<u16> {
        self.frame.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn put(&mut self, at: usize, value: u16) {
        if let Some(field) = self.frame.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *field = value.to_be_bytes();
        }
    }

    /// Writes a word. Nothing happens if the frame does not reach that far.
    pub(super) fn word(&mut self, at: usize, value: u16) {
        if let (Some(old), Some(sum)) = (self.get(at), self.get(self.field))
            && old != value
        {
            self.put(at, value);
            self.put(self.field, update_u16(sum, old, value));
        }
    }
}
