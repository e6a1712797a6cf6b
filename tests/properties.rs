//! Random conversations: what was sent is what is delivered, whatever the network and the capture do on the way.

use std::time::Duration;

use mos_core::config::{ChecksumMode, Config};
use mos_core::reassembly::OverlapPolicy;
use mos_core::time::Timestamp;
use mos_monitor::{EndReason, Side};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::conversation::{Conversation, Ending, Fate, Plan, Step, payload};
use crate::support::talk::Talk;
use crate::support::{FlowLog, Frame, batch, core_with, feed, finish, reader, recorder, replay, states_recorder};

const BURSTS: [usize; 3] = [1, 7, 64];

/// What the network may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Nothing is missed by the capture.
    Whole,
    /// The capture misses some frames.
    Leaky,
}

fn fate(network: Network, timestamps: bool) -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Pass),
        1 => Just(Fate::Twice),
        2 => (1_u8..6).prop_map(Fate::Late),
        1 => Just(Fate::Lost),
        // An endpoint that misses a time stamp takes an older one later; no monitor can know.
        1 => Just(if timestamps { Fate::Lost } else { Fate::LostLater }),
        1 => Just(if network == Network::Leaky { Fate::Uncaptured } else { Fate::Pass }),
    ]
}

fn step(network: Network, timestamps: bool) -> impl Strategy<Value = Step> {
    let size = prop_oneof![1_u16..64, 64_u16..1461, Just(1460_u16)];
    let back = prop_oneof![6 => Just(0_u16), 1 => 1_u16..3000];
    let ack_fate = prop::option::weighted(0.7, fate(network, timestamps));
    (any::<bool>(), size, back, fate(network, timestamps), ack_fate)
        .prop_map(|(server, size, back, fate, ack_fate)| Step { server, size, back, fate, ack_fate })
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (0_u32..20_000).prop_map(|below| u32::MAX - below),
        (0_u32..20_000).prop_map(|below| {
            // The fast path treats the half circle like the wrap.
            (1 << 31) - below
        })
    ]
}

fn ending(network: Network) -> impl Strategy<Value = Ending> {
    let late = prop_oneof![Just(Fate::Pass), Just(Fate::Twice), (1_u8..4).prop_map(Fate::Late), Just(Fate::Lost)];
    prop_oneof![
        6 => (any::<bool>(), any::<u8>(), late)
            .prop_map(|(server_first, with_data, fate)| Ending::Fin { server_first, with_data, fate }),
        1 => any::<bool>().prop_map(|server| Ending::Rst { server }),
        1 => Just(if network == Network::Leaky { Ending::Rst { server: false } } else { Ending::Never }),
    ]
}

pub(crate) fn plan(network: Network) -> impl Strategy<Value = Plan> {
    let timestamps = prop::option::of([number(), number()]);
    timestamps.prop_flat_map(move |timestamps| {
        // Whoever misses acknowledgments does not know the window: it is wide then.
        let window = match network {
            Network::Leaky => Just((None, u16::MAX)).boxed(),
            Network::Whole => prop_oneof![
                Just((None, u16::MAX)),
                (1_u8..15, 1_u16..40).prop_map(|(scale, window)| {
                    (Some(scale), if scale < 7 { window << (8 - scale) } else { window })
                }),
                (200_u16..9000).prop_map(|window| (None, window)),
            ]
            .boxed(),
        };
        let len = || prop_oneof![Just(0_usize), 0_usize..3000, 0_usize..20_000];
        let syn_ack = prop_oneof![
            8 => Just(Fate::Pass),
            1 => Just(Fate::Twice),
            1 => Just(if network == Network::Leaky { Fate::Uncaptured } else { Fate::Pass }),
        ];
        let steps = prop::collection::vec(step(network, timestamps.is_some()), 1..60);
        (any::<bool>(), 1024_u16.., [number(), number()], window, [len(), len()], syn_ack, steps, ending(network))
            .prop_map(move |(v6, port, isn, (scale, window), len, syn_ack, steps, ending)| Plan {
                v6,
                port,
                isn,
                timestamps,
                scale,
                window,
                len,
                syn_ack,
                steps,
                ending,
            })
    })
}

