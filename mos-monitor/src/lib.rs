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

mod addition;
mod callback;
mod calls;
mod conn;
mod context;
mod control;
mod core;
mod dispatch;
mod edit;
mod error;
mod event;
mod flow_sockets;
mod guard;
mod handler;
mod monitor;
mod monitors;
mod packet;
mod program;
mod raw;
mod sets;
mod table;
mod timer;

pub use conn::{Conn, WithPacket};
pub use context::{
    CoreTimerCx, DataCx, EndCx, ErrorCx, FilterCx, OrphanCx, PacketEventCx, RaiseError, RawCx, RcvCx, SndCx, TimerCx,
    UnseenCx,
};
pub use control::{Control, MAX_COMMANDS, SocketKind};
pub use core::Core;
pub use edit::{Edit, Rewriting};
pub use error::{CloseError, ControlError, OpenError, TimerError};
pub use event::{EventId, FilterKey, UserEvent};
pub use guard::CallbackTimes;
pub use handler::{AtCoreTimer, AtData, AtEnd, AtError, AtFilter, AtRcv, AtSnd, AtTimer, Handler, Registers};
pub use monitor::Monitor;
pub use packet::{LastPacket, PacketCopy, PacketInfo};
pub use raw::RawMonitor;
pub use timer::{Clock, Timer, TimerId};

pub use mos_core::event::{EndReason, ErrorReason, Event, Hook, Side};
pub use mos_core::filter::{Filter, FilterError};
pub use mos_core::reassembly::{OverlapPolicy, Span};
pub use mos_core::socket::Descriptor;
pub use mos_core::stack::{
    AlterError, BufInfo, Chunk, Chunks, HalfInfo, Outgoing, PacketView, PeekError, Rtt, SendError, Way,
};
pub use mos_core::tcp::TcpState;
pub use mos_core::wire::edit::{Checksums, EditError, Layer};
pub use mos_core::wire::{Rewrite, SeqNum, TcpFlags, TcpSegment};

/// The examples of the guide and of the README compile and run.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../docs/monitor-guide.md")]
    struct Guide;

    #[doc = include_str!("../../README.md")]
    struct Readme;
}
