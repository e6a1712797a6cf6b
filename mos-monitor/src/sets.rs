//! Sets of monitors with their tables, that flows are attached to. Flows with the same monitors and tables share one set, by a
//! number of 16 bits that the stack carries for them.

use std::collections::HashMap;
use std::rc::Rc;

use mos_core::event::{Attachment, Interest, Reading, Side, Wanted};
use mos_core::reassembly::OverlapPolicy;
use smallvec::SmallVec;

use crate::calls::Calls;
use crate::control::MAX_MONITORS;
use crate::table::{Change, HandlerTable};

/// The most sets at a time: the last number is the stack's own, [`Attachment::BYPASS`].
pub(crate) const MAX_SETS: usize = u16::MAX as usize;

/// So many sets without a flow are kept: flows that change to and fro find them again.
const MAX_IDLE: usize = 256;

/// A monitor as a set refers to it: its index, and its place in the order of creation, which is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    pub(crate) index: u8,
    pub(crate) order: u32,
}

impl Member {
    /// The core itself: no monitor has that place.
    pub(crate) const CORE: Self = Self { index: u8::MAX, order: u32::MAX };
}

/// A monitor, and what it wants of the flows of a set.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) member: Member,
    pub(crate) table: Rc<HandlerTable>,
}

/// Members in order of creation.
pub(crate) type Seats = SmallVec<[Seat; 2]>;

/// By what sets are told apart: monitors, in order of creation, with the numbers of their tables.
type Name = SmallVec<[(u32, u64); 2]>;

#[derive(Debug)]
pub(crate) struct Set {
    /// In order of creation.
    pub(crate) seats: Box<[Seat]>,
    /// What is called when they are told something.
    pub(crate) calls: Calls,
    /// The only monitor and its only handler of NEW_DATA, if that is all, and callbacks are not timed.
    pub(crate) reader: Option<(Member, u32)>,
    /// What the flows' lines say of `interest`.
    pub(crate) wanted: Wanted,
    pub(crate) interest: Interest,
    pub(crate) reading: [Reading; 2],
    /// `None` if its number is free: then it has no seats either.
    flows: Option<u32>,
}

/// From one set to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) to: u16,
    /// Sides that the monitor begins to read.
    pub(crate) begins: [bool; 2],
    /// Sides whose buffer is to have another size than this.
    pub(crate) resizes: [Option<Reading>; 2],
}

/// All sets of a core.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    sets: Vec<Set>,
    names: HashMap<Name, u16>,
    /// The monitors that the last flow began with, by the bits of their indices, and their set: most flows begin with the same.
    beginning: Option<(u16, u16)>,
    free: Vec<u16>,
    idle: usize,
    /// Callbacks are timed.
    timed: bool,
    /// Where changes have led before. Emptied when a set goes.
    steps: HashMap<(u16, u8, Change), Step>,
}

impl Sets {
    /// The set of that number; one without seats, or none, if that is free.
    #[inline]
    pub(crate) fn get(&self, number: u16) -> Option<&Set> {
        self.sets.get(usize::from(number))
    }

    /// From now on callbacks are timed.
    pub(crate) fn time(&mut self) {
        self.timed = true;
        for set in &mut self.sets {
            (set.calls, set.reader) = (Calls::new(&set.seats, true), None);
        }
    }

    /// Sets that there are.
    pub(crate) fn len(&self) -> usize {
        self.sets.len() - self.free.len()
    }

    /// The set with these seats, for one flow more. `None` if all numbers are in use.
    pub(crate) fn acquire(&mut self, seats: Seats) -> Option<Attachment> {
        let table = self.number(seats)?;
        Some(Attachment { interest: self.enter(table), table })
    }

    /// The set of these monitors, for a flow that begins. If the last one did not begin with them, it gets these seats. `None`
    /// if all numbers are in use.
    #[inline]
    pub(crate) fn begin(&mut self, monitors: u16, seats: impl FnOnce() -> Seats) -> Option<Attachment> {
        match self.beginning {
            Some((last, table)) if last == monitors => Some(Attachment { interest: self.enter(table), table }),
            _ => {
                let attachment = self.acquire(seats())?;
                self.beginning = Some((monitors, attachment.table));
                Some(attachment)
            }
        }
    }

