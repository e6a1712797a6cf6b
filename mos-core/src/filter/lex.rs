//! Words and signs of the language, each with its place.

use alloc::vec::Vec;

use super::expr::Relation;

/// What a piece of text is. Words that join stand for their signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything without blanks and signs: keyword, number, address.
    Word,
    Open,
    Close,
    OpenIndex,
    CloseIndex,
    And,
    Or,
    Not,
    BitAnd,
    BitOr,
    Relation(Relation),
    End,
}

/// A piece of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    /// Empty at the end.
    pub(super) text: &'t str,
    /// In characters, from 1.
    pub(super) column: usize,
}

/// Longer signs before those they begin with.
const SIGNS: [(&str, Kind); 16] = [
    ("&&", Kind::And),
    ("||", Kind::Or),
    ("!=", Kind::Relation(Relation::NotEqual)),
    ("==", Kind::Relation(Relation::Equal)),
    ("<=", Kind::Relation(Relation::LessOrEqual)),
    (">=", Kind::Relation(Relation::GreaterOrEqual)),
    ("=", Kind::Relation(Relation::Equal)),
    ("<", Kind::Relation(Relation::Less)),
    (">", Kind::Relation(Relation::Greater)),
    ("!", Kind::Not),
    ("&", Kind::BitAnd),
    ("|", Kind::BitOr),
    ("(", Kind::Open),
    (")", Kind::Close),
    ("[", Kind::OpenIndex),
    ("]", Kind::CloseIndex),
];

/// The pieces of a text. The last one is the end.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut rest, mut column) = (Vec::new(), text, 1);
    loop {
        let trimmed = rest.trim_start();
        column += rest[..rest.len() - trimmed.len()].chars().count();
        let (kind, len) = match SIGNS.iter().find(|(sign, _)| trimmed.starts_with(sign)) {
            Some(&(sign, kind)) => (kind, sign.len()),
            None => {
                let is_over = |c: char| c.is_whitespace() || "()[]&|!=<>".contains(c);
                let len = trimmed.find(is_over).unwrap_or(trimmed.len());
                (word(&trimmed[..len]), len)
            }
        };
        let (text, following) = trimmed.split_at(len);
        tokens.push(Token { kind, text, column });
        if kind == Kind::End {
            return tokens;
        }
        column += text.chars().count();
        rest = following;
    }
}

fn word(word: &str) -> Kind {
    match word {
        "" => Kind::End,
        "and" => Kind::And,
        "or" => Kind::Or,
        "not" => Kind::Not,
        _ => Kind::Word,
    }
}
