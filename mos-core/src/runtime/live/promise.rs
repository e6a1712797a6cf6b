//! One value, from one thread to another.
//!
//! A channel would do as well, but for what it leaves behind: the standard library's channels give each thread that waits a handle
//! that lives as long as the thread, and a thread of a program in C has no use for that.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::mailbox::Closed;

/// What has become of a value.
enum State<T> {
    Awaited,
    There(T),
    /// Whoever had promised it is gone.
    Never,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that has promised a value.
pub struct Promise<T>(Arc<Shared<T>>);

/// The end that waits for it.
pub struct Promised<T>(Arc<Shared<T>>);

impl<T> std::fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Promise").finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Promised<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Promised").finish_non_exhaustive()
    }
}

/// Both ends.
#[must_use]
pub fn promise<T>() -> (Promise<T>, Promised<T>) {
    let shared = Arc::new(Shared { state: Mutex::new(State::Awaited), changed: Condvar::new() });
    (Promise(Arc::clone(&shared)), Promised(shared))
}

impl<T> Promise<T> {
    /// Here it is.
    pub fn keep(self, value: T) {
        *self.0.lock() = State::There(value);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Awaited) {
            *state = State::Never;
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

impl<T> Promised<T> {
    /// Waits for it.
    ///
    /// # Errors
    ///
    /// [`Closed`] if it will never come.
    pub fn wait(self) -> Result<T, Closed> {
        let state = self.0.lock();
        let is_awaited = |state: &mut State<T>| matches!(state, State::Awaited);
        let mut state = self.0.changed.wait_while(state, is_awaited).unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Never) {
            State::There(value) => Ok(value),
            State::Awaited | State::Never => Err(Closed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_promised_comes_or_never_does() {
        let (there, is_there) = promise();
        let (never, is_never) = promise::<u8>();
        let thread = std::thread::spawn(move || {
            there.keep(7);
            drop(never);
        });
        assert_eq!((is_there.wait(), is_never.wait()), (Ok(7), Err(Closed)));
        thread.join().unwrap();
    }
}
