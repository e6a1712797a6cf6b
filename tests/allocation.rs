//! Once warm, packets are processed without a single allocation.
//!
//! A test binary of its own: the counting allocator below is that of the whole process. It counts per thread, so the
//! tests may run side by side.

#[allow(dead_code, reason = "the helpers are shared with the other test binary")]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::time::Duration;

use mos_core::config::Config;
use mos_core::io::FrameBatch;
use mos_core::time::Timestamp;
use mos_monitor::{Core, Event, Hook, Layer, Monitor, Side, Timer};

use support::conversation::payload;
use support::talk::Talk;
use support::{Frame, batch};

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static FIRST: RefCell<Option<Backtrace>> = const { RefCell::new(None) };
}

struct Counter;

impl Counter {
    fn count() {
        // A thread that is going away has no counters any more, and nobody who looks at them.
        let counts = COUNTING.try_with(Cell::get).unwrap_or(false);
        if !counts {
            return;
        }
        COUNT.set(COUNT.get() + 1);
        if COUNT.get() == 1 {
            COUNTING.set(false);
            FIRST.replace(Some(Backtrace::force_capture()));
            COUNTING.set(true);
        }
    }
}

// SAFETY: every call is passed on to the system's allocator as it came, and its answer is passed back; counting does not
// touch the memory, and does not unwind.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's obligations are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's obligations are those of `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's obligations are those of `System`, from which the memory came.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are those of `System`, from which the memory came.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counter = Counter;

const FLOWS: u32 = 100;
const WARM_ROUNDS: u64 = 160;

/// Gives the frames to the core and says how many allocations that took, and where the first one was.
fn allocations(core: &mut Core, frames: &mut FrameBatch) -> (u64, String) {
    COUNT.set(0);
    COUNTING.set(true);
    for start in (0..frames.len()).step_by(64) {
        let end = frames.len().min(start + 64);
        core.process(&mut frames.burst(start..end));
    }
    COUNTING.set(false);
    let first = FIRST.take().map_or_else(String::new, |backtrace| backtrace.to_string());
    // What of it is the product's.
    let places: Vec<_> = first.lines().filter(|line| line.contains("mos_")).map(str::trim).collect();
    (COUNT.get(), places.join("\n"))
}

/// What the traffic of a round looks like.
#[derive(Clone, Copy, Debug)]
enum Shape {
    InOrder,
    OutOfOrder,
    Churn,
    /// New flows whose data comes out of order, with a retransmission each.
    RoughChurn,
    Lossy,
}

/// A round of traffic over all talks.
fn round(shape: Shape, talks: &mut [Talk], number: u64) -> FrameBatch {
    let bytes = payload(3, 4000);
    let mut capture: Vec<Frame> = Vec::new();
    for talk in talks.iter_mut() {
        talk.time = Timestamp::from_millis(1000 + number * 100);
        match shape {
            Shape::InOrder => {
                capture.push(talk.data(Side::Client, &bytes[..200]));
                capture.push(talk.data(Side::Server, &bytes[..1400]));
                capture.push(talk.data(Side::Server, &bytes[..1400]));
                capture.push(talk.ack(Side::Client));
                capture.push(talk.ack(Side::Server));
            }
            Shape::OutOfOrder => {
                capture.push(talk.ahead(Side::Server, 1400, &bytes[1400..2800]));
                capture.push(talk.ahead(Side::Server, 3000, &bytes[3000..4000]));
                capture.push(talk.data(Side::Server, &bytes[..1400]));
                talk.next[1] = talk.next[1].wrapping_add(1400);
                capture.push(talk.data(Side::Server, &bytes[2800..3000]));
                talk.next[1] = talk.next[1].wrapping_add(1000);
                capture.push(talk.ahead(Side::Server, -1000, &bytes[3000..4000]));
                capture.push(talk.ack(Side::Client));
            }
            Shape::Lossy => {
                capture.push(talk.data(Side::Server, &bytes[..500]));
                talk.next[1] = talk.next[1].wrapping_add(700);
                capture.push(talk.data(Side::Server, &bytes[1200..2000]));
                capture.push(talk.ack(Side::Client));
            }
            Shape::Churn => {
                *talk = talk.again();
                capture.extend(talk.whole(&bytes[..300], &bytes[..1400]));
            }
            Shape::RoughChurn => {
                *talk = talk.again();
                capture.extend(talk.handshake());
                capture.push(talk.ahead(Side::Client, 500, &bytes[500..1000]));
                capture.push(talk.data(Side::Client, &bytes[..500]));
                capture.push(talk.ahead(Side::Client, -500, &bytes[..500]));
                talk.next[0] = talk.next[0].wrapping_add(500);
                capture.extend(talk.close());
            }
        }
    }
    // Neighbours in time are of different flows, as on a link.
    let each = capture.len() / talks.len();
    let mixed: Vec<_> = (0..each).flat_map(|at| capture.iter().skip(at).step_by(each).cloned()).collect();
    batch(&mixed)
}

