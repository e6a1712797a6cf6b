//! Monitors closed and opened from inside callbacks (D24): nothing of a closed one is called any more, nobody else notices.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mos_core::config::Config;
use mos_core::packet::Verdict;
use mos_core::wire::TcpFlags;
use mos_monitor::{CloseError, Control, Core, Descriptor, Event, Hook, Monitor, RawMonitor, Side};

use crate::support::talk::Talk;
use crate::support::{Frame, Log, batch, core_with, feed, finish, recorder};

const EVENTS: [Event; 5] = [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd];

/// Where a callback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    At(Hook, Event),
    NewData,
    Error,
    End,
    Orphan,
}

/// All of them that are ever called. (Nothing is repeated to a sender.)
fn places() -> Vec<Place> {
    let hooked = EVENTS.into_iter().flat_map(|event| [Place::At(Hook::Snd, event), Place::At(Hook::Rcv, event)]);
    let hooked = hooked.filter(|place| *place != Place::At(Hook::Snd, Event::Rexmit));
    hooked.chain([Place::NewData, Place::Error, Place::End, Place::Orphan]).collect()
}

thread_local! {
    static ALIVE: Cell<i64> = const { Cell::new(0) };
}

/// The state of a flow, counted as long as it lives.
struct Witness;

impl Default for Witness {
    fn default() -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}

/// What is called when a callback runs: it may close and open.
type Act = Rc<dyn Fn(Place, &mut Control)>;

/// A monitor with every callback there is.
fn actor(act: &Act) -> Monitor<(), Witness> {
    let mut monitor = Monitor::<(), Witness>::new("actor", ());
    for event in EVENTS {
        let (snd, rcv) = (act.clone(), act.clone());
        monitor = monitor
            .on_snd(event, move |cx| snd(Place::At(Hook::Snd, event), cx.conn.control()))
            .on_rcv(event, move |cx| rcv(Place::At(Hook::Rcv, event), cx.conn.control()));
    }
    let [data, error, end, orphan] = [(); 4].map(|()| act.clone());
    monitor
        // It never reads, so that unread bytes are kept for it.
        .on_new_data(move |cx| data(Place::NewData, cx.conn.control()))
        .on_error(move |cx| error(Place::Error, cx.conn.control()))
        .on_end(move |cx| end(Place::End, cx.conn.control()))
        .on_orphan(move |cx| orphan(Place::Orphan, cx.control))
}

/// Flows in which everything happens, one after the other and mixed, and a packet of none.
fn traffic() -> Vec<Frame> {
    let mut capture = Vec::new();
    let mut open = Vec::new();
    for number in 0..4 {
        let mut talk = Talk::new(number);
        capture.extend(talk.handshake());
        capture.push(talk.data(Side::Client, b"question"));
        capture.push(talk.ahead(Side::Client, -8, b"question"));
        capture.push(talk.ahead(Side::Server, 3, b"wer"));
        capture.push(talk.data(Side::Server, b"ans"));
        talk.next[1] = talk.next[1].wrapping_add(3);
        // Far outside the window.
        capture.push(talk.ahead(Side::Client, 1 << 20, b"astray"));
        capture.push(talk.ahead(Side::Server, 10, b"behind a hole"));
        open.push(talk);
    }
    for (number, mut talk) in open.into_iter().enumerate() {
        match number {
            0 => capture.push(talk.rst(Side::Client)),
            3 => {}
            _ => {
                talk.next[1] = talk.next[1].wrapping_add(23);
                capture.extend(talk.close());
            }
        }
        capture.push(Talk::new(777).ack(Side::Server));
    }
    let mut late = Talk::new(9);
    capture.extend(late.whole(b"late question", b"late answer"));
    capture.push(late.segment(Side::Client, TcpFlags::ACK, 1, 1, b""));
    capture
}

/// What one recorder alone writes down.
fn undisturbed(capture: &[Frame], burst: usize) -> Log {
    let (mut core, socket) = core_with(Config::default(), recorder());
    feed(&mut core, &mut batch(capture), burst);
    finish(&mut core);
    core.state::<Log>(socket).unwrap().clone()
}

