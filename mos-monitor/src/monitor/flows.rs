//! The states of a monitor's flows.

/// States by the slots of flows. One that takes no room costs a byte, and that is not looked at: a flow more or less would cost a
/// cache line for each of its packets.
#[derive(Debug)]
pub(super) struct Flows<F> {
    states: Vec<Option<F>>,
    /// For all flows, if the states are all the same.
    any: Option<F>,
}

impl<F> Default for Flows<F> {
    fn default() -> Self {
        Self { states: Vec::new(), any: None }
    }
}

impl<F: Default> Flows<F> {
    /// There is nothing by which one state could be told from another one.
    const ARE_EQUAL: bool = size_of::<F>() == 0 && !std::mem::needs_drop::<F>();

    /// The flow in `slot` is one of the monitor's now.
    #[inline]
    pub(super) fn attach(&mut self, slot: usize) {
        if slot >= self.states.len() {
            self.states.resize_with(slot + 1, || None);
        }
        self.states[slot] = Some(F::default());
        if Self::ARE_EQUAL && self.any.is_none() {
            self.any = Some(F::default());
        }
    }

    /// The flow in `slot` is none of the monitor's any more.
    #[inline]
    pub(super) fn detach(&mut self, slot: usize) {
        if let Some(flow) = self.states.get_mut(slot) {
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
        self.states.iter().enumerate().filter_map(|(slot, flow)| flow.as_ref().map(|_| slot)).collect()
    }
}
