//! Bytes per subscriber, each of them charged once: a retransmission costs nothing, because the network made it necessary.
//!
//! Whoever knows that could send data in what look like retransmissions, to a peer that is in the plot. So the last bytes of
//! each direction are kept and compared: once a flow has repeated bytes that were not the same, there is an alert, and
//! whatever it repeats from then on is charged, that segment included.
//!
//! | file | noun |
//! |---|---|
//! | `subscribers` | who is charged for a flow |
//! | `ledger` | what is charged |
//! | `report` | the ledger as a table or as JSON lines |

mod ledger;
mod report;
mod subscribers;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use mos_core::reassembly::Span;
use mos_monitor::{Chunk, Conn, ErrorReason, Event, HalfInfo, Monitor, PacketView, Side};
use serde::Serialize;

use self::ledger::Ledger;
pub use self::ledger::{Entry, Way};
pub use self::subscribers::{Subscriber, Subscribers};
use crate::eve::{self, Alert, AlertRecord, Outcome};
pub use crate::flowlog::Format;
use crate::output::Output;

/// How much of each direction is kept for comparing, unless told otherwise. It costs a copy of every byte.
pub const HISTORY_BYTES: u64 = 64 << 10;

/// The number of the only alert there is, in the range that Suricata leaves to its users.
const SIGNATURE_ID: u32 = 1_000_001;
const SIGNATURE: &str = "retransmission with other bytes: data may be tunnelled in retransmissions";
const SEVERITY: u8 = 2;

/// The accounts of a whole run: makes the monitor of each core, and adds up what they find.
#[derive(Clone, Debug)]
pub struct Accounting {
    shared: Arc<Shared>,
    history_bytes: u64,
}

#[derive(Debug)]
struct Shared {
    subscribers: Subscribers,
    format: Format,
    output: Arc<Output>,
    ledger: Mutex<Ledger>,
}

/// What is kept of a flow as long as it lives.
#[derive(Debug, Default)]
pub struct Flow {
    /// By the side that receives.
    ways: [FlowWay; 2],
    /// Bytes have been repeated that were not the same: repeated bytes are charged now.
    cheats: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct FlowWay {
    packets: u64,
    wire_bytes: u64,
    payload: u64,
    /// Repeated bytes, and as they were before the last segment that brought any.
    repeated: u64,
    repeated_before: u64,
    /// Repeated bytes that are not charged, once this is decided.
    free: u64,
}

/// An alert, with what it is about.
#[derive(Serialize)]
struct ConflictRecord<'a> {
    #[serde(flatten)]
    alert: AlertRecord<'a>,
    accounting: ConflictPart,
}

#[derive(Serialize)]
struct ConflictPart {
    subscriber: String,
    conflicts: u32,
    first_offset: u64,
    first_bytes: u64,
}

impl Accounting {
    /// Accounts of `subscribers`, written to `output` in this format. Alerts are lines of JSON in either.
    #[must_use]
    pub fn new(subscribers: Subscribers, format: Format, output: Arc<Output>) -> Self {
        let shared = Shared { subscribers, format, output, ledger: Mutex::default() };
        Self { shared: Arc::new(shared), history_bytes: HISTORY_BYTES }
    }

    /// Keeps that much of each direction for comparing: what is repeated from farther back is taken for honest.
    #[must_use]
    pub fn keep_history(self, bytes: u64) -> Self {
        Self { history_bytes: bytes, ..self }
    }

    /// The monitor of one core.
    #[must_use]
    pub fn monitor(&self) -> Monitor<(), Flow> {
        let (on_conflict, at_end) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        Monitor::<(), Flow>::new("accounting", ())
            .keep_history(self.history_bytes)
            .on_snd(Event::PktIn, |cx| {
                if let Some(packet) = cx.conn.packet() {
                    let way = &mut cx.flow.ways[cx.conn.side().other() as usize];
                    way.packets += 1;
                    way.wire_bytes += u64::from(packet.wire_len);
                }
            })
            .on_rcv(Event::Rexmit, |cx| {
                let repeated = cx.conn.info(cx.conn.side()).retransmitted_bytes;
                cx.flow.ways[cx.conn.side() as usize].repeat(repeated);
            })
            .on_new_data(|cx| {
                let side = cx.conn.side() as usize;
                cx.for_each_chunk(|(), flow, chunk| {
                    if let Chunk::Data(data) = chunk {
                        flow.ways[side].payload += data.len() as u64;
                    }
                });
            })
            .on_error(move |cx| {
                if let ErrorReason::Conflict(span) = cx.reason()
                    && !cx.flow.cheats
                    && !is_keep_alive(cx.conn.packet(), cx.conn.info(cx.conn.side()), span)
                {
                    cx.flow.expose(&cx.conn);
                    on_conflict.alert(&cx.conn, span);
                }
            })
            .on_end(move |cx| {
                let (subscriber, side) = at_end.subscribers.of(&Side::BOTH.map(|side| cx.conn.endpoint(side).ip()));
                let entry = cx.flow.entry(&cx.conn, side);
                at_end.ledger().add(subscriber, &entry);
            })
    }

