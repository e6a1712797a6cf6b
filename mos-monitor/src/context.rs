//! What callbacks are given. Each place has a type of its own, with what can be done there.

use mos_core::event::{EndReason, ErrorReason};
use mos_core::socket::Descriptor;
use mos_core::stack::{AlterError, Chunk, CoreCx, PacketCx, PacketView};
use mos_core::time::Timestamp;
use mos_core::wire::Packet;

use crate::conn::{Conn, with_flow};
use crate::control::Control;
use crate::edit::Rewriting;
use crate::error::ControlError;
use crate::event::{Forest, UserEvent};
use crate::handler::{AtData, AtEnd, AtError, AtFilter, AtRcv, AtSnd, AtTimer};
use crate::packet::LastPacket;
use crate::program::Raised;
use crate::timer::{Armed, TimerId};

macro_rules! context {
    ($(#[$meta:meta])* $name:ident, $at:ident $(, $field:ident: $type:ty)*) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name<'a, 'b, S, F> {
            /// The monitor's state on this core.
            pub state: &'a mut S,
            /// The monitor's state of this flow.
            pub flow: &'a mut F,
            /// The flow itself.
            pub conn: Conn<'a, 'b, $at>,
            $(pub(crate) $field: $type,)*
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
context! {
    /// ERROR.
    ErrorCx, AtError, reason: ErrorReason
}
context! {
    /// The flow is over: once per flow.
    EndCx, AtEnd, reason: EndReason
}
context! {
    /// A timer of the flow has fired.
    TimerCx, AtTimer, id: TimerId, missed: u64
}
context! {
    /// A filter is asked whether its event happens.
    FilterCx, AtFilter, evaluated: UserEvent, defined: &'a mut Defined
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

impl<S, F> ErrorCx<'_, '_, S, F> {
    /// What happened.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        self.reason
    }
}

impl<S, F> EndCx<'_, '_, S, F> {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> EndReason {
        self.reason
    }
}

impl<S, F> TimerCx<'_, '_, S, F> {
    /// The timer.
    #[must_use]
    pub fn id(&self) -> TimerId {
        self.id
    }

    /// Periods that time has leapt over since.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

impl<S, F> FilterCx<'_, '_, S, F> {
    /// Raises an event that was allocated below the one whose filter this is, or below one above that: it happens in this walk
    /// if its parent does, once however often it is raised.
    ///
    /// # Errors
    ///
    /// [`RaiseError`] if it was not allocated there.
    pub fn raise(&mut self, event: UserEvent) -> Result<(), RaiseError> {
        let Defined { forest, raised } = &mut *self.defined;
        Raising { forest, evaluated: self.evaluated, raised }.raise(event)
    }
}

/// The event was not raised: it was not allocated below the one that is being looked at, or below one above that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only events allocated below {0:?}, or below one above it, can be raised by its filter")]
pub struct RaiseError(pub UserEvent);

/// The events that a monitor has defined, and those that filters have raised in the walk at hand.
#[derive(Debug)]
pub(crate) struct Defined {
    pub(crate) forest: Forest,
    pub(crate) raised: Raised,
}

impl Defined {
    pub(crate) fn new(owner: u64) -> Self {
        Self { forest: Forest::new(owner), raised: Raised::new() }
    }
}

/// What a filter may raise.
#[derive(Debug)]
pub(crate) struct Raising<'a> {
    pub(crate) forest: &'a Forest,
    pub(crate) evaluated: UserEvent,
    pub(crate) raised: &'a mut Raised,
}

impl Raising<'_> {
    fn raise(&mut self, event: UserEvent) -> Result<(), RaiseError> {
        if !self.forest.may_raise(self.evaluated, event) {
            return Err(RaiseError(self.evaluated));
        }
        if !self.raised.contains(&event) {
            self.raised.push(event);
        }
        Ok(())
    }
}

/// A packet without a flow: ORPHAN of a stream monitor, PKT_IN of a raw one.
#[derive(Debug)]
pub struct PacketEventCx<'a, S> {
    /// The monitor's state on this core.
    pub state: &'a mut S,
    /// Opens and closes monitors, sets timers.
    pub control: &'a mut Control,
    pub(crate) cx: PacketCx<'a>,
    /// In filters.
    pub(crate) raising: Option<Raising<'a>>,
}

/// An IP packet that belongs to no flow.
pub type OrphanCx<'a, S> = PacketEventCx<'a, S>;

/// An IP packet, before the stack looks at it.
pub type RawCx<'a, S> = PacketEventCx<'a, S>;

/// A packet that goes on although no flow sees it.
pub type UnseenCx<'a, S> = PacketEventCx<'a, S>;

impl<'a, S> PacketEventCx<'a, S> {
    /// Changes header fields of the packet: monitors and flows that come next see what was made of it. Ports are there in TCP
    /// and UDP, addresses in any IP packet that is no fragment.
    pub fn rewrite(&mut self) -> Rewriting<'_, 'a> {
        Rewriting::of_packet(&mut self.cx)
    }
}

impl<S> PacketEventCx<'_, S> {
    /// The packet.
    #[must_use]
    pub fn packet(&self) -> PacketView<'_> {
        self.cx.packet()
    }

    /// The packet with all that is known of it (mtcp_getlastpkt).
    #[must_use]
    pub fn last_packet(&self) -> LastPacket<'_> {
        LastPacket::new(self.cx.packet(), None)
    }

    /// The time of the packet.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.cx.now()
    }

    /// A flow of this core, by its descriptor, as the monitor sees it that the descriptor is of.
    ///
    /// # Errors
    ///
    /// [`ControlError::BadDescriptor`], [`ControlError::WrongKind`] if it is no flow's.
    pub fn with_flow<R>(
        &mut self,
        socket: Descriptor,
        act: impl FnOnce(&mut Conn<'_, '_, AtTimer>) -> R,
    ) -> Result<R, ControlError> {
        let (member, flow) = self.control.active(socket)?;
        with_flow(self.cx.flow(flow), self.control, member, act)
    }

    /// Flows that this core has.
    #[must_use]
    pub fn live_flows(&mut self) -> usize {
        self.cx.attachments().live_flows()
    }

    /// The packet is not to be forwarded; if it has a flow, that sees it all the same. False if it came in fragments, which
    /// are forwarded one by one.
    pub fn drop_packet(&mut self) -> bool {
        self.cx.drop_packet()
    }

    /// Whether the packet was made whole from fragments, which have gone their way: it can be neither changed nor dropped.
    #[must_use]
    pub fn came_in_fragments(&self) -> bool {
        self.cx.came_in_fragments()
    }

    /// Lets `edit` change the frame in place, whatever it is; checksums are its concern. It is decoded again then: monitors and
    /// flows that come next see what was made of it.
    ///
    /// # Errors
    ///
    /// [`AlterError::Fragmented`] if the packet was made whole from fragments, which have gone their way.
    pub fn edit_frame<R>(&mut self, edit: impl FnOnce(&mut [u8], &Packet) -> R) -> Result<R, AlterError> {
        self.cx.edit_frame(edit)
    }

    /// In a filter: raises an event as [`FilterCx::raise`] does.
    ///
    /// # Errors
    ///
    /// [`RaiseError`] if it was not allocated there; `None` in a callback, which is no filter.
    pub fn raise(&mut self, event: UserEvent) -> Option<Result<(), RaiseError>> {
        self.raising.as_mut().map(|raising| raising.raise(event))
    }
}

