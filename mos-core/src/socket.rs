//! Descriptors: one space of positive numbers for sockets of every kind.
//!
//! A number holds an index and a generation, so a descriptor that was closed never names what was opened later (up to the
//! wrap of the generation after 2,047 uses of the same index).

use alloc::vec::Vec;

const INDEX_BITS: u32 = 20;
const GENERATION_MASK: u32 = (1 << (31 - INDEX_BITS)) - 1;

/// Names a socket: a positive number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Descriptor(i32);

impl Descriptor {
    /// The number, as the C interface has it.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// The descriptor of that number, which may be none that is open.
    #[must_use]
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    fn new(index: usize, generation: u32) -> Self {
        Self(((generation & GENERATION_MASK) << INDEX_BITS | index as u32) as i32)
    }

    fn parts(self) -> Option<(usize, u32)> {
        let raw = u32::try_from(self.0).ok()?;
        Some(((raw & ((1 << INDEX_BITS) - 1)) as usize, raw >> INDEX_BITS))
    }
}

/// No socket has this descriptor (EBADF).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad descriptor: no socket is open under this number")]
pub struct BadDescriptor;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// The sockets of one core. Numbers are given out again in the order in which they were closed.
#[derive(Debug)]
pub struct DescriptorTable<T> {
    slots: Vec<Slot<T>>,
    free: alloc::collections::VecDeque<u32>,
}

impl<T> Default for DescriptorTable<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: alloc::collections::VecDeque::new() }
    }
}

impl<T> DescriptorTable<T> {
    /// Opens a socket; `None` if 2^20 are open already (ENFILE).
    pub fn open(&mut self, value: T) -> Option<Descriptor> {
        if let Some(index) = self.free.pop_front() {
            let slot = &mut self.slots[index as usize];
            slot.value = Some(value);
            return Some(Descriptor::new(index as usize, slot.generation));
        }
        let index = self.slots.len();
        if index >= 1 << INDEX_BITS {
            return None;
        }
        // Generation 0 with index 0 would be the number 0: not positive.
        self.slots.push(Slot { generation: 1, value: Some(value) });
        Some(Descriptor::new(index, 1))
    }

    /// What is open under `descriptor`.
    ///
    /// # Errors
    ///
    /// [`BadDescriptor`] if nothing is, or not any more.
    pub fn get(&self, descriptor: Descriptor) -> Result<&T, BadDescriptor> {
        let (index, generation) = descriptor.parts().ok_or(BadDescriptor)?;
        let slot = self.slots.get(index).filter(|slot| slot.generation == generation).ok_or(BadDescriptor)?;
        slot.value.as_ref().ok_or(BadDescriptor)
    }

    /// Closes a socket; its number may be given out again.
    ///
    /// # Errors
    ///
    /// [`BadDescriptor`] if nothing is open under it, or not any more.
    pub fn close(&mut self, descriptor: Descriptor) -> Result<T, BadDescriptor> {
        self.get(descriptor)?;
        let (index, generation) = descriptor.parts().ok_or(BadDescriptor)?;
        let slot = &mut self.slots[index];
        slot.generation = if generation == GENERATION_MASK { 1 } else { generation + 1 };
        self.free.push_back(index as u32);
        slot.value.take().ok_or(BadDescriptor)
    }

    /// Sockets that are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_number_is_never_the_next_socket() {
        let mut table = DescriptorTable::default();
        let first = table.open('a').unwrap();
        assert!(first.as_raw() > 0);
        assert_eq!(table.get(first), Ok(&'a'));
        assert_eq!(table.close(first), Ok('a'));
        assert_eq!(table.close(first), Err(BadDescriptor));
        let second = table.open('b').unwrap();
        assert_ne!(first, second);
        assert_eq!(table.get(first), Err(BadDescriptor));
        assert_eq!(table.get(second), Ok(&'b'));
    }

    #[test]
    fn numbers_stay_positive_when_the_generation_wraps() {
        let mut table = DescriptorTable::default();
        for _ in 0..5000 {
            let descriptor = table.open(()).unwrap();
            assert!(descriptor.as_raw() > 0);
            table.close(descriptor).unwrap();
        }
        for raw in [-1, 0, i32::MIN, i32::MAX] {
            assert_eq!(table.get(Descriptor::from_raw(raw)), Err(BadDescriptor));
        }
    }
}
