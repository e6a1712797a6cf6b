//! What the callbacks of a stream monitor are given. Each hook has a type of its own, with what can be done there.

use std::marker::PhantomData;
use std::net::SocketAddr;

use mos_core::event::{EndReason, ErrorReason, Event, Side};
use mos_core::flow::FlowId;
use mos_core::socket::Descriptor;
use mos_core::stack::{Chunk, Chunks, FlowCx, HalfInfo, PacketCx, PacketView, PeekError};
use mos_core::tcp::TcpState;
use mos_core::time::Timestamp;

use crate::control::Control;

/// The flow at hand, as one monitor may see and use it. `At` is the hook.
#[derive(Debug)]
pub struct Conn<'a, 'b, At> {
    pub(crate) cx: &'a mut FlowCx<'b>,
    pub(crate) control: &'a mut Control,
    pub(crate) socket: &'a mut Option<Descriptor>,
    pub(crate) index: u8,
    pub(crate) order: u64,
    pub(crate) side: Side,
    pub(crate) event: Event,
    pub(crate) at: PhantomData<At>,
}

/// The SND hook: the sender's half is updated, the receiver's not yet.
#[derive(Debug)]
pub enum AtSnd {}
/// The RCV hook: both halves are updated.
#[derive(Debug)]
pub enum AtRcv {}
/// The end of a burst, with new data.
#[derive(Debug)]
pub enum AtData {}
/// An error, found between the hooks.
#[derive(Debug)]
pub enum AtError {}
/// The end of the flow.
#[derive(Debug)]
pub enum AtEnd {}

impl<At> Conn<'_, '_, At> {
    /// The side the event is about: the sender at SND, the receiver at RCV and for data.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> Event {
        self.event
    }

    /// The flow's name, unique on its core as long as it lives and after.
    #[must_use]
    pub fn id(&self) -> FlowId {
        self.cx.flow()
    }

    /// The time: that of the packet, or of the timer.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.cx.now()
    }

    /// When the flow's first packet came.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.cx.created()
    }

    /// The state of a side (MOS_TCP_STATE_CLI, MOS_TCP_STATE_SVR); `None` as long as no packet has reached it.
    #[must_use]
    pub fn state(&self, side: Side) -> Option<TcpState> {
        self.cx.state(side)
    }

    /// Address and port of a side (mtcp_getpeername): those of the first packet as it came in.
    #[must_use]
    pub fn endpoint(&self, side: Side) -> SocketAddr {
        self.cx.endpoint(side)
    }

    /// Counters and options of a side.
    #[must_use]
    pub fn info(&self, side: Side) -> HalfInfo {
        self.cx.info(side)
    }

    /// What this monitor has not taken of the bytes that `side` received, run by run, without copying.
    #[must_use]
    pub fn chunks_of(&self, side: Side) -> Chunks<'_> {
        self.cx.chunks(side, self.index)
    }

    /// How many bytes, seen or missing, of what `side` received this monitor has not taken.
    #[must_use]
    pub fn unread_len(&self, side: Side) -> u64 {
        self.cx.unread_len(side, self.index)
    }

    /// The stream offset of the first byte that this monitor has not taken.
    #[must_use]
    pub fn position(&self, side: Side) -> u64 {
        self.cx.position(side, self.index)
    }

    /// Takes `len` bytes of what `side` received, or all there are.
    pub fn consume_of(&mut self, side: Side, len: u64) {
        self.cx.consume(side, self.index, len);
    }

    /// Copies what this monitor has not taken of the bytes that `side` received, and takes it (mtcp_peek). Returns the
    /// number of bytes: 0 if nothing is there.
    ///
    /// # Errors
    ///
    /// [`PeekError::Missing`] if the next bytes never came or were given up; the next call reads on behind them.
    pub fn peek(&mut self, side: Side, out: &mut [u8]) -> Result<usize, PeekError> {
        self.cx.peek(side, self.index, out)
    }

    /// Copies bytes at `offset` of the stream that `side` received, without taking them (mtcp_ppeek): unread ones, ones out
    /// of order, or history. Returns how many; 0 if the first is not there.
    #[must_use]
    pub fn ppeek(&self, side: Side, offset: u64, out: &mut [u8]) -> usize {
        self.cx.ppeek(side, offset, out)
    }

    /// The descriptor of this flow for this monitor (MOS_SOCK_MONITOR_STREAM_ACTIVE): made when first asked for, valid
    /// until the flow ends. `None` if there are no descriptors left.
    pub fn socket(&mut self) -> Option<Descriptor> {
        if self.socket.is_none() {
            *self.socket = self.control.open_active(self.index, self.order, self.cx.flow());
        }
        *self.socket
    }

    /// Opens and closes monitors.
    pub fn control(&mut self) -> &mut Control {
        self.control
    }

    /// This monitor hears no more of this flow; what it kept for it is dropped. Same as closing [`Self::socket`].
    pub fn stop(&mut self) {
        if let Some(socket) = self.socket() {
            // It was open a moment ago, unless the callback has closed it itself: then nothing is left to do.
            let _ = self.control.close(socket);
            *self.socket = None;
        }
    }
}