    /// Writes the accounts. To be called once, when all cores are done.
    ///
    /// # Errors
    ///
    /// What the output has met with.
    pub fn finish(&self) -> io::Result<()> {
        let Shared { subscribers, format, output, .. } = &*self.shared;
        let accounts = self.shared.ledger().take();
        match format {
            Format::Table => output.write(report::table(subscribers, &accounts).as_bytes()),
            Format::Json => report::lines(subscribers, &accounts).for_each(|line| output.write(&line)),
        }
        output.finish()
    }
}

/// Whether a segment with other bytes is nothing but a keep-alive: many systems put a byte of garbage in the place of the
/// last one (RFC 9293 3.8.4).
fn is_keep_alive(packet: Option<PacketView<'_>>, info: HalfInfo, span: Span) -> bool {
    packet.is_some_and(|view| view.packet.payload_len == 1) && span.end() == info.stream_bytes
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic while adding leaves numbers behind that are too low, nothing worse.
        self.ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Tells of the first conflict of a flow.
    fn alert<At>(&self, conn: &Conn<'_, '_, At>, span: Span) {
        let (subscriber, _) = self.subscribers.of(&Side::BOTH.map(|side| conn.endpoint(side).ip()));
        let alert = Alert {
            action: Outcome::Allowed,
            gid: 1,
            signature_id: SIGNATURE_ID,
            rev: 1,
            signature: SIGNATURE,
            category: "",
            severity: SEVERITY,
        };
        let accounting = ConflictPart {
            subscriber: self.subscribers.name(subscriber),
            conflicts: Side::BOTH.map(|side| conn.info(side).conflicts).iter().sum(),
            first_offset: span.start(),
            first_bytes: span.len(),
        };
        let alert = AlertRecord::new(conn, conn.side(), alert);
        self.output.write(&eve::line(&ConflictRecord { alert, accounting }));
    }
}

impl FlowWay {
    /// A segment has repeated something: all that was repeated is `now`.
    fn repeat(&mut self, now: u64) {
        self.repeated_before = self.repeated;
        self.repeated = now;
    }

    fn total(&self, info: HalfInfo, cheats: bool) -> Way {
        let free = if cheats { self.free } else { info.retransmitted_bytes };
        Way {
            packets: self.packets,
            wire_bytes: self.wire_bytes,
            payload: self.payload,
            retransmitted_free: free,
            retransmitted_charged: info.retransmitted_bytes.saturating_sub(free),
            missing: info.gap_bytes,
        }
    }
}

impl Flow {
    /// The segment at hand has repeated bytes towards this side, and others than those before.
    fn expose<At>(&mut self, conn: &Conn<'_, '_, At>) {
        self.cheats = true;
        for way in &mut self.ways {
            way.free = way.repeated;
        }
        let way = &mut self.ways[conn.side() as usize];
        way.free = way.repeated_before;
    }

    /// What the flow comes to for the subscriber on this side.
    fn entry<At>(&self, conn: &Conn<'_, '_, At>, subscriber: Side) -> Entry {
        let info = Side::BOTH.map(|side| conn.info(side));
        let way = |receiver: Side| self.ways[receiver as usize].total(info[receiver as usize], self.cheats);
        Entry {
            flows: 1,
            up: way(subscriber.other()),
            down: way(subscriber),
            conflicting_flows: self.cheats.into(),
            conflicts: info.iter().map(|info| u64::from(info.conflicts)).sum(),
            last: conn.now(),
        }
    }
}

#[cfg(test)]
mod tests;
