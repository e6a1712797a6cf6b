//! What concerns more than the flow at hand: the handlers of any flow, the whole core.

use super::super::Stack;
use super::{FlowCx, PacketCx};
use crate::event::{Attachment, Reading, Side, Wanted};
use crate::flow::FlowId;
use crate::flow::record::HalfFlags;
use crate::packet::Burst;
use crate::reassembly::StreamBuffer;
use crate::time::Timestamp;

/// Access to what is told of flows, for the layer above.
#[derive(Debug)]
pub struct Attachments<'a> {
    stack: &'a mut Stack,
}

impl Attachments<'_> {
    /// The number under which the layer above knows the handlers of `flow`; `None` if the flow is gone.
    #[must_use]
    pub fn table(&self, flow: FlowId) -> Option<u16> {
        self.stack.flows.slot_of(flow).map(|slot| self.stack.flows.hot(slot).table)
    }

    /// Changes what is told of `flow`, and to whom, from the next event on. What nobody reads any more is not kept. Nothing
    /// happens if the flow is gone.
    pub fn set(&mut self, flow: FlowId, attachment: Attachment) {
        let Some(slot) = self.stack.flows.slot_of(flow) else { return };
        let hot = self.stack.flows.hot_mut(slot);
        let (before, after) = (hot.wanted, Wanted::of(attachment.interest));
        hot.wanted = after;
        hot.table = attachment.table;
        if attachment.table == Attachment::BYPASS.table {
            self.stack.begin_bypass(slot);
            return;
        }
        for side in Side::BOTH {
            if before.any(Wanted::buffer(side)) && !after.any(Wanted::buffer(side)) {
                self.stack.stop_reading(slot, side);
            }
        }
    }

    /// `reader` begins to read what `side` of `flow` receives: from the next byte on.
    pub fn begin_reading(&mut self, flow: FlowId, side: Side, reader: u8) {
        if let Some(slot) = self.stack.flows.slot_of(flow) {
            let only_ranges = |stream: &StreamBuffer| !stream.is_empty() && !stream.keeps_bytes();
            if self.stack.backlog(slot, side).is_some_and(|backlog| only_ranges(&backlog.stream)) {
                // Ranges without bytes would take all that comes for one of them: what was noted there is a gap now.
                self.stack.drop_backlog(slot, side);
            }
            let burst = Burst { memory: &mut [], frames: &[], upcoming: &[] };
            FlowCx { stack: self.stack, burst, slot, index: None }.consume(side, reader, u64::MAX);
        }
    }

    /// The capacity of a side's buffer is not that of `from` any more. If the new one is less than what is unread in it, it
    /// shrinks as that is read.
    pub fn resize_buffer(&mut self, flow: FlowId, side: Side, from: Reading) {
        if let Some(slot) = self.stack.flows.slot_of(flow) {
            let capacity = from.capacity(self.stack.config.receive_buffer_bytes);
            self.stack.keep_capacity(slot, side, capacity);
        }
    }

    /// Somebody asks for NEW_DATA of `flow` with every packet: what is there and was not told comes with the next one.
    pub fn begin_immediate(&mut self, flow: FlowId) {
        let Some(slot) = self.stack.flows.slot_of(flow) else { return };
        for side in Side::BOTH {
            if self.stack.flows.hot(slot).half[side as usize].flags.any(HalfFlags::PENDING)
                && let Some(group) = self.stack.pending.find(slot, side)
            {
                self.stack.pending.announce_again(group);
            }
        }
    }

    /// Calls [`Observer::on_wakeup`](crate::event::Observer::on_wakeup) when that time has come; the end of time is never.
    pub fn wake_at(&mut self, time: Timestamp) {
        self.stack.wakeup = time;
        self.stack.quiet_until = self.stack.quiet_until.min(time.max(Timestamp::from_nanos(1)));
    }

    /// The time: that of the packet or of the timer.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.stack.now
    }

    /// Flows that are in the table.
    #[must_use]
    pub fn live_flows(&self) -> usize {
        self.stack.live_flows()
    }
}

/// The context of what concerns the whole core.
#[derive(Debug)]
pub struct CoreCx<'a> {
    pub(in crate::stack) stack: &'a mut Stack,
    pub(in crate::stack) burst: Burst<'a>,
}

impl CoreCx<'_> {
    /// The same context, borrowed.
    #[must_use]
    pub fn reborrow(&mut self) -> CoreCx<'_> {
        CoreCx { stack: self.stack, burst: self.burst.reborrow() }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.stack.now
    }

    /// The handlers of any flow.
    #[must_use]
    pub fn attachments(&mut self) -> Attachments<'_> {
        self.stack.attachments()
    }

    /// A flow, without a packet; `None` if it is gone.
    #[must_use]
    pub fn flow(&mut self, flow: FlowId) -> Option<FlowCx<'_>> {
        self.stack.any_flow(flow, self.burst.reborrow())
    }
}

impl FlowCx<'_> {
    /// Any flow, without a packet; `None` if it is gone.
    #[must_use]
    pub fn any_flow(&mut self, flow: FlowId) -> Option<FlowCx<'_>> {
        self.stack.any_flow(flow, self.burst.reborrow())
    }
}

impl PacketCx<'_> {
    /// A flow, without a packet; `None` if it is gone.
    #[must_use]
    pub fn flow(&mut self, flow: FlowId) -> Option<FlowCx<'_>> {
        self.stack.any_flow(flow, self.burst.reborrow())
    }
}

impl Stack {
    fn any_flow<'a>(&'a mut self, flow: FlowId, burst: Burst<'a>) -> Option<FlowCx<'a>> {
        let slot = self.flows.slot_of(flow)?;
        Some(FlowCx { stack: self, burst, slot, index: None })
    }

    /// Access to what is told of flows.
    #[must_use]
    pub fn attachments(&mut self) -> Attachments<'_> {
        Attachments { stack: self }
    }

    /// The whole core, between bursts.
    #[must_use]
    pub fn core(&mut self) -> CoreCx<'_> {
        CoreCx { stack: self, burst: Burst { memory: &mut [], frames: &[], upcoming: &[] } }
    }
}
