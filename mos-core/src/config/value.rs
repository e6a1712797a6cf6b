//! What stands behind a key: its type, how it is read, how it is written.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::error::Problem;
use super::keys::Key;
use super::shell;
use super::text::words;

/// The words of a command that C programs can be given (`mtcp_conf.app_argv`).
const MAX_ARGUMENTS: usize = 20;

/// A type of value. Its `Display` is what is allowed, as messages and the manual have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0 or 1.
    Switch,
    /// A number, decimal, hexadecimal with `0x`, or octal with `0`.
    Number {
        /// What is counted.
        unit: &'static str,
        /// The least.
        min: i128,
        /// The most.
        max: i128,
    },
    /// A number of bytes, perhaps with a suffix for KiB, MiB or GiB.
    Size {
        /// The least.
        min: i128,
        /// The most.
        max: i128,
    },
    /// Cores, as bits.
    Mask,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Anything, up to the end of the line; and what it is.
    Text(&'static str),
    /// A command with arguments.
    Command,
    /// Devices, or beginnings of their names.
    Devices,
    /// An IP address and a port.
    Address,
    /// The number of a core, and perhaps `master`.
    Process,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("0 or 1"),
            Self::Number { unit, min, max } => write!(f, "a number of {unit} from {min} to {max}"),
            Self::Size { min, max } => {
                write!(f, "a number of bytes from {} to {}, perhaps with K, M or G", Size(*min), Size(*max))
            }
            Self::Mask => write!(f, "a mask of cores from 0x1 to {:#x}", u64::MAX),
            Self::Choice(choices) => choices.iter().enumerate().try_for_each(|(index, choice)| {
                let gap = match index {
                    0 => "",
                    _ if index + 1 == choices.len() => " or ",
                    _ => ", ",
                };
                write!(f, "{gap}`{choice}`")
            }),
            Self::Text(what) => f.write_str(what),
            Self::Command => write!(f, "a command of up to {MAX_ARGUMENTS} words"),
            Self::Devices => f.write_str("names of devices, with blanks between them"),
            Self::Address => f.write_str("an IP address and a port, such as 127.0.0.1:9100 or [::1]:9100"),
            Self::Process => {
                f.write_str("the number of a core from 0 to 63, and `master` for the process that sets up DPDK")
            }
        }
    }
}

/// What a key is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, a switch.
    Number(i128),
    /// A number of bytes.
    Size(i128),
    /// A mask of cores.
    Mask(u64),
    /// A word or a line.
    Text(String),
    /// Words of a command.
    Command(Vec<String>),
    /// Names.
    Names(Vec<String>),
    /// An address with a port.
    Address(SocketAddr),
    /// See [`Multiprocess`].
    Process(Multiprocess),
}

impl Value {
    /// A number as a value of this kind.
    pub(super) fn of_number(kind: Kind, number: i128) -> Self {
        match kind {
            Kind::Size { .. } => Self::Size(number),
            Kind::Mask => Self::Mask(number as u64),
            _ => Self::Number(number),
        }
    }
}

/// This process's part, if several share DPDK's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiprocess {
    /// Its core.
    pub core: u32,
    /// Whether it is the one that sets up the devices.
    pub is_master: bool,
}

/// As it is written in a file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Size(bytes) => Size(*bytes).fmt(f),
            Self::Mask(mask) => write!(f, "{mask:#x}"),
            Self::Text(text) => f.write_str(text),
            Self::Command(arguments) => separated(f, arguments.iter().map(|argument| shell::Quoted(argument))),
            Self::Names(names) => separated(f, names.iter()),
            Self::Address(address) => address.fmt(f),
            Self::Process(Multiprocess { core, is_master }) => {
                write!(f, "{core}{}", if *is_master { " master" } else { "" })
            }
        }
    }
}

fn separated(f: &mut fmt::Formatter<'_>, mut words: impl Iterator<Item = impl fmt::Display>) -> fmt::Result {
    if let Some(first) = words.next() {
        first.fmt(f)?;
    }
    words.try_for_each(|word| write!(f, " {word}"))
}

/// A number of bytes, by the largest suffix that leaves no remainder.
struct Size(i128);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SUFFIXES.iter().rev().find(|(_, shift)| self.0 != 0 && self.0 % (1 << shift) == 0);
        match unit {
            Some((suffix, shift)) => write!(f, "{}{suffix}", self.0 >> shift),
            None => self.0.fmt(f),
        }
    }
}

const SUFFIXES: [(char, u32); 3] = [('K', 10), ('M', 20), ('G', 30)];

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoNumber {
    /// It is none at all.
    NotOne,
    /// It begins with 0, and has digits that octal numbers have not.
    Octal,
    /// It is one, but beyond all bounds.
    TooLarge,
}

/// Reads a number as mOS does (`%i` of `scanf`), but all of the text has to be it.
pub(super) fn number(text: &str) -> Result<i128, NoNumber> {
    let (is_negative, unsigned) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let hexadecimal = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X"));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None if unsigned.len() > 1 && unsigned.starts_with('0') => (unsigned, 8),
        None => (unsigned, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        let is_decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if is_decimal { NoNumber::Octal } else { NoNumber::NotOne });
    }
    // All digits: it fails only for being too large.
    let magnitude = i128::from_str_radix(digits, radix).map_err(|_| NoNumber::TooLarge)?;
    Ok(if is_negative { -magnitude } else { magnitude })
}

/// Reads a mask of cores, with at least one.
pub(super) fn mask(text: &str) -> Result<u64, NoNumber> {
    let bits = number(text)?;
    u64::try_from(bits).ok().filter(|mask| *mask != 0).ok_or(NoNumber::TooLarge)
}

