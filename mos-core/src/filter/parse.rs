//! Text to expression: recursive descent over the words, with its depth bounded.
//!
//! ```text
//! chain      = operand { ("and" | "or") operand }
//! operand    = { "not" } ( "(" chain ")" | primitive | id )
//! primitive  = [ protocol ] [ direction ] [ kind ] ids | protocol | "vlan" [ id ] | "len" relation number | flags ...
//! ids        = id | { "not" } "(" chain of ids ")"
//! ```
//!
//! An id without a primitive around it has the qualifiers of the last one before it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::expr::{Expr, Joint, Net, Relation, Side, Test, Transport, Version};
use super::lex::{self, Kind, Token};
use super::operand;

/// How deep parentheses may be nested.
pub const MAX_DEPTH: usize = 64;

/// How long an expression may be, in bytes.
pub const MAX_LEN: usize = 64 * 1024;

/// VLAN ids have 12 bits, MPLS labels 20.
const MAX_VLAN: u32 = 0xfff;
const MAX_LABEL: u32 = 0xf_ffff;

const PRIMITIVES: &str = "`host`, `net`, `port`, `portrange`, `src`, `dst`, `ip`, `ip6`, `tcp`, `udp`, `icmp`, \
                          `icmp6`, `proto`, `vlan`, `mpls`, `len`, `less`, `greater`, `tcp[tcpflags]`, `not` and `(`";

/// What is wrong, and in which column.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) column: usize,
    pub(super) message: String,
}

type Parsed<T> = Result<T, Fault>;

/// Reads an expression; `None` if there is none.
pub(super) fn parse(text: &str) -> Parsed<Option<Expr>> {
    if text.len() > MAX_LEN {
        let message = format!("the expression has {} bytes, more than the {MAX_LEN} allowed", text.len());
        return Err(Fault { column: 1, message });
    }
    let mut parser = Parser { tokens: lex::tokens(text), at: 0, depth: 0, last: None };
    if parser.peek().kind == Kind::End {
        return Ok(None);
    }
    let root = parser.chain(Parser::operand)?;
    match parser.peek() {
        Token { kind: Kind::End, .. } => Ok(Some(root)),
        token @ Token { kind: Kind::Close, .. } => token.fault("`)` closes nothing"),
        token => token.fault(format!("expected `and`, `or` or the end, found {}", token.name())),
    }
}

impl Token<'_> {
    fn fault<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(Fault { column: self.column, message: message.into() })
    }

    /// `result` as it is, an error with the place of this token.
    fn place<T>(&self, result: Result<T, String>) -> Parsed<T> {
        result.or_else(|message| self.fault(message))
    }

    /// For messages.
    fn name(&self) -> String {
        if self.kind == Kind::End { "the end".into() } else { format!("`{}`", self.text) }
    }

    fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    fn starts_number(&self) -> bool {
        self.kind == Kind::Word && self.text.starts_with(|c: char| c.is_ascii_digit())
    }

    /// Whether it can be no keyword.
    fn looks_like_id(&self) -> bool {
        self.starts_number() || self.text.contains(':')
    }
}

/// What an id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdKind {
    Host,
    Net,
    Port,
    PortRange,
    Protocol,
}

impl IdKind {
    fn named(token: Token<'_>) -> Option<Self> {
        match token.text {
            "host" => Some(Self::Host),
            "net" => Some(Self::Net),
            "port" => Some(Self::Port),
            "portrange" => Some(Self::PortRange),
            "proto" => Some(Self::Protocol),
            _ => None,
        }
    }

    /// What ids of this kind are, and which protocols may stand in front.
    fn description(self) -> (&'static str, &'static str) {
        match self {
            Self::Host => ("an address", "`ip` and `ip6`"),
            Self::Net => ("a net", "`ip` and `ip6`"),
            Self::Port => ("a port", "`tcp` and `udp`"),
            Self::PortRange => ("a range of ports", "`tcp` and `udp`"),
            Self::Protocol => ("a protocol", "`ip` and `ip6`"),
        }
    }
}

