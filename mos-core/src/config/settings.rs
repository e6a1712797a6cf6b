//! What a block's keys are set to, and where.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use super::error::Place;
use super::keys::{Fallback, Key};
use super::value::Value;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file does not say anything else.
    Default,
    /// It stands in the file.
    File(Place),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => write!(f, "line {}", place.line),
        }
    }
}

/// Something that stands in the file, with its place. It equals what says the same elsewhere.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// What stands there.
    pub what: T,
    /// Where.
    pub place: Place,
}

impl<T> Deref for Placed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.what
    }
}

impl<T: PartialEq> PartialEq for Placed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.what == other.what
    }
}

/// What the file says of one block's keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    given: Vec<(Key, Placed<Value>)>,
}

impl Settings {
    pub(super) fn set(&mut self, key: Key, value: Value, place: Place) {
        self.given.push((key, Placed { what: value, place }));
    }

    /// What the file says.
    pub(super) fn given(&self, key: Key) -> Option<&Placed<Value>> {
        self.given.iter().find(|(given, _)| *given == key).map(|(_, value)| value)
    }

    /// What holds, and why; `None` if nothing is set, or that depends on more than these keys.
    pub(super) fn get(&self, key: Key) -> (Option<Value>, Origin) {
        if let Some(Placed { what, place }) = self.given(key) {
            return (Some(what.clone()), Origin::File(*place));
        }
        let value = match key.spec().default {
            Fallback::Number(number) => Some(Value::of_number(key.spec().kind, number)),
            Fallback::As(other) => self.get(other).0,
            Fallback::Unset(_) | Fallback::Depends(_) => None,
        };
        (value, Origin::Default)
    }

    /// The number that a key is set to. It must be one that always has a number.
    pub(super) fn number(&self, key: Key) -> i128 {
        match self.get(key).0 {
            Some(Value::Number(number) | Value::Size(number)) => number,
            other => unreachable!("{key:?} has a number, and was read as one: {other:?}"),
        }
    }

    pub(super) fn is_on(&self, key: Key) -> bool {
        self.number(key) != 0
    }
}
