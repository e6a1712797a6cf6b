//! What a flow has only once something of it was lost, repeated, late or left unread.

use alloc::vec::Vec;

use crate::reassembly::BufferId;

/// The records of all flows that have one, by four-byte numbers, recycled. There are never more of them than slots.
#[derive(Debug)]
pub(super) struct SpillStore {
    /// The first one stays empty: it is what all flows without one show.
    spills: Vec<Spill>,
    free: Vec<u32>,
}

/// The number of no record of its own.
pub(super) const NO_SPILL: u32 = 0;

/// Both sides of a flow.
#[derive(Debug)]
struct Spill {
    half: [SpillHalf; 2],
}

/// What one endpoint has.
#[derive(Debug)]
pub struct SpillHalf {
    /// Bytes of the stream this endpoint receives that were never seen.
    pub gap_bytes: u64,
    /// Bytes that this endpoint was sent again.
    pub retransmitted_bytes: u64,
    /// Segments that brought this endpoint something again.
    pub retransmits: u32,
    /// Overlaps with other bytes than before.
    pub conflicts: u32,
    /// The stream buffer, if [`HalfFlags::BUFFERED`](super::HalfFlags::BUFFERED).
    pub buffer: Option<BufferId>,
}

impl SpillHalf {
    const NEW: Self = Self { gap_bytes: 0, retransmitted_bytes: 0, retransmits: 0, conflicts: 0, buffer: None };
}

impl Spill {
    const NEW: Self = Self { half: [SpillHalf::NEW; 2] };
}

impl SpillStore {
    /// Room for `flows` records, reserved, not touched: none is ever moved.
    pub(super) fn new(flows: usize) -> Self {
        let mut spills = Vec::with_capacity(flows + 1);
        spills.push(Spill::NEW);
        Self { spills, free: Vec::new() }
    }

    /// One side of the record numbered `spill`.
    #[inline]
    pub(super) fn get(&self, spill: u32, side: usize) -> &SpillHalf {
        &self.spills[spill as usize].half[side]
    }

    /// The same, to change; a flow without a record gets one.
    pub(super) fn get_mut(&mut self, spill: &mut u32, side: usize) -> &mut SpillHalf {
        if *spill == NO_SPILL {
            *spill = self.free.pop().unwrap_or_else(|| {
                self.spills.push(Spill::NEW);
                self.spills.len() as u32 - 1
            });
        }
        &mut self.spills[*spill as usize].half[side]
    }

    /// The flow that had the record is gone.
    #[inline]
    pub(super) fn give_back(&mut self, spill: u32) {
        if spill != NO_SPILL {
            self.take_back(spill);
        }
    }

    /// The same if there is one. Not inlined: hardly any flow has one.
    #[inline(never)]
    fn take_back(&mut self, spill: u32) {
        let old = core::mem::replace(&mut self.spills[spill as usize], Spill::NEW);
        debug_assert!(old.half.iter().all(|half| half.buffer.is_none()), "a buffer is lost to its store");
        self.free.push(spill);
    }
}