fn holds_still(core: &mut Core, shape: Shape) {
    let mut talks: Vec<_> = (0..FLOWS).map(Talk::new).collect();
    let mut warm: Vec<Frame> = Vec::new();
    if !matches!(shape, Shape::Churn | Shape::RoughChurn) {
        warm.extend(talks.iter_mut().flat_map(Talk::handshake));
    }
    allocations(core, &mut batch(&warm));
    // All flows move in step, and what they keep lies across one more segment of memory or not, depending on where they
    // are: after so many rounds they have been everywhere.
    for number in 0..WARM_ROUNDS {
        allocations(core, &mut round(shape, &mut talks, number));
    }
    for number in WARM_ROUNDS..WARM_ROUNDS + 40 {
        let (count, first) = allocations(core, &mut round(shape, &mut talks, number));
        assert_eq!(count, 0, "{shape:?}, round {number}: the first allocation was in\n{first}");
    }
    core.shutdown();
}

/// As an accounting monitor: states and counts, no bytes.
fn tracker() -> Monitor<u64, u64> {
    Monitor::new("tracker", 0)
        .without_buffers()
        .on_snd(Event::TcpStateChange, |cx| *cx.flow += 1)
        .on_rcv(Event::TcpStateChange, |cx| *cx.flow += 1)
        .on_rcv(Event::Rexmit, |cx| *cx.flow += 1)
        .on_end(|cx| *cx.state += *cx.flow + cx.conn.info(Side::Client).stream_bytes)
}

/// As an inspecting monitor: every byte.
fn stream_reader() -> Monitor<u64, u64> {
    Monitor::new("reader", 0)
        .on_new_data(|cx| {
            *cx.flow += cx.conn.unread_len(cx.conn.side());
            cx.conn.consume_all();
        })
        .on_end(|cx| *cx.state += *cx.flow)
}

/// Leaves the last bytes for the next time.
fn slow_reader() -> Monitor<u64, u64> {
    Monitor::new("slow reader", 0).on_new_data(|cx| {
        let unread = cx.conn.unread_len(cx.conn.side());
        cx.conn.consume(unread.saturating_sub(100));
    })
}

/// Every packet at both hooks.
fn packet_watcher() -> Monitor<u64, u64> {
    Monitor::new("watcher", 0)
        .without_buffers()
        .on_snd(Event::PktIn, |cx| *cx.state += 1)
        .on_rcv(Event::PktIn, |cx| *cx.state += 1)
        .on_error(|cx| *cx.flow += 1)
        .on_orphan(|cx| *cx.state += 1)
}

/// Changes its handlers with every packet, and has events of its own, one of them raised.
fn switcher() -> Monitor<u64, u64> {
    let mut monitor = Monitor::<u64, u64>::new("switcher", 0);
    let [one, two] = [1, 2].map(|step| monitor.rcv_handler(move |cx| *cx.flow += step));
    let raised = monitor.alloc(Event::PktIn);
    let long = monitor.define(Event::PktIn, move |cx| {
        let long = cx.conn.packet().is_some_and(|packet| packet.packet.payload_len > 100);
        long && cx.raise(raised).is_ok()
    });
    monitor.register(long, one).register(raised, two).on_snd(Event::PktIn, move |cx| {
        *cx.state += 1;
        let changed = match *cx.state % 4 {
            0 => cx.conn.register(Event::PktIn, one),
            1 => cx.conn.register(Event::PktIn, two),
            2 => cx.conn.deregister(Hook::Rcv, Event::PktIn),
            _ => cx.conn.register(Event::Rexmit, one),
        };
        changed.expect("these handlers fit");
    })
}

/// Leaves every flow once it has seen enough of it, and asks for its descriptor before.
fn leaver() -> Monitor<u64, u64> {
    Monitor::new("leaver", 0).on_rcv(Event::PktIn, |cx| {
        *cx.flow += 1;
        if *cx.flow == 4 && cx.conn.socket().is_some() {
            cx.conn.stop();
        }
    })
}

