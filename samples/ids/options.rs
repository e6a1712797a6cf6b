//! What stands in a rule's parentheses.

use super::cursor::Cursor;
use super::rule::Content;
use crate::eve::Direction;
use crate::syntax::Slip;

const KEYWORDS: &str = "msg, content, nocase, offset, depth, flow, classtype, sid, rev, priority or )";

/// The longest content.
const MAX_CONTENT_LEN: usize = 1024;
/// The most contents of a rule.
const MAX_CONTENTS: usize = 64;
/// The severity of rules that do not say any.
const DEFAULT_PRIORITY: u8 = 3;

/// The options of a rule.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) msg: String,
    pub(super) direction: Option<Direction>,
    pub(super) established: bool,
    pub(super) contents: Vec<Content>,
    pub(super) classtype: Option<String>,
    pub(super) sid: u32,
    pub(super) rev: u32,
    pub(super) priority: u8,
}

/// Options of which some may not have come yet.
#[derive(Debug, Default)]
struct Draft {
    msg: Option<String>,
    flow: Option<(Option<Direction>, bool)>,
    contents: Vec<Content>,
    /// Of the last content.
    has_offset: bool,
    classtype: Option<String>,
    sid: Option<u32>,
    rev: Option<u32>,
    priority: Option<u8>,
}

/// Reads the parentheses and what is in them, to the end of the line. `is_new_sid` is asked once whether no rule before has
/// the number.
pub(super) fn read_options(cursor: &mut Cursor<'_>, is_new_sid: impl FnOnce(u32) -> bool) -> Result<Options, Slip> {
    cursor.expect('(')?;
    let mut draft = Draft::default();
    let mut sid_at = *cursor;
    loop {
        cursor.skip_spaces();
        let start = *cursor;
        if cursor.eat(')') {
            break;
        }
        let name = cursor.take_while(|c| c.is_ascii_lowercase() || c == '_');
        if name == "sid" {
            sid_at = start;
        }
        draft.option(name, start, cursor)?;
        cursor.skip_spaces();
        cursor.expect(';')?;
        if name == "depth" {
            draft.check_depth(start)?;
        }
    }
    let end = *cursor;
    cursor.skip_spaces();
    if cursor.peek().is_some() {
        return Err(cursor.slip("the end of the line"));
    }
    if draft.contents.is_empty() {
        return Err(end.slip("a rule with a content before this place"));
    }
    let sid = draft.sid.ok_or_else(|| end.slip("a rule with a sid before this place"))?;
    if !is_new_sid(sid) {
        return Err(sid_at.slip("a sid that no rule before has"));
    }
    let (direction, established) = draft.flow.unwrap_or_default();
    Ok(Options {
        msg: draft.msg.unwrap_or_default(),
        direction,
        established,
        contents: draft.contents,
        classtype: draft.classtype,
        sid,
        rev: draft.rev.unwrap_or(0),
        priority: draft.priority.unwrap_or(DEFAULT_PRIORITY),
    })
}

impl Draft {
    /// The option `name`, which stands at `start`, from behind its name to before its semicolon.
    fn option(&mut self, name: &str, start: Cursor<'_>, cursor: &mut Cursor<'_>) -> Result<(), Slip> {
        let once = |is_new: bool| if is_new { Ok(()) } else { Err(start.slip(format!("{name} once"))) };
        match name {
            "msg" => {
                value(cursor)?;
                let text = read_msg(cursor)?;
                once(self.msg.replace(text).is_none())
            }
            "content" => {
                value(cursor)?;
                if self.contents.len() == MAX_CONTENTS {
                    return Err(start.slip(format!("at most {MAX_CONTENTS} contents")));
                }
                if cursor.peek() == Some('!') {
                    return Err(cursor.slip("a content that has to occur: absence is known only when a stream is over"));
                }
                let bytes = read_content(cursor)?;
                self.contents.push(Content { bytes, nocase: false, offset: 0, depth: None });
                self.has_offset = false;
                Ok(())
            }
            "nocase" => {
                let content = self.last(start)?;
                let is_new = !std::mem::replace(&mut content.nocase, true);
                once(is_new)
            }
            "offset" => {
                value(cursor)?;
                let offset = number(cursor, 0, u32::MAX)?;
                self.last(start)?.offset = offset;
                once(!std::mem::replace(&mut self.has_offset, true))
            }
            "depth" => {
                value(cursor)?;
                let depth = number(cursor, 1, u32::MAX)?;
                let before = self.last(start)?.depth.replace(depth);
                once(before.is_none())
            }
            "flow" => {
                value(cursor)?;
                let flow = read_flow(cursor)?;
                once(self.flow.replace(flow).is_none())
            }
            "classtype" => {
                value(cursor)?;
                let word = cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
                if word.is_empty() {
                    return Err(cursor.slip("a name of letters, digits, - and _"));
                }
                once(self.classtype.replace(word.to_owned()).is_none())
            }
            "sid" => {
                value(cursor)?;
                let sid = number(cursor, 1, u32::MAX)?;
                once(self.sid.replace(sid).is_none())
            }
            "rev" => {
                value(cursor)?;
                let rev = number(cursor, 0, u32::MAX)?;
                once(self.rev.replace(rev).is_none())
            }
            "priority" => {
                value(cursor)?;
                let priority = number(cursor, 1, u8::MAX.into())? as u8;
                once(self.priority.replace(priority).is_none())
            }
            _ => Err(start.slip(KEYWORDS)),
        }
    }

