//! The descriptors of one monitor's flows.

use mos_core::socket::Descriptor;

/// Descriptors by the slots of flows, as numbers; 0, which is none, if there is none. As long as none is asked for, they take no room.
#[derive(Debug, Default)]
pub(crate) struct FlowSockets(Vec<i32>);

/// A place without a descriptor.
const NONE: i32 = 0;

impl FlowSockets {
    /// The descriptor of the flow in `slot`, if one was made.
    #[inline]
    pub(crate) fn get(&self, slot: usize) -> Option<Descriptor> {
        self.0.get(slot).filter(|raw| **raw != NONE).map(|raw| Descriptor::from_raw(*raw))
    }

    /// The flow in `slot`, which had none, has a descriptor now.
    pub(crate) fn set(&mut self, slot: usize, descriptor: Descriptor) {
        if slot >= self.0.len() {
            self.0.resize(slot + 1, NONE);
        }
        self.0[slot] = descriptor.as_raw();
    }

    /// The descriptor of the flow in `slot`, which has none from now on.
    #[inline]
    pub(crate) fn take(&mut self, slot: usize) -> Option<Descriptor> {
        let raw = std::mem::replace(self.0.get_mut(slot)?, NONE);
        if raw == NONE { None } else { Some(Descriptor::from_raw(raw)) }
    }
}
