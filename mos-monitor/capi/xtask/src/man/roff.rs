//! Blocks to roff, in the macros of man(7).
//!
//! The crate `roff` makes a minus of every hyphen and cannot write tables; what is needed of it is little.

use std::fmt::Write as _;

use super::source::{Block, Page};

/// When the pages were last revised. Not the day on which they are made: the same text makes the same page.
const DATE: &str = "2026-11-26";

/// A page that stands for another one.
pub(super) fn alias(page: &Page) -> String {
    format!(".so man3/{}.3\n", page.names[0])
}

pub(super) fn page(page: &Page) -> String {
    let mut out = String::new();
    let has_table = page.sections.iter().any(|(_, blocks)| blocks.iter().any(|block| matches!(block, Block::Table(_))));
    if has_table {
        // So that man(1) calls tbl(1).
        out.push_str("'\\\" t\n");
    }
    let name = &page.names[0];
    let text = &page.file;
    let _ = writeln!(out, ".\\\" Made from mos-monitor/capi/man/{text} by `cargo run -p xtask -- man`: change that.");
    let _ = writeln!(out, ".TH {name} 3 {DATE} libmos \"libmos Programmer\\(aqs Manual\"");
    out.push_str(".SH NAME\n");
    let _ = writeln!(out, "{} \\- {}", page.names.join(", "), inline(page, &page.summary));
    for (section, blocks) in &page.sections {
        let _ = writeln!(out, ".SH {}", argument(section));
        if section == "SYNOPSIS" {
            synopsis(&mut out, page, blocks);
        } else {
            write_blocks(&mut out, page, blocks, Place::Section);
        }
    }
    out
}

/// Where blocks stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Section,
    /// In the text of a list.
    List,
}

fn write_blocks(out: &mut String, page: &Page, blocks: &[Block], place: Place) {
    for (index, block) in blocks.iter().enumerate() {
        // The macro that is above them has begun their paragraph.
        let is_begun = index == 0 || matches!(blocks[index - 1], Block::Title(_));
        let paragraph = if place == Place::Section { ".PP\n" } else { ".IP\n" };
        match block {
            Block::Title(title) => {
                let _ = writeln!(out, ".SS {}", argument(title));
            }
            Block::Paragraph(lines) => {
                if !is_begun {
                    out.push_str(paragraph);
                }
                write_lines(out, page, lines);
            }
            Block::Code(lines) => {
                if !is_begun {
                    out.push_str(paragraph);
                }
                out.push_str(".in +2n\n.EX\n");
                for line in lines {
                    let _ = writeln!(out, "{}", guarded(&code(line)));
                }
                out.push_str(".EE\n.in\n");
            }
            Block::Terms { .. } | Block::Item(_) if place == Place::List => {
                out.push_str(".RS\n");
                list(out, page, block);
                out.push_str(".RE\n");
            }
            Block::Terms { .. } | Block::Item(_) => list(out, page, block),
            Block::Table(rows) => table(out, page, rows),
        }
    }
}

fn list(out: &mut String, page: &Page, block: &Block) {
    let body = match block {
        Block::Terms { terms, body } => {
            for (index, term) in terms.iter().enumerate() {
                out.push_str(if index == 0 { ".TP\n" } else { ".TQ\n" });
                let _ = writeln!(out, "{}", guarded(&inline(page, term)));
            }
            body
        }
        Block::Item(body) => {
            out.push_str(".IP \\(bu 3\n");
            body
        }
        _ => unreachable!("only lists come here"),
    };
    write_blocks(out, page, body, Place::List);
}

fn write_lines(out: &mut String, page: &Page, lines: &[String]) {
    // An emphasis may go over a line's end.
    for line in inline(page, &lines.join("\n")).lines() {
        let _ = writeln!(out, "{}", guarded(line));
    }
}

/// The last column takes what the others leave.
fn table(out: &mut String, page: &Page, rows: &[Vec<String>]) {
    let columns = rows[0].len();
    let format = |cell: &str, last: &str| format!("{}{last}", format!("{cell} ").repeat(columns - 1));
    let _ = writeln!(out, ".TS\n{}\n{}.", format("lb", "lb"), format("l", "lx"));
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().map(|cell| guarded(&inline(page, cell))).collect();
        match cells.split_last() {
            Some((last, others)) if index > 0 => {
                let others: String = others.iter().map(|cell| format!("{cell}\t")).collect();
                let _ = writeln!(out, "{others}T{{\n.na\n{last}\nT}}");
            }
            _ => {
                let _ = writeln!(out, "{}", cells.join("\t"));
            }
        }
    }
    out.push_str(".TE\n");
}

