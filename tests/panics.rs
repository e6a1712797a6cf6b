//! A callback that panics: its monitor hears no more of that flow, and nothing else is disturbed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mos_core::config::{ChecksumMode, Config};
use mos_core::io::FrameBatch;
use mos_core::packet::LinkType;
use mos_core::time::Timestamp;
use mos_core::wire::emit::TcpSegment;
use mos_core::wire::{SeqNum, TcpFlags};
use mos_monitor::{Chunk, CloseError, Core, Descriptor, Event, Monitor, OpenError, RawMonitor, Side, Timer};

use crate::support::read;
use crate::support::{Log, batch, feed, finish, recorder, traces};

const SYN: u8 = TcpFlags::SYN;
const ACK: u8 = TcpFlags::ACK;
const FIN: u8 = TcpFlags::FIN;

/// The port of the client on whose flow callbacks panic; the other flow comes from the next port.
const UNLUCKY: u16 = 1000;

/// Two connections side by side, a stray segment of the unlucky port's, with 5 bytes each way and a repeated segment.
fn traffic() -> FrameBatch {
    let server: SocketAddr = "10.0.0.2:80".parse().unwrap();
    // From the client or not, flags, sequence number, acknowledgment, payload.
    let steps: [(bool, u8, u32, u32, &[u8]); 10] = [
        (true, ACK, 1, 1, b""),
        (true, SYN, 100, 0, b""),
        (false, SYN | ACK, 500, 101, b""),
        (true, ACK, 101, 501, b""),
        (true, ACK, 101, 501, b"hello"),
        (true, ACK, 101, 501, b"hello"),
        (false, ACK, 501, 106, b"world"),
        (true, FIN | ACK, 106, 506, b""),
        (false, FIN | ACK, 506, 107, b""),
        (true, ACK, 107, 507, b""),
    ];
    let mut batch = FrameBatch::new();
    for (at, (from_client, flags, seq, ack, payload)) in steps.into_iter().enumerate() {
        for port in [UNLUCKY, UNLUCKY + 1] {
            let client = SocketAddr::new([10, 0, 0, 1].into(), port);
            let (src, dst) = if from_client { (client, server) } else { (server, client) };
            let (seq, ack) = (SeqNum(seq), SeqNum(ack));
            let segment = TcpSegment { seq, ack, flags, window: 1000, payload, ..TcpSegment::new(src, dst) };
            let frame = segment.to_ethernet();
            let time = Timestamp::from_millis(at as u64 + 1);
            batch.push(&frame, frame.len() as u32, time, 0, LinkType::Ethernet);
        }
    }
    batch
}

type Streams = Rc<RefCell<BTreeMap<(u16, Side), Vec<u8>>>>;

fn reader(streams: &Streams) -> Monitor {
    let streams = streams.clone();
    Monitor::new("reader", ()).on_new_data(move |cx| {
        let name = (cx.conn.endpoint(Side::Client).port(), cx.conn.side());
        for chunk in cx.conn.chunks() {
            let Chunk::Data(data) = chunk else { panic!("nothing is missing") };
            streams.borrow_mut().entry(name).or_default().extend_from_slice(data);
        }
        cx.conn.consume_all();
    })
}

/// Runs the traffic past a reader and a monitor that panics; says how often callbacks panicked.
fn run(burst: usize, open: impl FnOnce(&mut Core) -> Result<Descriptor, OpenError>) -> u64 {
    let streams = Streams::default();
    let mut core = Core::new(Config { hash_seed: 3, ..Config::default() });
    open(&mut core).unwrap();
    core.open(reader(&streams)).unwrap();
    let mut batch = traffic();
    for start in (0..batch.len()).step_by(burst) {
        core.process(&mut batch.burst(start..batch.len().min(start + burst)));
    }
    core.shutdown();
    assert_eq!((core.stack().live_flows(), core.stack().reassembly_bytes()), (0, 0));
    for port in [UNLUCKY, UNLUCKY + 1] {
        for (side, expected) in [(Side::Server, b"hello"), (Side::Client, b"world")] {
            assert_eq!(streams.borrow()[&(port, side)], expected, "{port} {side:?}");
        }
    }
    core.panics()
}

fn unlucky(client: SocketAddr) {
    assert!(client.port() != UNLUCKY, "on purpose");
}