    /// The content that an option is about.
    fn last(&mut self, start: Cursor<'_>) -> Result<&mut Content, Slip> {
        self.contents.last_mut().ok_or_else(|| start.slip("a content before what is said about it"))
    }

    fn check_depth(&self, start: Cursor<'_>) -> Result<(), Slip> {
        match self.contents.last() {
            Some(Content { bytes, depth: Some(depth), .. }) if (*depth as usize) < bytes.len() => {
                Err(start.slip(format!("a depth of at least {}, the length of the content", bytes.len())))
            }
            _ => Ok(()),
        }
    }
}

fn value(cursor: &mut Cursor<'_>) -> Result<(), Slip> {
    cursor.expect(':')?;
    cursor.skip_spaces();
    Ok(())
}

fn number(cursor: &mut Cursor<'_>, least: u32, most: u32) -> Result<u32, Slip> {
    let start = *cursor;
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    let number = digits.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| start.slip(format!("a number from {least} to {most}")))
}

fn read_flow(cursor: &mut Cursor<'_>) -> Result<(Option<Direction>, bool), Slip> {
    let (mut direction, mut established) = (None, false);
    loop {
        let start = *cursor;
        let is_new = match cursor.take_while(|c| c.is_ascii_lowercase() || c == '_') {
            "to_server" | "from_client" => direction.replace(Direction::ToServer).is_none(),
            "to_client" | "from_server" => direction.replace(Direction::ToClient).is_none(),
            "established" => !std::mem::replace(&mut established, true),
            _ => return Err(start.slip("to_server, to_client, from_server, from_client or established")),
        };
        if !is_new {
            return Err(start.slip("one direction, and established once"));
        }
        cursor.skip_spaces();
        if !cursor.eat(',') {
            return Ok((direction, established));
        }
        cursor.skip_spaces();
    }
}

/// Text in quotes. A backslash takes the meaning from a quote, a semicolon, a colon or a backslash.
fn read_msg(cursor: &mut Cursor<'_>) -> Result<String, Slip> {
    let mut text = String::new();
    cursor.expect('"')?;
    while !cursor.eat('"') {
        text.push(character(cursor)?);
    }
    Ok(text)
}

/// A character between quotes.
fn character(cursor: &mut Cursor<'_>) -> Result<char, Slip> {
    let start = *cursor;
    match cursor.next() {
        None => Err(start.slip("\" at the end of the text")),
        Some(';') => Err(start.slip("; after a \\")),
        Some('\\') => match cursor.next() {
            Some(c @ ('"' | ';' | ':' | '\\')) => Ok(c),
            _ => Err(start.slip("one of \" ; : \\ after a \\")),
        },
        Some(c) => Ok(c),
    }
}

/// As a text, with bytes as hexadecimal digits between bars.
fn read_content(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Slip> {
    let mut bytes = Vec::new();
    let start = *cursor;
    cursor.expect('"')?;
    while !cursor.eat('"') {
        if cursor.eat('|') {
            read_hex(cursor, &mut bytes)?;
        } else {
            let mut utf8 = [0; 4];
            bytes.extend_from_slice(character(cursor)?.encode_utf8(&mut utf8).as_bytes());
        }
    }
    if bytes.is_empty() || bytes.len() > MAX_CONTENT_LEN {
        return Err(start.slip(format!("a content of 1 to {MAX_CONTENT_LEN} bytes")));
    }
    Ok(bytes)
}

/// Pairs of digits, up to the closing bar.
fn read_hex(cursor: &mut Cursor<'_>, bytes: &mut Vec<u8>) -> Result<(), Slip> {
    loop {
        cursor.skip_spaces();
        if cursor.eat('|') {
            return Ok(());
        }
        let start = *cursor;
        let digit = |c: Option<char>| c.and_then(|c| c.to_digit(16));
        let (Some(high), Some(low)) = (digit(cursor.next()), digit(cursor.next())) else {
            return Err(start.slip("two hexadecimal digits, or | at their end"));
        };
        bytes.push((high << 4 | low) as u8);
    }
}
