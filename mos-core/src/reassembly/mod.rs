//! The stored part of one direction of a TCP stream: data that came out of order, and data that no reader has taken yet.
//!
//! The layer above turns sequence numbers into 64-bit stream offsets (0 is the first payload byte) and shows data that
//! comes in order to the readers straight from the frame. Only what is left over comes here, so most flows own no
//! [`StreamBuffer`] at all. One that does holds it by a four-byte [`BufferId`] from the core's [`BufferStore`], and its
//! bytes lie in segments of the core's [`SegmentPool`], whose budget bounds them for all flows together.
//!
//! Nothing here knows TCP, and nothing here panics, whatever the offsets and lengths are.

mod backlog;
mod buffer;
mod pool;
mod ranges;
mod store;
mod table;

pub use backlog::{Backlog, Stretch};
pub use buffer::{OverlapPolicy, Slices, StoreError, Stored, StreamBuffer};
pub use pool::{SEGMENT_BYTES, SegmentId, SegmentPool};
pub use ranges::{MAX_SPANS, RangeSet, Span, TooManySpans};
pub use store::{BufferId, BufferStore};
pub use table::MAX_WINDOW;
