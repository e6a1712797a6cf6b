//! A frame and what the kernel says about it, from whichever ring it comes.

use crate::io::offload::{HEADER_BYTES, Header};
use crate::packet::{Burst, FrameMeta, LinkType, MAX_BURST};
use crate::time::Timestamp;

/// Bytes of the two hardware addresses, behind which a VLAN tag stands.
const ADDRESSES: usize = 12;

/// Bytes of a VLAN tag.
pub(super) const TAG: usize = 4;

/// What frames are counted as.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) received: u64,
    pub(super) received_bytes: u64,
    pub(super) cut: u64,
    pub(super) unsupported: u64,
}

/// Where frames come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) port: u16,
    pub(super) link: LinkType,
}

/// What the kernel says about one frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Notes {
    /// Where it begins, within the burst's memory. The offload header is before it.
    pub(super) start: usize,
    /// Bytes that are there.
    pub(super) captured: usize,
    /// Bytes that it has.
    pub(super) len: usize,
    pub(super) seconds: u32,
    pub(super) nanos: u32,
    /// TP_STATUS_*.
    pub(super) status: u32,
    pub(super) tag: u16,
    pub(super) tag_type: u16,
}

/// The frames of the burst that is being put together.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    frames: Vec<FrameMeta>,
}

impl Arrived {
    pub(super) fn clear(&mut self) {
        self.frames.clear();
    }

    pub(super) fn is_full(&self) -> bool {
        self.frames.len() >= MAX_BURST
    }

    /// Takes a frame in, or counts why not.
    #[inline]
    pub(super) fn push(&mut self, memory: &mut [u8], notes: Notes, source: Source, tally: &mut Tally) {
        let Notes { start, captured, len, seconds, nanos, status, tag, tag_type } = notes;
        if captured < len {
            tally.cut += 1;
            return;
        }
        let header = start.checked_sub(HEADER_BYTES).and_then(|at| memory.get(at..)?.first_chunk());
        let (Some(header), Some(_)) = (header, memory.get(start..start + captured)) else {
            tally.cut += 1;
            return;
        };
        let header = Header::read(header);
        let Ok(offload) = header.arrived(&mut memory[start..start + captured], source.link) else {
            if tally.unsupported == 0 {
                log::warn!(
                    "super-frames of a tunnel cannot be handed on: switch merging on arrival off (ethtool -K gro off)"
                );
            }
            tally.unsupported += 1;
            return;
        };
        let (mut start, mut captured) = (start, captured);
        if status & libc::TP_STATUS_VLAN_VALID != 0 && source.link == LinkType::Ethernet && captured >= ADDRESSES {
            // Back to where it was on the wire. The offload header, which is read already, makes the room.
            memory.copy_within(start..start + ADDRESSES, start - TAG);
            let known = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            let tag_type = if known { tag_type } else { libc::ETH_P_8021Q as u16 };
            let [[a, b], [c, d]] = [tag_type, tag].map(u16::to_be_bytes);
            memory[start - TAG + ADDRESSES..start + ADDRESSES].copy_from_slice(&[a, b, c, d]);
            (start, captured) = (start - TAG, captured + TAG);
        }
        tally.received += 1;
        tally.received_bytes += captured as u64;
        self.frames.push(FrameMeta {
            start,
            captured: captured as u32,
            wire_len: captured as u32,
            timestamp: Timestamp::from_nanos(u64::from(seconds) * 1_000_000_000 + u64::from(nanos)),
            port: source.port,
            link: source.link,
            offload,
        });
    }

    /// Hands the frames over, if there are any.
    #[inline]
    pub(super) fn hand_over(&mut self, memory: &mut [u8], take: &mut dyn FnMut(&mut Burst<'_>)) {
        if !self.frames.is_empty() {
            take(&mut Burst { memory, frames: &self.frames, upcoming: &[] });
        }
        self.frames.clear();
    }
}

/// The number at `at`, in the byte order of the machine; 0 beyond the end.
#[inline]
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// The number at `at`, in the byte order of the machine; 0 beyond the end.
#[inline]
pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}
