//! Packets that callbacks send: queued here until whoever owns the devices takes them.

use alloc::vec::Vec;

use super::{FlowCx, Stack, WHOLE};
use crate::event::Side;
use crate::packet::LinkType;
use crate::wire::{FrameBuilder, TcpFlags, TcpSegment, decode};

/// So many packets wait to be taken at most: more than any burst has reason to send.
pub const MAX_OUTGOING: usize = 4096;

/// Where a packet that was not received is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As a packet that came in on this port is forwarded.
    Along(u16),
    /// On this port, the way back.
    Back(u16),
    /// Wherever its destination address leads.
    Routed,
}

/// A packet that a callback sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its bytes.
    pub frame: Vec<u8>,
    /// How its first header is to be read: [`LinkType::RawIp`] if it has no link header yet.
    pub link: LinkType,
    /// Where it is to leave.
    pub way: Way,
}

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Too many packets wait to be taken.
    #[error("{MAX_OUTGOING} packets wait to be transmitted already")]
    Full,
    /// The options do not fit a TCP header.
    #[error("{len} bytes of options: a TCP header has room for 40")]
    Options {
        /// Their length in bytes.
        len: usize,
    },
    /// The payload does not fit an IP packet.
    #[error("{len} bytes of payload: the IP packet would be longer than 65535")]
    Payload {
        /// Its length in bytes.
        len: usize,
    },
}

impl Stack {
    /// The next packet that a callback has sent; it belongs on the wire before what is received later.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }
}

impl FlowCx<'_> {
    /// A segment that `to` would take for its peer's next one: addresses, numbers and an ACK, with nothing in it. Data that
    /// callbacks have dropped before never came.
    #[must_use]
    pub fn segment_to(&self, to: Side) -> TcpSegment<'static> {
        let (peer, stack) = (to.other(), &self.stack);
        let mut segment = TcpSegment::new(self.endpoint_seen_by(to, peer), self.endpoint_seen_by(to, to));
        segment.seq = stack.expected(self.slot, to);
        segment.ack = stack.numbers_of(self.slot, to, stack.expected(self.slot, peer));
        segment.flags = TcpFlags::ACK;
        segment
    }

    /// Sends a segment to `to`. It does not pass the flow: its numbers, and what its receiver makes of it, are the caller's
    /// concern. Its addresses decide where it goes.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send(&mut self, to: Side, segment: &TcpSegment<'_>) -> Result<(), SendError> {
        if self.stack.outgoing.len() >= MAX_OUTGOING {
            return Err(SendError::Full);
        }
        if segment.options.len() > 40 {
            return Err(SendError::Options { len: segment.options.len() });
        }
        if segment.payload.len() + 60 + 40 > usize::from(u16::MAX) {
            return Err(SendError::Payload { len: segment.payload.len() });
        }
        let datagram = FrameBuilder::new().raw_ip(segment);
        let outgoing = match self.index.filter(|&index| index != WHOLE) {
            None => Outgoing { frame: datagram, link: LinkType::RawIp, way: Way::Routed },
            Some(index) => {
                let towards = self.stack.sender.other();
                let (meta, along) = (self.burst.frames[index], towards == to);
                let packet = &self.stack.packets[index];
                let mut frame = self.stack.scratch.frame(index, &self.burst)[..usize::from(packet.network)].to_vec();
                if !along && meta.link == LinkType::Ethernet && frame.len() >= 12 {
                    let (destination, source) = frame[..12].split_at_mut(6);
                    destination.swap_with_slice(source);
                }
                frame.extend_from_slice(&datagram);
                // An IPv6 segment on an IPv4 link header would be a lie; so would be what no reader knows.
                let fits = decode(&frame, frame.len() as u32, meta.link).ip_version == packet.ip_version;
                let way = if along { Way::Along(meta.port) } else { Way::Back(meta.port) };
                if fits {
                    Outgoing { frame, link: meta.link, way }
                } else {
                    Outgoing { frame: datagram, link: LinkType::RawIp, way }
                }
            }
        };
        self.stack.outgoing.push_back(outgoing);
        Ok(())
    }

    /// Resets the connection: both endpoints get a RST that they accept (RFC 5961 3.2: it stands exactly where the next
    /// byte is expected). A packet that is to be dropped is dropped first: then its data are still expected.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`].
    pub fn reset(&mut self) -> Result<(), SendError> {
        for side in Side::BOTH {
            let segment = self.segment_to(side);
            self.send(side, &TcpSegment { flags: TcpFlags::RST | TcpFlags::ACK, window: 0, ..segment })?;
        }
        Ok(())
    }
}
