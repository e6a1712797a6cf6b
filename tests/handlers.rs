//! Handlers of single flows: registered, replaced and taken back while the flow lives. What changes counts from the next
//! dispatch on, for that flow and that monitor only; flows with equal handlers share one table.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use mos_core::config::Config;
use mos_core::socket::Descriptor;
use mos_monitor::{
    AtRcv, Control, ControlError, Core, Event, Handler, Hook, MAX_COMMANDS, Monitor, RawMonitor, Side, Timer,
};

use crate::support::talk::Talk;
use crate::support::{Frame, Log, batch, core_with, feed, finish, recorder};

/// What was called, in order.
type Notes = Rc<RefCell<Vec<String>>>;
type Plain = Monitor<(), ()>;

fn take(notes: &Notes) -> Vec<String> {
    std::mem::take(&mut *notes.borrow_mut())
}

/// A handler for RCV that notes its name.
fn noting(monitor: &mut Plain, notes: &Notes, name: &'static str) -> Handler<AtRcv> {
    let notes = notes.clone();
    monitor.rcv_handler(move |_| notes.borrow_mut().push(name.to_owned()))
}

/// A flow whose descriptor the monitor gives away when the flow starts.
fn with_sockets(monitor: Plain) -> (Plain, Rc<RefCell<Vec<Descriptor>>>) {
    let sockets: Rc<RefCell<Vec<Descriptor>>> = Rc::default();
    let note = sockets.clone();
    let monitor = monitor.on_snd(Event::ConnStart, move |cx| note.borrow_mut().extend(cx.conn.socket()));
    (monitor, sockets)
}

fn pass(core: &mut Core, frames: &[Frame]) {
    feed(core, &mut batch(frames), 1);
}

#[test]
fn spec_4_5_from_outside_handlers_are_registered_replaced_and_taken_back() {
    let notes = Notes::default();
    let mut monitor = Monitor::new("outside", ());
    let [one, two] = ["one", "two"].map(|name| noting(&mut monitor, &notes, name));
    let (monitor, sockets) = with_sockets(monitor);
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talks = [1, 2].map(Talk::new);
    for talk in &mut talks {
        pass(&mut core, &talk.handshake());
    }
    let [first, _second] = sockets.borrow()[..] else { panic!("two flows") };
    let mut step = |core: &mut Core| {
        for talk in &mut talks {
            pass(core, &[talk.data(Side::Client, b"data")]);
        }
        take(&notes)
    };
    assert!(step(&mut core).is_empty());
    core.control(|control| control.register(first, Event::PktIn, one)).unwrap();
    assert_eq!(step(&mut core), ["one"], "the first flow only");
    core.control(|control| control.register(first, Event::PktIn, two)).unwrap();
    assert_eq!(step(&mut core), ["two"], "replaced, not added");
    core.control(|control| control.deregister(first, Hook::Rcv, Event::PktIn)).unwrap();
    assert!(step(&mut core).is_empty());
    // Nothing is there to be taken back: that is no error.
    core.control(|control| control.deregister(first, Hook::Rcv, Event::PktIn)).unwrap();
    core.control(|control| control.deregister(first, Hook::Snd, Event::PktIn)).unwrap();
    assert!(step(&mut core).is_empty());
    finish(&mut core);
}

#[test]
fn spec_4_5_what_a_callback_changes_counts_from_the_next_dispatch_on() {
    let notes = Notes::default();
    let mut monitor = Plain::new("inside", ());
    let [late, other] = ["late", "other"].map(|name| noting(&mut monitor, &notes, name));
    let below = monitor.define(Event::PktIn, |_| true);
    let (snd, rcv, user) = (notes.clone(), notes.clone(), notes.clone());
    let monitor = monitor
        .on_snd(Event::ConnStart, move |cx| {
            snd.borrow_mut().push("start".to_owned());
            // RCV of the same packet is another dispatch.
            cx.conn.register(Event::ConnStart, late).unwrap();
        })
        .on_rcv(Event::PktIn, move |cx| {
            rcv.borrow_mut().push("packet".to_owned());
            // In this dispatch: the event below, the next event, and this event itself stay as they were.
            cx.conn.deregister(Hook::Rcv, below).unwrap();
            cx.conn.register(Event::TcpStateChange, other).unwrap();
            cx.conn.register(Event::PktIn, other).unwrap();
        })
        .on_rcv(below, move |_| user.borrow_mut().push("below".to_owned()));
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    pass(&mut core, &[talk.syn()]);
    assert_eq!(take(&notes), ["start", "packet", "below", "late"]);
    pass(&mut core, &[talk.syn_ack()]);
    assert_eq!(take(&notes), ["other", "other"], "PKT_IN and TCP_STATE_CHANGE");
    finish(&mut core);
}

