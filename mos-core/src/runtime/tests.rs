//! Frames reach the workers whole, in order and in time, on one core and on several.

use core::ops::ControlFlow;
use std::collections::VecDeque;

use super::{Outcome, Run, Spread, Worker};
use crate::io::{Device, DeviceError, FrameBatch, Received};
use crate::packet::{Burst, FrameMeta, LinkType, Offload};
use crate::time::Timestamp;

/// Gives the frames it was made with, some at a time, and then an end or an error.
struct Script {
    steps: VecDeque<Vec<(Vec<u8>, u64)>>,
    fails: bool,
}

impl Script {
    fn new(frames: impl IntoIterator<Item = (Vec<u8>, u64)>, at_a_time: usize) -> Self {
        let frames: Vec<_> = frames.into_iter().collect();
        Self { steps: frames.chunks(at_a_time).map(<[_]>::to_vec).collect(), fails: false }
    }
}

impl Device for Script {
    fn receive(&mut self, batch: &mut FrameBatch, _max_frames: usize) -> Result<Received, DeviceError> {
        match self.steps.pop_front() {
            Some(frames) if frames.is_empty() => Ok(Received::Idle),
            Some(frames) => {
                for (bytes, nanos) in &frames {
                    batch.push(bytes, 0, Timestamp::from_nanos(*nanos), 0, LinkType::RawIp);
                }
                Ok(Received::Frames(frames.len()))
            }
            None if self.fails => Err(DeviceError::Empty { name: "script".into() }),
            None => Ok(Received::End),
        }
    }

    fn transmit(&mut self, _port: u16, _frame: &[u8], _timestamp: Timestamp) -> Result<(), DeviceError> {
        Err(DeviceError::ReceiveOnly { name: "script".into() })
    }
}

/// An IPv4 packet of the experimental protocol 253; its last four bytes are `number`.
fn packet(from: u8, to: u8, number: u32) -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 24, 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, from, 10, 0, 0, to];
    bytes.extend(number.to_be_bytes());
    bytes
}

/// What a worker was given, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Frame { number: u32, at: u64 },
    Time(u64),
    Shutdown,
}

/// Notes everything. Its time does not run backwards, as that of a stack does not.
struct Notes {
    given: Vec<Given>,
    now: u64,
    burst: usize,
    /// How many frames it wants.
    wanted: usize,
}

impl Worker for Notes {
    type Report = Vec<Given>;

    fn process(&mut self, burst: &mut Burst<'_>) -> ControlFlow<()> {
        assert!((1..=self.burst).contains(&burst.frames.len()));
        for meta in burst.frames {
            self.now = self.now.max(meta.timestamp.as_nanos());
            let number = u32::from_be_bytes(*burst.memory[meta.range()].last_chunk().unwrap());
            self.given.push(Given::Frame { number, at: self.now });
        }
        if self.given.len() < self.wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now.as_nanos());
        self.given.push(Given::Time(self.now));
    }

    fn shutdown(&mut self) {
        self.given.push(Given::Shutdown);
    }

    fn report(self) -> Vec<Given> {
        self.given
    }
}

fn run(mut device: Script, cores: usize, burst: usize, wanted: usize) -> Outcome<Vec<Given>> {
    Run { cores, burst, seed: 7 }.run(&mut device, |_| Notes { given: Vec::new(), now: 0, burst, wanted })
}

/// Both directions between 40 hosts and one server; every tenth frame is late.
fn traffic() -> impl Iterator<Item = (Vec<u8>, u64)> {
    (0..5000u32).map(|number| {
        let host = (number % 40) as u8;
        let bytes = if number % 3 == 0 { packet(200, host, number) } else { packet(host, 200, number) };
        let late = if number % 10 == 9 { 2500 } else { 0 };
        (bytes, 10_000 + u64::from(number) * 100 - late)
    })
}

fn frames(given: &[Given]) -> Vec<(u32, u64)> {
    let frame = |given: &Given| match *given {
        Given::Frame { number, at } => Some((number, at)),
        Given::Time(_) | Given::Shutdown => None,
    };
    given.iter().filter_map(frame).collect()
}

