//! Frames to fields and back: what the bytes of a frame say, without any state between frames.
//!
//! [`decode()`] turns a frame into a flat [`Packet`]; everything a flow needs later is in it, as numbers or as offsets into
//! the frame. Nothing here trusts a byte: every length is checked against what was captured *and* against what was on the
//! wire, and a frame that cannot be read becomes a counted [`Undecoded`] reason, never a panic.
//!
//! | file | noun |
//! |---|---|
//! | `seq` | the sequence number |
//! | `packet` | the decoded packet |
//! | `reason` | why a frame was not decoded; tunnels that are not opened |
//! | `link` | Ethernet, VLAN tags, cooked and loopback captures |
//! | `ip` | IPv4 and IPv6 headers with their extensions |
//! | `decode` | the frame: link, IP and TCP put together, and the short way for the usual frame |
//! | `options` | TCP options |
//! | `checksum` | checksums: verified, filled in, updated |
//! | `fragment` | IP datagrams in pieces |
//! | `emit` | frames built from fields |
//! | `edit` | bytes of a frame overwritten, inserted, removed |
//! | `rewrite` | header fields changed |

pub mod checksum;
pub mod decode;
pub mod edit;
pub mod emit;
pub mod fragment;
mod ip;
pub mod link;
pub mod options;
pub mod packet;
pub mod reason;
pub mod rewrite;
pub mod seq;

#[cfg(test)]
mod tests;

pub use decode::{decode, decode_into, decode_ip};
pub(crate) use decode::{decode_unusual, decode_usual};
pub use edit::{Checksums, EditError, Layer, overwrite, splice};
pub use emit::{FrameBuilder, TcpSegment};
pub use fragment::{DefragLimits, DefragStats, Defragmenter, Outcome, Rejection};

pub use link::NO_VLAN;
pub use options::{SackBlocks, SynOptions, TcpOptions};
pub(crate) use packet::Endpoints;
pub use packet::{Packet, PacketKind, TcpFlags};
pub use reason::{Tunnel, Undecoded};
pub use rewrite::{Rewrite, renumber};
pub use seq::SeqNum;

/// The big-endian number at `at`, if the bytes reach that far.
#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// The big-endian number at `at`, if the bytes reach that far.
#[inline]
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The big-endian number at `at`, if the bytes reach that far.
#[inline]
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}
