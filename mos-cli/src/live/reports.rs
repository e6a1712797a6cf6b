//! Who is told what is counted: the socket of `mos stat`, standard error, metrics.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use mos_core::config::MosConf;

use super::cores::Watch;
use super::counters::{CoreCounters, port_entries, to_json, to_text};
use crate::tell;

/// Whoever connects and says nothing is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long `mos stat` waits for an answer. A core that is busy gives it after its round; one that cannot write its records, not before
/// it can.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// The most of a request for metrics that is read.
const REQUEST_BYTES: usize = 8 << 10;

/// Between two attempts to take somebody's call, if the system has no room for it.
const PAUSE: Duration = Duration::from_millis(100);

/// Listeners, before there is anything to tell.
pub(crate) struct Reports {
    socket: Option<(UnixListener, SocketFile)>,
    metrics: Option<TcpListener>,
}

/// The socket's file, which goes when nobody listens there any more.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be in a directory where this user may not remove anything: the next instance replaces it.
        let _ = fs::remove_file(&self.0);
    }
}

/// Who is told, while the cores run.
pub(crate) struct Telling {
    watches: Vec<Watch>,
    /// Seconds between counters on standard error.
    interval: Option<u32>,
    /// Devices of `stat_print`, which are told of each second.
    printed: Vec<usize>,
    seconds: u32,
    _file: Option<SocketFile>,
}

impl Reports {
    /// Listens where the configuration says, and at `socket`. If nobody has asked for that one (`is_wanted`), it is no fault that it
    /// cannot be.
    pub(crate) fn listen(conf: &MosConf, socket: &Path, is_wanted: bool) -> anyhow::Result<Self> {
        let bound = bind(socket);
        let socket_listener = match bound {
            Ok(listener) => Some((listener, SocketFile(socket.to_owned()))),
            Err(error) if is_wanted => return Err(error),
            Err(error) => {
                log::info!("`mos stat` will not find this instance: {error:#}");
                None
            }
        };
        let metrics =
            conf.metrics().map(|address| TcpListener::bind(address).with_context(|| format!("metrics: {address}")));
        Ok(Self { socket: socket_listener, metrics: metrics.transpose()? })
    }

    /// The file of the socket of `mos stat`, if there is one.
    pub(crate) fn socket_file(&self) -> Option<&Path> {
        self.socket.as_ref().map(|(_, file)| file.0.as_path())
    }

    /// From now on there is something to tell.
    pub(crate) fn begin(self, conf: &MosConf, interval: Option<u32>, watches: Vec<Watch>) -> Telling {
        let file = self.socket.map(|(socket, file)| {
            let watches = watches.clone();
            serve("stat", move || answer_all(socket.incoming(), |stream| answer_stat(stream, &watches)));
            file
        });
        if let Some(metrics) = self.metrics {
            let watches = watches.clone();
            serve("metrics", move || answer_all(metrics.incoming(), |stream| answer_metrics(stream, &watches)));
        }
        Telling { watches, interval, printed: conf.stat_print(), seconds: 0, _file: file }
    }
}

/// One after the other, for ever.
fn answer_all<S>(calls: impl Iterator<Item = io::Result<S>>, answer: impl Fn(S)) {
    for call in calls {
        match call {
            Ok(stream) => answer(stream),
            // Too many files are open, for example: then that is so for a while.
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// On a thread that ends with the process.
fn serve(name: &str, body: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(body) {
        log::error!("{name}: the system has no thread for it: {error}");
    }
}

/// A listener at `path`. A file that an instance has left behind is replaced; an instance that is alive is not disturbed.
fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    let name = || path.display().to_string();
    match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
            anyhow::ensure!(is_socket, "{}: there is a file that is no socket", name());
            match UnixStream::connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error).with_context(name),
                Ok(_) => anyhow::bail!("{}: another instance listens there", name()),
            }
            fs::remove_file(path).with_context(name)?;
            UnixListener::bind(path).with_context(name)
        }
        other => other.with_context(name),
    }
}

fn ask_all(watches: &[Watch]) -> Vec<CoreCounters> {
    watches.iter().filter_map(CoreCounters::ask).collect()
}

/// What is counted, as a line of JSON.
fn answer_stat(mut stream: UnixStream, watches: &[Watch]) {
    let _ = stream.set_write_timeout(Some(PATIENCE));
    // Whoever asked may have gone.
    let _ = writeln!(stream, "{}", to_json(&ask_all(watches)));
}

/// What is counted, as Prometheus reads it (text format 0.0.4), whatever was asked for.
fn answer_metrics(mut stream: TcpStream, watches: &[Watch]) {
    let _ = stream.set_write_timeout(Some(PATIENCE));
    if has_asked(&mut stream) {
        let body = to_metrics(&ask_all(watches));
        let length = body.len();
        // Whoever asked may have gone.
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
    }
}

/// Reads the head of a request, which ends with an empty line. False if it does not come to an end, or not soon: the next one waits.
fn has_asked(stream: &mut TcpStream) -> bool {
    let (start, mut head, mut piece) = (Instant::now(), Vec::new(), [0; 1024]);
    loop {
        let left = PATIENCE.saturating_sub(start.elapsed());
        if left.is_zero() || head.len() > REQUEST_BYTES || stream.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        match stream.read(&mut piece) {
            Ok(0) => return false,
            Ok(count) => head.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n") {
            return true;
        }
    }
}

fn to_metrics(cores: &[CoreCounters]) -> String {
    let mut text = String::new();
    for core in cores {
        for (group, name, count) in core.entries() {
            let metric = if group.is_empty() { format!("mos_{name}") } else { format!("mos_{group}_{name}") };
            let _ = writeln!(text, "{}{{core=\"{}\"}} {count}", metric.replace(['-', '.'], "_"), core.cpu);
        }
        for (device, port) in &core.ports {
            for (name, count) in port_entries(port) {
                let device = device.replace(['\\', '"'], "_");
                let _ = writeln!(text, "mos_device_{name}{{core=\"{}\",device=\"{device}\"}} {count}", core.cpu);
            }
        }
    }
    text
}

impl Telling {
    /// A second has passed.
    pub(crate) fn tick(&mut self) {
        self.seconds += 1;
        let all = self.interval.is_some_and(|interval| self.seconds.is_multiple_of(interval));
        if !all && self.printed.is_empty() {
            return;
        }
        let cores = ask_all(&self.watches);
        if all {
            tell(to_text(&to_json(&cores)).trim_end());
        }
        for core in &cores {
            for &number in &self.printed {
                if let Some((name, port)) = core.ports.get(number) {
                    tell(format_args!("core {} {name}: {port}", core.cpu));
                }
            }
        }
    }
}

/// Asks a running instance, and writes its answer.
pub(crate) fn ask(socket: &Path, json: bool, out: &mut impl io::Write) -> anyhow::Result<()> {
    let name = || format!("{}: no instance answers there", socket.display());
    let mut answer = String::new();
    let mut stream = UnixStream::connect(socket).with_context(name)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    stream.read_to_string(&mut answer).with_context(name)?;
    let counters: serde_json::Value = serde_json::from_str(&answer).with_context(name)?;
    match json {
        true => writeln!(out, "{counters}")?,
        false => write!(out, "{}", to_text(&counters))?,
    }
    out.flush()?;
    Ok(())
}
