//! Live ports: the loop of a core that receives, decides and sends, as long as it is wanted.
//!
//! A [`LiveCore`] owns one port of each interface, a worker (a stack with its monitors, usually) and a forwarder. It shares
//! nothing with other cores. Whoever is outside asks through a [`Handle`]: what is asked is done on the core's own thread between
//! two rounds.
//!
//! | file | noun |
//! |---|---|
//! | `core` | one core: its ports, its worker, its rounds |
//! | `logs` | a log for each core |
//! | `mailbox` | what is asked of a core from outside |
//! | `clock` | the time that a core goes by |
//! | `devices` | the ports that a mos.conf names, and what the forwarder is told about them |
//! | `promise` | a value that another thread waits for |
//! | `returning` | frames that leave by the port at which they arrived |
//! | `worker` | the worker, as the loop sees it |

mod clock;
mod core;
mod devices;
mod logs;
mod mailbox;
mod promise;
mod returning;
#[cfg(test)]
mod tests;
mod worker;

pub use self::clock::Clock;
pub use self::core::{LiveCore, LiveError};
pub use self::devices::{CoreDevices, Devices, DevicesError};
pub use self::logs::{CORE_THREAD, CoreLogs};
pub use self::mailbox::{Closed, Handle, Stopper};
pub use self::promise::{Promise, Promised, promise};
pub use self::worker::LiveWorker;
