//! Random monitors whose callbacks call the API at random, over random traffic: nothing breaks, whoever was stopped or
//! closed is not called, and who only looks on sees what was sent.
//!
//! The script is a list of choices: each callback takes the next one, as soon as as many callbacks as the one before said
//! have passed. A shorter script does less, so what fails can be made small.

mod acts;
mod monitors;
mod world;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use mos_core::config::{ChecksumMode, Config, Timeouts};
use mos_core::reassembly::OverlapPolicy;
use mos_core::time::Timestamp;
use mos_core::wire::{SeqNum, TcpFlags, TcpSegment, checksum, decode};
use mos_monitor::{Core, EndReason, Side};
use proptest::prelude::*;

use crate::properties::{Network, cases, check_delivered, interleave, plan};
use crate::support::conversation::{Conversation, Ending, Plan};
use crate::support::dice::Dice;
use crate::support::{Frame, Log, batch, finish, reader};
use acts::on_core;
use monitors::{monitor, raw};
use world::{STILLBORN, Shared, UNBORN, World};

/// What came of a run.
struct Outcome {
    log: Log,
    world: World,
}

/// Runs the script over the capture, and checks all that must hold whatever is done.
fn run(config: &Config, capture: &[Frame], script: &[u64], burst: usize) -> Result<Outcome, TestCaseError> {
    UNBORN.set(0);
    STILLBORN.set(0);
    let mut dice = Dice(script.first().copied().unwrap_or_default());
    let shared: Shared = Rc::new(RefCell::new(World::new(script.to_vec())));
    let mut core = Core::new(config.clone());
    let witness = core.open(reader()).expect("there is room");
    for _ in 0..=dice.below(3) {
        let (id, monitor) = monitor(&shared, &mut dice);
        shared.borrow_mut().monitors[id].descriptor = core.open(monitor).ok();
    }
    if dice.one_in(2) {
        let (id, raw) = raw(&shared, &mut dice);
        shared.borrow_mut().monitors[id].descriptor = core.open_raw(raw).ok();
    }
    let mut batch = batch(capture);
    for start in (0..batch.len()).step_by(burst) {
        let end = batch.len().min(start + burst);
        let mut frames = batch.burst(start..end);
        let verdicts = core.process(&mut frames).len();
        prop_assert_eq!(verdicts, end - start);
        for index in 0..end - start {
            if let Some(frame) = core.stack().forwarded(index, &frames) {
                let _ = decode(frame, frame.len() as u32, frames.frames[index].link);
            }
        }
        between(&mut core, &shared, &mut dice)?;
        prop_assert!(core.stack().live_flows() <= config.max_flows);
    }
    if let Some(last) = capture.iter().map(|frame| frame.time).max() {
        core.advance(last);
    }
    UNBORN.set(0);
    finish(&mut core);
    let world = shared.borrow();
    let leftover = world.sockets.keys().filter(|socket| core.control(|control| control.kind(**socket)).is_some());
    prop_assert_eq!(leftover.count(), 0, "descriptors of flows are left");
    prop_assert!(world.complaints().is_empty(), "{:#?}", world.complaints());
    prop_assert_eq!(core.panics(), world.panics + STILLBORN.get(), "panics that were not on purpose");
    let log = core.state::<Log>(witness).expect("it is open").clone();
    drop(world);
    drop(core);
    let world = shared.take();
    Ok(Outcome { log, world })
}

/// Between bursts: what was sent is taken, time passes, and the core is asked from outside.
fn between(core: &mut Core, shared: &Shared, dice: &mut Dice) -> Result<(), TestCaseError> {
    if !dice.one_in(4) {
        let mut sent = 0;
        while let Some(outgoing) = core.poll_transmit() {
            let _ = decode(&outgoing.frame, outgoing.frame.len() as u32, outgoing.link);
            sent += 1;
        }
        prop_assert!(sent <= mos_core::stack::MAX_OUTGOING);
    }
    if dice.one_in(5) {
        let now = core.stack().now();
        core.advance_monotonic(Timestamp::from_nanos(now.as_nanos() / 2));
    }
    let choice = shared.borrow_mut().choice();
    if let Some(mut dice) = choice {
        let me = dice.below(shared.borrow().monitors.len());
        core.control(|control| on_core(shared, me, control, &mut dice));
    }
    Ok(())
}

fn script() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(any::<u64>(), 1..500)
}

/// The witness has all of every flow that nobody touched.
fn untouched_flows_are_whole(
    outcome: &Outcome,
    plans: &[Plan],
    conversations: &[Conversation],
) -> Result<(), TestCaseError> {
    for (plan, conversation) in plans.iter().zip(conversations) {
        let flows: Vec<_> = outcome.log.flows.iter().filter(|flow| flow.client.port() == plan.port).collect();
        let touched = outcome.world.touched.iter().any(|ends| ends.iter().any(|end| end.port() == plan.port));
        if touched {
            continue;
        }
        let [flow] = flows[..] else {
            return Err(TestCaseError::fail(format!("{} flows were told of, not one", flows.len())));
        };
        check_delivered(flow, conversation)?;
        let reason = flow.end.map(|(reason, _)| reason);
        match plan.ending {
            Ending::Fin { .. } => {
                prop_assert_eq!(reason, Some(EndReason::Fin));
                for sender in Side::BOTH {
                    let stream = &flow.streams[sender.other() as usize];
                    prop_assert!(stream.missing.is_empty() && stream.bytes == conversation.sent[sender as usize]);
                }
            }
            Ending::Rst { .. } => prop_assert_eq!(reason, Some(EndReason::Rst)),
            Ending::Never => prop_assert_eq!(reason, Some(EndReason::Shutdown)),
        }
    }
    Ok(())
}