/// A filter may change handlers as well.
#[test]
fn spec_4_5_a_filter_that_takes_back_its_own_event_finishes_its_walk() {
    let notes = Notes::default();
    let mut monitor = Plain::new("filter", ());
    let slot: Rc<Cell<Option<mos_monitor::UserEvent>>> = Rc::default();
    let own = slot.clone();
    let event = monitor.define(Event::PktIn, move |cx| {
        cx.conn.deregister(Hook::Rcv, own.get().unwrap()).unwrap();
        true
    });
    slot.set(Some(event));
    let handler = noting(&mut monitor, &notes, "once");
    let (mut core, _) = core_with(Config::default(), monitor.register(event, handler));
    let mut talk = Talk::new(1);
    pass(&mut core, &talk.handshake());
    assert_eq!(take(&notes), ["once"]);
    finish(&mut core);
}

#[test]
fn spec_1_6_register_callback_changes_of_the_listener_reach_only_later_flows() {
    let notes = Notes::default();
    let mut monitor = Plain::new("listener", ());
    let [old, new] = ["old", "new"].map(|name| noting(&mut monitor, &notes, name));
    let (mut core, socket) = core_with(Config::default(), monitor.register(Event::PktIn, old));
    let mut early = Talk::new(1);
    pass(&mut core, &early.handshake());
    assert_eq!(take(&notes), ["old"; 3]);
    core.control(|control| control.register(socket, Event::PktIn, new)).unwrap();
    let mut late = Talk::new(2);
    pass(&mut core, &late.handshake());
    assert_eq!(take(&notes), ["new"; 3]);
    pass(&mut core, &[early.data(Side::Client, b"early")]);
    assert_eq!(take(&notes), ["old"]);
    core.control(|control| control.deregister(socket, Hook::Rcv, Event::PktIn)).unwrap();
    let mut last = Talk::new(3);
    pass(&mut core, &last.handshake());
    assert!(take(&notes).is_empty());
    pass(&mut core, &[early.data(Side::Client, b"early"), late.data(Side::Client, b"late")]);
    assert_eq!(take(&notes), ["old", "new"]);
    // A listener that has stopped both sides takes no flow at all, and those it has go on.
    for side in Side::BOTH {
        core.control(|control| control.stop_side(socket, side)).unwrap();
    }
    let flows = core.stats().flows;
    pass(&mut core, &Talk::new(4).handshake());
    assert_eq!(core.stats().flows, flows);
    pass(&mut core, &[early.data(Side::Client, b"early")]);
    assert_eq!(take(&notes), ["old"]);
    finish(&mut core);
}

/// Two recorders see all there is while a monitor between them changes its handlers with every packet.
#[test]
fn spec_4_5_other_monitors_and_flows_are_not_touched() {
    let capture: Vec<Frame> = (0..6).flat_map(|number| Talk::new(number).whole(b"question", b"answer")).collect();
    let mut core = Core::new(Config::default());
    let first = core.open(recorder()).unwrap();
    let called: Rc<RefCell<BTreeMap<u16, u32>>> = Rc::default();
    let mut monitor = Monitor::<(), u32>::new("changing", ());
    let count = called.clone();
    let calm = monitor.rcv_handler(move |cx| {
        *count.borrow_mut().entry(cx.conn.endpoint(Side::Client).port()).or_default() += 1;
    });
    let data = monitor.data_handler(|cx| cx.conn.consume_all());
    let changed_port = Talk::new(2).addresses[0].port();
    let monitor = monitor.register(Event::PktIn, calm).on_snd(Event::PktIn, move |cx| {
        if cx.conn.endpoint(Side::Client).port() != changed_port {
            return;
        }
        *cx.flow += 1;
        match *cx.flow % 3 {
            0 => cx.conn.register(Event::PktIn, calm).unwrap(),
            1 => cx.conn.deregister(Hook::Rcv, Event::PktIn).unwrap(),
            _ => cx.conn.register(Event::NewData, data).unwrap(),
        }
    });
    core.open(monitor).unwrap();
    let last = core.open(recorder()).unwrap();
    feed(&mut core, &mut batch(&capture), 7);
    finish(&mut core);
    let (mut alone, socket) = core_with(Config::default(), recorder());
    feed(&mut alone, &mut batch(&capture), 7);
    finish(&mut alone);
    let expected = &alone.state::<Log>(socket).unwrap().flows;
    for socket in [first, last] {
        assert!(&core.state::<Log>(socket).unwrap().flows == expected);
    }
    for number in 0..6 {
        let port = Talk::new(number).addresses[0].port();
        // Eight packets; of the changed flow, those after the third and the sixth change until the next one.
        assert_eq!(called.borrow()[&port], if number == 2 { 2 } else { 8 }, "flow {number}");
    }
}

