//! A device that does to the frames of another what networks do to frames: it loses, repeats, reorders, delays, damages
//! and shortens them, the same way for the same seed.

mod dice;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use self::dice::Dice;
use super::batch::FrameBatch;
use super::device::{Device, DeviceError, MAX_RECEIVE_BYTES, Received};
use super::frame::OwnedFrame;
use crate::time::Timestamp;

/// The most frames that a reordered one waits for.
const MAX_OVERTAKING: u64 = 8;

/// How likely each fault is, for each frame by itself: 0 is never, 1 always. The default is no faults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultConfig {
    /// The frame is lost, and no other fault happens to it.
    pub drop: f64,
    /// The frame comes twice. The second copy is as the first, but is neither reordered nor delayed.
    pub duplicate: f64,
    /// The frame is overtaken by the next one to eight frames that are not late themselves (and by those late ones that
    /// happen to come among them).
    pub reorder: f64,
    /// Unless it is reordered, the frame comes later, by a time up to the second value (uniformly).
    pub delay: (f64, Duration),
    /// One bit of the frame is flipped.
    pub corrupt: f64,
    /// Only the first bytes of the frame are left, as if a capture had cut it: its length on the wire stays.
    pub truncate: f64,
}

/// How often each fault has happened, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Frames that came from the inner device.
    pub received: u64,
    /// Frames handed over: those received and those duplicated, without those dropped and those [held](Fault::held).
    pub delivered: u64,
    /// Lost.
    pub dropped: u64,
    /// Repeated.
    pub duplicated: u64,
    /// Put behind later frames.
    pub reordered: u64,
    /// Held back for a time.
    pub delayed: u64,
    /// Changed by one bit.
    pub corrupted: u64,
    /// Shortened.
    pub truncated: u64,
}

/// The frames of another device, with faults. What is sent passes unharmed.
///
/// **Time.** Frames are handed over in the order of their timestamps. A frame that is late gets the time at which it
/// comes: when its delay is over, or when the last frame that overtakes it has come. One that the inner device gives
/// with an earlier timestamp than the one before gets the time of the one before. Time is what the frames say, the
/// received and the sent ones, and what [`advance`](Self::advance) says; a frame is held back until time has come that
/// far, or the inner device has ended. Nothing is lost but by the fault of that name.
///
/// **Determinism.** What happens to a frame depends on the seed and its place among the frames, not on how many are
/// received in one call; and changing the likelihood of one fault leaves it as it was which frames the dice pick for
/// the others.
///
/// Held frames are in memory: delaying a busy link for long takes much of it.
#[derive(Debug)]
pub struct Fault<D> {
    inner: D,
    config: FaultConfig,
    dice: Dice,
    counts: FaultCounts,
    /// What the inner device gave last.
    arrived: FrameBatch,
    /// How late it is.
    now: Timestamp,
    /// Waiting to be overtaken by so many more frames, in order of arrival.
    overtaken: Vec<(u64, OwnedFrame)>,
    /// Waiting for their time, and among equals in order of arrival.
    delayed: BTreeMap<(Timestamp, u64), OwnedFrame>,
    /// To be handed over, with their final timestamps.
    ready: VecDeque<OwnedFrame>,
    ended: bool,
    /// The error that ended the inner device, until it is handed on.
    error: Option<DeviceError>,
}

impl<D: Device> Fault<D> {
    /// Puts the faults of `config` on what `inner` receives.
    #[must_use]
    pub fn new(inner: D, config: FaultConfig, seed: u64) -> Self {
        Self {
            inner,
            config,
            dice: Dice::new(seed),
            counts: FaultCounts::default(),
            arrived: FrameBatch::new(),
            now: Timestamp::ZERO,
            overtaken: Vec::new(),
            delayed: BTreeMap::new(),
            ready: VecDeque::new(),
            ended: false,
            error: None,
        }
    }

