//! One core: its ports, its worker, its forwarder, and the rounds in which it serves them.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use thiserror::Error;

use super::clock::{Clock, RunningClock};
use super::mailbox::{Handle, Mailbox, mailbox};
use super::returning::Returning;
use super::worker::LiveWorker;
use crate::io::{Arrival, DeviceError, Port, PortCounters, wait};
use crate::net::{self, Departure, Forwarder, MacAddr, Next};
use crate::packet::{Burst, FrameMeta, MAX_BURST, Offload};
use crate::time::Timestamp;

/// Rounds without a frame before the core sleeps. To fall asleep and wake up costs little against what the system does with each frame,
/// and whoever it wakes up for the frame that was just sent may need this processor: with 32 rounds, datagrams passed at two thirds
/// of the rate, and took twice as long.
const ROUNDS_AWAKE: u32 = 1;

const SECOND: Duration = Duration::from_secs(1);

/// What is called each second.
type EachSecond = Box<dyn FnMut(&[(String, PortCounters)]) + Send>;

/// The longest sleep when everything that can wake the core is waited on.
const LONG_SLEEP: Duration = Duration::from_millis(500);

/// The longest sleep while a link is down, or nothing wakes the core for a port: it has to be asked whether it is back.
const SHORT_SLEEP: Duration = Duration::from_millis(20);

/// The most frames of a burst that other cores are told of: strangers must not make them do nothing else.
const NEWS_PER_BURST: usize = 4;

/// Rounds for what has arrived before the core was told to stop: as many as the rings of its ports take at the usual size.
pub(super) const LAST_ROUNDS: usize = 256;

/// Why a core has stopped before it was told to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LiveError {
    /// A port is broken for good.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The system does not let the core sleep.
    #[error("cannot wait for frames: {0}")]
    Wait(#[source] std::io::Error),
}

/// One core. It is to be run on one thread; [`Handle`] reaches it from others.
pub struct LiveCore<W> {
    worker: W,
    /// By number. One is away while frames are received from it.
    ports: Vec<Option<Box<dyn Port>>>,
    forwarder: Forwarder,
    clock: RunningClock,
    /// Each port's interface, as the forwarder knows it, by its index in the system.
    interfaces: Vec<u32>,
    mailbox: Mailbox<Self>,
    /// The other cores: they learn from what this one is told of neighbours.
    siblings: Vec<Handle<Self>>,
    /// Frames that leave by the port at which they arrived, which is away.
    returning: Returning,
    /// The frames of a burst with the core's time.
    restamped: Vec<FrameMeta>,
    /// The latest time that was told.
    now: Timestamp,
    /// What is called each second, and when next.
    each_second: Option<(Instant, EachSecond)>,
    /// Its ports wait until it is released, or until so much time has passed since somebody has asked for something.
    held: Option<Duration>,
    is_stopped: bool,
}

impl<W> std::fmt::Debug for LiveCore<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveCore").field("ports", &self.ports.len()).field("now", &self.now).finish_non_exhaustive()
    }
}

/// What the round has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    frames: bool,
    /// A port wants to be asked again soon.
    down: bool,
    /// So many ports have ended.
    ended: usize,
}

impl<W: LiveWorker> LiveCore<W> {
    /// A core with these ports, by number, and the way to reach it.
    ///
    /// # Errors
    ///
    /// If the system has no socket for the way to reach it.
    pub fn new(
        worker: W,
        ports: Vec<Box<dyn Port>>,
        forwarder: Forwarder,
        clock: Clock,
    ) -> std::io::Result<(Self, Handle<Self>)> {
        let (handle, mailbox) = mailbox()?;
        let core = Self {
            worker,
            interfaces: ports.iter().map(|port| port.info().index).collect(),
            ports: ports.into_iter().map(Some).collect(),
            forwarder,
            clock: clock.start(),
            mailbox,
            siblings: Vec::new(),
            returning: Returning::default(),
            restamped: Vec::with_capacity(MAX_BURST),
            now: Timestamp::ZERO,
            each_second: None,
            held: None,
            is_stopped: false,
        };
        Ok((core, handle))
    }