#[test]
fn spec_1_10_every_control_error_is_reached() {
    let mut monitor = Plain::new("errors", ());
    let handler = monitor.rcv_handler(|_| ());
    let data = monitor.data_handler(|_| ());
    let event = monitor.define(Event::PktIn, |_| true);
    let below_data = monitor.define(Event::NewData, |_| true);
    let (monitor, sockets) = with_sockets(monitor);
    let mut other = Plain::new("other", ());
    let (foreign_handler, foreign_event) = (other.rcv_handler(|_| ()), other.define(Event::PktIn, |_| true));
    let (mut core, socket) = core_with(Config::default(), monitor);
    core.open(other).unwrap();
    let raw = core.open_raw(RawMonitor::new("raw", ())).unwrap();
    let mut talk = Talk::new(1);
    pass(&mut core, &talk.handshake());
    let flow = sockets.borrow()[0];
    for target in [socket, flow] {
        core.control(|control| {
            let foreign = |result| assert!(matches!(result, Err(ControlError::Foreign(_))), "{result:?}");
            foreign(control.register(target, Event::PktIn, foreign_handler));
            foreign(control.register(target, foreign_event, handler));
            foreign(control.deregister(target, Hook::Rcv, foreign_event));
            let wrong = |result| assert!(matches!(result, Err(ControlError::WrongHook { .. })), "{result:?}");
            for event in [Event::NewData, Event::Error, Event::Orphan] {
                wrong(control.register(target, event, handler));
                wrong(control.deregister(target, Hook::Rcv, event));
            }
            wrong(control.register(target, below_data, handler));
            wrong(control.register(target, Event::PktIn, data));
            wrong(control.register(target, event, data));
            wrong(control.register(target, Event::Error, data));
            wrong(control.deregister(target, Hook::Null, event));
            wrong(control.deregister(target, Hook::Null, Event::PktIn));
        });
    }
    core.control(|control| {
        for socket in [raw, control.internal(), control.open_stream().unwrap()] {
            assert_eq!(control.register(socket, Event::PktIn, handler), Err(ControlError::WrongKind));
            assert_eq!(control.deregister(socket, Hook::Rcv, Event::PktIn), Err(ControlError::WrongKind));
            assert_eq!(control.stop_side(socket, Side::Client), Err(ControlError::WrongKind));
            assert_eq!(control.set_buffer(socket, Side::Client, true), Err(ControlError::WrongKind));
            assert_eq!(control.set_buffer_bytes(socket, Side::Client, 1), Err(ControlError::WrongKind));
        }
    });
    // A whole callback's worth of changes is taken, no more; the next may ask again.
    core.control(|control| {
        for _ in 0..MAX_COMMANDS {
            assert_eq!(control.register(flow, Event::PktIn, handler), Ok(()));
        }
        assert_eq!(control.register(flow, Event::PktIn, handler), Err(ControlError::Again));
        assert_eq!(control.stop_side(flow, Side::Client), Err(ControlError::Again));
    });
    core.control(|control| assert_eq!(control.register(flow, Event::PktIn, handler), Ok(())));
    pass(&mut core, &talk.close());
    let is_bad = |result| assert!(matches!(result, Err(ControlError::BadDescriptor(_))), "{result:?}");
    core.control(|control| {
        is_bad(control.register(flow, Event::PktIn, handler));
        is_bad(control.register(Descriptor::from_raw(-1), Event::PktIn, handler));
        control.close(socket).unwrap();
        is_bad(control.deregister(socket, Hook::Rcv, Event::PktIn));
    });
    finish(&mut core);
    core.control(|control| {
        let shut = Err(ControlError::ShutDown);
        assert_eq!(control.register(socket, Event::PktIn, handler), shut);
        assert_eq!(control.stop_side(socket, Side::Client), shut);
    });
}