/// Declarations are bold, their arguments italic.
fn synopsis(out: &mut String, page: &Page, blocks: &[Block]) {
    for (index, block) in blocks.iter().enumerate() {
        match block {
            Block::Code(lines) => {
                out.push_str(if index > 0 { ".PP\n.nf\n" } else { ".nf\n" });
                for line in lines {
                    if line.is_empty() {
                        out.push_str(".PP\n");
                    } else {
                        let _ = writeln!(out, "\\fB{}\\fR", declaration(line));
                    }
                }
                out.push_str(".fi\n");
            }
            other => {
                if index > 0 && matches!(other, Block::Paragraph(_)) {
                    out.push_str(".PP\n");
                }
                write_blocks(out, page, std::slice::from_ref(other), Place::Section);
            }
        }
    }
}

/// The names of arguments stand before `,`, `)` or `[`, and after something.
fn declaration(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let len = rest.find(|char: char| !is_word(char)).unwrap_or(rest.len());
        if len == 0 {
            let next = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(&code(&rest[..next]));
            rest = &rest[next..];
            continue;
        }
        let (word, after) = rest.split_at(len);
        let before = &line[..line.len() - rest.len()];
        let has_type = before.ends_with([' ', '*']) && !before.ends_with("(*");
        if has_type && after.starts_with([',', ')', '[']) {
            let _ = write!(out, "\\fI{}\\fB", code(word));
        } else {
            out.push_str(&code(word));
        }
        rest = after;
    }
    out
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// Emphasis, and pages that are referred to. The page's own functions are written as such.
fn inline(page: &Page, text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let (mark, font) = match char {
            '`' => ("`", "B"),
            '*' if rest.starts_with("**") => ("**", "B"),
            '*' => ("*", "I"),
            _ => ("", ""),
        };
        let inner = rest[mark.len()..]
            .split_once(mark)
            .filter(|(inner, _)| !mark.is_empty() && !inner.is_empty() && !inner.starts_with(' '));
        if let Some((inner, after)) = inner {
            let inner = if mark == "**" { emphasised(inner) } else { typed(&mut out, inner) };
            let _ = write!(out, "\\f{font}{inner}\\fR");
            rest = after;
        } else if let Some((name, section, after)) = reference(rest).filter(|_| !ends_in_word(&out)) {
            let is_own = section == '3' && page.names.iter().any(|own| own == name);
            let section = if is_own { String::new() } else { section.to_string() };
            let name = typed(&mut out, name);
            let _ = write!(out, "\\fB{name}\\fR({section})");
            rest = after;
        } else {
            if char == '-' && rest[1..].starts_with(|next: char| next.is_ascii_digit()) && !ends_in_word(&out) {
                // A minus, no hyphen.
                out.push('\\');
            }
            out.push_str(&plain(&rest[..1]));
            rest = &rest[1..];
        }
    }
    out
}

/// What has weight may have names in it, which are bold anyway.
fn emphasised(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = if index % 2 == 0 { plain(part) } else { typed(&mut out, part) };
        out.push_str(&part);
    }
    out
}

/// What is typed, or the name of an argument, after `before`: its hyphens are minus signs, and its words are not hyphenated. What keeps troff from that stands
/// at the beginning of a word, and so perhaps before a parenthesis.
fn typed(before: &mut String, text: &str) -> String {
    let word = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let is_inside = word < before.len();
    if is_inside && !before[word..].contains("\\%") {
        before.insert_str(word, "\\%");
    }
    let words = code(text).replace(' ', " \\%");
    if is_inside { words } else { format!("\\%{words}") }
}

fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(is_word)
}

/// `name(3)`: the name, the section, and what comes then.
fn reference(text: &str) -> Option<(&str, char, &str)> {
    let len = text.find(|char: char| !is_word(char) && char != '-')?;
    let (name, after) = text.split_at(len);
    let mut chars = after.strip_prefix('(')?.chars();
    let section = chars.next().filter(|section| ('1'..='8').contains(section))?;
    let after = chars.as_str().strip_prefix(')')?;
    (!name.is_empty()).then_some((name, section, after))
}

fn plain(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, char| {
        match char {
            '\\' => out.push_str("\\e"),
            '~' => out.push_str("\\(ti"),
            '^' => out.push_str("\\(ha"),
            '`' => out.push_str("\\(ga"),
            '\'' => out.push_str("\\(aq"),
            _ => out.push(char),
        }
        out
    })
}

/// The same with hyphens that are minus signs.
fn code(text: &str) -> String {
    plain(text).replace('-', "\\-")
}

/// A line that is no request.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

fn argument(text: &str) -> String {
    format!("\"{}\"", plain(text).replace('"', "\\(dq"))
}
