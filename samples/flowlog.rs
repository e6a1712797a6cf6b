//! A record for every connection when it is over: who, when, how much each way, how it went and how it ended.
//!
//! The JSON lines follow Suricata's EVE layout (`event_type` "flow"), so tools that read one read the other; the object
//! `stream` is new: what was delivered of each direction, and what was missing.

mod record;
mod table;

use std::io;
use std::sync::{Arc, Mutex};

use mos_core::time::Timestamp;
use mos_core::wire::TcpFlags;
use mos_monitor::{Chunk, Conn, EndReason, Event, Monitor, PacketView, Side, TcpState};
use sha2::{Digest, Sha256};

pub use self::record::{FlowPart, FlowState, Record, StreamPart, TcpPart};
use crate::eve::{self, Header, Time};
use crate::output::Output;

/// How much of each direction is kept after it was read, so that a retransmission with other bytes is found. It costs a
/// copy of every byte, and up to this much memory for each direction of each flow that carries so much.
const HISTORY_BYTES: u64 = 64 << 10;

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One table, when all is over.
    #[default]
    Table,
    /// A JSON object on a line of its own, when the flow ends.
    Json,
}

/// The flow log of a whole run: makes the monitor of each core, and collects what they find.
#[derive(Clone, Debug)]
pub struct FlowLog {
    digest: bool,
    sink: Arc<Sink>,
}

#[derive(Debug)]
struct Sink {
    format: Format,
    output: Arc<Output>,
    /// The rows of the table to come.
    rows: Mutex<Vec<Record>>,
}

/// What is kept of a flow as long as it lives.
#[derive(Default)]
pub struct Flow {
    /// Packets that each side sent.
    packets: [u64; 2],
    /// Their bytes on the wire.
    bytes: [u64; 2],
    /// The flags of all packets together.
    tcp_flags: u8,
    /// When the last packet came.
    last: Timestamp,
    /// The last state that a packet brought each side into.
    states: [Option<TcpState>; 2],
    /// Bytes of the stream that each side was delivered.
    delivered: [u64; 2],
    /// Over these bytes, by side; made when the first ones come.
    digests: Option<Box<[Sha256; 2]>>,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow").field("packets", &self.packets).field("states", &self.states).finish_non_exhaustive()
    }
}

impl FlowLog {
    /// A log in `format` to `output`; with the SHA-256 of what each side was delivered, if a `digest` is wanted.
    #[must_use]
    pub fn new(format: Format, digest: bool, output: Arc<Output>) -> Self {
        let sink = Sink { format, output, rows: Mutex::default() };
        Self { digest, sink: Arc::new(sink) }
    }

    /// The monitor of one core.
    #[must_use]
    pub fn monitor(&self) -> Monitor<(), Flow> {
        let (digest, sink) = (self.digest, Arc::clone(&self.sink));
        Monitor::<(), Flow>::new("flowlog", ())
            .keep_history(HISTORY_BYTES)
            .on_snd(Event::PktIn, |cx| {
                if let Some(packet) = cx.conn.packet() {
                    cx.flow.count(cx.conn.side(), &packet);
                }
            })
            .on_snd(Event::TcpStateChange, |cx| {
                let by_packet = cx.conn.packet().is_some();
                cx.flow.note_state(&cx.conn, by_packet);
            })
            .on_rcv(Event::TcpStateChange, |cx| {
                let by_packet = cx.conn.packet().is_some();
                cx.flow.note_state(&cx.conn, by_packet);
            })
            .on_new_data(move |cx| {
                let side = cx.conn.side();
                cx.for_each_chunk(|(), flow, chunk| flow.take(side, chunk, digest));
            })
            .on_end(move |cx| {
                let reason = cx.reason();
                sink.put(cx.flow.record(&cx.conn, reason, digest));
            })
    }

