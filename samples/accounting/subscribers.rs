//! Who is charged for a flow: its client, or whoever owns the network of one of its ends.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use mos_monitor::Side;

use crate::syntax::{self, FileError, Mistakes, Notes, Slip, Word};
use mos_core::config::{Net, masked};

/// Who is charged. In the order in which reports have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subscriber {
    /// One of those in the file, by number.
    Listed(usize),
    /// An address.
    Address(IpAddr),
    /// Everybody else.
    Other,
}

/// All subscribers there are.
#[derive(Debug, Default)]
pub struct Subscribers {
    /// `None`: every client is one.
    list: Option<List>,
}

#[derive(Debug, Default)]
struct List {
    /// By number.
    names: Vec<String>,
    /// Longest prefixes first.
    tables: Vec<Table>,
}

/// The networks of one version with prefixes of one length, and the numbers of those who own them.
#[derive(Debug)]
struct Table {
    is_v6: bool,
    prefix: u8,
    owners: HashMap<IpAddr, usize>,
}

impl Subscribers {
    /// Every address that opens connections is a subscriber.
    #[must_use]
    pub fn clients() -> Self {
        Self::default()
    }

    /// Those of the file at `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has mistakes in it.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Ok(Self::parse(&path.display().to_string(), &syntax::read(path)?)?)
    }

    /// Those in `text`, which is that of `file`: a name and a network on each line.
    ///
    /// # Errors
    ///
    /// All the mistakes in it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistakes> {
        let mut notes = Notes::default();
        let mut list = List::default();
        let mut numbers = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = syntax::without_comment(line);
            let mut words = syntax::words(line);
            let Some(name) = words.next() else { continue };
            let read = read_network(&mut words, line).and_then(|(word, net)| {
                let number = *numbers.entry(name.text).or_insert_with(|| {
                    list.names.push(name.text.to_owned());
                    list.names.len() - 1
                });
                if list.insert(net, number) {
                    return Ok(());
                }
                Err(Slip::word(word, "a network that no line before has"))
            });
            if let Err(slip) = read {
                notes.add(index + 1, slip);
            }
        }
        list.tables.sort_by_key(|table| std::cmp::Reverse(table.prefix));
        notes.finish(file, Self { list: Some(list) })
    }

    /// Who is charged for a flow between these addresses, the client's first, and on which side that is. Of two
    /// subscribers it is the client.
    #[must_use]
    pub fn of(&self, [client, server]: &[IpAddr; 2]) -> (Subscriber, Side) {
        let Some(list) = &self.list else { return (Subscriber::Address(*client), Side::Client) };
        match (list.owner(*client), list.owner(*server)) {
            (Some(number), _) => (Subscriber::Listed(number), Side::Client),
            (None, Some(number)) => (Subscriber::Listed(number), Side::Server),
            (None, None) => (Subscriber::Other, Side::Client),
        }
    }

    /// What the subscriber is called.
    #[must_use]
    pub fn name(&self, subscriber: Subscriber) -> String {
        let listed = |number: usize| self.list.as_ref()?.names.get(number).cloned();
        match subscriber {
            Subscriber::Listed(number) => listed(number).unwrap_or_default(),
            Subscriber::Address(address) => address.to_string(),
            Subscriber::Other => "(other)".to_owned(),
        }
    }
}

impl fmt::Display for Subscribers {
    /// The file, with the longest prefixes first; nothing if every client is a subscriber.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(list) = &self.list else { return Ok(()) };
        for table in &list.tables {
            let mut lines: Vec<_> =
                table.owners.iter().map(|(address, number)| (*number, Net::new(*address, table.prefix))).collect();
            lines.sort_unstable();
            lines.iter().try_for_each(|(number, net)| writeln!(f, "{} {net}", list.names[*number]))?;
        }
        Ok(())
    }
}

fn read_network<'a>(words: &mut impl Iterator<Item = Word<'a>>, line: &str) -> Result<(Word<'a>, Net), Slip> {
    let word = words.next().ok_or_else(|| Slip::new(syntax::end_of(line), "", "a network (address/mask)"))?;
    let net = word.text.parse().map_err(|bad: mos_core::config::BadNet| Slip::word(word.skip(bad.at), bad.allowed))?;
    match words.next() {
        Some(word) => Err(Slip::word(word, "the end of the line")),
        None => Ok((word, net)),
    }
}

impl List {
    /// False if somebody owns it already.
    fn insert(&mut self, net: Net, number: usize) -> bool {
        let is_its = |table: &&mut Table| table.is_v6 == net.is_v6() && table.prefix == net.prefix();
        let owners = match self.tables.iter_mut().find(is_its) {
            Some(table) => &mut table.owners,
            None => {
                self.tables.push(Table { is_v6: net.is_v6(), prefix: net.prefix(), owners: HashMap::new() });
                let last = self.tables.len() - 1;
                &mut self.tables[last].owners
            }
        };
        if owners.contains_key(&net.first()) {
            return false;
        }
        owners.insert(net.first(), number);
        true
    }

    /// Who owns the smallest network that `address` is in.
    fn owner(&self, address: IpAddr) -> Option<usize> {
        let tables = self.tables.iter().filter(|table| table.is_v6 == address.is_ipv6());
        tables.flat_map(|table| table.owners.get(&masked(address, table.prefix))).next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_smallest_network_counts_and_the_client_first() {
        let text = "all 10.0.0.0/8\nlab 10.1.0.0/16 # inside\nlab 2001:db8::/32\n";
        let subscribers = Subscribers::parse("f", text).unwrap();
        let of = |client: &str, server: &str| {
            let (subscriber, side) = subscribers.of(&[client, server].map(|ip| ip.parse().unwrap()));
            (subscribers.name(subscriber), side)
        };
        assert_eq!(of("10.1.2.3", "10.2.2.3"), ("lab".to_owned(), Side::Client));
        assert_eq!(of("192.0.2.1", "10.2.2.3"), ("all".to_owned(), Side::Server));
        assert_eq!(of("192.0.2.1", "2001:db8::1"), ("lab".to_owned(), Side::Server));
        assert_eq!(of("192.0.2.1", "::1"), ("(other)".to_owned(), Side::Client));
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let text = "a 10.0.0.0/8\nb\nc 10.0.0.0/99\n\nd 10.0.0.0/8\ne ::1 x\n";
        let error = Subscribers::parse("f", text).unwrap_err();
        let places: Vec<_> = error.mistakes.iter().map(|mistake| (mistake.line, mistake.column)).collect();
        assert_eq!(places, [(2, 2), (3, 12), (5, 3), (6, 7)], "{error}");
    }

    proptest! {
        #[test]
        fn no_text_is_too_much_and_networks_read_as_written(text in r"((a |10\.0\.0\.1|::1|/|8|#|\PC)[ \n]?){0,40}") {
            if let Ok(subscribers) = Subscribers::parse("f", &text) {
                let lines = |subscribers: &Subscribers| {
                    let mut lines: Vec<_> = subscribers.to_string().lines().map(str::to_owned).collect();
                    lines.sort_unstable();
                    lines
                };
                let again = Subscribers::parse("f", &subscribers.to_string()).unwrap();
                prop_assert_eq!(lines(&again), lines(&subscribers));
            }
        }
    }
}
