//! What the stack costs above the least that any program must do with the same packets.
//!
//! Stands for the choice between this stack and a program written for the purpose. The traffic is `mos bench --churn 1000`: short
//! flows that begin and end all the time, in frames of 64 bytes, so that there is as much to do for each packet as there ever
//! is, and as little to copy. The floors are `decode` (headers read, nothing else) and `copy` (headers read, payloads copied to a
//! ring: what a program does that keeps payload and knows no flows).
//!
//! `cargo bench -p mos-tests --bench floor` prints ratios first: all are measured in turns, so that what a shared machine does in the
//! meantime concerns each. Then come the single times.

use std::time::{Duration, Instant};

use mos_cli::bench::{Engine, Load, Trace, churn};
use mos_core::config::{ChecksumMode, Config, Timeouts};
use mos_core::packet::MAX_BURST;

const LIVE: u32 = 1000;
const PACKETS: u32 = 100_000;
const TURNS: usize = 60;

/// The floors first.
const LOADS: [Load; 5] = [Load::Copy, Load::Decode, Load::Track, Load::Stream, Load::Touch];

fn trace() -> Trace {
    churn(LIVE, PACKETS, 1).0
}

fn engine(load: Load) -> Engine {
    let timeouts = Timeouts { time_wait: Duration::ZERO, ..Config::default().timeouts };
    let config = Config { checksum: ChecksumMode::Trust, hash_seed: 7, timeouts, ..Config::default() };
    Engine::new(load, config)
}

fn process(trace: &mut Trace, engine: &mut Engine) {
    trace.each_burst(MAX_BURST, |burst| engine.take_burst(burst));
}

/// Prints what each costs, and as how many times the floor.
fn ratios() {
    let mut trace = trace();
    let mut times = LOADS.map(|_| Vec::with_capacity(TURNS));
    for _ in 0..TURNS {
        for (load, times) in LOADS.into_iter().zip(&mut times) {
            let mut engine = engine(load);
            let start = Instant::now();
            process(&mut trace, &mut engine);
            times.push(start.elapsed());
        }
    }
    let medians = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e9 / trace.packets() as f64
    });
    println!("a packet of short flows, {LIVE} at a time");
    for (load, median) in LOADS.iter().zip(medians) {
        println!("  {:8} {median:8.1} ns  x {:.2}", format!("{load:?}").to_lowercase(), median / medians[0]);
    }
}

#[divan::bench(args = LOADS)]
fn packet(bencher: divan::Bencher<'_, '_>, load: Load) {
    let mut trace = trace();
    let packets = trace.packets();
    bencher.counter(packets).with_inputs(|| engine(load)).bench_local_refs(|engine| process(&mut trace, engine));
}

fn main() {
    // Tests call benches, too, and want no numbers.
    if std::env::args().any(|argument| argument == "--bench") {
        ratios();
    }
    divan::main();
}
