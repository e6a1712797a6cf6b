//! Flows that a monitor stops hearing of (MOS_STOP_MON, D27): one side or both, and the entry that stays when nobody is left.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use mos_core::config::{Config, Timeouts};
use mos_core::time::Timestamp;
use mos_core::wire::TcpFlags;
use mos_monitor::{Core, Descriptor, EndReason, Event, Hook, Monitor, Side, TcpState, Timer};

use crate::support::talk::Talk;
use crate::support::{Frame, Log, batch, core_with, feed, finish, recorder};

const EVENTS: [Event; 5] = [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd];

/// How a flow is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Stop,
    BothSides,
    Close,
}

const WAYS: [Way; 3] = [Way::Stop, Way::BothSides, Way::Close];

/// Every kind of callback that a flow has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Hook(Hook, Event),
    Filter(Hook),
    Data,
    Error,
    Timer,
}

fn places() -> Vec<At> {
    let mut places = vec![At::Filter(Hook::Snd), At::Filter(Hook::Rcv), At::Data, At::Error, At::Timer];
    for event in [Event::PktIn, Event::ConnStart, Event::TcpStateChange] {
        places.extend([At::Hook(Hook::Snd, event), At::Hook(Hook::Rcv, event)]);
    }
    places.push(At::Hook(Hook::Rcv, Event::Rexmit));
    places
}

macro_rules! leave {
    ($cx:expr, $way:expr) => {
        match $way {
            Way::Stop => $cx.conn.stop(),
            Way::BothSides => Side::BOTH.into_iter().for_each(|side| $cx.conn.stop_side(side).unwrap()),
            Way::Close => {
                let socket = $cx.conn.socket().unwrap();
                $cx.conn.control().close(socket).unwrap();
            }
        }
    };
}

/// Leaves the flow the first time it is called at `place`; with every callback there is, all of which count. It never reads.
fn leaver(place: At, way: Way, left: &Rc<Cell<bool>>, calls_after: &Rc<Cell<u32>>) -> Monitor<(), ()> {
    let act = {
        let (left, after) = (left.clone(), calls_after.clone());
        move |here: At| {
            if left.get() {
                after.set(after.get() + 1);
            }
            here == place && !left.replace(left.get() || here == place)
        }
    };
    let mut monitor = Monitor::<(), ()>::new("leaver", ());
    let fired = act.clone();
    let timer = monitor.timer_handler(move |cx| {
        if fired(At::Timer) {
            leave!(cx, way);
        }
    });
    for event in EVENTS {
        let (snd, rcv) = (act.clone(), act.clone());
        monitor = monitor
            .on_snd(event, move |cx| {
                if event == Event::ConnStart {
                    cx.conn.set_timer(Timer::after(Duration::from_millis(100)), timer).unwrap();
                }
                if snd(At::Hook(Hook::Snd, event)) {
                    leave!(cx, way);
                }
            })
            .on_rcv(event, move |cx| {
                if rcv(At::Hook(Hook::Rcv, event)) {
                    leave!(cx, way);
                }
            });
    }
    let filter = act.clone();
    let below = monitor.define(Event::PktIn, move |cx| {
        if filter(At::Filter(cx.conn.hook())) {
            leave!(cx, way);
        }
        true
    });
    let (data, error) = (act.clone(), act);
    monitor
        .on_snd(below, |_| ())
        .on_rcv(below, |_| ())
        .on_new_data(move |cx| {
            if data(At::Data) {
                leave!(cx, way);
            }
        })
        .on_error(move |cx| {
            if error(At::Error) {
                leave!(cx, way);
            }
        })
        .on_orphan({
            let (left, after) = (left.clone(), calls_after.clone());
            move |_| after.set(after.get() + u32::from(left.get()))
        })
}

/// One flow in which all of that happens; data is left unread, out of order and astray. 100 ms lie before the last frames.
fn busy(talk: &mut Talk) -> Vec<Frame> {
    let mut frames = Vec::from(talk.handshake());
    frames.push(talk.data(Side::Client, b"question"));
    frames.push(talk.ahead(Side::Client, -8, b"question"));
    frames.push(talk.ahead(Side::Client, 5, b"behind a hole"));
    frames.push(talk.ahead(Side::Client, 1 << 20, b"astray"));
    frames.push(talk.data(Side::Server, b"answer"));
    talk.time = talk.time + Duration::from_millis(200);
    frames.push(talk.data(Side::Server, b"and more"));
    frames.push(talk.ahead(Side::Client, 7, b"hind a hole"));
    frames
}

