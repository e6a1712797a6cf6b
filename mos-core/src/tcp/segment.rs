//! One segment as the state machine sees it.

use crate::wire::{Packet, SeqNum, SynOptions, TcpFlags};

/// The fields of a segment that matter to the endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// SEG.SEQ
    pub seq: SeqNum,
    /// SEG.ACK; meaningful with ACK set.
    pub ack: SeqNum,
    /// SEG.WND as in the header, not scaled.
    pub window: u16,
    /// Control bits.
    pub flags: u8,
    /// Payload bytes on the wire.
    pub len: u32,
    /// TSval, if the segment carries time stamps.
    pub ts_val: Option<u32>,
    /// TSecr, if the segment carries time stamps.
    pub ts_ecr: Option<u32>,
    /// The segment carries a signature (RFC 2385, RFC 5925).
    pub signed: bool,
    /// What it offers, if SYN is set.
    pub options: Option<SynOptions>,
}

impl Segment {
    /// The segment of a decoded packet.
    #[inline]
    #[must_use]
    pub fn new(packet: &Packet) -> Self {
        let syn = packet.tcp_flags & TcpFlags::SYN != 0;
        Self {
            seq: packet.seq,
            ack: packet.ack,
            window: packet.window,
            flags: packet.tcp_flags,
            len: packet.payload_len,
            ts_val: packet.has_timestamps.then_some(packet.ts_val),
            ts_ecr: packet.has_timestamps.then_some(packet.ts_ecr),
            signed: packet.signed,
            options: syn.then_some(packet.syn_options),
        }
    }

    /// SYN is set.
    #[inline]
    #[must_use]
    pub fn syn(&self) -> bool {
        self.flags & TcpFlags::SYN != 0
    }

    /// ACK is set.
    #[inline]
    #[must_use]
    pub fn has_ack(&self) -> bool {
        self.flags & TcpFlags::ACK != 0
    }

    /// RST is set.
    #[inline]
    #[must_use]
    pub fn rst(&self) -> bool {
        self.flags & TcpFlags::RST != 0
    }

    /// FIN is set and counts: not together with SYN or RST, a combination that no endpoint sends.
    #[inline]
    #[must_use]
    pub fn fin(&self) -> bool {
        self.flags & (TcpFlags::FIN | TcpFlags::SYN | TcpFlags::RST) == TcpFlags::FIN
    }

    /// The number of the first payload byte.
    #[inline]
    #[must_use]
    pub fn data_start(&self) -> SeqNum {
        self.seq + u32::from(self.syn())
    }

    /// The number after the last payload byte: that of the FIN, if there is one.
    #[inline]
    #[must_use]
    pub fn data_end(&self) -> SeqNum {
        self.data_start() + self.len
    }

    /// The number after everything in the segment.
    #[inline]
    #[must_use]
    pub fn end(&self) -> SeqNum {
        self.data_end() + u32::from(self.fin())
    }
}
