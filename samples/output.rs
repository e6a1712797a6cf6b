//! Where the monitors of all cores write: whole blocks of text, one core at a time.

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A writer that several cores share. The first error ends it: what is written after that is lost, and [`is_closed`]
/// says so at any time at no cost.
///
/// [`is_closed`]: Self::is_closed
pub struct Output {
    inner: Mutex<Inner>,
    closed: AtomicBool,
}

struct Inner {
    writer: Box<dyn Write + Send>,
    error: Option<io::Error>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl Output {
    /// Writes to `writer`, which should be buffered: there is a call for every record.
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self { inner: Mutex::new(Inner { writer: Box::new(writer), error: None }), closed: AtomicBool::new(false) }
    }

    /// Writes a block of text, not mixed with that of other cores.
    pub fn write(&self, text: &[u8]) {
        self.attempt(|writer| writer.write_all(text));
    }

    /// Hands on what is buffered.
    pub fn flush(&self) {
        self.attempt(|writer| writer.flush());
    }

    fn attempt(&self, action: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        // A panic while writing leaves a cut line behind, nothing worse.
        let mut inner = self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if inner.error.is_none()
            && let Err(error) = action(&mut *inner.writer)
        {
            inner.error = Some(error);
            self.closed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether nothing can be written any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Hands on what is buffered, and says what went wrong since the start.
    ///
    /// # Errors
    ///
    /// The first error of the writer. It is reported once.
    pub fn finish(&self) -> io::Result<()> {
        self.flush();
        let mut inner = self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        inner.error.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Takes so many bytes and fails.
    struct Limited(usize);

    impl Write for Limited {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_first_error_closes_and_is_reported_once() {
        let output = Arc::new(Output::new(Limited(6)));
        output.write(b"four");
        assert!(!output.is_closed());
        output.write(b"and more");
        output.write(b"lost");
        assert!(output.is_closed());
        assert_eq!(output.finish().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(output.finish().is_ok());
    }
}