#[test]
fn a_panic_in_any_callback_of_a_flow_concerns_only_that_flow() {
    for burst in [1, 64] {
        for event in [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::ConnEnd] {
            let snd = Monitor::<(), ()>::new("snd", ()).on_snd(event, |cx| unlucky(cx.conn.endpoint(Side::Client)));
            assert_eq!(run(burst, |core| core.open(snd)), 1, "{event:?} at SND");
        }
        for event in [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd] {
            let rcv = Monitor::<(), ()>::new("rcv", ()).on_rcv(event, |cx| unlucky(cx.conn.endpoint(Side::Client)));
            assert_eq!(run(burst, |core| core.open(rcv)), 1, "{event:?} at RCV");
        }
        let data = Monitor::<(), ()>::new("data", ()).on_new_data(|cx| unlucky(cx.conn.endpoint(Side::Client)));
        assert_eq!(run(burst, |core| core.open(data)), 1, "NEW_DATA");
        let end = Monitor::<(), ()>::new("end", ()).on_end(|cx| unlucky(cx.conn.endpoint(Side::Client)));
        assert_eq!(run(burst, |core| core.open(end)), 1, "end");
    }
}

#[test]
fn a_panic_without_a_flow_concerns_only_that_packet() {
    let orphan = Monitor::<(), ()>::new("orphan", ()).on_orphan(|cx| unlucky(cx.packet().source()));
    assert_eq!(run(1, |core| core.open(orphan)), 1, "ORPHAN");
    let accept = Monitor::<(), ()>::new("accept", ()).accept(|packet| {
        unlucky(packet.source());
        true
    });
    assert_eq!(run(1, |core| core.open(accept)), 1, "accept");
    let raw = RawMonitor::new("raw", ()).on_packet(|cx| unlucky(cx.packet().source()));
    // The unlucky client sends seven of the packets.
    assert_eq!(run(64, |core| core.open_raw(raw)), 7, "raw");
}

#[test]
fn a_panic_in_a_filter_concerns_only_that_flow() {
    for burst in [1, 64] {
        let mut snd = Monitor::<(), ()>::new("snd", ());
        let event = snd.define(Event::PktIn, |cx| {
            unlucky(cx.conn.endpoint(Side::Client));
            true
        });
        assert_eq!(run(burst, |core| core.open(snd.on_snd(event, |_| ()).on_rcv(event, |_| ()))), 1, "at SND");
        let mut data = Monitor::<(), ()>::new("data", ());
        let event = data.define(Event::NewData, |cx| {
            unlucky(cx.conn.endpoint(Side::Client));
            true
        });
        assert_eq!(run(burst, |core| core.open(data.on_data_event(event, |_| ()))), 1, "NEW_DATA");
        // Of a user's event: the callback.
        let mut user = Monitor::<(), ()>::new("user", ());
        let event = user.define(Event::PktIn, |_| true);
        let user = user.on_rcv(event, |cx| unlucky(cx.conn.endpoint(Side::Client)));
        assert_eq!(run(burst, |core| core.open(user)), 1, "a user's event");
        // Raised by a filter that panics after that.
        let mut raising = Monitor::<(), ()>::new("raising", ());
        let raised = raising.alloc(Event::PktIn);
        let event = raising.define(Event::PktIn, move |cx| {
            cx.raise(raised).unwrap();
            unlucky(cx.conn.endpoint(Side::Client));
            true
        });
        let raising = raising.on_rcv(event, |_| ()).on_rcv(raised, |cx| {
            assert!(cx.conn.endpoint(Side::Client).port() != UNLUCKY, "raised by what has panicked");
        });
        assert_eq!(run(burst, |core| core.open(raising)), 1, "raising");
    }
}

/// What has no flow is told of the next packet again.
#[test]
fn a_panic_in_a_tree_without_a_flow_concerns_only_that_packet() {
    let mut orphan = Monitor::<(), ()>::new("orphan", ());
    let event = orphan.define_orphan(Event::Orphan, |cx| {
        unlucky(cx.packet().source());
        true
    });
    assert_eq!(run(1, |core| core.open(orphan.on_orphan_event(event, |_| ()))), 1, "a filter of orphans");
    let mut raw = RawMonitor::new("raw", ());
    let event = raw.define(Event::PktIn, |cx| {
        unlucky(cx.packet().source());
        true
    });
    assert_eq!(run(64, |core| core.open_raw(raw.on_event(event, |_| ()))), 7, "a filter of raw packets");
}

