//! Handlers: callbacks that a monitor has made ready, named so that flows can be given others at run time.

use std::fmt;
use std::marker::PhantomData;

use mos_core::event::{Event, Hook};

/// The SND hook: the sender's half is updated, the receiver's not yet.
#[derive(Debug)]
pub enum AtSnd {}
/// The RCV hook: both halves are updated.
#[derive(Debug)]
pub enum AtRcv {}
/// New data: at the end of a burst, or with the packet that brought it.
#[derive(Debug)]
pub enum AtData {}
/// An error, found between the hooks.
#[derive(Debug)]
pub enum AtError {}
/// The end of the flow.
#[derive(Debug)]
pub enum AtEnd {}
/// A timer.
#[derive(Debug)]
pub enum AtTimer {}
/// A filter of a user-defined event: wherever that is looked at.
#[derive(Debug)]
pub enum AtFilter {}
/// A timer of the whole core.
#[derive(Debug)]
pub enum AtCoreTimer {}

/// The places at which events can be registered for a flow.
pub trait Registers {
    /// The hook.
    const HOOK: Hook;
    /// The one built-in event there, if there is only one.
    const ONLY: Option<Event>;
}

impl Registers for AtSnd {
    const HOOK: Hook = Hook::Snd;
    const ONLY: Option<Event> = None;
}

impl Registers for AtRcv {
    const HOOK: Hook = Hook::Rcv;
    const ONLY: Option<Event> = None;
}

impl Registers for AtData {
    const HOOK: Hook = Hook::Null;
    const ONLY: Option<Event> = Some(Event::NewData);
}

impl Registers for AtError {
    const HOOK: Hook = Hook::Null;
    const ONLY: Option<Event> = Some(Event::Error);
}

/// A callback of one monitor, to be registered on flows. `At` is the place where it can be called.
pub struct Handler<At> {
    pub(crate) owner: u64,
    pub(crate) index: u32,
    at: PhantomData<At>,
}

impl<At> Handler<At> {
    pub(crate) fn new(owner: u64, index: u32) -> Self {
        Self { owner, index, at: PhantomData }
    }
}

// Derived, these would ask the same of `At`.
impl<At> Clone for Handler<At> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<At> Copy for Handler<At> {}

impl<At> PartialEq for Handler<At> {
    fn eq(&self, other: &Self) -> bool {
        (self.owner, self.index) == (other.owner, other.index)
    }
}

impl<At> Eq for Handler<At> {}

impl<At> fmt::Debug for Handler<At> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handler({})", self.index)
    }
}