/// A callback that has closed its own monitor, and opened another in its place, asks for nothing of the new one.
#[test]
fn what_a_closed_monitor_still_asks_for_does_not_reach_its_successor() {
    let notes = Notes::default();
    let mut successor = Plain::new("successor", ());
    let handler = noting(&mut successor, &notes, "successor");
    let successor = RefCell::new(Some(successor.register(Event::PktIn, handler)));
    let own: Rc<Cell<Option<Descriptor>>> = Rc::default();
    let socket = own.clone();
    let mut monitor = Plain::new("first", ());
    let timer = monitor.timer_handler(|_| panic!("its monitor is closed"));
    let mine = monitor.rcv_handler(|_| panic!("its monitor is closed"));
    let monitor = monitor.on_snd(Event::PktIn, move |cx| {
        cx.conn.control().close(socket.get().unwrap()).unwrap();
        cx.conn.control().open(successor.take().unwrap()).unwrap();
        assert!(cx.conn.register(Event::PktIn, mine).is_err());
        assert!(cx.conn.set_timer(Timer::after(std::time::Duration::from_millis(1)), timer).is_err());
        let _ = cx.conn.deregister(Hook::Rcv, Event::PktIn);
        let _ = cx.conn.stop_side(Side::Server);
        cx.conn.stop();
    });
    let (mut core, opened) = core_with(Config::default(), monitor);
    own.set(Some(opened));
    pass(&mut core, &[Talk::new(1).syn()]);
    assert!(take(&notes).is_empty(), "it sees later flows only");
    pass(&mut core, &[Talk::new(2).syn()]);
    assert_eq!(take(&notes), ["successor"]);
    assert_eq!(core.panics(), 0);
    finish(&mut core);
}

/// NEW_DATA of one flow: from the next byte on, and no byte is kept once nobody wants it.
#[test]
fn a_handler_for_new_data_reads_from_the_next_byte_on() {
    let read = Rc::new(RefCell::new(Vec::<(u64, Vec<u8>)>::new()));
    let note = read.clone();
    let mut monitor = Plain::new("late reader", ());
    let reader = monitor.data_handler(move |cx| {
        let side = cx.conn.side();
        let (position, mut bytes) = (cx.conn.position(side), [0; 64]);
        let len = cx.conn.peek(side, &mut bytes).unwrap();
        note.borrow_mut().push((position, bytes[..len].to_vec()));
    });
    let idle = monitor.data_handler(|_| ());
    let (monitor, sockets) = with_sockets(monitor);
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    pass(&mut core, &talk.handshake());
    pass(&mut core, &[talk.data(Side::Client, b"not read"), talk.ahead(Side::Client, 3, b"ahead")]);
    let flow = sockets.borrow()[0];
    core.control(|control| control.register(flow, Event::NewData, reader)).unwrap();
    pass(&mut core, &[talk.data(Side::Client, b"one"), talk.data(Side::Server, b"answer")]);
    // What came ahead came while nobody read: its bytes are known to be there, and are not.
    assert_eq!(read.borrow()[0], (8, b"one".to_vec()));
    assert_eq!(read.borrow().last(), Some(&(0, b"answer".to_vec())));
    core.control(|control| control.register(flow, Event::NewData, idle)).unwrap();
    pass(&mut core, &[talk.data(Side::Server, b"kept")]);
    assert!(core.stack().reassembly_bytes() > 0);
    core.control(|control| control.deregister(flow, Hook::Null, Event::NewData)).unwrap();
    assert_eq!(core.stack().reassembly_bytes(), 0);
    let told = read.borrow().len();
    pass(&mut core, &[talk.data(Side::Server, b"unheard")]);
    assert_eq!(read.borrow().len(), told);
    assert_eq!(core.panics(), 0);
    finish(&mut core);
}