#[test]
fn one_core_gets_everything_in_order() {
    for burst in [1, 7, 64] {
        let outcome = run(Script::new(traffic(), 1000), 1, burst, usize::MAX);
        assert!(outcome.error.is_none());
        let [given] = &outcome.reports[..] else { panic!("one core, one report") };
        assert!(frames(given).iter().map(|&(number, _)| number).eq(0..5000));
        assert_eq!(given[given.len() - 2..], [Given::Time(10_000 + 4998 * 100), Given::Shutdown]);
    }
}

#[test]
fn several_cores_get_the_same_frames_at_the_same_times() {
    let alone = run(Script::new(traffic(), 1000), 1, 64, usize::MAX);
    for (cores, at_a_time) in [(2, 1000), (3, 17), (8, 1)] {
        let outcome = run(Script::new(traffic(), at_a_time), cores, 64, usize::MAX);
        assert_eq!(outcome.reports.len(), cores);
        let mut all = Vec::new();
        for given in &outcome.reports {
            let frames = frames(given);
            assert!(frames.is_sorted(), "a core gets its frames in the order they came");
            assert_eq!(given[given.len() - 2..], [Given::Time(10_000 + 4998 * 100), Given::Shutdown]);
            all.extend(frames);
        }
        all.sort_unstable();
        assert_eq!(all, frames(&alone.reports[0]));
        assert!(outcome.reports.iter().filter(|given| given.len() > 2).count() > 1, "the traffic is spread");
    }
}

#[test]
fn both_directions_meet_whatever_the_ports() {
    let spread = Spread::new(16, 99);
    let core_of = |frame: &[u8]| {
        let wire_len = frame.len() as u32;
        let (captured, timestamp) = (wire_len, Timestamp::ZERO);
        let (link, offload) = (LinkType::RawIp, Offload::NONE);
        spread.core_of(frame, &FrameMeta { start: 0, captured, wire_len, timestamp, port: 0, link, offload })
    };
    let mut used = std::collections::BTreeSet::new();
    for host in 1..=100 {
        let core = core_of(&packet(host, 200, 1));
        assert_eq!(core, core_of(&packet(200, host, 2)));
        let mut later_fragment = packet(host, 200, 3);
        (later_fragment[6], later_fragment[7], later_fragment[9]) = (0, 185, 6);
        assert_eq!(core, core_of(&later_fragment));
        used.insert(core);
    }
    assert!(used.len() > 12 && used.iter().all(|&core| core < 16));
    assert_eq!(core_of(b"not IP"), 0);
}

#[test]
fn an_error_ends_the_run_as_an_end_does() {
    for cores in [1, 3] {
        let mut device = Script::new(traffic().take(100), 30);
        device.fails = true;
        device.steps.insert(1, Vec::new());
        let outcome = run(device, cores, 64, usize::MAX);
        assert!(matches!(outcome.error, Some(DeviceError::Empty { .. })));
        assert_eq!(outcome.reports.iter().map(|given| frames(given).len()).sum::<usize>(), 100);
        assert!(outcome.reports.iter().all(|given| given.last() == Some(&Given::Shutdown)));
    }
}

#[test]
fn a_worker_that_wants_no_more_ends_the_run() {
    for cores in [1, 3] {
        let outcome = run(Script::new(traffic(), 10), cores, 64, 20);
        assert!(outcome.error.is_none());
        assert!(outcome.reports.iter().all(|given| !given.contains(&Given::Shutdown)));
        assert!(outcome.reports.iter().map(Vec::len).sum::<usize>() < 5000);
    }
}

#[test]
#[should_panic(expected = "a worker fails")]
fn a_panic_of_a_worker_is_not_swallowed() {
    struct Fails;
    impl Worker for Fails {
        type Report = ();
        fn process(&mut self, _: &mut Burst<'_>) -> ControlFlow<()> {
            panic!("a worker fails")
        }
        fn advance(&mut self, _: Timestamp) {}
        fn shutdown(&mut self) {}
        fn report(self) {}
    }
    Run { cores: 2, ..Run::default() }.run(&mut Script::new(traffic(), 10), |_| Fails);
}
