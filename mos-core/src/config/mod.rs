//! What a stack can be told at its start, and what configuration files are made of.
//!
//! | file | noun |
//! |---|---|
//! | `stack` | what one stack is told |
//! | `net` | networks |
//! | `text` | words of a file |

mod net;
mod stack;
pub mod text;

pub use net::{BadNet, Net, masked};
pub use stack::{ChecksumMode, Config, Timeouts};
