//! Frames that no slot has room for: super-frames, up to 64 KiB and more. The kernel keeps them in the socket's queue
//! (PACKET_COPY_THRESH), in the order of their slots.

use super::frames::{Arrived, Notes, Source, Tally};
use crate::io::offload::HEADER_BYTES;
use crate::io::sys::message;
use crate::io::sys::socket::PacketSocket;
use crate::packet::Burst;

/// Room for the longest frame that Linux makes (GRO_MAX_SIZE, 512 KiB), with its headers.
const LONGEST: usize = (8 * 65_536) + 1024;

/// No more frames are fetched for a burst when they have this many bytes: what does not stay in the cache is slow.
const BURST_BYTES: usize = 512 << 10;

/// Every frame starts at a multiple of this, and then six bytes, so that its IP header is aligned.
const ALIGNMENT: usize = 64;
const BEFORE: usize = 6;

#[derive(Debug, Default)]
pub(super) struct Oversize {
    memory: Vec<u8>,
    used: usize,
}

impl Oversize {
    /// Whether a burst has enough.
    pub(super) fn is_full(&self, arrived: &Arrived) -> bool {
        arrived.is_full() || self.used >= BURST_BYTES
    }

    /// Fetches the next frame. Its slot has told when it came; all else comes with the frame.
    pub(super) fn fetch(
        &mut self,
        socket: &PacketSocket,
        slot: Notes,
        source: Source,
        arrived: &mut Arrived,
        tally: &mut Tally,
    ) {
        if self.memory.is_empty() {
            self.memory.resize(BURST_BYTES + LONGEST, 0);
        }
        let at = self.used.next_multiple_of(ALIGNMENT) + BEFORE;
        let room = self.memory.get_mut(at..at + LONGEST).unwrap_or_default();
        let Ok(message) = message::receive(socket, room) else {
            tally.cut += 1;
            return;
        };
        let captured = message.bytes.saturating_sub(HEADER_BYTES);
        let (status, tag, tag_type) =
            message.auxdata.map_or((0, 0, 0), |auxdata| (auxdata.tp_status, auxdata.tp_vlan_tci, auxdata.tp_vlan_tpid));
        let len = if message.is_cut || message.bytes < HEADER_BYTES { captured + 1 } else { captured };
        let notes = Notes { start: at + HEADER_BYTES, captured, len, status, tag, tag_type, ..slot };
        arrived.push(&mut self.memory, notes, source, tally);
        self.used = at + message.bytes;
    }

    /// Hands over what was fetched.
    pub(super) fn hand_over(&mut self, arrived: &mut Arrived, take: &mut dyn FnMut(&mut Burst<'_>)) {
        arrived.hand_over(&mut self.memory, take);
        self.used = 0;
    }
}
