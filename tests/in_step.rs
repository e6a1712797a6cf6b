//! Endpoints between which a monitor changes the length of payloads (MOS_SEQ_REMAP's promise): neither notices, whatever the
//! network does before and behind the middlebox.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mos_core::config::{Config, Timeouts};
use mos_core::io::FrameBatch;
use mos_core::packet::LinkType;
use mos_core::time::Timestamp;
use mos_core::wire::{TcpFlags, decode};
use mos_monitor::{AlterError, Chunk, Core, Event, Layer, Monitor, Side};

use crate::support::dice::Dice;
use crate::support::in_step::{Endpoint, Traits, Weather, World};
use crate::support::talk::Talk;
use crate::support::{batch, core_with, feed};

/// A change that was made: where in the stream as it was then, what was there, what was put there.
#[derive(Clone, Debug)]
struct Change {
    at: u64,
    removed: Vec<u8>,
    inserted: Vec<u8>,
}

/// By receiving side.
type Changes = Rc<RefCell<[Vec<Change>; 2]>>;

#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    burst: usize,
    /// The editor leaves the flow after that many changes.
    stop_after: Option<usize>,
    /// In percent of the packets.
    edits: usize,
    weather: Weather,
    wrap: bool,
}

/// Changes payloads at random, several times at random, and notes what it did.
fn editor(case: Case, changes: &Changes) -> Monitor<Dice, ()> {
    let changes = changes.clone();
    Monitor::new("editor", Dice(case.seed ^ 0xed17)).on_snd(Event::PktIn, move |cx| {
        let random = &mut *cx.state;
        let towards = cx.conn.side().other() as usize;
        while random.percent(case.edits) {
            let Some(packet) = cx.conn.last_packet() else { panic!("a packet is at hand") };
            let (offset, len) = (packet.info.offset.unwrap(), packet.payload.len());
            let at = random.below(len + 1);
            let removed = match random.below(3) {
                0 => 0,
                1 => random.below(len - at + 1),
                _ => len - at,
            };
            let removed = packet.payload[at..at + removed].to_vec();
            let inserted_len = [0, removed.len(), random.below(30)][random.below(3)];
            if inserted_len == removed.len() {
                // Bytes changed in place are not remembered: they are this monitor's concern when they are sent again.
                continue;
            }
            let inserted = random.fill(inserted_len);
            match cx.conn.edit().replace(Layer::Payload, at, removed.len(), &inserted) {
                Ok(_) => {
                    let change = Change { at: offset + at as u64, removed, inserted };
                    changes.borrow_mut()[towards].push(change);
                }
                Err(AlterError::Repeated | AlterError::NoPayload | AlterError::Full(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let count: usize = changes.borrow().iter().map(Vec::len).sum();
        if case.stop_after.is_some_and(|most| count >= most) {
            cx.conn.stop();
        }
    })
}

type Streams = [Vec<u8>; 2];

fn witness() -> Monitor<Streams, ()> {
    Monitor::new("witness", Streams::default()).on_new_data(|cx| {
        let side = cx.conn.side();
        assert_eq!(cx.conn.position(side), cx.state[side as usize].len() as u64);
        for chunk in cx.conn.chunks() {
            match chunk {
                Chunk::Data(data) => cx.state[side as usize].extend_from_slice(data),
                Chunk::Missing(len) => panic!("{len} bytes are missing"),
            }
        }
        cx.conn.consume_all();
    })
}

/// The stream as it was sent, from what was received and what was changed.
fn undone(mut stream: Vec<u8>, changes: &[Change], what: &Case) -> Vec<u8> {
    for change in changes.iter().rev() {
        let range = change.at as usize..change.at as usize + change.inserted.len();
        assert!(stream.get(range.clone()) == Some(&change.inserted[..]), "{what:?}: {change:?} was not received");
        stream.splice(range, change.removed.iter().copied());
    }
    stream
}

/// Plays a case to its end, and checks all that is promised. Returns how many changes were made, and how many segments sent
/// again.
fn play(case: Case) -> (usize, u64) {
    let mut random = Dice(case.seed);
    let addresses: [SocketAddr; 2] = match random.percent(50) {
        true => ["10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()],
        false => ["[2001:db8::1]:40000".parse().unwrap(), "[2001:db8::2]:80".parse().unwrap()],
    };
    let traits = Traits {
        mss: 100 + random.below(1300),
        window: 2000 + random.below(20_000) as u16,
        timestamps: random.percent(50),
        sack: random.percent(70),
        patience: 60,
    };
    let ends = [0, 1].map(|end| {
        let iss = if case.wrap { (random.below(4000) as u32).wrapping_neg() } else { random.next() as u32 };
        let len = [random.below(20_000), random.below(2000), 0][random.below(8).min(2) % 3];
        let len = if end == 0 && len == 0 { 5000 } else { len };
        let to_send = random.fill(len);
        let addresses = if end == 0 { addresses } else { [addresses[1], addresses[0]] };
        Endpoint::new(end == 0, addresses, iss, to_send, traits, Dice(random.next()))
    });
    let sent = [0, 1].map(|end: usize| ends[end].to_send.clone());
    let mut world = World::new(ends, case.weather, random);
    let hour = Duration::from_secs(3600);
    let mut core = Core::new(Config { timeouts: Timeouts::all(hour), ..Config::default() });
    let changes = Changes::default();
    core.open(editor(case, &changes)).unwrap();
    let witness = case.stop_after.is_none().then(|| core.open(witness()).unwrap());
    while !world.is_over() {
        assert!(world.now < 400_000, "{case:?}: the endpoints do not come to an end: {:?}", world.ends);
        let arrived = world.tick();
        for frames in arrived.chunks(case.burst) {
            let mut batch = FrameBatch::new();
            for frame in frames {
                let time = Timestamp::from_millis(world.now);
                batch.push(frame, frame.len() as u32, time, 0, LinkType::Ethernet);
            }
            let mut burst = batch.burst(0..frames.len());
            core.process(&mut burst);
            for index in 0..frames.len() {
                let Some(frame) = core.stack().forwarded(index, &burst) else { panic!("nothing was dropped") };
                let to_client = decode(frame, frame.len() as u32, LinkType::Ethernet).dst_port == 40_000;
                world.forward(usize::from(!to_client), frame.to_vec());
            }
        }
    }
    core.shutdown();
    assert_eq!((core.panics(), core.stack().reassembly_bytes()), (0, 0), "{case:?}");
    let changes = changes.borrow();
    for side in [0, 1] {
        let received = &world.ends[side].received;
        if let Some(witness) = witness {
            let seen = &core.state::<Streams>(witness).unwrap()[side];
            assert!(seen == received, "{case:?}: side {side}: the monitor has seen another stream");
        }
        assert!(undone(received.clone(), &changes[side], &case) == sent[1 - side], "{case:?}: side {side}");
    }
    let count = changes.iter().map(Vec::len).sum();
    (count, world.ends.iter().map(|end| end.retransmissions).sum())
}

const CALM: Weather = Weather { loss: 0, twice: 0, delay: [2, 2] };
const ROUGH: Weather = Weather { loss: 4, twice: 3, delay: [1, 6] };
const STORM: Weather = Weather { loss: 15, twice: 10, delay: [1, 30] };

fn cases(count: u64) -> u64 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(count)
}

/// Both ends were sent more than their windows had room for, and acknowledged that.
const WENT_WRONG_ONCE: [u64; 2] = [4219, 6007];

fn all(count: u64, make: impl Fn(u64) -> Case) {
    let (mut changes, mut again) = (0, 0);
    for seed in (0..cases(count)).chain(WENT_WRONG_ONCE) {
        eprintln!("{:?}", make(seed));
        let (made, sent_again) = play(make(seed));
        changes += made;
        again += sent_again;
    }
    eprintln!("{changes} changes, {again} segments sent again");
    assert!(changes > count as usize, "too little was changed");
}

fn burst(seed: u64) -> usize {
    [1, 7, 64][seed as usize % 3]
}

#[test]
fn spec_2_4_seq_remap_calm_network() {
    let case = |seed| Case { seed, burst: burst(seed), stop_after: None, edits: 40, weather: CALM, wrap: false };
    all(60, case);
}

#[test]
fn spec_2_4_seq_remap_loss_duplicates_and_other_order() {
    let case = |seed| Case { seed, burst: burst(seed), stop_after: None, edits: 30, weather: ROUGH, wrap: false };
    all(120, case);
}

#[test]
fn spec_2_4_seq_remap_storm() {
    let case =
        |seed| Case { seed, burst: burst(seed), stop_after: None, edits: 50, weather: STORM, wrap: seed % 2 == 0 };
    all(60, case);
}

#[test]
fn spec_2_4_seq_remap_across_the_sequence_wrap() {
    let case = |seed| Case { seed, burst: burst(seed), stop_after: None, edits: 30, weather: ROUGH, wrap: true };
    all(60, case);
}

#[test]
fn spec_2_4_seq_remap_goes_on_when_nobody_monitors_the_flow() {
    let case = |seed| {
        let stop_after = Some(1 + seed as usize % 5);
        Case { seed, burst: burst(seed), stop_after, edits: 60, weather: ROUGH, wrap: seed % 3 == 0 }
    };
    all(100, case);
}

/// Nobody has to wait for the table to be full.
#[test]
fn d27_a_bypassed_flow_is_forgotten_when_both_sides_have_closed() {
    let monitor = Monitor::<(), ()>::new("leaver", ()).on_rcv(Event::ConnStart, |cx| cx.conn.stop());
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.whole(b"request", b"answer")), 1);
    assert_eq!(core.stack().live_flows(), 1, "its late packets are no orphans");
    core.advance(Timestamp::from_millis(1000 + 61_000));
    assert_eq!(core.stack().live_flows(), 0);
}

/// A flow whose numbers are shifted stays for a minute after its end (TIME_WAIT of its endpoints), and then goes, however patient
/// the stack is otherwise.
#[test]
fn spec_2_4_a_flow_with_shifted_numbers_lingers_for_a_minute_only() {
    let monitor = Monitor::<(), ()>::new("stretcher", ()).on_snd(Event::PktIn, |cx| {
        if cx.conn.last_packet().is_some_and(|packet| packet.payload == b"answer") {
            cx.conn.edit().replace(Layer::Payload, 0, 0, b"!").unwrap();
        }
    });
    let timeouts = Timeouts::all(Duration::from_secs(3600));
    let (mut core, _) = core_with(Config { timeouts, ..Config::default() }, monitor);
    let mut talk = Talk::new(1);
    let mut frames = Vec::from(talk.handshake());
    frames.extend([talk.data(Side::Client, b"request"), talk.data(Side::Server, b"answer")]);
    // The client has got a byte that the server knows nothing of.
    talk.next[0] = talk.next[0].wrapping_add(1);
    frames.push(talk.segment(
        Side::Client,
        TcpFlags::FIN | TcpFlags::ACK,
        talk.next[0].wrapping_sub(1),
        talk.next[1].wrapping_add(1),
        b"",
    ));
    frames.push(talk.fin(Side::Server));
    frames.push(talk.segment(Side::Client, TcpFlags::ACK, talk.next[0], talk.next[1].wrapping_add(1), b""));
    feed(&mut core, &mut batch(&frames), 1);
    core.advance(Timestamp::from_millis(1000 + 55_000));
    assert_eq!(core.stack().live_flows(), 1);
    core.advance(Timestamp::from_millis(1000 + 65_000));
    assert_eq!(core.stack().live_flows(), 0);
}
