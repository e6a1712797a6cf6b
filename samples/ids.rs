//! Intrusion detection: rules in a subset of Suricata's language, whose contents are looked for in both streams of every
//! connection, byte for byte as the endpoints read them.
//!
//! It watches, or it stands in the way ([`Mode`]). In the way it is told of data with the packet that brings them, and the
//! packet that completes a match of a `drop` or `reject` rule goes no further; nor does anything after it, for the flow is
//! then given a handler that drops every packet.
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

use mos_monitor::{AtSnd, Chunk, Conn, ControlError, Event, Handler, Hook, Monitor, Side, TcpState};

pub use self::matcher::{Matcher, Scan};
pub use self::rule::{Action, Content, Rule};
pub use self::rules::{MAX_CONTENT_BYTES, MAX_RULES, Rules};
pub use self::set::{Addresses, Ports};
use crate::eve::{Direction, Outcome};
use crate::output::Output;

/// What is done about matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every rule only tells: the packets are on their way when their bytes are looked at.
    #[default]
    Watch,
    /// Packets are looked at before they go on: `drop` and `reject` rules end the flow.
    Inline,
}

/// The rules are more than can be looked for.
#[derive(Debug, thiserror::Error)]
#[error("the contents of the rules are too much: {0}")]
pub struct TooMuch(#[from] aho_corasick::BuildError);

/// The detection of a whole run: makes the monitor of each core.
#[derive(Clone, Debug)]
pub struct Ids {
    mode: Mode,
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
    /// Rules found before that which want it.
    waiting: Vec<Match>,
}

/// All contents of a rule have occurred in what one side was sent.
#[derive(Clone, Copy, Debug)]
struct Match {
    /// The rule's number.
    rule: usize,
    receiver: Side,
}

impl Ids {
    /// Detection by these rules, with alerts to `output`, that only watches.
    ///
    /// # Errors
    ///
    /// If there is more to look for than there is room for.
    pub fn new(rules: Rules, output: Arc<Output>) -> Result<Self, TooMuch> {
        let matcher = Matcher::new(rules.list())?;
        let shared = Shared { rules, matcher, output, scanned: Default::default(), alerts: AtomicU64::new(0) };
        Ok(Self { mode: Mode::Watch, shared: Arc::new(shared) })
    }

    /// The same, in another mode.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// The monitor of one core.
    #[must_use]
    pub fn monitor(&self) -> Monitor<Found, Flow> {
        let mut monitor = Monitor::<Found, Flow>::new("ids", Found::default());
        let gate = Gate {
            mode: self.mode,
            drop_all: monitor.snd_handler(|cx| {
                cx.conn.drop_packet();
            }),
        };
        if self.mode == Mode::Inline {
            monitor = monitor.immediate();
        }
        let [at_start, at_snd, at_rcv, at_data, at_end] = std::array::from_fn(|_| Arc::clone(&self.shared));
        monitor
            .on_snd(Event::ConnStart, move |cx| at_start.choose(&mut cx.conn))
            .on_snd(Event::TcpStateChange, move |cx| at_snd.note_state(cx.flow, &mut cx.conn, gate))
            .on_rcv(Event::TcpStateChange, move |cx| at_rcv.note_state(cx.flow, &mut cx.conn, gate))
            .on_new_data(move |cx| {
                let receiver = cx.conn.side();
                cx.for_each_chunk(|found, flow, chunk| match chunk {
                    Chunk::Data(data) => {
                        at_data.matcher.scan(&mut flow.scans[receiver as usize], data, |rule| found.0.push(rule));
                    }
                    Chunk::Missing(len) => flow.scans[receiver as usize].skip(len),
                });
                let due = at_data.due(cx.state, receiver, cx.flow, &cx.conn);
                // The packet that brought the last byte of a match is dropped, and with it all that comes behind it.
                let drops = gate.mode == Mode::Inline && at_data.action(&due) > Action::Alert;
                let outcome = if drops && cx.conn.drop_packet() { Outcome::Blocked } else { Outcome::Allowed };
                at_data.act(&due, outcome, &mut cx.conn, gate);
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

/// What ends flows.
#[derive(Clone, Copy)]
struct Gate {
    mode: Mode,
    drop_all: Handler<AtSnd>,
}

impl Gate {
    /// Nothing of the flow passes from the next packet on, and nothing of it is looked at any more.
    fn shut<At>(self, action: Action, conn: &mut Conn<'_, '_, At>) -> Result<(), ControlError> {
        if action == Action::Reject {
            // Too many packets may wait to be sent: the ends then find out by themselves.
            let _ = conn.reset();
        }
        for side in Side::BOTH {
            conn.set_buffer(side, false)?;
        }
        for hook in [Hook::Snd, Hook::Rcv] {
            conn.deregister(hook, Event::TcpStateChange)?;
        }
        conn.register(Event::PktIn, self.drop_all)
    }
}

impl Shared {
    /// A flow begins: only those sides are read whose bytes some rule is about.
    fn choose<At>(&self, conn: &mut Conn<'_, '_, At>) {
        let is_read = Side::BOTH.map(|receiver| {
            let [source, destination] = [receiver.other(), receiver].map(|side| conn.endpoint(side));
            self.rules.are_about(source, destination, Direction::towards(receiver))
        });
        if is_read == [false; 2] {
            return conn.stop();
        }
        for side in Side::BOTH {
            if !is_read[side as usize] {
                // If it cannot be, its bytes are read in vain.
                let _ = conn.set_buffer(side, false);
            }
        }
    }

    /// Once both ends are in a state behind the handshake, rules that waited for it are due. Their bytes have passed.
    fn note_state<At>(&self, flow: &mut Flow, conn: &mut Conn<'_, '_, At>, gate: Gate) {
        let is_open = |side| conn.state(side).is_some_and(|state| state >= TcpState::Established);
        if !flow.established && Side::BOTH.into_iter().all(is_open) {
            flow.established = true;
            let due = std::mem::take(&mut flow.waiting);
            self.act(&due, Outcome::Allowed, conn, gate);
        }
    }

    /// Which of the rules whose contents were found in what `receiver` was sent are about that, and need not wait.
    fn due<At>(&self, found: &mut Found, receiver: Side, flow: &mut Flow, conn: &Conn<'_, '_, At>) -> Vec<Match> {
        let [source, destination] = [receiver.other(), receiver].map(|side| conn.endpoint(side));
        let mut due = Vec::new();
        for number in found.0.drain(..) {
            let rule = &self.rules.list()[number];
            if rule.is_about(source, destination, Direction::towards(receiver)) {
                let waits = rule.established && !flow.established;
                let matches = if waits { &mut flow.waiting } else { &mut due };
                matches.push(Match { rule: number, receiver });
            }
        }
        due
    }

    /// The severest that these want done.
    fn action(&self, matches: &[Match]) -> Action {
        let actions = matches.iter().map(|found| self.rules.list()[found.rule].action);
        actions.max().unwrap_or(Action::Alert)
    }

    /// Tells of matches, and ends the flow if they want it.
    fn act<At>(&self, matches: &[Match], outcome: Outcome, conn: &mut Conn<'_, '_, At>, gate: Gate) {
        for found in matches {
            self.alerts.fetch_add(1, Ordering::Relaxed);
            self.output.write(&alert::line(&self.rules.list()[found.rule], conn, found.receiver, outcome));
        }
        let action = self.action(matches);
        if gate.mode == Mode::Inline && action > Action::Alert {
            // While the core shuts down there is nothing left to be shut.
            let _ = gate.shut(action, conn);
        }
    }
}

#[cfg(test)]
mod tests;