    /// Monitors begin flows with other tables than before.
    pub(crate) fn begin_anew(&mut self) {
        self.beginning = None;
    }

    /// One flow more.
    fn enter(&mut self, number: u16) -> Interest {
        let Some(Set { flows: Some(flows), interest, .. }) = self.sets.get_mut(usize::from(number)) else {
            return Interest::NONE;
        };
        if *flows == 0 {
            self.idle -= 1;
        }
        *flows += 1;
        *interest
    }

    /// One flow less.
    pub(crate) fn release(&mut self, number: u16) {
        if let Some(Set { flows: Some(flows), .. }) = self.sets.get_mut(usize::from(number)) {
            *flows -= 1;
            if *flows == 0 {
                self.idle += 1;
            }
        }
    }

    /// The number of the set with these seats, which may have no flow yet.
    fn number(&mut self, seats: Seats) -> Option<u16> {
        let name = name(&seats);
        if let Some(number) = self.names.get(&name) {
            return Some(*number);
        }
        if self.idle > MAX_IDLE || (self.free.is_empty() && self.sets.len() >= MAX_SETS) {
            self.sweep();
        }
        let set = Set::new(seats, Some(0), self.timed);
        self.idle += 1;
        let number = match self.free.pop() {
            Some(number) => {
                self.sets[usize::from(number)] = set;
                number
            }
            None if self.sets.len() < MAX_SETS => {
                self.sets.push(set);
                (self.sets.len() - 1) as u16
            }
            None => {
                self.idle -= 1;
                return None;
            }
        };
        self.names.insert(name, number);
        Some(number)
    }

    /// Forgets all sets without a flow.
    fn sweep(&mut self) {
        for (number, set) in self.sets.iter_mut().enumerate() {
            if set.flows == Some(0) {
                *set = Set::new(Seats::new(), None, self.timed);
                self.free.push(number as u16);
            }
        }
        self.idle = 0;
        self.begin_anew();
        self.steps.clear();
        let sets = &self.sets;
        self.names.retain(|_, number| sets[usize::from(*number)].flows.is_some());
    }

    /// Moves a flow from set `from` on, after a change of what `member` wants. `table` makes the table that the change leads to
    /// from another one. `None` if all numbers are in use: the flow stays.
    pub(crate) fn step(
        &mut self,
        from: u16,
        member: Member,
        change: Change,
        table: impl FnOnce(&HandlerTable) -> Rc<HandlerTable>,
    ) -> Option<Step> {
        let known = self.steps.get(&(from, member.index, change)).copied();
        let step = match known {
            Some(step) => step,
            None => {
                let set = self.get(from)?;
                let place = set.seats.iter().position(|seat| seat.member == member)?;
                let (mut seats, before) = (Seats::from(&*set.seats), set.reading);
                let old = Rc::clone(&seats[place].table);
                let new = table(&old);
                let begins = Side::BOTH.map(|side| !old.reads(side) && new.reads(side));
                seats[place].table = new;
                // Not to be swept while it is looked for: it has a flow, and the new one is found before anything else.
                let to = self.number(seats)?;
                let after = self.get(to)?.reading;
                let size = |reading: Reading| (reading.buffer_bytes, reading.usual_buffer);
                let resizes = [0, 1].map(|side| Some(before[side]).filter(|old| size(*old) != size(after[side])));
                let step = Step { to, begins, resizes };
                self.steps.insert((from, member.index, change), step);
                step
            }
        };
        self.enter(step.to);
        self.release(from);
        Some(step)
    }

