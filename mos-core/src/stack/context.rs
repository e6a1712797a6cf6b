//! What a callback sees of the stack, and what it may do: here, of the flow at hand.

mod packet;
mod reading;
mod whole;

pub(super) use packet::view;
pub use packet::{PacketCx, PacketView};
pub use reading::{BufInfo, PeekError};
pub use whole::{Attachments, CoreCx};

use core::net::SocketAddr;

use super::{Rtt, Stack, WHOLE};
use crate::event::{Side, Wanted};
use crate::flow::record::{HalfFlags, SlowFlags};
use crate::flow::{FlowId, Offers};
use crate::packet::{Burst, Verdict};
use crate::tcp::TcpState;
use crate::time::Timestamp;
use crate::wire::TcpFlags;

/// What is counted and known of one side of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfInfo {
    /// Bytes of the stream that this side was sent, as far as it was followed: seen or missing.
    pub stream_bytes: u64,
    /// Of these, bytes that were never seen.
    pub gap_bytes: u64,
    /// Segments that brought this side something again.
    pub retransmits: u32,
    /// Payload bytes that this side was sent again.
    pub retransmitted_bytes: u64,
    /// Overlaps whose bytes differed.
    pub conflicts: u32,
    /// The maximum segment size that this side offered, in bytes; 0 if it offered none.
    pub mss: u16,
    /// The scale of the windows that this side advertises, if its SYN said.
    pub window_scale: Option<u8>,
    /// This side's SYN permitted selective acknowledgments.
    pub sack_permitted: bool,
    /// This side's SYN carried time stamps.
    pub timestamps: bool,
    /// The round-trip time between here and this side.
    pub rtt: Option<Rtt>,
}

/// The context of a flow's event.
#[derive(Debug)]
pub struct FlowCx<'a> {
    pub(super) stack: &'a mut Stack,
    pub(super) burst: Burst<'a>,
    pub(super) slot: u32,
    pub(super) index: Option<usize>,
}

impl FlowCx<'_> {
    /// The same context, borrowed.
    #[must_use]
    pub fn reborrow(&mut self) -> FlowCx<'_> {
        FlowCx { stack: self.stack, burst: self.burst.reborrow(), slot: self.slot, index: self.index }
    }

    /// The flow.
    #[must_use]
    pub fn flow(&self) -> FlowId {
        self.stack.flows.id(self.slot)
    }

    /// The flow's slot: see [`FlowId::slot`].
    #[inline]
    #[must_use]
    pub fn slot(&self) -> usize {
        self.slot as usize
    }

    /// The number under which the layer above knows the flow's handlers.
    #[inline]
    #[must_use]
    pub fn table(&self) -> u16 {
        self.stack.flows.hot(self.slot).table
    }

    /// The handlers of any flow.
    #[must_use]
    pub fn attachments(&mut self) -> Attachments<'_> {
        self.stack.attachments()
    }

    /// What is told of this flow, as far as its line says.
    #[inline]
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        self.stack.flows.hot(self.slot).wanted
    }

    /// The time: that of the packet or of the timer.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.stack.now
    }

    /// When the flow's first packet came.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.stack.flows.cold(self.slot).created
    }

    /// When the flow's last packet came, to the millisecond.
    #[must_use]
    pub fn last_active(&self) -> Timestamp {
        let silent = (self.stack.tick as u32).wrapping_sub(self.stack.flows.hot(self.slot).last_seen);
        Timestamp::from_millis(self.stack.tick.saturating_sub(silent.into()))
    }

    /// The state of a side; `None` as long as no packet has reached it.
    #[must_use]
    pub fn state(&self, side: Side) -> Option<TcpState> {
        let half = &self.stack.flows.hot(self.slot).half[side as usize];
        half.flags.any(HalfFlags::EXISTS).then_some(half.state)
    }

    /// Address and port of a side, as the flow's first packet had them when it came in.
    #[must_use]
    pub fn endpoint(&self, side: Side) -> SocketAddr {
        self.stack.flows.endpoint(self.slot, side)
    }

    /// Address and port of `side` as `observer` knows it: if callbacks translated the first packet, the server knows others
    /// than the client.
    #[must_use]
    pub fn endpoint_seen_by(&self, observer: Side, side: Side) -> SocketAddr {
        let translated = self.stack.flows.extras(self.slot).and_then(|extras| extras.translated);
        match translated {
            Some(endpoints) if observer == Side::Server => endpoints[side as usize],
            _ => self.endpoint(side),
        }
    }

    /// The stream offset of the first payload byte of the packet at hand, in the stream of the side that receives it; 0
    /// before that stream's beginning is known.
    #[must_use]
    pub fn payload_offset(&self) -> Option<u64> {
        let packet = &self.stack.packets[self.index?];
        let receiver = self.stack.sender.other();
        let half = &self.stack.flows.hot(self.slot).half[receiver as usize];
        let first = packet.seq + u32::from(packet.tcp_flags & TcpFlags::SYN != 0);
        let synced = half.flags.any(HalfFlags::SYNCED);
        Some(if synced { self.stack.flows.cold(self.slot).half[receiver as usize].offset_of(first) } else { 0 })
    }

    /// Counters and options of a side.
    #[must_use]
    pub fn info(&self, side: Side) -> HalfInfo {
        let half = &self.stack.flows.hot(self.slot).half[side as usize];
        let cold = &self.stack.flows.cold(self.slot).half[side as usize];
        let spill = self.stack.flows.spill(self.slot, side);
        let fin_reached = half.slow.any(SlowFlags::FIN_REACHED);
        HalfInfo {
            stream_bytes: self.stack.offset(self.slot, side).saturating_sub(u64::from(fin_reached)),
            gap_bytes: spill.gap_bytes,
            retransmits: spill.retransmits,
            retransmitted_bytes: spill.retransmitted_bytes,
            conflicts: spill.conflicts,
            mss: cold.mss,
            window_scale: cold.offers.any(Offers::SCALE).then_some(half.window_shift),
            sack_permitted: cold.offers.any(Offers::SACK),
            timestamps: cold.offers.any(Offers::TIMESTAMPS),
            rtt: self.stack.rtt(self.slot, side),
        }
    }

    /// The packet that raised the event; none at the end of a burst and for timers.
    #[must_use]
    pub fn packet(&self) -> Option<PacketView<'_>> {
        self.index.map(|index| view(self.stack, &self.burst, index))
    }

    /// The packet is not to be forwarded. Dropped at the SND hook, it never reaches its receiver; dropped with the NEW_DATA
    /// that it brought, neither it nor any data behind it does. False if there is no packet to drop: at the end of a burst,
    /// or if the packet came in fragments, which are forwarded one by one.
    pub fn drop_packet(&mut self) -> bool {
        let Some(index) = self.index.filter(|&index| index != WHOLE) else { return false };
        self.stack.verdicts[index] = Verdict::Drop;
        self.stack.dropped = true;
        true
    }
}
