//! Golden logs: every event of every made capture, with states and packet, as text in `golden/`.
//!
//! A line per event: flow, hook, event, side, both states, and the packet at hand (flags, sequence and acknowledgment
//! number, payload length, stream offset), or what there is instead: bytes for NEW_DATA (`+N` there, `-N` missing), a reason
//! for ERROR and END. Of a long log the file has the beginning, the end, and a hash of all of it.
//! `MOS_BLESS=1 cargo test` writes the files anew: then read the difference.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mos_core::config::{ChecksumMode, Config};
use mos_core::wire::TcpFlags;
use mos_monitor::{Chunk, Conn, Core, ErrorReason, Event, LastPacket, Monitor, RawMonitor, Side, WithPacket};
use sha2::{Digest, Sha256};

use crate::support::event_name;
use crate::support::{Frame, batch, feed, finish, read, traces};

/// Lines of a long log that its file has: so many of the beginning, and of the end.
const SHOWN: [usize; 2] = [120, 40];

/// What was told of one flow.
#[derive(Default)]
struct FlowText {
    /// Every line but NEW_DATA, which comes at other times in other bursts.
    lines: Vec<String>,
    /// What each side received: bytes there, bytes missing, and all of it.
    streams: [(u64, u64, Sha256); 2],
    is_over: bool,
}

/// Everything that was told.
#[derive(Default)]
pub(crate) struct Text {
    pub(crate) lines: Vec<String>,
    flows: Vec<FlowText>,
    raw: u64,
}

impl Text {
    fn flow(&mut self, place: &mut Option<usize>, what: &str, client: impl FnOnce() -> String) -> usize {
        let index = *place.get_or_insert_with(|| {
            self.flows.push(FlowText::default());
            self.lines.push(format!("#{} {}", self.flows.len() - 1, client()));
            self.flows.len() - 1
        });
        assert!(!self.flows[index].is_over, "{what} after the end");
        index
    }

    /// Notes an event; its lines but those of NEW_DATA are noted for the flow as well.
    fn note<At>(&mut self, place: &mut Option<usize>, conn: &Conn<'_, '_, At>, what: &str, rest: &str) {
        let endpoints = || format!("{} > {}", conn.endpoint(Side::Client), conn.endpoint(Side::Server));
        let index = self.flow(place, what, endpoints);
        let state = |side| conn.state(side).map_or("-".to_owned(), |state| (state as u8).to_string());
        let states = format!("({},{})", state(Side::Client), state(Side::Server));
        let side = if conn.side() == Side::Client { "CLI" } else { "SVR" };
        let line = format!("#{index} {what} {side} {states}{rest}");
        if !what.ends_with("NEW_DATA") {
            self.flows[index].lines.push(line.clone());
        }
        self.lines.push(line);
    }

    /// What does not depend on the bursts: the flows, with their new data joined.
    fn joined(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for flow in &self.flows {
            lines.extend(flow.lines.iter().cloned());
            lines.extend(flow.streams.iter().map(total));
        }
        lines.extend(self.lines.iter().filter(|line| line.starts_with("ORPHAN")).cloned());
        lines.push(format!("raw {}", self.raw));
        lines
    }
}

fn hex(hash: &Sha256) -> String {
    hash.clone().finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn total((seen, missing, hash): &(u64, u64, Sha256)) -> String {
    format!("+{seen} -{missing} {}", hex(hash))
}

fn flags(flags: u8) -> String {
    let letters = [
        (TcpFlags::SYN, 'S'),
        (TcpFlags::FIN, 'F'),
        (TcpFlags::RST, 'R'),
        (TcpFlags::PSH, 'P'),
        (TcpFlags::URG, 'U'),
        (TcpFlags::ACK, 'A'),
    ];
    let text: String = letters.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, letter)| letter).collect();
    if text.is_empty() { ".".to_owned() } else { text }
}

