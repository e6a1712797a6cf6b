//! The monitors that benchmarks run.

use mos_monitor::{Chunk, Event, Monitor, RawMonitor};

/// What the monitors count, so that their work is not optimised away.
#[derive(Debug, Default)]
pub(super) struct Count {
    packets: u64,
    events: u64,
    pub(super) bytes: u64,
    words: u64,
}

pub(super) fn track() -> Monitor<Count, ()> {
    let monitor = Monitor::new("track", Count::default()).without_buffers();
    [Event::ConnStart, Event::TcpStateChange, Event::ConnEnd].into_iter().fold(monitor, |monitor, event| {
        monitor.on_snd(event, |cx| cx.state.events += 1).on_rcv(event, |cx| cx.state.events += 1)
    })
}

pub(super) fn stream() -> Monitor<Count, ()> {
    Monitor::new("stream", Count::default()).on_new_data(|cx| {
        let side = cx.conn.side();
        cx.state.bytes += cx.conn.unread_len(side);
        cx.conn.consume_all();
    })
}

pub(super) fn touch() -> Monitor<Count, ()> {
    Monitor::new("touch", Count::default()).on_new_data(|cx| {
        for chunk in cx.conn.chunks() {
            match chunk {
                Chunk::Data(bytes) => {
                    cx.state.bytes += bytes.len() as u64;
                    cx.state.words = cx.state.words.wrapping_add(sum(bytes));
                }
                Chunk::Missing(len) => cx.state.bytes += len,
            }
        }
        cx.conn.consume_all();
    })
}

pub(super) fn raw() -> RawMonitor<Count> {
    RawMonitor::new("raw", Count::default()).on_packet(|cx| cx.state.packets += 1)
}

/// All bytes, as words of 64 bits added up: several at a time, as fast as memory brings them.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().fold(u64::from_ne_bytes(last), |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word)))
}
