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
    words.iter().fold(last_word(rest), |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

/// Less than eight bytes, as the lower ones of a word: with one branch on how many there are, not with a loop.
fn last_word(bytes: &[u8]) -> u64 {
    match (bytes, bytes.first_chunk(), bytes.last_chunk()) {
        (_, Some(first), Some(last)) => {
            let last = u64::from(u32::from_le_bytes(*last)) << (8 * (bytes.len() - 4));
            u64::from(u32::from_le_bytes(*first)) | last
        }
        ([first, .., last], ..) => {
            let middle = bytes.len() / 2;
            u64::from(*first) | u64::from(bytes[middle]) << (8 * middle) | u64::from(*last) << (8 * (bytes.len() - 1))
        }
        ([only], ..) => u64::from(*only),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn adds_up_all_bytes() {
        let bytes: Vec<u8> = (1..=40).collect();
        for len in 0..bytes.len() {
            let mut words = bytes[..len].to_vec();
            words.resize(len.next_multiple_of(8), 0);
            let sum_of_words =
                words.as_chunks().0.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word)));
            assert_eq!(sum(&bytes[..len]), sum_of_words, "{len} bytes");
        }
    }
}
