//! libmos: the functions that programs written in C for the mOS networking stack call.
//!
//! The headers are in `include/`, the manual pages in `docs/man/`. A program's callbacks run on the thread of a core, inside of a
//! dispatch, and call back in: what they call acts on the dispatch at hand ([`here`]). Calls from other threads go through the core's
//! mailbox and wait for the end of the burst ([`context`]).
//!
//! | file | noun |
//! |---|---|
//! | `abi`, `errno`, `boundary` | types of the headers; errors; what holds for every call |
//! | `process` | what is one for the process: the configuration, the devices |
//! | `context` | contexts: their names, how they are created, joined and destroyed |
//! | `core_thread` | the thread of a context's core |
//! | `driven` (feature) | a context without a thread, for benchmarks |
//! | `signals` | SIGINT |
//! | `here` | what is at hand on a core's thread |
//! | `socket` | sockets, what is known of them, and their options |
//! | `event`, `register` | user-defined events; callbacks |
//! | `packet`, `stream` | the packet at hand; what a side has received |
//! | `timer` | timers and time |
//! | `end_host` | sockets with connections of their own: what there is of them |
//! | `util` | functions that have nothing to do with contexts |
#![allow(non_camel_case_types)]
#![expect(unsafe_code, reason = "C hands over pointers")]

pub mod abi;
mod boundary;
mod context;
mod core_thread;
#[cfg(feature = "driven")]
pub mod driven;
mod end_host;
mod errno;
mod event;
mod here;
mod packet;
mod process;
mod register;
mod signals;
mod socket;
mod stream;
mod timer;
mod util;

pub use context::*;
pub use end_host::*;
pub use event::{mtcp_alloc_event, mtcp_define_event, mtcp_raise_event};
pub use packet::*;
pub use process::{mtcp_core_affinitize, mtcp_destroy, mtcp_getconf, mtcp_init, mtcp_setconf};
pub use register::*;
pub use signals::{mtcp_register_signal, mtcp_sighandler_t};
pub use socket::*;
pub use stream::*;
pub use timer::*;
pub use util::*;
