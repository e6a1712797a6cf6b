//! `mos bench`: what a packet costs, without the device or the file it comes from.
//!
//! | file | noun |
//! |---|---|
//! | `load`, `engine` | what is done with packets; what does it: `monitors` on a stack, or a `floor` without one |
//! | `trace` | frames in memory |
//! | `conversation`, `churn`, `live` | a connection that is made up; traces of many that come and go; many that stay |
//! | `share`, `traffic` | a core's share of the flows; all that it is given, chunk by chunk |
//! | `measurement`, `run` | one core's run; a run on all cores |
//! | `counts`, `speed` | what was seen, and in which time |
//! | `processors`, `memory`, `dice` | what they are |

mod churn;
mod conversation;
mod counts;
mod dice;
mod engine;
mod floor;
mod live;
mod load;
mod measurement;
mod memory;
mod monitors;
mod processors;
mod run;
mod share;
mod speed;
mod trace;
mod traffic;

#[cfg(test)]
mod tests;

pub use churn::churn;
pub use counts::Counts;
pub use engine::Engine;
pub use load::Load;
pub use trace::Trace;

use std::io::Write;

use anyhow::Context;

use crate::args::{BenchArgs, ChecksumName, SourceArgs};
use churn::share_of_churn;
use conversation::Conversation;
use dice::Dice;
use live::LiveFlows;
use measurement::Task;
use run::Run;
use share::Share;
use speed::Speed;
use traffic::Traffic;

/// Packets of `--flows` after the handshakes.
const LIVE_PACKETS: u32 = 4_000_000;

/// Packets of `--churn`.
const CHURN_PACKETS: u32 = 1_000_000;

/// What a live flow takes, with what is kept to make up its packets. Rather too much.
const FLOW_BYTES: u64 = 512;

/// What a frame of a trace takes that was made up: two cache lines at the most, and where it lies.
const FRAME_BYTES: u64 = 192;

/// Measures, and prints every run and their median.
pub(crate) fn run(args: &BenchArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    args.check();
    let processors = if args.cores > 1 { processors::processors(args.cores.into())? } else { Vec::new() };
    let mut traffics = introduce(args, out)?;
    writeln!(
        out,
        "monitor {}, bursts of {}, checksums {}, {}, CPU time",
        args.monitor.description(),
        args.stack.burst,
        match args.checksum {
            ChecksumName::Verify => "verified",
            ChecksumName::Trust => "trusted: not looked at",
            ChecksumName::Auto => "verified, unless the sender never had a right one",
        },
        if args.cores == 1 { "one core".to_owned() } else { format!("{} cores", args.cores) }
    )?;
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        let task = Task { load: args.monitor, burst: args.stack.burst.into(), config: args.config() };
        let run = match &mut traffics[..] {
            [traffic] => Run::alone(traffic, &task),
            traffics => Run::together(traffics, &task, &processors),
        };
        run.check(&task)?;
        print(&format!("run {number}"), &run, out)?;
        runs.push(run);
    }
    runs.sort_by(|a, b| b.speed().packets.total_cmp(&a.speed().packets));
    let median = &runs[runs.len() / 2];
    print("median", median, out)?;
    if let Some(in_turn) = median.speed_in_turn() {
        for (number, core) in median.cores.iter().enumerate() {
            writeln!(out, "{:>7}: {}", format!("core {number}"), core.speed())?;
        }
        writeln!(out, "in turn: {in_turn}, one core with all shares")?;
    }
    conclude(median, &traffics, out)?;
    Ok(true)
}

/// Makes up or loads what each core is given, and says what it is.
fn introduce(args: &BenchArgs, out: &mut impl Write) -> anyhow::Result<Vec<Traffic>> {
    let cores = usize::from(args.cores);
    let shares = (0..cores).map(|core| Share::of(core, cores));
    let seed = args.traffic_seed();
    let traffics: Vec<_> = match args.source {
        SourceArgs { flows: Some(flows), .. } => {
            let packets = args.packets.unwrap_or(LIVE_PACKETS);
            memory::ensure(u64::from(flows) * FLOW_BYTES, &format!("--flows {flows}"))?;
            writeln!(out, "{flows} live flows, each begun by a handshake; then {packets} packets of any of them")?;
            return Ok(shares.map(|share| Traffic::Live(LiveFlows::new(flows, packets, seed, share))).collect());
        }
        SourceArgs { churn: Some(live), .. } => {
            let packets = args.packets.unwrap_or(CHURN_PACKETS);
            let bytes = u64::from(packets) * FRAME_BYTES + u64::from(live) * FLOW_BYTES;
            memory::ensure(bytes, &format!("--churn {live} --packets {packets}"))?;
            write!(out, "short flows, {live} at a time: ")?;
            let churn = |share| share_of_churn(live, packets, seed, share);
            shares.map(churn).map(|(trace, counts)| Traffic::trace(trace, Some(counts))).collect()
        }
        SourceArgs { ref file, .. } => {
            let path = file.as_ref().context("neither a file nor flows to measure")?;
            let trace = Trace::load(path)?;
            anyhow::ensure!(trace.packets() > 0, "{}: nothing to measure: there are no frames in it", path.display());
            write!(out, "{}: ", path.display())?;
            match cores {
                1 => vec![Traffic::trace(trace, None)],
                _ => shares.map(|share| Traffic::trace(trace.part(share), None)).collect(),
            }
        }
    };
    let traces = || traffics.iter().filter_map(Traffic::as_trace);
    writeln!(
        out,
        "{} packets, {} bytes on the wire, {} MiB in memory",
        traces().map(Trace::packets).sum::<usize>(),
        traces().map(Trace::wire_bytes).sum::<u64>(),
        traces().map(Trace::memory_bytes).sum::<usize>() >> 20
    )?;
    Ok(traffics)
}

fn print(name: &str, run: &Run, out: &mut impl Write) -> anyhow::Result<()> {
    write!(out, "{name:>7}: {}", run.speed())?;
    if let Some(in_turn) = run.speed_in_turn() {
        write!(out, " x {:.2} of one core", run.speed().packets / in_turn.packets)?;
    }
    if let Some(nanos) = run.nanos_per_new_flow() {
        write!(out, " {nanos:8.1} ns/new flow")?;
    }
    writeln!(out)?;
    Ok(())
}

fn conclude(run: &Run, traffics: &[Traffic], out: &mut impl Write) -> anyhow::Result<()> {
    let counts = run.counts();
    let live: usize = run.cores.iter().map(|core| core.live).sum();
    write!(out, "flows {}, of them alive at the end {live}; stream bytes delivered {}", counts.flows, counts.bytes)?;
    match run.flows_per_second() {
        Some(speed) => writeln!(out, "; {speed:.0} flows/s")?,
        None => writeln!(out)?,
    }
    if let Some(peak) = memory::peak_kib() {
        let traces: usize = traffics.iter().map(Traffic::memory_bytes).sum();
        writeln!(out, "peak memory {} MiB, of which the trace {} MiB", peak >> 10, traces >> 20)?;
    }
    Ok(())
}