fn assert_same(log: &Log, expected: &Log, what: &str) {
    assert!(log.flows == expected.flows, "{what}: another monitor was told something else");
    assert_eq!(log.orphans, expected.orphans, "{what}");
}

/// Nothing is open under the number, as far as a core tells that was shut down.
fn is_gone(core: &mut Core, socket: Descriptor) -> bool {
    core.close(socket) == Err(CloseError::ShutDown) && core.control(|control| control.kind(socket)).is_none()
}

fn is_bad(result: Result<(), CloseError>) -> bool {
    matches!(result, Err(CloseError::BadDescriptor(_)))
}

/// Runs the traffic past a recorder, the monitor of `place`, and another recorder. `target` is closed the `nth` time.
fn close_at(place: Place, nth: u32, burst: usize, target: Target) {
    let what = format!("{target:?} closed at {place:?}, time {nth}, bursts of {burst}");
    let capture = traffic();
    let mut core = Core::new(Config::default());
    let sockets: Rc<RefCell<Vec<Descriptor>>> = Rc::default();
    let (seen, closed, after) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let act: Act = {
        let (sockets, seen, closed, what) = (sockets.clone(), seen.clone(), closed.clone(), what.clone());
        let after = after.clone();
        Rc::new(move |here, control| {
            if closed.get() && target == Target::Itself {
                after.set(after.get() + 1);
            }
            if here == place && !closed.get() {
                seen.set(seen.get() + 1);
                if seen.get() == nth {
                    let socket = sockets.borrow()[target as usize];
                    assert_eq!(control.close(socket), Ok(()), "{what}");
                    assert!(is_bad(control.close(socket)), "{what}: closed twice");
                    closed.set(true);
                }
            }
        })
    };
    let victim: Act = {
        let (closed, after) = (closed.clone(), after.clone());
        Rc::new(move |_, _| {
            if closed.get() && target != Target::Itself {
                after.set(after.get() + 1);
            }
        })
    };
    let alive = ALIVE.get();
    let first = core.open(recorder()).unwrap();
    let before = core.open(actor(&victim)).unwrap();
    let own = core.open(actor(&act)).unwrap();
    let behind = core.open(actor(&victim)).unwrap();
    let last = core.open(recorder()).unwrap();
    sockets.borrow_mut().extend([before, own, behind]);

    let mut frames = batch(&capture);
    for start in (0..frames.len()).step_by(burst) {
        let end = frames.len().min(start + burst);
        let verdicts = core.process(&mut frames.burst(start..end));
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Forward), "{what}: verdicts");
        if closed.get() {
            let each = core.stack().live_flows() as i64;
            // Flows that ended in the burst are gone, and the closed monitor has none.
            assert_eq!(ALIVE.get() - alive, 2 * each, "{what}: states of flows are left");
        }
    }
    // The victims act alike; what is told to the one that stays after the other was closed is no mistake.
    finish(&mut core);
    assert_eq!(closed.get(), seen.get() >= nth, "{what}");
    if closed.get() {
        let socket = sockets.borrow()[target as usize];
        assert!(is_gone(&mut core, socket), "{what}: the descriptor still names something");
        assert!(core.state::<()>(socket).is_none(), "{what}");
    }
    if target == Target::Itself {
        assert_eq!(after.get(), 0, "{what}: called after it was closed");
    }
    let expected = undisturbed(&capture, burst);
    for socket in [first, last] {
        assert_same(core.state::<Log>(socket).unwrap(), &expected, &what);
    }
    drop(core);
    assert_eq!(ALIVE.get(), alive, "{what}: states of flows leak");
}

/// Whom the callback closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Before = 0,
    Itself = 1,
    Behind = 2,
}

#[test]
fn d24_a_monitor_closes_itself_anywhere() {
    for place in places() {
        for burst in [1, 7, 64] {
            for nth in [1, 2, 5] {
                close_at(place, nth, burst, Target::Itself);
            }
        }
    }
}

