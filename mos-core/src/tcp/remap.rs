//! Sequence numbers of a stream whose payload is changed in length on its way (RFC 9293 section 3.4, SACK: RFC 2018): what
//! keeps two endpoints in step when one direction's bytes are edited between them.
//!
//! The sender counts the bytes it sent, the receiver those that arrive: a number is one of S-space or of R-space. An edit
//! says that the bytes `at..at + removed` of the sender were forwarded as other ones, its `inserted` bytes, perhaps none.
//! These go with the sender's byte `at`; the other removed bytes have no image. It is kept until the receiver has
//! acknowledged all of it, so that a retransmission, with whatever segment borders, brings the same bytes once more. What
//! is left of it then is a shift of all that follows.
//!
//! Removed bytes that nothing stands for are had by whoever has what comes before them. Otherwise nobody would ever
//! acknowledge them.
//!
//! Pure bookkeeping: segments are not looked at, and numbers are not checked to be plausible. All comparisons are modular
//! and hold within 2^31 of the edits that are kept.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::wire::SeqNum;

/// How far apart the first and the last byte of the kept edits may lie, which is the largest window (RFC 7323).
const MAX_SPAN: u32 = 1 << 30;

/// How one direction's numbers map to those that the receiver sees. See the [module](self).
///
/// ```
/// use mos_core::tcp::Remap;
/// use mos_core::wire::SeqNum;
///
/// let mut remap = Remap::default();
/// // "GET /secret" became "GET /": six of the sender's bytes are not there for the receiver.
/// remap.record(SeqNum(105), 6, b"")?;
/// assert_eq!(remap.to_receiver(SeqNum(111)), SeqNum(105));
/// assert_eq!(remap.to_sender(SeqNum(105)), SeqNum(111));
/// let mut again = Vec::new();
/// assert_eq!(remap.payload(SeqNum(100), b"GET /secret HTTP", &mut again), SeqNum(100));
/// assert_eq!(again, b"GET / HTTP");
/// # Ok::<(), mos_core::tcp::RemapFull>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remap {
    /// The shift, wrapping, of everything before the first kept edit.
    base: u32,
    /// Ascending and disjoint.
    edits: SmallVec<[Edit; 1]>,
}

/// What `removed` bytes at `at` were forwarded as.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    at: SeqNum,
    /// At least 1.
    removed: u32,
    /// At most [`Remap::MAX_BYTES`] bytes.
    inserted: Box<[u8]>,
}

impl Edit {
    /// The first of the sender's bytes behind it.
    fn end(&self) -> SeqNum {
        self.at + self.removed
    }

    fn inserted_len(&self) -> u32 {
        self.inserted.len() as u32
    }
}

/// An edit with the place of its bytes in R-space.
#[derive(Clone, Copy, Debug)]
struct Image<'a> {
    edit: &'a Edit,
    /// The shift, wrapping, of what is before it.
    shift: u32,
}

impl Image<'_> {
    /// The number of the first inserted byte.
    fn start(&self) -> SeqNum {
        self.edit.at + self.shift
    }

    /// The number behind the last inserted byte.
    fn end(&self) -> SeqNum {
        self.start() + self.edit.inserted_len()
    }

    /// The shift, wrapping, of what is behind it.
    fn shift_behind(&self) -> u32 {
        self.end().offset_from(self.edit.end())
    }
}

/// Why an edit was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemapFull {
    /// Too many edits are not acknowledged yet.
    #[error("{} edits are not acknowledged yet: no more are kept", Remap::MAX_EDITS)]
    Edits,
    /// Edits that are not acknowledged yet have inserted too much.
    #[error("edits not acknowledged yet would insert {bytes} bytes: at most {} are kept", Remap::MAX_BYTES)]
    Bytes {
        /// How many bytes it would be with this edit.
        bytes: usize,
    },
    /// The edit begins before an earlier one ends, or too far behind the first one.
    #[error("an edit at {at} is out of order: from {from} on, within 2^30 bytes of the first one, is allowed")]
    Order {
        /// Where the edit is.
        at: SeqNum,
        /// Where the last one ends.
        from: SeqNum,
    },
    /// The edit has nothing that what it inserts could go with.
    #[error("the edit at {at} removes nothing: at least 1 byte is needed for what is inserted to go with")]
    NothingRemoved {
        /// Where the edit is.
        at: SeqNum,
    },
}

impl Remap {
    /// The most edits kept, each until it is acknowledged.
    pub const MAX_EDITS: usize = 64;

    /// The most inserted bytes kept, of all edits together.
    pub const MAX_BYTES: usize = 256 << 10;

    /// Notes that `removed` of the sender's bytes, at least 1, were forwarded as `inserted`. `at` is not before the end of
    /// any earlier edit, and nothing from `at` on was forwarded before.
    ///
    /// # Errors
    ///
    /// [`RemapFull`]; nothing is noted then, so the segment is to be forwarded unchanged.
    pub fn record(&mut self, at: SeqNum, removed: u32, inserted: &[u8]) -> Result<(), RemapFull> {
        if removed == 0 {
            return Err(RemapFull::NothingRemoved { at });
        }
        let from = self.edits.last().map_or(at, Edit::end);
        let first = self.edits.first().map_or(at, |first| first.at);
        let span = u64::from(at.offset_from(first)) + u64::from(removed);
        if at.lt(from) || span > u64::from(MAX_SPAN) {
            return Err(RemapFull::Order { at, from });
        }
        self.has_room(inserted.len())?;
        self.edits.push(Edit { at, removed, inserted: inserted.into() });
        Ok(())
    }

