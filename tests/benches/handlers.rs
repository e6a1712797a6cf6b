//! What handlers cost: to change those of one flow, and to dispatch to many, few or none of them.
//!
//! Stands for monitors that look closer at some flows than at others. The traffic is the cheapest there is: acknowledgments on
//! the short way, in bursts of 64 over 1,024 established flows, 64 bytes a frame, checksums not looked at. So everything here is
//! as large a share of a packet as it ever gets.
//!
//! `cargo bench -p mos-tests --bench handlers` prints ratios first: each pair is measured in turns, so that what a shared machine
//! does in the meantime concerns both. Then come the single times.

use std::cell::OnceCell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use mos_core::config::{ChecksumMode, Config};
use mos_core::event::{Attachment, Event, Interest, Observer, Side};
use mos_core::io::FrameBatch;
use mos_core::packet::{LinkType, MAX_BURST};
use mos_core::socket::Descriptor;
use mos_core::stack::{PacketCx, Stack};
use mos_core::time::Timestamp;
use mos_core::wire::{SeqNum, TcpFlags, TcpSegment};
use mos_monitor::{AtRcv, Core, Handler, Monitor};

const FLOWS: usize = 1024;
/// The sets of handlers that flows are switched among.
const SETS: usize = 4;

type Counting = Monitor<u64, u64>;

fn config() -> Config {
    Config { max_flows: 2 * FLOWS, checksum: ChecksumMode::Trust, hash_seed: 7, ..Config::default() }
}

/// One segment of each flow.
fn segments(from: Side, flags: u8, seq: u32, ack: u32) -> FrameBatch {
    let mut batch = FrameBatch::new();
    for flow in 0..FLOWS {
        let client = format!("10.0.0.{}:{}", flow % 200 + 1, 10_000 + flow).parse().unwrap();
        let server = "192.168.0.1:80".parse().unwrap();
        let (src, dst) = if from == Side::Client { (client, server) } else { (server, client) };
        let segment = TcpSegment { flags, seq: SeqNum(seq), ack: SeqNum(ack), ..TcpSegment::new(src, dst) };
        let frame = segment.to_ethernet();
        batch.push(&frame, frame.len() as u32, Timestamp::from_millis(1), 0, LinkType::Ethernet);
    }
    batch
}

fn handshakes() -> [FrameBatch; 3] {
    [
        segments(Side::Client, TcpFlags::SYN, 100, 0),
        segments(Side::Server, TcpFlags::SYN | TcpFlags::ACK, 500, 101),
        segments(Side::Client, TcpFlags::ACK, 101, 501),
    ]
}

/// An acknowledgment of each flow: it changes nothing, so it can pass again and again.
fn acknowledgments() -> FrameBatch {
    segments(Side::Client, TcpFlags::ACK, 101, 501)
}

