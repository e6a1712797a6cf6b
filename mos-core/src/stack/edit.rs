//! What callbacks do to a packet: at SND, and before any flow has seen it.

use super::{FlowCx, WHOLE};
use crate::flow::NO_SLOT;
use crate::flow::key::PacketKey;
use crate::packet::{Burst, FrameMeta};
use crate::tcp::RemapFull;
use crate::wire::edit::{self, Checksums, EditError, Layer};
use crate::wire::{PacketKind, Rewrite, SeqNum, TcpFlags, decode};

/// What the SND callbacks at hand may do to the payload's length, and what they did to the packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edits {
    /// Something was changed.
    pub(super) edited: bool,
    /// The payload's length was changed, and both endpoints are to be kept in step.
    pub(super) in_step: bool,
    /// Nothing of the segment has passed here before.
    pub(super) fresh: bool,
    /// What this says of the packet is noted only when it is to be changed: the short ways leave that out.
    pub(super) later: bool,
    /// The packet as its sender has sent it: the number of its first byte, and its payload's length.
    pub(super) sent: (SeqNum, u32),
}

impl Edits {
    /// Of a packet that is as its sender has sent it, and of which nothing was edited yet: what it is, is noted when that is
    /// asked for.
    #[inline(always)]
    pub(super) fn begin(&mut self) {
        (self.edited, self.in_step, self.fresh, self.later) = (false, false, false, true);
    }
}

/// Why a packet was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlterError {
    /// The event came without a packet.
    #[error("there is no packet at hand")]
    NoPacket,
    /// The packet was made whole from fragments, which have gone their way.
    #[error("the packet came in fragments, which are forwarded one by one")]
    Fragmented,
    /// The edit is not possible on this packet.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The payload's length cannot be changed with the endpoints in step: bytes of this segment have passed before.
    #[error("bytes of this segment have passed before: the change made then is repeated by itself")]
    Repeated,
    /// The payload's length cannot be changed with the endpoints in step: nobody would send the bytes again if they were lost.
    #[error("a segment without payload, or with SYN or RST, cannot be given another length: send a packet instead")]
    NoPayload,
    /// The payload's length cannot be changed with the endpoints in step: too much of that is not acknowledged yet.
    #[error(transparent)]
    Full(#[from] RemapFull),
    /// The packet's receiver has seen it as it was: only headers of what goes on can be changed.
    #[error("the receiver has seen the packet: its payload and its length stay as they are")]
    Seen,
}