    /// Says who the other cores of the same ports are: an answer to one core's question about a neighbour may reach another core.
    pub fn set_siblings(&mut self, siblings: Vec<Handle<Self>>) {
        self.siblings = siblings;
    }

    #[cfg(test)]
    pub(super) fn set_clock(&mut self, clock: RunningClock) {
        self.clock = clock;
    }

    /// The worker.
    pub fn worker(&mut self) -> &mut W {
        &mut self.worker
    }

    /// The ports, by number.
    pub fn ports(&mut self) -> impl Iterator<Item = &mut Box<dyn Port>> {
        self.ports.iter_mut().flatten()
    }

    /// The forwarder.
    #[must_use]
    pub fn forwarder(&self) -> &Forwarder {
        &self.forwarder
    }

    /// From now on `call` is told each second of real time what became of the ports' frames: by number, with names.
    pub fn each_second(&mut self, call: impl FnMut(&[(String, PortCounters)]) + Send + 'static) {
        self.each_second = Some((Instant::now() + SECOND, Box::new(call)));
    }

    /// Nothing is received until [`Self::release`], or until nobody has asked the core for anything for as long as `patience`: whoever
    /// reaches it can set it up meanwhile. What a capture holds waits; an interface would drop what its ring has no room for.
    pub fn hold(&mut self, patience: Duration) {
        self.held = Some(patience);
    }

    /// The end of [`Self::hold`].
    pub fn release(&mut self) {
        self.held = None;
    }

    /// The core stops after this round: its flows end, and what they had to say is said.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Serves until it is stopped or all ports have ended; then ends all flows.
    ///
    /// # Errors
    ///
    /// What has stopped it before that. The flows have ended all the same.
    pub fn run(mut self) -> (W, Result<(), LiveError>) {
        let mut outcome = self.serve();
        self.now = self.ports.iter().flatten().filter_map(|port| port.time()).fold(self.now, Timestamp::max);
        self.worker.advance(self.now);
        self.worker.shutdown();
        self.send_all();
        self.flush();
        for port in self.ports.iter_mut().flatten() {
            let finished = port.finish().map_err(LiveError::from);
            outcome = outcome.and(finished);
        }
        (self.worker, outcome)
    }

    fn serve(&mut self) -> Result<(), LiveError> {
        let mut idle = 0;
        let mut asked = Instant::now();
        loop {
            while let Some(request) = self.mailbox.next() {
                request(self);
                asked = Instant::now();
            }
            self.tell_second();
            if self.is_stopped || self.mailbox.is_stopped() {
                break self.finish_rounds();
            }
            if let Some(patience) = self.held {
                match patience.checked_sub(asked.elapsed()) {
                    Some(left) => self.doze(left).map_err(LiveError::Wait)?,
                    None => self.release(),
                }
                continue;
            }
            let round = self.round()?;
            if self.has_ended(round) {
                break Ok(());
            }
            idle = if round.frames { 0 } else { idle + 1 };
            if idle > ROUNDS_AWAKE {
                self.sleep(round).map_err(LiveError::Wait)?;
            }
        }
    }

    /// Calls what is to be called each second, if one has passed.
    fn tell_second(&mut self) {
        let Some((next, call)) = &mut self.each_second else { return };
        let now = Instant::now();
        if now >= *next {
            *next = now + SECOND;
            let ports = self.ports.iter_mut().flatten();
            let counters: Vec<_> = ports.map(|port| (port.info().name.clone(), port.counters())).collect();
            call(&counters);
        }
    }

    /// Whether nothing will happen any more. A core without ports that goes by the system's clock has its timers.
    fn has_ended(&mut self, round: Round) -> bool {
        round.ended == self.ports.len() && (!self.ports.is_empty() || self.clock.now().is_none())
    }