    /// Writes what was held back: the table. To be called once, when all cores are done.
    ///
    /// # Errors
    ///
    /// What the output has met with.
    pub fn finish(&self) -> io::Result<()> {
        if self.sink.format == Format::Table {
            let mut rows = std::mem::take(&mut *self.sink.rows());
            rows.sort_by_key(|record| (record.flow.start, record.header.src_ip, record.header.src_port));
            self.sink.output.write(table::render(&rows).as_bytes());
        }
        self.sink.output.finish()
    }
}

impl Sink {
    /// A record is done.
    fn put(&self, record: Record) {
        match self.format {
            Format::Json => self.output.write(&eve::line(&record)),
            Format::Table => self.rows().push(record),
        }
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        // A panic between two pushes leaves whole rows behind.
        self.rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Flow {
    fn count(&mut self, sender: Side, packet: &PacketView<'_>) {
        self.packets[sender as usize] += 1;
        self.bytes[sender as usize] += u64::from(packet.wire_len);
        self.tcp_flags |= packet.packet.tcp_flags;
        self.last = self.last.max(packet.timestamp);
    }

    /// At its end a flow is closed whatever it was: only what a packet did to it is told.
    fn note_state<At>(&mut self, conn: &Conn<'_, '_, At>, by_packet: bool) {
        if by_packet {
            self.states[conn.side() as usize] = conn.state(conn.side());
        }
    }

    fn take(&mut self, side: Side, chunk: Chunk<'_>, digest: bool) {
        let Chunk::Data(data) = chunk else { return };
        self.delivered[side as usize] += data.len() as u64;
        if digest {
            self.digests.get_or_insert_default()[side as usize].update(data);
        }
    }

    fn has_flag(&self, flag: u8) -> bool {
        self.tcp_flags & flag != 0
    }

    fn record<At>(&mut self, conn: &Conn<'_, '_, At>, reason: EndReason, digest: bool) -> Record {
        let [to_client, to_server] = Side::BOTH.map(|side| conn.info(side));
        let name = |side: Side| self.states[side as usize].unwrap_or(TcpState::Closed).name();
        let start = conn.created();
        let flow = FlowPart {
            pkts_toserver: self.packets[Side::Client as usize],
            pkts_toclient: self.packets[Side::Server as usize],
            bytes_toserver: self.bytes[Side::Client as usize],
            bytes_toclient: self.bytes[Side::Server as usize],
            start: Time(start),
            end: Time(self.last.max(start)),
            age: self.last.saturating_since(start).as_secs(),
            state: self.flow_state(reason),
            reason: reason.name(),
        };
        let tcp = TcpPart {
            state_client: name(Side::Client),
            state_server: name(Side::Server),
            syn: self.has_flag(TcpFlags::SYN),
            fin: self.has_flag(TcpFlags::FIN),
            rst: self.has_flag(TcpFlags::RST),
        };
        let [sha256_toclient, sha256_toserver] = match digest {
            true => (*self.digests.take().unwrap_or_default()).map(|hash| Some(record::hex(&hash.finalize()))),
            false => [None, None],
        };
        let stream = StreamPart {
            bytes_toserver: self.delivered[Side::Server as usize],
            bytes_toclient: self.delivered[Side::Client as usize],
            sha256_toserver,
            sha256_toclient,
            gaps_toserver: to_server.gap_bytes,
            gaps_toclient: to_client.gap_bytes,
            retransmits_toserver: to_server.retransmits,
            retransmits_toclient: to_client.retransmits,
            conflicts: to_server.conflicts + to_client.conflicts,
        };
        Record { header: Header::new("flow", conn.now(), conn), flow, tcp, stream }
    }

    fn flow_state(&self, reason: EndReason) -> FlowState {
        let was_established = |state: &Option<TcpState>| state.is_some_and(|state| state >= TcpState::Established);
        match reason {
            EndReason::Fin | EndReason::Rst => FlowState::Closed,
            _ if self.states.iter().any(was_established) => FlowState::Established,
            _ => FlowState::New,
        }
    }
}

#[cfg(test)]
mod tests;
