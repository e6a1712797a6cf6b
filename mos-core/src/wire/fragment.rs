//! IP datagrams in pieces: reassembly for inspection (RFC 791, RFC 8200 section 4.5), within bounds.
//!
//! Whoever sends fragments decides how long they are kept, in how many pieces and in what order they come; so everything
//! here is bounded (datagrams, bytes, pieces of a datagram, time), and what goes over a bound is counted and given up,
//! oldest first. Where fragments overlap, the first copy of a byte counts, for IPv6 too: RFC 8200 has the receiver discard
//! such a datagram, but not every receiver does.
//!
//! Datagrams are kept in ordered maps, whose worst case a sender cannot choose as it can that of a hash table.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use etherparse::{Ipv4HeaderSlice, Ipv6FragmentHeaderSlice};

use super::checksum::fill_ipv4_header;
use super::ip::{Extensions, IPV6_LEN};
use super::packet::{Packet, PacketKind};
use super::reason::counted;
use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// The largest IP datagram, and the largest payload of an IPv6 header.
const MAX_LEN: usize = 65_535;

/// The most pieces of a datagram that are kept. In frames of 576 bytes, the largest datagram has 119.
const MAX_PIECES: usize = 256;

/// What keeping a piece costs besides its bytes, and keeping a datagram besides its pieces. Roughly; without these, a
/// budget in bytes would be no bound for pieces of 8 bytes.
const PIECE_COST: usize = mem::size_of::<Piece>() + 32;
const DATAGRAM_COST: usize = mem::size_of::<(Key, Datagram)>() + mem::size_of::<(u64, Key)>() + 128;

/// How much a [`Defragmenter`] keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefragLimits {
    /// Datagrams that may be incomplete at a time; beyond, the oldest is given up.
    pub max_datagrams: usize,
    /// Bytes all of them may take, with what it takes to manage them; beyond, the oldest is given up.
    pub max_bytes: usize,
    /// How long after its first fragment a datagram is given up.
    pub timeout: Duration,
}

impl Default for DefragLimits {
    fn default() -> Self {
        Self { max_datagrams: 1024, max_bytes: 16 << 20, timeout: Duration::from_secs(1) }
    }
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It is kept, or was known already.
    Held,
    /// It was the last one missing. This is the datagram as if it had never been in pieces: lengths and the IPv4 header
    /// checksum are right, an IPv6 fragment header is gone. [`decode_ip`](super::decode_ip) reads it.
    Complete(Vec<u8>),
    /// It is of no use.
    Rejected(Rejection),
}

counted! {
    /// Why a fragment was not kept.
    Rejection {
        /// It is not a fragment.
        NotAFragment = "not_a_fragment",
        /// The capture cut it short.
        CutShort = "cut_short",
        /// It has no data.
        Empty = "empty",
        /// It is not the last one and its length not a multiple of 8.
        Misaligned = "misaligned",
        /// It reaches beyond the size of the largest datagram.
        Oversize = "oversize",
        /// It and the ones before it do not agree on where the datagram ends.
        Inconsistent = "inconsistent",
        /// Its datagram is in too many pieces.
        TooManyPieces = "too_many_pieces",
        /// Its datagram alone is over the budget.
        OverBudget = "over_budget",
    }
}

/// Counters of a [`Defragmenter`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefragStats {
    /// Fragments offered.
    pub fragments: u64,
    /// Datagrams made whole.
    pub completed: u64,
    /// Datagrams given up because their time was over.
    pub expired: u64,
    /// Datagrams given up for newer ones.
    pub evicted: u64,
    /// Fragments rejected, by [`Rejection::index`].
    pub rejected: [u64; Rejection::COUNT],
}

impl DefragStats {
    /// All counters with their names.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let sums = [
            ("fragments", self.fragments),
            ("completed", self.completed),
            ("expired", self.expired),
            ("evicted", self.evicted),
        ];
        sums.into_iter().chain(Rejection::ALL.iter().map(|reason| reason.name()).zip(self.rejected))
    }
}

/// Makes IP datagrams whole again.
#[derive(Debug, Default)]
pub struct Defragmenter {
    limits: DefragLimits,
    datagrams: BTreeMap<Key, Datagram>,
    /// The same datagrams by age. They all live equally long, so the oldest is also the next to expire.
    by_age: BTreeMap<u64, Key>,
    next_serial: u64,
    bytes: usize,
    stats: DefragStats,
}

