//! The command line: what can be said, and what it means to the stack.

use std::hash::{BuildHasher, RandomState};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use log::LevelFilter;
use mos_core::config::{ChecksumMode, Config, Net, Timeouts};
use mos_core::packet::MAX_BURST;
use mos_core::runtime::Run;
use mos_samples::{flowlog, nat};

use crate::bench::Load;

/// How long flows in their handshake, and flows that are closing, may be silent.
const BRIEF_TIMEOUT: Duration = Duration::from_secs(30);

/// The most connections that a core can be told to follow.
const MAX_FLOWS: u32 = 1 << 24;

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
    Run(RunArgs),
    Stat(StatArgs),
    Check(CheckArgs),
    Bench(BenchArgs),
}

/// Show what a mos.conf comes to: every key with its value, and where that comes from.
///
/// What is printed is a mos.conf that says the same. If there is something wrong with the file, all of it is reported, and the
/// exit status is 1.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// What the bundled monitors can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct MonitorOptions {
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

    /// An address of nat outside, a range (192.0.2.1-192.0.2.9) or a prefix (192.0.2.0/28). The machine's own are not allowed
    #[arg(long, value_name = "ADDRESS", required_if_eq("monitor", "nat"), value_parser = |text: &str| nat::address_range(text).map(Addresses))]
    pub(crate) address: Vec<Addresses>,

    /// A network whose packets nat translates [default: those of RFC 1918]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) inside: Vec<Net>,
}

/// The addresses that one option names.
#[derive(Clone, Debug)]
pub(crate) struct Addresses(pub(crate) Vec<Ipv4Addr>);

/// Run a monitor on live traffic, as a mos.conf says.
///
/// It runs until it is told to stop (SIGINT, SIGTERM); then every connection that is open ends, and is recorded so. A capture file
/// in the place of an interface is run to its end. SIGHUP reads the rules of simple-firewall again.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The monitor
    #[arg(value_enum)]
    pub(crate) monitor: MonitorName,

    /// Devices, cores and all else: a mos.conf (see docs/mos-conf.md)
    #[arg(short = 'f', long = "config", value_name = "FILE")]
    pub(crate) config: PathBuf,

    #[command(flatten)]
    pub(crate) options: MonitorOptions,

    /// Write counters to standard error so often
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) stats: Option<u32>,

    /// Where `mos stat` finds this instance: a Unix socket [default: see `mos stat`]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

/// Show the counters of a running instance: of each core and device, of connections, of what was dropped and why.
#[derive(Debug, clap::Args)]
pub(crate) struct StatArgs {
    /// The instance's socket [default: mos.sock in $XDG_RUNTIME_DIR, or else in /run]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
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

    #[command(flatten)]
    pub(crate) options: MonitorOptions,

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

/// Measure the stack on traffic that is held in memory: a capture file, or made up.
///
/// Every run begins with an empty stack. Measured is the CPU time of the processing, with the end of all flows (but of
/// --flows, where it would only blur what a packet costs); not that of reading the file or of making up the traffic. What is
/// made up is the same each time.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// How many packets are made up: of --flows, once the flows are open [default: 4M]; of --churn in all [default: 1M]
    #[arg(long, value_name = "N", value_parser = count, conflicts_with = "file")]
    pub(crate) packets: Option<u32>,

    /// What is done with the packets
    #[arg(long, value_enum, default_value_t = Load::Track)]
    pub(crate) monitor: Load,

    /// Measure so many processors at a time, each with its share of the flows; and one that takes all shares in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) cores: u16,

    /// How often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,

    #[command(flatten)]
    pub(crate) stack: StackArgs,

    /// What to do about wrong checksums. Trust, unless told otherwise: network cards verify them for live traffic
    #[arg(long, value_enum, default_value_t = ChecksumName::Trust)]
    pub(crate) checksum: ChecksumName,
}

/// Where the packets of a benchmark come from.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SourceArgs {
    /// A capture file
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// So many live flows (10k, 1M): packets of any of them, in either direction, half of them pure acknowledgments, half
    /// with 4 bytes. Their handshakes are measured apart
    #[arg(long, value_name = "N", value_parser = flows)]
    pub(crate) flows: Option<u32>,

    /// So many flows at a time that begin, exchange a few bytes and close: 17 packets each, six of which open and close it
    #[arg(long, value_name = "N", value_parser = flows)]
    pub(crate) churn: Option<u32>,
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
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_FLOWS)))]
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
    /// Source NAT for IPv4: hosts inside share a few addresses outside
    Nat,
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

