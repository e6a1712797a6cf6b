//! Frames as devices hand them over, bursts of them, and what is to become of each.
//!
//! A burst is one region of memory plus a list of where each frame lies in it. So frames stay in the device's own memory
//! (a capture buffer, a ring block, a UMEM), are reached by index without `unsafe`, and are edited in place.

use crate::time::Timestamp;

/// The most frames the stack takes in one call; devices may hand over fewer, down to one.
pub const MAX_BURST: usize = 64;

/// How the first header of a frame is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LinkType {
    /// Ethernet II (LINKTYPE 1).
    Ethernet,
    /// Linux cooked capture, version 1 (LINKTYPE 113).
    LinuxSll,
    /// Linux cooked capture, version 2 (LINKTYPE 276).
    LinuxSll2,
    /// An IPv4 or IPv6 header comes first (LINKTYPE 101, 228, 229; 12 and 14 in old files).
    RawIp,
    /// BSD loopback: four bytes of address family in either byte order (LINKTYPE 0), or in network order (108).
    Null,
}

/// What is known of a frame's transport checksum without looking at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Checksums {
    /// Nothing: it is to be verified.
    #[default]
    Unknown,
    /// It was found right by the system or the network card.
    Good,
    /// It was left to a network card that the frame has not met: the TCP or UDP checksum field holds something else, and
    /// nothing is wrong with that.
    Partial,
}

/// What was left to the hardware when the frame was sent, and is to be left to it again when the frame goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offload {
    /// Its transport checksum.
    pub checksums: Checksums,
    /// In a super-frame, the payload bytes that each of its segments is to have on the wire; 0 in a frame that is one
    /// already.
    pub segment_bytes: u16,
}

impl Offload {
    /// A frame as it is on the wire, of which nothing is known: one from a capture file, or one that was made here.
    pub const NONE: Self = Self { checksums: Checksums::Unknown, segment_bytes: 0 };
}

/// Where one frame lies in its burst's memory, and what the device knows about it.
#[derive(Clone, Copy, Debug)]
pub struct FrameMeta {
    /// Index of the frame's first byte in the burst's memory.
    pub start: usize,
    /// Bytes present, from `start` on.
    pub captured: u32,
    /// Bytes the frame had on the wire; more than `captured` if the capture cut it short.
    pub wire_len: u32,
    /// When it arrived.
    pub timestamp: Timestamp,
    /// The device port it arrived on.
    pub port: u16,
    /// How its first header is to be read.
    pub link: LinkType,
    /// What is known of its checksum, and whether it is several segments in one.
    pub offload: Offload,
}

const _: () = assert!(size_of::<FrameMeta>() <= 32);

impl FrameMeta {
    /// The bytes of the frame that are present, as a range of the burst's memory.
    #[inline]
    #[must_use]
    pub fn range(&self) -> core::ops::Range<usize> {
        self.start..self.start + self.captured as usize
    }
}

/// Some frames that arrived together.
#[derive(Debug)]
pub struct Burst<'a> {
    /// The memory that `frames` and `upcoming` point into.
    pub memory: &'a mut [u8],
    /// The frames to process, in order of arrival. At most [`MAX_BURST`].
    pub frames: &'a [FrameMeta],
    /// The frames that will come next, if they are known already: their headers are prefetched. May be empty.
    pub upcoming: &'a [FrameMeta],
}

impl Burst<'_> {
    /// The same burst, borrowed.
    #[inline]
    #[must_use]
    pub fn reborrow(&mut self) -> Burst<'_> {
        Burst { memory: self.memory, frames: self.frames, upcoming: self.upcoming }
    }
}

/// What is to become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Forward,
    /// Do not pass it on.
    Drop,
}