#[test]
fn d24_a_monitor_closes_its_neighbours_anywhere() {
    for place in places() {
        for burst in [1, 64] {
            for target in [Target::Before, Target::Behind] {
                close_at(place, 1, burst, target);
                close_at(place, 3, burst, target);
            }
        }
    }
}

/// The traffic does reach every callback; otherwise the tests above say nothing.
#[test]
fn every_place_is_reached() {
    let reached: Rc<RefCell<Vec<Place>>> = Rc::default();
    let note = reached.clone();
    let act: Act = Rc::new(move |place, _| note.borrow_mut().push(place));
    let (mut core, _) = core_with(Config::default(), actor(&act));
    feed(&mut core, &mut batch(&traffic()), 64);
    finish(&mut core);
    for place in places() {
        assert!(reached.borrow().iter().filter(|reached| **reached == place).count() >= 3, "{place:?}");
    }
}

/// A neighbour that was closed is not called even later in the dispatch at hand.
#[test]
fn d24_a_closed_neighbour_is_not_called_in_the_same_dispatch() {
    for place in places() {
        for victim_first in [false, true] {
            let socket: Rc<Cell<Option<Descriptor>>> = Rc::default();
            let (closed, after) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
            let act: Act = {
                let (socket, closed) = (socket.clone(), closed.clone());
                Rc::new(move |here, control| {
                    if here == place && !closed.replace(true) {
                        assert_eq!(control.close(socket.get().unwrap()), Ok(()));
                    }
                })
            };
            let victim: Act = {
                let (closed, after) = (closed.clone(), after.clone());
                Rc::new(move |_, _| after.set(after.get() + u32::from(closed.get())))
            };
            let mut core = Core::new(Config::default());
            if victim_first {
                socket.set(Some(core.open(actor(&victim)).unwrap()));
                core.open(actor(&act)).unwrap();
            } else {
                core.open(actor(&act)).unwrap();
                socket.set(Some(core.open(actor(&victim)).unwrap()));
            }
            feed(&mut core, &mut batch(&traffic()), 64);
            finish(&mut core);
            assert!(closed.get());
            assert_eq!(after.get(), 0, "{place:?}, the victim first: {victim_first}");
        }
    }
}

/// A monitor opened in a callback sees flows that begin later, and none that there are; even under the index, and with
/// the slots, of one that was closed in the same callback.
#[test]
fn a_monitor_opened_in_a_callback_sees_later_flows_only() {
    for place in places() {
        for close_first in [false, true] {
            for burst in [1, 64] {
                let what = format!("opened at {place:?}, bursts of {burst}, another closed first: {close_first}");
                let own: Rc<Cell<Option<Descriptor>>> = Rc::default();
                let opened: Rc<Cell<Option<Descriptor>>> = Rc::default();
                let act: Act = {
                    let (own, opened) = (own.clone(), opened.clone());
                    Rc::new(move |here, control| {
                        if here == place && opened.get().is_none() {
                            if close_first {
                                assert_eq!(control.close(own.get().unwrap()), Ok(()));
                            }
                            opened.set(Some(control.open(recorder()).unwrap()));
                        }
                    })
                };
                let mut core = Core::new(Config::default());
                own.set(Some(core.open(actor(&act)).unwrap()));
                let witness = core.open(recorder()).unwrap();
                let mut begun = None;
                let mut frames = batch(&traffic());
                for start in (0..frames.len()).step_by(burst) {
                    let end = frames.len().min(start + burst);
                    core.process(&mut frames.burst(start..end));
                    if opened.get().is_some() && begun.is_none() {
                        begun = Some(core.stats().flows as usize);
                    }
                }
                // One more round of flows, after the opening in any case.
                let mut talks: Vec<_> = (50..60).map(Talk::new).collect();
                let more: Vec<_> = talks.iter_mut().flat_map(|talk| talk.whole(b"more", b"and more")).collect();
                feed(&mut core, &mut batch(&more), burst);
                finish(&mut core);
                let expected = core.state::<Log>(witness).unwrap().flows.clone();
                assert_same(
                    core.state::<Log>(witness).unwrap(),
                    &undisturbed(&[traffic(), more].concat(), burst),
                    &what,
                );
                let Some(opened) = opened.get() else { panic!("{what}: never") };
                let log = core.state::<Log>(opened).unwrap();
                assert!(log.flows.len() >= 10, "{what}: {} flows", log.flows.len());
                for flow in &log.flows {
                    // Seen from its first packet on, or not at all.
                    assert!(expected.contains(flow), "{what}: a flow was seen in part: {flow:#?}");
                }
                if burst == 1 {
                    let later = expected.len() - begun.unwrap();
                    assert_eq!(log.flows.len(), later, "{what}");
                }
            }
        }
    }
}

