//! `mos run`: a bundled monitor on live traffic; and `mos stat`, which asks it how things are.
//!
//! | file | noun |
//! |---|---|
//! | `worker` | a core's stack with its monitor, as the live loop sees it |
//! | `cores` | the cores' threads |
//! | `counters` | what is counted, at one moment |
//! | `reports` | who is told: the socket of `mos stat`, standard error, metrics |
//! | `user` | who the process is once the devices are open |

mod cores;
mod counters;
mod reports;
mod user;
mod worker;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use env_logger::Target;
use mos_core::config::{Machine, MosConf};
use mos_core::io::fanout::FlowHash;
use mos_core::runtime::live::{CoreLogs, Devices};
use mos_core::runtime::random_seed;
use mos_samples::output::Output;
use mos_samples::syntax;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use self::cores::Cores;
use self::reports::Reports;
use crate::args::{RunArgs, StatArgs};
use crate::bundled::Bundled;
use crate::tell;

/// How often records are handed on that wait in a buffer, and signals are looked for.
const TICK: Duration = Duration::from_millis(200);

/// Runs until all devices have ended or a signal comes. False if a core had to stop before that.
pub(crate) fn run(args: &RunArgs, mut logger: env_logger::Builder) -> anyhow::Result<bool> {
    args.options.check("run", args.monitor);
    let text = syntax::read(&args.config)?;
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let machine = Machine { cpus: u32::try_from(cpus).ok(), ..Machine::default() };
    let conf = match MosConf::parse(&args.config.display().to_string(), &text, machine) {
        Ok(conf) => conf,
        Err(faults) => {
            tell(faults);
            return Ok(false);
        }
    };
    if let Some(directory) = conf.mos_log() {
        let logs = CoreLogs::create(Path::new(directory), conf.cores())?;
        logger.target(Target::Pipe(Box::new(logs)));
    }
    logger.init();
    let output = Arc::new(Output::new(BufWriter::new(io::stdout())));
    let hash = FlowHash::new(random_seed());
    let monitor = Bundled::new(args.monitor, &args.options, &output, hash, conf.cores().count())?;
    let monitor = Arc::new(monitor);
    // From here on a signal does not end the process.
    let mut signals = catch_signals().context("signals cannot be received")?;
    let devices = Devices::open(&conf, usize::MAX, hash, monitor.addresses())?;
    let socket = args.socket.clone().unwrap_or_else(default_socket);
    let reports = Reports::listen(&conf, &socket, args.socket.is_some())?;
    if let Some(name) = conf.user() {
        user::become_user(name, reports.socket_file())?;
    }
    let cores = Cores::start(&conf, devices, &monitor)?;
    let mut reports = reports.begin(&conf, args.stats, cores.watches());
    let mut next = Instant::now();
    while !cores.are_done() && !output.is_closed() {
        thread::sleep(TICK);
        for signal in signals.pending() {
            match signal {
                SIGHUP => reload(&monitor),
                _ => cores.stop(),
            }
        }
        if Instant::now() >= next {
            output.flush();
            reports.tick();
            next += Duration::from_secs(1);
        }
    }
    cores.stop();
    let went_well = cores.join();
    drop(reports);
    monitor.finish().context("standard output cannot be written")?;
    Ok(went_well)
}

/// SIGINT and SIGTERM, which are to end the flows, and SIGHUP. The second one of the first two ends the process at once: whoever reads the
/// output may have stopped to.
fn catch_signals() -> io::Result<Signals> {
    let is_second = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&is_second))?;
        flag::register(signal, Arc::clone(&is_second))?;
    }
    Signals::new([SIGINT, SIGTERM, SIGHUP])
}

fn reload(monitor: &Bundled) {
    match monitor.reload() {
        Ok(true) => log::info!("the rules were read again"),
        Ok(false) => log::warn!("SIGHUP: this monitor has nothing to read again"),
        Err(error) => log::error!("the rules stay as they were: {error:#}"),
    }
}

/// Where an instance is found that was not told anything else.
fn default_socket() -> PathBuf {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from("/run"), PathBuf::from);
    directory.join("mos.sock")
}

/// Shows what a running instance counts.
pub(crate) fn stat(args: &StatArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let socket = args.socket.clone().unwrap_or_else(default_socket);
    reports::ask(&socket, args.json, out)?;
    Ok(true)
}
