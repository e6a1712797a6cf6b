//! Ports and a worker that are made up, and note what is done with them.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::io::{Arrival, DeviceError, Port, PortCounters, PortInfo, TransmitError};
use crate::packet::{Burst, FrameMeta, LinkType, Offload};
use crate::runtime::live::LiveWorker;
use crate::stack::Outgoing;
use crate::time::Timestamp;

/// A frame of an experimental EtherType, by its sender and a number.
pub(super) fn frame(sender: u8, number: u8) -> Vec<u8> {
    vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, sender, 0x88, 0xb5, number]
}

/// What a call of `receive` comes to.
#[derive(Debug)]
pub(super) enum Step {
    Frames(Vec<Vec<u8>>),
    Stamped(Vec<Vec<u8>>, Timestamp),
    Error(DeviceError),
}

/// What comes after the steps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    End,
    Idle,
    Down,
    /// The first step once more.
    Again,
}

/// What is at the other end of a port.
#[derive(Clone, Debug)]
pub(super) struct Link(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    steps: VecDeque<Step>,
    after: After,
    asked: u32,
    sent: Vec<Vec<u8>>,
    unflushed: usize,
    is_finished: bool,
    at_last: Option<DeviceError>,
}

impl Link {
    pub(super) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let steps = steps.into_iter().collect();
        let after = After::End;
        let (asked, sent, unflushed, is_finished, at_last) = (0, Vec::new(), 0, false, None);
        Self(Arc::new(Mutex::new(State { steps, after, asked, sent, unflushed, is_finished, at_last })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state());
        self
    }

    /// It does not end.
    pub(super) fn lasting(self) -> Self {
        self.with(|state| state.after = After::Idle)
    }

    pub(super) fn down(self) -> Self {
        self.with(|state| state.after = After::Down)
    }

    /// Its first step comes for ever.
    pub(super) fn repeating(self) -> Self {
        self.with(|state| state.after = After::Again)
    }

    pub(super) fn failing_at_last(self, error: DeviceError) -> Self {
        self.with(|state| state.at_last = Some(error))
    }

    pub(super) fn sent(&self) -> Vec<Vec<u8>> {
        self.state().sent.clone()
    }

    pub(super) fn unflushed(&self) -> usize {
        self.state().unflushed
    }

    pub(super) fn asked(&self) -> u32 {
        self.state().asked
    }

    pub(super) fn is_finished(&self) -> bool {
        self.state().is_finished
    }

    pub(super) fn port(&self, number: u16) -> Box<dyn Port> {
        let info = PortInfo {
            name: format!("made up {number}"),
            index: 0,
            mac: [0; 6],
            mtu: 1500,
            link: LinkType::Ethernet,
            addresses: Vec::new(),
        };
        Box::new(MadeUp { link: self.clone(), number, info })
    }
}

struct MadeUp {
    link: Link,
    number: u16,
    info: PortInfo,
}

impl Port for MadeUp {
    fn receive(&mut self, take: &mut dyn FnMut(&mut Burst<'_>)) -> Result<Arrival, DeviceError> {
        let (frames, timestamp) = {
            let mut state = self.link.state();
            state.asked += 1;
            match (state.steps.pop_front(), state.after) {
                (Some(Step::Frames(frames)), after) => {
                    if after == After::Again {
                        state.steps.push_back(Step::Frames(frames.clone()));
                    }
                    (frames, Timestamp::ZERO)
                }
                (Some(Step::Stamped(frames, timestamp)), _) => (frames, timestamp),
                (Some(Step::Error(error)), _) => return Err(error),
                (None, After::End) => return Ok(Arrival::End),
                (None, After::Down) => return Ok(Arrival::Down),
                (None, After::Idle | After::Again) => return Ok(Arrival::Idle),
            }
        };
        let mut memory = Vec::new();
        let mut metas = Vec::new();
        for frame in &frames {
            metas.push(FrameMeta {
                start: memory.len(),
                captured: frame.len() as u32,
                wire_len: frame.len() as u32,
                timestamp,
                port: self.number,
                link: LinkType::Ethernet,
                offload: Offload::NONE,
            });
            memory.extend_from_slice(frame);
        }
        take(&mut Burst { memory: &mut memory, frames: &metas, upcoming: &[] });
        Ok(Arrival::Frames(frames.len()))
    }

    fn transmit(&mut self, frame: &[u8], _: Offload) -> Result<(), TransmitError> {
        let mut state = self.link.state();
        state.sent.push(frame.to_vec());
        state.unflushed += 1;
        Ok(())
    }

    fn flush(&mut self) {
        self.link.state().unflushed = 0;
    }

    fn finish(&mut self) -> Result<(), DeviceError> {
        self.flush();
        let mut state = self.link.state();
        state.is_finished = true;
        state.at_last.take().map_or(Ok(()), Err)
    }

    fn counters(&mut self) -> PortCounters {
        PortCounters::default()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn info(&self) -> &PortInfo {
        &self.info
    }
}

/// A worker that notes what it was given.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) frames: usize,
    /// Of each frame, in order.
    pub(super) senders: Vec<u8>,
    pub(super) times: Vec<Timestamp>,
    /// When it wants to be told the time.
    pub(super) due: Option<Timestamp>,
    /// What it was told before the end.
    pub(super) advanced: Vec<Timestamp>,
    /// Called when nothing is due any more.
    pub(super) stop_at_last: Option<Box<dyn FnOnce() + Send>>,
    pub(super) ends: usize,
}

impl Notes {
    /// Frames with this number do not go on.
    pub(super) const DROPPED: u8 = 255;
}

impl LiveWorker for Notes {
    fn process(&mut self, burst: &mut Burst<'_>) {
        self.frames += burst.frames.len();
        self.senders.extend(burst.frames.iter().map(|meta| burst.memory[meta.range()][11]));
        self.times.extend(burst.frames.iter().map(|meta| meta.timestamp));
    }

    fn forwarded<'f>(&'f mut self, index: usize, burst: &'f mut Burst<'_>) -> Option<&'f mut [u8]> {
        let frame = &mut burst.memory[burst.frames[index].range()];
        (frame.last() != Some(&Self::DROPPED)).then_some(frame)
    }

    fn poll_transmit(&mut self) -> Option<Outgoing> {
        None
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.due
    }

    fn advance(&mut self, now: Timestamp) {
        self.advanced.push(now);
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            if let Some(stop) = self.stop_at_last.take() {
                stop();
            }
        }
    }

    fn shutdown(&mut self) {
        self.ends += 1;
    }
}
