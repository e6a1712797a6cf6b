//! What was raised, and what somebody wants to hear: sets that are compared with one AND.

use super::{Event, Hook, Side};

/// A set of (hook, event) pairs: what was raised, or what somebody wants to hear; and what else somebody wants of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Interest(u32);

impl Interest {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Somebody may read the bytes that the client receives.
    pub const BUFFER_CLIENT: Self = Self(1 << 12);
    /// Somebody may read the bytes that the server receives.
    pub const BUFFER_SERVER: Self = Self(1 << 13);
    /// Somebody wants to know how the flow ended, once.
    pub const END: Self = Self(1 << 14);
    /// Somebody wants NEW_DATA with every packet, not once per burst.
    pub const IMMEDIATE: Self = Self(1 << 15);
    /// Somebody wants round-trip times measured all the time, not only in the handshake.
    pub const RTT: Self = Self(1 << 16);
    /// How many pairs there are: the lowest bits are theirs.
    pub const PAIRS: usize = 12;

    const PKT_IN: u32 = 1;
    const SND: u32 = 0x1f;
    const RCV_SHIFT: u32 = 5;

    /// The pair of `hook` and `event`; empty if that event is never raised there for a flow.
    #[must_use]
    pub const fn of(hook: Hook, event: Event) -> Self {
        let bit = match event {
            Event::PktIn => 0,
            Event::ConnStart => 1,
            Event::TcpStateChange => 2,
            Event::Rexmit => 3,
            Event::ConnEnd => 4,
            Event::NewData if matches!(hook, Hook::Null) => return Self(1 << 10),
            Event::Error if matches!(hook, Hook::Null) => return Self(1 << 11),
            _ => return Self::NONE,
        };
        match hook {
            Hook::Snd => Self(1 << bit),
            Hook::Rcv => Self(1 << (bit + Self::RCV_SHIFT)),
            Hook::Null => Self::NONE,
        }
    }

    /// All pairs of `hook`.
    #[must_use]
    pub const fn at(hook: Hook) -> Self {
        match hook {
            Hook::Snd => Self(Self::SND),
            Hook::Rcv => Self(Self::SND << Self::RCV_SHIFT),
            Hook::Null => Self(0b11 << 10),
        }
    }

    /// `event` at both packet hooks.
    #[must_use]
    pub const fn both(event: Event) -> Self {
        Self(Self::of(Hook::Snd, event).0 | Self::of(Hook::Rcv, event).0)
    }

    /// Whether anybody may read the bytes that `side` receives.
    #[must_use]
    pub const fn buffer(side: Side) -> Self {
        match side {
            Side::Client => Self::BUFFER_CLIENT,
            Side::Server => Self::BUFFER_SERVER,
        }
    }

    /// Whether the sets have something in common.
    #[inline]
    #[must_use]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set is empty.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What the sets have in common.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Both sets together.
    #[inline]
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set without the pairs of `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set on this condition, else nothing.
    #[inline(always)]
    #[must_use]
    pub const fn when(self, condition: bool) -> Self {
        // No branch: what depends on the set would be there twice.
        Self(self.0 * condition as u32)
    }

    /// Takes out the first pair, in the order in which the events of a hook are dispatched: its number, below [`Self::PAIRS`].
    #[inline]
    pub const fn pop_pair(&mut self) -> Option<usize> {
        let number = self.0.trailing_zeros() as usize;
        if number >= Self::PAIRS {
            return None;
        }
        self.0 &= self.0 - 1;
        Some(number)
    }
}

/// What somebody wants to hear of a flow, in the eight bits that its line has room for: enough to tell most packets that
/// nobody does. Whoever is told looks at the exact [`Interest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Wanted(u8);

impl Wanted {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// NEW_DATA with every packet.
    pub const IMMEDIATE: Self = Self(1 << 6);
    /// Round-trip times.
    pub const RTT: Self = Self(1 << 7);

    /// Somebody may read the bytes that one of the sides receives.
    pub const BUFFERS: Self = Self::of(Interest::BUFFER_CLIENT.or(Interest::BUFFER_SERVER));

    /// What of a set fits.
    #[inline]
    #[must_use]
    pub const fn of(interest: Interest) -> Self {
        let snd = interest.0 & Interest::SND;
        let rcv = interest.0 >> Interest::RCV_SHIFT & Interest::SND;
        let hooks = (snd & Interest::PKT_IN) as u8
            | ((snd > Interest::PKT_IN) as u8) << 1
            | ((rcv & Interest::PKT_IN) as u8) << 2
            | ((rcv > Interest::PKT_IN) as u8) << 3;
        let buffers = ((interest.0 >> 12 & 0b11) as u8) << 4;
        let rest = ((interest.0 >> 15 & 0b11) as u8) << 6;
        Self(hooks | buffers | rest)
    }

    /// The same of a set that has only pairs of `hook`.
    #[inline(always)]
    #[must_use]
    pub const fn at(hook: Hook, events: Interest) -> Self {
        let (bits, place) = match hook {
            Hook::Snd => (events.0, 0),
            Hook::Rcv => (events.0 >> Interest::RCV_SHIFT, 2),
            Hook::Null => (0, 0),
        };
        Self(((bits & Interest::PKT_IN) as u8 | ((bits > Interest::PKT_IN) as u8) << 1) << place)
    }

    /// Both sets together.
    #[inline]
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Somebody may read the bytes that `side` receives.
    #[inline]
    #[must_use]
    pub const fn buffer(side: Side) -> Self {
        Self::of(Interest::buffer(side))
    }

    /// Whether the sets have something in common.
    #[inline]
    #[must_use]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}
