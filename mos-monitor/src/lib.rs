//! Write a middlebox as reactions to flow events.
//!
//! A [`Monitor`] is a set of closures over two states: that of the core (`S`) and that of each flow (`F`). A [`Core`] runs
//! monitors over a stack. What a closure may do is in the type of its context: only at the SND hook can a packet be edited,
//! only where there is a packet can it be looked at.
//!
//! ```
//! use mos_core::config::Config;
//! use mos_core::event::Event;
//! use mos_monitor::{Core, Monitor};
//!
//! #[derive(Default)]
//! struct Flow {
//!     packets: u64,
//! }
//!
//! let mut core = Core::new(Config::default());
//! let counter = Monitor::<u64, Flow>::new("counter", 0)
//!     .without_buffers()
//!     .on_snd(Event::PktIn, |cx| cx.flow.packets += 1)
//!     .on_end(|cx| {
//!         *cx.state += 1;
//!         println!("{} packets, ended by {}", cx.flow.packets, cx.reason().name());
//!     });
//! let socket = core.open(counter)?;
//! // core.process(&mut burst), again and again; then:
//! core.shutdown();
//! assert_eq!(core.state::<u64>(socket), Some(&0));
//! # Ok::<(), mos_monitor::OpenError>(())
//! ```

mod context;
mod control;
mod core;
mod monitor;
mod raw;
mod table;

pub use context::{Conn, DataCx, EndCx, ErrorCx, OrphanCx, RcvCx, SndCx};
pub use control::{CloseError, Control, OpenError};
pub use core::Core;
pub use monitor::Monitor;
pub use raw::{RawCx, RawMonitor};

pub use mos_core::event::{EndReason, ErrorReason, Event, Hook, Side};
pub use mos_core::filter::{Filter, FilterError};
pub use mos_core::socket::Descriptor;
pub use mos_core::stack::{Chunk, Chunks, HalfInfo, PacketView, PeekError};
pub use mos_core::tcp::TcpState;
