//! What the parsers of both formats give back, and the byte orders that both formats have.

use core::ops::Range;

/// The most bytes of one frame that a capture file may hold (16 MiB): a larger length is damage, not a frame. It bounds
/// the memory that a reader needs.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// The most bytes of one pcapng block: the longest frame, and 64 KiB for what surrounds it.
pub(super) const MAX_BLOCK_BYTES: usize = MAX_FRAME_BYTES + (64 << 10);

/// What a parser made of the bytes at hand.
pub(super) enum Parsed {
    /// There is no whole record: it has this many bytes, or at least this many are needed to know better. Always more
    /// than there are.
    Needs(usize),
    /// A record of `len` bytes, and the frame in it if it is one.
    Record { len: usize, frame: Option<Frame> },
}

/// A frame within the bytes at hand.
pub(super) struct Frame {
    /// Where its bytes are.
    pub(super) data: Range<usize>,
    /// The length that it had on the wire, as the file says: it may say less than there are bytes.
    pub(super) wire_len: u32,
    /// Nanoseconds since 1970.
    pub(super) timestamp: u64,
    /// Its LINKTYPE number.
    pub(super) linktype: u32,
}

/// The byte order of a file or section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ByteOrder {
    #[default]
    Little,
    Big,
}

impl ByteOrder {
    /// The 16-bit field at `at`. The caller has checked that it is there.
    #[inline]
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let field = [bytes[at], bytes[at + 1]];
        match self {
            Self::Little => u16::from_le_bytes(field),
            Self::Big => u16::from_be_bytes(field),
        }
    }

    /// The 32-bit field at `at`. The caller has checked that it is there.
    #[inline]
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let field = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match self {
            Self::Little => u32::from_le_bytes(field),
            Self::Big => u32::from_be_bytes(field),
        }
    }
}
