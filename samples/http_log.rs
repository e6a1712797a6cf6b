//! A record for every HTTP/1.x transaction, on any port: who asked for what, and what the answer was.
//!
//! The JSON lines follow Suricata's EVE layout (`event_type` "http"). Both streams are read as they come; heads are copied
//! only if they come in pieces, bodies never. A connection that does not begin like HTTP costs a look at its first bytes.

mod body;
mod conversation;
mod head;
mod record;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mos_core::time::Timestamp;
use mos_monitor::{Chunk, Conn, Event, Monitor, Side};

use self::conversation::{Conversation, Log, Transaction};
pub use self::record::{HttpPart, Record};
use crate::eve::{self, Header};
use crate::moments::Moments;
use crate::output::Output;

/// How many unread bytes of requests wait for a response before they are read without it.
const MAX_WAITING_BYTES: u64 = 64 << 10;

/// The HTTP log of a whole run: makes the monitor of each core, and collects what they find.
#[derive(Clone, Debug)]
pub struct HttpLog {
    sink: Arc<Sink>,
}

#[derive(Debug)]
struct Sink {
    output: Arc<Output>,
    given_up: AtomicU64,
}

/// What is kept of a flow as long as it lives.
#[derive(Debug, Default)]
pub struct Flow {
    phase: Phase,
    moments: Moments,
}

#[derive(Debug, Default)]
enum Phase {
    /// Nothing has been read.
    #[default]
    New,
    Open(Box<Conversation>),
    /// Not HTTP, or not any more: bytes are of no interest.
    Over,
}

impl HttpLog {
    /// A log to `output`.
    #[must_use]
    pub fn new(output: Arc<Output>) -> Self {
        Self { sink: Arc::new(Sink { output, given_up: AtomicU64::new(0) }) }
    }

    /// The monitor of one core.
    #[must_use]
    pub fn monitor(&self) -> Monitor<(), Flow> {
        let (sink, end_sink) = (Arc::clone(&self.sink), Arc::clone(&self.sink));
        Monitor::<(), Flow>::new("http-log", ())
            .on_rcv(Event::PktIn, |cx| {
                if !matches!(cx.flow.phase, Phase::Over) {
                    cx.flow.moments.note(&cx.conn);
                }
            })
            .on_new_data(move |cx| cx.flow.read(&mut cx.conn, false, &sink))
            .on_end(move |cx| {
                cx.flow.read(&mut cx.conn, true, &end_sink);
                if let Phase::Open(mut conversation) = std::mem::take(&mut cx.flow.phase) {
                    let mut records = Records { sink: &end_sink, moments: &cx.flow.moments, conn: &cx.conn };
                    conversation.end(cx.conn.now(), &mut records);
                }
            })
    }

    /// Directions of connections whose messages could not be followed to the end: because of a gap outside of a body of
    /// known length, or because they are not as they should be.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.sink.given_up.load(Ordering::Relaxed)
    }

    /// To be called once, when all cores are done.
    ///
    /// # Errors
    ///
    /// What the output has met with.
    pub fn finish(&self) -> io::Result<()> {
        let given_up = self.given_up();
        if given_up > 0 {
            log::warn!("{given_up} directions of HTTP connections could not be followed to their end");
        }
        self.sink.output.finish()
    }
}

/// What turns transactions into records.
struct Records<'a, 'b, 'c, At> {
    sink: &'a Sink,
    moments: &'a Moments,
    conn: &'a Conn<'b, 'c, At>,
}

impl<At> Log for Records<'_, '_, '_, At> {
    fn time(&self, side: Side, end: u64) -> Timestamp {
        self.moments.of(side, end).unwrap_or(self.conn.now())
    }

    fn put(&mut self, transaction: Transaction, time: Timestamp) {
        let header = Header::new("http", time, self.conn);
        let header = if transaction.server == Side::Server { header } else { header.reversed() };
        let record = Record { header, tx_id: transaction.id, http: HttpPart::new(transaction) };
        self.sink.output.write(&eve::line(&record));
    }
}

impl Flow {
    /// Reads what there is of both directions: requests first, and again when a response has come that they have waited
    /// for. At the end of the flow they do not wait.
    fn read<At>(&mut self, conn: &mut Conn<'_, '_, At>, at_end: bool, sink: &Sink) {
        if matches!(self.phase, Phase::New) && !at_end {
            self.phase = Phase::Open(Box::default());
        }
        let patience = if at_end { 0 } else { MAX_WAITING_BYTES };
        let mut forced = false;
        while let Phase::Open(conversation) = &mut self.phase {
            let server = conversation.server();
            let has_read = feed(conversation, &mut self.moments, conn, server, forced, sink)
                | feed(conversation, &mut self.moments, conn, server.other(), false, sink);
            sink.given_up.fetch_add(conversation.take_given_up(), Ordering::Relaxed);
            if conversation.is_over() {
                *self = Self { phase: Phase::Over, moments: Moments::default() };
                break;
            }
            let [unread_responses, unread_requests] = [server.other(), server].map(|side| conn.unread_len(side));
            let is_patient = unread_requests <= patience;
            if unread_responses + unread_requests == 0 || !has_read && (forced || is_patient) {
                break;
            }
            forced = !has_read;
        }
        if matches!(self.phase, Phase::Over) {
            Side::BOTH.into_iter().for_each(|side| conn.consume_of(side, u64::MAX));
        }
    }
}

/// Reads what there is of one direction. False if nothing could be taken.
fn feed<At>(
    conversation: &mut Conversation,
    moments: &mut Moments,
    conn: &mut Conn<'_, '_, At>,
    side: Side,
    forced: bool,
    sink: &Sink,
) -> bool {
    let start = conn.position(side);
    let mut at = start;
    let mut records = Records { sink, moments, conn };
    for chunk in conn.chunks_of(side) {
        match chunk {
            Chunk::Data(data) => {
                let used = conversation.data(side, at, data, forced, &mut records);
                at += used as u64;
                if used < data.len() {
                    break;
                }
            }
            Chunk::Missing(missing) => {
                conversation.lost(side, at, missing, &mut records);
                at += missing;
            }
        }
    }
    conn.consume_of(side, at - start);
    moments.forget(side, at);
    at > start
}

#[cfg(test)]
mod tests;
