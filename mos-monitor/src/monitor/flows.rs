//! The states of a monitor's flows.

use std::mem::needs_drop;

/// States by the slots of flows. Those that take no room cost a bit each, and that is not looked at: a flow more or less would cost
/// a cache line for each of its packets.
#[derive(Debug)]
pub(super) struct Flows<F> {
    states: Vec<Option<F>>,
    /// If all states are the same: one for all flows ...
    any: Option<F>,
    /// ... and which flows there are.
    there: Vec<u64>,
}

impl<F> Default for Flows<F> {
    fn default() -> Self {
        Self { states: Vec::new(), any: None, there: Vec::new() }
    }
}

impl<F: Default> Flows<F> {
    /// There is nothing by which one state could be told from another one.
    const ARE_EQUAL: bool = size_of::<F>() == 0 && !needs_drop::<F>();

    /// The flow in `slot` is one of the monitor's now.
    #[inline]
    pub(super) fn attach(&mut self, slot: usize) {
        let state = F::default();
        if Self::ARE_EQUAL {
            self.any = Some(state);
            *place(&mut self.there, slot / 64) |= 1 << (slot % 64);
        } else {
            *place(&mut self.states, slot) = Some(state);
        }
    }

    /// The flow in `slot` is none of the monitor's any more.
    #[inline]
    pub(super) fn detach(&mut self, slot: usize) {
        if Self::ARE_EQUAL {
            if let Some(word) = self.there.get_mut(slot / 64) {
                *word &= !(1 << (slot % 64));
            }
        } else if let Some(flow) = self.states.get_mut(slot) {
            // Taken first: it is gone, too, if it panics as it is dropped.
            drop(flow.take());
        }
    }

    /// The state of the flow in `slot`, which is one of the monitor's.
    #[inline]
    pub(super) fn at(&mut self, slot: usize) -> Option<&mut F> {
        if Self::ARE_EQUAL { self.any.as_mut() } else { self.states.get_mut(slot)?.as_mut() }
    }

    /// The slots of all flows.
    pub(super) fn slots(&self) -> Vec<usize> {
        if Self::ARE_EQUAL {
            let is_there = |slot: &usize| self.there[slot / 64] >> (slot % 64) & 1 != 0;
            (0..64 * self.there.len()).filter(is_there).collect()
        } else {
            self.states.iter().enumerate().filter_map(|(slot, flow)| flow.as_ref().map(|_| slot)).collect()
        }
    }
}

/// The place of that number, made if need be.
#[inline(always)]
fn place<T: Default>(places: &mut Vec<T>, number: usize) -> &mut T {
    if number >= places.len() {
        grow(places, number + 1);
    }
    &mut places[number]
}

#[cold]
#[inline(never)]
fn grow<T: Default>(places: &mut Vec<T>, len: usize) {
    places.resize_with(len, T::default);
}
