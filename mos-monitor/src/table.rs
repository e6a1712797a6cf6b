//! What one monitor wants of a flow: its handlers and its settings. Flows that want the same share one table.

use mos_core::event::{Event, Hook, Interest, Side};
use mos_core::reassembly::OverlapPolicy;

use crate::calls::Occasion;
use crate::event::{EventId, Forest};
use crate::program::Program;

/// A handler in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Registration {
    pub(crate) hook: Place,
    pub(crate) event: EventId,
    pub(crate) handler: u32,
}

/// [`Hook`], to be hashed and sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    Snd,
    Rcv,
    Null,
}

impl From<Hook> for Place {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::Snd => Self::Snd,
            Hook::Rcv => Self::Rcv,
            Hook::Null => Self::Null,
        }
    }
}

impl From<Place> for Hook {
    fn from(place: Place) -> Self {
        match place {
            Place::Snd => Self::Snd,
            Place::Rcv => Self::Rcv,
            Place::Null => Self::Null,
        }
    }
}

/// What makes a table what it is: equal settings are one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    /// By place, built-in events in their order, then users' in the order in which they were registered; one for each place
    /// and event.
    pub(crate) registrations: Vec<Registration>,
    /// Sides of which nothing is to be told any more.
    pub(crate) stopped: [bool; 2],
    /// Whether the bytes that each side receives are kept for reading, if that was said.
    pub(crate) buffers: [Option<bool>; 2],
    /// How many of them at most, if that was said.
    pub(crate) buffer_bytes: [Option<u64>; 2],
    /// Which copy of a byte of theirs counts, if that was said.
    pub(crate) overlap: [Option<OverlapPolicy>; 2],
    pub(crate) history_bytes: u64,
    pub(crate) immediate: bool,
    pub(crate) measures_rtt: bool,
    pub(crate) wants_end: bool,
}

/// A change of settings. Sides are numbers here, to be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// This handler, or none, for the event.
    Handler(Place, EventId, Option<u32>),
    /// Nothing of that side any more.
    Stop(u8),
    /// Whether the bytes that the side receives are read.
    Buffer(u8, bool),
    /// How many of them are kept unread at most.
    BufferBytes(u8, u64),
    /// Which copy of them counts.
    Overlap(u8, OverlapPolicy),
    /// How many of them are kept after they were read.
    History(u64),
    /// NEW_DATA with every packet, or once per burst.
    Immediate(bool),
}

impl Settings {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Handler(hook, event, handler) => self.register(hook, event, handler),
            Change::Stop(side) => self.stopped[usize::from(side)] = true,
            Change::Buffer(side, reads) => self.buffers[usize::from(side)] = Some(reads),
            Change::BufferBytes(side, bytes) => self.buffer_bytes[usize::from(side)] = Some(bytes),
            Change::Overlap(side, policy) => self.overlap[usize::from(side)] = Some(policy),
            Change::History(bytes) => self.history_bytes = bytes,
            Change::Immediate(immediate) => self.immediate = immediate,
        }
    }

    pub(crate) fn register(&mut self, hook: Place, event: EventId, handler: Option<u32>) {
        let same = |registration: &Registration| registration.hook == hook && registration.event == event;
        let found = self.registrations.iter().position(same);
        match (found, handler) {
            (Some(index), Some(handler)) => self.registrations[index].handler = handler,
            (Some(index), None) => {
                self.registrations.remove(index);
            }
            (None, Some(handler)) => {
                // Order matters at one place only, and among users' events only: with all else sorted, more tables are
                // equal. (Built-in events come before users' in the order of events.)
                let place = self.registrations.partition_point(|other| match event {
                    EventId::Builtin(_) => (other.hook, other.event) < (hook, event),
                    EventId::User(_) => other.hook <= hook,
                });
                self.registrations.insert(place, Registration { hook, event, handler });
            }
            (None, None) => {}
        }
    }

    /// Whether nothing is to be told at all.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped == [true; 2]
    }
}

/// Settings, made ready for use.
#[derive(Debug)]
pub(crate) struct HandlerTable {
    /// No other table of the monitor has it.
    pub(crate) id: u64,
    pub(crate) settings: Settings,
    pub(crate) program: Program,
    /// What the settings ask the stack for.
    pub(crate) interest: Interest,
    reads: [bool; 2],
    /// The handler of NEW_DATA, if there is nothing else for it, and it comes at the end of the burst, and no history is kept.
    pub(crate) reader: Option<u32>,
}

impl HandlerTable {
    pub(crate) fn new(id: u64, settings: Settings, forest: &Forest) -> Self {
        let mut interest = Interest::NONE;
        let mut registrations = Vec::with_capacity(settings.registrations.len());
        for &Registration { hook, event, handler } in &settings.registrations {
            let mut pair = Interest::of(hook.into(), forest.root(event));
            interest = interest.or(pair);
            // What is never raised there was refused before.
            registrations.extend(pair.pop_pair().map(|pair| (pair, event, handler)));
        }
        let program = Program::new(registrations.into_iter(), forest);
        let takes_data = interest.any(Interest::of(Hook::Null, Event::NewData));
        let reads = Side::BOTH
            .map(|side| !settings.stopped[side as usize] && settings.buffers[side as usize].unwrap_or(takes_data));
        for (wanted, bit) in [
            (reads[Side::Client as usize], Interest::BUFFER_CLIENT),
            (reads[Side::Server as usize], Interest::BUFFER_SERVER),
            (settings.immediate && takes_data, Interest::IMMEDIATE),
            (settings.measures_rtt, Interest::RTT),
            (settings.wants_end, Interest::END),
        ] {
            interest = if wanted { interest.or(bit) } else { interest };
        }
        let reader = Interest::of(Hook::Null, Event::NewData)
            .pop_pair()
            .and_then(|pair| program.only(pair))
            .filter(|_| !settings.immediate && settings.history_bytes == 0);
        Self { id, settings, program, interest, reads, reader }
    }

    /// What is told of `side` on an occasion.
    pub(crate) fn told(&self, occasion: Occasion, side: Side) -> Interest {
        let pairs = match occasion {
            Occasion::Snd | Occasion::Rcv => Interest::at(occasion.hook()),
            Occasion::Error => Interest::of(Hook::Null, Event::Error),
            Occasion::Data | Occasion::DataAtOnce => {
                let at_once = occasion == Occasion::DataAtOnce;
                match self.reads[side as usize] && self.settings.immediate == at_once {
                    true => Interest::of(Hook::Null, Event::NewData),
                    false => Interest::NONE,
                }
            }
        };
        if self.settings.stopped[side as usize] { Interest::NONE } else { self.interest.and(pairs) }
    }

    /// Whether the bytes that `side` receives are read.
    #[inline]
    pub(crate) fn reads(&self, side: Side) -> bool {
        self.reads[side as usize]
    }
}