    /// What has arrived already is served, but what goes on arriving does not keep the core from stopping. A core that replays captures
    /// just stops.
    fn finish_rounds(&mut self) -> Result<(), LiveError> {
        if self.clock.now().is_some() && self.held.is_none() {
            for _ in 0..LAST_ROUNDS {
                if !self.round()?.frames {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Each port once, then time.
    fn round(&mut self) -> Result<Round, DeviceError> {
        let mut round = Round::default();
        if let Some((number, until)) = self.oldest()? {
            self.receive(number, until)?;
            round.frames = true;
        } else {
            for number in 0..self.ports.len() {
                match self.receive(number, Timestamp::MAX)? {
                    Arrival::Idle => {}
                    Arrival::Frames(_) => round.frames = true,
                    Arrival::Down => round.down = true,
                    Arrival::End => round.ended += 1,
                }
            }
        }
        // None of the ports is behind the one that is the least far.
        let told = self.ports.iter().flatten().map(|port| port.time());
        if let Some(Some(time)) = told.min() {
            self.now = self.now.max(time);
        }
        if let Some(now) = self.clock.now() {
            self.now = self.now.max(now);
        }
        if self.worker.poll_timeout().is_some_and(|due| due <= self.now) {
            self.worker.advance(self.now);
        }
        if self.forwarder.poll_timeout().is_some_and(|due| due <= self.now) {
            self.forwarder.handle_timeout(self.now);
        }
        self.send_all();
        self.flush();
        Ok(round)
    }

    /// Of several ports that know what is to come, that with the oldest frame, and the time up to which no other one has any.
    fn oldest(&mut self) -> Result<Option<(usize, Timestamp)>, DeviceError> {
        if self.ports.len() < 2 {
            return Ok(None);
        }
        let (mut first, mut until) = (None, Timestamp::MAX);
        for (number, port) in self.ports.iter_mut().enumerate() {
            let Some(time) = port.as_mut().map(|port| port.next_time()).transpose()?.flatten() else { continue };
            match first {
                Some((_, earliest)) if time >= earliest => until = until.min(time),
                _ => {
                    until = first.map_or(until, |(_, later)| until.min(later));
                    first = Some((number, time));
                }
            }
        }
        Ok(first.map(|(number, _)| (number, until)))
    }

    /// A burst of one port, through the worker and on.
    fn receive(&mut self, number: usize, until: Timestamp) -> Result<Arrival, DeviceError> {
        let Some(mut port) = self.ports[number].take() else { return Ok(Arrival::End) };
        let arrival = port.receive_until(until, &mut |burst| self.arrived(burst));
        self.returning.send(port.as_mut());
        if port.info().index != self.interfaces[number] {
            // Another one with the same name.
            let info = port.info();
            self.interfaces[number] = info.index;
            self.forwarder.replace_interface(number as u16, MacAddr(info.mac), info.mtu as u32);
        }
        self.ports[number] = Some(port);
        arrival
    }

    /// A burst that has just arrived: its frames' times become those of the core, if they are not.
    fn arrived(&mut self, burst: &mut Burst<'_>) {
        let Some((now, shift)) = self.clock.now().and_then(|now| Some((now, self.clock.shift()?))) else {
            return self.pass(burst);
        };
        let mut frames = std::mem::take(&mut self.restamped);
        frames.clear();
        frames.extend(burst.frames.iter().map(|meta| {
            let time = meta.timestamp.as_nanos().saturating_add_signed(shift);
            // The system's clock may have been set after the frame arrived.
            FrameMeta { timestamp: Timestamp::from_nanos(time).min(now), ..*meta }
        }));
        self.pass(&mut Burst { memory: burst.memory, frames: &frames, upcoming: &[] });
        self.restamped = frames;
    }

    /// A burst through the worker, and what is let pass to where it goes.
    fn pass(&mut self, burst: &mut Burst<'_>) {
        if let Some(last) = burst.frames.last() {
            self.now = self.now.max(last.timestamp);
        }
        if !self.siblings.is_empty() {
            self.spread_news(burst);
        }
        self.worker.process(burst);
        for index in 0..burst.frames.len() {
            let meta = burst.frames[index];
            let Some(frame) = self.worker.forwarded(index, burst) else { continue };
            let arrival = net::Arrival { port: meta.port, link: meta.link, offload: meta.offload };
            match self.forwarder.forward(frame, arrival, self.now) {
                Next::Transmit(out) => transmit(&mut self.ports, &mut self.returning, out, frame, meta.offload),
                Next::Queued | Next::Local | Next::Drop(_) => {}
            }
        }
        self.send_all();
    }

    /// Tells the other cores what neighbours say.
    fn spread_news(&self, burst: &Burst<'_>) {
        let is_news = |meta: &&FrameMeta| net::tells_of_neighbors(&burst.memory[meta.range()], meta.link);
        for meta in burst.frames.iter().filter(is_news).take(NEWS_PER_BURST) {
            let arrival = net::Arrival { port: meta.port, link: meta.link, offload: meta.offload };
            let (frame, now): (Arc<[u8]>, _) = (burst.memory[meta.range()].into(), self.now);
            for sibling in &self.siblings {
                let frame = Arc::clone(&frame);
                // One that has stopped needs no news, and one that has no time for them will ask by itself.
                let _ = sibling.offer(move |core| core.forwarder.overhear(&frame, arrival, now));
            }
        }
    }

    /// What the worker and the forwarder send of their own.
    fn send_all(&mut self) {
        while let Some(outgoing) = self.worker.poll_transmit() {
            // What goes nowhere is counted by the forwarder.
            let _ = self.forwarder.send(outgoing, self.now);
        }
        while let Some(Departure { port, frame, offload }) = self.forwarder.poll_output() {
            transmit(&mut self.ports, &mut self.returning, port, &frame, offload);
        }
    }

    fn flush(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            port.flush();
        }
    }

    /// Until somebody rings, or that much time has passed.
    fn doze(&mut self, time: Duration) -> std::io::Result<()> {
        wait(&[self.mailbox.bell()], time + Duration::from_millis(1))?;
        self.mailbox.hush();
        Ok(())
    }

    /// Until a frame arrives, somebody rings, or something is due.
    fn sleep(&mut self, round: Round) -> std::io::Result<()> {
        let mut fds: SmallVec<[BorrowedFd<'_>; 8]> = SmallVec::new();
        fds.push(self.mailbox.bell());
        fds.extend(self.ports.iter().flatten().filter_map(|port| port.poll_fd()));
        let is_deaf = round.down || fds.len() <= self.ports.len() - round.ended;
        let longest = if is_deaf { SHORT_SLEEP } else { LONG_SLEEP };
        let due = [self.worker.poll_timeout(), self.forwarder.poll_timeout()].into_iter().flatten().min();
        // Rounded up: to wake up before it is due is to wake up twice.
        let until = due.map_or(longest, |due| due.saturating_since(self.now) + Duration::from_millis(1));
        wait(&fds, longest.min(until))?;
        drop(fds);
        self.mailbox.hush();
        Ok(())
    }
}

/// Sends a frame by a port. One that is away is the one at which it arrived.
fn transmit(ports: &mut [Option<Box<dyn Port>>], returning: &mut Returning, out: u16, frame: &[u8], offload: Offload) {
    match ports.get_mut(usize::from(out)) {
        // What cannot be sent is counted by the port.
        Some(Some(port)) => _ = port.transmit(frame, offload),
        Some(None) => returning.push(frame, offload),
        None => log::debug!("a frame for port {out}, which does not exist"),
    }
}