/// What every flow must have delivered, whatever was captured: the bytes that the receivers got from captured frames, and
/// no byte that was not sent.
pub(crate) fn check_delivered(flow: &FlowLog, conversation: &Conversation) -> Result<(), TestCaseError> {
    for sender in [0, 1] {
        let stream = &flow.streams[1 - sender];
        let (sent, received) = (&conversation.sent[sender], &conversation.received[sender]);
        prop_assert!(stream.bytes.len() <= sent.len(), "more than was sent: {} of {}", stream.bytes.len(), sent.len());
        for (offset, byte) in sent.iter().enumerate() {
            let delivered = offset < stream.bytes.len() && !stream.is_missing(offset as u64);
            if delivered {
                prop_assert_eq!(*byte, stream.bytes[offset], "from {} at {}", sender, offset);
            } else {
                prop_assert!(received[offset] != Some(true), "from {sender} at {offset}: captured, not delivered");
            }
        }
    }
    Ok(())
}

/// The same cases every time, so that a change is to blame for what fails after it. `PROPTEST_CASES=N` searches: N cases,
/// new ones each time.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let (cases, rng_seed) = match std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()) {
        Some(cases) => (cases, RngSeed::Random),
        None => (count, RngSeed::Fixed(9293)),
    };
    ProptestConfig { cases, rng_seed, failure_persistence: None, max_shrink_iters: 10_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn what_was_sent_is_delivered(plan in plan(Network::Whole)) {
        let conversation = plan.play();
        for burst in BURSTS {
            let replay = replay(&Config::default(), reader(), &conversation.capture, burst);
            prop_assert_eq!(replay.stats.flows, 1);
            let flow = replay.log.flows.first();
            let Some(flow) = flow else { return Err(TestCaseError::fail("nothing was told of the flow")) };
            check_delivered(flow, &conversation)?;
            let reason = flow.end.map(|(reason, _)| reason);
            match plan.ending {
                Ending::Fin { .. } => {
                    prop_assert_eq!(reason, Some(EndReason::Fin), "burst {}", burst);
                    for sender in [0, 1] {
                        prop_assert!(flow.streams[1 - sender].missing.is_empty());
                        prop_assert!(flow.streams[1 - sender].bytes == conversation.sent[sender]);
                    }
                }
                Ending::Rst { .. } => prop_assert_eq!(reason, Some(EndReason::Rst)),
                Ending::Never => prop_assert_eq!(reason, Some(EndReason::Shutdown)),
            }
        }
    }

    #[test]
    fn d8_what_the_capture_missed_is_counted(plan in plan(Network::Leaky)) {
        let conversation = plan.play();
        for burst in BURSTS {
            let replay = replay(&Config::default(), reader(), &conversation.capture, burst);
            prop_assert_eq!(replay.stats.flows, 1);
            let flow = &replay.log.flows[0];
            check_delivered(flow, &conversation)?;
            if matches!(plan.ending, Ending::Fin { .. }) {
                for sender in [0, 1] {
                    let len = flow.streams[1 - sender].bytes.len();
                    prop_assert_eq!(len, conversation.sent[sender].len(), "from {}, burst {}", sender, burst);
                }
            }
        }
    }

    #[test]
    fn bursts_change_nothing(plans in prop::collection::vec(plan(Network::Leaky), 1..6), seed in any::<u32>()) {
        let captures: Vec<_> = plans.iter().enumerate().map(|(at, plan)| {
            let port = 20_000 + at as u16;
            Plan { port, ..plan.clone() }.play().capture
        }).collect();
        let capture = interleave(captures, seed);
        let [one, seven, all] = BURSTS.map(|burst| replay(&Config::default(), recorder(), &capture, burst));
        for other in [&seven, &all] {
            prop_assert!(one.log.by_endpoints() == other.log.by_endpoints(), "flows");
            prop_assert_eq!(&one.log.orphans, &other.log.orphans);
            prop_assert!(one.stats.entries().eq(other.stats.entries()), "counters");
        }
    }

    #[test]
    fn both_ways_have_one_outcome(
        plan in plan(Network::Leaky),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..8), 0..12),
        time_wait in prop_oneof![Just(0), 0_u64..3],
        midstream in any::<bool>(),
    ) {
        let mut capture = plan.play().capture;
        for (frame, byte, bit) in flips {
            let bytes = &mut frame.get_mut(&mut capture).bytes;
            let reach = bytes.len().min(80);
            bytes[byte.index(reach)] ^= 1 << bit;
        }
        let mut config = Config { checksum: ChecksumMode::Trust, midstream, ..Config::default() };
        config.timeouts.time_wait = Duration::from_millis(time_wait);
        for monitor in [recorder, states_recorder, reader] {
            let [short, long] = [true, false].map(|short_way| {
                replay(&Config { short_way, ..config.clone() }, monitor(), &capture, 7)
            });
            prop_assert!(short.log.by_endpoints() == long.log.by_endpoints(), "{}", short.log.difference(&long.log));
            prop_assert_eq!(&short.log.orphans, &long.log.orphans);
            prop_assert!(short.stats.entries().eq(long.stats.entries()), "counters");
        }
    }

    #[test]
    fn d22_the_overlap_policy_decides(
        segments in prop::collection::vec((0_usize..3000, 1_usize..1000, any::<u32>()), 1..60),
        isn in number(),
        last in any::<bool>(),
    ) {
        for burst in BURSTS {
            let overlap = if last { OverlapPolicy::Last } else { OverlapPolicy::First };
            overlaps(&segments, isn, overlap, burst)?;
        }
    }

    #[test]
    fn arbitrary_frames_do_no_harm(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..100)) {
        let capture: Vec<_> = frames.into_iter().map(|bytes| Frame::ip(bytes, Timestamp::from_millis(5))).collect();
        for burst in BURSTS {
            replay(&Config { checksum: ChecksumMode::Trust, midstream: true, ..Config::default() }, recorder(), &capture, burst);
        }
    }

    #[test]
    fn flipped_bits_do_no_harm(
        plan in plan(Network::Leaky),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..8, any::<bool>()), 1..60),
        midstream in any::<bool>(),
        last in any::<bool>(),
    ) {
        let mut capture = plan.play().capture;
        for (frame, byte, bit, header) in flips {
            let bytes = &mut frame.get_mut(&mut capture).bytes;
            let reach = if header { bytes.len().min(80) } else { bytes.len() };
            bytes[byte.index(reach)] ^= 1 << bit;
        }
        let overlap = if last { OverlapPolicy::Last } else { OverlapPolicy::First };
        let config = Config { checksum: ChecksumMode::Trust, midstream, overlap, ..Config::default() };
        let wire: u64 = capture.iter().map(|frame| frame.bytes.len() as u64).sum();
        let one = replay(&config, recorder(), &capture, 1);
        for burst in BURSTS {
            let other = replay(&config, recorder(), &capture, burst);
            let delivered: u64 = other.log.flows.iter().flat_map(|flow| &flow.streams)
                .map(|stream| stream.len - stream.missing_bytes()).sum();
            prop_assert!(delivered <= wire, "{delivered} bytes delivered out of {wire} captured");
            // Under Last it matters when readers come, and they come at the end of a burst.
            if !last {
                prop_assert!(one.log.by_endpoints() == other.log.by_endpoints(), "burst {burst}: {}", one.log.difference(&other.log));
            }
        }
    }
}