#[test]
fn a_panic_in_a_timer_ends_the_flows_or_the_timer() {
    for burst in [1, 64] {
        let mut monitor = Monitor::<(), ()>::new("timer", ());
        let fired = Rc::new(Cell::new(0));
        let count = fired.clone();
        let timer = monitor.timer_handler(move |cx| {
            unlucky(cx.conn.endpoint(Side::Client));
            count.set(count.get() + 1);
        });
        let monitor = monitor.on_snd(Event::ConnStart, move |cx| {
            cx.conn.set_timer(Timer::every(Duration::from_millis(2)), timer).unwrap();
        });
        assert_eq!(run(burst, |core| core.open(monitor)), 1, "a flow's timer");
        // The other flow's goes on: it lives from its SYN at 2 ms to its last ACK at 10 ms.
        assert!(fired.get() >= 3, "{}", fired.get());
    }
    let fired = Rc::new(Cell::new(0));
    let count = fired.clone();
    let monitor = Monitor::<(), ()>::new("core timers", ())
        .every(Duration::from_millis(2), |_| panic!("on purpose"))
        .every(Duration::from_millis(2), move |_| count.set(count.get() + 1));
    assert_eq!(run(64, |core| core.open(monitor)), 1, "a core's timer fires no more after a panic");
    assert!(fired.get() >= 3, "the other one does");
}

thread_local! {
    static BEGUN: Cell<u32> = const { Cell::new(0) };
}

/// A state that cannot be made for every second flow.
struct Stubborn;

impl Default for Stubborn {
    fn default() -> Self {
        BEGUN.set(BEGUN.get() + 1);
        assert!(BEGUN.get().is_multiple_of(2), "on purpose");
        Self
    }
}

/// A state that panics when it goes.
#[derive(Default)]
struct Clinging;

