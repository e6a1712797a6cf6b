//! What is asked of a core from outside, and done on its thread between two rounds.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

/// Something to be done with a core.
type Request<T> = Box<dyn FnOnce(&mut T) + Send>;

/// The core is gone: nothing can be asked of it any more.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the core has stopped")]
pub struct Closed;

/// The outer end: asks a core for things.
pub struct Handle<T> {
    requests: Sender<Request<T>>,
    /// A byte wakes the core if it sleeps.
    bell: Arc<Mutex<UnixStream>>,
}

/// The inner end: the core's.
pub(super) struct Mailbox<T> {
    requests: Receiver<Request<T>>,
    bell: UnixStream,
}

/// Both ends.
pub(super) fn mailbox<T>() -> std::io::Result<(Handle<T>, Mailbox<T>)> {
    let (ring, bell) = UnixStream::pair()?;
    ring.set_nonblocking(true)?;
    bell.set_nonblocking(true)?;
    let (sender, requests) = channel();
    Ok((Handle { requests: sender, bell: Arc::new(Mutex::new(ring)) }, Mailbox { requests, bell }))
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
    /// Has something done on the core's thread, soon, and does not wait for it.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub fn tell(&self, request: impl FnOnce(&mut T) + Send + 'static) -> Result<(), Closed> {
        self.requests.send(Box::new(request)).map_err(|_| Closed)?;
        let mut bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner);
        match bell.write(&[1]) {
            Ok(_) => Ok(()),
            // So many bytes wait that it will wake.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(Closed),
        }
    }

    /// Has something done on the core's thread, and waits for the answer: until the end of the round that is under way.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub fn ask<R: Send + 'static>(&self, request: impl FnOnce(&mut T) -> R + Send + 'static) -> Result<R, Closed> {
        let (answer, answers) = channel();
        self.tell(move |core| {
            // Whoever asked may have gone.
            let _ = answer.send(request(core));
        })?;
        answers.recv().map_err(|_| Closed)
    }
}

impl<T> Mailbox<T> {
    /// The next request.
    pub(super) fn next(&self) -> Option<Request<T>> {
        self.requests.try_recv().ok()
    }

    /// Forgets that somebody has rung.
    pub(super) fn hush(&mut self) {
        let mut rings = [0; 64];
        while matches!(self.bell.read(&mut rings), Ok(count) if count == rings.len()) {}
    }

    /// What to wait on for somebody to ring.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
