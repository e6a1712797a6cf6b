//! Scenarios: packets in, events out, as text.
//!
//! A scenario file holds commands, each followed by the indented events that it raises:
//!
//! ```text
//! c S 1000
//!   SND PKT_IN CLI (2,-)
//! ```
//!
//! `c` and `s` send a packet from the client or the server: flags, sequence number, acknowledgment number (with A), then
//! `"payload"` or `len=N`, and `win=N`, `mss=N`, `ws=N`, `sackok`, `ts=VAL:ECR`, `badsum`, `cut=N` (captured bytes of
//! the payload). `wait N` lets N milliseconds pass, `shutdown` ends all. `set KEY VALUE` changes a setting: at any time
//! those of [`Settings`], `client` and `server` (addresses); before the first packet also `overlap last`,
//! `receive_buffer N`, `memory N`, `midstream 1`, `time_wait MS`, `checksum auto|trust`, `buffers 0`, `history N`.
//! `MOS_BLESS=1 cargo test` writes the events that were raised into the files: then read the difference.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use mos_core::config::{ChecksumMode, Config};
use mos_core::io::FrameBatch;
use mos_core::packet::LinkType;
use mos_core::reassembly::OverlapPolicy;
use mos_core::time::Timestamp;
use mos_core::wire::emit::TcpSegment;
use mos_core::wire::{SeqNum, TcpFlags, checksum, decode};
use mos_monitor::{Chunk, Conn, Core, ErrorReason, Event, Monitor, PeekError, Side};

use crate::support::event_name;

/// What `set` changes while packets flow.
#[derive(Debug)]
struct Settings {
    /// `read all|none|N`: what the NEW_DATA callback takes.
    read: Option<usize>,
    /// `drop N`: so many of the next packets are dropped at SND.
    drop: u32,
    /// `nat IP:PORT`: the client appears to the server under this address.
    nat: Option<SocketAddr>,
    /// `ppeek c:OFFSET` or `ppeek s:OFFSET`: look there, without taking, at each packet that is received.
    look: Option<(Side, u64)>,
}

type Log = Rc<RefCell<Vec<String>>>;

struct Runner {
    core: Core,
    log: Log,
    settings: Rc<RefCell<Settings>>,
    client: SocketAddr,
    server: SocketAddr,
    now_ms: u64,
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Client => "CLI",
        Side::Server => "SVR",
    }
}

fn states<At>(conn: &Conn<'_, '_, At>) -> String {
    let state = |side| conn.state(side).map_or("-".to_owned(), |state| (state as u8).to_string());
    format!("({},{})", state(Side::Client), state(Side::Server))
}

fn reason_text(reason: ErrorReason) -> String {
    match reason {
        ErrorReason::Gap(span) | ErrorReason::Overrun(span) | ErrorReason::Conflict(span) => {
            format!("{} {}..{}", reason.name(), span.start(), span.end())
        }
        _ => reason.name().to_owned(),
    }
}

/// Bytes as text: literally if short and printable.
fn show(bytes: &[u8]) -> String {
    if bytes.len() <= 40 && bytes.iter().all(|byte| (32..127).contains(byte)) {
        format!("{:?}", String::from_utf8_lossy(bytes))
    } else {
        format!("{} bytes", bytes.len())
    }
}

