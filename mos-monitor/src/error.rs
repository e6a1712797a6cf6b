//! Why a core refused what it was asked for. Each error says which errno it is.

use mos_core::event::Hook;
use mos_core::socket::BadDescriptor;

use crate::control::MAX_COMMANDS;
use crate::event::EventId;

/// Why a socket was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// ENFILE: every place for a monitor of this kind is taken.
    #[error("too many monitors: at most {most} stream monitors can be open on a core")]
    TooMany {
        /// The most there can be.
        most: usize,
    },
    /// EACCES: the core was shut down.
    #[error("the core was shut down")]
    ShutDown,
}

/// Why a socket was not closed. The names are those that `mtcp_close` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// EACCES: the core was shut down.
    #[error("the core was shut down")]
    ShutDown,
    /// EAGAIN: too much was asked for in one callback; the socket is still open, and can be closed in the next.
    #[error("the socket cannot be closed now: a callback can ask for {MAX_COMMANDS} things at most")]
    Again,
    /// EBADF: nothing is open under this descriptor, or not any more.
    #[error("{0}")]
    BadDescriptor(#[from] BadDescriptor),
    /// EINVAL: the socket is the core's own.
    #[error("the socket is the core's own")]
    Internal,
    /// ENOTCONN: the stream socket has no connection, or none any more. It is closed all the same.
    #[error("the socket is not connected")]
    NotConnected,
    /// ENOTSOCK: what is open under this descriptor is no socket: a timer is cancelled, not closed.
    #[error("a timer is no socket: it is cancelled, not closed")]
    NotSocket,
}

impl CloseError {
    /// The number of the error on Linux.
    #[must_use]
    pub fn errno(self) -> i32 {
        match self {
            Self::BadDescriptor(_) => 9,
            Self::Again => 11,
            Self::ShutDown => 13,
            Self::Internal => 22,
            Self::NotSocket => 88,
            Self::NotConnected => 107,
        }
    }
}

/// Why what is told of a flow was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// EACCES: the core was shut down.
    #[error("the core was shut down")]
    ShutDown,
    /// EAGAIN: too much was asked for in one callback.
    #[error("a callback can ask for {MAX_COMMANDS} things at most")]
    Again,
    /// EBADF: nothing is open under this descriptor, or not any more.
    #[error("{0}")]
    BadDescriptor(#[from] BadDescriptor),
    /// EINVAL: the socket is not that of a monitor of flows, or of one of its flows.
    #[error("the socket is not that of a stream monitor or of one of its flows")]
    WrongKind,
    /// EINVAL: the monitor's states are of other types.
    #[error("the monitor's states are of other types than the callback's")]
    WrongStates,
    /// EINVAL: the event or the handler belongs to another monitor.
    #[error("{0} is not one of this monitor's events, or the handler is another monitor's")]
    Foreign(EventId),
    /// EINVAL: the event is never raised at that hook.
    #[error("{event} is never raised at {hook:?}")]
    WrongHook {
        /// The event.
        event: EventId,
        /// The hook.
        hook: Hook,
    },
}

/// Why a timer was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimerError {
    /// EACCES: the core was shut down.
    #[error("the core was shut down")]
    ShutDown,
    /// ENFILE: there are no descriptors left.
    #[error("there are no descriptors left for another timer")]
    TooMany,
    /// EBADF: nothing is open under this descriptor, or not any more.
    #[error("{0}")]
    BadDescriptor(#[from] BadDescriptor),
    /// EINVAL: the handler belongs to another monitor, or the socket is not that of a stream monitor.
    #[error("the handler is not one of this socket's monitor")]
    Foreign,
}
