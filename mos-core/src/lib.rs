//! Flow tracking for middleboxes: both endpoints of every TCP flow, exact reassembly, and an event for everything that
//! happens to them.
//!
//! The crate owns no socket, no thread and no clock: it is given frames and the time, and gives back verdicts and events.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod config;
pub mod event;
pub mod filter;
pub mod flow;
pub mod net;
pub mod packet;
pub mod prefetch;
pub mod reassembly;
pub mod socket;
pub mod stack;
pub mod stats;
pub mod tcp;
pub mod time;
pub mod wire;

#[cfg(feature = "std")]
pub mod io;
#[cfg(feature = "std")]
pub mod runtime;