/// The four sets that a flow is switched among: whether each of two events is handled.
fn switch(control: &mut Control, flow: Descriptor, to: u32, handler: Handler<AtRcv>) {
    for (bit, event) in [(1, Event::PktIn), (2, Event::TcpStateChange)] {
        let changed = if to & bit != 0 {
            control.register(flow, event, handler)
        } else {
            control.deregister(flow, Hook::Rcv, event)
        };
        changed.unwrap();
    }
}

/// In whatever order built-in events were registered: their own order is fixed, so the tables are equal.
#[test]
fn spec_4_2_equal_handlers_are_one_table_in_whatever_order_they_came() {
    let mut monitor = Plain::new("order", ());
    let handler = monitor.rcv_handler(|_| ());
    let (monitor, sockets) = with_sockets(monitor);
    let (mut core, _) = core_with(Config::default(), monitor);
    let events = [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit];
    for (number, order) in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]].into_iter().enumerate() {
        pass(&mut core, &[Talk::new(number as u32).syn()]);
        let flow = sockets.borrow()[number];
        for at in order {
            core.control(|control| control.register(flow, events[at], handler)).unwrap();
        }
        if number == 0 {
            assert_eq!(core.handler_tables(), 5, "the listener's, and one after each step");
        }
    }
    let flows = sockets.borrow().clone();
    for to in [0, 3, 1, 2, 3] {
        for flow in &flows {
            core.control(|control| switch(control, *flow, to, handler));
        }
    }
    // Sixteen are possible with four events, whatever way they were reached.
    assert!(core.handler_tables() <= 16, "{} tables", core.handler_tables());
    finish(&mut core);
}

/// The last number of 65,535 sets is in use: flows keep what they have, new ones that would need another set are not
/// monitored, both are counted, and when flows end everything is possible again.
#[test]
fn spec_4_2_when_all_sets_are_in_use_flows_keep_theirs() {
    let flows = 65_535;
    let mut monitor = Plain::new("many", ());
    let handler = monitor.rcv_handler(|_| ());
    let (monitor, sockets) = with_sockets(monitor.without_buffers());
    let (mut core, socket) = core_with(Config::default(), monitor);
    for number in 0..flows {
        let mut talk = Talk::new(number);
        pass(&mut core, &[talk.syn()]);
        let flow = sockets.borrow()[number as usize];
        core.control(|control| control.set_buffer_bytes(flow, Side::Client, u64::from(number) + 1)).unwrap();
    }
    // The set that flows begin with took a number, too, as long as anybody needed one more.
    let refused = core.unchanged_handlers();
    assert!(refused <= 1, "{refused}");
    let mut more = Vec::new();
    for number in flows..flows + 10 {
        pass(&mut core, &[Talk::new(number).syn()]);
        let Some(flow) = sockets.borrow().get(number as usize).copied() else { continue };
        core.control(|control| control.set_buffer_bytes(flow, Side::Client, u64::from(number) + 1)).unwrap();
        more.push(flow);
    }
    // Each of the ten was refused its monitor or its change.
    assert_eq!(core.unmonitored_flows() + core.unchanged_handlers() - refused, 10);
    let first = sockets.borrow()[0];
    let before = core.unchanged_handlers();
    core.control(|control| control.register(first, Event::PktIn, handler)).unwrap();
    // Its own set is given up only once another one is there.
    assert_eq!(core.unchanged_handlers() - before, 1);
    core.advance(mos_core::time::Timestamp::from_millis(1_000_000));
    assert_eq!(core.stack().live_flows(), 0);
    let number = flows + 100;
    let known = sockets.borrow().len();
    pass(&mut core, &[Talk::new(number).syn()]);
    let flow = sockets.borrow()[known];
    let before = core.unchanged_handlers();
    core.control(|control| control.set_buffer_bytes(flow, Side::Client, 7)).unwrap();
    assert_eq!(core.unchanged_handlers(), before);
    assert!(core.handler_tables() < 70_000);
    core.close(socket).unwrap();
    finish(&mut core);
}
