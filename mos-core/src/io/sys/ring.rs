//! Memory that the kernel fills and the process empties: a ring of units (slots of one frame, or blocks of many), each with
//! a status word that says whose it is.
//!
//! The kernel writes to a unit only while its status is `TP_STATUS_KERNEL`, and the process looks into it only while the
//! status has `TP_STATUS_USER`. Each hands a unit over by writing the status last, and takes it by reading the status first.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::socket::PacketSocket;

/// The receive ring of one socket, mapped.
#[derive(Debug)]
pub(in crate::io) struct Ring {
    memory: NonNull<u8>,
    unit_bytes: usize,
    units: usize,
    /// Where in a unit its status lies.
    status: usize,
}

// SAFETY: the mapping belongs to this value alone, and is reached only through it.
#[allow(unsafe_code)]
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring that was set on `socket`: `units` units of `unit_bytes` bytes.
    #[allow(unsafe_code)]
    pub(in crate::io) fn map(
        socket: &PacketSocket,
        units: usize,
        unit_bytes: usize,
        status: usize,
    ) -> io::Result<Self> {
        let aligned = unit_bytes.is_multiple_of(align_of::<AtomicU32>()) && status.is_multiple_of(4);
        let bytes = units.checked_mul(unit_bytes).filter(|_| aligned && units > 0 && status + 4 <= unit_bytes);
        let bytes = bytes.ok_or(io::ErrorKind::InvalidInput)?;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a new mapping at an address of the system's choice touches nothing that exists. The kernel refuses a length
        // that is not the ring's.
        let memory =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, socket.as_fd().as_raw_fd(), 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { memory, unit_bytes, units, status })
    }

    /// How many units there are.
    pub(in crate::io) fn units(&self) -> usize {
        self.units
    }

    /// The bytes of a unit.
    pub(in crate::io) fn unit_bytes(&self) -> usize {
        self.unit_bytes
    }

    /// The status of a unit. What the kernel wrote before it can be read after this.
    ///
    /// # Panics
    ///
    /// If there is no such unit.
    #[inline]
    pub(in crate::io) fn status(&self, unit: usize) -> u32 {
        self.word(unit).load(Ordering::Acquire)
    }

    /// Units from `first` on, if all of them are the process's now; `None` otherwise.
    #[inline]
    #[allow(unsafe_code)]
    pub(in crate::io) fn taken(&mut self, first: usize, count: usize) -> Option<&mut [u8]> {
        let end = first.checked_add(count).filter(|&end| end <= self.units)?;
        if (first..end).any(|unit| self.status(unit) & libc::TP_STATUS_USER == 0) {
            return None;
        }
        // Whoever has the slice could overwrite a status word in it. The devices hand it out as a burst's memory, in which only the
        // bytes of frames are written, and between frames none.
        // SAFETY: the range lies within the mapping, which lives as long as `self`. The kernel does not write to units whose
        // status has TP_STATUS_USER until `hand_back` writes their status, which needs `&mut self` and so ends this borrow
        // first; nothing else in the process reaches the mapping.
        Some(unsafe {
            std::slice::from_raw_parts_mut(self.memory.as_ptr().add(first * self.unit_bytes), count * self.unit_bytes)
        })
    }

    /// Gives a unit back to the kernel. What was written to it before is written before that.
    ///
    /// # Panics
    ///
    /// If there is no such unit.
    #[inline]
    pub(in crate::io) fn hand_back(&mut self, unit: usize) {
        self.word(unit).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }

    #[inline]
    #[allow(unsafe_code)]
    fn word(&self, unit: usize) -> &AtomicU32 {
        assert!(unit < self.units, "a ring of {} units has no unit {unit}", self.units);
        // SAFETY: the unit exists, and the status lies within it and is aligned, as `map` has checked. Both sides access it as
        // one word; a slice that covers it (`taken`) does not live at the same time, because it borrows `self` mutably.
        unsafe { AtomicU32::from_ptr(self.memory.as_ptr().add(unit * self.unit_bytes + self.status).cast()) }
    }
}

impl Drop for Ring {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `map` made, of that length, and nobody can reach it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.units * self.unit_bytes) };
    }
}