impl Drop for Clinging {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn a_panic_of_a_state_that_begins_concerns_only_that_flow() {
    let called = Rc::new(Cell::new(0));
    let count = called.clone();
    let monitor = Monitor::<(), Stubborn>::new("stubborn", ())
        .on_snd(Event::ConnStart, move |_| count.set(count.get() + 1))
        .on_new_data(|_| ());
    assert_eq!(run(1, |core| core.open(monitor)), 1);
    assert_eq!(called.get(), 1, "the other flow's state is there");
}

#[test]
fn a_panic_of_a_state_that_goes_leaves_nothing_behind() {
    let sockets: Rc<RefCell<Vec<Descriptor>>> = Rc::default();
    let note = sockets.clone();
    let clinging = move || {
        let note = note.clone();
        Monitor::<(), Clinging>::new("clinging", ())
            .on_snd(Event::ConnStart, move |cx| note.borrow_mut().extend(cx.conn.socket()))
    };
    let is_bad = |core: &mut Core, socket| matches!(core.close(socket), Err(CloseError::BadDescriptor(_)));
    // At the end of the flows.
    assert_eq!(run(1, |core| core.open(clinging())), 2);
    sockets.borrow_mut().clear();
    // In the middle of several: when one is left, and when the monitor is closed.
    let mut core = Core::new(Config::default());
    let monitor = core.open(clinging()).unwrap();
    let witness = core.open(recorder()).unwrap();
    let mut talks: Vec<_> = (0..5).map(crate::support::talk::Talk::new).collect();
    let begin: Vec<_> = talks.iter_mut().flat_map(|talk| talk.handshake()).collect();
    feed(&mut core, &mut batch(&begin), 64);
    let [first, .., last] = sockets.borrow()[..] else { panic!("five flows") };
    assert_eq!(core.close(first), Ok(()));
    assert_eq!(core.panics(), 1);
    feed(&mut core, &mut batch(&talks[1].close()), 64);
    assert_eq!(core.panics(), 2);
    assert!(is_bad(&mut core, sockets.borrow()[1]));
    assert_eq!(core.close(monitor), Ok(()));
    assert_eq!(core.panics(), 5, "each of the three that were left");
    assert!(is_bad(&mut core, last));
    let rest: Vec<_> = [0, 2, 3, 4].into_iter().flat_map(|at: usize| talks[at].close()).collect();
    feed(&mut core, &mut batch(&rest), 64);
    finish(&mut core);
    let log = core.state::<Log>(witness).unwrap();
    assert_eq!(log.flows.iter().filter(|flow| flow.end.is_some()).count(), 5);
}

/// A monitor's state of the whole core goes when it is closed.
#[test]
fn a_panic_of_a_monitors_own_state_closes_it_all_the_same() {
    let mut core = Core::new(Config::default());
    let stream = core.open(Monitor::<Clinging, ()>::new("stream", Clinging).on_rcv(Event::PktIn, |_| ())).unwrap();
    let raw = core.open_raw(RawMonitor::new("raw", Clinging)).unwrap();
    for (socket, panics) in [(stream, 1), (raw, 2)] {
        assert_eq!(core.close(socket), Ok(()));
        assert_eq!(core.panics(), panics);
        assert!(matches!(core.close(socket), Err(CloseError::BadDescriptor(_))));
    }
}

/// A real capture with losses: a monitor that panics on every third flow, each time in another kind of callback, and beside it
/// one that writes everything down.
#[test]
fn panics_leave_every_other_flow_of_a_real_capture_exact() {
    let Some(folder) = traces() else { return };
    let capture = read(&folder.join("real/http_lossy.pcap"));
    let config = Config { checksum: ChecksumMode::Trust, ..Config::default() };
    let told = |log: &Log| -> Vec<crate::support::FlowLog> { log.flows.clone() };
    let mut alone = Core::new(config.clone());
    let socket = alone.open(recorder()).unwrap();
    feed(&mut alone, &mut batch(&capture), 64);
    finish(&mut alone);
    let expected = told(alone.state::<Log>(socket).unwrap());
    let mut core = Core::new(config);
    let before = core.open(recorder()).unwrap();
    let panicking = core.open(clumsy()).unwrap();
    let after = core.open(recorder()).unwrap();
    feed(&mut core, &mut batch(&capture), 64);
    finish(&mut core);
    for socket in [before, after] {
        assert!(told(core.state::<Log>(socket).unwrap()) == expected, "a witness was told something else");
    }
    let clumsy = core.state::<Clumsy>(panicking).unwrap();
    assert!(clumsy.panicked.iter().all(|panics| *panics > 0), "{:?}: not every kind of callback", clumsy.panicked);
    assert_eq!(core.panics(), u64::from(clumsy.panicked.iter().sum::<u32>()));
    // Flows that it was let finish were whole for it, too.
    let whole: Vec<[u64; 2]> = expected.iter().map(|flow| flow.streams.each_ref().map(|stream| stream.len)).collect();
    assert!(clumsy.finished.len() > 10);
    for (number, lens) in &clumsy.finished {
        assert_eq!(*lens, whole[*number as usize], "flow {number}");
    }
}

/// How often each kind of callback has panicked; and what flows that were left alone have delivered, by number.
#[derive(Default)]
struct Clumsy {
    flows: u32,
    panicked: [u32; 7],
    finished: BTreeMap<u32, [u64; 2]>,
}

#[derive(Default)]
struct Steps {
    number: u32,
    received: [u64; 2],
}

impl Clumsy {
    /// Of every third flow one kind of callback panics, of the next such flow another.
    fn stumble(&mut self, flow: &Steps, kind: usize) {
        if flow.number.is_multiple_of(3) && flow.number as usize / 3 % self.panicked.len() == kind {
            self.panicked[kind] += 1;
            panic!("on purpose");
        }
    }
}

fn clumsy() -> Monitor<Clumsy, Steps> {
    let mut monitor = Monitor::<Clumsy, Steps>::new("clumsy", Clumsy::default());
    let timer = monitor.timer_handler(|cx| cx.state.stumble(cx.flow, 4));
    let filter = monitor.define(Event::PktIn, |cx| {
        cx.state.stumble(cx.flow, 3);
        true
    });
    monitor
        .on_snd(Event::ConnStart, move |cx| {
            cx.flow.number = cx.state.flows;
            cx.state.flows += 1;
            cx.conn.set_timer(Timer::after(Duration::from_millis(1)), timer).unwrap();
        })
        .on_snd(Event::TcpStateChange, |cx| cx.state.stumble(cx.flow, 0))
        .on_rcv(Event::PktIn, |cx| cx.state.stumble(cx.flow, 1))
        .on_rcv(filter, |_| ())
        .on_new_data(|cx| {
            cx.state.stumble(cx.flow, 2);
            let side = cx.conn.side();
            cx.flow.received[side as usize] += cx.conn.unread_len(side);
            cx.conn.consume_all();
        })
        .on_rcv(Event::ConnEnd, |cx| cx.state.stumble(cx.flow, 5))
        .on_end(|cx| {
            cx.state.stumble(cx.flow, 6);
            cx.state.finished.insert(cx.flow.number, cx.flow.received);
        })
}
