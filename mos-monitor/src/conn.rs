//! The flow at hand, as one monitor may see and use it.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mos_core::event::{Hook, Side, Wanted};
use mos_core::flow::FlowId;
use mos_core::reassembly::{OverlapPolicy, Span};
use mos_core::socket::{BadDescriptor, Descriptor};
use mos_core::stack::{AlterError, BufInfo, Chunks, FlowCx, HalfInfo, PacketView, PeekError, SendError};
use mos_core::tcp::TcpState;
use mos_core::time::Timestamp;
use mos_core::wire::TcpSegment;
use mos_core::wire::edit::{Checksums, Layer};
use smallvec::SmallVec;

use crate::calls::Told;
use crate::control::Control;
use crate::edit::{Edit, Rewriting};
use crate::error::{ControlError, TimerError};
use crate::event::EventId;
use crate::handler::{AtData, AtError, AtFilter, AtRcv, AtSnd, AtTimer, Handler, Registers};
use crate::packet::LastPacket;
use crate::sets::Member;
use crate::table::Change;
use crate::timer::{Timer, TimerId};

/// The flow at hand, as one monitor may see and use it. `At` is the place of the callback.
#[derive(Debug)]
pub struct Conn<'a, 'b, At> {
    pub(crate) cx: &'a mut FlowCx<'b>,
    /// It knows what is told to whom: to have that here as well would make each call dearer.
    pub(crate) control: &'a mut Control,
    at: PhantomData<At>,
}

impl<'a, 'b, At> Conn<'a, 'b, At> {
    #[inline]
    pub(crate) fn new(cx: &'a mut FlowCx<'b>, control: &'a mut Control) -> Self {
        Self { cx, control, at: PhantomData }
    }

    #[inline]
    fn member(&self) -> Member {
        self.control.told.member
    }
}

/// Where things are.
impl<At> Conn<'_, '_, At> {
    /// The side the event is about: the sender at SND, the receiver at RCV and for data. The client, where there is no such side:
    /// for timers. At the end of the flow the server.
    #[must_use]
    pub fn side(&self) -> Side {
        self.control.told.side
    }

    /// The event; for timers, which are none, PKT_IN.
    #[must_use]
    pub fn event(&self) -> EventId {
        self.control.told.event
    }

