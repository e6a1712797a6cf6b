//! The command line: what can be said, and what it means to the stack.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use log::LevelFilter;
use mos_core::config::{ChecksumMode, Config, Timeouts};
use mos_core::packet::MAX_BURST;
use mos_core::runtime::Run;
use mos_samples::flowlog;

/// How long flows in their handshake, and flows that are closing, may be silent.
const BRIEF_TIMEOUT: Duration = Duration::from_secs(30);

/// Flow monitoring for middleboxes: both endpoints of every TCP connection, exact streams, events.
#[derive(Debug, Parser)]
#[command(name = "mos", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What is logged to standard error: off, error, warn, info, debug, trace. RUST_LOG goes before it
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log: LevelFilter,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Replay(ReplayArgs),
    Bench(BenchArgs),
}

/// Run a monitor over capture files (pcap or pcapng).
///
/// Files are replayed in the order given, each by itself: no connection goes on from one file to the next. A damaged file
/// gives all that came before the damage; the exit status is then 1.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// Capture files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// The monitor
    #[arg(long, value_enum, default_value_t = MonitorName::Flowlog)]
    pub(crate) monitor: MonitorName,

    /// The rules of ids or of simple-firewall
    #[arg(long, value_name = "FILE", required_if_eq_any([("monitor", "ids"), ("monitor", "simple-firewall")]))]
    pub(crate) rules: Option<PathBuf>,

    /// Let ids stand in the way: what its drop and reject rules match goes no further
    #[arg(long)]
    pub(crate) inline: bool,

    /// The subscribers of accounting: a name and a network on each line. Without it, each client is one
    #[arg(long, value_name = "FILE")]
    pub(crate) subscribers: Option<PathBuf>,

    /// How flowlog and accounting are written. The other logs are JSON lines in any case
    #[arg(long, value_enum, default_value_t = FormatName::Table)]
    pub(crate) format: FormatName,

    /// Add the SHA-256 of each direction's bytes to the JSON records
    #[arg(long)]
    pub(crate) digest: bool,

    /// Spread the traffic over so many cores, by pairs of addresses
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) cores: u16,

    /// How long an open connection may be silent, in seconds; 0 is for ever. (30 while it opens, and once both sides close)
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub(crate) timeout: u32,

    #[command(flatten)]
    pub(crate) stack: StackArgs,

    /// What to do about wrong checksums: verify drops the packets, trust does not look, auto verifies senders that were
    /// seen to compute any
    #[arg(long, value_enum, default_value_t = ChecksumName::Auto)]
    pub(crate) checksum: ChecksumName,
}

/// Measure the stack on a capture file, held in memory.
///
/// Every run begins with an empty stack and takes the whole file on one core. Measured is the CPU time of the processing,
/// with the end of all flows; not that of reading the file.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// The capture file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// What is monitored
    #[arg(long, value_enum, default_value_t = Load::Track)]
    pub(crate) monitor: Load,

    /// How often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,

    #[command(flatten)]
    pub(crate) stack: StackArgs,

    /// What to do about wrong checksums. Trust, unless told otherwise: network cards verify them for live traffic
    #[arg(long, value_enum, default_value_t = ChecksumName::Trust)]
    pub(crate) checksum: ChecksumName,
}

