//! The pcap format (draft-ietf-opsawg-pcap): a header for the file, then frames, each with a header of its own.

use super::damage::Damage;
use super::record::{ByteOrder, Frame, MAX_FRAME_BYTES, Parsed};

/// Length of the header of a file.
pub(super) const HEADER_LEN: usize = 24;

/// Length of the header of a frame.
const FRAME_HEADER_LEN: usize = 16;

/// What the magic number tells about the rest of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    order: ByteOrder,
    /// Nanoseconds in the unit of the fractions of a second.
    unit_nanos: u64,
    /// Length of the header of a frame.
    frame_header_len: usize,
}

impl Variant {
    /// The variant that a file with these first four bytes has; `None` if it is not pcap.
    pub(super) fn from_magic(magic: [u8; 4]) -> Option<Self> {
        [ByteOrder::Little, ByteOrder::Big].into_iter().find_map(|order| {
            let (unit_nanos, extra_len) = match order.u32(&magic, 0) {
                0xa1b2_c3d4 => (1_000, 0),
                0xa1b2_3c4d => (1, 0),
                // Kuznetzov's variant has the interface, protocol and direction after the usual fields.
                0xa1b2_cd34 => (1_000, 8),
                _ => return None,
            };
            Some(Self { order, unit_nanos, frame_header_len: FRAME_HEADER_LEN + extra_len })
        })
    }
}

/// A file whose header has been read. Its version, time zone and snapshot length say nothing that readers rely on.
#[derive(Debug)]
pub(super) struct Classic {
    variant: Variant,
    linktype: u32,
}

impl Classic {
    pub(super) fn new(variant: Variant, header: &[u8; HEADER_LEN]) -> Self {
        // Above the link type stand the length of the frame check sequence and reserved bits.
        let linktype = variant.order.u32(header, 20) & 0xffff;
        Self { variant, linktype }
    }

    /// Looks for a frame at the start of `bytes`.
    #[inline]
    pub(super) fn parse(&self, bytes: &[u8]) -> Result<Parsed, Damage> {
        let Variant { order, unit_nanos, frame_header_len } = self.variant;
        if bytes.len() < frame_header_len {
            return Ok(Parsed::Needs(frame_header_len));
        }
        let [seconds, fraction, captured, wire_len] = [0, 4, 8, 12].map(|at| order.u32(bytes, at));
        if captured as usize > MAX_FRAME_BYTES {
            return Err(Damage::FrameTooLong { captured });
        }
        let len = frame_header_len + captured as usize;
        if bytes.len() < len {
            return Ok(Parsed::Needs(len));
        }
        // 32 bits each: the sum stays below 2^62 + 2^43, even where the fraction is more than a second.
        let timestamp = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * unit_nanos;
        let frame = Frame { data: frame_header_len..len, wire_len, timestamp, linktype: self.linktype };
        Ok(Parsed::Record { len, frame: Some(frame) })
    }
}
