//! The live connections with the states of both endpoints, second by second: a netstat for the wire, after the mOS sample of
//! that name.
//!
//! Nobody reads bytes here, so the buffers are off and only headers are followed. Seconds are those of the frames: a block
//! is written when the first packet of a new second comes, and shows how things stood before it. Each core writes blocks of
//! its own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use mos_core::time::Timestamp;
use mos_monitor::{Conn, Event, Monitor, Side, TcpState};

use crate::output::Output;

/// The width of an address with its port; longer ones take what they need.
const ADDRESS_WIDTH: usize = 21;
const STATE_WIDTH: usize = 12;

/// What one core shows.
#[derive(Debug)]
pub struct Screen {
    core: usize,
    output: Arc<Output>,
    second: Option<u64>,
    /// By the number of the flow.
    connections: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    endpoints: [SocketAddr; 2],
    /// CLOSED as long as nothing is known.
    states: [TcpState; 2],
}

/// The monitor of core number `core`.
#[must_use]
pub fn monitor(core: usize, output: Arc<Output>) -> Monitor<Screen, ()> {
    let screen = Screen { core, output, second: None, connections: BTreeMap::new() };
    Monitor::new("midstat", screen)
        .without_buffers()
        .on_snd(Event::PktIn, |cx| cx.state.tick(cx.conn.now()))
        .on_snd(Event::ConnStart, |cx| cx.state.open(&cx.conn))
        .on_snd(Event::TcpStateChange, |cx| cx.state.note_state(&cx.conn))
        .on_rcv(Event::TcpStateChange, |cx| cx.state.note_state(&cx.conn))
        .on_end(|cx| {
            cx.state.connections.remove(&cx.conn.id().as_u64());
        })
}

impl Screen {
    /// A packet at `now`: if it is the first of its second, the second before it is over.
    fn tick(&mut self, now: Timestamp) {
        let second = now.as_millis() / 1000;
        if self.second.replace(second).is_some_and(|before| before != second) {
            self.show();
        }
    }

    fn open<At>(&mut self, conn: &Conn<'_, '_, At>) {
        let endpoints = Side::BOTH.map(|side| conn.endpoint(side));
        self.connections.insert(conn.id().as_u64(), Connection { endpoints, states: [TcpState::Closed; 2] });
    }

    fn note_state<At>(&mut self, conn: &Conn<'_, '_, At>) {
        if let Some(connection) = self.connections.get_mut(&conn.id().as_u64())
            && let Some(state) = conn.state(conn.side())
        {
            connection.states[conn.side() as usize] = state;
        }
    }

    /// Writes a block: a heading, and a line for each connection.
    pub fn show(&self) {
        let mut block = format!(
            "{:<5} {:<3} {:<ADDRESS_WIDTH$} {:<STATE_WIDTH$} {:<ADDRESS_WIDTH$} {:<STATE_WIDTH$}\n",
            "Proto", "CPU", "Client Address", "Client State", "Server Address", "Server State"
        );
        for Connection { endpoints: [client, server], states: [client_state, server_state] } in
            self.connections.values()
        {
            // Writing to a string does not fail.
            let _ = writeln!(
                block,
                "{:<5} {:<3} {} {:<STATE_WIDTH$} {} {:<STATE_WIDTH$}",
                "tcp",
                self.core,
                endpoint(*client),
                client_state.name(),
                endpoint(*server),
                server_state.name(),
            );
        }
        block.push('\n');
        self.output.write(block.as_bytes());
    }
}

/// The address, a colon, and the port at the right end of the field.
fn endpoint(address: SocketAddr) -> String {
    let ip = match address {
        SocketAddr::V4(v4) => format!("{}:", v4.ip()),
        SocketAddr::V6(v6) => format!("[{}]:", v6.ip()),
    };
    let width = ADDRESS_WIDTH.saturating_sub(ip.len());
    format!("{ip}{:>width$}", address.port())
}

#[cfg(test)]
mod tests;
