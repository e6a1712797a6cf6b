//! The text of a page: a little Markdown to blocks.
//!
//! * `# NAME(3)` is the first line, `## SECTION` begins a section, `### Title` a part of one.
//! * Lines up to a blank one are a paragraph; in it stand `` `what is typed` ``, `*arguments*` and `**weight**`.
//!   `page(3)` refers to a page.
//! * A line, or several, and then `: text` say what something means; the text goes on in lines that are indented by two
//!   blanks, with blank lines between its paragraphs.
//! * `* text` is an item of a list, and goes on in the same way.
//! * Lines between fences are code; in SYNOPSIS they are declarations.
//! * Lines that begin with a `|` are a table, its first row a header, its second one dashes.
//! * `@NAME` stands for the entry of that name in `common.md`.
//!
//! Texts are ASCII: how anything else comes out depends on the terminal. Code is no wider than a terminal of 80 columns has room for.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// The sections that a page may have, in this order.
const SECTIONS: [&str; 8] =
    ["NAME", "SYNOPSIS", "DESCRIPTION", "RETURN VALUE", "ERRORS", "NOTES", "EXAMPLE", "SEE ALSO"];

/// The widest line of code: what indentation and a margin leave of 80 columns.
const MAX_CODE: usize = 70;

/// The sections that it must have.
const NEEDED: [&str; 4] = ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"];

#[derive(Debug)]
pub(super) struct Page {
    /// The name of the text's file.
    pub(super) file: String,
    /// What it describes; the page is named after the first.
    pub(super) names: Vec<String>,
    pub(super) summary: String,
    /// All but NAME.
    pub(super) sections: Vec<(String, Vec<Block>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Title(String),
    Paragraph(Vec<String>),
    Code(Vec<String>),
    Terms { terms: Vec<String>, body: Vec<Block> },
    Item(Vec<Block>),
    Table(Vec<Vec<String>>),
}

/// A line and its number.
type Line<'a> = (usize, &'a str);

/// The entries of `common.md`.
#[derive(Debug, Default)]
pub(super) struct Common(BTreeMap<String, Block>);

impl Common {
    /// Each section is an entry; what stands before the first one is for readers.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let mut entries = BTreeMap::new();
        let lines = numbered(path, text)?;
        let first = lines.iter().position(|(_, line)| line.starts_with("## ")).unwrap_or(lines.len());
        for (name, lines) in sections(&lines[first..])? {
            let blocks = Self::default().blocks(&lines).with_context(|| path.display().to_string())?;
            let [entry @ Block::Terms { .. }] = blocks.as_slice() else {
                bail!("{}: {name} is not one entry", path.display());
            };
            entries.insert(name, entry.clone());
        }
        Ok(Self(entries))
    }

    fn blocks(&self, lines: &[Line<'_>]) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        let mut rest = lines;
        while let Some(&(number, line)) = rest.first() {
            let taken;
            if line.is_empty() {
                taken = 1;
            } else if let Some(title) = line.strip_prefix("### ") {
                blocks.push(Block::Title(title.to_owned()));
                taken = 1;
            } else if let Some(name) = line.strip_prefix('@') {
                let entry =
                    self.0.get(name).with_context(|| format!("line {number}: there is no {line} in common.md"))?;
                blocks.push(entry.clone());
                taken = 1;
            } else if line.starts_with("```") {
                let code = rest[1..].iter().position(|(_, line)| *line == "```");
                let code = code.with_context(|| format!("line {number}: the code has no end"))?;
                let wide = rest[1..=code].iter().find(|(_, line)| line.len() > MAX_CODE);
                ensure!(wide.is_none(), "line {}: over {MAX_CODE} columns", wide.map_or(0, |(number, _)| *number));
                blocks.push(Block::Code(rest[1..=code].iter().map(|(_, line)| (*line).to_owned()).collect()));
                taken = code + 2;
            } else if line.starts_with('|') {
                taken = run(rest, |line| line.starts_with('|'));
                let mut rows: Vec<_> = rest[..taken].iter().map(|(_, line)| cells(line)).collect();
                ensure!(taken > 2 && rows[1].iter().all(|cell| cell == "---"), "line {number}: no table");
                ensure!(rows.iter().all(|row| row.len() == rows[0].len()), "line {number}: rows of different lengths");
                rows.remove(1);
                blocks.push(Block::Table(rows));
            } else if line.starts_with("* ") {
                taken = 1 + run(&rest[1..], |line| line.is_empty() || line.starts_with("  "));
                blocks.push(Block::Item(self.blocks(&dedent(&rest[..taken]))?));
            } else {
                let lines = run(rest, |line| !line.is_empty() && !line.starts_with(": ") && !line.starts_with("* "));
                ensure!(lines > 0, "line {number}: nothing stands before the `:`");
                let words = rest[..lines].iter().map(|(_, line)| (*line).to_owned()).collect();
                if rest.get(lines).is_some_and(|(_, line)| line.starts_with(": ")) {
                    let body = 1 + run(&rest[lines + 1..], |line| line.is_empty() || line.starts_with("  "));
                    taken = lines + body;
                    blocks.push(Block::Terms { terms: words, body: self.blocks(&dedent(&rest[lines..taken]))? });
                } else {
                    taken = lines;
                    blocks.push(Block::Paragraph(words));
                }
            }
            rest = &rest[taken..];
        }
        Ok(blocks)
    }
}