    /// The hook.
    #[must_use]
    pub fn hook(&self) -> Hook {
        self.control.told.hook
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

    /// When the flow's last packet came, to the millisecond (MOS_TIMESTAMP).
    #[must_use]
    pub fn last_active(&self) -> Timestamp {
        self.cx.last_active()
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

    /// Address and port of `side` as `observer` knows it: if callbacks translated the first packet, the server knows others
    /// than the client.
    #[must_use]
    pub fn endpoint_seen_by(&self, observer: Side, side: Side) -> SocketAddr {
        self.cx.endpoint_seen_by(observer, side)
    }

    /// Counters, options and round-trip times of a side.
    #[must_use]
    pub fn info(&self, side: Side) -> HalfInfo {
        self.cx.info(side)
    }
}

/// What a side has received.
impl<At> Conn<'_, '_, At> {
    /// What this monitor has not taken of the bytes that `side` received, run by run, without copying.
    #[inline]
    #[must_use]
    pub fn chunks_of(&self, side: Side) -> Chunks<'_> {
        self.cx.chunks(side, self.member().index)
    }

    /// Whether what `side` receives is kept for anybody to read.
    #[inline]
    #[must_use]
    pub fn is_buffered(&self, side: Side) -> bool {
        self.cx.wanted().any(Wanted::buffer(side))
    }

    /// How many bytes, seen or missing, of what `side` received this monitor has not taken.
    #[inline]
    #[must_use]
    pub fn unread_len(&self, side: Side) -> u64 {
        self.cx.unread_len(side, self.member().index)
    }

    /// The stream offset of the first byte that this monitor has not taken.
    #[must_use]
    pub fn position(&self, side: Side) -> u64 {
        self.cx.position(side, self.member().index)
    }

    /// Takes `len` bytes of what `side` received, or all there are.
    pub fn consume_of(&mut self, side: Side, len: u64) {
        self.cx.consume(side, self.member().index, len);
    }

    /// Copies what this monitor has not taken of the bytes that `side` received, and takes it (mtcp_peek). Returns the
    /// number of bytes: 0 if nothing is there.
    ///
    /// # Errors
    ///
    /// [`PeekError::Missing`] if the next bytes never came or were given up; the next call reads on behind them.
    #[inline]
    pub fn peek(&mut self, side: Side, out: &mut [u8]) -> Result<usize, PeekError> {
        self.cx.peek(side, self.member().index, out)
    }

    /// Copies bytes at `offset` of the stream that `side` received, without taking them (mtcp_ppeek): unread ones, ones out
    /// of order, or history. Returns how many; 0 if the first is not there.
    #[must_use]
    pub fn ppeek(&self, side: Side, offset: u64, out: &mut [u8]) -> usize {
        self.cx.ppeek(side, offset, out)
    }

    /// Where the receive buffer of `side` stands, in sequence numbers (MOS_INFO_CLIBUF, MOS_INFO_SVRBUF). `None` as long as
    /// the stream's beginning is not known.
    #[must_use]
    pub fn buf_info(&self, side: Side) -> Option<BufInfo> {
        self.cx.buf_info(side, self.member().index)
    }

    /// What has come and is not taken, by stream offsets: the part in order, if anything of that is left, then what lies
    /// beyond holes (MOS_FRAGINFO_CLIBUF, MOS_FRAGINFO_SVRBUF).
    #[must_use]
    pub fn fragments(&self, side: Side) -> SmallVec<[Span; 4]> {
        self.cx.fragments(side, self.member().index)
    }
}

/// The other flows of the core.
impl<At> Conn<'_, '_, At> {
    /// Any flow of this core, by its descriptor, as the monitor sees it that the descriptor is of: without a packet.
    ///
    /// # Errors
    ///
    /// [`ControlError::BadDescriptor`], [`ControlError::WrongKind`] if it is no flow's.
    pub fn with_flow<R>(
        &mut self,
        socket: Descriptor,
        act: impl FnOnce(&mut Conn<'_, '_, AtTimer>) -> R,
    ) -> Result<R, ControlError> {
        if self.is(socket) {
            return Ok(act(&mut Conn::new(self.cx, self.control)));
        }
        let (member, flow) = self.control.active(socket)?;
        with_flow(self.cx.any_flow(flow), self.control, member, act)
    }

    /// Flows that this core has.
    #[must_use]
    pub fn live_flows(&mut self) -> usize {
        self.cx.attachments().live_flows()
    }
}

/// Lets `act` see a flow as `member` does, while something else is told.
pub(crate) fn with_flow<R>(
    cx: Option<FlowCx<'_>>,
    control: &mut Control,
    member: Member,
    act: impl FnOnce(&mut Conn<'_, '_, AtTimer>) -> R,
) -> Result<R, ControlError> {
    let mut cx = cx.ok_or(BadDescriptor)?;
    let (told, reason) = (control.told, control.reason.take());
    control.told = Told::nothing(member);
    // If it panics, that is the concern of the flow that is told.
    let result = catch_unwind(AssertUnwindSafe(|| act(&mut Conn::new(&mut cx, control))));
    (control.told, control.reason) = (told, reason);
    result.map_or_else(|panic| resume_unwind(panic), Ok)
}

/// What this monitor wants of this flow from the next dispatch on.
impl<At> Conn<'_, '_, At> {
    /// The descriptor of this flow for this monitor (MOS_SOCK_MONITOR_STREAM_ACTIVE): made when first asked for, valid
    /// until the flow ends. `None` if there are no descriptors left.
    #[inline]
    pub fn socket(&mut self) -> Option<Descriptor> {
        let member = self.member();
        match self.control.flow_socket(member, self.cx.slot()) {
            Some(descriptor) => Some(descriptor),
            None => self.control.open_flow_socket(member, self.cx.flow()),
        }
    }

    /// Whether that is the descriptor of this flow for this monitor, and open.
    #[inline]
    #[must_use]
    pub fn is(&self, socket: Descriptor) -> bool {
        let Self { cx, control, .. } = self;
        // What this callback has closed is known by its name until it returns.
        control.flow_socket(self.member(), cx.slot()) == Some(socket)
            && (control.is_idle() || control.get(socket).is_some())
    }

