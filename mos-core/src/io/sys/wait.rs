//! Sleeping until something arrives (poll(2)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// The most descriptors that are waited for.
const MAX_FDS: usize = 64;

/// Sleeps until one of the descriptors is readable or broken, at most for `timeout`, counted in whole milliseconds. Returns whether
/// one is. Of more than 64 descriptors only the first 64 count.
///
/// # Errors
///
/// What the system says. Being interrupted by a signal is no error.
#[allow(unsafe_code)]
pub fn wait(fds: &[BorrowedFd<'_>], timeout: Duration) -> io::Result<bool> {
    let mut list = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; MAX_FDS];
    let count = fds.len().min(MAX_FDS);
    for (entry, fd) in list.iter_mut().zip(fds) {
        entry.fd = fd.as_raw_fd();
    }
    let millis = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the first `count` entries of the list exist and live across the call, which writes to nothing else.
    let ready = unsafe { libc::poll(list.as_mut_ptr(), count as libc::nfds_t, millis) };
    match super::checked(ready) {
        Ok(ready) => Ok(ready > 0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}
