//! What the C interface costs above the Rust one, for the same monitor.
//!
//! `track` counts CONN_START, CONN_END and TCP_STATE_CHANGE at both hooks, without buffers. `stream` adds up all bytes of both sides: in
//! Rust where they lie, in C after mtcp_peek has copied them; that is one copy more. The traffic is that of `mos bench --churn`: short
//! flows in frames of 64 bytes, so that calls weigh as much as they ever do; and captures, if any are named (`-- FILE`).
//!
//! `cargo bench -p mos-capi --features driven --bench cost` measures both in turns, so that what a shared machine does in the meantime
//! concerns each, and prints medians and their ratio.
#![expect(unsafe_code, reason = "it is what programs in C do")]

use std::ffi::{c_char, c_int, c_void};
use std::path::Path;
use std::time::Duration;

use mos::abi::{callback_t, event_t, filter_arg, mctx_t};
use mos::driven::Driven;
use mos_cli::bench::{Trace, churn};
use mos_core::config::{ChecksumMode, Config, Timeouts};
use mos_core::packet::MAX_BURST;
use mos_monitor::{Chunk, Core, Event, Monitor};

const TURNS: usize = 40;

const MONITOR_STREAM: c_int = 3;
const SOL_MONSOCKET: c_int = 0xfffe;
const MOS_CLIBUF: c_int = 9;
const MOS_SVRBUF: c_int = 10;
const MOS_IPV6: c_int = 0x20;
const SND: c_int = 1 << 31;
const RCV: c_int = 1 << 30;
const NULL: c_int = 1 << 29;

fn config() -> Config {
    let timeouts = Timeouts { time_wait: Duration::ZERO, ..Config::default().timeouts };
    Config { checksum: ChecksumMode::Trust, hash_seed: 7, timeouts, ..Config::default() }
}

/// What a C program has in static variables.
static mut EVENTS: u64 = 0;
static mut BYTES: u64 = 0;
static mut BUFFER: [c_char; 65536] = [0; 65536];

extern "C" fn count(_: mctx_t, _: c_int, _: c_int, _: event_t, _: *mut filter_arg) {
    // SAFETY: there is one thread.
    unsafe { EVENTS += 1 };
}

extern "C" fn read(mctx: mctx_t, sock: c_int, side: c_int, _: event_t, _: *mut filter_arg) {
    // SAFETY: there is one thread, and the buffer has that length.
    unsafe {
        loop {
            let copied = mos::mtcp_peek(mctx, sock, side, (&raw mut BUFFER).cast(), 65536);
            if copied <= 0 {
                return;
            }
            let bytes = std::slice::from_raw_parts((&raw const BUFFER).cast::<u8>(), copied as usize);
            BYTES = BYTES.wrapping_add(sum(bytes));
            if copied < 65536 {
                return;
            }
        }
    }
}

/// All bytes, as words of 64 bits added up: several at a time, as fast as memory brings them.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().fold(u64::from_ne_bytes(last), |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word)))
}

fn set(mctx: mctx_t, sock: c_int, option: c_int, value: c_int) {
    // SAFETY: the option is an int.
    let set =
        unsafe { mos::mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, option, (&raw const value).cast::<c_void>(), 4) };
    assert_eq!(set, 0);
}

fn register(mctx: mctx_t, sock: c_int, event: Event, hook: c_int, callback: callback_t) {
    assert_eq!(mos::mtcp_register_callback(mctx, sock, event as event_t, hook, Some(callback)), 0);
}

/// The monitor in C.
fn in_c(reads: bool) -> Driven {
    let mut driven = Driven::new(config());
    driven.with(|mctx| {
        let sock = mos::mtcp_socket(mctx, 2, MONITOR_STREAM, 0);
        assert!(sock > 0);
        set(mctx, sock, MOS_IPV6, 1);
        if reads {
            return register(mctx, sock, Event::NewData, NULL, read);
        }
        set(mctx, sock, MOS_CLIBUF, 0);
        set(mctx, sock, MOS_SVRBUF, 0);
        for event in [Event::ConnStart, Event::TcpStateChange, Event::ConnEnd] {
            register(mctx, sock, event, SND, count);
            register(mctx, sock, event, RCV, count);
        }
    });
    driven
}

/// The same in Rust.
fn in_rust(reads: bool) -> Core {
    let mut core = Core::new(config());
    let monitor = Monitor::<u64, ()>::new("cost", 0);
    let monitor = match reads {
        true => monitor.on_new_data(|cx| {
            cx.for_each_chunk(|state, _, chunk| {
                if let Chunk::Data(bytes) = chunk {
                    *state = state.wrapping_add(sum(bytes));
                }
            });
        }),
        false => [Event::ConnStart, Event::TcpStateChange, Event::ConnEnd]
            .into_iter()
            .fold(monitor.without_buffers(), |monitor, event| {
                monitor.on_snd(event, |cx| *cx.state += 1).on_rcv(event, |cx| *cx.state += 1)
            }),
    };
    core.open(monitor).expect("there is room");
    core
}

/// The processor time of this thread.
fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn time(run: impl FnOnce()) -> Duration {
    let start = now();
    run();
    now() - start
}

/// Out of line, so that a profiler tells it from the other one.
#[inline(never)]
fn by_rust(trace: &mut Trace, core: &mut Core) {
    trace.each_burst(MAX_BURST, |burst| _ = core.process(burst));
}

#[inline(never)]
fn by_c(trace: &mut Trace, driven: &mut Driven) {
    trace.each_burst(MAX_BURST, |burst| driven.process(burst));
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e9
}

fn compare(name: &str, trace: &mut Trace, reads: bool) {
    let (mut rust, mut c) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let mut core = in_rust(reads);
        rust.push(time(|| by_rust(trace, &mut core)));
        core.shutdown();
        let mut driven = in_c(reads);
        c.push(time(|| by_c(trace, &mut driven)));
        driven.finish();
    }
    let packets = trace.packets() as f64;
    let [rust, c] = [rust, c].map(|times| median(times) / packets);
    println!("  {name:24} rust {rust:7.1} ns  C {c:7.1} ns  x {:.3}", c / rust);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Tests call benches, too, and want no numbers.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    println!("ns per packet, medians of {TURNS} turns");
    for live in [100, 10_000] {
        let mut trace = churn(live, 100_000, 1).0;
        for reads in [false, true] {
            let name = if reads { "stream" } else { "track" };
            compare(&format!("{name}, churn {live}"), &mut trace, reads);
        }
    }
    for file in arguments.iter().filter(|argument| !argument.starts_with('-')) {
        let mut trace = Trace::load(Path::new(file)).expect("a capture file");
        compare(&format!("track, {file}"), &mut trace, false);
        compare(&format!("stream, {file}"), &mut trace, true);
    }
}
