//! What is asked of a core from outside, and done on its thread between two rounds.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use thiserror::Error;

use super::promise::promise;

/// The most offers that wait at a core. Whoever makes more is faster than it, and it must not take memory for that.
const MAX_OFFERS: usize = 256;

/// Something to be done with a core.
type Request<T> = Box<dyn FnOnce(&mut T) + Send>;

/// The core is gone: nothing can be asked of it any more.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the core has stopped")]
pub struct Closed;

/// The outer end: asks a core for things.
pub struct Handle<T> {
    requests: Sender<Request<T>>,
    bell: Arc<Bell>,
}

/// Stops a core, from wherever that is noticed.
#[derive(Clone)]
pub struct Stopper(Arc<Bell>);

impl std::fmt::Debug for Stopper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stopper").finish_non_exhaustive()
    }
}

impl Stopper {
    /// The core stops soon: its flows end, and what they had to say is said. Safe in a signal handler: nothing is allocated, nothing waited
    /// for.
    pub fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Release);
        // One that has gone needs no stopping.
        let _ = self.0.ring();
    }
}

/// What both ends share.
struct Bell {
    /// A byte wakes the core if it sleeps.
    ring: UnixStream,
    /// A byte is under way: another one would wake it no sooner.
    is_rung: AtomicBool,
    /// The core is to stop.
    is_stopped: AtomicBool,
    /// Offers that wait.
    offers: AtomicUsize,
}

/// The inner end: the core's.
pub(super) struct Mailbox<T> {
    requests: Receiver<Request<T>>,
    ear: UnixStream,
    bell: Arc<Bell>,
}

/// Both ends.
pub(super) fn mailbox<T>() -> std::io::Result<(Handle<T>, Mailbox<T>)> {
    let (ring, ear) = UnixStream::pair()?;
    ring.set_nonblocking(true)?;
    ear.set_nonblocking(true)?;
    let (sender, requests) = channel();
    let bell = Arc::new(Bell {
        ring,
        is_rung: AtomicBool::new(false),
        is_stopped: AtomicBool::new(false),
        offers: AtomicUsize::new(0),
    });
    Ok((Handle { requests: sender, bell: Arc::clone(&bell) }, Mailbox { requests, ear, bell }))
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone(), bell: Arc::clone(&self.bell) }
    }
}

impl<T> std::fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl<T> Handle<T> {
    /// What stops the core.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.bell))
    }

    /// Has something done on the core's thread, soon, and does not wait for it. It is for those who do so seldom: nothing limits how
    /// much waits.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub fn tell(&self, request: impl FnOnce(&mut T) + Send + 'static) -> Result<(), Closed> {
        self.requests.send(Box::new(request)).map_err(|_| Closed)?;
        self.bell.ring()
    }

    /// The same for what need not be done: false if too much waits already, and it will not be.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub fn offer(&self, request: impl FnOnce(&mut T) + Send + 'static) -> Result<bool, Closed> {
        let bell = Arc::clone(&self.bell);
        if bell.offers.fetch_add(1, Ordering::Relaxed) >= MAX_OFFERS {
            bell.offers.fetch_sub(1, Ordering::Relaxed);
            return Ok(false);
        }
        self.tell(move |core| {
            bell.offers.fetch_sub(1, Ordering::Relaxed);
            request(core);
        })?;
        Ok(true)
    }

    /// Has something done on the core's thread, and waits for the answer: until the end of the round that is under way.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub fn ask<R: Send + 'static>(&self, request: impl FnOnce(&mut T) -> R + Send + 'static) -> Result<R, Closed> {
        let (promise, answer) = promise();
        self.tell(move |core| promise.keep(request(core)))?;
        answer.wait()
    }
}

impl Bell {
    fn ring(&self) -> Result<(), Closed> {
        if self.is_rung.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        match (&self.ring).write(&[1]) {
            Ok(_) => Ok(()),
            // So many bytes wait that it will wake.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(Closed),
        }
    }
}

impl<T> Mailbox<T> {
    /// The next request.
    pub(super) fn next(&self) -> Option<Request<T>> {
        self.requests.try_recv().ok()
    }

    /// Whether the core is to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.bell.is_stopped.load(Ordering::Acquire)
    }

    /// Forgets that somebody has rung. What they want is to be looked for afterwards.
    pub(super) fn hush(&mut self) {
        let mut rings = [0; 64];
        while matches!(self.ear.read(&mut rings), Ok(count) if count == rings.len()) {}
        // Only now: who finds it rung relies on a byte that is still there, or on us, who will look.
        self.bell.is_rung.swap(false, Ordering::AcqRel);
    }

    /// What to wait on for somebody to ring.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.ear.as_fd()
    }
}
