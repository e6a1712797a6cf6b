//! What a stack can be told at its start, and the file that says it: mos.conf.
//!
//! [`Config`] is what one stack is told. [`MosConf`] is a whole file, read and checked: everything that is wrong with it is
//! reported at once, each fault with its line and column, or nothing is and all of it holds.
//!
//! ```
//! use mos_core::config::{Machine, MosConf};
//!
//! let text = "mos {\n  max_concurrency = 20000\n  netdev {\n    eth0 0x3\n  }\n}";
//! let conf = MosConf::parse("mos.conf", text, Machine::default())?;
//! assert_eq!(conf.cores().collect::<Vec<_>>(), [0, 1]);
//! assert_eq!(conf.stack_config(0).max_flows, 20_000);
//!
//! let wrong = "mos {\n  forwart = 1\n  netdev {\n    eth0\n  }\n}";
//! let error = MosConf::parse("mos.conf", wrong, Machine::default()).unwrap_err();
//! assert_eq!(error.to_string(), "mos.conf:2:3: unknown key `forwart` (did you mean `forward`?)\n\
//!     mos.conf:4:9: the mask is missing: a line of `netdev` is `DEVICE CORE_MASK`, such as `eth0 0x3`");
//! # Ok::<(), mos_core::config::Diagnostics>(())
//! ```
//!
//! | file | noun |
//! |---|---|
//! | `stack` | what one stack is told |
//! | `file` | a whole file, read and checked |
//! | `keys` | the table of blocks and keys, by which all others go |
//! | `value` | types of values: read, written; `shell` for commands |
//! | `settings` | what keys are set to, and where |
//! | `device` | what devices are called |
//! | `net` | networks |
//! | `lex`, `text` | lines and braces; words, and how they are quoted |
//! | `read`, `entry` | from text to configuration; lines of tables |
//! | `show` | from configuration to text |
//! | `error`, `near` | what is wrong and where; which name may have been meant |

mod device;
mod entry;
mod error;
mod file;
pub mod keys;
mod lex;
mod near;
mod net;
mod read;
mod settings;
mod shell;
mod show;
mod stack;
pub mod text;
mod value;

#[cfg(test)]
mod tests;

pub use device::{DeviceName, DpdkPort};
pub use error::{Diagnostic, Diagnostics, Place, Problem};
pub use file::{Application, ApplicationType, ArpEntry, Device, ForwardPair, MacAddress, Machine, MosConf, Route};
pub use keys::{Block, Key};
pub use net::{BadNet, Net, masked};
pub use settings::{Origin, Placed};
pub use stack::{ChecksumMode, Config, Timeouts};
pub use value::{Kind, Multiprocess, Value};
