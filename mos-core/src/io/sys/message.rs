//! Frames sent and received by system call: many sent by one, and those received that a ring has no room for.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

use super::checked;
use super::socket::PacketSocket;

/// The most frames that one system call sends.
pub(in crate::io) const MAX_SENT: usize = 64;

/// A frame that was received by system call.
#[derive(Clone, Copy, Debug)]
pub(in crate::io) struct Message {
    /// Bytes that were written to the buffer.
    pub(in crate::io) bytes: usize,
    /// There were more.
    pub(in crate::io) is_cut: bool,
    /// What the system says about it, if it says something.
    pub(in crate::io) auxdata: Option<libc::tpacket_auxdata>,
}

/// Memory for control messages, aligned as their headers need it.
#[repr(align(8))]
struct Control([u8; 128]);

/// Takes the frame that has waited longest in the socket's queue, with the headers that its options ask for.
#[allow(unsafe_code)]
pub(in crate::io) fn receive(socket: &PacketSocket, buffer: &mut [u8]) -> io::Result<Message> {
    let mut control = Control([0; 128]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut header = empty_header();
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len();
    // SAFETY: the header names one part, the whole of `buffer`, and the whole of `control`; all live across the call, and the
    // system writes within the lengths given.
    let answer = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    let bytes = usize::try_from(answer).map_err(|_| io::Error::last_os_error())?;
    let mut auxdata = None;
    // SAFETY: `header` is as the system left it: its control messages lie within `control`, which is alive. The macros stay
    // within `msg_controllen`, and a PACKET_AUXDATA message holds that struct, which is read without need of alignment.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::SOL_PACKET && (*message).cmsg_type == libc::PACKET_AUXDATA {
                auxdata = Some(libc::CMSG_DATA(message).cast::<libc::tpacket_auxdata>().read_unaligned());
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    Ok(Message { bytes, is_cut: header.msg_flags & libc::MSG_TRUNC != 0, auxdata })
}

/// Sends the parts of `memory` that `frames` names, at most [`MAX_SENT`], each as one frame. Returns how many were sent, at
/// least one.
///
/// # Errors
///
/// What the system says about the first frame, if it was not sent.
///
/// # Panics
///
/// If a range is not within `memory`.
#[allow(unsafe_code)]
pub(in crate::io) fn send(socket: &PacketSocket, memory: &[u8], frames: &[Range<usize>]) -> io::Result<usize> {
    let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MAX_SENT];
    let mut messages = [libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; MAX_SENT];
    let count = frames.len().min(MAX_SENT);
    for ((frame, part), message) in frames.iter().zip(&mut parts).zip(&mut messages) {
        let frame = &memory[frame.clone()];
        part.iov_base = frame.as_ptr().cast_mut().cast();
        part.iov_len = frame.len();
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` messages each name one part, which is a piece of `memory`; all live across the call. Sending
    // only reads the parts.
    let answer = unsafe {
        let count = count as libc::c_uint;
        libc::sendmmsg(socket.as_fd().as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT)
    };
    checked(answer).map(|sent| sent as usize)
}

/// A message without anything.
#[allow(unsafe_code)]
fn empty_header() -> libc::msghdr {
    // SAFETY: null pointers and zero lengths are valid values of every field.
    unsafe { std::mem::zeroed() }
}
