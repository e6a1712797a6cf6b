//! Events that a monitor defines: filters on other events, nested to any depth, and events that filters raise themselves.

use std::fmt;
use std::num::NonZeroU32;

use mos_core::event::{Event, Hook};

/// The first number of an event that is not built in.
const FIRST_USER_EVENT: NonZeroU32 = NonZeroU32::new(1 << 12).unwrap();

/// An event that a monitor has defined or allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserEvent {
    /// The monitor that it belongs to.
    pub(crate) owner: u64,
    number: NonZeroU32,
}

impl UserEvent {
    /// Its number: 4096 for a monitor's first event, and then on.
    #[must_use]
    pub fn number(self) -> u32 {
        self.number.get()
    }

    pub(crate) fn index(self) -> usize {
        (self.number.get() - FIRST_USER_EVENT.get()) as usize
    }
}

/// Any event: built in, or a monitor's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventId {
    /// One of mOS's.
    Builtin(Event),
    /// A monitor's own.
    User(UserEvent),
}

impl From<Event> for EventId {
    fn from(event: Event) -> Self {
        Self::Builtin(event)
    }
}

impl From<UserEvent> for EventId {
    fn from(event: UserEvent) -> Self {
        Self::User(event)
    }
}

impl EventId {
    /// Its number, as mOS has it: a single bit below 4096 for what is built in.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Builtin(event) => event as u32,
            Self::User(event) => event.number(),
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(event) => write!(f, "{event:?}"),
            Self::User(event) => write!(f, "user event {}", event.number),
        }
    }
}

/// What tells filters apart where one function serves many events: its address, and the argument it was defined with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterKey {
    /// The function.
    pub function: usize,
    /// Its argument, copied.
    pub argument: Box<[u8]>,
}

#[derive(Clone, Debug)]
struct Definition {
    parent: EventId,
    /// The built-in event that it descends from.
    root: Event,
    /// It has no filter: it happens when a filter raises it.
    raised: bool,
    key: Option<FilterKey>,
}

/// The events that a monitor has defined: trees whose roots are built in.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    owner: u64,
    definitions: Vec<Definition>,
}

impl Forest {
    pub(crate) fn new(owner: u64) -> Self {
        Self { owner, definitions: Vec::new() }
    }

    /// Whether the event is built in or defined here.
    pub(crate) fn knows(&self, event: EventId) -> bool {
        match event {
            EventId::Builtin(_) => true,
            EventId::User(user) => user.owner == self.owner && user.index() < self.definitions.len(),
        }
    }

    /// The event with the same parent and key, if it is defined already.
    pub(crate) fn find(&self, parent: EventId, key: &FilterKey) -> Option<UserEvent> {
        let equal = |definition: &Definition| definition.parent == parent && definition.key.as_ref() == Some(key);
        self.definitions.iter().position(equal).map(|index| self.event(index))
    }

    /// A new event below `parent`, which is known. `raised`: without a filter.
    pub(crate) fn define(&mut self, parent: EventId, raised: bool, key: Option<FilterKey>) -> UserEvent {
        let root = self.root(parent);
        self.definitions.push(Definition { parent, root, raised, key });
        self.event(self.definitions.len() - 1)
    }

    /// The event that will be defined next.
    pub(crate) fn next(&self) -> UserEvent {
        self.event(self.definitions.len())
    }

    fn event(&self, index: usize) -> UserEvent {
        UserEvent { owner: self.owner, number: FIRST_USER_EVENT.saturating_add(index as u32) }
    }

    /// The built-in event that a known event descends from.
    pub(crate) fn root(&self, event: EventId) -> Event {
        match event {
            EventId::Builtin(event) => event,
            EventId::User(user) => self.definitions[user.index()].root,
        }
    }

    pub(crate) fn parent(&self, event: UserEvent) -> EventId {
        self.definitions[event.index()].parent
    }

    pub(crate) fn is_raised(&self, event: UserEvent) -> bool {
        self.definitions[event.index()].raised
    }

    /// Whether a filter of `evaluated` may raise `event`: that was allocated below it, or below an event above it.
    pub(crate) fn may_raise(&self, evaluated: UserEvent, event: UserEvent) -> bool {
        if !self.knows(event.into()) || !self.is_raised(event) {
            return false;
        }
        let below = self.parent(event);
        let mut above = EventId::User(evaluated);
        loop {
            if above == below {
                return true;
            }
            match above {
                EventId::Builtin(_) => return false,
                EventId::User(user) => above = self.parent(user),
            }
        }
    }
}

/// Whether `event` is ever raised at `hook` for a flow.
pub(crate) fn is_raised_at(event: Event, hook: Hook) -> bool {
    match event {
        Event::PktIn | Event::ConnStart | Event::TcpStateChange | Event::Rexmit | Event::ConnEnd => hook != Hook::Null,
        Event::NewData | Event::Error => hook == Hook::Null,
        Event::Orphan => false,
    }
}
