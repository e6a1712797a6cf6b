//! What is kept of a flow: one cache line that the established state reads and writes, and a cold part for the rest.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use smallvec::SmallVec;

use crate::event::{Side, Wanted};
use crate::flow::key::{FlowKey, PacketKey};
use crate::flow::spill::NO_SPILL;
use crate::tcp::{Remap, Segment, TcpState};
use crate::time::Timestamp;
use crate::wire::SeqNum;

macro_rules! flags {
    ($(#[$meta:meta])* $name:ident { $($(#[$flag_meta:meta])* $flag:ident = $bit:expr;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name(u8);

        impl $name {
            $($(#[$flag_meta])* pub const $flag: Self = Self(1 << $bit);)*

            /// Whether any of `flags` is set.
            #[inline]
            #[must_use]
            pub fn any(self, flags: Self) -> bool {
                self.0 & flags.0 != 0
            }

            /// Whether all of `flags` are set.
            #[inline]
            #[must_use]
            pub fn all(self, flags: Self) -> bool {
                self.0 & flags.0 == flags.0
            }

            /// All flags that are set in either.
            #[inline]
            #[must_use]
            pub const fn or(self, flags: Self) -> Self {
                Self(self.0 | flags.0)
            }

            /// Those of `flags` that are set.
            #[inline]
            #[must_use]
            pub fn mask(self, flags: Self) -> Self {
                Self(self.0 & flags.0)
            }

            /// Sets `flags`.
            #[inline]
            pub fn set(&mut self, flags: Self) {
                self.0 |= flags.0;
            }

            /// Clears `flags`.
            #[inline]
            pub fn clear(&mut self, flags: Self) {
                self.0 &= !flags.0;
            }
        }

        impl core::ops::BitOr for $name {
            type Output = Self;

            #[inline]
            fn bitor(self, other: Self) -> Self {
                self.or(other)
            }
        }
    };
}

flags! {
    /// Properties of one emulated endpoint.
    HalfFlags {
        /// The endpoint exists: for the server half, a first packet has reached it.
        EXISTS = 0;
        /// `rcv_nxt` is known.
        SYNCED = 1;
        /// `rcv_nxt` was guessed from a segment without SYN; a SYN may still correct it.
        GUESSED = 2;
        /// Something beyond `rcv_nxt` is known to have been sent: a hole is open.
        HOLE = 3;
        /// The direction has a stream buffer.
        BUFFERED = 4;
        /// The direction has data for the end of the burst.
        PENDING = 5;
        /// `edge` is known: the endpoint has advertised a window whose scale is known.
        WINDOW = 6;
        /// A frame of this sender had a right checksum, so wrong ones are no artefact of the capture (D13).
        CHECKSUMS = 7;
    }
}

flags! {
    /// Properties of a flow.
    FlowFlags {
        /// The client is the higher of the two sorted endpoints. The lowest bit: it is what [`Hot::sender`] compares.
        CLIENT_IS_HIGH = 0;
        /// Both halves are established: what comes next can go the short way, in a direction without holes.
        FAST = 1;
        /// The server half is found under a key of its own: a first-packet callback rewrote the addresses.
        TRANSLATED = 2;
        /// The first segment was signed (RFC 2385, RFC 5925): all of them have to be.
        SIGNED = 3;
        /// Timestamps are in use (RFC 7323): both SYNs carried the option, or a first segment did.
        TIMESTAMPS = 4;
        /// The handshake is not complete.
        HALF_OPEN = 5;
        /// The flow has an entry among the extras.
        EXTRAS = 6;
        /// Both halves are synchronized, established or closing: what comes next may well be a FIN, or the handshake's last ACK.
        IN_ORDER = 7;
    }
}

/// One emulated endpoint, as the established state needs it. Names are those of RFC 9293 3.3.1, seen from this endpoint.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Half {
    /// RCV.NXT: the next sequence number expected from the peer.
    pub rcv_nxt: SeqNum,
    /// The highest acknowledgment number this endpoint sent, as far as its peer was seen to send.
    pub ack: SeqNum,
    /// The right edge of the widest window this endpoint advertised.
    pub edge: SeqNum,
    /// TS.Recent (RFC 7323 4.3): the time stamp that later segments of the peer must not lie before.
    pub ts_recent: u32,
    /// The endpoint's state.
    pub state: TcpState,
    /// Its properties.
    pub flags: HalfFlags,
    /// Rcv.Wind.Shift: the scale of the windows this endpoint advertises (RFC 7323 2).
    pub window_shift: u8,
    /// Bits about this endpoint that only the slow path needs.
    pub slow: SlowFlags,
}

flags! {
    /// Properties of one endpoint that only the slow path looks at.
    SlowFlags {
        /// The endpoint sent a FIN; its number is known.
        FIN_SENT = 0;
        /// The endpoint's initial sequence number is known.
        ISS = 1;
        /// Data beyond `rcv_nxt` came with a SYN and waits for an acknowledgment (D3).
        HELD = 2;
        /// `ts_recent` is valid.
        TS_RECENT = 3;
        /// `ack` is valid: the endpoint has acknowledged something.
        ACKED = 4;
        /// The stream has reached the peer's FIN: `rcv_nxt` counts it.
        FIN_REACHED = 5;
        /// Of the client: the first packet of the flow that was seen was no SYN.
        MIDSTREAM = 6;
        /// The last packet went to this endpoint: destruction begins with it.
        RECEIVED_LAST = 7;
    }
}

flags! {
    /// What an endpoint's SYN offered.
    Offers {
        /// Window scaling.
        SCALE = 0;
        /// Timestamps.
        TIMESTAMPS = 1;
        /// Selective acknowledgments.
        SACK = 2;
    }
}

/// The line that every packet of a flow touches. The endpoint's stream offsets are not here: they follow from
/// `rcv_nxt` and the last known pair in [`ColdHalf`].
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Hot {
    /// The flow's name: its endpoints. It matches no packet once the flow is closed.
    pub key: FlowKey,
    /// Client and server.
    pub half: [Half; 2],
    /// When the last packet came, in ticks of 1 ms, modulo 2^32.
    pub last_seen: u32,
    /// The set of handlers, as numbered by the layer above.
    pub table: u16,
    /// What anybody wants to hear of this flow.
    pub wanted: Wanted,
    /// Properties of the flow.
    pub flags: FlowFlags,
}

const _: () = assert!(size_of::<Hot>() == 64, "the packet path pays for every further line");

/// What one endpoint needs beyond the hot line.
#[derive(Debug)]
pub struct ColdHalf {
    /// ISS: the endpoint's own initial sequence number.
    pub iss: SeqNum,
    /// The highest sequence number this endpoint is known to have sent, plus one.
    pub snd_max: SeqNum,
    /// The highest number that its payload reached, plus one: no FIN can stand before it.
    pub data_max: SeqNum,
    /// The highest acknowledgment number this endpoint sent, even of what was never captured.
    pub ack_seen: SeqNum,
    /// The number of the endpoint's own FIN.
    pub fin_seq: SeqNum,
    /// A sequence number of the peer whose stream offset is known ...
    pub sync_seq: SeqNum,
    /// ... and that offset.
    pub sync_offset: u64,
    /// The maximum segment size of its SYN, in bytes; 0 if it had none.
    pub mss: u16,
    /// What its SYN offered.
    pub offers: Offers,
    /// Wrong checksums of this sender before its first right one.
    pub wrong_checksums: u8,
    /// The round-trip time to this endpoint as the handshake showed it, in microseconds; 0 if it did not.
    pub handshake_us: u32,
}

/// What the established state does not touch, in two lines. Addresses and ports follow from the key.
#[derive(Debug)]
#[repr(align(32))]
pub struct Cold {
    /// When the first packet came.
    pub created: Timestamp,
    /// Client and server.
    pub half: [ColdHalf; 2],
    /// Counts the flows that have lived in this slot.
    pub generation: u32,
    /// The number of what only some flows have: see [`FlowTable::spill`](super::FlowTable::spill).
    pub(super) spill: u32,
}

const _: () = assert!(size_of::<Cold>() == 96, "every flow pays for every further byte");

/// What hardly any flow has.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// The key under which the server half is found, if callbacks translated the first packet.
    pub server_key: Option<(FlowKey, u32)>,
    /// Initial sequence numbers of further SYN|ACKs (D11).
    pub other_syn_acks: SmallVec<[SeqNum; 4]>,
    /// A SYN that would start a new connection on these endpoints, if its answer comes (D10).
    pub reuse: Option<ReuseSyn>,
    /// Signs that the capture has missed more than a window.
    pub ahead: Option<Ahead>,
    /// Data that its receiver should not have accepted. If it acknowledges it all the same, it knew better.
    pub suspects: Vec<Suspect>,
    /// Client and server as the server sees them, if callbacks translated the first packet.
    pub translated: Option<[SocketAddr; 2]>,
    /// What was changed in length, by the side that sends.
    pub remaps: Option<Box<[Remap; 2]>>,
    /// Up to here a side has sent data that its receiver should have refused, and that went on all the same.
    pub refused: [Option<SeqNum>; 2],
    /// From here on what a side is sent is dropped, by the side that receives.
    pub cuts: [Option<u64>; 2],
}

impl Extras {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.server_key.is_none()
            && self.other_syn_acks.is_empty()
            && self.reuse.is_none()
            && self.ahead.is_none()
            && self.suspects.is_empty()
            && self.translated.is_none()
            && self.remaps.is_none()
            && self.refused == [None; 2]
            && self.cuts == [None; 2]
    }
}

