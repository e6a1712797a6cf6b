//! A file's text in pieces: lines without comments, blocks that open and close.
//!
//! `#` begins a comment, and a brace opens or closes a block, wherever they stand: mOS knows no quotes for them either. The
//! brace may stand in a line after the block's name.

use alloc::vec::Vec;

use super::error::Place;
use super::text::without_comment;

/// A part of a line without blanks around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'t> {
    pub(super) text: &'t str,
    pub(super) place: Place,
}

impl<'t> Text<'t> {
    /// `text`, which begins at `place`, without the blanks around it.
    pub(super) fn trimmed(text: &'t str, place: Place) -> Self {
        let trimmed = text.trim_start();
        let blanks = text[..text.len() - trimmed.len()].chars().count();
        Self { text: trimmed.trim_end(), place: place.after(blanks) }
    }

    /// The place behind it.
    pub(super) fn end(self) -> Place {
        self.place.after(self.text.chars().count())
    }

    /// The parts before and behind the first `c`.
    pub(super) fn split_at(self, c: char) -> Option<(Self, Self)> {
        let (before, behind) = self.text.split_once(c)?;
        let place = self.place.after(before.chars().count() + 1);
        Some((Self::trimmed(before, self.place), Self::trimmed(behind, place)))
    }
}

/// What a file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    /// A line that is not blank, or what of it is no brace.
    Line(Text<'t>),
    /// A block begins. What stands before the brace should be its name; it is blank if nothing does.
    Open { name: Text<'t>, brace: Place },
    /// A block ends.
    Close(Place),
}

/// The pieces of a file, in order.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    // Some editors put it there; it is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut pieces = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut rest = without_comment(line);
        let mut place = Place { line: index + 1, column: 1 };
        while let Some(at) = rest.find(['{', '}']) {
            let before = Text::trimmed(&rest[..at], place);
            let brace = place.after(rest[..at].chars().count());
            if rest[at..].starts_with('{') {
                push_open(&mut pieces, before, brace);
            } else {
                push_line(&mut pieces, before);
                pieces.push(Piece::Close(brace));
            }
            (rest, place) = (&rest[at + 1..], brace.after(1));
        }
        push_line(&mut pieces, Text::trimmed(rest, place));
    }
    pieces
}

fn push_line<'t>(pieces: &mut Vec<Piece<'t>>, line: Text<'t>) {
    if !line.text.is_empty() {
        pieces.push(Piece::Line(line));
    }
}

fn push_open<'t>(pieces: &mut Vec<Piece<'t>>, before: Text<'t>, brace: Place) {
    let name = match pieces.last() {
        Some(&Piece::Line(name)) if before.text.is_empty() => {
            pieces.pop();
            name
        }
        _ => before,
    };
    pieces.push(Piece::Open { name, brace });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, line: usize, column: usize) -> Text<'_> {
        Text { text, place: Place { line, column } }
    }

    #[test]
    fn blocks_may_stand_in_any_lines() {
        let found = pieces("mos # {\n{\n  a = ä } b\n\nc { d }\n{");
        let at = |line, column| Place { line, column };
        let expected = [
            Piece::Open { name: text("mos", 1, 1), brace: at(2, 1) },
            Piece::Line(text("a = ä", 3, 3)),
            Piece::Close(at(3, 9)),
            Piece::Line(text("b", 3, 11)),
            Piece::Open { name: text("c", 5, 1), brace: at(5, 3) },
            Piece::Line(text("d", 5, 5)),
            Piece::Close(at(5, 7)),
            Piece::Open { name: text("", 6, 1), brace: at(6, 1) },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn parts_know_where_they_stand() {
        let (key, value) = text("ä =  b c", 2, 5).split_at('=').unwrap();
        assert_eq!(key, text("ä", 2, 5));
        assert_eq!(value, text("b c", 2, 10));
        assert_eq!(value.end(), Place { line: 2, column: 13 });
    }
}
