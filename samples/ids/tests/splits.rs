//! A pattern over every split of two and three segments, in every order of arrival, with retransmissions that overlap: what
//! is found, what is scanned, and, inline, what still gets through.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;

use mos_core::io::FrameBatch;
use mos_core::packet::{LinkType, Verdict};
use mos_core::wire::{TcpFlags, decode};
use mos_monitor::{Chunk, Core, Monitor, Outgoing, Side};
use serde_json::Value;

use crate::ids::{Ids, Mode, Rules};
use crate::testing::{self, Paper, Wire};

const ACK: u8 = TcpFlags::ACK;
const STREAM: &[u8] = b"..abcdef..";
const PATTERN_END: usize = 8;
const ANSWER: &[u8] = b"hello";

/// The first numbers of the streams.
const BASE: [u32; 2] = [100, 500];

/// What the client or the server (by its port) says is looked for in; of 82 nobody says anything.
const RULES: &str = "drop tcp any any -> any 80 (content:\"abcdef\"; sid:80;)\n\
                     reject tcp any any -> any 81 (content:\"ab\"; content:\"cdef\"; sid:81;)\n\
                     drop tcp any 90 -> any any (content:\"ABCDEF\"; nocase; sid:90;)\n\
                     reject tcp any 91 -> any any (content:\"abcdef\"; offset:2; depth:6; flow:established; sid:91;)\n\
                     drop tcp any any -> any 83 (content:\"nothing\"; sid:83;)\n";

const PORTS: [u16; 6] = [80, 81, 90, 91, 82, 83];

/// A packet: who sends it, flags, numbers, payload, and what becomes of it inline.
type Sent = (Side, u8, [u32; 2], Vec<u8>, Verdict);

/// A connection in which one side sends `STREAM` in pieces, and what is to come of it.
struct Case {
    ends: [SocketAddr; 2],
    sender: Side,
    /// In the order of their arrival, as offsets, with their bytes.
    pieces: Vec<(Range<usize>, Vec<u8>)>,
    /// The piece that completes the match, if any rule is about it.
    completes: Option<usize>,
    /// Bytes in order before each piece, and at the end.
    in_order: Vec<usize>,
}

impl Case {
    fn new(number: usize, port: u16, order: &[Range<usize>], overlaps: bool) -> Self {
        let client = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 4000));
        let ends = [client, SocketAddr::from(([10, 1, 0, 1], port))];
        let sender = if port / 10 == 9 { Side::Server } else { Side::Client };
        let mut there = [false; STREAM.len()];
        let mut case = Self { ends, sender, pieces: Vec::new(), completes: None, in_order: vec![0] };
        for piece in order {
            case.push(piece.clone(), &mut there);
            if overlaps {
                // It begins before and ends behind the piece: what was there is garbage now, what was not is true.
                case.push(piece.start.saturating_sub(2)..(piece.end + 1).min(STREAM.len()), &mut there);
            }
        }
        // All of it again, as the sender would when it hears nothing.
        case.push(0..STREAM.len(), &mut there);
        let completes = (0..case.pieces.len()).find(|&piece| case.in_order[piece + 1] >= PATTERN_END);
        case.completes = completes.filter(|_| ![82, 83].contains(&port));
        case
    }

    fn push(&mut self, piece: Range<usize>, there: &mut [bool]) {
        let bytes = piece.clone().map(|at| if there[at] { b'Z' } else { STREAM[at] }).collect();
        there[piece.clone()].fill(true);
        self.pieces.push((piece, bytes));
        self.in_order.push(there.iter().take_while(|there| **there).count());
    }

    fn port(&self) -> u16 {
        self.ends[1].port()
    }

    fn way(&self, from: Side) -> [SocketAddr; 2] {
        [self.ends[from as usize], self.ends[from.other() as usize]]
    }

    /// Its packets, with what becomes of each inline.
    fn packets(&self) -> Vec<Sent> {
        let forward = Verdict::Forward;
        let [c, s] = BASE;
        let (sender, receiver) = (self.sender, self.sender.other());
        let [from, back] = [sender, receiver].map(|side| BASE[side as usize]);
        let mut packets = vec![
            (Side::Client, TcpFlags::SYN, [c - 1, 0], Vec::new(), forward),
            (Side::Server, TcpFlags::SYN | ACK, [s - 1, c], Vec::new(), forward),
            (Side::Client, ACK, [c, s], Vec::new(), forward),
            (receiver, ACK, [back, from], ANSWER.to_vec(), forward),
        ];
        let back = back + ANSWER.len() as u32;
        for (number, (range, bytes)) in self.pieces.iter().enumerate() {
            let drops = self.completes.is_some_and(|completes| number >= completes);
            let verdict = if drops { Verdict::Drop } else { forward };
            packets.push((sender, ACK, [from + range.start as u32, back], bytes.clone(), verdict));
        }
        let last = if self.completes.is_some() { Verdict::Drop } else { forward };
        packets.push((receiver, ACK, [back, from + STREAM.len() as u32], b"bye".to_vec(), last));
        packets.push((sender, TcpFlags::FIN | ACK, [from + STREAM.len() as u32, back + 3], Vec::new(), last));
        packets
    }
}

