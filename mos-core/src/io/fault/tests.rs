//! Faults on a loopback: nothing is lost but by a fault, time does not go back, and the seed decides.

use proptest::prelude::*;

use super::*;
use crate::io::Loopback;
use crate::packet::LinkType;

const MILLISECOND: Duration = Duration::from_millis(1);

/// A loopback with `count` frames of 8 bytes that say their number, a millisecond apart, and closed.
fn source(count: u64) -> Loopback {
    let mut device = Loopback::new(count as usize);
    for index in 0..count {
        device.transmit(0, &index.to_be_bytes(), Timestamp::from_millis(index)).unwrap();
    }
    device.close();
    device
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(u64::MAX, u64::from_be_bytes)
}

/// Everything that comes, `max_frames` at a time: timestamps and bytes.
fn drain<D: Device>(device: &mut Fault<D>, max_frames: usize) -> Vec<(Timestamp, Vec<u8>)> {
    let (mut got, mut batch) = (Vec::new(), FrameBatch::new());
    while let Received::Frames(count) = device.receive(&mut batch, max_frames).unwrap() {
        assert!(count == batch.len() && count <= max_frames);
        got.extend((0..count).map(|index| (batch.frames()[index].timestamp, batch.frame(index).to_vec())));
        batch.clear();
    }
    got
}

fn everything() -> FaultConfig {
    FaultConfig { drop: 0.1, duplicate: 0.1, reorder: 0.1, delay: (0.2, 20 * MILLISECOND), corrupt: 0.1, truncate: 0.1 }
}

fn run(config: FaultConfig, seed: u64, max_frames: usize) -> (Vec<(Timestamp, Vec<u8>)>, FaultCounts) {
    let mut device = Fault::new(source(1_000), config, seed);
    let got = drain(&mut device, max_frames);
    assert_eq!(device.held(), 0);
    (got, device.counts())
}

#[test]
fn without_faults_nothing_changes() {
    let (got, counts) = run(FaultConfig::default(), 1, 64);
    assert_eq!(counts, FaultCounts { received: 1_000, delivered: 1_000, ..FaultCounts::default() });
    for (index, (timestamp, bytes)) in got.iter().enumerate() {
        assert_eq!((timestamp.as_millis(), number(bytes)), (index as u64, index as u64));
    }
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let reference = run(everything(), 7, 64);
    assert_eq!(reference, run(everything(), 7, 64));
    assert_eq!(reference, run(everything(), 7, 1));
    assert_eq!(reference, run(everything(), 7, 1_000));
    assert_ne!(reference, run(everything(), 8, 64));
    let counts = reference.1;
    for count in
        [counts.dropped, counts.duplicated, counts.reordered, counts.delayed, counts.corrupted, counts.truncated]
    {
        assert!((50..300).contains(&count), "{counts:?}");
    }
}

#[test]
fn certain_faults() {
    let all = |config| run(config, 3, 64);
    let (got, counts) = all(FaultConfig { drop: 1.0, duplicate: 1.0, ..FaultConfig::default() });
    assert_eq!((got.len(), counts.dropped, counts.duplicated), (0, 1_000, 0));

    let (got, _) = all(FaultConfig { duplicate: 1.0, ..FaultConfig::default() });
    let numbers: Vec<u64> = got.iter().map(|(_, bytes)| number(bytes)).collect();
    assert_eq!(numbers, (0..1_000).flat_map(|number| [number, number]).collect::<Vec<_>>());

    let (got, counts) = all(FaultConfig { corrupt: 1.0, ..FaultConfig::default() });
    assert_eq!(counts.corrupted, 1_000);
    for (index, (_, bytes)) in got.iter().enumerate() {
        assert_eq!((number(bytes) ^ index as u64).count_ones(), 1);
    }

    let (got, _) = all(FaultConfig { truncate: 1.0, ..FaultConfig::default() });
    assert!((0..8).all(|length| got.iter().any(|(_, bytes)| bytes.len() == length)));
    assert!(got.iter().all(|(_, bytes)| bytes.len() < 8));
}

#[test]
fn delayed_frames_come_when_their_delay_is_over() {
    let (got, counts) = run(FaultConfig { delay: (0.5, 10 * MILLISECOND), ..FaultConfig::default() }, 5, 64);
    assert_eq!(got.len(), 1_000);
    let mut late = 0;
    for (timestamp, bytes) in &got {
        let delay = timestamp.saturating_since(Timestamp::from_millis(number(bytes)));
        assert!(delay <= 10 * MILLISECOND);
        late += u64::from(!delay.is_zero());
    }
    assert_eq!(late, counts.delayed);
}