    /// A monitor is gone: no set has it any more.
    pub(crate) fn remove(&mut self, member: Member) {
        self.steps.clear();
        self.begin_anew();
        for set in self.sets.iter_mut().filter(|set| set.seats.iter().any(|seat| seat.member == member)) {
            *set = Set::new(set.without(member), set.flows, self.timed);
        }
        // Sets that are equal now keep their numbers; the first of them is found from now on.
        self.names.clear();
        for (number, set) in self.sets.iter().enumerate() {
            if set.flows.is_some() {
                self.names.entry(name(&set.seats)).or_insert(number as u16);
            }
        }
    }

    /// What a flow of that set is told.
    pub(crate) fn attachment(&self, number: u16) -> Attachment {
        match self.get(number) {
            Some(set) if !set.seats.is_empty() => Attachment { interest: set.interest, table: number },
            _ => Attachment::BYPASS,
        }
    }

    /// Whether `member` is in the set of that number.
    pub(crate) fn has(&self, number: u16, member: Member) -> bool {
        self.seat(number, member).is_some()
    }

    /// What `member` wants of the flows of the set of that number.
    pub(crate) fn seat(&self, number: u16, member: Member) -> Option<&Seat> {
        self.get(number)?.seat(member)
    }

    /// The seats of the set of that number without those of `member`.
    pub(crate) fn without(&self, number: u16, member: Member) -> Seats {
        self.get(number).map_or_else(Seats::new, |set| set.without(member))
    }

    /// Who reads what `side` receives.
    #[inline]
    pub(crate) fn reading(&self, number: u16, side: Side) -> Reading {
        self.get(number).map_or(Reading::NOBODY, |set| set.reading[side as usize])
    }
}

/// By what a set with these seats is known.
fn name(seats: &[Seat]) -> Name {
    seats.iter().map(|seat| (seat.member.order, seat.table.id)).collect()
}

impl Set {
    /// The first seat, in the order in which they stand on the wire for what comes towards `side`; with `last`, the first one behind
    /// it.
    pub(crate) fn next(&self, towards: Side, last: Option<Member>) -> Option<&Seat> {
        let is_behind = |seat: &&Seat| match (last, towards) {
            (None, _) => true,
            (Some(last), Side::Server) => seat.member.order > last.order,
            (Some(last), Side::Client) => seat.member.order < last.order,
        };
        match towards {
            Side::Server => self.seats.iter().find(is_behind),
            Side::Client => self.seats.iter().rev().find(is_behind),
        }
    }

    /// What `member` wants.
    pub(crate) fn seat(&self, member: Member) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.member == member)
    }

    /// The seats without those of `member`.
    fn without(&self, member: Member) -> Seats {
        self.seats.iter().filter(|seat| seat.member != member).cloned().collect()
    }

    fn new(seats: Seats, flows: Option<u32>, timed: bool) -> Self {
        debug_assert!(seats.len() <= MAX_MONITORS);
        let interest = seats.iter().fold(Interest::NONE, |all, seat| all.or(seat.table.interest));
        let reading = Side::BOTH.map(|side| {
            let mut all = Reading { usual_buffer: false, ..Reading::NOBODY };
            for seat in seats.iter().filter(|seat| seat.table.reads(side)) {
                let settings = &seat.table.settings;
                all.readers |= 1 << seat.member.index;
                all.history_bytes = all.history_bytes.max(settings.history_bytes);
                match settings.buffer_bytes[side as usize] {
                    Some(bytes) => all.buffer_bytes = all.buffer_bytes.max(bytes),
                    None => all.usual_buffer = true,
                }
                // There is one buffer for all: whoever wants the last copy has said so.
                let asked = settings.overlap[side as usize];
                all.overlap = if asked == Some(OverlapPolicy::Last) { asked } else { all.overlap.or(asked) };
            }
            if all.readers == 0 { Reading::NOBODY } else { all }
        });
        let reader = match &*seats {
            [only] if !timed => only.table.reader.map(|handler| (only.member, handler)),
            _ => None,
        };
        let calls = Calls::new(&seats, timed);
        let seats = seats.into_vec().into();
        Self { seats, calls, reader, wanted: Wanted::of(interest), interest, reading, flows }
    }
}