#[test]
fn d27_a_flow_that_is_left_at_any_callback_is_silent_and_no_orphan() {
    for place in places() {
        for way in WAYS {
            for burst in [1, 5, 64] {
                let what = format!("{way:?} at {place:?}, bursts of {burst}");
                let (left, after) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
                let (mut core, _) = core_with(Config::default(), leaver(place, way, &left, &after));
                let mut talk = Talk::new(3);
                feed(&mut core, &mut batch(&busy(&mut talk)), burst);
                assert!(left.get(), "{what}: never reached");
                assert_eq!(core.stack().live_flows(), 1, "{what}");
                assert_eq!(core.stack().reassembly_bytes(), 0, "{what}: bytes are kept for nobody");
                // Data, acknowledgments, a SYN again: all of the entry's.
                let mut again = talk.clone();
                again.next[0] = Talk::new(3).next[0];
                let frames = [talk.data(Side::Client, b"late"), talk.ack(Side::Server), again.syn()];
                feed(&mut core, &mut batch(&frames), burst);
                assert_eq!((after.get(), core.panics(), core.stats().flows), (0, 0, 1), "{what}");
                assert_eq!(core.stats().orphans, 0, "{what}");
                let state = core.stats().ended;
                assert_eq!(state.iter().sum::<u64>(), 0, "{what}");
                finish(&mut core);
                assert_eq!(core.stats().ended[EndReason::Stopped as usize], 1, "{what}");
                assert_eq!(after.get(), 0, "{what}");
            }
        }
    }
}

/// With two monitors only one leaves: the other is told all there is.
#[test]
fn d27_with_two_monitors_only_one_leaves() {
    let mut talk = Talk::new(3);
    let mut capture = busy(&mut talk);
    let orphan = Talk::new(99).ack(Side::Client);
    capture.push(orphan);
    let (mut alone, socket) = core_with(Config::default(), recorder());
    feed(&mut alone, &mut batch(&capture), 3);
    finish(&mut alone);
    let expected = alone.state::<Log>(socket).unwrap();
    for place in places() {
        for way in WAYS {
            for leaver_first in [true, false] {
                let what = format!("{way:?} at {place:?}, the leaver first: {leaver_first}");
                let (left, after) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
                let mut core = Core::new(Config::default());
                let mut witness = None;
                if !leaver_first {
                    witness = Some(core.open(recorder()).unwrap());
                }
                core.open(leaver(place, way, &left, &after)).unwrap();
                let witness = witness.unwrap_or_else(|| core.open(recorder()).unwrap());
                feed(&mut core, &mut batch(&capture), 3);
                assert!(left.get(), "{what}");
                finish(&mut core);
                assert!(core.state::<Log>(witness).unwrap().flows == expected.flows, "{what}");
                // The orphan at the end.
                assert_eq!(after.get(), 1, "{what}");
            }
        }
    }
}

/// What only the monitor that leaves had not read is not kept any longer.
#[test]
fn what_waited_for_a_monitor_that_leaves_is_given_up() {
    for by_change in [false, true] {
        let sockets: Rc<RefCell<Vec<Descriptor>>> = Rc::default();
        let note = sockets.clone();
        let slow = Monitor::<(), ()>::new("slow", ())
            .on_snd(Event::ConnStart, move |cx| note.borrow_mut().extend(cx.conn.socket()))
            .on_new_data(|_| ());
        let mut core = Core::new(Config::default());
        core.open(slow).unwrap();
        let witness = core.open(recorder()).unwrap();
        let mut talk = Talk::new(1);
        feed(&mut core, &mut batch(&talk.handshake()), 1);
        feed(&mut core, &mut batch(&[talk.data(Side::Client, b"unread"), talk.data(Side::Server, b"unread")]), 1);
        assert!(core.stack().reassembly_bytes() > 0);
        let socket = sockets.borrow()[0];
        if by_change {
            for side in Side::BOTH {
                core.control(|control| control.set_buffer(socket, side, false)).unwrap();
            }
        } else {
            core.close(socket).unwrap();
        }
        feed(&mut core, &mut batch(&[talk.data(Side::Client, b"+"), talk.data(Side::Server, b"+")]), 1);
        assert_eq!(core.stack().reassembly_bytes(), 0, "the other one has read everything; by a change: {by_change}");
        finish(&mut core);
        assert_eq!(core.state::<Log>(witness).unwrap().flows[0].streams[1].bytes, b"unread+");
    }
}

