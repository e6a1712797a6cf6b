//! `mos bench`: what a packet costs, without the file it comes from.

use std::io::{self, Write};
use std::time::Duration;

use mos_monitor::{Core, Event, Monitor, RawMonitor};
use rustix::time::{ClockId, clock_gettime};

use crate::args::{BenchArgs, ChecksumName, Load};
use crate::trace::Trace;

/// What one run came to.
#[derive(Clone, Copy, Debug)]
struct Measurement {
    cpu: Duration,
    /// Flows that were alive at the end of the trace.
    live: usize,
    flows: u64,
    /// Bytes of the streams that were delivered.
    delivered: u64,
}

/// Measures, and prints every run and their median.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<bool> {
    let mut trace = Trace::load(&args.file)?;
    anyhow::ensure!(trace.packets() > 0, "{}: nothing to measure: there are no frames in it", args.file.display());
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{}: {} packets, {} bytes on the wire, {} MiB in memory",
        args.file.display(),
        trace.packets(),
        trace.wire_bytes(),
        trace.memory_bytes() >> 20
    )?;
    writeln!(
        out,
        "monitor {}, bursts of {}, checksums {}, one core, CPU time",
        name(args.monitor),
        args.stack.burst,
        match args.checksum {
            ChecksumName::Verify => "verified",
            ChecksumName::Trust => "trusted: not looked at",
            ChecksumName::Auto => "verified, unless the sender never had a right one",
        }
    )?;
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        let measurement = measure(&mut trace, args);
        writeln!(out, "{:>7}: {}", format!("run {number}"), speed(measurement.cpu, &trace))?;
        runs.push(measurement);
    }
    runs.sort_by_key(|measurement| measurement.cpu);
    writeln!(out, "{:>7}: {}", "median", speed(runs[runs.len() / 2].cpu, &trace))?;
    let Measurement { live, flows, delivered, .. } = runs[0];
    writeln!(out, "flows {flows}, of them alive at the end {live}; stream bytes delivered {delivered}")?;
    if let Some(peak) = peak_memory_kib() {
        writeln!(out, "peak memory {} MiB, of which the trace {} MiB", peak >> 10, trace.memory_bytes() >> 20)?;
    }
    Ok(true)
}

fn name(load: Load) -> &'static str {
    match load {
        Load::Track => "track (CONN_START, TCP_STATE_CHANGE, CONN_END at both hooks; no buffers)",
        Load::Stream => "stream (NEW_DATA both ways, all of it consumed)",
        Load::Raw => "raw (PKT_IN, no flows)",
    }
}

/// One run over the whole trace. To build and to drop the core is not part of it.
fn measure(trace: &mut Trace, args: &BenchArgs) -> Measurement {
    let mut core = Core::new(args.config());
    let delivered = open(&mut core, args.monitor);
    let start = cpu_time();
    trace.each_burst(args.stack.burst.into(), |burst| {
        core.process(burst);
    });
    let processed = cpu_time();
    let live = core.stack().live_flows();
    let before_end = cpu_time();
    core.shutdown();
    let end = cpu_time();
    Measurement {
        cpu: processed.saturating_sub(start) + end.saturating_sub(before_end),
        live,
        flows: core.stats().flows,
        delivered: delivered(&core),
    }
}

/// Opens the monitor, and returns how to ask it for the bytes it was delivered.
fn open(core: &mut Core, load: Load) -> impl Fn(&Core) -> u64 + use<> {
    let socket = match load {
        Load::Track => core.open(track()),
        Load::Stream => core.open(stream()),
        Load::Raw => core.open_raw(RawMonitor::new("raw", Count::default()).on_packet(|cx| cx.state.packets += 1)),
    };
    let socket = socket.expect("a new core has room for a monitor");
    move |core| core.state::<Count>(socket).map_or(0, |count| count.bytes)
}

/// What the monitors count, so that their work is not optimised away.
#[derive(Debug, Default)]
struct Count {
    packets: u64,
    events: u64,
    bytes: u64,
}

fn track() -> Monitor<Count, ()> {
    let monitor = Monitor::new("track", Count::default()).without_buffers();
    [Event::ConnStart, Event::TcpStateChange, Event::ConnEnd].into_iter().fold(monitor, |monitor, event| {
        monitor.on_snd(event, |cx| cx.state.events += 1).on_rcv(event, |cx| cx.state.events += 1)
    })
}

fn stream() -> Monitor<Count, ()> {
    Monitor::new("stream", Count::default()).on_new_data(|cx| {
        let side = cx.conn.side();
        cx.state.bytes += cx.conn.unread_len(side);
        cx.conn.consume_all();
    })
}

fn speed(cpu: Duration, trace: &Trace) -> String {
    let seconds = cpu.as_secs_f64().max(f64::MIN_POSITIVE);
    let packets = trace.packets() as f64;
    format!(
        "{:8.1} ns/packet {:8.3} Mpps {:8.3} Gbit/s",
        seconds * 1e9 / packets,
        packets / seconds / 1e6,
        trace.wire_bytes() as f64 * 8.0 / seconds / 1e9
    )
}

/// The time that this thread has had on a processor.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The most memory that this process ever had, where the system tells.
fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
