//! The trait by which the stack tells the layer above, and what that says of a flow.

use super::{EndReason, ErrorReason, Hook, Interest, Side};
use crate::reassembly::OverlapPolicy;
use crate::stack::{CoreCx, FlowCx, PacketCx};
use crate::time::Timestamp;

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

/// The layer above, as the stack sees it. The stack is borrowed by the context for as long as a call lasts. Of what it does not
/// implement it hears nothing.
pub trait Observer {
    /// Whether every IP packet is to be shown (MOS_SOCK_MONITOR_RAW).
    fn wants_packets(&self) -> bool {
        false
    }

    /// Whether flows are to be tracked at all (MOS_SOCK_MONITOR_STREAM).
    fn wants_flows(&self) -> bool;

    /// An IP packet, before anything else looks at it.
    fn on_packet(&mut self, _cx: &mut PacketCx<'_>) {}

    /// A packet that would begin a flow. `None`: nobody wants it.
    fn on_open(&mut self, cx: &mut PacketCx<'_>) -> Option<Attachment>;

    /// The flow of an accepted packet exists now.
    fn on_attach(&mut self, _cx: &mut FlowCx<'_>) {}

    /// An IP packet that belongs to no flow.
    fn on_orphan(&mut self, _cx: &mut PacketCx<'_>) {}

    /// A packet that goes on although no flow sees it, and that is no orphan: a part of a datagram, which is looked at when the
    /// whole is there, or TCP with wrong checksums.
    fn on_unseen(&mut self, _cx: &mut PacketCx<'_>) {}

    /// Events of a flow, all at `hook`. Somebody wants at least one of them, as far as [`Wanted`](super::Wanted) can tell. Returns
    /// whether what is wanted of the flow may be different now.
    fn on_events(&mut self, _cx: &mut FlowCx<'_>, _hook: Hook, _side: Side, _events: Interest) -> bool {
        false
    }

    /// ERROR for `side`; for those among its readers whose bit is set in `readers`, and for all who read nothing.
    fn on_error(&mut self, _cx: &mut FlowCx<'_>, _side: Side, _reason: ErrorReason, _readers: u16) {}

    /// NEW_DATA for `side`. `immediate`: for those who want it with the packet, which is at hand; else for all others, at the
    /// end of the burst. Then the observer may go on by itself to what the burst has brought next: see [`FlowCx::go_on`].
    fn on_new_data(&mut self, _cx: &mut FlowCx<'_>, _side: Side, _immediate: bool) {}

    /// The flow is over; all its CONN_END events were raised. Last call with this flow.
    fn on_end(&mut self, _cx: &mut FlowCx<'_>, _reason: EndReason) {}

    /// The time has come that [`Attachments::wake_at`](crate::stack::Attachments::wake_at) was told; it is forgotten now. `until`
    /// is how far time is about to move: whatever is due by then is to be done in this order of time, one call each.
    fn on_wakeup(&mut self, _cx: &mut CoreCx<'_>, _until: Timestamp) {}

    /// Who reads what `side` receives, of flows with handlers `table`.
    fn reading(&self, _table: u16, _side: Side) -> Reading {
        Reading::NOBODY
    }
}
