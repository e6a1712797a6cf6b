//! Who is told what is counted: the socket of `mos stat`, standard error, metrics.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use mos_core::config::MosConf;

use super::cores::Watch;
use super::counters::{CoreCounters, port_entries, to_json, to_text};
use crate::tell;

/// Whoever connects and says nothing is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most of a request for metrics that is read.
const REQUEST_BYTES: u64 = 8 << 10;

/// Listeners, before there is anything to tell.
pub(crate) struct Reports {
    socket: Option<UnixListener>,
    metrics: Option<TcpListener>,
    path: PathBuf,
}

/// Who is told, while the cores run.
pub(crate) struct Telling {
    watches: Vec<Watch>,
    /// Seconds between counters on standard error.
    interval: Option<u32>,
    /// Devices of `stat_print`, which are told of each second.
    printed: Vec<usize>,
    seconds: u32,
    /// The socket's file, which goes when nobody listens there any more.
    path: Option<PathBuf>,
}

impl Reports {
    /// Listens where the configuration says, and at `socket`. If nobody has asked for that one (`is_wanted`), it is no fault that it
    /// cannot be.
    pub(crate) fn listen(conf: &MosConf, socket: &Path, is_wanted: bool) -> anyhow::Result<Self> {
        let bound = bind(socket);
        let socket_listener = match bound {
            Ok(listener) => Some(listener),
            Err(error) if is_wanted => return Err(error),
            Err(error) => {
                log::info!("`mos stat` will not find this instance: {error:#}");
                None
            }
        };
        let metrics =
            conf.metrics().map(|address| TcpListener::bind(address).with_context(|| format!("metrics: {address}")));
        Ok(Self { socket: socket_listener, metrics: metrics.transpose()?, path: socket.to_owned() })
    }

    /// From now on there is something to tell.
    pub(crate) fn begin(self, conf: &MosConf, interval: Option<u32>, watches: Vec<Watch>) -> Telling {
        let path = self.socket.is_some().then_some(self.path);
        if let Some(socket) = self.socket {
            let watches = watches.clone();
            serve("stat", move || {
                for stream in socket.incoming().flatten() {
                    answer_stat(stream, &watches);
                }
            });
        }
        if let Some(metrics) = self.metrics {
            let watches = watches.clone();
            serve("metrics", move || {
                for stream in metrics.incoming().flatten() {
                    let _ = stream.set_read_timeout(Some(PATIENCE)).and(stream.set_write_timeout(Some(PATIENCE)));
                    answer_metrics(stream, &watches);
                }
            });
        }
        Telling { watches, interval, printed: conf.stat_print(), seconds: 0, path }
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
            anyhow::ensure!(UnixStream::connect(path).is_err(), "{}: another instance listens there", name());
            std::fs::remove_file(path).with_context(name)?;
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
fn answer_metrics(mut stream: impl Read + Write, watches: &[Watch]) {
    let mut lines = BufReader::new((&mut stream).take(REQUEST_BYTES)).lines();
    // The head of the request ends with an empty line.
    let is_whole = lines.by_ref().map_while(Result::ok).any(|line| line.is_empty());
    drop(lines);
    if is_whole {
        let body = to_metrics(&ask_all(watches));
        let length = body.len();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
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
                    tell(format_args!(
                        "core {} {name}: {} received, {} transmitted, {} dropped by the kernel, {} not sent",
                        core.cpu,
                        port.received,
                        port.transmitted,
                        port.kernel_drops,
                        port.transmit_drops.total()
                    ));
                }
            }
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It may be in a directory where this user may not remove anything: the next instance replaces it.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Asks a running instance, and writes its answer.
pub(crate) fn ask(socket: &Path, json: bool, out: &mut impl io::Write) -> anyhow::Result<()> {
    let name = || format!("{}: no instance answers there", socket.display());
    let mut answer = String::new();
    UnixStream::connect(socket).and_then(|mut stream| stream.read_to_string(&mut answer)).with_context(name)?;
    let counters: serde_json::Value = serde_json::from_str(&answer).with_context(name)?;
    match json {
        true => writeln!(out, "{counters}")?,
        false => write!(out, "{}", to_text(&counters))?,
    }
    out.flush()?;
    Ok(())
}
