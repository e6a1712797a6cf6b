//! Packets that wait until their next hop's hardware address is known, within bounds.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::mac::MacAddr;
use super::neighbor::NeighborKey;
use super::output::Departure;

/// The most packets that wait.
pub const MAX_HELD: usize = 64;

/// The most bytes that wait, in all packets: 1 MiB.
pub const MAX_HELD_BYTES: usize = 1 << 20;

/// The most packets that wait for the same next hop.
pub const MAX_HELD_PER_NEIGHBOR: usize = 3;

/// Where the sender of a packet is: who is told what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) port: u16,
    /// The hardware address it came from; none if it came without.
    pub(super) mac: Option<MacAddr>,
}

/// A packet that waits.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) next_hop: NeighborKey,
    /// Complete but for the destination's hardware address.
    pub(super) departure: Departure,
    /// Who sent it, if it came in.
    pub(super) origin: Option<Origin>,
}

/// The packets that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct HeldQueue {
    packets: VecDeque<Held>,
    bytes: usize,
}

impl HeldQueue {
    /// Adds a packet. Returns how many older ones, or it itself, had to go.
    pub(super) fn push(&mut self, held: Held) -> usize {
        let len = held.departure.frame.len();
        if len > MAX_HELD_BYTES {
            return 1;
        }
        let mut dropped = 0;
        //= RFC 1122 section 2.3.2.2
        //= RFC 4861 section 7.2.2
        // The newest are kept: they are what the receiver can still use.
        let is_same = |other: &Held| other.next_hop == held.next_hop;
        if self.packets.iter().filter(|other| is_same(other)).count() >= MAX_HELD_PER_NEIGHBOR
            && let Some(index) = self.packets.iter().position(is_same)
        {
            dropped += usize::from(self.remove(index).is_some());
        }
        while self.packets.len() >= MAX_HELD || self.bytes + len > MAX_HELD_BYTES {
            dropped += usize::from(self.remove(0).is_some());
        }
        self.bytes += len;
        self.packets.push_back(held);
        dropped
    }

    /// Takes out what waits for `next_hop`, in order.
    pub(super) fn take(&mut self, next_hop: NeighborKey) -> Vec<Held> {
        let mut taken = Vec::new();
        while let Some(index) = self.packets.iter().position(|held| held.next_hop == next_hop) {
            taken.extend(self.remove(index));
        }
        taken
    }

    /// How many wait, and how many bytes they have.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.packets.len(), self.bytes)
    }

    fn remove(&mut self, index: usize) -> Option<Held> {
        let held = self.packets.remove(index)?;
        self.bytes -= held.departure.frame.len();
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Offload;
    use proptest::prelude::*;

    fn held(neighbor: u8, number: u8, len: usize) -> Held {
        let mut frame = vec![0; len.max(1)];
        frame[0] = number;
        let next_hop = NeighborKey { port: 0, address: [10, 0, 0, neighbor].into() };
        Held { next_hop, departure: Departure { port: 0, frame, offload: Offload::NONE }, origin: None }
    }

    fn numbers(held: &[Held]) -> Vec<u8> {
        held.iter().map(|held| held.departure.frame[0]).collect()
    }

    #[test]
    fn rfc_4861_7_2_2_the_newest_packets_of_a_neighbor_are_kept_in_order() {
        let mut queue = HeldQueue::default();
        let dropped: Vec<_> = (0..5).map(|number| queue.push(held(1, number, 100))).collect();
        assert_eq!(dropped, [0, 0, 0, 1, 1]);
        assert_eq!(queue.push(held(2, 9, 100)), 0);
        assert_eq!(numbers(&queue.take(held(1, 0, 1).next_hop)), [2, 3, 4]);
        assert_eq!(queue.size(), (1, 100));
        assert_eq!(queue.take(held(3, 0, 1).next_hop).len(), 0);
    }

    proptest! {
        #[test]
        fn bounds_hold_and_nothing_is_lost_uncounted(
            pushes in prop::collection::vec((0u8..40, prop_oneof![1usize..2000, 60_000usize..1_100_000]), 0..200),
        ) {
            let mut queue = HeldQueue::default();
            let mut dropped = 0;
            for &(neighbor, len) in &pushes {
                dropped += queue.push(held(neighbor, 0, len));
                let (packets, bytes) = queue.size();
                prop_assert!(packets <= MAX_HELD && bytes <= MAX_HELD_BYTES);
            }
            let left: Vec<_> = (0..40).map(|neighbor| queue.take(held(neighbor, 0, 1).next_hop).len()).collect();
            prop_assert!(left.iter().all(|&count| count <= MAX_HELD_PER_NEIGHBOR));
            prop_assert_eq!(left.iter().sum::<usize>() + dropped, pushes.len());
            prop_assert_eq!(queue.size(), (0, 0));
        }
    }
}
