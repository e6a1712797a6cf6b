//! What a callback sees of the stack, and what it may do.

use core::net::SocketAddr;

use smallvec::SmallVec;

use super::chunks::{Chunk, Chunks};
use super::{Rtt, Stack, WHOLE};
use crate::event::{Attachment, Reading, Side, Wanted};
use crate::filter::Filter;
use crate::flow::record::{HalfFlags, SlowFlags};
use crate::flow::{FlowId, Offers};
use crate::packet::{Burst, FrameMeta, Verdict};
use crate::reassembly::{Span, StreamBuffer};
use crate::tcp::TcpState;
use crate::time::Timestamp;
use crate::wire::{Packet, SeqNum, TcpFlags};

/// A packet and its bytes.
#[derive(Clone, Copy, Debug)]
pub struct PacketView<'a> {
    /// What the headers say.
    pub packet: &'a Packet,
    /// The frame; for a datagram made whole from fragments, the IP datagram.
    pub frame: &'a [u8],
    /// Bytes it had on the wire.
    pub wire_len: u32,
    /// When it arrived.
    pub timestamp: Timestamp,
    /// The device port it arrived on; 0 for a datagram made whole.
    pub port: u16,
}

impl<'a> PacketView<'a> {
    /// Address and port of the sender; port 0 if the protocol has none.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        SocketAddr::new(self.packet.source(self.frame), self.packet.src_port)
    }

    /// Address and port of the receiver.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.packet.destination(self.frame), self.packet.dst_port)
    }

    /// Whether `filter` matches the packet.
    #[must_use]
    pub fn matches(&self, filter: &Filter) -> bool {
        filter.matches(self.packet, self.frame, self.wire_len)
    }

    /// The captured TCP payload.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.packet.payload(self.frame)
    }
}

/// The context of a packet that no flow has, or not yet.
#[derive(Debug)]
pub struct PacketCx<'a> {
    pub(super) stack: &'a mut Stack,
    pub(super) burst: Burst<'a>,
    pub(super) index: usize,
}

impl PacketCx<'_> {
    /// The same context, borrowed.
    #[must_use]
    pub fn reborrow(&mut self) -> PacketCx<'_> {
        PacketCx { stack: self.stack, burst: self.burst.reborrow(), index: self.index }
    }

    /// The packet.
    #[must_use]
    pub fn packet(&self) -> PacketView<'_> {
        view(self.stack, &self.burst, self.index)
    }

    /// The handlers of any flow.
    #[must_use]
    pub fn attachments(&mut self) -> Attachments<'_> {
        self.stack.attachments()
    }

    /// The time of the packet.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.stack.now
    }

    /// The packet is not to be forwarded. False if it came in fragments, which are forwarded one by one.
    pub fn drop_packet(&mut self) -> bool {
        if self.index != WHOLE {
            self.stack.verdicts[self.index] = Verdict::Drop;
        }
        self.index != WHOLE
    }
}

pub(super) fn view<'v>(stack: &'v Stack, burst: &'v Burst<'_>, index: usize) -> PacketView<'v> {
    const NO_META: FrameMeta = FrameMeta {
        start: 0,
        captured: 0,
        wire_len: 0,
        timestamp: Timestamp::ZERO,
        port: 0,
        link: crate::packet::LinkType::RawIp,
    };
    let frame = stack.frame(index, burst);
    let whole =
        FrameMeta { captured: frame.len() as u32, wire_len: frame.len() as u32, timestamp: stack.now, ..NO_META };
    let meta = if index == WHOLE { &whole } else { &burst.frames[index] };
    PacketView {
        packet: &stack.packets[index],
        frame,
        wire_len: if stack.scratch.is_replaced(index) { frame.len() as u32 } else { meta.wire_len },
        timestamp: meta.timestamp,
        port: meta.port,
    }
}

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
    }

    /// The time: that of the packet or of the timer.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.stack.now
    }
}

/// The context of what concerns the whole core.
#[derive(Debug)]
pub struct CoreCx<'a> {
    pub(super) stack: &'a mut Stack,
    pub(super) burst: Burst<'a>,
}

impl CoreCx<'_> {
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
        let slot = self.stack.flows.slot_of(flow)?;
        Some(FlowCx { stack: self.stack, burst: self.burst.reborrow(), slot, index: None })
    }
}