/// What lies beyond the window of one side, by the word of both.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    /// Who receives.
    pub side: Side,
    /// What it expected then: if it gets that, all this was nothing.
    pub expected: SeqNum,
    /// The data that its peer sent out there: from here ...
    pub low: SeqNum,
    /// ... to here.
    pub high: SeqNum,
    /// The acknowledgment that it sent out there.
    pub ack: Option<SeqNum>,
    /// How often the two have agreed.
    pub agreements: u8,
}

/// Data of a segment that was rejected.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// Who received it.
    pub side: Side,
    /// The number of its first byte.
    pub seq: SeqNum,
    /// The bytes.
    pub bytes: Box<[u8]>,
}

impl Suspect {
    /// The number after its last byte.
    #[must_use]
    pub fn end(&self) -> SeqNum {
        self.seq + self.bytes.len() as u32
    }
}

/// What a SYN said that is not believed yet.
#[derive(Clone, Copy, Debug)]
pub struct ReuseSyn {
    /// Who sent it.
    pub side: Side,
    /// Its sequence number.
    pub seq: SeqNum,
    /// All of it.
    pub segment: Segment,
}

impl Half {
    /// An endpoint that nothing has reached yet.
    pub const NEW: Self = Self {
        rcv_nxt: SeqNum(0),
        ack: SeqNum(0),
        edge: SeqNum(0),
        ts_recent: 0,
        state: TcpState::Listen,
        flags: HalfFlags(0),
        window_shift: 0,
        slow: SlowFlags(0),
    };
}