fn monitor(log: &Log, settings: &Rc<RefCell<Settings>>, buffers: bool, history: u64) -> Monitor {
    let mut monitor = Monitor::<(), ()>::new("log", ()).keep_history(history);
    if !buffers {
        monitor = monitor.without_buffers();
    }
    for event in [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd] {
        let (out, set) = (log.clone(), settings.clone());
        monitor = monitor.on_snd(event, move |cx| {
            let line = format!("SND {} {} {}", event_name(event), side_name(cx.conn.side()), states(&cx.conn));
            out.borrow_mut().push(line);
            let mut set = set.borrow_mut();
            if event == Event::PktIn && set.drop > 0 {
                set.drop -= 1;
                cx.conn.drop_packet();
            }
            if let (Event::PktIn, Some(nat)) = (event, set.nat) {
                let (side, client) = (cx.conn.side(), cx.conn.endpoint(Side::Client));
                if let Some(frame) = cx.conn.frame_mut() {
                    translate(frame, side, nat, client);
                }
            }
        });
        let (out, set) = (log.clone(), settings.clone());
        monitor = monitor.on_rcv(event, move |cx| {
            let mut line = format!("RCV {} {} {}", event_name(event), side_name(cx.conn.side()), states(&cx.conn));
            if let (Event::PktIn, Some((side, offset))) = (event, set.borrow().look) {
                let mut bytes = [0; 64];
                let len = cx.conn.ppeek(side, offset, &mut bytes);
                let _ = write!(line, " ppeek {}", show(&bytes[..len]));
            }
            out.borrow_mut().push(line);
        });
    }
    let (data, errors, orphans, ends) = (log.clone(), log.clone(), log.clone(), log.clone());
    let set = settings.clone();
    monitor
        .on_new_data(move |cx| {
            let side = cx.conn.side();
            let mut line = format!("NULL NEW_DATA {} {}", side_name(side), states(&cx.conn));
            match set.borrow().read {
                Some(0) => {}
                Some(limit) => {
                    let mut bytes = vec![0; limit];
                    match cx.conn.peek(side, &mut bytes) {
                        Ok(len) => write!(line, " {}", show(&bytes[..len])).unwrap(),
                        Err(PeekError::Missing(len)) => write!(line, " -{len}").unwrap(),
                    }
                }
                None => {
                    let (mut bytes, mut text) = (Vec::new(), String::new());
                    for chunk in cx.conn.chunks() {
                        match chunk {
                            Chunk::Data(data) => bytes.extend_from_slice(data),
                            Chunk::Missing(len) => {
                                if !bytes.is_empty() {
                                    write!(text, " {}", show(&std::mem::take(&mut bytes))).unwrap();
                                }
                                write!(text, " -{len}").unwrap();
                            }
                        }
                    }
                    if !bytes.is_empty() {
                        write!(text, " {}", show(&bytes)).unwrap();
                    }
                    line += &text;
                    cx.conn.consume_all();
                }
            }
            data.borrow_mut().push(line);
        })
        .on_error(move |cx| {
            let (side, reason) = (side_name(cx.conn.side()), reason_text(cx.reason()));
            errors.borrow_mut().push(format!("NULL ERROR {side} {} {reason}", states(&cx.conn)));
        })
        .on_orphan(move |_| orphans.borrow_mut().push("NULL ORPHAN BOTH".to_owned()))
        .on_end(move |cx| {
            let client = cx.conn.endpoint(Side::Client);
            ends.borrow_mut().push(format!("END {} client {client}", cx.reason().name()));
        })
}

/// Rewrites the client's address and port in an IPv4 packet without VLAN tags or IP options, and fills in checksums.
fn translate(frame: &mut [u8], sender: Side, outside: SocketAddr, inside: SocketAddr) {
    let (address_at, port_at, new) = match sender {
        Side::Client => (26, 34, outside),
        Side::Server => (30, 36, inside),
    };
    if let SocketAddr::V4(new) = new {
        frame[address_at..address_at + 4].copy_from_slice(&new.ip().octets());
        frame[port_at..port_at + 2].copy_from_slice(&new.port().to_be_bytes());
    }
    let packet = decode(frame, frame.len() as u32, LinkType::Ethernet);
    checksum::fill_ipv4(frame, &packet);
    checksum::fill_tcp(frame, &packet);
}