/// What stands before ids.
#[derive(Clone, Copy, Debug)]
struct Qualifiers {
    version: Option<Version>,
    transport: Option<Transport>,
    side: Side,
    kind: IdKind,
}

struct Parser<'t> {
    /// The last one is the end, and is never taken.
    tokens: Vec<Token<'t>>,
    at: usize,
    /// Open parentheses.
    depth: usize,
    /// The qualifiers of the last primitive, if it had an id.
    last: Option<Qualifiers>,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Token<'t> {
        self.peek_at(0)
    }

    /// The token `ahead` of the next one, or the end.
    fn peek_at(&self, ahead: usize) -> Token<'t> {
        let last = self.tokens.len() - 1;
        self.tokens[(self.at + ahead).min(last)]
    }

    fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    fn take(&mut self, kind: Kind) -> bool {
        let is_next = self.peek().kind == kind;
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, kind: Kind, what: &str) -> Parsed<Token<'t>> {
        match self.next() {
            token if token.kind == kind => Ok(token),
            token => token.fault(format!("expected {what}, found {}", token.name())),
        }
    }

    fn chain(&mut self, operand: fn(&mut Self) -> Parsed<Expr>) -> Parsed<Expr> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        loop {
            let joint = match self.peek().kind {
                Kind::And => Joint::And,
                Kind::Or => Joint::Or,
                _ if rest.is_empty() => return Ok(first),
                _ => return Ok(Expr::Chain { first: Box::new(first), rest }),
            };
            self.next();
            rest.push((joint, operand(self)?));
        }
    }

    /// What `not` may stand before: a chain in parentheses, or what `single` reads.
    fn negatable(
        &mut self,
        operand: fn(&mut Self) -> Parsed<Expr>,
        single: fn(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        let mut is_negated = false;
        while self.take(Kind::Not) {
            is_negated = !is_negated;
        }
        let expr = if self.peek().kind == Kind::Open && !self.starts_flags() {
            self.parenthesised(|parser| parser.chain(operand))?
        } else {
            single(self)?
        };
        Ok(if is_negated { expr.negated() } else { expr })
    }

    fn parenthesised<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let open = self.next();
        if self.depth == MAX_DEPTH {
            return open.fault(format!("parentheses are nested more than {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        let inner = inner(self)?;
        self.depth -= 1;
        match self.peek() {
            Token { kind: Kind::Close, .. } => {
                self.next();
                Ok(inner)
            }
            Token { kind: Kind::End, .. } => open.fault("`(` is never closed"),
            token => token.fault(format!("expected `and`, `or` or `)`, found {}", token.name())),
        }
    }

    fn operand(&mut self) -> Parsed<Expr> {
        self.negatable(Self::operand, Self::primitive)
    }

    /// Ids behind qualifiers: one, or several in parentheses.
    fn ids(&mut self) -> Parsed<Expr> {
        self.negatable(Self::ids, Self::id)
    }

    fn primitive(&mut self) -> Parsed<Expr> {
        let token = self.peek();
        if self.starts_flags() {
            return self.flags();
        }
        if token.kind != Kind::Word {
            return token.fault(format!("expected a primitive, found {}: allowed are {PRIMITIVES}", token.name()));
        }
        let test = match token.text {
            "vlan" => Test::Vlan(self.optional_number("a VLAN id", MAX_VLAN)?.map(|id| id as u16)),
            "mpls" => self.optional_number("an MPLS label", MAX_LABEL).map(|_| Test::Mpls)?,
            "len" => {
                self.next();
                let relation = self.relation()?;
                Test::Length { relation, len: self.length()? }
            }
            "less" => {
                self.next();
                Test::Length { relation: Relation::LessOrEqual, len: self.length()? }
            }
            "greater" => {
                self.next();
                Test::Length { relation: Relation::GreaterOrEqual, len: self.length()? }
            }
            _ => return self.qualified(),
        };
        self.last = None;
        Ok(Expr::Test(test))
    }

    /// A primitive of protocol, direction, kind and ids, of which something may be missing.
    fn qualified(&mut self) -> Parsed<Expr> {
        let token = self.peek();
        let (version, transport, number) = match token.text {
            "ip" => (Some(Version::V4), None, None),
            "ip6" => (Some(Version::V6), None, None),
            "tcp" => (None, Some(Transport::Tcp), Some(6)),
            "udp" => (None, Some(Transport::Udp), Some(17)),
            "icmp" => (Some(Version::V4), None, Some(1)),
            "icmp6" => (Some(Version::V6), None, Some(58)),
            _ => (None, None, None),
        };
        let has_protocol = version.is_some() || number.is_some();
        self.at += usize::from(has_protocol);
        let side = self.side();
        let word = self.peek();
        let kind = match IdKind::named(word) {
            Some(kind) => {
                self.next();
                kind
            }
            None if side.is_some() && word.looks_like_id() => IdKind::Host,
            None if side.is_some() => {
                let found = word.name();
                return word.fault(format!(
                    "expected `host`, `net`, `port`, `portrange` or an address after the direction, found {found}"
                ));
            }
            None if has_protocol => {
                self.last = None;
                return Ok(Expr::Test(match (version, number) {
                    (Some(version), None) => Test::Version(version),
                    (version, number) => Test::Protocol { version, number: number.unwrap_or_default() },
                }));
            }
            None => return self.bare_id(),
        };
        let is_allowed = match kind {
            IdKind::Port | IdKind::PortRange => version.is_none(),
            IdKind::Host | IdKind::Net | IdKind::Protocol => number.is_none(),
        };
        let (what, allowed) = kind.description();
        if !is_allowed {
            let name = token.text;
            return token.fault(format!("`{name}` does not go with {what}: {allowed} do; `{name} and ...` is allowed"));
        }
        if kind == IdKind::Protocol && side.is_some() {
            return word.fault("`proto` has no direction");
        }
        self.last = Some(Qualifiers { version, transport, side: side.unwrap_or(Side::Either), kind });
        self.ids()
    }

    /// The direction, if there is one.
    fn side(&mut self) -> Option<Side> {
        let first = self.peek();
        let (side, other) = match (first.kind, first.text) {
            (Kind::Word, "src") => (Side::Source, "dst"),
            (Kind::Word, "dst") => (Side::Destination, "src"),
            _ => return None,
        };
        self.next();
        // `src or dst port 80`, but also `src host A or dst host B`: that one has something in between.
        let joined = match self.peek().kind {
            Kind::Or if self.peek_at(1).is(other) => Side::Either,
            Kind::And if self.peek_at(1).is(other) => Side::Both,
            _ => return Some(side),
        };
        self.at += 2;
        Some(joined)
    }

    /// An id where a primitive might stand.
    fn bare_id(&mut self) -> Parsed<Expr> {
        let token = self.peek();
        match self.last {
            Some(_) if token.looks_like_id() => self.id(),
            Some(Qualifiers { kind: IdKind::Protocol, .. }) if operand::protocol_named(token.text).is_some() => {
                self.id()
            }
            _ if token.looks_like_id() => token.fault(format!(
                "nothing says what `{}` is: put `host`, `net`, `port`, `portrange` or `proto` in front",
                token.text
            )),
            _ => token.fault(format!("unknown word `{}`: allowed are {PRIMITIVES}", token.text)),
        }
    }

    /// An id, of the kind the last qualifiers say.
    fn id(&mut self) -> Parsed<Expr> {
        let Some(Qualifiers { version, transport, side, kind }) = self.last else {
            // Ids are read only behind qualifiers.
            return self.bare_id();
        };
        let token = self.expect(Kind::Word, kind.description().0)?;
        let test = match kind {
            IdKind::Host => Test::Address { side, net: of_version(version, token, operand::host(token.text))? },
            IdKind::Net => {
                let net = if self.peek().is("mask") {
                    self.next();
                    let mask = self.expect(Kind::Word, "a mask")?;
                    operand::net_with_mask(token.text, mask.text)
                } else {
                    operand::net(token.text)
                };
                Test::Address { side, net: of_version(version, token, net)? }
            }
            IdKind::Port => {
                let port = token.place(operand::port(token.text))?;
                Test::Port { transport, side, first: port, last: port }
            }
            IdKind::PortRange => {
                let (first, last) = token.place(operand::port_range(token.text))?;
                Test::Port { transport, side, first, last }
            }
            IdKind::Protocol => Test::Protocol { version, number: token.place(operand::protocol(token.text))? },
        };
        Ok(Expr::Test(test))
    }

    /// A keyword and the number that may follow it.
    fn optional_number(&mut self, what: &str, max: u32) -> Parsed<Option<u32>> {
        self.next();
        if !self.peek().starts_number() {
            return Ok(None);
        }
        let token = self.next();
        token.place(operand::number(token.text, what, max)).map(Some)
    }

    fn length(&mut self) -> Parsed<u32> {
        let token = self.expect(Kind::Word, "a length")?;
        token.place(operand::number(token.text, "a length", u32::MAX))
    }

    fn relation(&mut self) -> Parsed<Relation> {
        match self.next() {
            Token { kind: Kind::Relation(relation), .. } => Ok(relation),
            token => token.fault(format!("expected `=`, `!=`, `<`, `<=`, `>` or `>=`, found {}", token.name())),
        }
    }

    /// Whether a comparison of flags comes next, its left side perhaps in parentheses. Those around a whole comparison
    /// are others: what follows the closing one tells them apart.
    fn starts_flags(&self) -> bool {
        let is_flags = |at| self.peek_at(at).is("tcp") && self.peek_at(at + 1).kind == Kind::OpenIndex;
        if self.peek().kind != Kind::Open || !is_flags(1) {
            return is_flags(0);
        }
        let mut depth = 0;
        for (index, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                // The left side has none of these.
                Kind::And | Kind::Or | Kind::Not | Kind::Relation(_) | Kind::End => return false,
                _ => {}
            }
            if depth == 0 {
                return matches!(self.tokens.get(index + 1), Some(Token { kind: Kind::Relation(_), .. }));
            }
        }
        false
    }

    fn flags(&mut self) -> Parsed<Expr> {
        let mask =
            if self.peek().kind == Kind::Open { self.parenthesised(Self::masked_flags)? } else { self.masked_flags()? };
        let relation = self.relation()?;
        let value = if self.peek().kind == Kind::Open {
            self.parenthesised(Self::joined_constants)?
        } else {
            self.joined_constants()?
        };
        self.last = None;
        Ok(Expr::Test(Test::Flags { mask, relation, value }))
    }

    /// `tcp[tcpflags]` and its mask.
    fn masked_flags(&mut self) -> Parsed<u8> {
        self.at += 2; // `tcp` and `[` are there, or this is not called
        let index = self.expect(Kind::Word, "`tcpflags` or 13")?;
        if !["tcpflags", "13", "0xd"].contains(&index.text) {
            return index
                .fault(format!("unknown field `{}`: only `tcpflags`, which is 13, is allowed here", index.text));
        }
        self.expect(Kind::CloseIndex, "`]`")?;
        if !self.take(Kind::BitAnd) {
            return Ok(u8::MAX);
        }
        if self.peek().kind == Kind::Open { self.parenthesised(Self::joined_constants) } else { self.constant() }
    }

    /// One constant, or several with `|` between them.
    fn joined_constants(&mut self) -> Parsed<u8> {
        let mut constants = self.constant()?;
        while self.take(Kind::BitOr) {
            constants |= self.constant()?;
        }
        Ok(constants)
    }

    fn constant(&mut self) -> Parsed<u8> {
        let token = self.expect(Kind::Word, "a number or a flag such as `tcp-syn`")?;
        token.place(operand::flags(token.text))
    }
}

/// The net, if a qualifier in front does not contradict it.
fn of_version(version: Option<Version>, token: Token<'_>, net: Result<Net, String>) -> Parsed<Net> {
    let net = token.place(net)?;
    let found = if let Net::V4 { .. } = net { Version::V4 } else { Version::V6 };
    match version {
        Some(version) if version != found => token.fault(format!("`{}` is not of the version `{version}`", token.text)),
        _ => Ok(net),
    }
}
