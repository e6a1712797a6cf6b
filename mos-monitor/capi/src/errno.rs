//! errno: why a call has failed.

use std::ffi::c_int;

use mos_monitor::{CloseError, ControlError, OpenError, SendError, TimerError};

/// Why a call has failed: a number of `<errno.h>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

impl Errno {
    pub(crate) const EACCES: Self = Self(libc::EACCES);
    pub(crate) const EAFNOSUPPORT: Self = Self(libc::EAFNOSUPPORT);
    pub(crate) const EAGAIN: Self = Self(libc::EAGAIN);
    pub(crate) const EBADF: Self = Self(libc::EBADF);
    pub(crate) const EBUSY: Self = Self(libc::EBUSY);
    pub(crate) const EEXIST: Self = Self(libc::EEXIST);
    pub(crate) const EFAULT: Self = Self(libc::EFAULT);
    pub(crate) const EINVAL: Self = Self(libc::EINVAL);
    pub(crate) const EIO: Self = Self(libc::EIO);
    pub(crate) const EMFILE: Self = Self(libc::EMFILE);
    pub(crate) const EMSGSIZE: Self = Self(libc::EMSGSIZE);
    pub(crate) const ENFILE: Self = Self(libc::ENFILE);
    pub(crate) const ENOBUFS: Self = Self(libc::ENOBUFS);
    pub(crate) const ENODATA: Self = Self(libc::ENODATA);
    pub(crate) const ENODEV: Self = Self(libc::ENODEV);
    pub(crate) const ENOMEM: Self = Self(libc::ENOMEM);
    pub(crate) const ENOPROTOOPT: Self = Self(libc::ENOPROTOOPT);
    pub(crate) const ENOSYS: Self = Self(libc::ENOSYS);
    pub(crate) const ENOTCONN: Self = Self(libc::ENOTCONN);
    pub(crate) const ENOTSOCK: Self = Self(libc::ENOTSOCK);
    pub(crate) const EOPNOTSUPP: Self = Self(libc::EOPNOTSUPP);
    pub(crate) const EPERM: Self = Self(libc::EPERM);

    /// Sets errno.
    pub(crate) fn set(self) {
        // SAFETY: the address is that of the thread's own errno.
        unsafe { *libc::__errno_location() = self.0 };
    }

    /// errno as it is.
    pub(crate) fn get() -> Self {
        // SAFETY: as above.
        Self(unsafe { *libc::__errno_location() })
    }
}

/// What a call comes to.
pub(crate) type Result<T = ()> = std::result::Result<T, Errno>;

impl From<OpenError> for Errno {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::ShutDown => Self::EACCES,
            _ => Self::ENFILE,
        }
    }
}

impl From<CloseError> for Errno {
    fn from(error: CloseError) -> Self {
        Self(error.errno())
    }
}

impl From<ControlError> for Errno {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::ShutDown => Self::EACCES,
            ControlError::Again => Self::EAGAIN,
            ControlError::BadDescriptor(_) => Self::EBADF,
            _ => Self::EINVAL,
        }
    }
}

impl From<TimerError> for Errno {
    fn from(error: TimerError) -> Self {
        match error {
            TimerError::ShutDown => Self::EACCES,
            TimerError::TooMany => Self::ENFILE,
            TimerError::BadDescriptor(_) => Self::EBADF,
            _ => Self::EINVAL,
        }
    }
}

impl From<SendError> for Errno {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Full => Self::ENOBUFS,
            _ => Self::EMSGSIZE,
        }
    }
}