/// Mixes captures, each in its own order, with common times.
pub(crate) fn interleave(captures: Vec<Vec<Frame>>, seed: u32) -> Vec<Frame> {
    let total = captures.iter().map(Vec::len).sum();
    let order = payload(seed, total * 16);
    let mut queues: Vec<_> = captures.into_iter().map(Vec::into_iter).collect();
    let mut mixed: Vec<Frame> = Vec::with_capacity(total);
    for at in order {
        let queue = usize::from(at) % queues.len();
        mixed.extend(queues[queue].next());
    }
    mixed.extend(queues.into_iter().flatten());
    for (at, frame) in mixed.iter_mut().enumerate() {
        frame.time = Timestamp::from_nanos(1_000_000_000 + at as u64 * 100_000);
    }
    mixed
}

/// Segments with conflicting bytes, against a model that keeps one byte per offset.
fn overlaps(
    segments: &[(usize, usize, u32)],
    isn: u32,
    overlap: OverlapPolicy,
    burst: usize,
) -> Result<(), TestCaseError> {
    let mut talk = Talk::new(7);
    talk.next[0] = isn;
    let mut capture = Vec::from(talk.handshake());
    let mut model: Vec<Option<u8>> = vec![None; 4000];
    let mut read = 0;
    let ends_burst = |frames: usize| frames.is_multiple_of(burst);
    let take = |model: &[Option<u8>], read: &mut usize| {
        while model.get(*read).copied().flatten().is_some() {
            *read += 1;
        }
    };
    for &(start, len, seed) in segments {
        let bytes = payload(seed, len);
        capture.push(talk.ahead(Side::Client, start as i32, &bytes));
        for (offset, byte) in (start..).zip(bytes) {
            if model[offset].is_none() || overlap == OverlapPolicy::Last && offset >= read {
                model[offset] = Some(byte);
            }
        }
        if ends_burst(capture.len()) {
            take(&model, &mut read);
        }
    }
    let (mut core, socket) = core_with(Config { overlap, ..Config::default() }, reader());
    feed(&mut core, &mut batch(&capture), burst);
    finish(&mut core);
    let end = model.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let stream = core.state::<crate::support::Log>(socket).map(|log| log.flows[0].streams[1].clone());
    let stream = stream.unwrap_or_default();
    prop_assert_eq!(stream.bytes.len(), end);
    for (offset, byte) in model[..end].iter().enumerate() {
        prop_assert_eq!(stream.is_missing(offset as u64), byte.is_none(), "at {}", offset);
        prop_assert_eq!(stream.bytes[offset], byte.unwrap_or(0), "at {}, burst {}", offset, burst);
    }
    Ok(())
}