#[test]
fn reordered_frames_are_overtaken_by_up_to_eight() {
    let (got, counts) = run(FaultConfig { reorder: 0.1, duplicate: 0.5, ..FaultConfig::default() }, 5, 64);
    let mut late = 0;
    for (at, (timestamp, bytes)) in got.iter().enumerate() {
        let on_time = got[..at].iter().filter(|(came, before)| came.as_millis() == number(before));
        let overtaken_by = on_time.filter(|(_, before)| number(before) > number(bytes)).count();
        assert!(overtaken_by <= MAX_OVERTAKING as usize);
        if overtaken_by > 0 {
            late += 1;
            assert_eq!(*timestamp, got[at - 1].0);
        }
    }
    // The last ones may find nobody to overtake them.
    assert!(late <= counts.reordered && late + MAX_OVERTAKING >= counts.reordered);
}

#[test]
fn time_told_releases_delayed_frames() {
    let config = FaultConfig { delay: (1.0, 10 * MILLISECOND), ..FaultConfig::default() };
    let mut device = Fault::new(Loopback::new(10), config, 1);
    device.transmit(0, b"held", Timestamp::from_millis(5)).unwrap();
    let mut batch = FrameBatch::new();
    assert_eq!(device.receive(&mut batch, 64).unwrap(), Received::Idle);
    assert_eq!(device.held(), 1);
    device.advance(Timestamp::from_millis(15));
    device.advance(Timestamp::ZERO);
    assert_eq!(device.receive(&mut batch, 64).unwrap(), Received::Frames(1));
    let came = batch.frames()[0].timestamp;
    assert!(came > Timestamp::from_millis(5) && came <= Timestamp::from_millis(15));

    device.transmit(0, b"held", Timestamp::from_millis(20)).unwrap();
    assert_eq!(device.receive(&mut batch, 64).unwrap(), Received::Idle);
    device.inner_mut().close();
    assert_eq!(device.receive(&mut batch, 64).unwrap(), Received::Frames(1));
    assert_eq!(device.receive(&mut batch, 64).unwrap(), Received::End);
}

/// Gives one frame and then fails.
struct Failing(u32);

impl Device for Failing {
    fn receive(&mut self, batch: &mut FrameBatch, _: usize) -> Result<Received, DeviceError> {
        self.0 += 1;
        match self.0 {
            1 => {
                batch.push(b"last", 4, Timestamp::ZERO, 0, LinkType::Ethernet);
                Ok(Received::Frames(1))
            }
            2 => Err(DeviceError::Empty { name: "inner".into() }),
            _ => panic!("an error is final"),
        }
    }

    fn transmit(&mut self, _: u16, _: &[u8], _: Timestamp) -> Result<(), DeviceError> {
        Ok(())
    }
}

#[test]
fn what_is_held_comes_before_the_error_that_ended_the_device() {
    let config = FaultConfig { reorder: 1.0, ..FaultConfig::default() };
    let mut device: Fault<Box<dyn Device>> = Fault::new(Box::new(Failing(0)), config, 1);
    let mut batch = FrameBatch::new();
    assert_eq!(device.receive(&mut batch, 64).unwrap(), Received::Frames(1));
    assert_eq!(
        device.receive(&mut batch, 64).unwrap_err().to_string(),
        "inner: empty: not even the header of a capture file"
    );
    assert_eq!(device.receive(&mut batch, 64).unwrap(), Received::End);
}

proptest! {
    #[test]
    fn nothing_is_lost_but_by_a_fault(
        config in (0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0, 0..3_000_000_000u64, 0.0..1.0, 0.0..1.0).prop_map(
            |(drop, duplicate, reorder, delay, nanos, corrupt, truncate)| FaultConfig {
                drop, duplicate, reorder, delay: (delay, Duration::from_nanos(nanos)), corrupt, truncate,
            }
        ),
        times in prop::collection::vec(0..1_000u64, 0..60),
        seed: u64,
        max_frames in 1..70usize,
    ) {
        let mut inner = Loopback::new(times.len());
        for &millis in &times {
            inner.transmit(0, &millis.to_be_bytes(), Timestamp::from_millis(millis)).unwrap();
        }
        inner.close();
        let mut device = Fault::new(inner, config, seed);
        let got = drain(&mut device, max_frames);
        let counts = device.counts();
        prop_assert_eq!(counts.received, times.len() as u64);
        prop_assert_eq!(counts.delivered, got.len() as u64);
        prop_assert_eq!(counts.delivered, counts.received - counts.dropped + counts.duplicated);
        prop_assert_eq!(device.held(), 0);
        prop_assert!(got.is_sorted_by_key(|(timestamp, _)| *timestamp));
    }
}
