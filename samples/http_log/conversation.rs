//! Both directions of a connection: messages one after the other, and which response answers which request.
//!
//! Responses come in the order of their requests, and how one ends depends on its request: so requests are to be read
//! first. What follows a request for another protocol depends on its response: then requests have to wait. What is not
//! taken has to be offered again.
//!
//! A response that began before the oldest open request was complete answers none that was seen: the capture began too
//! late, or the server has lost its patience.

use std::collections::VecDeque;

use mos_core::time::Timestamp;
use mos_monitor::Side;

use super::body::{Body, Then};
use super::head::{Found, Framing, HeadBuffer, Request, Response, Start, is_request_line, start};

/// The most requests that wait for their responses before no more are read.
const MAX_PENDING: usize = 256;

/// The most memory of these requests before no more are read. One head may go beyond it.
const MAX_PENDING_BYTES: usize = 256 << 10;

/// A request and what answered it, as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    /// Its number in the connection, in the order in which they were complete.
    pub(super) id: u64,
    /// Who received the request.
    pub(super) server: Side,
    /// When the request's head, if it was seen, was complete.
    pub(super) asked: Timestamp,
    pub(super) request: Option<Request>,
    pub(super) response: Option<Response>,
    /// Bytes of the response's body, seen or missing, without transfer coding.
    pub(super) length: u64,
}

/// Where transactions go, and who knows the time.
pub(super) trait Log {
    /// When the byte of what `side` receives that ends at offset `end` could be read.
    fn time(&self, side: Side, end: u64) -> Timestamp;
    /// A transaction is complete, or as complete as it will be, at `time`.
    fn put(&mut self, transaction: Transaction, time: Timestamp);
}

/// What one side receives.
#[derive(Debug)]
struct Reader {
    state: State,
    head: HeadBuffer,
    /// When the first byte of the head came.
    head_time: Timestamp,
}

#[derive(Debug)]
enum State {
    Head,
    Body(Body),
    /// Nothing more is read.
    Over,
}

impl Reader {
    fn new(state: State) -> Self {
        Self { state, head: HeadBuffer::default(), head_time: Timestamp::ZERO }
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

/// A connection. It holds at most two heads of 64 KiB, 320 KiB of requests, and 128 KiB of the transaction that is being
/// answered.
#[derive(Debug)]
pub(super) struct Conversation {
    /// By receiver.
    readers: [Reader; 2],
    /// Who receives requests.
    server: Side,
    /// Who that is, and that this is HTTP, is certain.
    settled: bool,
    /// Requests without response, the oldest first.
    pending: VecDeque<Transaction>,
    pending_bytes: usize,
    /// The last of them asks for another protocol.
    switching: bool,
    /// There are more requests, which wait for responses.
    waiting: bool,
    /// The transaction whose response has a body that is not over.
    answering: Option<Transaction>,
    next_id: u64,
    given_up: u64,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            readers: Side::BOTH.map(|_| Reader::new(State::Head)),
            server: Side::Server,
            settled: false,
            pending: VecDeque::new(),
            pending_bytes: 0,
            switching: false,
            waiting: false,
            answering: None,
            next_id: 0,
            given_up: 0,
        }
    }
}

impl Conversation {
    /// Who receives requests, as far as is known.
    pub(super) fn server(&self) -> Side {
        self.server
    }

    /// Nothing more is to be learnt.
    pub(super) fn is_over(&self) -> bool {
        self.readers.iter().all(Reader::is_over)
    }

    /// Directions that were given up since the last call: their messages could not be followed any more.
    pub(super) fn take_given_up(&mut self) -> u64 {
        std::mem::take(&mut self.given_up)
    }

    /// Takes what `side` received at offset `at`. Returns how much: less than all if requests have to wait for responses, or
    /// responses for requests that need not wait any more. Requests do not wait if they are `forced`: because too much is
    /// waiting already, or at the end.
    pub(super) fn data(&mut self, side: Side, at: u64, data: &[u8], forced: bool, log: &mut impl Log) -> usize {
        let mut used = 0;
        while used < data.len() {
            let rest = &data[used..];
            let taken = match &mut self.readers[side as usize].state {
                State::Over => return data.len(),
                State::Head => match self.head(side, rest, forced, at + used as u64, log) {
                    0 => break,
                    taken => taken,
                },
                State::Body(body) => {
                    let taken = body.take(rest);
                    let end = at + (used + taken.used) as u64;
                    self.progress(side, taken.content, taken.then, end, log);
                    taken.used
                }
            };
            used += taken;
        }
        used
    }

