//! The two emulated endpoints of a flow: a state machine each, fed first as sender and then as receiver of every segment.
//!
//! Everything here is a function of the two halves and one segment. Payload is not touched: what becomes of it is said in
//! the result, and done by the stack.

pub mod flow;
pub mod receiver;
pub mod remap;
pub mod segment;
pub mod sender;
pub mod state;
pub mod validate;

pub use flow::Flow;
pub use remap::{Remap, RemapFull};
pub use segment::Segment;
pub use state::TcpState;
