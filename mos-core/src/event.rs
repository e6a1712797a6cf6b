//! Events, hooks and sides, and the trait by which the stack tells the layer above.
//!
//! An event is cheap when nobody asked: a flow carries one word of interest, and what a packet raised is ANDed with it.

use crate::reassembly::{OverlapPolicy, Span};
use crate::stack::{CoreCx, FlowCx, PacketCx};
use crate::time::Timestamp;

/// One of the two endpoints of a flow. The client sent the first SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Side {
    /// MOS_SIDE_CLI.
    Client = 0,
    /// MOS_SIDE_SVR.
    Server = 1,
}

impl Side {
    /// Both, client first.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The peer.
    #[inline]
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Where in a packet's way an event is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// MOS_HK_SND: the sender's half is updated, the receiver's not yet; the packet may be edited or dropped.
    Snd,
    /// MOS_HK_RCV: the receiver's half is updated.
    Rcv,
    /// MOS_NULL: neither; events of the stream, and packets without a flow.
    Null,
}

/// The built-in events, with mOS's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Event {
    /// MOS_ON_PKT_IN: a packet.
    PktIn = 0x1,
    /// MOS_ON_CONN_START: the first SYN, at its sender and at its receiver.
    ConnStart = 0x4,
    /// MOS_ON_CONN_NEW_DATA: the readable part of a side's stream grew.
    NewData = 0x10,
    /// MOS_ON_ERROR: something was not as it should be; see [`ErrorReason`].
    Error = 0x20,
    /// MOS_ON_TCP_STATE_CHANGE: an endpoint's state changed.
    TcpStateChange = 0x80,
    /// MOS_ON_ORPHAN: a packet that belongs to no flow.
    Orphan = 0x100,
    /// MOS_ON_REXMIT: an endpoint was sent something again.
    Rexmit = 0x200,
    /// MOS_ON_CONN_END: the flow is over.
    ConnEnd = 0x400,
}

impl Event {
    /// The number of built-in events.
    pub const COUNT: usize = 8;

    /// A dense number for tables.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::PktIn => 0,
            Self::ConnStart => 1,
            Self::NewData => 2,
            Self::Error => 3,
            Self::TcpStateChange => 4,
            Self::Orphan => 5,
            Self::Rexmit => 6,
            Self::ConnEnd => 7,
        }
    }
}

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

    const PKT_IN: u32 = 1;
    const SND: u32 = 0x1f;
    const RCV_SHIFT: u32 = 5;
    const ORDER: [Event; 5] = [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd];

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

    /// The pairs of one hook.
    #[inline]
    #[must_use]
    pub const fn at(self, hook: Hook) -> Self {
        match hook {
            Hook::Snd => Self(self.0 & Self::SND),
            Hook::Rcv => Self(self.0 & Self::SND << Self::RCV_SHIFT),
            Hook::Null => Self(self.0 & (1 << 10 | 1 << 11)),
        }
    }

    /// The events at one packet hook, in the order in which they are dispatched.
    #[inline]
    pub fn events(self, hook: Hook) -> impl Iterator<Item = Event> {
        let mut bits = match hook {
            Hook::Snd => self.0 & Self::SND,
            Hook::Rcv => self.0 >> Self::RCV_SHIFT & Self::SND,
            Hook::Null => 0,
        };
        core::iter::from_fn(move || {
            let event = Self::ORDER.get(bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(*event)
        })
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

/// What an ERROR event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorReason {
    /// A segment outside the window that its receiver advertised (RFC 9293 3.10.7.4); not stored.
    Window,
    /// A segment with an old time stamp (RFC 7323 5.3); not stored.
    Timestamp,
    /// A reset that its receiver would not accept (RFC 9293 3.10.7.4, RFC 5961 3.2); ignored.
    Reset,
    /// A handshake segment that fits nothing seen before; ignored.
    Handshake,
    /// A segment without ACK where every segment has one (RFC 9293 3.10.7.4); ignored.
    NoAck,
    /// A signed segment on a connection without signatures: its receiver discards it (RFC 2385 2, RFC 5925 7.3).
    Signature,
    /// Data or a FIN beyond the sender's FIN; ignored.
    BeyondFin,
    /// Bytes of the stream that will never be seen: reading goes on behind them.
    Gap(Span),
    /// Bytes that nobody read in time and that made room for later ones.
    Overrun(Span),
    /// An overlap whose bytes differ from those seen before.
    Conflict(Span),
}

impl ErrorReason {
    /// The number of reasons.
    pub const COUNT: usize = 10;
    /// The names of the reasons, by index.
    pub const NAMES: [&'static str; Self::COUNT] = [
        "window",
        "timestamp",
        "reset",
        "handshake",
        "no_ack",
        "signature",
        "beyond_fin",
        "gap",
        "overrun",
        "conflict",
    ];

    /// A dense number for counters.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Window => 0,
            Self::Timestamp => 1,
            Self::Reset => 2,
            Self::Handshake => 3,
            Self::NoAck => 4,
            Self::Signature => 5,
            Self::BeyondFin => 6,
            Self::Gap(_) => 7,
            Self::Overrun(_) => 8,
            Self::Conflict(_) => 9,
        }
    }

    /// The name of the reason, in snake case.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EndReason {
    /// Both sides closed in order.
    Fin,
    /// A valid reset.
    Rst,
    /// No packet came for the time its state allows.
    Timeout,
    /// Its endpoints began another connection.
    Reuse,
    /// The table was full and this flow had to go.
    Evicted,
    /// Nobody monitors it any more.
    Stopped,
    /// The stack was shut down, or the capture ended.
    Shutdown,
}