    /// What `side` received is not known from offset `at` on, for `missing` bytes.
    pub(super) fn lost(&mut self, side: Side, at: u64, missing: u64, log: &mut impl Log) {
        let end = at + missing;
        let skipped = match &mut self.readers[side as usize].state {
            State::Over => return,
            State::Head => 0,
            State::Body(body) => {
                let (skipped, then) = body.skip(missing);
                self.progress(side, skipped, then, at + skipped, log);
                skipped
            }
        };
        if skipped < missing {
            self.give_up(side, log.time(side, end), log);
        }
    }

    /// The connection is over at `time`, or speaks another protocol from then on: so are its messages.
    pub(super) fn end(&mut self, time: Timestamp, log: &mut impl Log) {
        self.readers = Side::BOTH.map(|_| Reader::new(State::Over));
        self.flush(time, log);
    }

    /// A direction at the beginning of a message, or within its head. Returns how much was taken: 0 to wait.
    fn head(&mut self, side: Side, data: &[u8], forced: bool, at: u64, log: &mut impl Log) -> usize {
        if self.readers[side as usize].head.is_empty() {
            let blank = data.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if self.settled && blank > 0 {
                return blank;
            }
            let time = log.time(side, at + 1);
            if side != self.server {
                if self.waiting && self.pending.is_empty() {
                    // The requests can go on, and this may answer one of them.
                    return 0;
                }
            } else {
                self.waiting = self.must_wait() && !forced;
                if self.waiting {
                    return 0;
                }
                if self.must_wait() {
                    // Nobody knows what these bytes are, or whose responses come next.
                    let direction = if self.switching { side } else { side.other() };
                    self.give_up(direction, time, log);
                    if direction == side {
                        return data.len();
                    }
                }
            }
            if !self.is_message(side, data, None) {
                return self.leave(side, at, data.len(), log);
            }
            self.readers[side as usize].head_time = time;
        }
        let mut buffer = std::mem::take(&mut self.readers[side as usize].head);
        let (used, well) = match buffer.take(data) {
            Found::Part { bytes, first_line } => {
                let well = self.is_message(side, bytes, first_line);
                if well {
                    self.readers[side as usize].head = buffer;
                }
                (data.len(), well)
            }
            Found::TooLong => (data.len(), false),
            Found::Whole { head, used } => {
                let end = at + used as u64;
                let well =
                    if side == self.server { self.request(head, end, log) } else { self.response(head, end, log) };
                (used, well)
            }
        };
        if well { used } else { self.leave(side, at, data.len(), log) }
    }

    /// Whether this may be how a message to `side` begins. The first one that can be told says who the server is.
    fn is_message(&mut self, side: Side, bytes: &[u8], first_line: Option<&[u8]>) -> bool {
        let receiver = match start(bytes) {
            Start::Open => return true,
            Start::Alien => return false,
            Start::Request if first_line.is_some_and(|line| !is_request_line(line)) => return false,
            Start::Request => side,
            Start::Response => side.other(),
        };
        if !self.settled {
            self.server = receiver;
        }
        self.server == receiver
    }

    /// What came is no message: this is not HTTP, or it cannot be followed.
    fn leave(&mut self, side: Side, at: u64, len: usize, log: &mut impl Log) -> usize {
        if self.settled {
            self.give_up(side, log.time(side, at + len as u64), log);
        } else {
            self.readers.iter_mut().for_each(|reader| *reader = Reader::new(State::Over));
        }
        len
    }

    /// Whether the next request depends on a response that has not come yet.
    fn must_wait(&self) -> bool {
        let is_full = self.pending.len() >= MAX_PENDING || self.pending_bytes >= MAX_PENDING_BYTES;
        (self.switching || is_full) && !self.readers[self.server.other() as usize].is_over()
    }

    fn give_up(&mut self, side: Side, time: Timestamp, log: &mut impl Log) {
        let reader = &mut self.readers[side as usize];
        if !reader.is_over() {
            *reader = Reader::new(State::Over);
            self.given_up += u64::from(self.settled);
        }
        if side == self.server {
            self.waiting = false;
        } else {
            self.flush(time, log);
        }
    }

