//! Addresses and ports of rules: names, lists, negations and variables, to sets.

use std::collections::HashMap;
use std::sync::Arc;

use super::cursor::Cursor;
use super::set::{Addresses, Ports, Set};
use crate::syntax::Slip;

/// How deep lists may be nested.
const MAX_DEPTH: usize = 16;

/// How many ranges may be gone through to read all the sets of a file: variables in lists multiply.
const MAX_WORK: usize = 1 << 23;

/// A variable: its text may mean addresses, ports, or both (`any`).
#[derive(Clone, Debug)]
struct Variable {
    addresses: Option<Arc<Addresses>>,
    ports: Option<Arc<Ports>>,
}

/// The variables that were defined so far, and the sets that were read.
#[derive(Debug)]
pub(super) struct Operands {
    variables: HashMap<String, Variable>,
    /// By their texts: most rules of a file have the same few.
    addresses: HashMap<String, Arc<Addresses>>,
    ports: HashMap<String, Arc<Ports>>,
    work_left: usize,
}

impl Default for Operands {
    fn default() -> Self {
        Self { variables: HashMap::new(), addresses: HashMap::new(), ports: HashMap::new(), work_left: MAX_WORK }
    }
}

/// A set that can be looked up by a variable's name.
trait Kind: Set {
    const OTHER_KIND: &'static str;
    fn of(variable: &Variable) -> Option<&Arc<Self>>;
}

impl Kind for Addresses {
    const OTHER_KIND: &'static str = "a variable that holds addresses";
    fn of(variable: &Variable) -> Option<&Arc<Self>> {
        variable.addresses.as_ref()
    }
}

impl Kind for Ports {
    const OTHER_KIND: &'static str = "a variable that holds ports";
    fn of(variable: &Variable) -> Option<&Arc<Self>> {
        variable.ports.as_ref()
    }
}

impl Operands {
    /// Reads addresses.
    pub(super) fn addresses(&mut self, cursor: &mut Cursor<'_>) -> Result<Arc<Addresses>, Slip> {
        let (start, text) = (*cursor, cursor.take_operand());
        if let Some(known) = self.addresses.get(text) {
            return Ok(Arc::clone(known));
        }
        let set = Arc::new(self.read::<Addresses>(start, text)?);
        self.addresses.insert(text.to_owned(), Arc::clone(&set));
        Ok(set)
    }

    /// Reads ports.
    pub(super) fn ports(&mut self, cursor: &mut Cursor<'_>) -> Result<Arc<Ports>, Slip> {
        let (start, text) = (*cursor, cursor.take_operand());
        if let Some(known) = self.ports.get(text) {
            return Ok(Arc::clone(known));
        }
        let set = Arc::new(self.read::<Ports>(start, text)?);
        self.ports.insert(text.to_owned(), Arc::clone(&set));
        Ok(set)
    }

    /// Reads the name and the value of a variable.
    pub(super) fn define(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Slip> {
        let start = *cursor;
        let name = cursor.take_while(is_name);
        if name.is_empty() {
            return Err(cursor.slip("a name of letters, digits and _"));
        }
        if self.variables.contains_key(name) {
            return Err(start.slip("a name that no line before defines"));
        }
        if !cursor.peek().is_some_and(char::is_whitespace) {
            return Err(cursor.slip("white space and a value"));
        }
        cursor.skip_spaces();
        let (start, text) = (*cursor, cursor.take_operand());
        let variable = match (self.read(start, text), self.read(start, text)) {
            // What gets farther is what was meant.
            (Err(addresses), Err(ports)) => {
                return Err(if ports.column > addresses.column { ports } else { addresses });
            }
            (addresses, ports) => Variable { addresses: addresses.ok().map(Arc::new), ports: ports.ok().map(Arc::new) },
        };
        cursor.skip_spaces();
        if cursor.peek().is_some() {
            return Err(cursor.slip("the end of the line"));
        }
        self.variables.insert(name.to_owned(), variable);
        Ok(())
    }

    /// Reads `text`, which stands at `start`.
    fn read<T: Kind>(&mut self, start: Cursor<'_>, text: &str) -> Result<T, Slip> {
        let mut cursor = start;
        let (set, negated) = self.item::<T>(&mut cursor, 0)?;
        if cursor.rest().len() + text.len() != start.rest().len() {
            return Err(cursor.slip("white space"));
        }
        let set = if negated { self.counted(&start, set.len() + 2, || T::any().minus(&set))? } else { set };
        if set.is_empty() {
            return Err(Slip::new(start.column(), text, "what matches something: this is the empty set"));
        }
        Ok(set)
    }

    /// A set, perhaps after `!`: then it is to be taken away.
    fn item<T: Kind>(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(T, bool), Slip> {
        let negated = cursor.eat('!');
        let start = *cursor;
        if cursor.eat('[') {
            if depth == MAX_DEPTH {
                return Err(start.slip(format!("lists nested at most {MAX_DEPTH} deep")));
            }
            return Ok((self.list(cursor, depth + 1)?, negated));
        }
        if cursor.eat('$') {
            let name = cursor.take_while(is_name);
            let variable = self.variables.get(name);
            let variable = variable.ok_or_else(|| start.slip("a variable that a line before defines"))?;
            let set = Arc::clone(T::of(variable).ok_or_else(|| start.slip(T::OTHER_KIND))?);
            return Ok((self.counted(&start, set.len(), || T::union(&[&set]))?, negated));
        }
        let text = cursor.take_while(|c| !c.is_whitespace() && !"[],!$".contains(c));
        if text == "any" {
            return Ok((T::any(), negated));
        }
        let set = T::atom(text).map_err(|(at, allowed)| {
            // What was taken so far is ASCII.
            Slip::new(start.column() + at, text.get(at..).unwrap_or(text), allowed)
        })?;
        Ok((set, negated))
    }

    /// What stands in brackets, up to the closing one: whatever is in a set of it, without what is in a negated one. If all
    /// are negated, whatever is in none of them.
    fn list<T: Kind>(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<T, Slip> {
        let start = *cursor;
        let (mut positive, mut negative) = (Vec::new(), Vec::new());
        loop {
            cursor.skip_spaces();
            let (set, negated) = self.item::<T>(cursor, depth)?;
            if negated {
                negative.push(set)
            } else {
                positive.push(set)
            }
            cursor.skip_spaces();
            if cursor.eat(']') {
                break;
            }
            if !cursor.eat(',') {
                return Err(cursor.slip(", or ]"));
            }
        }
        if positive.is_empty() {
            positive.push(T::any());
        }
        let work = positive.iter().chain(&negative).map(T::len).sum();
        self.counted(&start, work, || {
            let union = |sets: &[T]| T::union(&sets.iter().collect::<Vec<_>>());
            union(&positive).minus(&union(&negative))
        })
    }

    /// Does what goes through so many ranges, if that is not too much.
    fn counted<T>(&mut self, at: &Cursor<'_>, ranges: usize, work: impl FnOnce() -> T) -> Result<T, Slip> {
        self.work_left =
            self.work_left.checked_sub(ranges).ok_or_else(|| at.slip("fewer networks: the file has too many"))?;
        Ok(work())
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