/// Conversations side by side, each from a port of its own.
fn side_by_side(plans: &mut [Plan], seed: u32) -> (Vec<Conversation>, Vec<Frame>) {
    for (at, plan) in plans.iter_mut().enumerate() {
        plan.port = 20_000 + at as u16;
    }
    let conversations: Vec<_> = plans.iter().map(Plan::play).collect();
    let capture = interleave(conversations.iter().map(|each| each.capture.clone()).collect(), seed);
    (conversations, capture)
}

/// Damages some frames, and makes the checksums of some of these right again.
fn damage(capture: &mut [Frame], seed: u64) {
    let mut dice = Dice(seed);
    for frame in capture {
        if dice.one_in(8) {
            for _ in 0..=dice.below(3) {
                let reach = frame.bytes.len().min(if dice.one_in(3) { 1500 } else { 80 });
                frame.bytes[dice.below(reach)] ^= 1 << dice.below(8);
            }
            let packet = decode(&frame.bytes, frame.wire_len, frame.link);
            if dice.one_in(2) {
                checksum::fill_ipv4(&mut frame.bytes, &packet);
                checksum::fill_tcp(&mut frame.bytes, &packet);
            }
        }
    }
}

/// Segments with any flags and numbers that may fit, of a few flows; and now and then any bytes at all.
fn arbitrary(seed: u64, count: usize) -> Vec<Frame> {
    let mut dice = Dice(seed);
    let ends: [SocketAddr; 3] = ["10.0.0.1:1000", "10.0.0.2:1000", "10.0.0.2:80"].map(|end| end.parse().unwrap());
    let mut time = Timestamp::from_millis(1000);
    let mut capture = Vec::new();
    for _ in 0..count {
        let step = if dice.one_in(30) { 50_000_000 } else { 200_000 };
        time = Timestamp::from_nanos(time.as_nanos() + step);
        let payload = if dice.one_in(2) { dice.bytes() } else { Vec::new() };
        if dice.one_in(10) {
            capture.push(Frame::ip(payload, time));
            continue;
        }
        let usual = [TcpFlags::ACK, TcpFlags::ACK, TcpFlags::SYN, TcpFlags::SYN | TcpFlags::ACK];
        let flags = if dice.one_in(8) { dice.next() as u8 } else { usual[dice.below(4)] };
        let [src, dst] = [ends[dice.below(3)], ends[dice.below(3)]];
        let (seq, ack) = (SeqNum(dice.below(300) as u32), SeqNum(dice.below(300) as u32));
        let segment = TcpSegment { seq, ack, flags, payload: &payload, ..TcpSegment::new(src, dst) };
        capture.push(Frame::ip(segment.to_raw_ip(), time));
    }
    capture
}

fn any_config(seed: u64) -> Config {
    let mut dice = Dice(seed);
    let usual = Config::default();
    Config {
        max_flows: if dice.one_in(3) { 2 } else { 1000 },
        receive_buffer_bytes: [100, 2000, 5000, 1 << 20][dice.below(4)],
        reassembly_memory_bytes: [0, 5000, 1 << 20, 1 << 30][dice.below(4)],
        overlap: if dice.one_in(2) { OverlapPolicy::Last } else { OverlapPolicy::First },
        checksum: [ChecksumMode::Verify, ChecksumMode::Auto, ChecksumMode::Trust][dice.below(3)],
        midstream: dice.one_in(2),
        timeouts: Timeouts::all(std::time::Duration::from_millis([0, 1, 30_000][dice.below(3)])),
        max_ip_len: if dice.one_in(2) { 1500 } else { usual.max_ip_len },
        ..usual
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn who_looks_on_sees_what_was_sent(
        plans in prop::collection::vec(plan(Network::Whole), 1..4),
        seed in any::<u32>(),
        script in script(),
        burst in 1_usize..=64,
    ) {
        let mut plans = plans;
        let (conversations, capture) = side_by_side(&mut plans, seed);
        let outcome = run(&Config::default(), &capture, &script, burst)?;
        untouched_flows_are_whole(&outcome, &plans, &conversations)?;
    }

    #[test]
    fn nothing_breaks_over_damaged_traffic(
        plans in prop::collection::vec(plan(Network::Leaky), 1..4),
        seed in any::<u64>(),
        script in script(),
        burst in 1_usize..=64,
    ) {
        let mut plans = plans;
        let (_, mut capture) = side_by_side(&mut plans, seed as u32);
        damage(&mut capture, seed);
        run(&any_config(seed), &capture, &script, burst)?;
    }

    #[test]
    fn nothing_breaks_over_arbitrary_frames(
        seed in any::<u64>(),
        count in 1_usize..400,
        script in script(),
        burst in 1_usize..=64,
    ) {
        let config = Config { checksum: ChecksumMode::Trust, ..any_config(seed) };
        run(&config, &arbitrary(seed, count), &script, burst)?;
    }
}