/// The other monitor hears of every packet, so nothing makes the stack look whether the flow is wanted as before.
#[test]
fn what_a_closed_monitor_has_not_read_is_given_up_by_the_next_data() {
    let slow = Monitor::<(), ()>::new("slow", ()).on_new_data(|_| ());
    let counter = Monitor::<u64, ()>::new("counter", 0).without_buffers().on_rcv(Event::PktIn, |cx| *cx.state += 1);
    let mut core = Core::new(Config::default());
    let slow = core.open(slow).unwrap();
    let counter = core.open(counter).unwrap();
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.handshake()), 1);
    feed(&mut core, &mut batch(&[talk.data(Side::Client, b"unread"), talk.data(Side::Server, b"unread")]), 1);
    assert!(core.stack().reassembly_bytes() > 0);
    core.close(slow).unwrap();
    feed(&mut core, &mut batch(&[talk.data(Side::Client, b"+"), talk.data(Side::Server, b"+")]), 1);
    assert_eq!(core.stack().reassembly_bytes(), 0);
    assert_eq!(core.state::<u64>(counter), Some(&7));
    finish(&mut core);
}

#[test]
fn spec_4_6_a_stopped_side_is_silent_at_every_hook() {
    for stopped in Side::BOTH {
        for at_start in [true, false] {
            let told: Rc<RefCell<Vec<(Hook, Side)>>> = Rc::default();
            let mut monitor = Monitor::<(), ()>::new("half", ());
            let below = monitor.define(Event::PktIn, |_| true);
            for event in EVENTS.into_iter().map(mos_monitor::EventId::from).chain([below.into()]) {
                let (snd, rcv) = (told.clone(), told.clone());
                monitor = monitor
                    .on_snd(event, move |cx| snd.borrow_mut().push((Hook::Snd, cx.conn.side())))
                    .on_rcv(event, move |cx| rcv.borrow_mut().push((Hook::Rcv, cx.conn.side())));
            }
            let (data, error, ends) = (told.clone(), told.clone(), Rc::new(Cell::new(0)));
            let count = ends.clone();
            monitor = monitor
                .on_new_data(move |cx| data.borrow_mut().push((Hook::Null, cx.conn.side())))
                .on_error(move |cx| error.borrow_mut().push((Hook::Null, cx.conn.side())))
                .on_end(move |cx| {
                    // The states of both halves are followed all the same.
                    assert_eq!(Side::BOTH.map(|side| cx.conn.state(side)), [Some(TcpState::Closed); 2]);
                    count.set(count.get() + 1);
                });
            if at_start {
                monitor = monitor.without_side(stopped);
            } else {
                monitor = monitor.on_snd(Event::ConnStart, move |cx| cx.conn.stop_side(stopped).unwrap());
            }
            let (mut core, _) = core_with(Config::default(), monitor);
            let mut talk = Talk::new(1);
            let mut frames = vec![talk.syn()];
            feed(&mut core, &mut batch(&frames), 1);
            told.borrow_mut().retain(|(hook, _)| at_start || *hook != Hook::Snd);
            frames = vec![talk.syn_ack(), talk.ack(Side::Client)];
            for side in Side::BOTH {
                frames.extend([
                    talk.data(side, b"data"),
                    talk.ahead(side, -4, b"data"),
                    talk.ahead(side, 1 << 20, b"far"),
                ]);
            }
            frames.extend(talk.close());
            feed(&mut core, &mut batch(&frames), 1);
            finish(&mut core);
            let told = told.borrow();
            assert!(told.iter().all(|(_, side)| *side != stopped), "{stopped:?}, from the start: {at_start}");
            for hook in [Hook::Snd, Hook::Rcv, Hook::Null] {
                assert!(told.contains(&(hook, stopped.other())), "{stopped:?}, from the start: {at_start}: {hook:?}");
            }
            assert_eq!((ends.get(), core.panics()), (1, 0));
        }
    }
}