impl Stack {
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

/// Where a side's receive buffer stands, in the sequence numbers of its peer as this side knows them (`tcp_buf_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufInfo {
    /// The number of the stream's first byte.
    pub init_seq: SeqNum,
    /// The number of the last byte that the reader has taken; the one before `init_seq` if it has taken none.
    pub last_byte_read: SeqNum,
    /// The number of the next byte that is expected.
    pub next_byte_expected: SeqNum,
    /// The number of the last byte that has come, in order or not.
    pub last_byte_received: SeqNum,
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

    /// Where the receive buffer of `side` stands for `reader`; `None` as long as the stream's beginning is not known.
    #[must_use]
    pub fn buf_info(&self, side: Side, reader: u8) -> Option<BufInfo> {
        let half = &self.stack.flows.hot(self.slot).half[side as usize];
        if !half.flags.any(HalfFlags::SYNCED) {
            return None;
        }
        let end = self.info(side).stream_bytes;
        let fin = u64::from(half.slow.any(SlowFlags::FIN_REACHED));
        // The number of the byte at an offset: as far from RCV.NXT as that is from the stream's end.
        let number = |offset: u64| half.rcv_nxt + offset.wrapping_sub(end + fin) as u32;
        let last = self.stack.backlog(self.slot, side).and_then(|backlog| backlog.stream.spans().last());
        let received = last.map_or(end, |span| span.end().max(end));
        Some(BufInfo {
            init_seq: number(0),
            last_byte_read: number(self.position(side, reader).wrapping_sub(1)),
            next_byte_expected: number(end),
            last_byte_received: number(received.wrapping_sub(1)),
        })
    }

    /// What has come of the stream that `side` receives and is not taken by `reader`: the part in order first, if anything of
    /// that is left, then what lies beyond holes, by stream offsets (MOS_FRAGINFO).
    #[must_use]
    pub fn fragments(&self, side: Side, reader: u8) -> SmallVec<[Span; 4]> {
        let end = self.info(side).stream_bytes;
        let in_order = Span::new(self.position(side, reader), end);
        let beyond = self.stack.backlog(self.slot, side).into_iter().flat_map(|backlog| backlog.stream.spans().iter());
        in_order.into_iter().chain(beyond.filter_map(|span| span.at_or_above(end))).collect()
    }

