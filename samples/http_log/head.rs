//! The heads of messages: finding where one ends, and what it says.

use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};

use super::body::Body;

/// The most bytes of a head. It is kept only if it comes in several pieces.
pub(super) const MAX_HEAD_BYTES: usize = 64 << 10;

/// The most fields of a head.
const MAX_FIELDS: usize = 128;

/// No method that is in use is longer.
const MAX_METHOD_BYTES: usize = 24;

/// What every message of HTTP/1.x has in its first line.
const VERSION: &[u8] = b"HTTP/1.";

/// A head that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct HeadBuffer {
    bytes: Vec<u8>,
    /// Bytes of the first line, with its end, if that has come.
    first_line: Option<usize>,
    /// Bytes of the line at hand, without CR.
    line: usize,
}

/// What a head has come to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// This much; everything was taken.
    Part { bytes: &'a [u8], first_line: Option<&'a [u8]> },
    /// All of it; so many bytes were taken.
    Whole { head: &'a [u8], used: usize },
    /// More than [`MAX_HEAD_BYTES`].
    TooLong,
}

impl HeadBuffer {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes bytes up to the empty line that ends the head. Each byte is looked at once.
    pub(super) fn take<'a>(&'a mut self, data: &'a [u8]) -> Found<'a> {
        let before = self.bytes.len();
        let room = MAX_HEAD_BYTES - before;
        for (at, byte) in data.iter().enumerate().take(room) {
            match byte {
                b'\n' if self.line == 0 && self.first_line.is_some() => {
                    let used = at + 1;
                    if before == 0 {
                        return Found::Whole { head: &data[..used], used };
                    }
                    self.bytes.extend_from_slice(&data[..used]);
                    return Found::Whole { head: &self.bytes, used };
                }
                b'\n' => {
                    self.first_line.get_or_insert(before + at + 1);
                    self.line = 0;
                }
                b'\r' => {}
                _ => self.line += 1,
            }
        }
        if data.len() >= room {
            return Found::TooLong;
        }
        self.bytes.extend_from_slice(data);
        Found::Part { bytes: &self.bytes, first_line: self.first_line.map(|len| &self.bytes[..len]) }
    }
}

/// What the first bytes of a message look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Request,
    Response,
    /// Too few to tell.
    Open,
    /// Neither.
    Alien,
}

/// Looks at no more than the method or the version.
pub(super) fn start(bytes: &[u8]) -> Start {
    let shared = bytes.len().min(VERSION.len());
    if bytes[..shared] == VERSION[..shared] {
        return if shared == VERSION.len() { Start::Response } else { Start::Open };
    }
    let is_method = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    let method = bytes.iter().take(MAX_METHOD_BYTES + 1).take_while(|byte| is_method(byte)).count();
    match bytes.get(method) {
        Some(b' ') if method > 0 => Start::Request,
        None if method <= MAX_METHOD_BYTES => Start::Open,
        _ => Start::Alien,
    }
}

/// Whether a request's first line, with its end, names the version.
pub(super) fn is_request_line(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    line.len().checked_sub(VERSION.len() + 1).is_some_and(|at| line[at..].starts_with(VERSION))
}

/// How the end of a message's body is found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// As the head says.
    Given(Body),
    /// The head says nothing.
    Unsaid,
    /// What the head says makes no sense, or is not known.
    Unclear,
}

/// What is kept of a request's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    /// The digit behind `HTTP/1.`.
    pub(super) version: u8,
    pub(super) host: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) referer: Option<String>,
    /// Another protocol was asked for.
    pub(super) upgrade: bool,
}

impl Request {
    /// A measure of the memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let fields = [&self.host, &self.user_agent, &self.referer];
        size_of::<Self>()
            + self.method.len()
            + self.target.len()
            + fields.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// Reads a whole head.
    pub(super) fn parse(head: &[u8]) -> Option<(Self, Framing)> {
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let mut parser = ParserConfig::default();
        parser.ignore_invalid_headers_in_requests(true).allow_multiple_spaces_in_request_line_delimiters(true);
        let parsed = parser.parse_request(&mut request, head).ok()?;
        if parsed != Status::Complete(head.len()) {
            return None;
        }
        let fields = &*request.headers;
        let read = Self {
            method: request.method?.to_owned(),
            target: request.path?.to_owned(),
            version: request.version?,
            host: field(fields, "host"),
            user_agent: field(fields, "user-agent"),
            referer: field(fields, "referer"),
            upgrade: field(fields, "upgrade").is_some(),
        };
        Some((read, framing(fields)))
    }
}