impl Defragmenter {
    /// An empty one.
    #[must_use]
    pub fn new(limits: DefragLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes a fragment that arrived `now`. `packet` is what [`decode`](super::decode()) made of `frame`. An IPv4 header's
    /// checksum is for the caller to judge, before.
    pub fn insert(&mut self, packet: &Packet, frame: &[u8], now: Timestamp) -> Outcome {
        self.stats.fragments += 1;
        self.expire(now);
        match Fragment::read(packet, frame).and_then(|fragment| self.add(&fragment, now)) {
            Ok(None) => Outcome::Held,
            Ok(Some(datagram)) => {
                self.stats.completed += 1;
                Outcome::Complete(datagram)
            }
            Err(reason) => {
                if let Some(count) = self.stats.rejected.get_mut(reason.index()) {
                    *count += 1;
                }
                Outcome::Rejected(reason)
            }
        }
    }

    /// Gives up datagrams whose time is over. [`insert`](Self::insert) does so too.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((_, key)) = self.by_age.first_key_value() {
            let first_seen = self.datagrams.get(key).map_or(Timestamp::ZERO, |datagram| datagram.first_seen);
            if now.saturating_since(first_seen) <= self.limits.timeout {
                break;
            }
            self.remove_oldest();
            self.stats.expired += 1;
        }
    }

    /// How many datagrams are incomplete.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.datagrams.len()
    }

    /// How many bytes they take, with what it takes to manage them.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> &DefragStats {
        &self.stats
    }

    fn add(&mut self, fragment: &Fragment<'_>, now: Timestamp) -> Result<Option<Vec<u8>>, Rejection> {
        let key = fragment.key;
        while self.pending() >= self.limits.max_datagrams.max(1) && !self.datagrams.contains_key(&key) {
            self.evict_oldest();
        }
        let datagram = self.datagrams.entry(key).or_insert_with(|| {
            let serial = self.next_serial;
            self.next_serial += 1;
            self.by_age.insert(serial, key);
            self.bytes += DATAGRAM_COST;
            Datagram::new(serial, now)
        });
        self.bytes += datagram.add(fragment)?;
        if let Some(len) = datagram.whole_len() {
            let whole = datagram.assemble(key, len);
            self.remove(key);
            return whole.map(Some);
        }
        while self.bytes > self.limits.max_bytes && self.pending() > 0 {
            self.evict_oldest();
        }
        if self.datagrams.contains_key(&key) { Ok(None) } else { Err(Rejection::OverBudget) }
    }

    fn evict_oldest(&mut self) {
        self.remove_oldest();
        self.stats.evicted += 1;
    }

    fn remove_oldest(&mut self) {
        if let Some((_, &key)) = self.by_age.first_key_value() {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(datagram) = self.datagrams.remove(&key) {
            self.by_age.remove(&datagram.serial);
            self.bytes -= DATAGRAM_COST + datagram.cost;
        }
    }
}

/// What the fragments of a datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    V4 { src: [u8; 4], dst: [u8; 4], protocol: u8, id: u16 },
    V6 { src: [u8; 16], dst: [u8; 16], id: u32 },
}

/// A fragment, read from its packet and found usable on its own.
#[derive(Debug)]
struct Fragment<'a> {
    key: Key,
    /// The header of the datagram, if this is its first part.
    header: Option<Vec<u8>>,
    offset: usize,
    is_last: bool,
    data: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn read(packet: &Packet, frame: &'a [u8]) -> Result<Self, Rejection> {
        if packet.kind != PacketKind::Fragment {
            return Err(Rejection::NotAFragment);
        }
        if packet.payload_captured < packet.payload_len {
            return Err(Rejection::CutShort);
        }
        let header = packet.network_header(frame);
        let data = packet.payload(frame);
        let (fragment, rest_of_header) = match packet.ip_version {
            4 => (Self::of_ipv4(header, data), header.len()),
            // Neither counts in an IPv6 payload: the header, and the fragment header that will be gone.
            _ => (Self::of_ipv6(header, data), header.len().saturating_sub(IPV6_LEN + 8)),
        };
        let fragment = fragment.ok_or(Rejection::NotAFragment)?;
        if data.is_empty() {
            Err(Rejection::Empty)
        } else if !fragment.is_last && !data.len().is_multiple_of(8) {
            Err(Rejection::Misaligned)
        } else if rest_of_header + fragment.offset + data.len() > MAX_LEN {
            Err(Rejection::Oversize)
        } else {
            Ok(fragment)
        }
    }

    fn of_ipv4(bytes: &[u8], data: &'a [u8]) -> Option<Self> {
        let header = Ipv4HeaderSlice::from_slice(bytes).ok()?;
        let offset = usize::from(header.fragments_offset().value()) * 8;
        Some(Self {
            key: Key::V4 {
                src: header.source(),
                dst: header.destination(),
                protocol: header.protocol().0,
                id: header.identification(),
            },
            header: (offset == 0).then(|| header.slice().to_vec()),
            offset,
            is_last: !header.more_fragments(),
            data,
        })
    }

    fn of_ipv6(bytes: &[u8], data: &'a [u8]) -> Option<Self> {
        let (before, fragment_header) = bytes.split_last_chunk::<8>()?;
        let fragment_header = Ipv6FragmentHeaderSlice::from_slice(fragment_header).ok()?;
        let offset = usize::from(fragment_header.fragment_offset().value()) * 8;
        let header = || {
            // The header before the fragment header now names what the fragment header named.
            let extension = Extensions::of_ipv6(bytes).find(|extension| extension.at == before.len())?;
            let mut header = before.to_vec();
            *header.get_mut(extension.field)? = fragment_header.next_header().0;
            Some(header)
        };
        Some(Self {
            key: Key::V6 {
                src: *before.get(8..)?.first_chunk()?,
                dst: *before.get(24..)?.first_chunk()?,
                id: fragment_header.identification(),
            },
            header: if offset == 0 { Some(header()?) } else { None },
            offset,
            is_last: !fragment_header.more_fragments(),
            data,
        })
    }

    fn end(&self) -> usize {
        self.offset + self.data.len()
    }
}