/// What both commands let the user say about the stack.
#[derive(Debug, clap::Args)]
pub(crate) struct StackArgs {
    /// Frames that are handed to the stack at a time
    #[arg(long, value_name = "N", default_value_t = MAX_BURST as u8,
          value_parser = clap::value_parser!(u8).range(1..=MAX_BURST as i64))]
    pub(crate) burst: u8,

    /// Follow connections whose beginning is not in the capture
    #[arg(long)]
    pub(crate) midstream: bool,

    /// The most connections at a time on each core; beyond it the oldest go
    #[arg(long, value_name = "N", default_value_t = 1 << 20, 
          value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub(crate) max_flows: u32,

    /// The most bytes kept of one direction of a connection while earlier ones are missing or nobody has read them. What is
    /// kept of all together is at most 1 GiB on each core
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20,
          value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) receive_buffer: u64,

    /// The seed of the hashes, instead of a random one
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MonitorName {
    /// A record for every connection
    Flowlog,
    /// A record for every HTTP/1.x transaction, on any port: JSON lines
    HttpLog,
    /// A record for every TLS handshake, on any port: JSON lines
    TlsLog,
    /// The live connections and their states, each second of the capture
    Midstat,
    /// Alerts for contents of streams, by rules in a subset of Suricata's language: JSON lines
    Ids,
    /// Who may connect to whom, by rules: tables of how often each one decided
    SimpleFirewall,
    /// Bytes by subscriber, each charged once, and alerts for data hidden in retransmissions
    Accounting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// One table at the end
    Table,
    /// A JSON object per line, in Suricata's EVE layout
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChecksumName {
    Verify,
    Trust,
    Auto,
}

/// What a benchmark has monitored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// Connections and their states, without their bytes
    Track,
    /// The bytes of both directions, in order
    Stream,
    /// Every packet, without connections
    Raw,
}

impl From<FormatName> for flowlog::Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Table => Self::Table,
            FormatName::Json => Self::Json,
        }
    }
}

impl From<ChecksumName> for ChecksumMode {
    fn from(name: ChecksumName) -> Self {
        match name {
            ChecksumName::Verify => Self::Verify,
            ChecksumName::Trust => Self::Trust,
            ChecksumName::Auto => Self::Auto,
        }
    }
}

impl StackArgs {
    /// The seed that was given, or one that nobody can guess.
    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| RandomState::new().hash_one(0))
    }

    fn config(&self, checksum: ChecksumName, established: Duration) -> Config {
        Config {
            max_flows: self.max_flows as usize,
            receive_buffer_bytes: self.receive_buffer,
            checksum: checksum.into(),
            midstream: self.midstream,
            timeouts: Timeouts {
                half_open: BRIEF_TIMEOUT,
                established,
                closing: BRIEF_TIMEOUT,
                time_wait: Duration::ZERO,
            },
            hash_seed: self.seed(),
            ..Config::default()
        }
    }
}

impl ReplayArgs {
    /// Ends the program, as for any other mistake on the command line, if options do not go together.
    pub(crate) fn check(&self) {
        let mistake = match (self.monitor, self.format) {
            (MonitorName::Midstat | MonitorName::SimpleFirewall, FormatName::Json) => {
                "--format json: midstat and simple-firewall have no records"
            }
            _ if self.rules.is_some() && !matches!(self.monitor, MonitorName::Ids | MonitorName::SimpleFirewall) => {
                "--rules is for --monitor ids and --monitor simple-firewall"
            }
            _ if self.inline && self.monitor != MonitorName::Ids => "--inline is for --monitor ids",
            _ if self.subscribers.is_some() && self.monitor != MonitorName::Accounting => {
                "--subscribers is for --monitor accounting"
            }
            (MonitorName::Flowlog, FormatName::Table) if self.digest => "--digest needs --format json",
            (MonitorName::Flowlog, _) => return,
            _ if self.digest => "--digest is for --monitor flowlog",
            _ => return,
        };
        let mut command = Args::command();
        command.build();
        let replay = command.find_subcommand_mut("replay").expect("this is what is being run");
        replay.error(ErrorKind::ArgumentConflict, mistake).exit()
    }

    /// What each stack is told.
    pub(crate) fn config(&self) -> Config {
        self.stack.config(self.checksum, Duration::from_secs(self.timeout.into()))
    }

    /// How each file is run.
    pub(crate) fn run(&self) -> Run {
        Run { cores: self.cores.into(), burst: self.stack.burst.into(), seed: self.stack.seed() }
    }
}

impl BenchArgs {
    /// What the stack is told.
    pub(crate) fn config(&self) -> Config {
        self.stack.config(self.checksum, Duration::from_secs(3600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
