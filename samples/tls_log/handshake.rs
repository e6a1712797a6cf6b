//! The first handshake message of a direction, put together from records, which are put together from pieces of a stream.

/// The most bytes of a message, and of records that come before it.
const MAX_BYTES: usize = 64 << 10;

/// RFC 5246 6.2.3: a record has at most so many bytes.
const MAX_RECORD_BYTES: usize = (16 << 10) + 2048;

const RECORD_HEADER_BYTES: usize = 5;
const MESSAGE_HEADER_BYTES: usize = 4;

/// Content types of records.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Types of the first messages.
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// A direction up to the end of its first handshake message.
#[derive(Debug, Default)]
pub(super) struct FirstMessage {
    /// The header of the record at hand, as far as it has come.
    header: [u8; RECORD_HEADER_BYTES],
    header_len: usize,
    /// Bytes of the record at hand that are still to come.
    record_left: usize,
    /// Bytes of all records so far that were not of a handshake.
    skipped: usize,
    /// The message with its header, as far as it has come.
    message: Vec<u8>,
}

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All were taken.
    More,
    /// The message is complete with so many of them.
    Done { used: usize },
    /// This is not how TLS begins.
    Alien,
}

impl FirstMessage {
    /// The message with its header, once it is complete.
    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    /// Takes the next bytes of the stream.
    pub(super) fn take(&mut self, data: &[u8]) -> Step {
        let mut used = 0;
        while used < data.len() {
            if self.header_len < RECORD_HEADER_BYTES {
                self.header[self.header_len] = data[used];
                self.header_len += 1;
                used += 1;
                if !self.header_is_well() {
                    return Step::Alien;
                }
                continue;
            }
            let rest = &data[used..];
            let part = &rest[..rest.len().min(self.record_left)];
            let taken = if self.header[0] == HANDSHAKE {
                let part = &part[..part.len().min(self.wanted())];
                self.message.extend_from_slice(part);
                part.len()
            } else {
                self.skipped += part.len();
                part.len()
            };
            used += taken;
            self.record_left -= taken;
            if self.record_left == 0 {
                self.header_len = 0;
            }
            if !self.message_is_well() || self.skipped > MAX_BYTES {
                return Step::Alien;
            }
            if self.message.len() >= MESSAGE_HEADER_BYTES && self.wanted() == 0 {
                return Step::Done { used };
            }
        }
        Step::More
    }

    /// Whether a record may begin like this, as far as its header has come. When that is complete, its length is noted.
    fn header_is_well(&mut self) -> bool {
        match (self.header_len, self.header) {
            // A server may warn, of a name that it does not know, before it says hello.
            (1, [content, ..]) => matches!(content, HANDSHAKE | ALERT),
            (2, [_, major, ..]) => major == 3,
            (3, [_, _, minor, ..]) => minor <= 4,
            (RECORD_HEADER_BYTES, [.., high, low]) => {
                self.record_left = usize::from(u16::from_be_bytes([high, low]));
                (1..=MAX_RECORD_BYTES).contains(&self.record_left)
            }
            (len, _) => len == 4,
        }
    }

    /// How many bytes the header of the message, or then the message, is short of.
    fn wanted(&self) -> usize {
        match self.length() {
            Some(length) => MESSAGE_HEADER_BYTES + length - self.message.len(),
            None => MESSAGE_HEADER_BYTES - self.message.len(),
        }
    }

    fn length(&self) -> Option<usize> {
        let [_, high, middle, low, ..] = self.message[..] else { return None };
        Some(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
    }

    fn message_is_well(&self) -> bool {
        self.message.first().is_none_or(|kind| matches!(*kind, CLIENT_HELLO | SERVER_HELLO))
            && self.length().is_none_or(|length| length <= MAX_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of so many bytes in records of so many.
    fn records(len: usize, record: usize) -> Vec<u8> {
        let mut message = vec![CLIENT_HELLO, (len >> 16) as u8, (len >> 8) as u8, len as u8];
        message.extend((0..len).map(|at| at as u8));
        let mut stream = Vec::new();
        for part in message.chunks(record) {
            stream.extend_from_slice(&[HANDSHAKE, 3, 1, (part.len() >> 8) as u8, part.len() as u8]);
            stream.extend_from_slice(part);
        }
        stream
    }

    #[test]
    fn messages_come_in_records_and_records_in_pieces() {
        for (len, record) in [(0, 1), (1, 100), (300, 1), (300, 299), (300, 304), (20_000, 16_384)] {
            for piece in [1, 2, 7, usize::MAX] {
                let mut stream = records(len, record);
                stream.push(HANDSHAKE);
                let mut first = FirstMessage::default();
                let mut used = 0;
                let step = loop {
                    let rest = &stream[used..];
                    match first.take(&rest[..rest.len().min(piece)]) {
                        Step::More => used += rest.len().min(piece),
                        Step::Done { used: last } => break used + last,
                        Step::Alien => panic!("{len} {record} {piece}"),
                    }
                };
                assert_eq!((step, first.message().len()), (stream.len() - 1, len + 4));
            }
        }
    }

    #[test]
    fn a_warning_may_come_first_and_nothing_else() {
        let mut first = FirstMessage::default();
        let stream = [&[ALERT, 3, 3, 0, 2, 1, 112][..], &records(5, 9)].concat();
        assert_eq!(first.take(&stream), Step::Done { used: stream.len() });
        let big = records(MAX_BYTES + 1, 1000);
        for alien in [&b"GET"[..], &[HANDSHAKE, 2], &[HANDSHAKE, 3, 1, 0, 0], &[HANDSHAKE, 3, 1, 0, 1, 3], &big] {
            assert_eq!(FirstMessage::default().take(alien), Step::Alien);
        }
        let alerts = [ALERT, 3, 3, 0, 2, 1, 112].repeat(MAX_BYTES);
        assert_eq!(FirstMessage::default().take(&alerts), Step::Alien);
    }
}
