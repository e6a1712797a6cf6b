//! Changing the packet at hand: header fields by name, or bytes anywhere.

use std::net::{IpAddr, SocketAddr};

use mos_core::stack::{AlterError, FlowCx, PacketCx};
use mos_core::wire::edit::{Checksums, Layer};
use mos_core::wire::{Rewrite, SeqNum};

/// Header fields that are to change. Nothing happens before [`apply`](Self::apply).
#[derive(Debug)]
#[must_use = "nothing is changed without `apply`"]
pub struct Rewriting<'a, 'b> {
    packet: At<'a, 'b>,
    fields: Rewrite,
}

/// Where the packet is at hand.
#[derive(Debug)]
enum At<'a, 'b> {
    Flow(&'a mut FlowCx<'b>),
    Packet(&'a mut PacketCx<'b>),
}

impl<'a, 'b> Rewriting<'a, 'b> {
    pub(crate) fn new(cx: &'a mut FlowCx<'b>) -> Self {
        Self { packet: At::Flow(cx), fields: Rewrite::default() }
    }

    /// Of a packet without a flow.
    pub(crate) fn of_packet(cx: &'a mut PacketCx<'b>) -> Self {
        Self { packet: At::Packet(cx), fields: Rewrite::default() }
    }

    /// Source address and port.
    pub fn src(mut self, ip: impl Into<IpAddr>, port: u16) -> Self {
        self.fields.src = Some(SocketAddr::new(ip.into(), port));
        self
    }

    /// Destination address and port.
    pub fn dst(mut self, ip: impl Into<IpAddr>, port: u16) -> Self {
        self.fields.dst = Some(SocketAddr::new(ip.into(), port));
        self
    }

    /// Hardware addresses.
    pub fn macs(mut self, src: [u8; 6], dst: [u8; 6]) -> Self {
        (self.fields.src_mac, self.fields.dst_mac) = (Some(src), Some(dst));
        self
    }

    /// Sequence number.
    pub fn seq(mut self, seq: SeqNum) -> Self {
        self.fields.seq = Some(seq);
        self
    }

    /// Acknowledgment number.
    pub fn ack(mut self, ack: SeqNum) -> Self {
        self.fields.ack = Some(ack);
        self
    }

    /// Window, not scaled.
    pub fn window(mut self, window: u16) -> Self {
        self.fields.window = Some(window);
        self
    }

    /// TCP flags.
    pub fn flags(mut self, flags: u8) -> Self {
        self.fields.flags = Some(flags);
        self
    }

    /// Time to live, or hop limit.
    pub fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.fields.hop_limit = Some(hop_limit);
        self
    }

    /// Differentiated services code point (RFC 2474).
    pub fn dscp(mut self, dscp: u8) -> Self {
        self.fields.dscp = Some(dscp);
        self
    }

    /// Changes all of them, with the checksums updated (RFC 1624).
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn apply(self) -> Result<(), AlterError> {
        match self.packet {
            At::Flow(cx) => cx.rewrite(&self.fields),
            At::Packet(cx) => cx.rewrite(&self.fields),
        }
    }
}

/// Changes bytes of the packet. Offsets count from the beginning of a [`Layer`]; lengths in headers are kept right.
#[derive(Debug)]
pub struct Edit<'a, 'b> {
    cx: &'a mut FlowCx<'b>,
    checksums: Checksums,
    in_step: bool,
}

impl<'a, 'b> Edit<'a, 'b> {
    pub(crate) fn new(cx: &'a mut FlowCx<'b>) -> Self {
        Self { cx, checksums: Checksums::default(), in_step: true }
    }

    /// What becomes of the checksums; updated (RFC 1624) if nothing is said.
    #[must_use]
    pub fn checksums(self, checksums: Checksums) -> Self {
        Self { checksums, ..self }
    }

    /// If the payload's length changes, the endpoints are left to themselves: later sequence and acknowledgment numbers are not
    /// shifted.
    #[must_use]
    pub fn out_of_step(self) -> Self {
        Self { in_step: false, ..self }
    }

    /// Overwrites bytes (MOS_OVERWRITE).
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn overwrite(&mut self, layer: Layer, offset: usize, bytes: &[u8]) -> Result<&mut Self, AlterError> {
        self.cx.overwrite(layer, offset, bytes, self.checksums)?;
        Ok(self)
    }

    /// Takes bytes out (MOS_CHOMP).
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn chomp(&mut self, layer: Layer, offset: usize, len: usize) -> Result<&mut Self, AlterError> {
        self.replace(layer, offset, len, &[])
    }

    /// Puts bytes in (MOS_INSERT).
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn insert(&mut self, layer: Layer, offset: usize, bytes: &[u8]) -> Result<&mut Self, AlterError> {
        self.replace(layer, offset, 0, bytes)
    }

    /// Puts bytes in the place of others, perhaps more or fewer.
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn replace(
        &mut self,
        layer: Layer,
        offset: usize,
        removed: usize,
        inserted: &[u8],
    ) -> Result<&mut Self, AlterError> {
        self.cx.splice(layer, offset, removed, inserted, self.checksums, self.in_step)?;
        Ok(self)
    }
}
