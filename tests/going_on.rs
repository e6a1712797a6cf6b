//! A monitor goes on by itself from what one flow has brought to a burst's end to what the next one has: whatever it does on
//! the way, it is told the same as one that is told of each by itself, as those are whose callbacks are timed.

use std::net::SocketAddr;
use std::time::Duration;

use mos_core::config::Config;
use mos_monitor::{Chunk, Core, DataCx, Monitor, Side};
use proptest::prelude::*;

use crate::properties::cases;
use crate::support::dice::Dice;
use crate::support::talk::Talk;
use crate::support::{Frame, batch, core_with, feed, finish};

const FLOWS: u32 = 6;

/// What was told: of whom, from which byte on, and the bytes (`?` for missing ones).
#[derive(Debug, Default)]
struct Told {
    all: Vec<(SocketAddr, Side, u64, Vec<u8>)>,
    dice: Option<Dice>,
}

type Cx<'a, 'b, 'c> = DataCx<'a, 'b, Told, u32>;

fn note(cx: &mut Cx<'_, '_, '_>) {
    let (side, mut bytes) = (cx.conn.side(), Vec::new());
    for chunk in cx.conn.chunks() {
        match chunk {
            Chunk::Data(data) => bytes.extend_from_slice(data),
            Chunk::Missing(len) => bytes.resize(bytes.len() + len as usize, b'?'),
        }
    }
    assert_eq!(cx.conn.unread_len(side), bytes.len() as u64);
    let position = cx.conn.position(side);
    cx.state.all.push((cx.conn.endpoint(Side::Client), side, position, bytes));
}

/// Mostly takes everything; now and then something else, by the dice.
fn act(cx: &mut Cx<'_, '_, '_>) {
    let Some(dice) = &mut cx.state.dice else { return cx.conn.consume_all() };
    let (choice, some, side) = (dice.below(60), dice.below(8) as u64, cx.conn.side());
    match choice {
        0 | 1 => {}
        2..6 => cx.conn.consume(some),
        6 => cx.conn.set_buffer(side.other(), some > 4).unwrap(),
        7 => cx.conn.set_buffer(side, false).unwrap(),
        8 => cx.conn.keep_history(some).unwrap(),
        9 => cx.conn.set_immediate(some > 4).unwrap(),
        10 => cx.conn.set_buffer_bytes(side, 4 + some).unwrap(),
        11 => cx.conn.stop(),
        12 => cx.conn.stop_side(side).unwrap(),
        13 => panic!("on purpose"),
        14 => {
            cx.conn.consume(some);
            cx.conn.consume_all();
            assert_eq!(cx.conn.unread_len(side), 0);
        }
        _ => cx.conn.consume_all(),
    }
}

fn monitor(dice: Option<Dice>) -> Monitor<Told, u32> {
    Monitor::new("told", Told { dice, ..Told::default() })
        .on_new_data(|cx| {
            note(cx);
            act(cx);
        })
        .on_error(|cx| cx.state.all.push((cx.conn.endpoint(Side::Client), cx.conn.side(), u64::MAX, Vec::new())))
}

/// Flows that send by turns, mostly in order, and end now and then.
fn capture(dice: &mut Dice) -> Vec<Frame> {
    let mut talks: Vec<Talk> = (1..=FLOWS).map(Talk::new).collect();
    let mut frames: Vec<Frame> = talks.iter_mut().flat_map(Talk::handshake).collect();
    for _ in 0..150 {
        let number = dice.below(talks.len());
        let talk = &mut talks[number];
        let (from, len) = (Side::BOTH[dice.below(2)], 1 + dice.below(6));
        let data = dice.fill(len);
        match dice.below(30) {
            0 => frames.push(talk.ahead(from, 3, &data)),
            1 => frames.push(talk.ack(from)),
            2 => {
                // Never captured, and acknowledged all the same.
                talk.data(from, &data);
                frames.extend([talk.ack(from.other()), talk.ack(from)]);
            }
            3 => {
                frames.extend(talk.close());
                *talk = Talk::new(FLOWS * (2 + frames.len() as u32) + number as u32);
                frames.extend(talk.handshake());
            }
            _ => frames.push(talk.data(from, &data)),
        }
    }
    frames
}

fn run(seed: u64, burst: usize, is_timed: bool) -> (u64, Told) {
    let mut dice = Dice(seed);
    let frames = capture(&mut dice);
    let (mut core, socket) = core_with(Config::default(), monitor(Some(dice)));
    if is_timed {
        core.time_callbacks(Duration::from_secs(3600));
    }
    feed(&mut core, &mut batch(&frames), burst);
    finish(&mut core);
    let told = core.state_mut::<Told>(socket).map(std::mem::take).unwrap();
    (core.panics(), told)
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn whatever_it_does_it_is_told_the_same(seed: u64) {
        for burst in [7, 64] {
            let (panics, told) = run(seed, burst, false);
            let (expected_panics, expected) = run(seed, burst, true);
            prop_assert_eq!(told.all, expected.all);
            prop_assert_eq!(panics, expected_panics);
        }
    }
}

/// One burst with data for both sides of some flows: each is told once, in the order in which the first data came. What is left
/// is there again with the next data, and only there.
#[test]
fn each_flow_and_side_is_told_once_in_order() {
    let leaves = Talk::new(2).addresses[0];
    let monitor = Monitor::<Told, u32>::new("leaves", Told::default()).on_new_data(move |cx| {
        note(cx);
        if cx.conn.endpoint(Side::Client) == leaves { cx.conn.consume(1) } else { cx.conn.consume_all() }
    });
    let (mut core, socket) = core_with(Config::default(), monitor);
    let mut talks = [1, 2, 3].map(Talk::new);
    let handshakes: Vec<Frame> = talks.iter_mut().flat_map(Talk::handshake).collect();
    feed(&mut core, &mut batch(&handshakes), 64);
    let [a, b, c] = &mut talks;
    let pass = |core: &mut Core, frames: &[Frame]| {
        feed(core, &mut batch(frames), 64);
        std::mem::take(&mut core.state_mut::<Told>(socket).unwrap().all)
    };
    let first = [
        a.data(Side::Client, b"a1"),
        b.data(Side::Client, b"b1"),
        a.data(Side::Server, b"a2"),
        c.data(Side::Server, b"c1"),
        a.data(Side::Client, b"a3"),
        b.data(Side::Client, b"b2"),
    ];
    let [a_is, b_is, c_is] = [a.addresses[0], b.addresses[0], c.addresses[0]];
    assert_eq!(
        pass(&mut core, &first),
        [
            (a_is, Side::Server, 0, b"a1a3".to_vec()),
            (b_is, Side::Server, 0, b"b1b2".to_vec()),
            (a_is, Side::Client, 0, b"a2".to_vec()),
            (c_is, Side::Client, 0, b"c1".to_vec()),
        ]
    );
    let second = [c.data(Side::Server, b"c2"), b.data(Side::Client, b"b3"), a.data(Side::Client, b"a4")];
    assert_eq!(
        pass(&mut core, &second),
        [
            (c_is, Side::Client, 2, b"c2".to_vec()),
            (b_is, Side::Server, 1, b"1b2b3".to_vec()),
            (a_is, Side::Server, 4, b"a4".to_vec()),
        ]
    );
    finish(&mut core);
}
