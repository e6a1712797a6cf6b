//! Flows: how they are named, where they live, and when they end by themselves.

mod index;
pub mod key;
pub mod record;
pub mod spill;
pub mod table;
pub mod timer;

pub use key::{FlowKey, Hasher};
pub use record::{Cold, FlowFlags, Half, HalfFlags, Hot, Offers};
pub use table::{FlowId, FlowTable, NO_SLOT};
pub use timer::TimerWheel;
