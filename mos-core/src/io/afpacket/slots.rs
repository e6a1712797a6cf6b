//! The receive ring of slots (TPACKET_V2): a slot holds one frame and is handed over as soon as the frame has arrived.

use std::io;
use std::mem::offset_of;

use super::frames::{Arrived, Notes, Source, Tally, half, word};
use super::oversize::Oversize;
use crate::io::sys::ring::Ring;
use crate::io::sys::socket::{Geometry, PacketSocket};
use crate::packet::{Burst, MAX_BURST};

/// In front of a frame in its slot, at most: the kernel's headers, what is reserved, and the offload header.
const HEADROOM: usize = 128;

/// No slot is larger: what does not fit comes by system call, which for so much data costs little.
const LARGEST_SLOT: usize = 16 << 10;

const SMALLEST_SLOT: usize = 2 << 10;

/// Memory is allocated in pieces of this size, at least that of a slot.
const BLOCK_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Slots {
    ring: Ring,
    /// The slot that the kernel will fill next, or has filled.
    next: usize,
    source: Source,
    oversize: Oversize,
}

impl Slots {
    /// Slots in which the interface's frames have room, unless they are merged.
    pub(super) fn geometry(mtu: usize, ring_bytes: usize) -> Geometry {
        let slot = (mtu + HEADROOM).next_power_of_two().clamp(SMALLEST_SLOT, LARGEST_SLOT);
        Geometry {
            block_bytes: BLOCK_BYTES as u32,
            blocks: (ring_bytes / BLOCK_BYTES) as u32,
            slot_bytes: slot as u32,
            retire_ms: None,
        }
    }

    pub(super) fn map(socket: &PacketSocket, geometry: Geometry, source: Source) -> io::Result<Self> {
        let slots = geometry.blocks * (geometry.block_bytes / geometry.slot_bytes);
        let status = offset_of!(libc::tpacket2_hdr, tp_status);
        let ring = Ring::map(socket, slots as usize, geometry.slot_bytes as usize, status)?;
        Ok(Self { ring, next: 0, source, oversize: Oversize::default() })
    }

    /// Hands a burst over. Returns whether anything was there.
    ///
    /// A burst is a run of slots that lie one behind the other, or of oversize frames.
    #[inline]
    pub(super) fn receive(
        &mut self,
        socket: &PacketSocket,
        arrived: &mut Arrived,
        tally: &mut Tally,
        take: &mut dyn FnMut(&mut Burst<'_>),
    ) -> bool {
        let first = self.next;
        let longest = MAX_BURST.min(self.ring.units() - first);
        let mut count = 0;
        while count < longest {
            let status = self.ring.status(first + count);
            if status & libc::TP_STATUS_USER == 0 || status & libc::TP_STATUS_COPY != 0 {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return self.oversize(socket, arrived, tally, take);
        }
        let slot_bytes = self.ring.unit_bytes();
        arrived.clear();
        if let Some(memory) = self.ring.taken(first, count) {
            for slot in 0..count {
                let notes = notes(memory, slot * slot_bytes, slot_bytes);
                arrived.push(memory, notes, self.source, tally);
            }
            arrived.hand_over(memory, take);
        }
        for slot in first..first + count {
            self.ring.hand_back(slot);
        }
        self.next = (first + count) % self.ring.units();
        true
    }

    /// The same for frames of which the slot holds only the beginning, and the socket's queue all.
    fn oversize(
        &mut self,
        socket: &PacketSocket,
        arrived: &mut Arrived,
        tally: &mut Tally,
        take: &mut dyn FnMut(&mut Burst<'_>),
    ) -> bool {
        arrived.clear();
        let mut any = false;
        while !self.oversize.is_full(arrived) {
            let status = self.ring.status(self.next);
            if status & libc::TP_STATUS_USER == 0 || status & libc::TP_STATUS_COPY == 0 {
                break;
            }
            any = true;
            let slot_bytes = self.ring.unit_bytes();
            if let Some(slot) = self.ring.taken(self.next, 1) {
                self.oversize.fetch(socket, notes(slot, 0, slot_bytes), self.source, arrived, tally);
            }
            self.ring.hand_back(self.next);
            self.next = (self.next + 1) % self.ring.units();
        }
        self.oversize.hand_over(arrived, take);
        any
    }
}

/// What stands at the head of the slot that begins at `slot`.
#[inline]
fn notes(memory: &[u8], slot: usize, slot_bytes: usize) -> Notes {
    use libc::tpacket2_hdr as Head;
    let head = memory.get(slot..slot + slot_bytes).unwrap_or_default();
    Notes {
        start: slot + usize::from(half(head, offset_of!(Head, tp_mac))),
        captured: word(head, offset_of!(Head, tp_snaplen)) as usize,
        len: word(head, offset_of!(Head, tp_len)) as usize,
        seconds: word(head, offset_of!(Head, tp_sec)),
        nanos: word(head, offset_of!(Head, tp_nsec)),
        status: word(head, offset_of!(Head, tp_status)),
        tag: half(head, offset_of!(Head, tp_vlan_tci)),
        tag_type: half(head, offset_of!(Head, tp_vlan_tpid)),
    }
}