    /// How often each fault has happened so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.counts
    }

    /// Frames that are held back now, or just not handed over yet.
    #[must_use]
    pub fn held(&self) -> usize {
        self.overtaken.len() + self.delayed.len() + self.ready.len()
    }

    /// Says how late it is, so that delayed frames come although no other does. Time does not go back.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= self.now
        {
            let ((due, _), mut frame) = entry.remove_entry();
            frame.timestamp = due;
            self.release(frame);
        }
    }

    /// The inner device.
    pub fn inner_mut(&mut self) -> &mut D {
        &mut self.inner
    }

    /// Decides what becomes of a frame that has arrived.
    fn on_arrival(&mut self, mut frame: OwnedFrame) {
        self.counts.received += 1;
        self.advance(frame.timestamp);
        let fate = Fate::draw(&mut self.dice, &self.config);
        if fate.drop {
            self.counts.dropped += 1;
            return;
        }
        if let Some(choice) = fate.corrupt
            && !frame.bytes.is_empty()
        {
            self.counts.corrupted += 1;
            let bit = dice::scale(choice, frame.bytes.len() as u64 * 8);
            frame.bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        if let Some(choice) = fate.truncate
            && !frame.bytes.is_empty()
        {
            self.counts.truncated += 1;
            frame.bytes.truncate(dice::scale(choice, frame.bytes.len() as u64) as usize);
        }
        let copy = fate.duplicate.then(|| frame.clone());
        self.counts.duplicated += u64::from(fate.duplicate);

        if let Some(choice) = fate.reorder {
            self.counts.reordered += 1;
            // One more than will overtake it if its own copy, which comes next, is not to count.
            let overtaking = 1 + dice::scale(choice, MAX_OVERTAKING) + u64::from(copy.is_some());
            self.overtaken.push((overtaking, frame));
        } else if let Some(delay) = fate.delay.filter(|delay| !delay.is_zero()) {
            self.counts.delayed += 1;
            self.delayed.insert((self.now + delay, self.counts.received), frame);
        } else {
            self.pass(frame);
        }
        if let Some(copy) = copy {
            self.pass(copy);
        }
    }

    /// Lets a frame through now, and behind it those for which it is the last one to overtake them.
    fn pass(&mut self, frame: OwnedFrame) {
        self.release(OwnedFrame { timestamp: self.now, ..frame });
        for (overtaking, _) in &mut self.overtaken {
            *overtaking -= 1;
        }
        for (_, frame) in self.overtaken.extract_if(.., |(overtaking, _)| *overtaking == 0) {
            self.ready.push_back(OwnedFrame { timestamp: self.now, ..frame });
        }
    }

    /// Puts a frame behind those to be handed over, whose timestamps are not later.
    fn release(&mut self, frame: OwnedFrame) {
        debug_assert!(self.ready.back().is_none_or(|before| before.timestamp <= frame.timestamp));
        self.ready.push_back(frame);
    }

    /// The inner device has ended: no frame waits any longer.
    fn on_end(&mut self, error: Option<DeviceError>) {
        (self.ended, self.error) = (true, error);
        for (_, frame) in std::mem::take(&mut self.overtaken) {
            self.release(OwnedFrame { timestamp: self.now, ..frame });
        }
        if let Some((&(last, _), _)) = self.delayed.last_key_value() {
            self.advance(last);
        }
    }

    /// Hands over what is ready, as much as is asked for.
    fn hand_over(&mut self, batch: &mut FrameBatch, max_frames: usize) -> usize {
        let (mut frames, mut bytes) = (0, 0);
        while frames < max_frames && bytes < MAX_RECEIVE_BYTES {
            let Some(frame) = self.ready.pop_front() else { break };
            frame.push_to(batch);
            frames += 1;
            bytes += frame.bytes.len();
        }
        self.counts.delivered += frames as u64;
        frames
    }
}

impl<D: Device> Device for Fault<D> {
    fn receive(&mut self, batch: &mut FrameBatch, max_frames: usize) -> Result<Received, DeviceError> {
        loop {
            let frames = self.hand_over(batch, max_frames);
            if frames > 0 || max_frames == 0 {
                return Ok(Received::Frames(frames));
            }
            if self.ended {
                return self.error.take().map_or(Ok(Received::End), Err);
            }
            self.arrived.clear();
            match self.inner.receive(&mut self.arrived, max_frames) {
                Ok(Received::Frames(_)) => {
                    for index in 0..self.arrived.len() {
                        self.on_arrival(OwnedFrame::copy_from(&self.arrived, index));
                    }
                }
                Ok(Received::Idle) => return Ok(Received::Idle),
                Ok(Received::End) => self.on_end(None),
                Err(error) => self.on_end(Some(error)),
            }
        }
    }

    fn transmit(&mut self, port: u16, frame: &[u8], timestamp: Timestamp) -> Result<(), DeviceError> {
        self.advance(timestamp);
        self.inner.transmit(port, frame, timestamp)
    }
}

/// What the dice say about one frame. The choices are to be [scaled](dice::scale) when it is known what there is to
/// choose.
struct Fate {
    drop: bool,
    duplicate: bool,
    reorder: Option<u64>,
    delay: Option<Duration>,
    corrupt: Option<u64>,
    truncate: Option<u64>,
}

impl Fate {
    /// Rolls for every fault whether it can happen or not, so that the rolls for one never shift those for another.
    fn draw(dice: &mut Dice, config: &FaultConfig) -> Self {
        let mut roll = |likelihood| {
            let (hit, choice) = (dice.hits(likelihood), dice.next());
            hit.then_some(choice)
        };
        let (delay, max_delay) = config.delay;
        let max_nanos = u64::try_from(max_delay.as_nanos()).unwrap_or(u64::MAX);
        Self {
            drop: roll(config.drop).is_some(),
            duplicate: roll(config.duplicate).is_some(),
            reorder: roll(config.reorder),
            delay: roll(delay).map(|choice| Duration::from_nanos(dice::scale(choice, max_nanos.saturating_add(1)))),
            corrupt: roll(config.corrupt),
            truncate: roll(config.truncate),
        }
    }
}
