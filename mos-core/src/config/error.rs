//! What is wrong with a file, where, and what is allowed there.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::keys::{Block, Key, KeySpec};
use super::text::{Quoted, Word};

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl Place {
    /// So many characters further on in the line.
    pub(super) fn after(self, chars: usize) -> Self {
        Self { column: self.column + chars, ..self }
    }

    /// Where `word` stands, whose column counts from this place.
    pub(super) fn of(self, word: Word<'_>) -> Self {
        self.after(word.column - 1)
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A key that no block has.
    UnknownKey {
        /// What stands there.
        found: String,
        /// The block.
        block: Block,
        /// The key that it looks like.
        near: Option<&'static str>,
    },
    /// A block that does not exist.
    UnknownBlock {
        /// What stands there.
        found: String,
        /// The block that it looks like.
        near: Option<&'static str>,
    },
    /// A key or a block that belongs elsewhere.
    Misplaced {
        /// Its name.
        found: &'static str,
        /// Where it belongs; `None` is outside of all blocks.
        inside: Option<Block>,
    },
    /// Something that may be there once is there again.
    Repeated {
        /// What stands there.
        found: String,
        /// Where it was before.
        first: Place,
    },
    /// A key again, by its other name.
    OtherName {
        /// This name.
        found: &'static str,
        /// The name in the line before.
        other: &'static str,
        /// Where that was.
        first: Place,
    },
    /// A value that is not of the key's type.
    WrongType {
        /// What stands there; blank if nothing does.
        found: String,
        /// What is wrong with it, if that needs to be said.
        why: Option<String>,
        /// The key.
        key: Key,
    },
    /// A value beyond what the key allows.
    OutOfRange {
        /// What stands there.
        found: String,
        /// The key.
        key: Key,
    },
    /// A block that is not there, or a key that is not in its block.
    Missing {
        /// What is missing, and what it could be.
        what: String,
        /// The block in which it is missing; `None` is the file.
        inside: Option<Block>,
    },
    /// A line that is none of its block's.
    BadLine {
        /// What is wrong with it.
        why: String,
        /// The block.
        block: Block,
    },
    /// A device that is not among those of `netdev`.
    UnknownDevice {
        /// What stands there.
        found: String,
        /// Those that exist.
        known: Vec<String>,
        /// The one that it looks like.
        near: Option<String>,
    },
    /// An interface that this machine does not have.
    NoInterface {
        /// What stands there.
        found: String,
        /// Those that exist.
        known: Vec<String>,
        /// The one that it looks like.
        near: Option<String>,
    },
    /// A core that this machine does not have.
    NoCore {
        /// The mask, as it stands there.
        found: String,
        /// The highest core in it.
        core: u32,
        /// How many there are.
        cpus: u32,
    },
    /// A name that means no device.
    BadDevice {
        /// What stands there.
        found: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A line outside of all blocks.
    OutsideBlocks {
        /// What stands there.
        found: String,
    },
    /// A brace that does not fit.
    Brace {
        /// What is wrong.
        why: String,
    },
    /// Anything else that whoever uses the configuration finds wrong with it.
    Other(String),
}

/// Names one after the other, for a message.
struct List<I>(I);

impl<I: Iterator<Item = T> + Clone, T: AsRef<str>> fmt::Display for List<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.clone().enumerate().try_for_each(|(index, name)| {
            let gap = if index > 0 { ", " } else { "" };
            write!(f, "{gap}{}", Quoted(name.as_ref()))
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { found, near: Some(near), .. } => {
                write!(f, "unknown key {} (did you mean `{near}`?)", Quoted(found))
            }
            Self::UnknownKey { found, block, near: None } => {
                let known = block.keys().flat_map(KeySpec::names);
                write!(f, "unknown key {}: `{block}` has {}", Quoted(found), List(known))
            }
            Self::UnknownBlock { found, near: Some(near) } => {
                write!(f, "unknown block {} (did you mean `{near}`?)", Quoted(found))
            }
            Self::UnknownBlock { found, near: None } => {
                let known = Block::ALL.iter().map(|block| block.spec().name);
                write!(f, "unknown block {}: there are {}", Quoted(found), List(known))
            }
            Self::Misplaced { found, inside: Some(block) } => write!(f, "`{found}` belongs inside `{block} {{ }}`"),
            Self::Misplaced { found, inside: None } => write!(f, "`{found}` belongs outside of all blocks"),
            Self::Repeated { found, first } => {
                write!(f, "{} is given twice: line {} has it already", Quoted(found), first.line)
            }
            Self::OtherName { found, other, first } => {
                write!(f, "`{found}` is another name of `{other}`, which line {} has already", first.line)
            }
            Self::WrongType { found, key, .. } if found.is_empty() => {
                write!(f, "`{}` has no value: allowed is {}", key.spec().name, key.spec().kind)
            }
            Self::WrongType { found, why, key } => {
                let spec = key.spec();
                write!(f, "{} is not allowed for `{}`", Quoted(found), spec.name)?;
                if let Some(why) = why {
                    write!(f, " ({why})")?;
                }
                write!(f, ": allowed is {}", spec.kind)
            }
            Self::OutOfRange { found, key } => {
                let spec = key.spec();
                write!(f, "{} is out of range for `{}`: allowed is {}", Quoted(found), spec.name, spec.kind)
            }
            Self::Missing { what, inside: Some(block) } => write!(f, "`{block}` needs {what}"),
            Self::Missing { what, inside: None } => write!(f, "the file needs {what}"),
            Self::BadLine { why, block } => {
                let spec = block.spec();
                write!(f, "{why}: a line of `{block}` is {}, such as `{}`", spec.lines, spec.example)
            }
            Self::UnknownDevice { found, known, near } => {
                write!(f, "unknown device {}", Quoted(found))?;
                match near {
                    Some(near) => write!(f, " (did you mean {}?)", Quoted(near)),
                    None => write!(f, ": `netdev` has {}", List(known.iter())),
                }
            }
            Self::NoInterface { found, known, near } => {
                write!(f, "this machine has no interface {}", Quoted(found))?;
                match near {
                    Some(near) => write!(f, " (did you mean {}?)", Quoted(near)),
                    None if known.is_empty() => Ok(()),
                    None => write!(f, ": it has {}", List(known.iter())),
                }
            }
            Self::NoCore { found, core, cpus } => {
                let most = 1_u64.checked_shl(*cpus).map_or(u64::MAX, |above| above - 1);
                write!(f, "{} has core {core}, this machine has cores 0 to {}", Quoted(found), cpus.saturating_sub(1))?;
                write!(f, ": allowed are bits of {most:#x}")
            }
            Self::BadDevice { found, why } => write!(
                f,
                "{} is no device: {why}; allowed are `eth0`, `pcap:in.pcap`, `pcap:in.pcap>out.pcap`, `xdp:eth0`, \
                 `dpdk0` and `dpdk:PORT`",
                Quoted(found)
            ),
            Self::OutsideBlocks { found } => {
                write!(f, "{} stands outside of all blocks: allowed are ", Quoted(found))?;
                f.write_str("`application {` and `mos {`")
            }
            Self::Brace { why } | Self::Other(why) => f.write_str(why),
        }
    }
}

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The place.
    pub place: Place,
    /// The fault.
    pub problem: Problem,
}

