//! A packet that no flow has, or not yet; and any packet with its bytes.

use core::net::SocketAddr;

use super::super::{AlterError, Stack, WHOLE};
use super::Attachments;
use crate::filter::Filter;
use crate::packet::{Burst, FrameMeta, Verdict};
use crate::time::Timestamp;
use crate::wire::{Packet, Rewrite};

/// A packet and its bytes.
#[derive(Clone, Copy, Debug)]
pub struct PacketView<'a> {
    /// What the headers say.
    pub packet: &'a Packet,
    /// The frame; for a datagram made whole from fragments, the IP datagram.
    pub frame: &'a [u8],
    /// Bytes it had on the wire.
    pub wire_len: u32,
    /// When it arrived.
    pub timestamp: Timestamp,
    /// The device port it arrived on; 0 for a datagram made whole.
    pub port: u16,
}

impl<'a> PacketView<'a> {
    /// Address and port of the sender; port 0 if the protocol has none.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        SocketAddr::new(self.packet.source(self.frame), self.packet.src_port)
    }

    /// Address and port of the receiver.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.packet.destination(self.frame), self.packet.dst_port)
    }

    /// Whether `filter` matches the packet.
    #[must_use]
    pub fn matches(&self, filter: &Filter) -> bool {
        filter.matches(self.packet, self.frame, self.wire_len)
    }

    /// The captured TCP payload.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.packet.payload(self.frame)
    }
}

/// The context of a packet that no flow has, or not yet.
#[derive(Debug)]
pub struct PacketCx<'a> {
    pub(in crate::stack) stack: &'a mut Stack,
    pub(in crate::stack) burst: Burst<'a>,
    pub(in crate::stack) index: usize,
}

impl PacketCx<'_> {
    /// The same context, borrowed.
    #[must_use]
    pub fn reborrow(&mut self) -> PacketCx<'_> {
        PacketCx { stack: self.stack, burst: self.burst.reborrow(), index: self.index }
    }

    /// The packet.
    #[must_use]
    pub fn packet(&self) -> PacketView<'_> {
        view(self.stack, &self.burst, self.index)
    }

    /// Whether it is IPv6.
    #[inline]
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.stack.packets[self.index].ip_version == 6
    }

    /// The handlers of any flow.
    #[must_use]
    pub fn attachments(&mut self) -> Attachments<'_> {
        self.stack.attachments()
    }

    /// The time of the packet.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.stack.now
    }

    /// The packet is not to be forwarded. False if it came in fragments, which are forwarded one by one.
    pub fn drop_packet(&mut self) -> bool {
        if self.index != WHOLE {
            self.stack.verdicts[self.index] = Verdict::Drop;
        }
        self.index != WHOLE
    }

    /// Whether the packet was made whole from fragments, which have gone their way: it can be neither changed nor dropped.
    #[must_use]
    pub fn came_in_fragments(&self) -> bool {
        self.index == WHOLE
    }

    /// Lets `edit` change the frame in place; checksums are its concern. Whoever comes next, monitors and flows alike, finds the
    /// packet that the frame holds then.
    ///
    /// # Errors
    ///
    /// [`AlterError::Fragmented`]; `edit` was not called then.
    pub fn edit_frame<R>(&mut self, edit: impl FnOnce(&mut [u8], &Packet) -> R) -> Result<R, AlterError> {
        if self.index == WHOLE {
            return Err(AlterError::Fragmented);
        }
        let packet = self.stack.packets[self.index];
        let result = edit(self.stack.scratch.frame_mut(self.index, &mut self.burst), &packet);
        self.stack.decode_anew(self.index, &self.burst);
        Ok(result)
    }

    /// Changes header fields of the packet, all of them or none.
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn rewrite(&mut self, rewrite: &Rewrite) -> Result<(), AlterError> {
        self.edit_frame(|frame, packet| rewrite.apply(frame, packet))?.map_err(AlterError::Edit)
    }
}

pub(in crate::stack) fn view<'v>(stack: &'v Stack, burst: &'v Burst<'_>, index: usize) -> PacketView<'v> {
    const NO_META: FrameMeta = FrameMeta {
        start: 0,
        captured: 0,
        wire_len: 0,
        timestamp: Timestamp::ZERO,
        port: 0,
        link: crate::packet::LinkType::RawIp,
        offload: crate::packet::Offload::NONE,
    };
    let frame = stack.frame(index, burst);
    let whole =
        FrameMeta { captured: frame.len() as u32, wire_len: frame.len() as u32, timestamp: stack.now, ..NO_META };
    let meta = if index == WHOLE { &whole } else { &burst.frames[index] };
    PacketView {
        packet: &stack.packets[index],
        frame,
        wire_len: if stack.scratch.is_replaced(index) { frame.len() as u32 } else { meta.wire_len },
        timestamp: meta.timestamp,
        port: meta.port,
    }
}