impl Hot {
    /// The line of no flow.
    pub(super) const NEW: Self = Self {
        key: FlowKey::NONE,
        half: [Half::NEW; 2],
        last_seen: 0,
        table: 0,
        wanted: Wanted::NONE,
        flags: FlowFlags(0),
    };

    /// Something is missing, in one of the directions.
    #[inline]
    #[must_use]
    pub fn has_hole(&self) -> bool {
        (self.half[0].flags | self.half[1].flags).any(HalfFlags::HOLE)
    }

    /// Which side sends packets with this key, if they are the flow's and nobody translates it.
    #[inline(always)]
    #[must_use]
    pub fn sender(&self, key: &PacketKey) -> Side {
        let differs = (self.flags.0 ^ u8::from(key.from_high)) & FlowFlags::CLIENT_IS_HIGH.0 != 0;
        if differs { Side::Server } else { Side::Client }
    }
}

/// Of both halves, that which sends and that which receives what `sender` sends.
#[inline(always)]
pub fn ends(halves: &mut [Half; 2], sender: Side) -> [&mut Half; 2] {
    let [client, server] = halves;
    match sender {
        Side::Client => [client, server],
        Side::Server => [server, client],
    }
}

impl Cold {
    /// The cold part of no flow.
    pub(super) const NEW: Self =
        Self { created: Timestamp::ZERO, half: [ColdHalf::NEW; 2], generation: 0, spill: NO_SPILL };

    /// Whether the flow has anything that only some flows have.
    #[inline]
    #[must_use]
    pub fn has_spill(&self) -> bool {
        self.spill != NO_SPILL
    }
}

impl ColdHalf {
    /// An endpoint that nothing has reached yet.
    pub const NEW: Self = Self {
        iss: SeqNum(0),
        snd_max: SeqNum(0),
        data_max: SeqNum(0),
        ack_seen: SeqNum(0),
        fin_seq: SeqNum(0),
        sync_seq: SeqNum(0),
        sync_offset: 0,
        mss: 0,
        offers: Offers(0),
        wrong_checksums: 0,
        handshake_us: 0,
    };

    /// The stream offset of the peer's sequence number `seq`, which lies within 2^31 of the last known pair; numbers before
    /// the stream's first byte count as 0.
    #[inline]
    #[must_use]
    pub fn offset_of(&self, seq: SeqNum) -> u64 {
        self.sync_offset.saturating_add_signed(i64::from(seq.distance(self.sync_seq)))
    }

    /// The peer's sequence number at the stream offset `offset`, which lies within 2^31 of the last known pair.
    #[must_use]
    pub fn number_of(&self, offset: u64) -> SeqNum {
        self.sync_seq + offset.wrapping_sub(self.sync_offset) as u32
    }
}
