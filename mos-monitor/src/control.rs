//! What callbacks may ask of their core, besides what concerns the flow at hand: open and close monitors.

use mos_core::flow::FlowId;
use mos_core::socket::{BadDescriptor, Descriptor, DescriptorTable};

use crate::monitor::StreamMonitor;
use crate::raw::AnyRaw;
use crate::{Monitor, RawMonitor};

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    /// MOS_SOCK_MONITOR_STREAM: a monitor, by its index and its place in the order of creation.
    Stream { index: u8, order: u64 },
    /// MOS_SOCK_MONITOR_RAW.
    Raw { order: u64 },
    /// MOS_SOCK_MONITOR_STREAM_ACTIVE: one flow as one monitor sees it.
    Active { index: u8, order: u64, flow: FlowId },
}

/// Why a monitor was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// ENFILE: every place for a monitor of this kind is taken.
    #[error("too many monitors: at most {most} stream monitors can be open on a core")]
    TooMany {
        /// The most there can be.
        most: usize,
    },
}

/// Why a socket was not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// EBADF: nothing is open under this descriptor, or not any more.
    #[error("{0}")]
    BadDescriptor(#[from] BadDescriptor),
}

/// The most stream monitors of one core.
pub(crate) const MAX_MONITORS: usize = 16;

pub(crate) enum Command {
    OpenStream { index: u8, order: u64, monitor: Box<dyn StreamMonitor> },
    OpenRaw { order: u64, monitor: Box<dyn AnyRaw> },
    Close(Socket),
}

/// The sockets of a core, and what was asked of it since the last callback returned. All of it takes effect before the
/// next callback.
#[derive(Default)]
pub struct Control {
    sockets: DescriptorTable<Socket>,
    /// One bit for each index of a stream monitor that is taken.
    taken: u16,
    next_order: u64,
    pub(crate) commands: Vec<Command>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("sockets", &self.sockets.len()).finish_non_exhaustive()
    }
}

impl Control {
    /// Opens a MOS_SOCK_MONITOR_STREAM: it sees flows that begin from now on.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooMany`] if the core has as many monitors as it can have.
    pub fn open<S: 'static, F: Default + 'static>(&mut self, monitor: Monitor<S, F>) -> Result<Descriptor, OpenError> {
        let index = self.taken.trailing_ones() as u8;
        if usize::from(index) >= MAX_MONITORS {
            return Err(OpenError::TooMany { most: MAX_MONITORS });
        }
        let order = self.next_order;
        let descriptor = self.register(Socket::Stream { index, order })?;
        self.taken |= 1 << index;
        self.commands.push(Command::OpenStream { index, order, monitor: Box::new(monitor) });
        Ok(descriptor)
    }

    /// Opens a MOS_SOCK_MONITOR_RAW: it sees every IP packet from the next one on.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooMany`] if there are no descriptors left.
    pub fn open_raw<S: 'static>(&mut self, monitor: RawMonitor<S>) -> Result<Descriptor, OpenError> {
        let order = self.next_order;
        let descriptor = self.register(Socket::Raw { order })?;
        self.commands.push(Command::OpenRaw { order, monitor: Box::new(monitor) });
        Ok(descriptor)
    }

    fn register(&mut self, socket: Socket) -> Result<Descriptor, OpenError> {
        let descriptor = self.sockets.open(socket).ok_or(OpenError::TooMany { most: MAX_MONITORS })?;
        self.next_order += 1;
        Ok(descriptor)
    }

    /// mtcp_close. For a monitor: none of its callbacks runs any more, not even later in the dispatch at hand; its state
    /// and that of its flows is dropped; the traffic is not touched. For one flow of a monitor: that monitor hears no more
    /// of that flow.
    ///
    /// # Errors
    ///
    /// [`CloseError::BadDescriptor`] if nothing is open under `descriptor`.
    pub fn close(&mut self, descriptor: Descriptor) -> Result<(), CloseError> {
        let socket = self.sockets.close(descriptor)?;
        if let Socket::Stream { index, .. } = socket {
            self.taken &= !(1 << index);
        }
        self.commands.push(Command::Close(socket));
        Ok(())
    }

    pub(crate) fn get(&self, descriptor: Descriptor) -> Result<Socket, BadDescriptor> {
        self.sockets.get(descriptor).copied()
    }

    /// A descriptor for one flow of a monitor.
    pub(crate) fn open_active(&mut self, index: u8, order: u64, flow: FlowId) -> Option<Descriptor> {
        self.sockets.open(Socket::Active { index, order, flow })
    }

    /// The flow or its monitor is gone: its descriptor names nothing any more.
    pub(crate) fn release_active(&mut self, descriptor: Descriptor) {
        let _ = self.sockets.close(descriptor);
    }
}
