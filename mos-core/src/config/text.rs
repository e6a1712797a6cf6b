//! Pieces of configuration files: lines without their comments, words and where they stand, and how they are quoted.

use core::fmt;

/// How much of what was found a message shows.
const SHOWN_CHARS: usize = 40;

/// A run of characters without white space, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The characters.
    pub text: &'a str,
    /// The first one's place in the line, from 1.
    pub column: usize,
}

impl<'a> Word<'a> {
    /// The word without its first `bytes`, which must be ASCII.
    #[must_use]
    pub fn skip(self, bytes: usize) -> Self {
        Self { text: self.text.get(bytes..).unwrap_or_default(), column: self.column + bytes }
    }

    /// What follows `prefix`, if the word begins with it in any case. It must be ASCII.
    #[must_use]
    pub fn strip(self, prefix: &str) -> Option<Self> {
        let start = self.text.get(..prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then(|| self.skip(prefix.len()))
    }
}

/// The words of a line.
pub fn words(line: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = line;
    let mut column = 1;
    core::iter::from_fn(move || {
        let text = rest.trim_start();
        column += rest[..rest.len() - text.len()].chars().count();
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let word = Word { text: &text[..end], column };
        rest = &text[end..];
        column += word.text.chars().count();
        (!word.text.is_empty()).then_some(word)
    })
}

/// The line without its comment: what follows the first `#`.
#[must_use]
pub fn without_comment(line: &str) -> &str {
    line.split_once('#').map_or(line, |(before, _)| before)
}

/// The number of the column behind the last character.
#[must_use]
pub fn end_of(line: &str) -> usize {
    line.trim_end().chars().count() + 1
}

/// Something that was found, for a message: in backticks, not too long, and without what would upset a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = match self.0.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => (&self.0[..end], "..."),
            None => (self.0, ""),
        };
        f.write_str("`")?;
        for c in shown.chars() {
            // Quotes and backslashes are harmless, and clearer as they are.
            if c.is_control() { write!(f, "{}", c.escape_debug())? } else { write!(f, "{c}")? }
        }
        write!(f, "{rest}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_where_they_stand() {
        let found: Vec<_> = words(" ä  b\tcd ").map(|word| (word.text, word.column)).collect();
        assert_eq!(found, [("ä", 2), ("b", 5), ("cd", 7)]);
        assert_eq!(words(" \t").count(), 0);
        let word = Word { text: "DPort:80", column: 5 };
        assert_eq!(word.strip("dport:"), Some(Word { text: "80", column: 11 }));
        assert_eq!(Word { text: "ä", column: 1 }.strip("a"), None);
    }

    #[test]
    fn what_is_quoted_is_short_and_harmless() {
        assert_eq!(Quoted("a\u{1b}\"\\").to_string(), "`a\\u{1b}\"\\`");
        assert_eq!(Quoted(&"ä".repeat(41)).to_string(), format!("`{}...`", "ä".repeat(40)));
    }
}