/// What is there of a datagram.
#[derive(Debug)]
struct Datagram {
    serial: u64,
    first_seen: Timestamp,
    /// That of its first part, which counts for the whole.
    header: Option<Vec<u8>>,
    /// Where its data ends, once that is known.
    len: Option<usize>,
    /// In order, none overlapping another.
    pieces: Vec<Piece>,
    /// Bytes in the pieces.
    received: usize,
    /// What header and pieces cost.
    cost: usize,
}

#[derive(Debug)]
struct Piece {
    start: usize,
    bytes: Vec<u8>,
}

impl Piece {
    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }
}

impl Datagram {
    fn new(serial: u64, first_seen: Timestamp) -> Self {
        Self { serial, first_seen, header: None, len: None, pieces: Vec::new(), received: 0, cost: 0 }
    }

    /// Keeps what is new in a fragment, and tells what that costs.
    fn add(&mut self, fragment: &Fragment<'_>) -> Result<usize, Rejection> {
        let end = fragment.end();
        let reach = self.pieces.last().map_or(0, Piece::end);
        let is_consistent = match self.len {
            Some(len) if fragment.is_last => end == len,
            Some(len) => end <= len,
            None => !fragment.is_last || reach <= end,
        };
        if !is_consistent {
            return Err(Rejection::Inconsistent);
        }
        if self.pieces.len() >= MAX_PIECES {
            return Err(Rejection::TooManyPieces);
        }
        if fragment.is_last {
            self.len = Some(end);
        }
        let before = self.cost;
        if self.header.is_none() {
            self.header.clone_from(&fragment.header);
            self.cost += self.header.as_ref().map_or(0, Vec::len);
        }
        self.fill_gaps(fragment);
        Ok(self.cost - before)
    }

    /// Keeps the bytes of a fragment that no earlier one had.
    fn fill_gaps(&mut self, fragment: &Fragment<'_>) {
        let mut index = self.pieces.partition_point(|piece| piece.end() <= fragment.offset);
        let mut start = fragment.offset;
        while start < fragment.end() {
            // The gap ends where the next piece begins, and the next gap begins where that piece ends.
            let next = self.pieces.get(index).filter(|piece| piece.start < fragment.end());
            let (gap_end, resume) = next.map_or((fragment.end(), fragment.end()), |next| (next.start, next.end()));
            // Empty if the next piece begins before `start`.
            let bytes = fragment.data.get(start - fragment.offset..gap_end.saturating_sub(fragment.offset));
            if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                self.pieces.insert(index, Piece { start, bytes: bytes.to_vec() });
                self.received += bytes.len();
                self.cost += PIECE_COST + bytes.len();
                index += 1;
            }
            start = resume;
            index += 1;
        }
    }

    /// The length of the data, if all of it is there.
    fn whole_len(&self) -> Option<usize> {
        self.len.filter(|&len| len == self.received)
    }

    /// The whole datagram, whose data has `len` bytes.
    fn assemble(&mut self, key: Key, len: usize) -> Result<Vec<u8>, Rejection> {
        let mut whole = self.header.take().ok_or(Rejection::Inconsistent)?;
        let header_len = whole.len();
        let (counted_len, length_field) = match key {
            Key::V4 { .. } => (header_len + len, 2),
            Key::V6 { .. } => (header_len.saturating_sub(IPV6_LEN) + len, 4),
        };
        // Checked for each fragment with its own header, but it is the first one's that counts.
        let counted_len = u16::try_from(counted_len).map_err(|_| Rejection::Oversize)?;
        whole.reserve_exact(len);
        for piece in &self.pieces {
            whole.extend_from_slice(&piece.bytes);
        }
        if let Some(field) = whole.get_mut(length_field..).and_then(<[u8]>::first_chunk_mut) {
            *field = counted_len.to_be_bytes();
        }
        if let Key::V4 { .. } = key {
            if let Some(flags_and_offset) = whole.get_mut(6..8) {
                flags_and_offset.fill(0);
            }
            fill_ipv4_header(&mut whole);
        }
        Ok(whole)
    }
}