/// A monitor that leaves every flow in its handshake, and counts the flows and orphans that it is told of.
fn counting(flows: &Rc<Cell<u32>>, orphans: &Rc<Cell<u32>>, at: TcpState) -> Monitor<(), ()> {
    let (begun, strays) = (flows.clone(), orphans.clone());
    Monitor::new("counting", ())
        .on_snd(Event::ConnStart, move |_| begun.set(begun.get() + 1))
        .on_rcv(Event::PktIn, move |cx| {
            if cx.conn.state(Side::Server) == Some(at) {
                cx.conn.stop();
            }
        })
        .on_orphan(move |_| strays.set(strays.get() + 1))
}

/// D10 of a flow that nobody monitors: the same SYN is the old connection's, another one is a new connection's if the old
/// one is closing, or else once it is answered.
#[test]
fn d10_d27_a_new_connection_on_the_same_endpoints_is_seen() {
    // How the stopped connection goes on, before or after it is stopped; and whether a SYN alone is then believed.
    type Going = fn(&mut Talk) -> Vec<Frame>;
    let cases: [(&str, Option<TcpState>, Going, bool); 7] = [
        ("established", None, |_| Vec::new(), false),
        ("one FIN", None, |talk| vec![talk.fin(Side::Client)], true),
        ("one RST", None, |talk| vec![talk.rst(Side::Server)], true),
        ("both FINs", None, |talk| vec![talk.fin(Side::Server), talk.fin(Side::Client)], true),
        ("left after the client's FIN", Some(TcpState::CloseWait), |talk| vec![talk.fin(Side::Client)], true),
        (
            "left after both FINs",
            Some(TcpState::LastAck),
            |talk| vec![talk.fin(Side::Client), talk.fin(Side::Server), talk.ack(Side::Server)],
            true,
        ),
        ("half open", Some(TcpState::SynRcvd), |_| Vec::new(), true),
    ];
    for (name, state, going, at_once) in cases {
        let (flows, orphans) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let monitor = counting(&flows, &orphans, state.unwrap_or(TcpState::Established));
        let (mut core, _) = core_with(Config::default(), monitor);
        let mut talk = Talk::new(8);
        let first = talk.syn();
        let mut frames = vec![first.clone()];
        if name != "half open" {
            frames.extend([talk.syn_ack(), talk.ack(Side::Client)]);
        }
        frames.extend(going(&mut talk));
        // The SYN once more opens nothing.
        frames.push(first);
        feed(&mut core, &mut batch(&frames), 1);
        assert_eq!((flows.get(), orphans.get(), core.stack().live_flows()), (1, 0, 1), "{name}");
        let mut new = talk.again();
        feed(&mut core, &mut batch(&[new.syn()]), 1);
        assert_eq!(flows.get(), if at_once { 2 } else { 1 }, "{name}: a SYN alone");
        feed(&mut core, &mut batch(&[new.syn_ack()]), 1);
        assert_eq!(flows.get(), 2, "{name}: a SYN and its answer");
        assert_eq!(core.stats().ended[EndReason::Stopped as usize], 1, "{name}");
        assert_eq!((orphans.get(), core.stack().live_flows()), (0, 1), "{name}");
        finish(&mut core);
    }
}

/// A SYN that nobody answers proves nothing: what belongs to the old connection is no orphan.
#[test]
fn d10_d27_an_unanswered_syn_changes_nothing() {
    let (flows, orphans) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (mut core, _) = core_with(Config::default(), counting(&flows, &orphans, TcpState::Established));
    let mut talk = Talk::new(8);
    feed(&mut core, &mut batch(&talk.handshake()), 1);
    let frames = [talk.again().syn(), talk.data(Side::Client, b"old"), talk.ack(Side::Server)];
    feed(&mut core, &mut batch(&frames), 1);
    assert_eq!((flows.get(), orphans.get(), core.stack().live_flows()), (1, 0, 1));
    finish(&mut core);
}

