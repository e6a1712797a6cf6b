//! A line of rules, character by character.

use crate::syntax::Slip;

/// A place in a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    line: &'a str,
    /// In bytes, between two characters.
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { line, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Goes on if the next character is this one.
    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    pub(super) fn expect(&mut self, wanted: char) -> Result<(), Slip> {
        if self.eat(wanted) { Ok(()) } else { Err(self.slip(wanted.to_string())) }
    }

    pub(super) fn skip_spaces(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// Takes what comes next as long as it is wanted.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Takes what comes next up to white space that is in no brackets.
    pub(super) fn take_operand(&mut self) -> &'a str {
        let rest = self.rest();
        let mut depth = 0usize;
        let end = rest.find(|c: char| {
            match c {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c.is_whitespace() && depth == 0
        });
        let end = end.unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// The place, in characters from 1.
    pub(super) fn column(&self) -> usize {
        self.line[..self.at].chars().count() + 1
    }

    /// What stands here is not allowed.
    pub(super) fn slip(&self, allowed: impl Into<String>) -> Slip {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || ";,:()[]\"".contains(c)).unwrap_or(rest.len());
        let end = if end == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { end };
        Slip::new(self.column(), &rest[..end], allowed)
    }
}
