//! Why: of errors, and of the ends of flows.

use crate::reassembly::Span;

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
    /// No packet came for the time its state allows. The event has the time of that moment, or of the next packets if very many
    /// flows ended at once.
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
