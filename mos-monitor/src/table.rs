//! Sets of monitors that flows are attached to. Flows with the same set share one entry, by a number of eight bits that
//! the stack carries for them.

use mos_core::event::{Interest, Side};
use smallvec::SmallVec;

use crate::control::MAX_MONITORS;

/// A monitor as a set refers to it: its index, and its place in the order of creation, which is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) index: u8,
    pub(crate) order: u64,
}

/// Members in order of creation.
pub(crate) type Members = SmallVec<[Member; MAX_MONITORS]>;

#[derive(Debug, Default)]
struct Set {
    members: Members,
    interest: Interest,
    readers: [u16; 2],
    history_bytes: u64,
    flows: u32,
}

/// What of a monitor matters to the sets it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    pub(crate) interest: Interest,
    pub(crate) history_bytes: u64,
}

/// All sets of a core.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    sets: Vec<Set>,
}

impl Tables {
    /// The number of the set with these members, for one flow more. `None` if 256 others are in use.
    pub(crate) fn acquire(
        &mut self,
        members: &Members,
        wants: &[Option<Wants>; MAX_MONITORS],
    ) -> Option<(u8, Interest)> {
        let found = self.sets.iter().position(|set| set.members == *members);
        let number = match found.or_else(|| self.sets.iter().position(|set| set.flows == 0)) {
            Some(number) => number,
            None if self.sets.len() <= usize::from(u8::MAX) => {
                self.sets.push(Set::default());
                self.sets.len() - 1
            }
            None => return None,
        };
        let set = &mut self.sets[number];
        if found.is_none() {
            set.members = members.clone();
            set.refresh(wants);
        }
        set.flows += 1;
        Some((number as u8, set.interest))
    }

    /// One flow less.
    pub(crate) fn release(&mut self, number: u8) {
        if let Some(set) = self.sets.get_mut(usize::from(number)) {
            set.flows = set.flows.saturating_sub(1);
        }
    }

    /// The members of a set, in order of creation.
    pub(crate) fn members(&self, number: u8) -> &[Member] {
        self.sets.get(usize::from(number)).map_or(&[], |set| &set.members)
    }

    pub(crate) fn interest(&self, number: u8) -> Interest {
        self.sets.get(usize::from(number)).map_or(Interest::NONE, |set| set.interest)
    }

    pub(crate) fn readers(&self, number: u8, side: Side) -> u16 {
        self.sets.get(usize::from(number)).map_or(0, |set| set.readers[side as usize])
    }

    pub(crate) fn history_bytes(&self, number: u8) -> u64 {
        self.sets.get(usize::from(number)).map_or(0, |set| set.history_bytes)
    }

    /// A monitor is gone: no set has it any more.
    pub(crate) fn remove(&mut self, order: u64, wants: &[Option<Wants>; MAX_MONITORS]) {
        for set in &mut self.sets {
            let before = set.members.len();
            set.members.retain(|member| member.order != order);
            if set.members.len() != before {
                set.refresh(wants);
            }
        }
    }
}

impl Set {
    fn refresh(&mut self, wants: &[Option<Wants>; MAX_MONITORS]) {
        self.interest = Interest::NONE;
        self.readers = [0; 2];
        self.history_bytes = 0;
        for member in &self.members {
            let Some(wants) = wants[usize::from(member.index)] else { continue };
            self.interest = self.interest.or(wants.interest);
            self.history_bytes = self.history_bytes.max(wants.history_bytes);
            for side in Side::BOTH {
                if wants.interest.any(Interest::buffer(side)) {
                    self.readers[side as usize] |= 1 << member.index;
                }
            }
        }
    }
}