/// One flow of a monitor is stopped; the others, and the other monitor, go on.
#[test]
fn d24_stopping_concerns_one_flow_of_one_monitor() {
    for by_descriptor in [false, true] {
        for burst in [1, 64] {
            for stop_at in [Event::ConnStart, Event::PktIn, Event::TcpStateChange] {
                let told: Rc<RefCell<Vec<(u16, bool)>>> = Rc::default();
                let stopped: Rc<Cell<Option<Descriptor>>> = Rc::default();
                let stopped_port = Talk::new(1).addresses[0].port();
                let mut monitor = Monitor::<(), Witness>::new("stopper", ());
                for event in EVENTS {
                    let (told, stopped) = (told.clone(), stopped.clone());
                    monitor = monitor.on_rcv(event, move |cx| {
                        let port = cx.conn.endpoint(Side::Client).port();
                        told.borrow_mut().push((port, stopped.get().is_some()));
                        if event == stop_at && port == stopped_port {
                            let socket = cx.conn.socket().unwrap();
                            if by_descriptor {
                                assert_eq!(cx.conn.control().close(socket), Ok(()));
                            } else {
                                cx.conn.stop();
                            }
                            assert!(is_bad(cx.conn.control().close(socket)));
                            stopped.set(Some(socket));
                        }
                    });
                }
                let (data, ends) = (told.clone(), told.clone());
                let (data_stopped, end_stopped) = (stopped.clone(), stopped.clone());
                let monitor = monitor
                    .on_new_data(move |cx| {
                        let port = cx.conn.endpoint(Side::Client).port();
                        data.borrow_mut().push((port, data_stopped.get().is_some()));
                    })
                    .on_end(move |cx| {
                        let port = cx.conn.endpoint(Side::Client).port();
                        ends.borrow_mut().push((port, end_stopped.get().is_some()));
                    });
                let mut core = Core::new(Config::default());
                core.open(monitor).unwrap();
                let witness = core.open(recorder()).unwrap();
                feed(&mut core, &mut batch(&traffic()), burst);
                finish(&mut core);
                let expected = undisturbed(&traffic(), burst);
                assert_same(core.state::<Log>(witness).unwrap(), &expected, "one flow stopped");
                let told = told.borrow();
                assert!(!told.contains(&(stopped_port, true)), "{stop_at:?}: told of a flow it has stopped");
                for number in [0, 2, 3, 9] {
                    let port = Talk::new(number).addresses[0].port();
                    assert!(told.iter().filter(|(other, _)| *other == port).count() > 5);
                }
                assert!(is_gone(&mut core, stopped.get().unwrap()));
                drop(core);
                assert_eq!(ALIVE.get(), 0);
            }
        }
    }
}