fn bursts(batch: &mut FrameBatch, mut each: impl FnMut(&mut mos_core::packet::Burst<'_>)) {
    for start in (0..batch.len()).step_by(MAX_BURST) {
        let end = batch.len().min(start + MAX_BURST);
        each(&mut batch.burst(start..end));
    }
}

/// The stack alone: flows are tracked, and nobody hears of it.
struct Nobody;

impl Observer for Nobody {
    fn wants_flows(&self) -> bool {
        true
    }
    fn on_open(&mut self, _: &mut PacketCx<'_>) -> Option<Attachment> {
        Some(Attachment { interest: Interest::NONE, table: 0 })
    }
}

/// Something that one acknowledgment of each flow is given to.
type Round = Box<dyn FnMut()>;

fn without_monitors() -> Round {
    let (mut stack, mut batch) = (Stack::new(config()), acknowledgments());
    for mut step in handshakes() {
        bursts(&mut step, |burst| {
            stack.process_burst(burst, &mut Nobody);
        });
    }
    assert_eq!(stack.live_flows(), FLOWS);
    Box::new(move || bursts(&mut batch, |burst| _ = black_box(stack.process_burst(burst, &mut Nobody))))
}

fn with_monitors(monitors: Vec<Counting>) -> Round {
    let (mut core, mut batch) = (Core::new(config()), acknowledgments());
    for monitor in monitors {
        core.open(monitor).unwrap();
    }
    for mut step in handshakes() {
        bursts(&mut step, |burst| {
            core.process(burst);
        });
    }
    assert_eq!(core.stack().live_flows(), FLOWS);
    Box::new(move || bursts(&mut batch, |burst| _ = black_box(core.process(burst))))
}

fn monitor() -> Counting {
    Monitor::new("bench", 0).without_buffers()
}

/// Handlers for everything but what acknowledgments raise.
fn uninterested() -> Counting {
    let mut monitor = monitor().on_end(|cx| *cx.state += 1);
    for event in [Event::ConnStart, Event::TcpStateChange, Event::ConnEnd] {
        monitor = monitor.on_snd(event, |cx| *cx.flow += 1).on_rcv(event, |cx| *cx.flow += 1);
    }
    monitor
}

/// PKT_IN at RCV, and events below it, all of which happen: so many handlers together.
fn handlers(count: usize) -> Counting {
    let mut monitor = monitor().on_rcv(Event::PktIn, |cx| *cx.flow += 1);
    for _ in 1..count {
        let event = monitor.define(Event::PktIn, |_| true);
        monitor = monitor.on_rcv(event, |cx| *cx.flow += 1);
    }
    monitor
}

/// The same at SND.
fn at_snd(monitor: Counting) -> Counting {
    monitor.on_snd(Event::PktIn, |cx| *cx.flow += 1)
}

/// Events below one parent, none of which happens: so many filters are asked for each packet.
fn leaves(count: usize) -> Counting {
    let mut monitor = monitor();
    let parent = monitor.define(Event::PktIn, |_| true);
    for number in 0..count {
        let event = monitor.define(parent, move |cx| {
            *cx.state += 1;
            *cx.flow == number as u64 + 1
        });
        monitor = monitor.on_rcv(event, |cx| *cx.flow += 1);
    }
    monitor
}

/// Flows whose handler for PKT_IN can be changed from outside.
struct Switching {
    core: Core,
    flows: Vec<Descriptor>,
    handlers: [Handler<AtRcv>; SETS],
    round: usize,
}

impl Switching {
    fn new() -> Self {
        let mut core = Core::new(config());
        let mut monitor = Monitor::<Vec<Descriptor>, u64>::new("switching", Vec::new());
        let handlers = [(); SETS].map(|()| monitor.rcv_handler(|cx| *cx.flow += 1));
        let monitor = monitor.without_buffers().on_snd(Event::ConnStart, |cx| cx.state.extend(cx.conn.socket()));
        let socket = core.open(monitor.register(Event::PktIn, handlers[0])).unwrap();
        for mut step in handshakes() {
            bursts(&mut step, |burst| {
                core.process(burst);
            });
        }
        let flows = core.state::<Vec<Descriptor>>(socket).unwrap().clone();
        assert_eq!(flows.len(), FLOWS);
        Self { core, flows, handlers, round: 0 }
    }

    /// Every flow gets another handler.
    fn switch(&mut self) {
        self.round += 1;
        for (number, flow) in self.flows.iter().enumerate() {
            let handler = self.handlers[(number + self.round) % SETS];
            self.core.control(|control| control.register(*flow, Event::PktIn, handler)).unwrap();
        }
    }
}

/// A handler that makes another one the next packet's, or not.
fn switching_itself(switches: bool) -> Round {
    let mut monitor = monitor();
    let all: Rc<OnceCell<[Handler<AtRcv>; SETS]>> = Rc::default();
    let handlers = [1, 2, 3, 0].map(|next| {
        let all = all.clone();
        monitor.rcv_handler(move |cx| {
            *cx.flow += 1;
            if switches {
                cx.conn.register(Event::PktIn, all.get().expect("set below")[next]).unwrap();
            }
        })
    });
    all.set(handlers).expect("set once");
    with_monitors(vec![monitor.register(Event::PktIn, handlers[0])])
}

/// Nanoseconds per flow of each round: medians of many, taken in turns.
fn medians(rounds: &mut [Round]) -> Vec<f64> {
    let mut times = vec![Vec::new(); rounds.len()];
    for turn in 0..400 {
        for (round, times) in rounds.iter_mut().zip(&mut times) {
            let start = Instant::now();
            round();
            // The first turns warm up.
            if turn >= 20 {
                times.push(start.elapsed().as_nanos() as f64 / FLOWS as f64);
            }
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    times.iter().map(|times| times[times.len() / 2]).collect()
}

/// Prints what each costs, and as how many times the first.
fn compare(title: &str, rounds: Vec<(&str, Round)>) {
    let (names, mut rounds): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
    let medians = medians(&mut rounds);
    println!("{title}");
    for (name, median) in names.iter().zip(&medians) {
        println!("  {name:32} {median:8.1} ns  x {:.3}", median / medians[0]);
    }
}

/// Prints what a packet costs with so many handlers, and each of these above a packet of which nobody hears.
fn dispatches(rounds: Vec<(&str, u32, Round)>) {
    let mut all = vec![with_monitors(vec![uninterested()])];
    let (names, counts): (Vec<_>, Vec<_>) = rounds.iter().map(|(name, count, _)| (*name, *count)).unzip();
    all.extend(rounds.into_iter().map(|(.., round)| round));
    let medians = medians(&mut all);
    println!("a packet with handlers\n  {:32} {:8.1} ns", "none", medians[0]);
    for ((name, count), median) in names.iter().zip(counts).zip(&medians[1..]) {
        let each = (median - medians[0]) / f64::from(count);
        println!("  {name:32} {median:8.1} ns  {each:.1} ns each");
    }
}

fn ratios() {
    compare(
        "a packet that nobody is interested in",
        vec![("no monitors", without_monitors()), ("a monitor of other events", with_monitors(vec![uninterested()]))],
    );
    dispatches(vec![
        ("1", 1, with_monitors(vec![handlers(1)])),
        ("4", 4, with_monitors(vec![handlers(4)])),
        ("16", 16, with_monitors(vec![handlers(16)])),
        ("1 of each of two monitors", 2, with_monitors(vec![handlers(1), handlers(1)])),
        ("1 at the SND hook", 1, with_monitors(vec![at_snd(monitor())])),
        ("1 at each hook", 2, with_monitors(vec![at_snd(handlers(1))])),
    ]);
    compare(
        "a packet with user-defined events, one parent and its leaves",
        vec![
            ("1", with_monitors(vec![leaves(1)])),
            ("8", with_monitors(vec![leaves(8)])),
            ("64", with_monitors(vec![leaves(64)])),
        ],
    );
    let mut switching = Switching::new();
    compare(
        "a flow's handler is changed",
        vec![
            ("packets, not changed", switching_itself(false)),
            ("packets, changed by each", switching_itself(true)),
            ("from outside, without packets", Box::new(move || switching.switch())),
        ],
    );
}

#[divan::bench(args = [1, 4, 16])]
fn dispatch(bencher: divan::Bencher<'_, '_>, count: usize) {
    bencher.counter(FLOWS).bench_local(with_monitors(vec![handlers(count)]));
}

#[divan::bench(args = [1, 8, 64])]
fn user_events(bencher: divan::Bencher<'_, '_>, count: usize) {
    bencher.counter(FLOWS).bench_local(with_monitors(vec![leaves(count)]));
}

#[divan::bench]
fn switch(bencher: divan::Bencher<'_, '_>) {
    let mut switching = Switching::new();
    bencher.counter(FLOWS).bench_local(move || switching.switch());
}

/// However many events there are, each filter is asked once for a packet.
fn check_filter_calls() {
    for count in [1, 8, 64] {
        let mut core = Core::new(config());
        let socket = core.open(leaves(count)).unwrap();
        let mut calls = [0; 2];
        for mut step in handshakes() {
            calls[0] = *core.state::<u64>(socket).unwrap();
            bursts(&mut step, |burst| {
                core.process(burst);
            });
            calls[1] = *core.state::<u64>(socket).unwrap();
        }
        assert!(calls[1] - calls[0] <= (FLOWS * count) as u64, "{count} leaves: {calls:?}");
    }
}

fn main() {
    check_filter_calls();
    // Tests call benches, too, and want no numbers.
    if std::env::args().any(|argument| argument == "--bench") {
        ratios();
    }
    divan::main();
}