/// Once in some thousand plans both sides end with bytes missing, and the burst decides which of them waits for readers.
#[test]
fn what_is_missing_at_the_end_is_told_in_one_order_whatever_the_burst() {
    let step = |server, size, fate| Step { server, size, back: 0, fate, ack_fate: None };
    let plan = Plan {
        v6: false,
        port: 20_000,
        isn: [0, 0],
        timestamps: None,
        scale: None,
        window: 65_535,
        len: [1232, 2423],
        syn_ack: Fate::Pass,
        steps: vec![
            step(false, 349, Fate::Pass),
            step(false, 62, Fate::Lost),
            step(false, 1, Fate::Pass),
            step(true, 1, Fate::Late(4)),
            step(true, 201, Fate::Pass),
        ],
        ending: Ending::Rst { server: false },
    };
    let capture = interleave(vec![plan.play().capture], 0);
    let [one, seven, all] = BURSTS.map(|burst| replay(&Config::default(), recorder(), &capture, burst).log);
    for other in [&seven, &all] {
        assert!(one.by_endpoints() == other.by_endpoints(), "{}", one.difference(other));
    }
}

/// Held data that was acknowledged before it came is given up with the next segment of its receiver, though that one is in order.
#[test]
fn both_ways_give_up_what_was_acknowledged_before_it_was_refused() {
    let step = |server, size, fate| Step { server, size, back: 0, fate, ack_fate: None };
    let plan = Plan {
        v6: false,
        port: 20_000,
        isn: [0, 0],
        timestamps: Some([1 << 20, 1 << 20]),
        scale: None,
        window: 65_535,
        len: [400, 400],
        syn_ack: Fate::Pass,
        steps: vec![
            step(false, 100, Fate::Pass),
            step(true, 100, Fate::Pass),
            step(false, 100, Fate::Lost),
            step(false, 100, Fate::Pass),
            step(true, 100, Fate::Pass),
        ],
        ending: Ending::Never,
    };
    let mut capture = plan.play().capture;
    let [_, _, _, _, ahead, behind, refused, rest @ ..] = &mut capture[..] else { panic!("{} frames", capture.len()) };
    // After the IPv4 header: the number acknowledged, and the time stamp behind two NOPs.
    let (ack, ts_val) = (20 + 8..20 + 12, 20 + 24..20 + 28);
    let before: [u8; 4] = ahead.bytes[ack.clone()].try_into().unwrap();
    ahead.bytes[ack.clone()].copy_from_slice(&(u32::from_be_bytes(before) + 1000).to_be_bytes());
    refused.bytes[ts_val].copy_from_slice(&1_u32.to_be_bytes());
    for frame in [behind].into_iter().chain(rest) {
        frame.bytes[ack.clone()].copy_from_slice(&before);
    }
    let config = Config { checksum: ChecksumMode::Trust, ..Config::default() };
    let [short, long] =
        [true, false].map(|short_way| replay(&Config { short_way, ..config.clone() }, recorder(), &capture, 7).log);
    assert!(short.by_endpoints() == long.by_endpoints(), "{}", short.difference(&long));
}