/// The packet at hand, if there is one; its parts make up the frame.
fn packet<At: WithPacket>(conn: &Conn<'_, '_, At>) -> String {
    let (Some(view), Some(last)) = (conn.packet(), conn.last_packet()) else { return " no packet".to_owned() };
    let LastPacket { info, ethernet, ip, tcp, payload } = last;
    assert!([ethernet, ip, tcp, payload].concat().len() <= view.frame.len());
    assert_eq!(info.eth_len, view.wire_len);
    assert!(info.ip_len as usize + ethernet.len() <= info.eth_len as usize, "{info:?}");
    assert!(payload.len() <= info.payload_len as usize);
    let offset = info.offset.map_or("-".to_owned(), |offset| offset.to_string());
    let cut = if payload.len() < info.payload_len as usize { format!("/{}", payload.len()) } else { String::new() };
    format!(" {} seq {} ack {} len {}{cut} at {offset}", flags(info.flags), info.seq, info.ack, info.payload_len)
}

fn reason(reason: ErrorReason) -> String {
    match reason {
        ErrorReason::Gap(span) | ErrorReason::Overrun(span) | ErrorReason::Conflict(span) => {
            format!("{} {}..{}", reason.name(), span.start(), span.end())
        }
        _ => reason.name().to_owned(),
    }
}

/// A monitor that writes down everything.
fn writer() -> Monitor<Text, Option<usize>> {
    let mut monitor = Monitor::new("writer", Text::default());
    for event in [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd] {
        let name = event_name(event);
        monitor = monitor
            .on_snd(event, move |cx| {
                cx.state.note(cx.flow, &cx.conn, &format!("SND {name}"), &packet(&cx.conn));
            })
            .on_rcv(event, move |cx| {
                cx.state.note(cx.flow, &cx.conn, &format!("RCV {name}"), &packet(&cx.conn));
            });
    }
    monitor
        .on_new_data(|cx| {
            let side = cx.conn.side();
            let mut rest = format!(" at {}:", cx.conn.position(side));
            let (mut seen, mut missing) = (0, 0);
            let mut bytes = Sha256::new();
            for chunk in cx.conn.chunks() {
                match chunk {
                    Chunk::Data(data) => {
                        bytes.update(data);
                        seen += data.len() as u64;
                    }
                    Chunk::Missing(len) => {
                        bytes.update(format!("({len} missing)"));
                        missing += len;
                    }
                }
            }
            let _ = write!(rest, " +{seen}");
            if missing > 0 {
                let _ = write!(rest, " -{missing}");
            }
            rest += &packet(&cx.conn);
            cx.state.note(cx.flow, &cx.conn, "NULL NEW_DATA", &rest);
            let index = cx.flow.unwrap_or_default();
            let stream = &mut cx.state.flows[index].streams[side as usize];
            (stream.0, stream.1) = (stream.0 + seen, stream.1 + missing);
            for chunk in cx.conn.chunks() {
                match chunk {
                    Chunk::Data(data) => stream.2.update(data),
                    Chunk::Missing(len) => (0..len).for_each(|_| stream.2.update([0])),
                }
            }
            cx.conn.consume_all();
        })
        .on_error(|cx| {
            let rest = format!(" {}{}", reason(cx.reason()), packet(&cx.conn));
            cx.state.note(cx.flow, &cx.conn, "NULL ERROR", &rest);
        })
        .on_end(|cx| {
            let rest = format!(" {}", cx.reason().name());
            cx.state.note(cx.flow, &cx.conn, "END", &rest);
            let index = cx.flow.unwrap_or_default();
            let flow = &mut cx.state.flows[index];
            flow.is_over = true;
            let totals = flow.streams.each_ref().map(total);
            cx.state.lines.push(format!("#{index} client got {}, server got {}", totals[0], totals[1]));
        })
        .on_orphan(|cx| {
            let last = cx.last_packet();
            let (from, to) = (cx.packet().source(), cx.packet().destination());
            let line = format!("ORPHAN {from} > {to} {} len {}", flags(last.info.flags), last.info.payload_len);
            cx.state.lines.push(line);
        })
}

/// Replays a capture to its end and returns all that was told.
fn told(capture: &[Frame], midstream: bool, immediate: bool, burst: usize) -> Text {
    told_of(midstream, immediate, |core| {
        feed(core, &mut batch(capture), burst);
        core.advance(capture.iter().map(|frame| frame.time).max().unwrap_or_default());
    })
}