    /// Whether another edit that inserts `len` bytes can be noted.
    ///
    /// # Errors
    ///
    /// [`RemapFull`], as [`record`](Self::record) would say.
    pub fn has_room(&self, len: usize) -> Result<(), RemapFull> {
        if self.edits.len() >= Self::MAX_EDITS {
            return Err(RemapFull::Edits);
        }
        let kept: usize = self.edits.iter().map(|edit| edit.inserted.len()).sum();
        let bytes = kept.saturating_add(len);
        if bytes > Self::MAX_BYTES { Err(RemapFull::Bytes { bytes }) } else { Ok(()) }
    }

    /// The receiver's number for the sender's. Of removed bytes all but the first have that behind what was inserted.
    #[must_use]
    pub fn to_receiver(&self, seq: SeqNum) -> SeqNum {
        let mut shift = self.base;
        for image in self.images() {
            if seq.le(image.edit.at) {
                break;
            }
            if seq.lt(image.edit.end()) {
                return image.end();
            }
            shift = image.shift_behind();
        }
        seq + shift
    }

    /// The sender's number for an acknowledgment number of the receiver: the last up to which the receiver has everything.
    #[must_use]
    pub fn to_sender(&self, ack: SeqNum) -> SeqNum {
        let mut shift = self.base;
        for image in self.images() {
            if ack.lt(image.end()) {
                return if ack.le(image.start()) { unshifted(ack, shift) } else { image.edit.at };
            }
            shift = image.shift_behind();
        }
        unshifted(ack, shift)
    }

    /// The sender's numbers for a SACK block of the receiver. It never says more than the receiver did: what was inserted
    /// in the place of removed bytes has to be in the block in whole. A block that covers nothing becomes an empty one.
    #[must_use]
    pub fn sack_to_sender(&self, [left, right]: [SeqNum; 2]) -> [SeqNum; 2] {
        let from = self.left_to_sender(left);
        let to = self.to_sender(right);
        [from, to.max(from)]
    }

    /// As [`to_sender`](Self::to_sender), except that it rounds up: the first from which on everything has its image at or
    /// behind `left`.
    fn left_to_sender(&self, left: SeqNum) -> SeqNum {
        let mut shift = self.base;
        for image in self.images() {
            if left.lt(image.end()) {
                return if left.le(image.start()) { unshifted(left, shift) } else { image.edit.end() };
            }
            shift = image.shift_behind();
        }
        unshifted(left, shift)
    }

    /// Appends to `out` what is to be forwarded instead of a segment's payload, sent for the first time or again, and
    /// returns the receiver's number of its first byte.
    ///
    /// Of acknowledged bytes the contents are no longer known: what is appended for them is not what was forwarded, but
    /// its numbers are such that the receiver has them all.
    pub fn payload(&self, seq: SeqNum, original: &[u8], out: &mut Vec<u8>) -> SeqNum {
        let mut push = |bytes: Option<&[u8]>| out.extend_from_slice(bytes.unwrap_or_default());
        // Offsets into `original`: those of edits may lie on either side of it.
        let mut done = 0;
        for edit in &self.edits {
            let start = i64::from(edit.at.distance(seq));
            let end = start + i64::from(edit.removed);
            if end <= done as i64 {
                continue;
            }
            if start >= original.len() as i64 {
                break;
            }
            if let Ok(start) = usize::try_from(start) {
                push(original.get(done..start));
                push(Some(&edit.inserted));
            }
            done = original.len().min(end as usize);
        }
        push(original.get(done..));
        self.to_receiver(seq)
    }

    /// Whether a segment has bytes that were edited, so that [`payload`](Self::payload) gives others than the original.
    #[must_use]
    pub fn touches(&self, seq: SeqNum, len: u32) -> bool {
        self.edits.iter().any(|edit| {
            let start = i64::from(edit.at.distance(seq));
            len > 0 && start < i64::from(len) && start + i64::from(edit.removed) > 0
        })
    }

    /// The receiver acknowledged everything before `ack`: of edits that are wholly acknowledged only the shift is kept.
    pub fn acked(&mut self, ack: SeqNum) {
        let acked = self.images().take_while(|image| ack.ge(image.end())).map(|image| image.shift_behind());
        if let Some((index, base)) = acked.enumerate().last() {
            self.base = base;
            self.edits.drain(..=index);
        }
    }

    /// Whether both ends count alike and nothing is to be replaced.
    #[inline]
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.base == 0 && self.edits.is_empty()
    }

    /// The edits in order, with their places in R-space.
    fn images(&self) -> impl Iterator<Item = Image<'_>> {
        self.edits.iter().scan(self.base, |shift, edit| {
            let image = Image { edit, shift: *shift };
            *shift = image.shift_behind();
            Some(image)
        })
    }
}

/// The sender's number for a receiver's that is ahead of it by `shift`, wrapping.
fn unshifted(number: SeqNum, shift: u32) -> SeqNum {
    number + shift.wrapping_neg()
}