impl EndReason {
    /// The number of reasons.
    pub const COUNT: usize = 7;
    /// The names of the reasons, by index.
    pub const NAMES: [&'static str; Self::COUNT] = ["fin", "rst", "timeout", "reuse", "evicted", "stopped", "shutdown"];

    /// The name of the reason, in snake case.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What the layer above wants of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What is to be told.
    pub interest: Interest,
    /// A number that the layer above knows the flow's handlers by.
    pub table: u16,
}

impl Attachment {
    /// Nobody monitors the flow any more (D27): it stays in the table, so that its packets are no orphans, and costs next to
    /// nothing.
    pub const BYPASS: Self = Self { interest: Interest::NONE, table: u16::MAX };
}

/// Who reads what a side receives, and how much is kept for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The readers, one bit each: bit `n` is reader `n`.
    pub readers: u16,
    /// Bytes behind the slowest reader that are to be kept.
    pub history_bytes: u64,
    /// The most bytes that any of them wants kept unread or out of order.
    pub buffer_bytes: u64,
    /// Somebody counts on what the configuration says, if that is more.
    pub usual_buffer: bool,
    /// Which copy of a byte counts; `None`: what the configuration says.
    pub overlap: Option<OverlapPolicy>,
}

impl Reading {
    /// Nobody.
    pub const NOBODY: Self = Self { readers: 0, history_bytes: 0, buffer_bytes: 0, usual_buffer: true, overlap: None };

    /// The most bytes that are kept unread or out of order, where `usual` is what the configuration says.
    #[must_use]
    pub fn capacity(self, usual: u64) -> u64 {
        if self.usual_buffer { usual.max(self.buffer_bytes) } else { self.buffer_bytes }
    }
}

/// The layer above, as the stack sees it. The stack is borrowed by the context for as long as a call lasts.
pub trait Observer {
    /// Whether every IP packet is to be shown (MOS_SOCK_MONITOR_RAW).
    fn wants_packets(&self) -> bool;

    /// Whether flows are to be tracked at all (MOS_SOCK_MONITOR_STREAM).
    fn wants_flows(&self) -> bool;

    /// An IP packet, before anything else looks at it.
    fn on_packet(&mut self, cx: &mut PacketCx<'_>);

    /// A packet that would begin a flow. `None`: nobody wants it.
    fn on_open(&mut self, cx: &mut PacketCx<'_>) -> Option<Attachment>;

    /// The flow of an accepted packet exists now.
    fn on_attach(&mut self, cx: &mut FlowCx<'_>);

    /// An IP packet that belongs to no flow.
    fn on_orphan(&mut self, cx: &mut PacketCx<'_>);

    /// Events of a flow, all at `hook`. Somebody wants at least one of them, as far as [`Wanted`] can tell.
    fn on_events(&mut self, cx: &mut FlowCx<'_>, hook: Hook, side: Side, events: Interest);

    /// ERROR for `side`; for those among its readers whose bit is set in `readers`, and for all who read nothing.
    fn on_error(&mut self, cx: &mut FlowCx<'_>, side: Side, reason: ErrorReason, readers: u16);

    /// NEW_DATA for `side`. `immediate`: for those who want it with the packet, which is at hand; else for all others, at the
    /// end of the burst.
    fn on_new_data(&mut self, cx: &mut FlowCx<'_>, side: Side, immediate: bool);

    /// The flow is over; all its CONN_END events were raised. Last call with this flow.
    fn on_end(&mut self, cx: &mut FlowCx<'_>, reason: EndReason);

    /// The time has come that [`Attachments::wake_at`](crate::stack::Attachments::wake_at) was told; it is forgotten now. `until` is how far time is about to move:
    /// whatever is due by then is to be done in this order of time, one call each.
    fn on_wakeup(&mut self, cx: &mut CoreCx<'_>, until: Timestamp);

    /// Who reads what `side` receives, of flows with handlers `table`.
    fn reading(&self, table: u16, side: Side) -> Reading;
}