/// All orders of some things.
fn orders<T: Clone>(things: &[T]) -> Vec<Vec<T>> {
    if things.len() < 2 {
        return vec![things.to_vec()];
    }
    (0..things.len())
        .flat_map(|first| {
            let others: Vec<T> = [&things[..first], &things[first + 1..]].concat();
            orders(&others).into_iter().map(move |rest| [&[things[first].clone()], &rest[..]].concat())
        })
        .collect()
}

fn cases() -> Vec<Case> {
    let len = STREAM.len();
    let two = (1..len).map(|cut| vec![0..cut, cut..len]);
    let three = (1..len).flat_map(|a| (a + 1..len).map(move |b| vec![0..a, a..b, b..len]));
    let mut cases = Vec::new();
    for split in two.chain(three) {
        for order in orders(&split) {
            for overlaps in [false, true] {
                for port in PORTS {
                    cases.push(Case::new(cases.len(), port, &order, overlaps));
                }
            }
        }
    }
    cases
}

/// What came of all cases at once.
struct Outcome {
    verdicts: Vec<Verdict>,
    forwarded: FrameBatch,
    resets: Vec<Outgoing>,
    alerts: Vec<Value>,
    scanned: [u64; 2],
}

fn run(mode: Mode, frames: &mut FrameBatch, burst: usize) -> Outcome {
    run_rules(RULES, mode, frames, burst)
}

fn run_rules(rules: &str, mode: Mode, frames: &mut FrameBatch, burst: usize) -> Outcome {
    let paper = Paper::default();
    let ids = Ids::new(Rules::parse("f", rules).unwrap(), paper.output()).unwrap().mode(mode);
    let mut core = testing::core();
    core.open(ids.monitor()).unwrap();
    let (mut verdicts, mut forwarded, mut resets) = (Vec::new(), FrameBatch::new(), Vec::new());
    for start in (0..frames.len()).step_by(burst) {
        let mut burst = frames.burst(start..frames.len().min(start + burst));
        verdicts.extend_from_slice(core.process(&mut burst));
        for index in 0..burst.frames.len() {
            if let Some(frame) = core.stack().forwarded(index, &burst) {
                let time = burst.frames[index].timestamp;
                forwarded.push(frame, frame.len() as u32, time, 0, LinkType::RawIp);
            }
        }
        resets.extend(std::iter::from_fn(|| core.poll_transmit()));
    }
    core.shutdown();
    assert_eq!(core.panics(), 0);
    let alerts = paper.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Outcome { verdicts, forwarded, resets, alerts, scanned: ids.scanned() }
}

/// What the endpoints of the frames can read, by client and receiving side: bytes in order, up to the first that is missing.
fn received(frames: &mut FrameBatch) -> HashMap<(SocketAddr, usize), Vec<u8>> {
    #[derive(Default)]
    struct Flow {
        has_gap: [bool; 2],
    }
    let reader = Monitor::<HashMap<(SocketAddr, usize), Vec<u8>>, Flow>::new("endpoints", HashMap::new());
    let reader = reader.on_new_data(|cx| {
        let (side, client) = (cx.conn.side() as usize, cx.conn.endpoint(Side::Client));
        cx.for_each_chunk(|state, flow, chunk| match chunk {
            Chunk::Data(data) if !flow.has_gap[side] => state.entry((client, side)).or_default().extend(data),
            Chunk::Data(_) => {}
            Chunk::Missing(_) => flow.has_gap[side] = true,
        });
    });
    let mut core: Core = testing::core();
    let socket = core.open(reader).unwrap();
    testing::feed(&mut core, frames, 64);
    core.shutdown();
    core.state::<HashMap<(SocketAddr, usize), Vec<u8>>>(socket).unwrap().clone()
}

