//! A rule, and the file of rules: a line each.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::index::Index;
use crate::syntax::{self, FileError, Mistakes, Notes, Slip, Word};
use mos_core::config::Net;

/// The most rules of a file.
pub const MAX_RULES: usize = 65_536;

const TARGETS: &str = "ACCEPT, DROP or DEFAULT";
const ADDRESS: &str = "an address, a network (address/mask) or any, perhaps after !";
const PORTS: &str = "sport:PORTS or dport:PORTS, each once";
const PORT: &str = "a port, a range as 1000-2000, or any, perhaps after !";

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// It may be opened.
    #[default]
    Accept,
    /// It may not.
    Drop,
}

impl Target {
    /// Its name, as in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
        }
    }
}

/// Some addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// All, of both versions.
    Any,
    /// Those of a network.
    In(Net),
    /// All others, of both versions.
    NotIn(Net),
}

impl Address {
    pub(super) fn matches(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::In(net) => net.contains(address),
            Self::NotIn(net) => !net.contains(address),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An unspecified address alone would mean any.
        let as_host = |net: &Net| net.first() == net.last() && net.first().is_unspecified();
        match self {
            Self::Any => f.write_str("any"),
            Self::In(net) if as_host(net) => write!(f, "{net}/{}", net.prefix()),
            Self::In(net) => net.fmt(f),
            Self::NotIn(net) if as_host(net) => write!(f, "!{net}/{}", net.prefix()),
            Self::NotIn(net) => write!(f, "!{net}"),
        }
    }
}

/// Some ports: from `first` to `last`, or all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) negated: bool,
}

impl Ports {
    /// All.
    pub const ANY: Self = Self { first: 0, last: u16::MAX, negated: false };

    /// The port, if it is only one.
    pub(super) fn single(self) -> Option<u16> {
        (self.first == self.last && !self.negated).then_some(self.first)
    }

    pub(super) fn matches(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port) != self.negated
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negated { "!" } else { "" };
        match self {
            // Port 0 alone would mean any.
            Self { first, last, .. } if first == last && *first != 0 => write!(f, "{sign}{first}"),
            Self { first, last, .. } => write!(f, "{sign}{first}-{last}"),
        }
    }
}

/// A line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What becomes of connections that match all of the following.
    pub target: Target,
    /// Who opens it.
    pub source: Address,
    /// Towards whom.
    pub destination: Address,
    /// From which port.
    pub source_port: Ports,
    /// To which port.
    pub destination_port: Ports,
}

impl Rule {
    /// Whether it is about a connection from `source` to `destination`.
    #[must_use]
    pub fn matches(&self, source: SocketAddr, destination: SocketAddr) -> bool {
        self.destination_port.matches(destination.port())
            && self.source_port.matches(source.port())
            && self.source.matches(source.ip())
            && self.destination.matches(destination.ip())
    }

    /// Reads the words after the target.
    fn parse<'a>(target: Target, mut words: impl Iterator<Item = Word<'a>>, end: usize) -> Result<Self, Slip> {
        let mut next = || words.next().ok_or_else(|| Slip::new(end, "", ADDRESS)).and_then(address);
        let (source, destination) = (next()?, next()?);
        let mut ports = [None; 2];
        for word in words {
            let (place, value) = match (word.strip("sport:"), word.strip("dport:")) {
                (Some(value), _) => (0, value),
                (_, Some(value)) => (1, value),
                _ => return Err(Slip::word(word, PORTS)),
            };
            if ports[place].replace(parse_ports(value)?).is_some() {
                return Err(Slip::word(word, PORTS));
            }
        }
        let [source_port, destination_port] = ports.map(|ports| ports.unwrap_or(Ports::ANY));
        Ok(Self { target, source, destination, source_port, destination_port })
    }
}

impl fmt::Display for Rule {
    /// As it is read, though not as it was written: masks are prefix lengths, keywords are in one case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.target.name(), self.source, self.destination)?;
        for (name, ports) in [("sport", self.source_port), ("dport", self.destination_port)] {
            if ports != Ports::ANY {
                write!(f, " {name}:{ports}")?;
            }
        }
        Ok(())
    }
}

/// The rules of a file, in its order.
#[derive(Debug, Default)]
pub struct Rules {
    list: Vec<Rule>,
    default: Target,
    index: Index,
}

impl Rules {
    /// These rules, and what becomes of what none of them matches.
    #[must_use]
    pub fn new(list: Vec<Rule>, default: Target) -> Self {
        let index = Index::new(&list);
        Self { list, default, index }
    }

