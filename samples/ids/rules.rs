//! The file of rules: a subset of Suricata's language, read exactly. What is not in it is a mistake, never ignored.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::cursor::Cursor;
use super::operand::Operands;
use super::options::{Options, read_options};
use super::rule::{Action, Rule};
use crate::eve::Direction;
use crate::syntax::{self, FileError, Mistakes, Notes, Slip};

/// The most rules of a file.
pub const MAX_RULES: usize = 65_536;

/// The most bytes in all contents of a file.
pub const MAX_CONTENT_BYTES: usize = 4 << 20;

/// The rules of a file, in its order.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    list: Vec<Rule>,
    /// Rules that together are about all that any is, no two of them about the same.
    heads: Vec<usize>,
}

impl Rules {
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
    /// All the mistakes in it: the first one of each line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistakes> {
        let mut notes = Notes::default();
        let mut reader = Reader::default();
        for (index, line) in text.lines().enumerate() {
            if let Err(slip) = reader.line(line) {
                notes.add(index + 1, slip);
            }
            if reader.is_full {
                break;
            }
        }
        let heads = heads(&reader.list);
        notes.finish(file, Self { list: reader.list, heads })
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Rule] {
        &self.list
    }

    /// Whether any is about what `source` sends to `destination`, which goes in `direction`.
    #[must_use]
    pub fn are_about(&self, source: SocketAddr, destination: SocketAddr, direction: Direction) -> bool {
        self.heads.iter().any(|&number| self.list[number].is_about(source, destination, direction))
    }
}

/// The first rule of each group that is about the same: the same operands are stored once.
fn heads(list: &[Rule]) -> Vec<usize> {
    let mut seen = HashSet::new();
    let is_first = |rule: &Rule| {
        let addresses = [&rule.source, &rule.destination].map(Arc::as_ptr);
        let ports = [&rule.source_ports, &rule.destination_ports].map(Arc::as_ptr);
        seen.insert((addresses, ports, rule.direction.map(|direction| direction as u8)))
    };
    list.iter().map(is_first).enumerate().filter_map(|(number, first)| first.then_some(number)).collect()
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.iter().try_for_each(|rule| writeln!(f, "{rule}"))
    }
}

/// What was read so far.
#[derive(Debug, Default)]
struct Reader {
    list: Vec<Rule>,
    operands: Operands,
    sids: HashSet<u32>,
    content_bytes: usize,
    /// There were more rules than there can be.
    is_full: bool,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), Slip> {
        let mut cursor = Cursor::new(line.trim_end());
        cursor.skip_spaces();
        if cursor.peek().is_none_or(|c| c == '#') {
            return Ok(());
        }
        let start = cursor;
        let word = cursor.take_while(|c| !c.is_whitespace());
        if word == "var" {
            cursor.skip_spaces();
            return self.operands.define(&mut cursor);
        }
        let action = Action::ALL.into_iter().find(|action| action.name() == word);
        let action = action.ok_or_else(|| start.slip("alert, drop, reject or var"))?;
        if self.list.len() == MAX_RULES {
            self.is_full = true;
            return Err(start.slip(format!("at most {MAX_RULES} rules")));
        }
        let rule = self.rule(action, &mut cursor)?;
        self.content_bytes += rule.contents.iter().map(|content| content.bytes.len()).sum::<usize>();
        if self.content_bytes > MAX_CONTENT_BYTES {
            self.is_full = true;
            return Err(start.slip(format!("at most {MAX_CONTENT_BYTES} bytes in all contents together")));
        }
        self.list.push(rule);
        Ok(())
    }

    fn rule(&mut self, action: Action, cursor: &mut Cursor<'_>) -> Result<Rule, Slip> {
        word(cursor, "tcp")?;
        cursor.skip_spaces();
        let source = self.operands.addresses(cursor)?;
        cursor.skip_spaces();
        let source_ports = self.operands.ports(cursor)?;
        word(cursor, "->")?;
        cursor.skip_spaces();
        let destination = self.operands.addresses(cursor)?;
        cursor.skip_spaces();
        let destination_ports = self.operands.ports(cursor)?;
        cursor.skip_spaces();
        let options = read_options(cursor, |sid| self.sids.insert(sid))?;
        let Options { msg, direction, established, contents, classtype, sid, rev, priority } = options;
        Ok(Rule {
            action,
            source,
            source_ports,
            destination,
            destination_ports,
            msg,
            direction,
            established,
            contents,
            classtype,
            sid,
            rev,
            priority,
        })
    }
}

/// The next word has to be this one.
fn word(cursor: &mut Cursor<'_>, wanted: &str) -> Result<(), Slip> {
    cursor.skip_spaces();
    let start = *cursor;
    if cursor.take_while(|c| !c.is_whitespace()) == wanted { Ok(()) } else { Err(start.slip(wanted)) }
}