/// The hooks with a packet at hand.
pub trait WithPacket {}
impl WithPacket for AtSnd {}
impl WithPacket for AtRcv {}

impl<At: WithPacket> Conn<'_, '_, At> {
    /// The packet. None in CONN_END and in state changes that a timer made.
    #[must_use]
    pub fn packet(&self) -> Option<PacketView<'_>> {
        self.cx.packet()
    }
}

impl Conn<'_, '_, AtError> {
    /// The packet with which the error was found; none at the end of the flow.
    #[must_use]
    pub fn packet(&self) -> Option<PacketView<'_>> {
        self.cx.packet()
    }
}

impl Conn<'_, '_, AtSnd> {
    /// The packet's bytes, to change in place: its receiver, and the flow's later lookups for the server's packets, see the
    /// result. The length cannot change; checksums are the caller's.
    #[must_use]
    pub fn frame_mut(&mut self) -> Option<&mut [u8]> {
        self.cx.frame_mut()
    }

    /// Drops the packet: it is not forwarded, and its receiver never sees it.
    pub fn drop_packet(&mut self) {
        self.cx.drop_packet();
    }
}

impl Conn<'_, '_, AtData> {
    /// What is new, run by run, without copying; and what this monitor left last time.
    #[must_use]
    pub fn chunks(&self) -> Chunks<'_> {
        self.cx.chunks(self.side, self.index)
    }

    /// Takes `len` bytes, or all there are. What is not taken is there again next time.
    pub fn consume(&mut self, len: u64) {
        self.cx.consume(self.side, self.index, len);
    }

    /// Takes all there is.
    pub fn consume_all(&mut self) {
        self.consume(u64::MAX);
    }
}

macro_rules! context {
    ($(#[$meta:meta])* $name:ident, $at:ident) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name<'a, 'b, S, F> {
            /// The monitor's state on this core.
            pub state: &'a mut S,
            /// The monitor's state of this flow.
            pub flow: &'a mut F,
            /// The flow itself.
            pub conn: Conn<'a, 'b, $at>,
        }
    };
}

context! {
    /// An event at the SND hook: the packet may be edited or dropped.
    SndCx, AtSnd
}
context! {
    /// An event at the RCV hook.
    RcvCx, AtRcv
}
context! {
    /// NEW_DATA.
    DataCx, AtData
}

impl<S, F> DataCx<'_, '_, S, F> {
    /// Calls `each` with every new run and the monitor's states, then takes everything.
    pub fn for_each_chunk(&mut self, mut each: impl FnMut(&mut S, &mut F, Chunk<'_>)) {
        for chunk in self.conn.chunks() {
            each(self.state, self.flow, chunk);
        }
        self.conn.consume_all();
    }
}

/// ERROR.
#[derive(Debug)]
pub struct ErrorCx<'a, 'b, S, F> {
    /// The monitor's state on this core.
    pub state: &'a mut S,
    /// The monitor's state of this flow.
    pub flow: &'a mut F,
    /// The flow itself.
    pub conn: Conn<'a, 'b, AtError>,
    pub(crate) reason: ErrorReason,
}

impl<S, F> ErrorCx<'_, '_, S, F> {
    /// What happened.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        self.reason
    }
}

/// The flow is over: once per flow.
#[derive(Debug)]
pub struct EndCx<'a, 'b, S, F> {
    /// The monitor's state on this core.
    pub state: &'a mut S,
    /// The monitor's state of this flow, for the last time.
    pub flow: &'a mut F,
    /// The flow itself.
    pub conn: Conn<'a, 'b, AtEnd>,
    pub(crate) reason: EndReason,
}

impl<S, F> EndCx<'_, '_, S, F> {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> EndReason {
        self.reason
    }
}

/// An IP packet that belongs to no flow.
#[derive(Debug)]
pub struct OrphanCx<'a, S> {
    /// The monitor's state on this core.
    pub state: &'a mut S,
    /// Opens and closes monitors.
    pub control: &'a mut Control,
    pub(crate) cx: PacketCx<'a>,
}

impl<S> OrphanCx<'_, S> {
    /// The packet.
    #[must_use]
    pub fn packet(&self) -> PacketView<'_> {
        self.cx.packet()
    }

    /// The time of the packet.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.cx.now()
    }

    /// Drops the packet.
    pub fn drop_packet(&mut self) {
        self.cx.drop_packet();
    }
}
