//! Configuration files, line by line and word by word, and all the mistakes in them in one go.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use mos_core::config::text::{Word, end_of, without_comment, words};

/// The longest file that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// How much of what was found a message shows.
const SHOWN_CHARS: usize = 40;

/// Something that is not allowed where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What stands there.
    pub found: String,
    /// What could stand there.
    pub allowed: String,
}

/// All the mistakes of a file, in the order of lines. Shown one per line, each with the file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    /// The file.
    pub file: String,
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Mistake { line, column, found, allowed }) in self.mistakes.iter().enumerate() {
            let gap = if index > 0 { "\n" } else { "" };
            write!(f, "{gap}{}:{line}:{column}: found {found}, allowed: {allowed}", self.file)?;
        }
        Ok(())
    }
}

/// Why a configuration file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read, or is no text.
    #[error("{file}: {source}")]
    Read {
        /// Its name.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// It can be read, but makes no sense.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

/// The text of the file at `path`.
///
/// # Errors
///
/// If it cannot be read, is not UTF-8, or is larger than any configuration.
pub fn read(path: &Path) -> Result<String, FileError> {
    let text = File::open(path).and_then(|file| {
        let mut text = String::new();
        let len = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
        if len as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 MiB"));
        }
        Ok(text)
    });
    text.map_err(|source| FileError::Read { file: path.display().to_string(), source })
}

/// What was found, in quotes and not too long.
#[must_use]
pub fn quoted(found: &str) -> String {
    if found.is_empty() {
        return "nothing".to_owned();
    }
    match found.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("\"{}...\"", found[..end].escape_debug()),
        None => format!("\"{}\"", found.escape_debug()),
    }
}

/// A mistake within a line that is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slip {
    /// The character in the line, from 1.
    pub column: usize,
    /// What stands there.
    pub found: String,
    /// What could stand there.
    pub allowed: String,
}

impl Slip {
    /// At `column` stands `found`, which is put in quotes.
    #[must_use]
    pub fn new(column: usize, found: &str, allowed: impl Into<String>) -> Self {
        Self { column, found: quoted(found), allowed: allowed.into() }
    }

    /// The word stands where something else should.
    #[must_use]
    pub fn word(word: Word<'_>, allowed: impl Into<String>) -> Self {
        Self::new(word.column, word.text, allowed)
    }
}

/// The mistakes of a file so far.
#[derive(Debug, Default)]
pub struct Notes(Vec<Mistake>);

impl Notes {
    /// One more, in line number `line`.
    pub fn add(&mut self, line: usize, Slip { column, found, allowed }: Slip) {
        self.0.push(Mistake { line, column, found, allowed });
    }

    /// `value`, if there were no mistakes.
    ///
    /// # Errors
    ///
    /// All of them, otherwise.
    pub fn finish<T>(self, file: &str, value: T) -> Result<T, Mistakes> {
        if self.0.is_empty() { Ok(value) } else { Err(Mistakes { file: file.to_owned(), mistakes: self.0 }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_shown() {
        let mut notes = Notes::default();
        notes.add(3, Slip::new(7, "x\u{1b}", "a number"));
        notes.add(4, Slip::new(1, "", "a rule"));
        let error = notes.finish("some.conf", ()).unwrap_err();
        let expected =
            "some.conf:3:7: found \"x\\u{1b}\", allowed: a number\nsome.conf:4:1: found nothing, allowed: a rule";
        assert_eq!(error.to_string(), expected);
        assert_eq!(quoted(&"ä".repeat(41)), format!("\"{}...\"", "ä".repeat(40)));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = read(Path::new("/no/such/file")).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/file: "), "{error}");
    }
}
