//! The descriptors of one monitor's flows.

use mos_core::socket::Descriptor;

/// Descriptors by the slots of flows. As long as none is asked for, they take no room.
#[derive(Debug, Default)]
pub(crate) struct FlowSockets(Vec<Option<Descriptor>>);

impl FlowSockets {
    /// The descriptor of the flow in `slot`, if one was made.
    pub(crate) fn get(&self, slot: usize) -> Option<Descriptor> {
        *self.0.get(slot)?
    }

    /// The flow in `slot`, which had none, has a descriptor now.
    pub(crate) fn set(&mut self, slot: usize, descriptor: Descriptor) {
        if slot >= self.0.len() {
            self.0.resize(slot + 1, None);
        }
        self.0[slot] = Some(descriptor);
    }

    /// The descriptor of the flow in `slot`, which has none from now on.
    #[inline]
    pub(crate) fn take(&mut self, slot: usize) -> Option<Descriptor> {
        self.0.get_mut(slot)?.take()
    }
}