/// All that is wrong with a file, in the order of lines. Shown one per line, each with the file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics {
    /// The file, as it was named.
    pub file: String,
    /// At least one.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// What somebody finds wrong with a configuration that could be read.
    #[must_use]
    pub fn one(file: &str, place: Place, what: impl fmt::Display) -> Self {
        let problem = Problem::Other(what.to_string());
        Self { file: file.into(), list: [Diagnostic { place, problem }].into() }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.iter().enumerate().try_for_each(|(index, Diagnostic { place, problem })| {
            let gap = if index > 0 { "\n" } else { "" };
            write!(f, "{gap}{}:{}:{}: {problem}", self.file, place.line, place.column)
        })
    }
}

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Diagnostic>);

impl Notes {
    pub(super) fn add(&mut self, place: Place, problem: Problem) {
        self.0.push(Diagnostic { place, problem });
    }

    /// What `make` makes of the file, if nothing is wrong with it; all that is wrong, otherwise.
    pub(super) fn finish<T>(mut self, file: &str, make: impl FnOnce() -> T) -> Result<T, Diagnostics> {
        if self.0.is_empty() {
            return Ok(make());
        }
        self.0.sort_by_key(|diagnostic| diagnostic.place);
        Err(Diagnostics { file: file.into(), list: self.0 })
    }
}