/// What is kept of a response's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// The digit behind `HTTP/1.`.
    pub(super) version: u8,
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) location: Option<String>,
}

impl Response {
    /// Reads a whole head.
    pub(super) fn parse(head: &[u8]) -> Option<(Self, Framing)> {
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let mut parser = ParserConfig::default();
        parser
            .ignore_invalid_headers_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .allow_multiple_spaces_in_response_status_delimiters(true);
        let parsed = parser.parse_response(&mut response, head).ok()?;
        if parsed != Status::Complete(head.len()) {
            return None;
        }
        let fields = &*response.headers;
        let read = Self {
            version: response.version?,
            status: response.code?,
            content_type: field(fields, "content-type"),
            location: field(fields, "location"),
        };
        Some((read, framing(fields)))
    }
}

/// The value of the first field of that name.
fn field(fields: &[Header<'_>], name: &str) -> Option<String> {
    values(fields, name).next().map(|value| String::from_utf8_lossy(value.trim_ascii()).into_owned())
}

fn values<'a>(fields: &'a [Header<'_>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// RFC 9112 6.3. A transfer coding goes before a length.
fn framing(fields: &[Header<'_>]) -> Framing {
    let elements =
        |name| values(fields, name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    if let Some(coding) = elements("transfer-encoding").filter(|coding| !coding.is_empty()).last() {
        return match coding.eq_ignore_ascii_case(b"chunked") {
            true => Framing::Given(Body::chunked()),
            false => Framing::Unclear,
        };
    }
    let mut length = None;
    for element in elements("content-length") {
        // FromStr would take a sign.
        let digits = Some(element).filter(|element| element.iter().all(u8::is_ascii_digit));
        let Some(value) = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok()) else {
            return Framing::Unclear;
        };
        if length.is_some_and(|length| length != value) {
            return Framing::Unclear;
        }
        length = Some(value);
    }
    length.map_or(Framing::Unsaid, |length| Framing::Given(Body::Length(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_told_by_its_first_bytes() {
        let cases: [(&[u8], Start); 10] = [
            (b"GET /", Start::Request),
            (b"HTTP/1.1", Start::Response),
            (b"HT", Start::Open),
            (b"HTTP", Start::Open),
            (b"M-SEARCH *", Start::Request),
            (b"", Start::Open),
            (b" ", Start::Alien),
            (b"HTTP/2", Start::Alien),
            (b"\x16\x03\x01", Start::Alien),
            (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", Start::Alien),
        ];
        for (bytes, expected) in cases {
            assert_eq!(start(bytes), expected, "{bytes:?}");
        }
        assert!(is_request_line(b"GET / HTTP/1.1\r\n"));
        assert!(!is_request_line(b"PRI * HTTP/2.0\r\n") && !is_request_line(b"USER me\r\n") && !is_request_line(b"\n"));
    }

    #[test]
    fn the_framing_is_what_the_standard_says() {
        let of = |fields: &str| Request::parse(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap().1;
        assert_eq!(of(""), Framing::Unsaid);
        assert_eq!(of("content-length: 5\r\nContent-Length: 5, 5\r\n"), Framing::Given(Body::Length(5)));
        assert_eq!(of("Content-Length: 5\r\nTransfer-Encoding: gzip, Chunked\r\n"), Framing::Given(Body::chunked()));
        for unclear in ["Content-Length: +5", "Content-Length: 5, 6", "Content-Length:", "Transfer-Encoding: gzip"] {
            assert_eq!(of(&format!("{unclear}\r\n")), Framing::Unclear, "{unclear}");
        }
    }
}