    /// Counters and options of a side.
    #[must_use]
    pub fn info(&self, side: Side) -> HalfInfo {
        let half = &self.stack.flows.hot(self.slot).half[side as usize];
        let cold = &self.stack.flows.cold(self.slot).half[side as usize];
        let fin_reached = half.slow.any(SlowFlags::FIN_REACHED);
        HalfInfo {
            stream_bytes: self.stack.offset(self.slot, side).saturating_sub(u64::from(fin_reached)),
            gap_bytes: cold.gap_bytes,
            retransmits: cold.retransmits,
            retransmitted_bytes: cold.retransmitted_bytes,
            conflicts: cold.conflicts,
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

    /// What `reader` has not taken of the bytes that `side` received, in order.
    #[must_use]
    pub fn chunks(&self, side: Side, reader: u8) -> Chunks<'_> {
        let (position, end, origin, group) = self.unread(side, reader);
        Chunks {
            stack: self.stack,
            memory: self.burst.memory,
            backlog: self.stack.backlog(self.slot, side),
            position,
            end,
            piece: group.map_or(u32::MAX, |group| self.stack.pending.group(group).first),
            piece_start: origin,
            pieces_from: origin,
            slices: None,
        }
    }

    /// The bytes, seen or missing, that `reader` has not taken yet.
    #[must_use]
    pub fn unread_len(&self, side: Side, reader: u8) -> u64 {
        let (position, end, ..) = self.unread(side, reader);
        end - position
    }

    /// The stream offset of the first byte that `reader` has not taken.
    #[must_use]
    pub fn position(&self, side: Side, reader: u8) -> u64 {
        let (position, _, origin, group) = self.unread(side, reader);
        match group {
            Some(group) => self.stack.group_start(group).wrapping_add(position).wrapping_sub(origin),
            None => position,
        }
    }

    /// `reader` has taken `len` bytes more, or all there are.
    pub fn consume(&mut self, side: Side, reader: u8, len: u64) {
        let (position, end, origin, group) = self.unread(side, reader);
        let position = position.saturating_add(len).min(end);
        if self.stack.flows.hot(self.slot).half[side as usize].flags.any(HalfFlags::BUFFERED) {
            if let Some(buffer) = &self.stack.flows.cold(self.slot).half[side as usize].buffer {
                self.stack.buffers.get_mut(buffer).move_to(reader, position);
            }
        } else if let Some(group) = group {
            self.stack.pending.take(group, reader, position - origin);
        }
    }

    /// Copies what `reader` has not taken, up to the next missing byte, and takes it.
    ///
    /// # Errors
    ///
    /// [`PeekError::Missing`] if the next bytes are missing; they count as taken then, so the next call reads on.
    pub fn peek(&mut self, side: Side, reader: u8, out: &mut [u8]) -> Result<usize, PeekError> {
        let mut copied = 0;
        for chunk in self.chunks(side, reader) {
            match chunk {
                Chunk::Data(data) => {
                    let len = data.len().min(out.len() - copied);
                    out[copied..copied + len].copy_from_slice(&data[..len]);
                    copied += len;
                }
                Chunk::Missing(len) if copied == 0 && !out.is_empty() => {
                    self.consume(side, reader, len);
                    return Err(PeekError::Missing(len));
                }
                Chunk::Missing(_) => break,
            }
            if copied == out.len() {
                break;
            }
        }
        self.consume(side, reader, copied as u64);
        Ok(copied)
    }

    /// Copies bytes at stream offset `offset` without taking them: unread, out of order, or kept as history. Stops at the
    /// next byte that is not there; 0 if the first one is not.
    #[must_use]
    pub fn ppeek(&self, side: Side, offset: u64, out: &mut [u8]) -> usize {
        let mut copied = 0;
        while copied < out.len() {
            let at = offset.saturating_add(copied as u64);
            let step = match self.in_pending(side, at) {
                Some(bytes) => {
                    let len = bytes.len().min(out.len() - copied);
                    out[copied..copied + len].copy_from_slice(&bytes[..len]);
                    len
                }
                None => self
                    .stack
                    .backlog(self.slot, side)
                    .map_or(0, |backlog| backlog.stream.copy_out(&self.stack.pool, at, &mut out[copied..])),
            };
            if step == 0 {
                break;
            }
            copied += step;
        }
        copied
    }

    /// The bytes from `offset` on, as far as they lie in one frame of this burst.
    fn in_pending(&self, side: Side, offset: u64) -> Option<&[u8]> {
        let group = self.pending_group(side)?;
        let mut at = self.stack.group_start(group);
        let mut next = self.stack.pending.group(group).first;
        while let Some(piece) = self.stack.pending.piece(next) {
            if offset < at {
                return None;
            }
            if offset < at + piece.len {
                let (skip, len) = ((offset - at) as usize, piece.len as usize);
                return self.stack.scratch.at(piece.source, len, &self.burst).map(|bytes| &bytes[skip..]);
            }
            at += piece.len;
            next = piece.next;
        }
        None
    }

    #[inline]
    fn pending_group(&self, side: Side) -> Option<usize> {
        if let Some(index) = self.stack.delivering {
            let group = self.stack.pending.group(index);
            if group.slot == self.slot && group.side == side {
                return Some(index);
            }
        }
        let pending = self.stack.flows.hot(self.slot).half[side as usize].flags.any(HalfFlags::PENDING);
        pending.then(|| self.stack.pending.find(self.slot, side)).flatten()
    }

    /// Where `reader` stands, where the readable part ends, where the pending pieces begin, and their group. Offsets of
    /// the stream if there is a backlog; otherwise all that is unread is pending, and they count from its first byte.
    fn unread(&self, side: Side, reader: u8) -> (u64, u64, u64, Option<usize>) {
        let group = self.pending_group(side);
        let len = group.map_or(0, |group| self.stack.pending.group(group).len);
        match (self.stack.backlog(self.slot, side), group) {
            (Some(backlog), Some(group)) => {
                let origin = self.stack.group_start(group);
                (backlog.cursor(reader).min(origin + len), origin + len, origin, Some(group))
            }
            (Some(backlog), None) => {
                let end = self.info(side).stream_bytes;
                (backlog.cursor(reader).min(end), end, end, None)
            }
            (None, Some(index)) => (self.stack.pending.taken(index, reader).min(len), len, 0, group),
            (None, None) => {
                let end = self.info(side).stream_bytes;
                (end, end, end, None)
            }
        }
    }
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// That many bytes never came, or were given up because nobody read them in time.
    #[error("{0} bytes of the stream are missing")]
    Missing(u64),
}