/// The same of whatever the core is fed with.
pub(crate) fn told_of(midstream: bool, immediate: bool, feed: impl FnOnce(&mut Core)) -> Text {
    let config = Config { checksum: ChecksumMode::Auto, midstream, ..Config::default() };
    let mut core = Core::new(config);
    let monitor = if immediate { writer().immediate() } else { writer() };
    let socket = core.open(monitor).expect("there is room");
    let raw = core.open_raw(RawMonitor::new("raw", 0_u64).on_packet(|cx| *cx.state += 1)).expect("there is room");
    feed(&mut core);
    finish(&mut core);
    assert_eq!(core.panics(), 0, "callbacks panicked");
    let raw = *core.state::<u64>(raw).expect("it is open");
    let text = core.state_mut::<Text>(socket).expect("it is open");
    text.raw = raw;
    text.lines.push(format!("raw {raw}"));
    std::mem::take(text)
}

/// The log as its file has it.
fn shorten(lines: &[String]) -> String {
    let mut text = lines.join("\n") + "\n";
    if lines.len() > SHOWN.iter().sum() {
        let hash = hex(&Sha256::new().chain_update(&text));
        text = lines[..SHOWN[0]].join("\n");
        let _ = write!(text, "\n... {} lines in all, {hash}\n", lines.len());
        text += &(lines[lines.len() - SHOWN[1]..].join("\n") + "\n");
    }
    text
}

/// Where two lists of lines part, for messages.
fn parting(a: &[String], b: &[String]) -> String {
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    format!("line {at}: {:?} against {:?}", a.get(at), b.get(at))
}

/// All that must be the same however the capture is cut into bursts, and whenever new data is told.
fn agree(name: &str, capture: &[Frame], midstream: bool) -> Result<Vec<String>, String> {
    let one = told(capture, midstream, false, 1);
    let at_once = told(capture, midstream, true, 1);
    let joined = one.joined();
    for burst in [1, 5, 64] {
        for immediate in [false, true] {
            let other = told(capture, midstream, immediate, burst);
            if other.joined() != joined {
                let parting = parting(&joined, &other.joined());
                return Err(format!("{name}, bursts of {burst}, immediate {immediate}: {parting}"));
            }
            // What is told at once is told at the same place in all bursts.
            if immediate && other.lines != at_once.lines {
                let parting = parting(&at_once.lines, &other.lines);
                return Err(format!("{name}, bursts of {burst}, told at once: {parting}"));
            }
        }
    }
    Ok(one.lines)
}

/// The small captures are in the project, the large ones beside it.
pub(crate) fn captures() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in [Some(own), traces().map(|folder| folder.join("edge"))].into_iter().flatten() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut captures: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "pcap")).collect();
        captures.sort();
        for path in captures {
            if files.iter().all(|known| known.file_name() != path.file_name()) {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn made_captures_raise_exactly_the_events_of_their_golden_logs() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut wrong = Vec::new();
    let files = captures();
    assert!(files.len() >= 17, "captures are missing from tests/traces");
    for path in &files {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let capture = read(path);
        // Where it matters, both ways.
        let ways: &[bool] = if matches!(&*stem, "midstream" | "synlost") { &[false, true] } else { &[false] };
        for &midstream in ways {
            let name = if midstream { format!("{stem}-on") } else { stem.clone() };
            let lines = match agree(&name, &capture, midstream) {
                Ok(lines) => lines,
                Err(error) => {
                    wrong.push(error);
                    continue;
                }
            };
            let file = golden.join(format!("{name}.txt"));
            let text = shorten(&lines);
            if std::env::var_os("MOS_BLESS").is_some() {
                std::fs::write(&file, &text).expect("the folder is there");
            }
            let expected = std::fs::read_to_string(&file).unwrap_or_default();
            if text != expected {
                let [old, new] = [&expected, &text].map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
                wrong.push(format!("{name}: {}", parting(&old, &new)));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