/// The packets of all cases, with their verdicts: case by case, or one of each in turn.
fn frames(cases: &[Case], in_turn: bool) -> (FrameBatch, Vec<Verdict>) {
    let mut packets: Vec<_> = cases
        .iter()
        .enumerate()
        .flat_map(|(number, case)| {
            case.packets().into_iter().enumerate().map(move |(place, packet)| (place, number, packet))
        })
        .collect();
    packets.sort_by_key(|(place, number, _)| if in_turn { (*place, *number) } else { (*number, *place) });
    let mut wire = Wire::new();
    let mut verdicts = Vec::new();
    for (_, number, (from, flags, numbers, payload, verdict)) in packets {
        wire.send(cases[number].way(from), flags, numbers, &payload);
        verdicts.push(verdict);
    }
    (wire.frames, verdicts)
}

/// The client, the rule and the action of each alert, sorted.
fn facts(alerts: &[Value]) -> Vec<(String, u64, String)> {
    let mut facts: Vec<_> = alerts
        .iter()
        .map(|alert| {
            let sid = alert["alert"]["signature_id"].as_u64().unwrap();
            let client = if alert["direction"] == "to_server" { &alert["src_ip"] } else { &alert["dest_ip"] };
            (client.as_str().unwrap().to_owned(), sid, alert["alert"]["action"].as_str().unwrap().to_owned())
        })
        .collect();
    facts.sort();
    facts
}

fn expected_facts(cases: &[Case], action: &str) -> Vec<(String, u64, String)> {
    let mut facts: Vec<_> = cases
        .iter()
        .filter(|case| case.completes.is_some())
        .map(|case| (case.ends[0].ip().to_string(), u64::from(case.port()), action.to_owned()))
        .collect();
    facts.sort();
    facts
}

/// What is to be scanned: the bytes in order of the directions that rules are about, up to the end of the flow or of the
/// packet that completes the match.
fn expected_scanned(cases: &[Case], mode: Mode) -> [u64; 2] {
    let mut scanned = [0; 2];
    for case in cases.iter().filter(|case| case.port() != 82) {
        let last = case.completes.filter(|_| mode == Mode::Inline);
        let bytes = last.map_or(STREAM.len(), |completes| case.in_order[completes + 1]);
        scanned[case.sender.other() as usize] += bytes as u64;
    }
    scanned
}

#[test]
fn a_watcher_finds_every_split_and_scans_every_byte_once() {
    let cases = cases();
    for in_turn in [false, true] {
        let (mut frames, _) = frames(&cases, in_turn);
        for burst in [1, 7, 64] {
            let outcome = run(Mode::Watch, &mut frames, burst);
            assert_eq!(facts(&outcome.alerts), expected_facts(&cases, "allowed"), "bursts of {burst}");
            assert_eq!(outcome.scanned, expected_scanned(&cases, Mode::Watch), "bursts of {burst}");
            assert!(outcome.verdicts.iter().all(|verdict| *verdict == Verdict::Forward));
            assert!(outcome.resets.is_empty());
        }
    }
}

#[test]
fn inline_the_packet_that_completes_the_match_is_dropped_and_all_that_follow() {
    let cases = cases();
    for in_turn in [false, true] {
        let (mut frames, verdicts) = frames(&cases, in_turn);
        for burst in [1, 7, 64] {
            let mut outcome = run(Mode::Inline, &mut frames, burst);
            let wrong = (0..verdicts.len()).find(|&index| outcome.verdicts[index] != verdicts[index]);
            assert_eq!(wrong, None, "bursts of {burst}");
            assert_eq!(facts(&outcome.alerts), expected_facts(&cases, "blocked"), "bursts of {burst}");
            assert_eq!(outcome.scanned, expected_scanned(&cases, Mode::Inline), "bursts of {burst}");
            let received = received(&mut outcome.forwarded);
            let nothing = Vec::new();
            for case in &cases {
                let has = |side: Side| received.get(&(case.ends[0], side as usize)).unwrap_or(&nothing);
                let stream = &STREAM[..case.completes.map_or(STREAM.len(), |completes| case.in_order[completes])];
                assert_eq!(has(case.sender.other()), stream, "{:?}, bursts of {burst}", case.pieces);
                let answer: &[u8] = if case.completes.is_some() { ANSWER } else { b"hellobye" };
                assert_eq!(has(case.sender), answer, "{:?}, bursts of {burst}", case.pieces);
            }
        }
    }
}