/// The descriptor of a flow is gone with the flow, and with its monitor.
#[test]
fn descriptors_of_flows_end_with_them() {
    let sockets: Rc<RefCell<Vec<Descriptor>>> = Rc::default();
    let note = sockets.clone();
    let monitor = Monitor::<(), Witness>::new("collector", ())
        .on_rcv(Event::ConnStart, move |cx| note.borrow_mut().extend(cx.conn.socket()));
    let (mut core, socket) = core_with(Config::default(), monitor);
    let [mut short, mut long] = [1, 2].map(Talk::new);
    feed(&mut core, &mut batch(&short.whole(b"a", b"b")), 64);
    feed(&mut core, &mut batch(&long.handshake()), 64);
    let [ended, open] = sockets.borrow()[..] else { panic!("two flows") };
    assert!(is_bad(core.close(ended)));
    assert_eq!(core.close(open), Ok(()));
    assert!(is_bad(core.close(open)));
    assert_eq!(ALIVE.get(), 0);
    let mut third = Talk::new(3);
    feed(&mut core, &mut batch(&third.handshake()), 64);
    let third = *sockets.borrow().last().unwrap();
    assert_eq!(core.close(socket), Ok(()));
    assert!(is_bad(core.close(third)), "the monitor is gone, its descriptors are not");
    assert!(is_bad(core.close(socket)), "closed twice");
    let next = core.open(recorder()).unwrap();
    assert_ne!(next, socket, "the same number again");
    assert!(is_bad(core.close(socket)), "the old number names the new monitor");
    assert_eq!(core.close(next), Ok(()));
    assert!(is_bad(core.close(Descriptor::from_raw(-1))));
    assert!(is_bad(core.close(Descriptor::from_raw(0))));
    finish(&mut core);
}

/// The last reader goes while bytes wait for it: nothing is kept for nobody.
#[test]
fn d24_what_waited_for_a_closed_monitor_is_given_up() {
    for place in [Place::NewData, Place::Error, Place::At(Hook::Rcv, Event::Rexmit), Place::At(Hook::Snd, Event::PktIn)]
    {
        let socket: Rc<Cell<Option<Descriptor>>> = Rc::default();
        let own = socket.clone();
        let act: Act = Rc::new(move |here, control| {
            if here == place {
                assert_eq!(control.close(own.get().unwrap()), Ok(()));
            }
        });
        let (mut core, opened) = core_with(Config::default(), actor(&act));
        socket.set(Some(opened));
        feed(&mut core, &mut batch(&traffic()), 5);
        assert!(core.state::<()>(opened).is_none());
        assert_eq!(ALIVE.get(), 0);
        finish(&mut core);
    }
}

#[test]
fn d24_a_raw_monitor_closes_itself_and_others() {
    for (closer, target) in [(0, 0), (0, 2), (1, 1), (1, 0), (2, 1), (2, 2)] {
        for burst in [1, 64] {
            let sockets: Rc<RefCell<Vec<Descriptor>>> = Rc::default();
            let counts: Rc<RefCell<[u32; 3]>> = Rc::default();
            let mut core = Core::new(Config::default());
            for number in 0..3 {
                let (sockets, counts) = (sockets.clone(), counts.clone());
                let raw = RawMonitor::new("raw", ()).on_packet({
                    let sockets = sockets.clone();
                    move |cx| {
                        counts.borrow_mut()[number] += 1;
                        if number == closer && counts.borrow()[number] == 5 {
                            assert_eq!(cx.control.close(sockets.borrow()[target]), Ok(()));
                            assert!(is_bad(cx.control.close(sockets.borrow()[target])));
                        }
                    }
                });
                let socket = core.open_raw(raw).unwrap();
                sockets.borrow_mut().push(socket);
            }
            let witness = core.open(recorder()).unwrap();
            let capture = traffic();
            feed(&mut core, &mut batch(&capture), burst);
            finish(&mut core);
            let all = capture.len() as u32;
            for number in 0..3 {
                let expected = match number {
                    _ if number != target => all,
                    // Those in front of the closer have seen the packet already.
                    _ if number <= closer => 5,
                    _ => 4,
                };
                assert_eq!(counts.borrow()[number], expected, "{closer} closes {target}: {number}");
            }
            assert!(is_gone(&mut core, sockets.borrow()[target]));
            assert_same(core.state::<Log>(witness).unwrap(), &undisturbed(&capture, burst), "a raw monitor closed");
        }
    }
}
