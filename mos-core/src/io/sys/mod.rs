//! The calls into Linux that the standard library does not have: packet sockets, the rings that they share with the
//! kernel, and questions about interfaces. The only `unsafe` of the devices is here, each behind a function that is safe to
//! call with any argument.
//!
//! | file | noun |
//! |---|---|
//! | `socket` | a packet socket: options, binding, statistics |
//! | `message` | frames sent and received by system call |
//! | `ring` | memory that the kernel fills and the process empties, unit by unit |
//! | `link` | what the system knows about an interface |
//! | `wait` | sleeping until something arrives |
//! | `affinity` | which processor a thread runs on |

pub(super) mod affinity;
pub(super) mod link;
pub(super) mod message;
pub(super) mod ring;
pub(super) mod socket;
pub(super) mod wait;

use std::io;

/// What a system call that answers -1 for failure came to.
fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// The size of a type, as the kernel's interfaces count it. They are all far smaller than 4 GiB.
fn size<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}