impl FlowCx<'_> {
    /// The packet's place in its burst, if it is in a frame of its own and can be changed. What it was is noted.
    fn begin_edit(&mut self) -> Result<(usize, FrameMeta), AlterError> {
        let (index, meta) = self.own_frame()?;
        if self.stack.edits.later {
            let packet = &self.stack.packets[index];
            let sent = (packet.seq, packet.payload_len);
            let fresh = self.stack.is_fresh(self.slot, self.stack.sender, sent, sent.0);
            self.stack.edits = Edits { fresh, sent, ..Edits::default() };
        }
        Ok((index, meta))
    }

    /// The packet's place in its burst, if it is in a frame of its own.
    fn own_frame(&self) -> Result<(usize, FrameMeta), AlterError> {
        match self.index {
            None => Err(AlterError::NoPacket),
            Some(WHOLE) => Err(AlterError::Fragmented),
            Some(index) => Ok((index, self.burst.frames[index])),
        }
    }

    /// The packet's bytes, to change in place; checksums are the caller's concern. Only changes made at the SND hook have an
    /// effect on the flow. `None` without a packet, or for a datagram made whole from fragments.
    #[must_use]
    pub fn frame_mut(&mut self) -> Option<&mut [u8]> {
        let (index, _) = self.begin_edit().ok()?;
        self.stack.edits.edited = true;
        Some(self.stack.scratch.frame_mut(index, &mut self.burst))
    }

    /// Overwrites bytes of the packet.
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn overwrite(
        &mut self,
        layer: Layer,
        offset: usize,
        bytes: &[u8],
        checksums: Checksums,
    ) -> Result<(), AlterError> {
        let (index, meta) = self.begin_edit()?;
        let packet = self.stack.packets[index];
        let frame = self.stack.scratch.frame_mut(index, &mut self.burst);
        edit::overwrite(frame, &packet, layer, offset, bytes, checksums)?;
        self.read_again(index, meta);
        Ok(())
    }

    /// Overwrites bytes in the headers of a packet whose receiver has seen it as it was: only what is forwarded changes.
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn overwrite_forwarded(
        &mut self,
        layer: Layer,
        offset: usize,
        bytes: &[u8],
        checksums: Checksums,
    ) -> Result<(), AlterError> {
        let (index, _) = self.own_frame()?;
        if layer == Layer::Payload {
            // Readers may still be shown it where it lies.
            return Err(AlterError::Seen);
        }
        let packet = self.stack.packets[index];
        let frame = self.stack.scratch.frame_mut(index, &mut self.burst);
        edit::overwrite(frame, &packet, layer, offset, bytes, checksums)?;
        Ok(())
    }

    /// Changes header fields of the packet, all of them or none.
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn rewrite(&mut self, rewrite: &Rewrite) -> Result<(), AlterError> {
        let (index, meta) = self.begin_edit()?;
        let packet = self.stack.packets[index];
        rewrite.apply(self.stack.scratch.frame_mut(index, &mut self.burst), &packet)?;
        self.read_again(index, meta);
        Ok(())
    }

    /// Replaces `removed` bytes of the packet by others, perhaps more or fewer.
    ///
    /// `in_step`: if the payload's length changes, the sequence and acknowledgment numbers of all later packets of the flow are
    /// shifted, and the change is repeated when the segment is retransmitted, so that neither endpoint notices.
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn splice(
        &mut self,
        layer: Layer,
        offset: usize,
        removed: usize,
        inserted: &[u8],
        checksums: Checksums,
        in_step: bool,
    ) -> Result<(), AlterError> {
        if removed == inserted.len() {
            return self.overwrite(layer, offset, inserted, checksums);
        }
        let (index, meta) = self.begin_edit()?;
        let packet = self.stack.packets[index];
        let shifts = in_step && layer == Layer::Payload;
        if shifts && (self.stack.edits.sent.1 == 0 || packet.tcp_flags & (TcpFlags::SYN | TcpFlags::RST) != 0) {
            return Err(AlterError::NoPayload);
        }
        if shifts && !self.stack.edits.fresh {
            return Err(AlterError::Repeated);
        }
        if shifts {
            self.stack.room_for_edit(self.slot, self.stack.sender, packet.payload_len as usize + inserted.len())?;
        }
        let max_len = self.stack.config.max_ip_len.into();
        self.stack.scratch.replace(index, &self.burst, |bytes, start| {
            edit::splice(bytes, start, &packet, layer, offset, removed, inserted, checksums, max_len)
        })?;
        self.stack.edits.in_step |= shifts;
        self.read_again(index, meta);
        Ok(())
    }

    fn read_again(&mut self, index: usize, meta: FrameMeta) {
        self.stack.edits.edited = true;
        self.stack.decode_again(index, &meta, &self.burst);
    }
}

impl super::Stack {
    /// Decodes the packet at `index` after a change that was made before any flow has seen it, whatever it is now.
    pub(super) fn decode_anew(&mut self, index: usize, burst: &Burst<'_>) {
        let meta = burst.frames[index];
        let frame = self.scratch.frame(index, burst);
        let wire_len = if self.scratch.is_replaced(index) { frame.len() as u32 } else { meta.wire_len };
        let packet = decode(frame, wire_len, meta.link);
        let is_tcp = packet.kind == PacketKind::Tcp;
        let key = if is_tcp { self.hasher.key(&packet, frame) } else { PacketKey::NONE };
        self.slots[index] = if is_tcp { self.flows.probe(key.tag) } else { NO_SLOT };
        (self.packets[index], self.keys[index]) = (packet, key);
    }

    /// Decodes the packet at `index` after a change. What is no TCP segment any more stays as it was decoded: no more can
    /// be done to it, and it reaches no endpoint.
    pub(super) fn decode_again(&mut self, index: usize, meta: &FrameMeta, burst: &Burst<'_>) -> bool {
        let frame = self.scratch.frame(index, burst);
        let wire_len = if self.scratch.is_replaced(index) { frame.len() as u32 } else { meta.wire_len };
        let packet = decode(frame, wire_len, meta.link);
        let is_tcp = packet.kind == PacketKind::Tcp;
        if is_tcp {
            self.packets[index] = packet;
            self.keys[index] = self.hasher.key(&packet, frame);
        }
        is_tcp
    }
}