    /// Lets `handler` be called for `event` on this flow. One that was registered there before is replaced. However many flows
    /// have the same handlers, they share one table.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn register<H: Registers>(
        &mut self,
        event: impl Into<EventId>,
        handler: Handler<H>,
    ) -> Result<(), ControlError> {
        self.control.register_for(self.member(), Some(self.cx.flow()), event.into(), handler)
    }

    /// Lets nothing be called for `event` at `hook` on this flow any more.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn deregister(&mut self, hook: Hook, event: impl Into<EventId>) -> Result<(), ControlError> {
        self.control.deregister_for(self.member(), Some(self.cx.flow()), hook, event.into())
    }

    /// This monitor hears no more of this flow; what it kept for it is dropped. Same as closing [`Self::socket`], or as
    /// MOS_STOP_MON of both sides.
    pub fn stop(&mut self) {
        self.control.release_flow(self.member().index, self.cx.slot());
        self.control.leave(self.member(), self.cx.flow());
    }

    /// This monitor hears nothing of `side` any more (MOS_STOP_MON). When it hears of neither, it leaves the flow.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn stop_side(&mut self, side: Side) -> Result<(), ControlError> {
        self.change(Change::Stop(side as u8))
    }

    /// Whether what `side` receives is kept for this monitor to read: from the next byte on (MOS_CLIBUF, MOS_SVRBUF).
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn set_buffer(&mut self, side: Side, reads: bool) -> Result<(), ControlError> {
        self.change(Change::Buffer(side as u8, reads))
    }

    /// How many bytes of what `side` receives are kept unread at most. If more are unread now, they stay until they are read; new
    /// ones then take the place of the oldest. If several monitors read, the largest buffer counts.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn set_buffer_bytes(&mut self, side: Side, bytes: u64) -> Result<(), ControlError> {
        self.change(Change::BufferBytes(side as u8, bytes))
    }

    /// Which copy of a byte that `side` receives counts from now on (MOS_CLIOVERLAP, MOS_SVROVERLAP); see
    /// [`Monitor::overlap`](crate::Monitor::overlap).
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn set_overlap(&mut self, side: Side, policy: OverlapPolicy) -> Result<(), ControlError> {
        self.change(Change::Overlap(side as u8, policy))
    }

    /// How many bytes of each direction are kept after they were taken.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn keep_history(&mut self, bytes: u64) -> Result<(), ControlError> {
        self.change(Change::History(bytes))
    }

    /// Whether NEW_DATA of this flow comes with the packet that brought it, not once per burst.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub fn set_immediate(&mut self, immediate: bool) -> Result<(), ControlError> {
        self.change(Change::Immediate(immediate))
    }

    fn change(&mut self, change: Change) -> Result<(), ControlError> {
        self.control.change_for(self.member(), Some(self.cx.flow()), change)
    }

    /// Sets a timer for this flow. It goes with the flow, or when this monitor leaves that.
    ///
    /// # Errors
    ///
    /// See [`TimerError`].
    pub fn set_timer(&mut self, timer: Timer, handler: Handler<AtTimer>) -> Result<TimerId, TimerError> {
        let (member, flow) = (self.member(), self.cx.flow());
        self.control().set_flow_timer(member, flow, timer, handler)
    }

    /// Takes back a timer of this monitor. False if it has fired for the last time.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        let member = self.member();
        self.control.timers.cancel(&mut self.control.sockets, member, timer)
    }

    /// Opens and closes monitors.
    pub fn control(&mut self) -> &mut Control {
        self.control.now = self.cx.now();
        self.control
    }
}

/// Packets of one's own.
impl<At> Conn<'_, '_, At> {
    /// A segment that `to` would take for its peer's next one: addresses, numbers and an ACK, with nothing in it.
    #[must_use]
    pub fn segment_to(&self, to: Side) -> TcpSegment<'static> {
        self.cx.segment_to(to)
    }

    /// Sends a segment to `to` (mtcp_sendpkt), with any flags, options and payload. It does not pass the flow: its numbers are
    /// the caller's concern. Usually `TcpSegment { flags, payload, ..conn.segment_to(to) }`.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send_packet(&mut self, to: Side, segment: &TcpSegment<'_>) -> Result<(), SendError> {
        self.cx.send(to, segment)
    }

    /// Resets the connection: both endpoints get a RST that they accept (drop the packet first, if that is to be dropped). The flow itself stays until its time is over, so
    /// that what is still on the way can be dropped.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn reset(&mut self) -> Result<(), SendError> {
        self.cx.reset()
    }
}

