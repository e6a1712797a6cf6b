//! A rule: whose streams it is about, what has to occur in them, and what is said then.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::set::{Addresses, Ports};
use crate::eve::Direction;

/// What the rule wants done; the severer is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Tell.
    Alert,
    /// Tell, and do not let it pass.
    Drop,
    /// As `Drop`, and let the ends know.
    Reject,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alert, Self::Drop, Self::Reject];

    /// Its name in rules.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Drop => "drop",
            Self::Reject => "reject",
        }
    }
}

/// Bytes that have to occur.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// They.
    pub bytes: Vec<u8>,
    /// ASCII letters in any case.
    pub nocase: bool,
    /// They begin at this offset of the stream, or later.
    pub offset: u32,
    /// They end at most so many bytes after `offset`.
    pub depth: Option<u32>,
}

impl Content {
    /// Whether an occurrence that ends before the offset `end` of the stream is where it has to be.
    #[must_use]
    pub fn may_end_at(&self, end: u64) -> bool {
        let offset = u64::from(self.offset);
        end >= offset + self.bytes.len() as u64 && self.depth.is_none_or(|depth| end <= offset + u64::from(depth))
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What to do.
    pub action: Action,
    /// Senders.
    pub source: Arc<Addresses>,
    /// Their ports.
    pub source_ports: Arc<Ports>,
    /// Receivers.
    pub destination: Arc<Addresses>,
    /// Their ports.
    pub destination_ports: Arc<Ports>,
    /// What to say.
    pub msg: String,
    /// Only in this direction, if there is one.
    pub direction: Option<Direction>,
    /// Only once both ends have completed the handshake.
    pub established: bool,
    /// All of these have to occur, in any order. At least one.
    pub contents: Vec<Content>,
    /// Has no effect.
    pub classtype: Option<String>,
    /// Its number, unique in its file.
    pub sid: u32,
    /// Its revision.
    pub rev: u32,
    /// 1 is the most severe.
    pub priority: u8,
}

impl Rule {
    /// Whether it is about what `source` sends to `destination`, which goes in `direction`.
    #[must_use]
    pub fn is_about(&self, source: SocketAddr, destination: SocketAddr, direction: Direction) -> bool {
        self.direction.is_none_or(|wanted| wanted == direction)
            && self.source_ports.contains(source.port())
            && self.destination_ports.contains(destination.port())
            && self.source.contains(source.ip())
            && self.destination.contains(destination.ip())
    }
}

impl fmt::Display for Rule {
    /// As it is read, though not as it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tcp {} {} ", self.action.name(), self.source, self.source_ports)?;
        write!(f, "-> {} {} (msg:\"{}\"; ", self.destination, self.destination_ports, escaped(&self.msg))?;
        let direction = self.direction.map(|direction| match direction {
            Direction::ToServer => "to_server",
            Direction::ToClient => "to_client",
        });
        let flow: Vec<_> = direction.into_iter().chain(self.established.then_some("established")).collect();
        if !flow.is_empty() {
            write!(f, "flow:{}; ", flow.join(","))?;
        }
        for content in &self.contents {
            write!(f, "{content} ")?;
        }
        if let Some(classtype) = &self.classtype {
            write!(f, "classtype:{classtype}; ")?;
        }
        write!(f, "sid:{}; rev:{}; priority:{};)", self.sid, self.rev, self.priority)
    }
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| ['"', '\\', ';'].contains(&c).then_some('\\').into_iter().chain([c])).collect()
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("content:\"")?;
        for run in self.bytes.chunk_by(|a, b| is_plain(*a) == is_plain(*b)) {
            if is_plain(run[0]) {
                run.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))?;
            } else {
                let digits: Vec<_> = run.iter().map(|byte| format!("{byte:02X}")).collect();
                write!(f, "|{}|", digits.join(" "))?;
            }
        }
        f.write_str("\";")?;
        if self.nocase {
            f.write_str(" nocase;")?;
        }
        if self.offset > 0 {
            write!(f, " offset:{};", self.offset)?;
        }
        self.depth.map_or(Ok(()), |depth| write!(f, " depth:{depth};"))
    }
}

/// Whether a byte of a content stands for itself.
fn is_plain(byte: u8) -> bool {
    (byte.is_ascii_graphic() || byte == b' ') && !b"\"\\;:|".contains(&byte)
}
