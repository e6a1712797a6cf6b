//! The HTTP log on bundled captures, and its conversations under every treatment a stream may get.

use mos_core::time::Timestamp;
use mos_monitor::Side;
use proptest::collection::vec;
use proptest::prelude::*;

use super::HttpLog;
use super::conversation::{Conversation, Log, Transaction};
use crate::testing::{Paper, cases, file, replay_bundled, sorted};

fn log(capture: &str, burst: usize) -> (String, u64) {
    let paper = Paper::default();
    let log = HttpLog::new(paper.output());
    replay_bundled(capture, burst, log.monitor());
    log.finish().unwrap();
    (paper.text(), log.given_up())
}

#[test]
fn bundled_captures_give_the_records_that_are_expected() {
    for (capture, expected) in [("tiny.pcap", "expected.jsonl"), ("http.pcap", "expected-http.jsonl")] {
        let expected = std::fs::read_to_string(file(&format!("http_log/{expected}"))).unwrap();
        assert_eq!(log(capture, 64), (expected.clone(), 0), "{capture}");
        for burst in [1, 2, 7] {
            assert_eq!(sorted(&log(capture, burst).0), sorted(&expected), "{capture} in bursts of {burst}");
        }
    }
}

/// Transactions as they come. Time stands still.
#[derive(Default)]
struct Transactions(Vec<Transaction>);

impl Log for Transactions {
    fn time(&self, _: Side, _: u64) -> Timestamp {
        Timestamp::from_millis(1)
    }

    fn put(&mut self, transaction: Transaction, _: Timestamp) {
        self.0.push(transaction);
    }
}

/// A conversation whose streams are made readable piece by piece.
#[derive(Default)]
struct Talk {
    conversation: Conversation,
    done: Transactions,
    /// By receiver: what can be read, and how much has been.
    streams: [(Vec<u8>, usize); 2],
}

impl Talk {
    fn say(&mut self, side: Side, bytes: &[u8]) {
        self.streams[side as usize].0.extend_from_slice(bytes);
        self.read(false);
    }

    /// As the monitor does it.
    fn read(&mut self, mut forced: bool) {
        let mut has_read = true;
        while has_read || std::mem::take(&mut forced) {
            has_read = false;
            for side in [Side::Server, Side::Client] {
                let (bytes, at) = &mut self.streams[side as usize];
                let used = self.conversation.data(side, *at as u64, &bytes[*at..], forced, &mut self.done);
                assert!(used <= bytes.len() - *at);
                *at += used;
                has_read |= used > 0;
            }
        }
    }

    fn lose(&mut self, side: Side, missing: u64) {
        let at = self.streams[side as usize].1 as u64;
        self.conversation.lost(side, at, missing, &mut self.done);
    }

    fn end(mut self) -> Vec<Transaction> {
        self.read(true);
        self.conversation.end(Timestamp::from_millis(1), &mut self.done);
        self.done.0
    }
}