/// A number of things: `500`, `10k`, `4M`.
fn count(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.as_bytes() {
        [.., b'k' | b'K'] => (&text[..text.len() - 1], 1_000),
        [.., b'm' | b'M'] => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    // A sign is no digit, though the parser would take one.
    let number = digits.parse().ok().filter(|_| digits.as_bytes()[0].is_ascii_digit());
    match number.and_then(|number: u32| number.checked_mul(unit)) {
        Some(count @ 1..) => Ok(count),
        _ => Err("not a number from 1 to 4294967295, such as 500, 10k or 4M".to_owned()),
    }
}

/// A number of flows that a stack has room for.
fn flows(text: &str) -> Result<u32, String> {
    match count(text)? {
        flows @ ..=MAX_FLOWS => Ok(flows),
        _ => Err(format!("at most {MAX_FLOWS} flows at a time")),
    }
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

/// Ends the program, as for any other mistake on the command line.
fn refuse(subcommand: &str, mistake: &str) -> ! {
    let mut command = Args::command();
    command.build();
    let subcommand = command.find_subcommand_mut(subcommand).expect("this is what is being run");
    subcommand.error(ErrorKind::ArgumentConflict, mistake).exit()
}

impl MonitorOptions {
    /// Ends the program, as for any other mistake on the command line, if options do not go together.
    pub(crate) fn check(&self, subcommand: &str, monitor: MonitorName) {
        if let Some(mistake) = self.mistake(monitor) {
            refuse(subcommand, mistake);
        }
    }

    fn mistake(&self, monitor: MonitorName) -> Option<&'static str> {
        let is = |names: &[MonitorName]| names.contains(&monitor);
        let wrong = [
            (
                self.format == FormatName::Json
                    && is(&[MonitorName::Midstat, MonitorName::SimpleFirewall, MonitorName::Nat]),
                "--format json: midstat, simple-firewall and nat have no records",
            ),
            (
                self.rules.is_some() && !is(&[MonitorName::Ids, MonitorName::SimpleFirewall]),
                "--rules is for ids and simple-firewall",
            ),
            (self.inline && !is(&[MonitorName::Ids]), "--inline is for ids"),
            (self.subscribers.is_some() && !is(&[MonitorName::Accounting]), "--subscribers is for accounting"),
            (
                (!self.address.is_empty() || !self.inside.is_empty()) && !is(&[MonitorName::Nat]),
                "--address and --inside are for nat",
            ),
            (self.digest && !is(&[MonitorName::Flowlog]), "--digest is for flowlog"),
            (self.digest && self.format == FormatName::Table, "--digest needs --format json"),
        ];
        wrong.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, mistake)| mistake)
    }
}

impl ReplayArgs {
    /// Ends the program, as for any other mistake on the command line, if options do not go together.
    pub(crate) fn check(&self) {
        self.options.check("replay", self.monitor);
        if self.monitor == MonitorName::Nat && self.cores > 1 {
            refuse("replay", "--cores: nat chooses its ports by how a device deals out frames, and a capture has none");
        }
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
    /// Ends the program, as for any other mistake on the command line, if options do not go together.
    pub(crate) fn check(&self) {
        if let Some(mistake) = self.mistake() {
            refuse("bench", mistake);
        }
    }

    fn mistake(&self) -> Option<&'static str> {
        let has_stack = !matches!(self.monitor, Load::Decode | Load::Copy);
        (!has_stack && self.checksum != ChecksumName::Trust)
            .then_some("--checksum: --monitor decode and copy have no stack, and look at none")
    }

    /// What each stack is told. It has room for all flows that are made up.
    pub(crate) fn config(&self) -> Config {
        let config = self.stack.config(self.checksum, Duration::from_secs(3600));
        let flows = self.source.flows.or(self.source.churn).unwrap_or(0) as usize;
        Config { max_flows: config.max_flows.max(flows), ..config }
    }

    /// The seed of what is made up: it need not surprise anybody.
    pub(crate) fn traffic_seed(&self) -> u64 {
        self.stack.seed.unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn counts_have_units() {
        for (text, expected) in [("1", 1), ("500", 500), ("10k", 10_000), ("100K", 100_000), ("4M", 4_000_000)] {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
        for text in ["", "k", "0", "0M", "-1", "+1", "1G", "1.5M", "1 k", "5000M", "10kk", "ä", "1ä"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert_eq!(flows("16M"), Ok(16_000_000));
        assert!(flows("17M").unwrap_err().contains("16777216"));
    }

    #[test]
    fn a_benchmark_has_one_source() {
        let parse = |line: &str| Args::try_parse_from(["mos", "bench"].into_iter().chain(line.split_whitespace()));
        for right in ["a.pcap", "--flows 1k", "--churn 10 --packets 1M", "--flows 1M --packets 5k --cores 2"] {
            assert!(parse(right).is_ok(), "{right}");
        }
        for wrong in
            ["", "a.pcap --flows 1k", "--flows 1k --churn 10", "a.pcap --packets 5", "--flows many", "--cores 0 f"]
        {
            let error = parse(wrong).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong}: {error}");
        }
    }

    #[test]
    fn without_a_stack_there_are_no_checksums() {
        let mistake = |line: &str| {
            let args = Args::try_parse_from(["mos", "bench", "f"].into_iter().chain(line.split_whitespace())).unwrap();
            let Command::Bench(args) = args.command else { panic!("another command: {line}") };
            args.mistake()
        };
        assert_eq!(mistake("--monitor track --checksum verify"), None);
        assert_eq!(mistake("--monitor copy"), None);
        assert!(mistake("--monitor decode --checksum verify").is_some());
    }
}
