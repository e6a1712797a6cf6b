//! Intrusion detection: rules in a subset of Suricata's language, whose contents are looked for in both streams of every
//! connection, byte for byte as the endpoints read them.
//!
//! | file | noun |
//! |---|---|
//! | `cursor` | a line, character by character |
//! | `set` | sets of addresses and of ports |
//! | `operand` | lists, negations and variables |
//! | `options` | what stands in a rule's parentheses |
//! | `rule` | a rule, and its text |
//! | `rules` | the file of rules |
//! | `matcher` | all contents at once, over chunks |
//! | `alert` | what is said |

mod alert;
mod cursor;
mod matcher;
mod operand;
mod options;
mod rule;
mod rules;
mod set;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mos_monitor::{Chunk, Conn, Event, Monitor, Side, TcpState};

pub use self::matcher::{Matcher, Scan};
pub use self::rule::{Action, Content, Rule};
pub use self::rules::{MAX_CONTENT_BYTES, MAX_RULES, Rules};
pub use self::set::{Addresses, Ports};
use crate::eve::{Direction, Outcome};
use crate::output::Output;

/// The rules are more than can be looked for.
#[derive(Debug, thiserror::Error)]
#[error("the contents of the rules are too much: {0}")]
pub struct TooMuch(#[from] aho_corasick::BuildError);

/// The detection of a whole run: makes the monitor of each core.
#[derive(Clone, Debug)]
pub struct Ids {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rules: Rules,
    matcher: Matcher,
    output: Arc<Output>,
    /// By the side that receives.
    scanned: [AtomicU64; 2],
    alerts: AtomicU64,
}

/// The numbers of rules whose contents were found, for the length of a callback.
#[derive(Debug, Default)]
pub struct Found(Vec<usize>);

/// What is kept of a flow as long as it lives.
#[derive(Debug, Default)]
pub struct Flow {
    /// By the side that receives.
    scans: [Scan; 2],
    /// Both ends have completed the handshake, whatever became of them since.
    established: bool,
    /// Rules found before that which want it, with the side that received their contents.
    waiting: Vec<(usize, Side)>,
}

impl Ids {
    /// Detection by these rules, with alerts to `output`.
    ///
    /// # Errors
    ///
    /// If there is more to look for than there is room for.
    pub fn new(rules: Rules, output: Arc<Output>) -> Result<Self, TooMuch> {
        let matcher = Matcher::new(rules.list())?;
        let shared = Shared { rules, matcher, output, scanned: Default::default(), alerts: AtomicU64::new(0) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The monitor of one core.
    #[must_use]
    pub fn monitor(&self) -> Monitor<Found, Flow> {
        let [at_data, at_snd, at_rcv, at_end] = std::array::from_fn(|_| Arc::clone(&self.shared));
        Monitor::<Found, Flow>::new("ids", Found::default())
            .on_snd(Event::TcpStateChange, move |cx| at_snd.note_state(cx.flow, &cx.conn))
            .on_rcv(Event::TcpStateChange, move |cx| at_rcv.note_state(cx.flow, &cx.conn))
            .on_new_data(move |cx| {
                at_data.note_state(cx.flow, &cx.conn);
                let side = cx.conn.side();
                cx.for_each_chunk(|found, flow, chunk| match chunk {
                    Chunk::Data(data) => {
                        at_data.matcher.scan(&mut flow.scans[side as usize], data, |rule| found.0.push(rule));
                    }
                    Chunk::Missing(len) => flow.scans[side as usize].skip(len),
                });
                for number in cx.state.0.drain(..) {
                    at_data.found(number, side, cx.flow, &cx.conn);
                }
            })
            .on_end(move |cx| {
                for (total, scan) in at_end.scanned.iter().zip(&cx.flow.scans) {
                    total.fetch_add(scan.scanned(), Ordering::Relaxed);
                }
            })
    }

    /// Bytes that were looked at in flows that are over, each once: those that the clients and the servers received.
    #[must_use]
    pub fn scanned(&self) -> [u64; 2] {
        self.shared.scanned.each_ref().map(|bytes| bytes.load(Ordering::Relaxed))
    }

    /// Alerts so far.
    #[must_use]
    pub fn alerts(&self) -> u64 {
        self.shared.alerts.load(Ordering::Relaxed)
    }

    /// Hands on what is buffered. To be called once, when all cores are done.
    ///
    /// # Errors
    ///
    /// What the output has met with.
    pub fn finish(&self) -> io::Result<()> {
        self.shared.output.finish()
    }
}

impl Shared {
    /// Once both ends are in a state behind the handshake, rules that waited for it are due.
    fn note_state<At>(&self, flow: &mut Flow, conn: &Conn<'_, '_, At>) {
        let is_open = |side| conn.state(side).is_some_and(|state| state >= TcpState::Established);
        if !flow.established && Side::BOTH.into_iter().all(is_open) {
            flow.established = true;
            for (number, receiver) in std::mem::take(&mut flow.waiting) {
                self.alert(number, receiver, conn);
            }
        }
    }

    /// All contents of a rule have occurred in what `receiver` was sent.
    fn found<At>(&self, number: usize, receiver: Side, flow: &mut Flow, conn: &Conn<'_, '_, At>) {
        let Some(rule) = self.rules.list().get(number) else { return };
        let (source, destination) = (conn.endpoint(receiver.other()), conn.endpoint(receiver));
        if !rule.is_about(source, destination, Direction::towards(receiver)) {
            return;
        }
        if rule.established && !flow.established {
            flow.waiting.push((number, receiver));
        } else {
            self.alert(number, receiver, conn);
        }
    }

    fn alert<At>(&self, number: usize, receiver: Side, conn: &Conn<'_, '_, At>) {
        if let Some(rule) = self.rules.list().get(number) {
            self.alerts.fetch_add(1, Ordering::Relaxed);
            // New data is told of when its packets are on their way.
            self.output.write(&alert::line(rule, conn, receiver, Outcome::Allowed));
        }
    }
}

#[cfg(test)]
mod tests;