impl Page {
    pub(super) fn parse(path: &Path, text: &str, common: &Common) -> Result<Self> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let page = Self::parse_lines(&file, &numbered(path, text)?, common).with_context(|| file.clone())?;
        Ok(page)
    }

    fn parse_lines(file: &str, lines: &[Line<'_>], common: &Common) -> Result<Self> {
        let title = lines.first().and_then(|(_, line)| line.strip_prefix("# ")?.strip_suffix("(3)"));
        let title = title.context("the first line is not `# NAME(3)`")?;
        ensure!(file == format!("{title}.md"), "the page is called {title}");
        let mut parsed = Vec::new();
        for (name, lines) in sections(&lines[1..])? {
            parsed.push((name, common.blocks(&lines)?));
        }
        let places: Vec<_> = parsed.iter().map(|(name, _)| SECTIONS.iter().position(|known| known == name)).collect();
        ensure!(places.iter().all(Option::is_some) && places.is_sorted_by(|a, b| a < b), "sections: {SECTIONS:?}");
        let missing = NEEDED.iter().find(|needed| !parsed.iter().any(|(name, _)| name == *needed));
        ensure!(missing.is_none(), "there is no {}", missing.unwrap_or(&""));
        let (_, name) = parsed.remove(0);
        let [Block::Paragraph(name)] = name.as_slice() else { bail!("NAME is not one paragraph") };
        let name = name.join(" ");
        let (names, summary) = name.split_once(" - ").context("NAME is not `names - summary`")?;
        let names: Vec<_> = names.split(", ").map(str::to_owned).collect();
        ensure!(names[0] == title, "NAME does not begin with {title}");
        for (section, blocks) in &parsed {
            if section == "ERRORS" {
                check_errors(blocks)?;
            }
        }
        Ok(Self { file: file.to_owned(), names, summary: summary.to_owned(), sections: parsed })
    }
}

/// Errors stand in the order of their names, as far as they stand together.
fn check_errors(blocks: &[Block]) -> Result<()> {
    for pair in blocks.windows(2) {
        if let [Block::Terms { terms: first, .. }, Block::Terms { terms: second, .. }] = pair {
            ensure!(first <= second, "ERRORS: {} stands before {}", first[0], second[0]);
        }
    }
    Ok(())
}

fn numbered<'a>(path: &Path, text: &'a str) -> Result<Vec<Line<'a>>> {
    let lines: Vec<_> = text.lines().enumerate().map(|(index, line)| (index + 1, line)).collect();
    let odd = lines.iter().find(|(_, line)| !line.chars().all(|char| matches!(char, ' '..='~')));
    if let Some((number, _)) = odd {
        bail!("{}:{number}: not ASCII", path.display());
    }
    ensure!(!lines.is_empty(), "{} is empty", path.display());
    Ok(lines)
}

fn sections<'a>(lines: &[Line<'a>]) -> Result<Vec<(String, Vec<Line<'a>>)>> {
    let mut sections: Vec<(String, Vec<Line<'a>>)> = Vec::new();
    for &(number, line) in lines {
        if let Some(name) = line.strip_prefix("## ") {
            sections.push((name.to_owned(), Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut() {
            lines.push((number, line));
        } else {
            ensure!(line.is_empty(), "line {number}: not in a section");
        }
    }
    Ok(sections)
}

/// How many lines there are in a row that are such ones; blank ones at the end do not count.
fn run(lines: &[Line<'_>], is_such: impl Fn(&str) -> bool) -> usize {
    let count = lines.iter().take_while(|(_, line)| is_such(line)).count();
    lines[..count].iter().rposition(|(_, line)| !line.is_empty()).map_or(0, |last| last + 1)
}

/// Without the two characters that mark or indent each line.
fn dedent<'a>(lines: &[Line<'a>]) -> Vec<Line<'a>> {
    lines.iter().map(|&(number, line)| (number, line.get(2..).unwrap_or(""))).collect()
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim_end().trim_start_matches('|').trim_end_matches('|');
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}