/// Method, target, status and length; what is not known is left empty.
fn brief(transactions: &[Transaction]) -> Vec<String> {
    let of = |transaction: &Transaction| {
        let (method, target) =
            transaction.request.as_ref().map_or(("", ""), |request| (request.method.as_str(), &request.target));
        let status = transaction.response.as_ref().map_or(0, |response| response.status);
        format!("{method} {target} {status} {}", transaction.length)
    };
    transactions.iter().map(of).collect()
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";

#[test]
fn a_gap_in_a_body_of_known_length_is_skipped() {
    let mut talk = Talk::default();
    talk.say(Side::Server, GET);
    talk.say(Side::Client, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbo");
    talk.lose(Side::Client, 5);
    talk.say(Side::Client, b"dy!");
    talk.say(Side::Server, GET);
    talk.say(Side::Client, OK);
    assert_eq!(talk.conversation.take_given_up(), 0);
    assert_eq!(brief(&talk.end()), ["GET /a 200 10", "GET /a 200 4"]);
}

#[test]
fn a_gap_elsewhere_ends_that_direction_and_is_counted() {
    let mut talk = Talk::default();
    talk.say(Side::Server, GET);
    talk.say(Side::Client, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbo");
    talk.lose(Side::Client, 9);
    talk.say(Side::Client, OK);
    talk.say(Side::Server, GET);
    assert_eq!(talk.conversation.take_given_up(), 1);
    talk.lose(Side::Server, 1);
    assert_eq!(talk.conversation.take_given_up(), 1);
    assert!(talk.conversation.is_over());
    assert_eq!(brief(&talk.end()), ["GET /a 200 10", "GET /a 0 0"]);
}

#[test]
fn other_protocols_are_dismissed_at_the_first_bytes() {
    let others: [&[u8]; 6] = [
        b"\x16\x03\x01",
        b"220 mail.example ESMTP\r\n",
        b"EHLO client\r\n",
        b"OPTIONS * RTSP/1.0\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"\r\n",
    ];
    for side in Side::BOTH {
        for other in others {
            let mut talk = Talk::default();
            talk.say(side, other);
            assert!(talk.conversation.is_over(), "{other:?}");
            assert_eq!(talk.conversation.take_given_up(), 0);
        }
    }
}

#[test]
fn who_sends_requests_is_the_client() {
    let mut talk = Talk::default();
    talk.say(Side::Server, OK);
    assert_eq!(talk.conversation.server(), Side::Client);
    let transactions = talk.end();
    assert_eq!(brief(&transactions), ["  200 4"]);
    assert_eq!(transactions[0].server, Side::Client);
}

#[test]
fn heads_and_waiting_requests_are_bounded() {
    let mut talk = Talk::default();
    talk.say(Side::Server, GET);
    talk.say(Side::Server, b"GET / HTTP/1.1\r\n");
    (0..700).for_each(|_| talk.say(Side::Server, &[b'x'; 100]));
    assert_eq!(talk.conversation.take_given_up(), 1);
    talk.say(Side::Client, OK);
    assert_eq!(brief(&talk.end()), ["GET /a 200 4"]);

    let mut talk = Talk::default();
    (0..1000).for_each(|_| talk.say(Side::Server, GET));
    assert!(talk.streams[Side::Server as usize].1 < 300 * GET.len());
    (0..1000).for_each(|_| talk.say(Side::Client, OK));
    assert_eq!(talk.done.0.len(), 1000);
    assert!(talk.done.0.iter().enumerate().all(|(at, done)| done.response.is_some() && done.id == at as u64));
}

/// One exchange: what is asked, what is answered, and the brief of it.
fn exchange() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, String)> {
    let requests = prop_oneof![
        Just(("GET", "Host: h\r\nUser-Agent: u", "")),
        Just(("HEAD", "Host: h", "")),
        Just(("POST", "Content-Length: 21", "GET /b HTTP/1.1\r\nH: h")),
        Just(("PUT", "Transfer-Encoding: chunked", "3;x\r\na\r\n\r\n0\r\nT: t\r\n\r\n")),
        Just(("GET", "Upgrade: h2c", "")),
    ];
    let responses = prop_oneof![
        Just((200, "Content-Length: 6", "HTTP/1", 6)),
        Just((404, "Transfer-Encoding: chunked", "2\r\nab\r\n0a\r\n0123456789\r\n0\r\n\r\n", 12)),
        Just((204, "A: b", "", 0)),
        Just((304, "Content-Length: 9", "", 0)),
        Just((302, "Content-Length: 0\r\nLocation: /x", "", 0)),
    ];
    (requests, responses, any::<bool>(), "/[a-z]{0,9}").prop_map(|(request, response, hints, target)| {
        let ((method, fields, body), (status, answer, content, length)) = (request, response);
        let asked = format!("{method} {target} HTTP/1.1\r\n{fields}\r\n\r\n{body}");
        let hint = if hints { "HTTP/1.1 100 Continue\r\n\r\n" } else { "" };
        let (content, length) = if method == "HEAD" { ("", 0) } else { (content, length) };
        let answered = format!("{hint}HTTP/1.1 {status} X\r\n{answer}\r\n\r\n{content}");
        (asked.into_bytes(), answered.into_bytes(), format!("{method} {target} {status} {length}"))
    })
}

fn say_in_pieces(talk: &mut Talk, side: Side, mut bytes: &[u8], sizes: &mut impl Iterator<Item = usize>) {
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(sizes.next().unwrap_or(1).clamp(1, bytes.len()));
        talk.say(side, piece);
        bytes = rest;
    }
}

/// Bytes that get somewhere.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "HTTP/1.1 200 OK\r\n",
        "\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "CONNECT a:1 HTTP/1.1\r\n",
        "Upgrade: x\r\n",
        "HTTP/1.1 101 X\r\n",
        "0\r\n",
        "5\r\nabcde\r\n",
        "Host: \u{fffd}:1\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "HTTP/1.0 200\r\n\r\n",
        "HTTP/1.1 204 N\r\n\r\n",
        "Content-Length: 18446744073709551615\r\n",
    ]);
    prop_oneof![3 => known.prop_map(|text| text.as_bytes().to_vec()), 1 => vec(any::<u8>(), 0..20)]
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn pieces_make_no_difference(
        exchanges in vec(exchange(), 0..8),
        sizes in vec(1_usize..40, 1..20),
        pipelined in any::<bool>(),
    ) {
        let expected: Vec<_> = exchanges.iter().map(|(.., brief)| brief.clone()).collect();
        let mut sizes = sizes.iter().copied().cycle();
        let mut talk = Talk::default();
        if pipelined {
            let [asked, answered] = [0, 1].map(|end| {
                exchanges.iter().flat_map(|(asked, answered, _)| if end == 0 { asked } else { answered }).copied().collect::<Vec<_>>()
            });
            say_in_pieces(&mut talk, Side::Server, &asked, &mut sizes);
            say_in_pieces(&mut talk, Side::Client, &answered, &mut sizes);
        } else {
            for (asked, answered, _) in &exchanges {
                say_in_pieces(&mut talk, Side::Server, asked, &mut sizes);
                say_in_pieces(&mut talk, Side::Client, answered, &mut sizes);
            }
        }
        prop_assert_eq!(talk.conversation.take_given_up(), 0);
        prop_assert_eq!(brief(&talk.end()), expected);
    }

    #[test]
    fn any_bytes_are_survived(
        steps in vec((any::<bool>(), prop_oneof![9 => fragments().prop_map(Ok), 1 => (1_u64..100).prop_map(Err)]), 0..60),
    ) {
        let mut talk = Talk::default();
        for (to_server, step) in steps {
            let side = if to_server { Side::Server } else { Side::Client };
            match step {
                Ok(bytes) => talk.say(side, &bytes),
                Err(missing) => talk.lose(side, missing),
            }
        }
        let transactions = talk.end();
        prop_assert!(transactions.iter().enumerate().all(|(at, done)| done.id == at as u64));
    }

    /// All of a stream at once, or byte by byte: the same.
    #[test]
    fn any_bytes_read_the_same_in_pieces(requests in vec(fragments(), 0..30), responses in vec(fragments(), 0..30)) {
        let streams = [(Side::Server, requests.concat()), (Side::Client, responses.concat())];
        let [whole, pieces] = [usize::MAX, 1].map(|piece| {
            let mut talk = Talk::default();
            // An HTTP connection for certain: otherwise it matters who is read first.
            talk.say(Side::Server, GET);
            for (side, bytes) in &streams {
                bytes.chunks(piece).for_each(|piece| talk.say(*side, piece));
            }
            (talk.conversation.take_given_up(), talk.end())
        });
        prop_assert_eq!(whole, pieces);
    }
}
