//! Commands, split into words and put together again as a shell would.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What is wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slip {
    /// Before which character, from 0.
    pub(super) at: usize,
    pub(super) why: &'static str,
}

/// The words of a command: between single quotes all is as it stands; between double quotes and outside of quotes a
/// backslash takes the next character as it stands.
pub(super) fn split(text: &str) -> Result<Vec<String>, Slip> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = text.chars().enumerate();
    // The quote that is open, and where it began.
    let mut quote: Option<(char, usize)> = None;
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some((open, _)), _) if c == open => quote = None,
            (Some(('\'', _)), _) => word.get_or_insert_default().push(c),
            (_, '\\') => {
                let (_, escaped) = chars.next().ok_or(Slip { at, why: "nothing follows the backslash" })?;
                word.get_or_insert_default().push(escaped);
            }
            (None, '"' | '\'') => {
                quote = Some((c, at));
                // `""` is a word, too.
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if let Some((_, at)) = quote {
        return Err(Slip { at, why: "the quote is never closed" });
    }
    words.extend(word);
    Ok(words)
}

/// A word as [`split`] reads it.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\');
        if !self.0.is_empty() && self.0.chars().all(is_plain) {
            return f.write_str(self.0);
        }
        if !self.0.contains('\'') {
            return write!(f, "'{}'", self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            let escape = if matches!(c, '"' | '\\') { "\\" } else { "" };
            write!(f, "{escape}{c}")?;
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_by_a_shell() {
        let cases: [(&str, &[&str]); 6] = [
            (r#""ids" -r 'rules file.txt'"#, &["ids", "-r", "rules file.txt"]),
            (r#"a"b c"'d'e"#, &["ab cde"]),
            (r#"a\ b '\' "\"""#, &["a b", "\\", "\""]),
            ("''  \"\"", &["", ""]),
            ("  a  ", &["a"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
        assert_eq!(split("a 'b").unwrap_err().at, 2);
        assert_eq!(split("a\\").unwrap_err().at, 1);
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_split_into_the_same(words in prop::collection::vec(".*", 0..5)) {
            let text: Vec<_> = words.iter().map(|word| Quoted(word).to_string()).collect();
            prop_assert_eq!(split(&text.join(" ")).unwrap(), words);
        }
    }
}
