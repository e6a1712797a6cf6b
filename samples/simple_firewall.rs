//! A packet filter for connections, after the mOS sample of that name: rules say who may connect to whom.
//!
//! Only SYNs without ACK are judged, an event of its own, by the first rule that matches. A SYN that is to be dropped is,
//! each time it comes; a flow that is accepted is of no more interest, so accepted traffic costs nothing but its first
//! packet. The rules are shared by all cores, and so are their counters. Each second of the capture, from its first frame
//! on, the first core writes the table of the rules.
//!
//! | file | noun |
//! |---|---|
//! | `rules` | a rule, and the file of rules |
//! | `index` | the first rule that matches, without trying all of them |
//! | `current` | the rules in force, and how cores get to know of new ones |
//! | `table` | rules and counters for people |

mod current;
mod index;
mod rules;
mod table;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mos_monitor::{Core, Descriptor, Event, FilterCx, Monitor, OpenError, SndCx, TcpFlags};

use self::current::{Counted, Current, Known};
pub use self::rules::{Address, MAX_RULES, Ports, Rule, Rules, Target};
use crate::output::Output;

/// The firewall of a whole run: makes the monitors of each core, and counts for all of them.
#[derive(Clone, Debug)]
pub struct SimpleFirewall {
    current: Arc<Current>,
    output: Arc<Output>,
}

/// How often a rule was the first that matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Flows that it decided about.
    pub flows: u64,
    /// SYNs of these, with every repetition that was judged: those of accepted flows are not.
    pub packets: u64,
}

/// What is kept of a flow as long as its SYNs are dropped.
#[derive(Debug, Default)]
pub struct Flow {
    counted: bool,
    dropped: bool,
}

impl SimpleFirewall {
    /// A firewall by these rules, whose tables go to `output`.
    #[must_use]
    pub fn new(rules: Rules, output: Arc<Output>) -> Self {
        Self { current: Arc::new(Current::new(rules)), output }
    }

    /// From now on these rules hold, for all cores, and their counters begin at zero. Flows that were accepted go on.
    pub fn replace(&self, rules: Rules) {
        self.current.replace(rules);
    }

    /// Opens the firewall on core number `number`.
    ///
    /// # Errors
    ///
    /// If the core has as many monitors as it can have.
    pub fn open(&self, core: &mut Core, number: usize) -> Result<Descriptor, OpenError> {
        core.open(self.monitor(number))
    }

    /// The monitor of core number `number`. That of the first one writes the tables.
    #[must_use]
    pub fn monitor(&self, number: usize) -> Monitor<(), Flow> {
        let mut known = Known::new(Arc::clone(&self.current));
        let mut monitor = Monitor::<(), Flow>::new("simple-firewall", ()).without_buffers();
        let syn = monitor.define(Event::PktIn, is_syn);
        let monitor = monitor.on_snd(syn, move |cx| judge(known.get(), cx));
        if number > 0 {
            return monitor;
        }
        let (current, output) = (Arc::clone(&self.current), Arc::clone(&self.output));
        // Of the core, not of a flow: it fires even if all flows are left alone.
        monitor.every(Duration::from_secs(1), move |_| output.write(current.latest().table().as_bytes()))
    }

    /// The counters of the rules, in their order, and last that of what no rule matched.
    #[must_use]
    pub fn counts(&self) -> Vec<Count> {
        self.current.latest().counts()
    }

    /// Writes the table for the last time, with a summary. To be called once, when all cores are done.
    ///
    /// # Errors
    ///
    /// What the output has met with.
    pub fn finish(&self) -> io::Result<()> {
        let counted = self.current.latest();
        self.output.write(counted.table().as_bytes());
        self.output.write(table::summary(&counted.rules, &counted.counts()).as_bytes());
        self.output.finish()
    }
}

/// The filter of the event: a SYN without ACK.
fn is_syn(cx: &mut FilterCx<'_, '_, (), Flow>) -> bool {
    const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;
    cx.conn.packet().is_some_and(|view| view.packet.tcp_flags & SYN_ACK == TcpFlags::SYN)
}

/// Decides about a SYN.
fn judge(counted: &Counted, cx: &mut SndCx<'_, '_, (), Flow>) {
    let Some(packet) = cx.conn.packet() else { return };
    let found = counted.rules.find(packet.source(), packet.destination());
    let counter = counted.counter(found);
    if !cx.flow.counted {
        cx.flow.counted = true;
        counter.flows.fetch_add(1, Ordering::Relaxed);
    }
    counter.packets.fetch_add(1, Ordering::Relaxed);
    match counted.rules.target(found) {
        Target::Drop => {
            cx.flow.dropped = true;
            cx.conn.drop_packet();
        }
        // In a simultaneous open the other side's SYN may be accepted: the first one's is still to be dropped.
        Target::Accept if cx.flow.dropped => {}
        Target::Accept => cx.conn.stop(),
    }
}

#[cfg(test)]
mod tests;
