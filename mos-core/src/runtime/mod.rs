//! The run loop: frames from a device to the workers of one or several cores.
//!
//! A [`Worker`] is whatever takes bursts: a stack with its monitors, usually. [`Run`] feeds one on the calling thread, or
//! several on threads of their own. Which core a frame goes to is decided by its address pair alone ([`Spread`]), so nothing
//! is shared between workers and every packet of a flow meets the same one.
//!
//! | file | noun |
//! |---|---|
//! | `worker` | what takes bursts and time |
//! | `run` | one device, one run: the reader and, for one core, the worker |
//! | `spread` | from a frame to the number of a core |
//! | `threads` | the workers' threads, and the way batches go to them and back |
//! | `live` | live ports: the loop of a core that receives, decides and sends |

#[cfg(target_os = "linux")]
pub mod live;
mod run;
mod spread;
#[cfg(test)]
mod tests;
mod threads;
mod worker;

pub use run::{Outcome, Run};
pub use spread::Spread;
pub use worker::Worker;

use std::hash::{BuildHasher, RandomState};

/// A number that nobody can guess, for hashes.
#[must_use]
pub fn random_seed() -> u64 {
    RandomState::new().hash_one(0)
}