/// Why a number is none, if that is not plain to see.
pub(super) fn explain(no_number: NoNumber) -> Option<&'static str> {
    (no_number == NoNumber::Octal).then_some("a number that begins with 0 is octal, and has no 8 and 9")
}

/// Something wrong with a value, and after how many characters.
pub(super) type Wrong = (usize, Problem);

/// Reads the value of `key`. `text` has no blanks around it.
pub(super) fn read(key: Key, text: &str) -> Result<Value, Wrong> {
    let found = || text.chars().take(100).collect::<String>();
    let refused = |why: Option<&str>| (0, Problem::WrongType { found: found(), why: why.map(Into::into), key });
    let beyond = || (0, Problem::OutOfRange { found: found(), key });
    let no_number = |no_number| match no_number {
        NoNumber::TooLarge => beyond(),
        other => refused(explain(other)),
    };
    let within = |number: i128, min, max| if (min..=max).contains(&number) { Ok(number) } else { Err(beyond()) };
    if text.is_empty() {
        return Err(refused(None));
    }
    Ok(match key.spec().kind {
        Kind::Switch => Value::Number(within(number(text).map_err(no_number)?, 0, 1)?),
        Kind::Number { unit: "bytes", .. } if number(text).is_err() && size(text).is_ok() => {
            // mOS would read the digits, and leave out the rest.
            let why = size(text).map(|bytes| format!("it takes no suffix: write {bytes}")).ok();
            return Err((0, Problem::WrongType { found: found(), why, key }));
        }
        Kind::Number { min, max, .. } => Value::Number(within(number(text).map_err(no_number)?, min, max)?),
        Kind::Size { min, max } => Value::Size(within(size(text).map_err(no_number)?, min, max)?),
        Kind::Mask => Value::Mask(mask(text).map_err(no_number)?),
        Kind::Choice(choices) if choices.contains(&text) => Value::Text(text.into()),
        Kind::Choice(_) => return Err(refused(None)),
        Kind::Text(_) => Value::Text(text.into()),
        Kind::Command => {
            let arguments = shell::split(text)
                .map_err(|slip| (slip.at, Problem::WrongType { found: found(), why: Some(slip.why.into()), key }))?;
            if arguments.len() > MAX_ARGUMENTS {
                let why = format!("it has {} words", arguments.len());
                return Err((0, Problem::WrongType { found: found(), why: Some(why), key }));
            }
            Value::Command(arguments)
        }
        Kind::Devices => Value::Names(words(text).map(|word| word.text.into()).collect()),
        Kind::Address => Value::Address(text.parse().map_err(|_| refused(None))?),
        Kind::Process => Value::Process(process(text).map_err(refused)?),
    })
}

fn size(text: &str) -> Result<i128, NoNumber> {
    let suffix = text.chars().next_back().map(|c| c.to_ascii_uppercase());
    match SUFFIXES.iter().find(|(known, _)| suffix == Some(*known)) {
        // A suffix is one byte long.
        Some((_, shift)) => number(&text[..text.len() - 1])?.checked_mul(1 << shift).ok_or(NoNumber::TooLarge),
        None => number(text),
    }
}

/// The core of this process and its part. mOS's set-up script writes `slave` where mOS expects the core.
fn process(text: &str) -> Result<Multiprocess, Option<&'static str>> {
    const CORE_FIRST: &str = "the number of the core is missing before it";
    let mut words = words(text).map(|word| word.text);
    let core = words.next().unwrap_or_default();
    if core == "master" {
        return Err(Some(CORE_FIRST));
    }
    if core == "slave" {
        return Err(Some("instead of `slave` stands the number of the process's core"));
    }
    let core =
        number(core).ok().and_then(|core| u32::try_from(core).ok()).filter(|core| *core < u64::BITS).ok_or(None)?;
    let is_master = match words.next() {
        None => false,
        Some("master") => true,
        Some("slave") => return Err(Some("a process that is no master has no second word")),
        Some(_) => return Err(None),
    };
    if words.next().is_some() { Err(None) } else { Ok(Multiprocess { core, is_master }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_by_scanf() {
        for (text, expected) in [
            ("0", 0),
            ("42", 42),
            ("-1", -1),
            ("+7", 7),
            ("0x1F", 31),
            ("0Xff", 255),
            ("-0x10", -16),
            ("010", 8),
            ("00", 0),
        ] {
            assert_eq!(number(text), Ok(expected), "{text}");
        }
        for text in ["", "-", "+-1", "0x", "1k", "1.5", "ä", "1 2", "--1", "x1", "0x0x1"] {
            assert_eq!(number(text), Err(NoNumber::NotOne), "{text}");
        }
        assert_eq!(number("08"), Err(NoNumber::Octal));
        assert_eq!(number(&"9".repeat(100)), Err(NoNumber::TooLarge));
    }

    #[test]
    fn sizes_have_suffixes() {
        for (text, expected) in [("65536", 65536), ("64K", 65536), ("2m", 2 << 20), ("0x2G", 2 << 30)] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        assert_eq!(size("K"), Err(NoNumber::NotOne));
        assert_eq!(size(&format!("{}G", i128::MAX)), Err(NoNumber::TooLarge));
        for (bytes, expected) in [(0, "0"), (1023, "1023"), (1024, "1K"), (1 << 30, "1G"), (3 << 19, "1536K")] {
            assert_eq!(Size(bytes).to_string(), expected);
        }
    }

    #[test]
    fn a_process_has_a_core() {
        assert_eq!(process("3"), Ok(Multiprocess { core: 3, is_master: false }));
        assert_eq!(process("0  master"), Ok(Multiprocess { core: 0, is_master: true }));
        for text in ["", "64", "-1", "slave", "master", "master 0", "1 slave", "1 master 2", "one"] {
            assert!(process(text).is_err(), "{text}");
        }
    }
}