/// Events of its own, two levels of them, and one that a filter raises.
fn event_definer() -> Monitor<u64, u64> {
    let mut monitor = Monitor::new("definer", 0);
    let alarm = monitor.alloc(Event::PktIn);
    let large = monitor.define(Event::PktIn, move |cx| {
        let payload = cx.conn.packet().map_or(0, |packet| packet.packet.payload_len);
        payload > 100 && cx.raise(alarm).is_ok()
    });
    let larger = monitor.define(large, |cx| cx.conn.packet().is_some_and(|packet| packet.packet.payload_len > 1000));
    let new = monitor.define(Event::NewData, |cx| cx.conn.side() == Side::Client);
    monitor
        .on_snd(large, |cx| *cx.flow += 1)
        .on_snd(larger, |cx| *cx.flow += 1)
        .on_rcv(larger, |cx| *cx.flow += 1)
        .on_rcv(alarm, |cx| *cx.state += 1)
        .on_snd(alarm, |cx| *cx.state += 1)
        .on_new_data(|cx| cx.conn.consume_all())
        .on_data_event(new, |cx| *cx.flow += 1)
}

/// As [`stream_reader`], with every packet.
fn reader_at_once() -> Monitor<u64, u64> {
    stream_reader().immediate()
}

/// Timers of the core and of every flow, again and again.
fn timekeeper() -> Monitor<u64, u64> {
    let mut monitor = Monitor::<u64, u64>::new("timekeeper", 0).without_buffers();
    let tick = monitor.timer_handler(|cx| *cx.flow += 1 + cx.missed());
    monitor
        .every(Duration::from_millis(30), |cx| *cx.state += 1)
        .every(Duration::from_millis(170), |cx| *cx.state += 1)
        .on_snd(Event::ConnStart, move |cx| {
            let every = Duration::from_millis(20 + u64::from(cx.conn.endpoint(Side::Client).port() % 50));
            assert!(cx.conn.set_timer(Timer::every(every), tick).is_ok());
        })
}

/// Edits every packet without giving it another length.
fn editor() -> Monitor<u64, u64> {
    Monitor::new("editor", 0).without_buffers().on_snd(Event::PktIn, |cx| {
        let window = cx.conn.last_packet().map_or(0, |last| last.info.window);
        assert!(cx.conn.rewrite().window(window).hop_limit(9).apply().is_ok());
        if cx.conn.packet().is_some_and(|packet| packet.packet.payload_len > 4) {
            assert!(cx.conn.edit().overwrite(Layer::Payload, 1, b"xyz").is_ok());
        }
    })
}

/// Round-trip times all the time.
fn rtt_meter() -> Monitor<u64, u64> {
    Monitor::new("meter", 0).without_buffers().measure_rtt().on_rcv(Event::PktIn, |cx| {
        let rtt = cx.conn.info(cx.conn.side()).rtt;
        *cx.flow += rtt.map_or(0, |rtt| rtt.samples.into());
    })
}

type Make = fn() -> Monitor<u64, u64>;

fn core_of(monitors: &[Make]) -> Core {
    let mut core = Core::new(Config { max_flows: 4000, ..Config::default() });
    for make in monitors {
        core.open(make()).expect("there is room for the monitors");
    }
    core
}

macro_rules! shapes {
    ($($name:ident: $monitors:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn in_order() {
                holds_still(&mut core_of(&$monitors), Shape::InOrder);
            }

            #[test]
            fn out_of_order() {
                holds_still(&mut core_of(&$monitors), Shape::OutOfOrder);
            }

            #[test]
            fn lossy() {
                holds_still(&mut core_of(&$monitors), Shape::Lossy);
            }

            #[test]
            fn churn() {
                holds_still(&mut core_of(&$monitors), Shape::Churn);
            }

            #[test]
            fn rough_churn() {
                holds_still(&mut core_of(&$monitors), Shape::RoughChurn);
            }
        }
    )*};
}

shapes! {
    tracking: [tracker as Make];
    reading: [stream_reader as Make];
    reading_slowly: [slow_reader as Make];
    watching: [packet_watcher as Make];
    switching: [switcher as Make];
    switching_beside_others: [tracker as Make, switcher, stream_reader];
    leaving: [leaver as Make];
    leaving_others: [leaver as Make, stream_reader];
    two_monitors: [tracker as Make, stream_reader];
    defining_events: [event_definer as Make];
    reading_at_once: [reader_at_once as Make];
    reading_both_ways: [reader_at_once as Make, stream_reader];
    keeping_time: [timekeeper as Make];
    editing: [editor as Make];
    editing_what_others_read: [editor as Make, stream_reader];
    measuring: [rtt_meter as Make];
    six_monitors: [tracker as Make, stream_reader, packet_watcher, tracker, stream_reader, packet_watcher];
}