/// However the connection ends, its entry goes; and not before its last packets have passed.
#[test]
fn d27_the_entry_goes_when_the_connection_does() {
    type Going = fn(&mut Talk) -> Vec<Frame>;
    let cases: [(&str, Going); 5] = [
        ("silence", |_| Vec::new()),
        ("FINs", |talk| talk.close().into()),
        ("a FIN", |talk| vec![talk.fin(Side::Server), talk.ack(Side::Client)]),
        ("RST", |talk| vec![talk.rst(Side::Client)]),
        ("FIN and RST", |talk| vec![talk.fin(Side::Client), talk.rst(Side::Server), talk.rst(Side::Server)]),
    ];
    let minute = Duration::from_secs(60);
    let all = Timeouts::all(minute);
    let timeouts = [
        all,
        Timeouts { time_wait: Duration::from_secs(30), ..all },
        // For ever, unless the connection says itself that it is over.
        Timeouts { established: Duration::ZERO, ..all },
        Timeouts::all(Duration::ZERO),
    ];
    for (name, going) in cases {
        for timeouts in timeouts {
            for half_open in [false, true] {
                let what = format!("{name}, {timeouts:?}, half open: {half_open}");
                let (flows, orphans) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
                let at = if half_open { TcpState::SynRcvd } else { TcpState::Established };
                let config = Config { timeouts, ..Config::default() };
                let (mut core, _) = core_with(config, counting(&flows, &orphans, at));
                let mut talk = Talk::new(8);
                feed(&mut core, &mut batch(&talk.handshake()), 1);
                feed(&mut core, &mut batch(&going(&mut talk)), 1);
                if timeouts.closing > Duration::ZERO {
                    assert_eq!(core.stack().live_flows(), 1, "{what}: gone too soon");
                    assert_eq!(orphans.get(), 0, "{what}");
                }
                core.advance(talk.time + 3 * minute);
                let over = matches!(name, "FINs" | "RST" | "FIN and RST");
                let for_ever = match name {
                    "silence" => timeouts.established == Duration::ZERO,
                    _ => timeouts.closing == Duration::ZERO && !over,
                };
                assert_eq!(core.stack().live_flows(), usize::from(for_ever), "{what}: the entry stays");
                assert_eq!(flows.get(), 1, "{what}");
                finish(&mut core);
                assert_eq!(core.stats().ended[EndReason::Stopped as usize], 1, "{what}");
            }
        }
    }
}

/// Thousands of bypassed connections that end leave nothing behind.
#[test]
fn d27_entries_do_not_pile_up() {
    let (flows, orphans) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (mut core, _) = core_with(Config::default(), counting(&flows, &orphans, TcpState::Established));
    for number in 0..5000_u32 {
        let mut talk = Talk::new(number);
        talk.time = Timestamp::from_millis(1000 + u64::from(number) * 100);
        feed(&mut core, &mut batch(&talk.whole(b"question", b"answer")), 8);
    }
    // 500 seconds, of which the last 30 may still have entries.
    assert!(core.stack().live_flows() <= 310, "{}", core.stack().live_flows());
    assert_eq!((flows.get(), orphans.get()), (5000, 0));
    finish(&mut core);
}

/// The first packet of a flow whose state could not be made: bypassed from its beginning, with the same rules.
#[test]
fn d27_a_flow_left_before_its_first_event_is_bypassed() {
    struct Refuses;
    impl Default for Refuses {
        fn default() -> Self {
            panic!("on purpose");
        }
    }
    let strays = Rc::new(Cell::new(0));
    let count = strays.clone();
    let monitor = Monitor::<(), Refuses>::new("refuses", ())
        .on_snd(Event::PktIn, |_| unreachable!("there is no state"))
        .on_orphan(move |_| count.set(count.get() + 1));
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    let syn = talk.clone().syn();
    let mut frames = talk.whole(b"question", b"answer");
    frames.insert(5, syn);
    feed(&mut core, &mut batch(&frames), 1);
    assert_eq!((core.panics(), strays.get(), core.stats().flows), (1, 0, 1));
    finish(&mut core);
}

