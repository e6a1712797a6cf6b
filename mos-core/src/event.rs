//! Events, hooks and sides, and the trait by which the stack tells the layer above.
//!
//! An event is cheap when nobody asked: a flow carries one word of interest, and what a packet raised is ANDed with it.

mod interest;
mod observer;
mod reason;

pub use interest::{Interest, Wanted};
pub use observer::{Attachment, Observer, Reading};
pub use reason::{EndReason, ErrorReason};

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
