//! One core: its ports, its worker, its forwarder, and the rounds in which it serves them.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use thiserror::Error;

use super::clock::Clock;
use super::mailbox::{Handle, Mailbox, mailbox};
use super::worker::LiveWorker;
use crate::io::{Arrival, DeviceError, Port, wait};
use crate::net::{self, Departure, Forwarder, Next};
use crate::packet::{Burst, FrameMeta, Offload};
use crate::time::Timestamp;

/// Rounds without a frame before the core sleeps: to fall asleep and wake up costs more than a few looks at the rings.
const ROUNDS_AWAKE: u32 = 32;

/// The longest sleep when everything that can wake the core is waited on.
const LONG_SLEEP: Duration = Duration::from_millis(500);

/// The longest sleep while a link is down: the port has to be asked whether it is back.
const SHORT_SLEEP: Duration = Duration::from_millis(20);

/// The most frames of a burst that other cores are told of: strangers must not make them do nothing else.
const NEWS_PER_BURST: usize = 4;

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
    clock: Clock,
    mailbox: Mailbox<Self>,
    /// The other cores: they learn from what this one is told of neighbours.
    siblings: Vec<Handle<Self>>,
    /// Frames that leave by the port at which they arrived, which is away.
    returning: Vec<(Vec<u8>, Offload)>,
    /// The latest time that was told.
    now: Timestamp,
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
        let ports = ports.into_iter().map(Some).collect();
        let (returning, now) = (Vec::new(), Timestamp::ZERO);
        let siblings = Vec::new();
        Ok((Self { worker, ports, forwarder, clock, mailbox, siblings, returning, now, is_stopped: false }, handle))
    }

    /// Says who the other cores of the same ports are: an answer to one core's question about a neighbour may reach another core.
    pub fn set_siblings(&mut self, siblings: Vec<Handle<Self>>) {
        self.siblings = siblings;
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
        let mut idle = 0;
        let outcome = loop {
            while let Some(request) = self.mailbox.next() {
                request(&mut self);
            }
            if self.is_stopped {
                break Ok(());
            }
            let round = match self.round() {
                Ok(round) => round,
                Err(error) => break Err(error.into()),
            };
            if round.ended == self.ports.len() {
                break Ok(());
            }
            idle = if round.frames { 0 } else { idle + 1 };
            if idle > ROUNDS_AWAKE
                && let Err(error) = self.sleep(round)
            {
                break Err(LiveError::Wait(error));
            }
        };
        self.worker.advance(self.now);
        self.worker.shutdown();
        self.send_all();
        self.flush();
        (self.worker, outcome)
    }

    /// Each port once, then time.
    fn round(&mut self) -> Result<Round, DeviceError> {
        let mut round = Round::default();
        for number in 0..self.ports.len() {
            match self.receive(number)? {
                Arrival::Idle => {}
                Arrival::Frames(_) => round.frames = true,
                Arrival::Down => round.down = true,
                Arrival::End => round.ended += 1,
            }
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

    /// A burst of one port, through the worker and on.
    fn receive(&mut self, number: usize) -> Result<Arrival, DeviceError> {
        let Some(mut port) = self.ports[number].take() else { return Ok(Arrival::End) };
        let arrival = port.receive(&mut |burst| self.pass(burst));
        for (frame, offload) in self.returning.drain(..) {
            // What cannot be sent is counted by the port.
            let _ = port.transmit(&frame, offload);
        }
        self.ports[number] = Some(port);
        arrival
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
            for sibling in &self.siblings {
                let (frame, now) = (burst.memory[meta.range()].to_vec(), self.now);
                // One that has stopped needs no news.
                let _ = sibling.tell(move |core| core.forwarder.overhear(&frame, arrival, now));
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

    /// Until a frame arrives, somebody rings, or something is due.
    fn sleep(&mut self, round: Round) -> std::io::Result<()> {
        let longest = if round.down { SHORT_SLEEP } else { LONG_SLEEP };
        let due = [self.worker.poll_timeout(), self.forwarder.poll_timeout()].into_iter().flatten().min();
        let until = match (due, self.clock) {
            // Rounded up: to wake up before it is due is to wake up twice.
            (Some(due), Clock::System) => due.saturating_since(self.now) + Duration::from_millis(1),
            _ => longest,
        };
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.mailbox.bell()];
        fds.extend(self.ports.iter().flatten().filter_map(|port| port.poll_fd()));
        wait(&fds, longest.min(until))?;
        drop(fds);
        self.mailbox.hush();
        Ok(())
    }
}

/// Sends a frame by a port. One that is away is the one at which it arrived.
fn transmit(
    ports: &mut [Option<Box<dyn Port>>],
    returning: &mut Vec<(Vec<u8>, Offload)>,
    out: u16,
    frame: &[u8],
    offload: Offload,
) {
    match ports.get_mut(usize::from(out)) {
        // What cannot be sent is counted by the port.
        Some(Some(port)) => _ = port.transmit(frame, offload),
        Some(None) => returning.push((frame.to_vec(), offload)),
        None => log::debug!("a frame for port {out}, which does not exist"),
    }
}