/// From outside, by the flow's descriptor; the last of two monitors to leave makes it a bypassed flow.
#[test]
fn d27_the_last_monitor_to_leave_makes_the_bypass() {
    let sockets: Rc<RefCell<Vec<Descriptor>>> = Rc::default();
    let told: Rc<RefCell<Vec<&str>>> = Rc::default();
    let monitor = |name: &'static str| {
        let (sockets, told) = (sockets.clone(), told.clone());
        Monitor::<(), ()>::new(name, ())
            .on_snd(Event::ConnStart, move |cx| sockets.borrow_mut().extend(cx.conn.socket()))
            .on_rcv(Event::PktIn, move |_| told.borrow_mut().push(name))
            .on_new_data(|_| ())
    };
    let mut core = Core::new(Config::default());
    core.open(monitor("first")).unwrap();
    core.open(monitor("second")).unwrap();
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.handshake()), 1);
    let [first, second] = sockets.borrow()[..] else { panic!("one flow of two monitors") };
    let mut step = |core: &mut Core| {
        told.borrow_mut().clear();
        feed(core, &mut batch(&[talk.data(Side::Client, b"data")]), 1);
        told.borrow().clone()
    };
    assert_eq!(step(&mut core), ["first", "second"]);
    // Of one side nothing more is told: what the other receives still is.
    core.control(|control| control.stop_side(first, Side::Client)).unwrap();
    assert_eq!(step(&mut core), ["first", "second"]);
    core.control(|control| control.stop_side(first, Side::Client)).unwrap();
    assert_eq!(step(&mut core), ["first", "second"]);
    core.control(|control| control.stop_side(first, Side::Server)).unwrap();
    assert_eq!(core.control(|control| control.kind(first)), None);
    assert_eq!(step(&mut core), ["second"]);
    assert!(core.stack().reassembly_bytes() > 0, "the second one has read nothing");
    for side in Side::BOTH {
        core.control(|control| control.stop_side(second, side)).unwrap();
    }
    assert_eq!(core.stack().reassembly_bytes(), 0);
    assert!(step(&mut core).is_empty());
    assert_eq!((core.stack().live_flows(), core.stats().orphans), (1, 0));
    finish(&mut core);
    assert_eq!(core.stats().ended[EndReason::Stopped as usize], 1);
}

/// A flow that began in its middle is no other.
#[test]
fn d12_d27_a_flow_from_its_middle_is_bypassed_too() {
    let (flows, orphans) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let config = Config { midstream: true, ..Config::default() };
    let (mut core, _) = core_with(config, counting(&flows, &orphans, TcpState::Established));
    let mut talk = Talk::new(8);
    talk.handshake();
    let mut frames = vec![talk.data(Side::Server, b"in the middle"), talk.ack(Side::Client)];
    frames.extend(talk.close());
    feed(&mut core, &mut batch(&frames), 1);
    assert_eq!((flows.get(), core.stack().live_flows()), (1, 1));
    let mut new = talk.again();
    feed(&mut core, &mut batch(&new.handshake()), 1);
    assert_eq!((flows.get(), core.stack().live_flows()), (2, 1));
    core.advance(talk.time + Duration::from_secs(60));
    assert_eq!((orphans.get(), core.stack().live_flows()), (0, 0));
    finish(&mut core);
}

/// What bypassed packets look like does not matter.
#[test]
fn d27_odd_packets_of_a_bypassed_flow_are_its_own() {
    let (flows, orphans) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (mut core, _) = core_with(Config::default(), counting(&flows, &orphans, TcpState::Established));
    let mut talk = Talk::new(8);
    feed(&mut core, &mut batch(&talk.handshake()), 1);
    let mut frames = Vec::new();
    for side in Side::BOTH {
        for flags in 0..64 {
            // No SYN and no end among them.
            if flags & (TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST) == 0 {
                frames.push(talk.segment(side, flags, 7, 7, b"odd"));
            }
        }
        frames.push(talk.segment(side, TcpFlags::SYN | TcpFlags::ACK, 7, 7, b""));
    }
    feed(&mut core, &mut batch(&frames), 16);
    assert_eq!((flows.get(), orphans.get(), core.stack().live_flows()), (1, 0, 1));
    finish(&mut core);
}
