//! The time that a core goes by.

use std::time::SystemTime;

use crate::time::Timestamp;

/// Where the time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// From the system, as the time stamps of live frames do.
    System,
    /// From the frames alone: they come from captures, and it passes as it passed then.
    Frames,
}

impl Clock {
    /// The time, if frames are not all that tells it.
    #[must_use]
    pub fn now(self) -> Option<Timestamp> {
        match self {
            Self::Frames => None,
            Self::System => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Some(Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
            }
        }
    }
}