#[test]
fn inline_a_rule_that_waited_for_the_handshake_ends_the_flow_from_there_on() {
    let ends: [SocketAddr; 2] = ["10.0.0.1:4000".parse().unwrap(), "10.0.0.2:90".parse().unwrap()];
    let back = [ends[1], ends[0]];
    let mut wire = Wire::new();
    // TCP Fast Open: the server has the data before the handshake is over.
    wire.send(ends, TcpFlags::SYN, [99, 0], b"abcdef");
    wire.send(back, TcpFlags::SYN | ACK, [499, 106], b"");
    wire.send(ends, ACK, [106, 500], b"");
    wire.send(ends, ACK, [106, 500], b"more");
    wire.send(back, ACK, [500, 110], b"answer");
    let rules = "reject tcp any any -> any 90 (content:\"abcdef\"; flow:established; sid:1;)";
    for burst in [1, 7, 64] {
        let outcome = run_rules(rules, Mode::Inline, &mut wire.frames, burst);
        use Verdict::{Drop, Forward};
        assert_eq!(outcome.verdicts, [Forward, Forward, Forward, Drop, Drop], "bursts of {burst}");
        assert_eq!(facts(&outcome.alerts), [("10.0.0.1".to_owned(), 1, "allowed".to_owned())]);
        assert_eq!((outcome.resets.len(), outcome.scanned), (2, [0, 6]));
    }
}

#[test]
fn inline_a_new_connection_on_the_ends_of_an_ended_flow_is_dropped_too() {
    let ends: [SocketAddr; 2] = ["10.0.0.1:4000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
    let mut wire = Wire::new();
    wire.send(ends, TcpFlags::SYN, [99, 0], b"");
    wire.send([ends[1], ends[0]], TcpFlags::SYN | ACK, [499, 100], b"");
    wire.send(ends, ACK, [100, 500], b"abcdef");
    wire.wait(100_000);
    wire.send(ends, TcpFlags::SYN, [999_999, 0], b"");
    for burst in [1, 64] {
        let outcome = run(Mode::Inline, &mut wire.frames, burst);
        use Verdict::{Drop, Forward};
        assert_eq!(outcome.verdicts, [Forward, Forward, Drop, Drop], "bursts of {burst}");
    }
}

#[test]
fn inline_both_ends_of_a_rejected_flow_are_reset_where_they_expect_the_next_byte() {
    let cases = cases();
    let (mut frames, _) = frames(&cases, true);
    for burst in [1, 7, 64] {
        let outcome = run(Mode::Inline, &mut frames, burst);
        let mut resets: HashMap<[SocketAddr; 2], u32> = HashMap::new();
        for Outgoing { frame, link, .. } in &outcome.resets {
            let packet = decode(frame, frame.len() as u32, *link);
            assert_ne!(packet.tcp_flags & TcpFlags::RST, 0);
            let ends = [(packet.source(frame), packet.src_port), (packet.destination(frame), packet.dst_port)];
            let again = resets.insert(ends.map(SocketAddr::from), packet.seq.0);
            assert_eq!(again, None, "once for each end");
        }
        let rejected = cases.iter().filter(|case| [81, 91].contains(&case.port()));
        let mut expected = HashMap::new();
        for case in rejected {
            let (sender, receiver) = (case.sender, case.sender.other());
            let passed = case.in_order[case.completes.unwrap()] as u32;
            expected.insert(case.way(sender), BASE[sender as usize] + passed);
            expected.insert(case.way(receiver), BASE[receiver as usize] + ANSWER.len() as u32);
        }
        assert_eq!(resets.len(), expected.len(), "bursts of {burst}");
        let wrong = expected.iter().find(|(ends, seq)| resets.get(*ends) != Some(seq));
        assert_eq!(wrong.map(|(ends, seq)| (ends, seq, resets.get(ends))), None, "bursts of {burst}");
    }
}
