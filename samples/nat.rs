//! Source NAT for IPv4, after the mOS sample of that name: hosts inside share a few addresses outside (RFC 3022; RFC 4787 for UDP,
//! RFC 5382 for TCP, RFC 5508 for ICMP).
//!
//! TCP is followed by the stack: a flow's first packet gets a port, what goes on is rewritten at SND, and the answers are found
//! by what they are addressed to. UDP and ICMP are no flows: they come as orphans, and their mappings are kept here.
//!
//! Several cores share nothing on a packet's way. Which core an answer reaches is decided by a hash of both its endpoints; so a
//! core chooses its ports such that the answers come to it. That also keeps the cores apart: the same address and port used by
//! two of them never means the same server.
//!
//! | file | noun |
//! |---|---|
//! | `config` | what is told to the NAT, and which packets are its business |
//! | `ports` | the free ports of one address |
//! | `pool` | those of all addresses, and which of them lead back to a core |
//! | `table` | mappings of UDP and ICMP, until they expire |
//! | `directory` | who is behind what, for errors that arrive at any core |
//! | `translator` | one core: what becomes of each packet |
//! | `icmp` | errors: outside and in what they quote |
//! | `quote` | the packet that an ICMP error is about |
//! | `stats` | counters, to be read from anywhere |
//! | `report` | the same for people |

mod config;
mod directory;
mod icmp;
mod pool;
mod ports;
mod quote;
mod report;
mod stats;
mod table;
mod translator;

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use mos_core::config::Timeouts;
use mos_monitor::{Core, Descriptor, Event, Monitor, OpenError};

pub use self::config::{NatConfig, NatError, NatTimeouts, address_range};
pub use self::stats::{NatStats, PoolStats, Protocol};

use self::config::{Plan, Way};
use self::directory::Directory;
use self::stats::Board;
use self::translator::Translator;
use crate::output::Output;

/// The NAT of a whole run: makes the monitors of each core, and counts for all of them.
#[derive(Clone, Debug)]
pub struct Nat {
    shared: Arc<Shared>,
}

/// What all cores know.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    directory: Directory,
    board: Board,
    output: Arc<Output>,
}

/// A TCP flow's mapping, once it has one.
#[derive(Debug, Default)]
pub struct Flow {
    mapping: Option<Connection>,
}

/// A connection under both its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection {
    inside: SocketAddrV4,
    outside: SocketAddrV4,
    server: SocketAddrV4,
}

impl Nat {
    /// A NAT as `config` has it, whose reports go to `output`.
    ///
    /// # Errors
    ///
    /// If the configuration makes no sense.
    pub fn new(config: NatConfig, output: Arc<Output>) -> Result<Self, NatError> {
        let plan = Plan::new(config)?;
        let (directory, board) = (Directory::new(&plan), Board::new(&plan));
        Ok(Self { shared: Arc::new(Shared { plan, directory, board, output }) })
    }

    /// How long the stack should keep flows, on which the mappings of TCP depend: the stack's own defaults are far shorter.
    #[must_use]
    pub const fn flow_timeouts() -> Timeouts {
        //= RFC 5382 section 5, REQ-5: no less than 2 hours 4 minutes of silence on an established connection, 4 minutes on others.
        Timeouts {
            half_open: Duration::from_secs(4 * 60),
            established: Duration::from_secs((2 * 60 + 4) * 60),
            closing: Duration::from_secs(4 * 60),
            // Less than the RFC has: that a port is used again as late as possible does the same for fewer ports.
            time_wait: Duration::from_secs(5),
        }
    }

    /// Opens the NAT on core number `number`.
    ///
    /// # Errors
    ///
    /// If the core has as many monitors as it can have.
    ///
    /// # Panics
    ///
    /// If there are not that many cores by the configuration.
    pub fn open(&self, core: &mut Core, number: usize) -> Result<Descriptor, OpenError> {
        core.open(self.monitor(number))
    }

    fn monitor(&self, number: usize) -> Monitor<Translator, Flow> {
        let [for_accept, for_refuse] = std::array::from_fn(|_| Arc::clone(&self.shared));
        Monitor::<Translator, Flow>::new("nat", Translator::new(Arc::clone(&self.shared), number))
            .without_buffers()
            .accept(move |packet| for_accept.plan.way(packet) == Way::Out)
            .refuse(move |packet| match for_refuse.plan.way(packet) {
                //= RFC 5382 section 4.3: nobody outside opens a connection to somebody inside who has not asked for it.
                Way::In | Way::Hairpin => true,
                Way::Out => !config::is_syn(packet),
                Way::Pass => false,
            })
            .on_snd(Event::PktIn, Translator::on_segment)
            .on_end(|cx| {
                if let Some(connection) = cx.flow.mapping.take() {
                    cx.state.disconnect(&connection);
                }
            })
            .on_orphan(Translator::on_orphan)
            .on_unseen(Translator::on_unseen)
            .every(Duration::from_secs(1), |cx| {
                let now = cx.due() + Duration::from_secs(cx.missed());
                cx.state.on_second(now);
            })
    }

    /// The counters as they stand.
    #[must_use]
    pub fn stats(&self) -> NatStats {
        self.shared.board.stats()
    }

    /// Writes the table for the last time, with a summary. To be called once, when all cores are done.
    ///
    /// # Errors
    ///
    /// What the output has met with.
    pub fn finish(&self) -> io::Result<()> {
        let stats = self.stats();
        self.shared.output.write(report::table(&stats).as_bytes());
        self.shared.output.write(report::summary(&stats).as_bytes());
        self.shared.output.finish()
    }
}

#[cfg(test)]
mod tests;