impl Runner {
    /// A runner with the settings of the file's `set` commands before the first packet.
    fn new(commands: &[&str]) -> Self {
        let mut config = Config { hash_seed: 1, max_flows: 64, ..Config::default() };
        let (mut buffers, mut history) = (true, 0);
        let start = commands.iter().take_while(|command| command.starts_with("set "));
        for words in start.map(|command| command.split_whitespace().collect::<Vec<_>>()) {
            match words[1..] {
                ["overlap", "last"] => config.overlap = OverlapPolicy::Last,
                ["receive_buffer", bytes] => config.receive_buffer_bytes = bytes.parse().unwrap(),
                ["midstream", "1"] => config.midstream = true,
                ["time_wait", ms] => config.timeouts.time_wait = std::time::Duration::from_millis(ms.parse().unwrap()),
                ["checksum", "auto"] => config.checksum = ChecksumMode::Auto,
                ["checksum", "trust"] => config.checksum = ChecksumMode::Trust,
                ["buffers", "0"] => buffers = false,
                ["history", bytes] => history = bytes.parse().unwrap(),
                ["memory", bytes] => config.reassembly_memory_bytes = bytes.parse().unwrap(),
                _ => {}
            }
        }
        let log = Log::default();
        let settings = Rc::new(RefCell::new(Settings { read: None, drop: 0, nat: None, look: None }));
        let mut core = Core::new(config);
        core.open(monitor(&log, &settings, buffers, history)).unwrap();
        let (client, server) = ("10.0.0.1:1234".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        Self { core, log, settings, client, server, now_ms: 1_000_000 }
    }

    /// Runs one command and returns the events it raised.
    fn run(&mut self, command: &str) -> Vec<String> {
        let words = split(command);
        match words[0].as_str() {
            "c" | "s" => self.packet(&words),
            "wait" => {
                self.now_ms += words[1].parse::<u64>().unwrap();
                self.core.advance(Timestamp::from_millis(self.now_ms));
            }
            "shutdown" => {
                self.core.shutdown();
                assert_eq!(self.core.stack().reassembly_bytes(), 0);
                assert_eq!(self.core.stack().live_flows(), 0);
            }
            "set" => self.set(&words),
            other => panic!("no such command: {other}"),
        }
        std::mem::take(&mut self.log.borrow_mut())
    }

    fn set(&mut self, words: &[String]) {
        let mut settings = self.settings.borrow_mut();
        let value = words[2].as_str();
        match words[1].as_str() {
            "read" if value == "all" => settings.read = None,
            "read" if value == "none" => settings.read = Some(0),
            "read" => settings.read = Some(value.parse().unwrap()),
            "drop" => settings.drop = value.parse().unwrap(),
            "nat" => settings.nat = Some(value.parse().unwrap()),
            "client" => self.client = value.parse().unwrap(),
            "server" => self.server = value.parse().unwrap(),
            "ppeek" => {
                let (side, offset) = value.split_once(':').unwrap();
                let side = if side == "c" { Side::Client } else { Side::Server };
                settings.look = Some((side, offset.parse().unwrap()));
            }
            "overlap" | "receive_buffer" | "midstream" | "time_wait" | "checksum" | "buffers" | "history"
            | "memory" => {}
            other => panic!("no such setting: {other}"),
        }
    }

    fn packet(&mut self, words: &[String]) {
        let (frame, wire_len) = frame(words, self.client, self.server);
        let mut batch = FrameBatch::new();
        self.now_ms += 1;
        batch.push(&frame, wire_len, Timestamp::from_millis(self.now_ms), 0, LinkType::Ethernet);
        self.core.process(&mut batch.burst(0..1));
    }
}

/// The frame that a command sends, as far as it was captured, and how long it was.
pub(crate) fn frame(words: &[String], client: SocketAddr, server: SocketAddr) -> (Vec<u8>, u32) {
    let mut flags = 0;
    for letter in words[1].chars() {
        flags |= match letter {
            'S' => TcpFlags::SYN,
            'A' => TcpFlags::ACK,
            'F' => TcpFlags::FIN,
            'R' => TcpFlags::RST,
            'P' => TcpFlags::PSH,
            'U' => TcpFlags::URG,
            '.' => 0,
            other => panic!("no such flag: {other}"),
        };
    }
    let seq = SeqNum(words[2].parse().unwrap());
    let mut rest = &words[3..];
    let mut ack = SeqNum(0);
    if flags & TcpFlags::ACK != 0 {
        ack = SeqNum(rest[0].parse().unwrap());
        rest = &rest[1..];
    }
    let (mut payload, mut options, mut window, mut bad_checksum, mut cut) = (Vec::new(), Vec::new(), 8192, false, None);
    for word in rest {
        if let Some(text) = word.strip_prefix('"') {
            payload = text.as_bytes().to_vec();
            continue;
        }
        match word.split_once('=').unwrap_or((word, "")) {
            ("len", len) => payload = (0..len.parse().unwrap()).map(|at: usize| b'a' + (at % 26) as u8).collect(),
            ("win", value) => window = value.parse().unwrap(),
            ("mss", value) => {
                options.extend([2, 4]);
                options.extend(value.parse::<u16>().unwrap().to_be_bytes());
            }
            ("ws", value) => options.extend([1, 3, 3, value.parse().unwrap()]),
            ("sackok", _) => options.extend([1, 1, 4, 2]),
            ("ts", value) => {
                let (val, echo) = value.split_once(':').unwrap();
                options.extend([1, 1, 8, 10]);
                options.extend(val.parse::<u32>().unwrap().to_be_bytes());
                options.extend(echo.parse::<u32>().unwrap().to_be_bytes());
            }
            ("badsum", _) => bad_checksum = true,
            ("cut", value) => cut = Some(value.parse::<usize>().unwrap()),
            (other, _) => panic!("no such field: {other}"),
        }
    }
    let (src, dst) = if words[0] == "c" { (client, server) } else { (server, client) };
    let segment = TcpSegment { src, dst, seq, ack, flags, window, options: &options, payload: &payload };
    let mut frame = segment.to_ethernet();
    if bad_checksum {
        let at = frame.len() - payload.len() - options.len() - 4;
        frame[at] ^= 0x55;
    }
    let wire_len = frame.len() as u32;
    if let Some(cut) = cut {
        frame.truncate(frame.len() - payload.len() + cut);
    }
    (frame, wire_len)
}

/// Words, with a `"payload in quotes"` as one word that keeps its opening quote.
pub(crate) fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = command.trim();
    while !rest.is_empty() {
        let (word, tail) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"').expect("a closing quote");
                (format!("\"{}", &quoted[..end]), &quoted[end + 1..])
            }
            None => {
                let end = rest.find(' ').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = tail.trim_start();
    }
    words
}

