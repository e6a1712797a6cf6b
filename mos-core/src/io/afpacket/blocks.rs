//! The receive ring of blocks (TPACKET_V3): a block holds many frames, packed, and is handed over when it is full or after a
//! time.

use std::io;
use std::mem::offset_of;

use super::frames::{Arrived, Notes, Source, Tally, half, word};
use crate::io::sys::ring::Ring;
use crate::io::sys::socket::{Geometry, PacketSocket};
use crate::packet::Burst;

/// Large enough for a super-frame.
const SMALLEST_BLOCK: usize = 256 << 10;
const LARGEST_BLOCK: usize = 1 << 20;

/// With fewer blocks, frames are lost although most of the memory is free: one that is handed over counts as full.
const BLOCKS: usize = 16;

/// The kernel wants to know a size of frames, but does not use it.
const NOMINAL_SLOT: u32 = 2 << 10;

/// Where the head of a block begins, behind its version and the offset of private data.
const HEAD: usize = 8;

#[derive(Debug)]
pub(super) struct Blocks {
    ring: Ring,
    /// The block that is being read, or will be next.
    block: usize,
    reading: Option<Reading>,
    source: Source,
}

/// How far a block has been read.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Where the next frame's head is.
    at: usize,
    /// Frames that are still to come.
    left: u32,
}

impl Blocks {
    pub(super) fn geometry(ring_bytes: usize, retire_ms: u32) -> Geometry {
        let block = (ring_bytes / BLOCKS).next_power_of_two().clamp(SMALLEST_BLOCK, LARGEST_BLOCK);
        Geometry {
            block_bytes: block as u32,
            blocks: (ring_bytes / block) as u32,
            slot_bytes: NOMINAL_SLOT,
            retire_ms: Some(retire_ms),
        }
    }

    pub(super) fn map(socket: &PacketSocket, geometry: Geometry, source: Source) -> io::Result<Self> {
        let status = HEAD + offset_of!(libc::tpacket_hdr_v1, block_status);
        let ring = Ring::map(socket, geometry.blocks as usize, geometry.block_bytes as usize, status)?;
        Ok(Self { ring, block: 0, reading: None, source })
    }

    /// Hands a burst over. Returns whether anything was there.
    pub(super) fn receive(
        &mut self,
        arrived: &mut Arrived,
        tally: &mut Tally,
        take: &mut dyn FnMut(&mut Burst<'_>),
    ) -> bool {
        if self.ring.status(self.block) & libc::TP_STATUS_USER == 0 {
            return false;
        }
        let Some(memory) = self.ring.taken(self.block, 1) else { return false };
        let mut reading = self.reading.take().unwrap_or_else(|| Reading {
            at: word(memory, HEAD + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt)) as usize,
            left: word(memory, HEAD + offset_of!(libc::tpacket_hdr_v1, num_pkts)),
        });
        arrived.clear();
        while reading.left > 0 && !arrived.is_full() {
            let (notes, to_next) = notes(memory, reading.at);
            arrived.push(memory, notes, self.source, tally);
            reading = Reading { at: reading.at + to_next, left: reading.left - 1 };
        }
        arrived.hand_over(memory, take);
        if reading.left > 0 {
            self.reading = Some(reading);
        } else {
            self.ring.hand_back(self.block);
            self.block = (self.block + 1) % self.ring.units();
        }
        true
    }
}

/// What stands at the head of a frame, and how far from there the next one is.
#[inline]
fn notes(memory: &[u8], at: usize) -> (Notes, usize) {
    use libc::{tpacket_hdr_variant1 as Variant, tpacket3_hdr as Head};
    const VARIANT: usize = offset_of!(Head, hv1);
    let head = memory.get(at..).and_then(|head| head.get(..size_of::<Head>())).unwrap_or_default();
    let notes = Notes {
        start: at + usize::from(half(head, offset_of!(Head, tp_mac))),
        captured: word(head, offset_of!(Head, tp_snaplen)) as usize,
        len: word(head, offset_of!(Head, tp_len)) as usize,
        seconds: word(head, offset_of!(Head, tp_sec)),
        nanos: word(head, offset_of!(Head, tp_nsec)),
        status: word(head, offset_of!(Head, tp_status)),
        tag: word(head, VARIANT + offset_of!(Variant, tp_vlan_tci)) as u16,
        tag_type: half(head, VARIANT + offset_of!(Variant, tp_vlan_tpid)),
    };
    (notes, word(head, offset_of!(Head, tp_next_offset)) as usize)
}