    /// Nothing more is known of the transactions that are open.
    fn flush(&mut self, time: Timestamp, log: &mut impl Log) {
        self.pending_bytes = 0;
        self.switching = false;
        for transaction in self.answering.take().into_iter().chain(std::mem::take(&mut self.pending)) {
            self.put(transaction, time, log);
        }
    }

    fn put(&mut self, mut transaction: Transaction, time: Timestamp, log: &mut impl Log) {
        transaction.id = self.next_id;
        self.next_id += 1;
        let time = time.max(transaction.asked);
        log.put(transaction, time);
    }

    /// A body went on.
    fn progress(&mut self, side: Side, content: u64, then: Then, end: u64, log: &mut impl Log) {
        let is_response = side != self.server;
        if is_response && let Some(transaction) = &mut self.answering {
            transaction.length = transaction.length.saturating_add(content);
        }
        match then {
            Then::More => {}
            Then::Broken => self.give_up(side, log.time(side, end), log),
            Then::Done => {
                self.readers[side as usize].state = State::Head;
                if is_response && let Some(transaction) = self.answering.take() {
                    self.put(transaction, log.time(side, end), log);
                }
            }
        }
    }

    fn new_transaction(&self, asked: Timestamp, request: Option<Request>) -> Transaction {
        Transaction { id: 0, server: self.server, asked, request, response: None, length: 0 }
    }

    /// A request's head. False if it cannot be followed.
    fn request(&mut self, head: &[u8], end: u64, log: &mut impl Log) -> bool {
        let Some((request, framing)) = Request::parse(head) else { return false };
        self.settled = true;
        let side = self.server;
        let is_connect = request.method == "CONNECT";
        let (switching, bytes) = (is_connect || request.upgrade, request.bytes());
        let transaction = self.new_transaction(log.time(side, end), Some(request));
        if self.readers[side.other() as usize].is_over() {
            self.put(transaction, log.time(side, end), log);
        } else {
            self.pending.push_back(transaction);
            self.pending_bytes += bytes;
            self.switching = switching;
        }
        match framing {
            // What follows CONNECT is no body, whatever its head says.
            _ if is_connect => true,
            Framing::Unsaid | Framing::Given(Body::Length(0)) => true,
            Framing::Given(body) => {
                self.readers[side as usize].state = State::Body(body);
                true
            }
            Framing::Unclear => false,
        }
    }

    /// A response's head. False if it cannot be followed.
    fn response(&mut self, head: &[u8], end: u64, log: &mut impl Log) -> bool {
        let Some((response, framing)) = Response::parse(head) else { return false };
        self.settled = true;
        let status = response.status;
        if status < 200 && status != 101 {
            // The answer is still to come.
            return true;
        }
        let side = self.server.other();
        let began = self.readers[side as usize].head_time;
        let is_answer = self.pending.front().is_some_and(|oldest| oldest.asked <= began);
        let answered = if is_answer { self.pending.pop_front() } else { None };
        let mut transaction = answered.unwrap_or_else(|| self.new_transaction(Timestamp::ZERO, None));
        let request = transaction.request.as_ref();
        self.pending_bytes -= request.map_or(0, Request::bytes).min(self.pending_bytes);
        self.switching &= !self.pending.is_empty();
        let method = request.map_or("", |request| request.method.as_str());
        let is_tunnel = status == 101 || method == "CONNECT" && (200..300).contains(&status);
        let has_no_body = method == "HEAD" || matches!(status, 204 | 304);
        transaction.response = Some(response);
        if is_tunnel {
            self.put(transaction, log.time(side, end), log);
            self.end(log.time(side, end), log);
            return true;
        }
        let (body, well) = match framing {
            _ if has_no_body => (None, true),
            Framing::Given(Body::Length(0)) => (None, true),
            Framing::Given(body) => (Some(body), true),
            Framing::Unsaid => (Some(Body::UntilEnd), true),
            Framing::Unclear => (None, false),
        };
        match body {
            Some(body) => {
                self.readers[side as usize].state = State::Body(body);
                self.answering = Some(transaction);
            }
            None => self.put(transaction, log.time(side, end), log),
        }
        well
    }
}
