//! A record for every TLS handshake, on any port: the server's name, the version and the protocols that were agreed on.
//!
//! The JSON lines follow Suricata's EVE layout (`event_type` "tls"). Of each direction only the first handshake message is
//! read: what follows is encrypted, or soon will be. A connection that does not begin like TLS costs a look at its first
//! byte.

mod handshake;
mod hello;
mod record;

use std::io;
use std::sync::Arc;

use mos_core::time::Timestamp;
use mos_monitor::{Chunk, Conn, Event, Monitor, Side};

use self::handshake::{FirstMessage, Step};
use self::hello::{ClientHello, Hello, ServerHello};
pub use self::record::{Record, TlsPart};
use crate::eve::{self, Header};
use crate::moments::Moments;
use crate::output::Output;

/// The TLS log of a whole run: makes the monitor of each core, and collects what they find.
#[derive(Clone, Debug)]
pub struct TlsLog {
    output: Arc<Output>,
}

/// What is kept of a flow as long as it lives: at most two messages of 64 KiB.
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
    Open(Box<Handshake>),
    /// Not TLS, or all is known: bytes are of no interest.
    Over,
}

/// The first messages of both sides.
#[derive(Debug, Default)]
struct Handshake {
    /// By receiver; none if nothing more is to be learnt there.
    readers: [Option<FirstMessage>; 2],
    client: Option<ClientHello>,
    server: Option<ServerHello>,
    /// Who received the client's hello.
    server_side: Option<Side>,
    /// When the later hello was complete.
    time: Timestamp,
}

impl TlsLog {
    /// A log to `output`.
    #[must_use]
    pub fn new(output: Arc<Output>) -> Self {
        Self { output }
    }

    /// The monitor of one core.
    #[must_use]
    pub fn monitor(&self) -> Monitor<(), Flow> {
        let (output, end_output) = (Arc::clone(&self.output), Arc::clone(&self.output));
        Monitor::<(), Flow>::new("tls-log", ())
            .on_rcv(Event::PktIn, |cx| {
                if !matches!(cx.flow.phase, Phase::Over) {
                    cx.flow.moments.note(&cx.conn);
                }
            })
            .on_new_data(move |cx| {
                let side = cx.conn.side();
                if cx.flow.read(side, &cx.conn) {
                    cx.flow.close(&cx.conn, &output);
                }
                cx.conn.consume_all();
                cx.flow.moments.forget(side, u64::MAX);
            })
            .on_end(move |cx| cx.flow.close(&cx.conn, &end_output))
    }

    /// To be called once, when all cores are done.
    ///
    /// # Errors
    ///
    /// What the output has met with.
    pub fn finish(&self) -> io::Result<()> {
        self.output.finish()
    }
}

impl Flow {
    /// Reads what `side` has received. True if nothing more is to be learnt of the flow.
    fn read<At>(&mut self, side: Side, conn: &Conn<'_, '_, At>) -> bool {
        if matches!(self.phase, Phase::New) {
            let readers = Side::BOTH.map(|_| Some(FirstMessage::default()));
            self.phase = Phase::Open(Box::new(Handshake { readers, ..Handshake::default() }));
        }
        let Phase::Open(handshake) = &mut self.phase else { return false };
        let mut at = conn.position(side);
        for chunk in conn.chunks_of(side) {
            match chunk {
                Chunk::Data(data) => {
                    let now = |end| self.moments.of(side, at + end as u64).unwrap_or(conn.now());
                    handshake.data(side, data, now);
                    at += data.len() as u64;
                }
                // Messages cannot be found any more behind a gap.
                Chunk::Missing(_) => handshake.readers[side as usize] = None,
            }
            if handshake.readers[side as usize].is_none() {
                break;
            }
        }
        handshake.readers.iter().all(Option::is_none)
    }

    /// Writes what is known, and is done with the flow.
    fn close<At>(&mut self, conn: &Conn<'_, '_, At>, output: &Output) {
        let before = std::mem::replace(self, Self { phase: Phase::Over, moments: Moments::default() });
        let Phase::Open(handshake) = before.phase else { return };
        let Handshake { client, server, server_side, time, .. } = *handshake;
        if client.is_none() && server.is_none() {
            return;
        }
        let header = Header::new("tls", time, conn);
        let header = if server_side == Some(Side::Client) { header.reversed() } else { header };
        let tls = TlsPart::new(client.unwrap_or_default(), server);
        output.write(&eve::line(&Record { header, tls }));
    }
}

impl Handshake {
    /// Takes what `side` received; `now` says when so many of these bytes could be read.
    fn data(&mut self, side: Side, data: &[u8], now: impl Fn(usize) -> Timestamp) {
        let Some(reader) = &mut self.readers[side as usize] else { return };
        match reader.take(data) {
            Step::More => {}
            Step::Done { used } => {
                match hello::parse(reader.message()) {
                    Some(Hello::Client(hello)) if self.client.is_none() && self.may_be_server(side) => {
                        (self.client, self.server_side) = (Some(hello), Some(side));
                        self.time = self.time.max(now(used));
                    }
                    Some(Hello::Server(hello)) if self.server.is_none() && self.may_be_server(side.other()) => {
                        (self.server, self.server_side) = (Some(hello), Some(side.other()));
                        self.time = self.time.max(now(used));
                    }
                    _ => self.leave(side),
                }
                self.readers[side as usize] = None;
            }
            Step::Alien => self.leave(side),
        }
    }

    fn may_be_server(&self, side: Side) -> bool {
        self.server_side.is_none_or(|server| server == side)
    }

    /// What `side` received is not TLS. Then, as far as is known, this is no TLS at all; or a hello was answered in plain.
    fn leave(&mut self, side: Side) {
        self.readers[side as usize] = None;
        self.readers[side.other() as usize] = None;
    }
}

#[cfg(test)]
mod tests;