    /// The rules in the file at `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has mistakes in it.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Ok(Self::parse(&path.display().to_string(), &syntax::read(path)?)?)
    }

    /// The rules in `text`, which is that of `file`.
    ///
    /// # Errors
    ///
    /// All the mistakes in it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistakes> {
        let mut list = Vec::new();
        let mut default = None;
        let mut notes = Notes::default();
        for (index, line) in text.lines().enumerate() {
            let line = syntax::without_comment(line);
            let end = syntax::end_of(line);
            let mut words = syntax::words(line);
            let Some(first) = words.next() else { continue };
            let read = match (target(first), first.strip("default")) {
                (Some(_), _) if list.len() == MAX_RULES => {
                    notes.add(index + 1, Slip::word(first, format!("at most {MAX_RULES} rules")));
                    break;
                }
                (Some(target), _) => Rule::parse(target, words, end).map(|rule| list.push(rule)),
                (None, Some(rest)) if rest.text.is_empty() => {
                    read_default(first, words, end, default.is_some()).map(|target| default = Some(target))
                }
                _ => Err(Slip::word(first, TARGETS)),
            };
            if let Err(slip) = read {
                notes.add(index + 1, slip);
            }
        }
        notes.finish(file, ())?;
        Ok(Self::new(list, default.unwrap_or_default()))
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Rule] {
        &self.list
    }

    /// What becomes of connections that no rule matches.
    #[must_use]
    pub fn default_target(&self) -> Target {
        self.default
    }

    /// The first rule about a connection from `source` to `destination`, by its place.
    #[must_use]
    pub fn find(&self, source: SocketAddr, destination: SocketAddr) -> Option<usize> {
        self.index.find(&self.list, source, destination)
    }

    /// What becomes of connections that the rule at `place` was found for.
    #[must_use]
    pub fn target(&self, place: Option<usize>) -> Target {
        place.and_then(|place| self.list.get(place)).map_or(self.default, |rule| rule.target)
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.iter().try_for_each(|rule| writeln!(f, "{rule}"))?;
        writeln!(f, "DEFAULT {}", self.default.name())
    }
}

fn target(word: Word<'_>) -> Option<Target> {
    [Target::Accept, Target::Drop].into_iter().find(|target| word.text.eq_ignore_ascii_case(target.name()))
}

fn read_default<'a>(
    keyword: Word<'a>,
    mut words: impl Iterator<Item = Word<'a>>,
    end: usize,
    again: bool,
) -> Result<Target, Slip> {
    if again {
        return Err(Slip::word(keyword, "DEFAULT once"));
    }
    let word = words.next().ok_or_else(|| Slip::new(end, "", "ACCEPT or DROP"))?;
    let target = target(word).ok_or_else(|| Slip::word(word, "ACCEPT or DROP"))?;
    match words.next() {
        Some(word) => Err(Slip::word(word, "the end of the line")),
        None => Ok(target),
    }
}

fn address(word: Word<'_>) -> Result<Address, Slip> {
    let negated = word.text.starts_with('!');
    let value = if negated { word.skip(1) } else { word };
    let is_any = value.text.eq_ignore_ascii_case("any")
        || value.text.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    match (is_any, negated) {
        (true, false) => return Ok(Address::Any),
        (true, true) => return Err(Slip::word(word, "what matches something: not any address is none")),
        _ => {}
    }
    let net: Net = value.text.parse().map_err(|bad: mos_core::config::BadNet| {
        let allowed = if bad.at == 0 { ADDRESS } else { bad.allowed };
        Slip::word(value.skip(bad.at), allowed)
    })?;
    Ok(if negated { Address::NotIn(net) } else { Address::In(net) })
}

fn parse_ports(word: Word<'_>) -> Result<Ports, Slip> {
    let negated = word.text.starts_with('!');
    let value = if negated { word.skip(1) } else { word };
    let bad = || Slip::word(value, PORT);
    let port = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten().ok_or_else(bad)
    };
    let ports = match value.text.split_once('-') {
        _ if value.text.eq_ignore_ascii_case("any") => Ports::ANY,
        Some((first, last)) => Ports { first: port(first)?, last: port(last)?, negated },
        None => match port(value.text)? {
            0 => Ports::ANY,
            only => Ports { first: only, last: only, negated },
        },
    };
    if ports.first > ports.last {
        return Err(Slip::word(value, "a range from the lower to the higher port"));
    }
    if negated && (ports.first, ports.last) == (0, u16::MAX) {
        return Err(Slip::word(word, "what matches something: not any port is none"));
    }
    Ok(ports)
}