/// The places where there may be a packet at hand.
pub trait WithPacket {}
impl WithPacket for AtSnd {}
impl WithPacket for AtRcv {}
impl WithPacket for AtData {}
impl WithPacket for AtError {}
impl WithPacket for AtFilter {}

impl<'b, At: WithPacket> Conn<'_, 'b, At> {
    /// The packet. None in CONN_END, in state changes that a timer made, at the end of a burst.
    #[must_use]
    pub fn packet(&self) -> Option<PacketView<'_>> {
        self.cx.packet()
    }

    /// The packet to be changed, if that can be done here: at the SND hook.
    pub fn to_edit(&mut self) -> Option<Conn<'_, 'b, AtSnd>> {
        if self.hook() != Hook::Snd {
            return None;
        }
        Some(Conn::new(self.cx, self.control))
    }

    /// Does not forward the packet, wherever it is told. Its receiver has seen it, unless this is the SND hook. False if there is none,
    /// or if it came in fragments, which are forwarded one by one.
    pub fn drop_forwarded(&mut self) -> bool {
        self.cx.drop_packet()
    }

    /// Overwrites bytes in the packet's headers as it is forwarded. Its receiver has seen it as it was.
    ///
    /// # Errors
    ///
    /// See [`AlterError`]; nothing has changed then.
    pub fn overwrite_forwarded(
        &mut self,
        layer: Layer,
        offset: usize,
        bytes: &[u8],
        checksums: Checksums,
    ) -> Result<(), AlterError> {
        self.cx.overwrite_forwarded(layer, offset, bytes, checksums)
    }

    /// The packet with all that is known of it (mtcp_getlastpkt).
    #[must_use]
    pub fn last_packet(&self) -> Option<LastPacket<'_>> {
        Some(LastPacket::new(self.cx.packet()?, self.cx.payload_offset()))
    }
}

impl<'b> Conn<'_, 'b, AtSnd> {
    /// The packet's bytes, to change in place: its receiver, and the flow's later lookups for the server's packets, see the
    /// result. Checksums are the caller's.
    #[must_use]
    pub fn frame_mut(&mut self) -> Option<&mut [u8]> {
        self.cx.frame_mut()
    }

    /// Changes header fields by name: `conn.rewrite().src(ip, port).apply()`.
    pub fn rewrite(&mut self) -> Rewriting<'_, 'b> {
        Rewriting::new(self.cx)
    }

    /// Changes bytes anywhere in the packet, its length too (mtcp_setlastpkt).
    pub fn edit(&mut self) -> Edit<'_, 'b> {
        Edit::new(self.cx)
    }

    /// Drops the packet: it is not forwarded, and its receiver never sees it. False if there is none, or if it came in
    /// fragments, which are forwarded one by one.
    pub fn drop_packet(&mut self) -> bool {
        self.cx.drop_packet()
    }
}

impl Conn<'_, '_, AtData> {
    /// What is new, run by run, without copying; and what this monitor left last time.
    #[inline]
    #[must_use]
    pub fn chunks(&self) -> Chunks<'_> {
        self.cx.chunks(self.control.told.side, self.member().index)
    }

    /// Takes `len` bytes, or all there are. What is not taken is there again next time.
    #[inline]
    pub fn consume(&mut self, len: u64) {
        self.cx.consume(self.control.told.side, self.member().index, len);
    }

    /// Takes all there is.
    #[inline]
    pub fn consume_all(&mut self) {
        self.consume(u64::MAX);
    }

    /// Drops the packet that brought the data, and with it all data of this side from there on: what does not reach the
    /// receiver once does not reach it when it is sent again. False if there is no packet: without immediate delivery it
    /// has gone its way.
    pub fn drop_packet(&mut self) -> bool {
        self.cx.drop_packet()
    }
}
