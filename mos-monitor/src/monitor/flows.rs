//! The states of a monitor's flows.

/// States by the slots of flows. One that takes no room costs a byte.
#[derive(Debug)]
pub(super) struct Flows<F>(Vec<Option<F>>);

impl<F> Default for Flows<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: Default> Flows<F> {
    /// The flow in `slot` is one of the monitor's now.
    #[inline]
    pub(super) fn attach(&mut self, slot: usize) {
        if slot >= self.0.len() {
            self.0.resize_with(slot + 1, || None);
        }
        self.0[slot] = Some(F::default());
    }

    /// The flow in `slot` is none of the monitor's any more.
    #[inline]
    pub(super) fn detach(&mut self, slot: usize) {
        if let Some(flow) = self.0.get_mut(slot) {
            // Taken first: it is gone, too, if it panics as it is dropped.
            drop(flow.take());
        }
    }

    /// The state of the flow in `slot`: there from `attach` to `detach`.
    #[inline]
    pub(super) fn at(&mut self, slot: usize) -> Option<&mut F> {
        self.0.get_mut(slot)?.as_mut()
    }

    /// The slots of all flows.
    pub(super) fn slots(&self) -> Vec<usize> {
        self.0.iter().enumerate().filter_map(|(slot, flow)| flow.as_ref().map(|_| slot)).collect()
    }
}
