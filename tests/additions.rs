//! What is added to monitors that are open, as programs do that register at run time what they have: callbacks, events, filters,
//! timers of the core; and other flows, looked at from any callback.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mos_core::config::Config;
use mos_monitor::{Control, ControlError, Core, Event, Filter, Hook, Monitor, RawMonitor, Side, TcpState, Timer};

use crate::support::talk::Talk;
use crate::support::{Frame, batch, core_with, feed, finish};

#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<String>>>);

impl Notes {
    fn add(&self, note: impl Into<String>) {
        self.0.borrow_mut().push(note.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

fn pass(core: &mut Core, frames: &[Frame]) {
    feed(core, &mut batch(frames), 1);
}

#[test]
fn callbacks_and_events_are_added_from_outside() {
    let notes = Notes::default();
    let (mut core, socket) = core_with(Config::default(), Monitor::<u32, ()>::new("bare", 0));
    let mut before = Talk::new(1);
    pass(&mut core, &before.handshake());
    core.control(|control| {
        let (filtered, called) = (notes.clone(), notes.clone());
        let event = control.define::<u32, ()>(socket, Event::PktIn, move |cx| {
            *cx.state += 1;
            filtered.add("asked");
            cx.conn.last_packet().is_some_and(|packet| packet.info.payload_len > 0)
        })?;
        let handler = control.rcv_handler::<u32, ()>(socket, move |cx| called.add(format!("{} asked", cx.state)))?;
        control.register(socket, event, handler)
    })
    .unwrap();
    let mut after = Talk::new(2);
    pass(&mut core, &after.handshake());
    assert_eq!(notes.take(), ["asked"; 3], "the flow that began later, and the filter says no");
    pass(&mut core, &[before.data(Side::Client, b"data"), after.data(Side::Client, b"data")]);
    assert_eq!(notes.take(), ["asked", "4 asked"]);
    assert_eq!(core.state::<u32>(socket), Some(&4));
    finish(&mut core);
    assert_eq!(core.panics(), 0);
}

#[test]
fn what_a_callback_adds_is_there_before_the_next_one() {
    let notes = Notes::default();
    let later = notes.clone();
    let monitor = Monitor::<(), bool>::new("grows", ()).on_snd(Event::PktIn, move |cx| {
        if std::mem::replace(cx.flow, true) {
            return;
        }
        let (socket, later) = (cx.conn.socket().unwrap(), later.clone());
        let control = cx.conn.control();
        let handler = control.data_handler::<(), bool>(socket, move |cx| {
            later.add(format!("{:?} got {}", cx.conn.side(), cx.conn.unread_len(cx.conn.side())));
            cx.conn.consume_all();
        });
        control.register(socket, Event::NewData, handler.unwrap()).unwrap();
        control.set_buffer(socket, Side::Server, true).unwrap();
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    pass(&mut core, &talk.handshake());
    pass(&mut core, &[talk.data(Side::Client, b"data")]);
    assert_eq!(notes.take(), ["Server got 4"]);
    finish(&mut core);
}

#[test]
fn states_of_other_types_are_refused() {
    let (mut core, socket) = core_with(Config::default(), Monitor::<u32, ()>::new("typed", 0));
    let raw = core.open_raw(RawMonitor::new("raw", 0_u8)).unwrap();
    core.control(|control| {
        let wrong = Err(ControlError::WrongStates);
        assert_eq!(control.snd_handler::<u64, ()>(socket, |_| ()).map(drop), wrong);
        assert_eq!(control.error_handler::<u32, u8>(socket, |_| ()).map(drop), wrong);
        assert_eq!(control.define::<(), ()>(socket, Event::PktIn, |_| true).map(drop), wrong);
        assert_eq!(control.on_packet_event::<u8>(socket, Event::Orphan, |_| ()), wrong);
        assert_eq!(control.on_packet_event::<u32>(raw, Event::PktIn, |_| ()), wrong);
        assert_eq!(control.rcv_handler::<u32, ()>(raw, |_| ()).map(drop), Err(ControlError::WrongKind));
        assert_eq!(
            control.on_packet_event::<u32>(socket, Event::PktIn, |_| ()),
            Err(ControlError::Foreign(Event::PktIn.into())),
            "packets of flows are no orphans"
        );
        control.on_packet_event::<u8>(raw, Event::PktIn, |_| ()).unwrap();
    });
    finish(&mut core);
}

#[test]
fn packets_without_a_flow_have_callbacks_and_events_added() {
    let notes = Notes::default();
    let (mut core, socket) = core_with(Config::default(), Monitor::<(), ()>::new("orphans", ()));
    let raw = core.open_raw(RawMonitor::new("raw", ())).unwrap();
    let add = |control: &mut Control| {
        let (orphan, short, packet, raw_orphan) = (notes.clone(), notes.clone(), notes.clone(), notes.clone());
        control.on_packet_event::<()>(socket, Event::Orphan, move |_| orphan.add("orphan"))?;
        let empty = control.define_packet_event::<()>(socket, Event::Orphan, |cx| cx.packet().payload().is_empty())?;
        control.on_packet_event::<()>(socket, empty, move |_| short.add("empty"))?;
        control.on_packet_event::<()>(raw, Event::PktIn, move |_| packet.add("packet"))?;
        control.on_packet_event::<()>(raw, Event::Orphan, move |_| raw_orphan.add("raw orphan"))
    };
    core.control(add).unwrap();
    let [.., ack] = Talk::new(1).handshake();
    let stray = [ack];
    pass(&mut core, &stray);
    assert_eq!(notes.take(), ["packet", "orphan", "empty", "raw orphan"]);
    core.control(|control| {
        control.off_packet_event::<()>(socket, Event::Orphan)?;
        control.set_packet_filter(raw, Some(Filter::parse("udp").unwrap()))
    })
    .unwrap();
    pass(&mut core, &stray);
    assert_eq!(notes.take(), ["empty"]);
    finish(&mut core);
}

#[test]
fn flows_to_come_are_chosen_anew() {
    let notes = Notes::default();
    let note = notes.clone();
    let monitor = Monitor::<(), ()>::new("chooses", ()).on_snd(Event::ConnStart, move |_| note.add("start"));
    let (mut core, socket) = core_with(Config::default(), monitor);
    core.control(|control| control.set_accept(socket, |packet| packet.source().port() % 2 == 0)).unwrap();
    for port in 1000..1010 {
        pass(&mut core, &Talk::between(([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 80).into(), 1).handshake());
    }
    assert_eq!(notes.take().len(), 5);
    finish(&mut core);
}

#[test]
fn a_monitor_without_ipv6_is_told_nothing_of_it() {
    let notes = Notes::default();
    let [flow, orphan, packet] = [(); 3].map(|()| notes.clone());
    let monitor = Monitor::<(), ()>::new("ipv4", ())
        .without_ipv6()
        .on_snd(Event::ConnStart, move |_| flow.add("flow"))
        .on_orphan(move |_| orphan.add("orphan"));
    let (mut core, socket) = core_with(Config::default(), monitor);
    let raw =
        core.open_raw(RawMonitor::new("raw", ()).without_ipv6().on_packet(move |_| packet.add("packet"))).unwrap();
    let address = |last| std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last);
    let talk = |port| Talk::between((address(1), port).into(), (address(2), 80).into(), 1).handshake();
    pass(&mut core, &talk(1));
    assert!(notes.take().is_empty());
    core.control(|control| {
        control.set_ipv6(socket, true)?;
        control.set_ipv6(raw, true)
    })
    .unwrap();
    pass(&mut core, &talk(2));
    assert_eq!(notes.take(), ["packet", "flow", "packet", "packet"]);
    finish(&mut core);
}

#[test]
fn timers_of_the_core_are_nobodys() {
    let notes = Notes::default();
    let (mut core, socket) = core_with(Config::default(), Monitor::<(), ()>::new("goes", ()));
    let mut talk = Talk::new(1);
    let handshake = talk.handshake();
    let start = handshake[0].time;
    pass(&mut core, &handshake);
    let [once, again, taken] = [(); 3].map(|()| notes.clone());
    core.control(|control| {
        control
            .call_at(Timer::after(Duration::from_millis(20)), move |cx| {
                once.add(format!("once, {} flows", cx.live_flows()));
                let later = once.clone();
                cx.control.call_at(Timer::after(Duration::from_millis(10)), move |_| later.add("set anew")).unwrap();
            })
            .unwrap();
        control.call_at(Timer::every(Duration::from_millis(25)), move |_| again.add("again")).unwrap();
        let id = control.call_at(Timer::after(Duration::from_millis(5)), move |_| taken.add("taken back")).unwrap();
        assert!(control.cancel(id) && !control.cancel(id));
    });
    core.close(socket).unwrap();
    for millis in [10, 20, 25, 30, 50] {
        core.advance(start + Duration::from_millis(millis));
    }
    assert_eq!(notes.take(), ["once, 1 flows", "again", "set anew", "again"]);
    finish(&mut core);
    assert_eq!(core.panics(), 0);
}

#[test]
fn any_flow_is_looked_at_from_any_callback() {
    let notes = Notes::default();
    let note = notes.clone();
    let first = Rc::new(RefCell::new(None));
    let monitor = Monitor::<(), ()>::new("looks", ()).with_buffer(Side::Server).on_rcv(Event::PktIn, move |cx| {
        let own = cx.conn.socket();
        let other = *first.borrow_mut().get_or_insert_with(|| own.unwrap());
        let seen = cx.conn.with_flow(other, |conn| {
            let mut bytes = [0; 16];
            let copied = conn.peek(Side::Server, &mut bytes).unwrap();
            (conn.state(Side::Server), String::from_utf8_lossy(&bytes[..copied]).into_owned(), conn.hook())
        });
        let (state, text, hook) = seen.unwrap();
        note.add(format!("{:?} {state:?} {text}", (own == Some(other), hook == Hook::Null)));
        assert_eq!((cx.conn.hook(), cx.conn.socket()), (Hook::Rcv, own), "as before");
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talks = [1, 2].map(Talk::new);
    for talk in &mut talks {
        pass(&mut core, &talk.handshake());
    }
    notes.take();
    let [one, two] = &mut talks;
    feed(&mut core, &mut batch(&[one.data(Side::Client, b"first")]), 1);
    pass(&mut core, &[two.data(Side::Client, b"second")]);
    let established = Some(TcpState::Established);
    assert_eq!(
        notes.take(),
        [format!("(true, false) {established:?} first"), format!("(false, true) {established:?} ")]
    );
    finish(&mut core);
}