/// A timer of the core has fired.
#[derive(Debug)]
pub struct CoreTimerCx<'a, S> {
    /// The monitor's state on this core.
    pub state: &'a mut S,
    /// Opens and closes monitors, sets timers.
    pub control: &'a mut Control,
    cx: CoreCx<'a>,
    id: TimerId,
    due: Timestamp,
    missed: u64,
}

impl<'a, S> CoreTimerCx<'a, S> {
    pub(crate) fn new(state: &'a mut S, control: &'a mut Control, cx: CoreCx<'a>, armed: &Armed) -> Self {
        let &Armed { id, due, missed, .. } = armed;
        Self { state, control, cx, id, due, missed }
    }
}

impl<S> CoreTimerCx<'_, S> {
    /// A flow of this core, by its descriptor, as the monitor sees it that the descriptor is of.
    ///
    /// # Errors
    ///
    /// [`ControlError::BadDescriptor`], [`ControlError::WrongKind`] if it is no flow's.
    pub fn with_flow<R>(
        &mut self,
        socket: Descriptor,
        act: impl FnOnce(&mut Conn<'_, '_, AtTimer>) -> R,
    ) -> Result<R, ControlError> {
        let (member, flow) = self.control.active(socket)?;
        with_flow(self.cx.flow(flow), self.control, member, act)
    }

    /// Flows that this core has.
    #[must_use]
    pub fn live_flows(&mut self) -> usize {
        self.cx.attachments().live_flows()
    }

    /// The timer.
    #[must_use]
    pub fn id(&self) -> TimerId {
        self.id
    }

    /// When it was due.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// Periods that time has leapt over since.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }
}