/// Replays one file and returns it with the events that were raised.
fn replay(text: &str) -> String {
    let commands: Vec<&str> =
        text.lines().filter(|line| !line.starts_with([' ', '#']) && !line.trim().is_empty()).collect();
    let mut runner = Runner::new(&commands);
    let mut result = String::new();
    for line in text.lines().filter(|line| !line.starts_with(' ')) {
        let _ = writeln!(result, "{line}");
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        for event in runner.run(line) {
            let _ = writeln!(result, "  {event}");
        }
    }
    result
}

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 30, "scenarios are missing from {}", folder.display());
    files
}

/// The names and the texts of all scenarios.
pub(crate) fn scenarios() -> impl Iterator<Item = (String, String)> {
    files().into_iter().map(|file| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&file).unwrap())
    })
}

#[test]
fn scenarios_raise_the_events_they_name() {
    let mut wrong = Vec::new();
    for file in files() {
        let expected = std::fs::read_to_string(&file).unwrap();
        let raised = replay(&expected);
        if raised == expected {
            continue;
        }
        if std::env::var_os("MOS_BLESS").is_some() {
            std::fs::write(&file, raised).unwrap();
            continue;
        }
        let difference = expected.lines().zip(raised.lines()).enumerate().find(|(_, (old, new))| old != new);
        wrong.push(format!("{}: {difference:?}", file.display()));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
