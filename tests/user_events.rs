//! User-defined events (spec section 4): which filters are asked, in which order callbacks run, and what filters raise.

use std::cell::RefCell;
use std::rc::Rc;

use mos_core::config::Config;
use mos_monitor::{Event, EventId, FilterKey, Hook, Monitor, RaiseError, RawMonitor, Side, UserEvent};

use crate::support::talk::Talk;
use crate::support::{Frame, batch, core_with, feed, finish};

/// What was asked and called, in order.
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

type Plain = Monitor<(), ()>;

fn plain(name: &str) -> Plain {
    Monitor::new(name, ())
}

/// An event whose filter notes that it was asked, and says `answer`.
fn asked(
    monitor: &mut Plain,
    notes: &Notes,
    name: &'static str,
    parent: impl Into<EventId>,
    answer: bool,
) -> UserEvent {
    let notes = notes.clone();
    monitor.define(parent, move |_| {
        notes.add(format!("{name}?"));
        answer
    })
}

/// Notes that the event happens, at RCV.
fn called(monitor: Plain, notes: &Notes, name: &'static str, event: impl Into<EventId>) -> Plain {
    let notes = notes.clone();
    monitor.on_rcv(event, move |_| notes.add(name))
}

/// What is noted while `frames` pass, one by one.
fn noted(monitor: Plain, notes: &Notes, frames: &[Frame]) -> Vec<String> {
    let (mut core, _) = core_with(Config::default(), monitor);
    feed(&mut core, &mut batch(frames), 1);
    let all = notes.take();
    finish(&mut core);
    assert_eq!(core.panics(), 0);
    all
}

fn syn() -> Vec<Frame> {
    vec![Talk::new(1).syn()]
}

#[test]
fn spec_4_3_the_parents_callback_comes_first_and_its_filter_is_asked_once() {
    let notes = Notes::default();
    let mut monitor = plain("nested");
    let outer = asked(&mut monitor, &notes, "outer", Event::PktIn, true);
    let inner = asked(&mut monitor, &notes, "inner", outer, true);
    // Registered from below.
    let monitor = called(monitor, &notes, "inner", inner);
    let monitor = called(monitor, &notes, "outer", outer);
    let monitor = called(monitor, &notes, "packet", Event::PktIn);
    assert_eq!(noted(monitor, &notes, &syn()), ["packet", "outer?", "outer", "inner?", "inner"]);
}

#[test]
fn spec_4_3_siblings_in_registration_order() {
    let notes = Notes::default();
    let mut monitor = plain("siblings");
    let names = ["a", "b", "c", "d"];
    let events = names.map(|name| asked(&mut monitor, &notes, name, Event::PktIn, true));
    let under_a = asked(&mut monitor, &notes, "a1", events[0], true);
    for at in [2, 0, 3, 1] {
        monitor = called(monitor, &notes, names[at], events[at]);
    }
    // What is registered below `a` last comes with `a`, not last.
    let monitor = called(monitor, &notes, "a1", under_a);
    assert_eq!(noted(monitor, &notes, &syn()), ["c?", "c", "a?", "a", "a1?", "a1", "d?", "d", "b?", "b"]);
}

#[test]
fn spec_4_3_registering_again_keeps_the_place_and_takes_the_new_callback() {
    let notes = Notes::default();
    let mut monitor = plain("again");
    let [a, b] = ["a", "b"].map(|name| asked(&mut monitor, &notes, name, Event::PktIn, true));
    let monitor = called(monitor, &notes, "old a", a);
    let monitor = called(monitor, &notes, "b", b);
    let monitor = called(monitor, &notes, "new a", a);
    assert_eq!(noted(monitor, &notes, &syn()), ["a?", "new a", "b?", "b"]);
}

#[test]
fn spec_4_3_a_filter_that_says_no_skips_all_below_it() {
    let notes = Notes::default();
    let mut monitor = plain("gate");
    let shut = asked(&mut monitor, &notes, "shut", Event::PktIn, false);
    let below = asked(&mut monitor, &notes, "below", shut, true);
    let deeper = asked(&mut monitor, &notes, "deeper", below, true);
    let beside = asked(&mut monitor, &notes, "beside", Event::PktIn, true);
    let mut monitor = monitor;
    for (name, event) in [("shut", shut), ("below", below), ("deeper", deeper), ("beside", beside)] {
        monitor = called(monitor, &notes, name, event);
    }
    assert_eq!(noted(monitor, &notes, &syn()), ["shut?", "beside?", "beside"]);
}

#[test]
fn spec_4_3_without_a_callback_only_what_leads_to_one_is_asked() {
    let notes = Notes::default();
    let mut monitor = plain("paths");
    let path = asked(&mut monitor, &notes, "path", Event::PktIn, true);
    let goal = asked(&mut monitor, &notes, "goal", path, true);
    let _idle = asked(&mut monitor, &notes, "idle", Event::PktIn, true);
    let _idle_below = asked(&mut monitor, &notes, "idle below", path, true);
    let monitor = called(monitor, &notes, "goal", goal);
    assert_eq!(noted(monitor, &notes, &syn()), ["path?", "goal?", "goal"]);
}

#[test]
fn spec_4_events_are_looked_at_only_at_hooks_where_somebody_registered_them() {
    let notes = Notes::default();
    let mut monitor = plain("hooks");
    let hook = notes.clone();
    let event = monitor.define(Event::PktIn, move |cx| {
        hook.add(format!("{:?} {:?}?", cx.conn.hook(), cx.conn.side()));
        true
    });
    let (snd, rcv) = (notes.clone(), notes.clone());
    let monitor = monitor
        .on_snd(event, move |cx| {
            assert_eq!(cx.conn.event(), EventId::User(event));
            snd.add("snd");
        })
        .on_rcv(event, move |cx| {
            assert_eq!((cx.conn.event(), cx.conn.hook()), (EventId::User(event), Hook::Rcv));
            rcv.add("rcv");
        });
    assert_eq!(noted(monitor, &notes, &syn()), ["Snd Client?", "snd", "Rcv Server?", "rcv"]);
}

/// Every built-in event of flows can be the root of others, at each of its hooks.
#[test]
fn spec_4_1_every_built_in_event_has_events_below_it() {
    let mut talk = Talk::new(4);
    let mut frames = Vec::from(talk.handshake());
    frames.push(talk.data(Side::Client, b"question"));
    frames.push(talk.ahead(Side::Client, -8, b"question"));
    frames.push(talk.ahead(Side::Client, 1 << 20, b"astray"));
    frames.extend(talk.close());
    for event in [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd] {
        for hook in [Hook::Snd, Hook::Rcv] {
            let notes = Notes::default();
            let (base, user, outer) = (notes.clone(), notes.clone(), notes.clone());
            let mut monitor = plain("root");
            let below = monitor.define(event, |_| true);
            let nested = monitor.define(below, move |_| {
                outer.add("nested?");
                true
            });
            let monitor = match hook {
                Hook::Snd => {
                    monitor.on_snd(nested, move |_| user.add("nested")).on_snd(event, move |_| base.add("base"))
                }
                _ => monitor.on_rcv(nested, move |_| user.add("nested")).on_rcv(event, move |_| base.add("base")),
            };
            let (mut core, _) = core_with(Config::default(), monitor);
            feed(&mut core, &mut batch(&frames), 1);
            finish(&mut core);
            let all = notes.take();
            assert_eq!(all.len() % 3, 0, "{event:?} at {hook:?}");
            assert!(
                all.chunks(3).all(|three| three == ["base", "nested?", "nested"]),
                "{event:?} at {hook:?}: {all:?}"
            );
            // Nothing is repeated to a sender.
            assert_eq!(all.is_empty(), (event, hook) == (Event::Rexmit, Hook::Snd), "{event:?} at {hook:?}");
        }
    }
    let notes = Notes::default();
    let [a, b, c] = [(); 3].map(|()| notes.clone());
    let mut monitor = plain("null");
    let server = monitor.define(Event::NewData, |cx| cx.conn.side() == Side::Server);
    let long = monitor.define(server, |cx| cx.conn.unread_len(Side::Server) >= 8);
    let error = monitor.define(Event::Error, |_| true);
    let monitor = monitor
        .on_new_data(move |_| a.add("data"))
        .on_data_event(long, move |cx| {
            b.add("long");
            cx.conn.consume_all();
        })
        .on_error_event(error, move |cx| c.add(cx.reason().name()));
    assert_eq!(noted(monitor, &notes, &frames), ["data", "long", "window"]);
}

/// Defect 24: whether an event can be registered at a hook is judged on the built-in event that it descends from, however
/// many lie between them.
#[test]
fn spec_1_6_register_callback_hooks_are_judged_on_the_root() {
    let deep = |root: Event, levels: usize| {
        let mut monitor = plain("deep");
        let mut event = EventId::Builtin(root);
        for _ in 0..levels {
            event = monitor.define(event, |_| true).into();
        }
        (monitor, event)
    };
    let panics =
        |register: Box<dyn FnOnce()>| std::panic::catch_unwind(std::panic::AssertUnwindSafe(register)).is_err();
    for levels in [0, 1, 2, 3, 13] {
        for root in [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd] {
            let register = move |at: usize| {
                let (monitor, event) = deep(root, levels);
                let _ = match at {
                    0 => monitor.on_snd(event, |_| ()),
                    1 => monitor.on_rcv(event, |_| ()),
                    2 => monitor.on_data_event(event, |_| ()),
                    3 => monitor.on_error_event(event, |_| ()),
                    _ => monitor.on_orphan_event(event, |_| ()),
                };
            };
            for at in 0..5 {
                assert_eq!(panics(Box::new(move || register(at))), at > 1, "{root:?}, {levels} above, place {at}");
            }
        }
        for (root, fits) in [(Event::NewData, 2), (Event::Error, 3)] {
            for at in 0..5 {
                let register = move || {
                    let (monitor, event) = deep(root, levels);
                    let _ = match at {
                        0 => monitor.on_snd(event, |_| ()),
                        1 => monitor.on_rcv(event, |_| ()),
                        2 => monitor.on_data_event(event, |_| ()),
                        3 => monitor.on_error_event(event, |_| ()),
                        _ => monitor.on_orphan_event(event, |_| ()),
                    };
                };
                assert_eq!(panics(Box::new(register)), at != fits, "{root:?}, {levels} above, place {at}");
            }
        }
    }
    assert!(
        panics(Box::new(|| {
            let _ = plain("orphan").define(Event::Orphan, |_| true);
        })),
        "packets without a flow"
    );
}

#[test]
fn spec_4_1_another_monitors_events_are_refused() {
    let mut one = plain("one");
    let event = one.define(Event::PktIn, |_| true);
    let panics = |try_it: Box<dyn FnOnce()>| std::panic::catch_unwind(std::panic::AssertUnwindSafe(try_it)).is_err();
    assert!(panics(Box::new(move || drop(plain("two").on_rcv(event, |_| ())))));
    assert!(panics(Box::new(move || {
        let _ = plain("two").define(event, |_| true);
    })));
    assert!(panics(Box::new(move || {
        let _ = plain("two").alloc(event);
    })));
}

#[test]
fn spec_4_1_defining_the_same_twice_is_one_event() {
    let notes = Notes::default();
    let mut monitor = plain("keyed");
    let key = |function: usize, argument: &[u8]| FilterKey { function, argument: argument.into() };
    let first = notes.clone();
    let event = monitor.define_keyed(Event::PktIn, key(7, b"argument"), move |_| {
        first.add("first?");
        true
    });
    assert_eq!(event.number(), 4096);
    let second = notes.clone();
    let same = monitor.define_keyed(Event::PktIn, key(7, b"argument"), move |_| {
        second.add("second?");
        true
    });
    assert_eq!(same, event);
    // Another parent, another function, another argument, none.
    let others = [
        monitor.define_keyed(Event::Rexmit, key(7, b"argument"), |_| true),
        monitor.define_keyed(event, key(7, b"argument"), |_| true),
        monitor.define_keyed(Event::PktIn, key(8, b"argument"), |_| true),
        monitor.define_keyed(Event::PktIn, key(7, b"other"), |_| true),
        monitor.define_keyed(Event::PktIn, key(7, b""), |_| true),
        // Without a key nothing is the same.
        monitor.define(Event::PktIn, |_| true),
    ];
    let numbers: Vec<u32> = others.iter().map(|event| event.number()).collect();
    assert_eq!(numbers, [4097, 4098, 4099, 4100, 4101, 4102]);
    let monitor = called(monitor, &notes, "event", event);
    let monitor = called(monitor, &notes, "same", same);
    assert_eq!(noted(monitor, &notes, &syn()), ["first?", "same"]);
}

/// Defects 24 and 27: no level is too deep, and none costs the thread's stack.
#[test]
fn spec_4_3_nesting_a_thousand_deep_is_walked() {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let notes = Notes::default();
    let mut monitor = plain("deep");
    let mut event = EventId::Builtin(Event::PktIn);
    for level in 0..1000_u32 {
        let asked = asked.clone();
        event = monitor
            .define(event, move |_| {
                asked.borrow_mut().push(level);
                true
            })
            .into();
    }
    let monitor = called(monitor, &notes, "bottom", event);
    assert_eq!(noted(monitor, &notes, &syn()), ["bottom"]);
    assert_eq!(*asked.borrow(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn spec_4_4_a_raised_event_happens_once_in_that_walk_only() {
    let notes = Notes::default();
    let mut monitor = plain("raise");
    let alarm = monitor.alloc(Event::PktIn);
    let note = notes.clone();
    let detector = monitor.define(Event::PktIn, move |cx| {
        note.add("detector?");
        let has_payload = cx.conn.packet().is_some_and(|packet| packet.packet.payload_len > 0);
        if has_payload {
            for _ in 0..3 {
                assert_eq!(cx.raise(alarm), Ok(()));
            }
        }
        false
    });
    // The detector has a callback, so that it is asked; what it raises comes after the others.
    let monitor = called(monitor, &notes, "alarm", alarm);
    let monitor = called(monitor, &notes, "detector", detector);
    let mut talk = Talk::new(5);
    let mut frames = Vec::from(talk.handshake());
    frames.push(talk.data(Side::Client, b"payload"));
    frames.push(talk.ack(Side::Server));
    assert_eq!(
        noted(monitor, &notes, &frames),
        ["detector?", "detector?", "detector?", "detector?", "alarm", "detector?"]
    );
}

/// mOS's own case: the filter of an event raises what was allocated below it.
#[test]
fn spec_4_4_the_parents_filter_raises_and_gates() {
    for (answer, expected) in
        [(true, &["parent?", "parent", "alarm", "below alarm?", "below alarm"][..]), (false, &["parent?"])]
    {
        let notes = Notes::default();
        let mut monitor = plain("raise");
        let (note, slot) = (notes.clone(), Rc::new(RefCell::new(None)));
        let raises = slot.clone();
        let parent = monitor.define(Event::PktIn, move |cx| {
            note.add("parent?");
            let alarm: Option<UserEvent> = *raises.borrow();
            assert_eq!(cx.raise(alarm.unwrap()), Ok(()));
            answer
        });
        let alarm = monitor.alloc(parent);
        slot.replace(Some(alarm));
        let below = asked(&mut monitor, &notes, "below alarm", alarm, true);
        let monitor = called(monitor, &notes, "below alarm", below);
        let monitor = called(monitor, &notes, "alarm", alarm);
        let monitor = called(monitor, &notes, "parent", parent);
        assert_eq!(noted(monitor, &notes, &syn()), expected, "{answer}");
    }
}

#[test]
fn spec_4_4_raising_what_was_allocated_elsewhere_is_an_error() {
    let mut other = plain("other");
    let foreign = other.alloc(Event::PktIn);
    let mut monitor = plain("raise");
    let [below_error, beside] = [monitor.alloc(Event::Error), monitor.alloc(Event::Rexmit)];
    let defined = monitor.define(Event::PktIn, |_| true);
    let below_defined = monitor.alloc(defined);
    let orphan = monitor.alloc_orphan(Event::Orphan);
    let results = Rc::new(RefCell::new(Vec::new()));
    let out = results.clone();
    let asking = monitor.define(Event::PktIn, move |cx| {
        for event in [foreign, below_error, beside, defined, below_defined, orphan] {
            out.borrow_mut().push(cx.raise(event));
        }
        true
    });
    let notes = Notes::default();
    let monitor = called(monitor, &notes, "asking", asking);
    let monitor = called(monitor, &notes, "below defined", below_defined);
    assert_eq!(noted(monitor, &notes, &syn()), ["asking"]);
    assert_eq!(*results.borrow(), [Err(RaiseError(asking)); 6]);
}

/// What an inner filter raises happens below the event above it, where it was allocated.
#[test]
fn spec_4_4_inner_filters_raise_for_those_above() {
    let notes = Notes::default();
    let mut monitor = plain("inner");
    let outer = asked(&mut monitor, &notes, "outer", Event::PktIn, true);
    let [for_outer, for_packet] = [monitor.alloc(outer), monitor.alloc(Event::PktIn)];
    let inner = monitor.define(outer, move |cx| cx.raise(for_outer).and(cx.raise(for_packet)).is_ok());
    let mut monitor = monitor;
    for (name, event) in [("for packet", for_packet), ("for outer", for_outer), ("inner", inner)] {
        monitor = called(monitor, &notes, name, event);
    }
    assert_eq!(noted(monitor, &notes, &syn()), ["outer?", "inner", "for outer", "for packet"]);
}

/// Packets without a flow have the same rules.
#[test]
fn spec_4_2_orphans_and_raw_packets_have_trees_of_their_own() {
    let frames = vec![Talk::new(1).ack(Side::Client), Talk::new(2).ack(Side::Server)];
    let from_server = |port: Option<u16>| port == Some(80);
    let expected = ["all", "server?", "all", "server?", "server", "inner", "alarm"];

    let notes = Notes::default();
    let [a, b, c, d, e] = [(); 5].map(|()| notes.clone());
    let mut monitor = plain("orphans");
    let alarm = monitor.alloc_orphan(Event::Orphan);
    let server = monitor.define_orphan(Event::Orphan, move |cx| {
        a.add("server?");
        from_server(Some(cx.packet().source().port()))
    });
    let inner = monitor.define_orphan(server, move |cx| cx.raise(alarm) == Some(Ok(())));
    let monitor = monitor
        .on_orphan_event(alarm, move |cx| {
            assert_eq!(cx.raise(alarm), None, "a callback is no filter");
            b.add("alarm");
        })
        .on_orphan_event(inner, move |_| c.add("inner"))
        .on_orphan_event(server, move |_| d.add("server"))
        .on_orphan(move |_| e.add("all"));
    assert_eq!(noted(monitor, &notes, &frames), expected);

    let notes = Notes::default();
    let [a, b, c, d, e] = [(); 5].map(|()| notes.clone());
    let mut raw = RawMonitor::new("raw", ());
    let alarm = raw.alloc(Event::PktIn);
    let server = raw.define(Event::PktIn, move |cx| {
        a.add("server?");
        from_server(Some(cx.packet().source().port()))
    });
    let inner = raw.define(server, move |cx| cx.raise(alarm) == Some(Ok(())));
    let raw = raw
        .on_event(alarm, move |_| b.add("alarm"))
        .on_event(inner, move |_| c.add("inner"))
        .on_event(server, move |_| d.add("server"))
        .on_packet(move |_| e.add("all"));
    let (mut core, _) = core_with(Config::default(), plain("nobody"));
    core.open_raw(raw).unwrap();
    feed(&mut core, &mut batch(&frames), 1);
    assert_eq!(notes.take(), expected);
}

/// D24 in filters: after a monitor has closed itself in one, nothing of it is called, not even what that filter lets happen.
#[test]
fn d24_a_filter_that_closes_its_monitor_is_the_last_call() {
    for place in ["flow", "orphan", "raw"] {
        let notes = Notes::default();
        let socket = Rc::new(RefCell::new(None));
        let (own, filter_notes, [a, b]) = (socket.clone(), notes.clone(), [(); 2].map(|()| notes.clone()));
        let frames = vec![Talk::new(1).syn(), Talk::new(2).ack(Side::Client), Talk::new(3).ack(Side::Client)];
        let mut core = mos_monitor::Core::new(Config::default());
        let descriptor = if place == "raw" {
            let mut raw = RawMonitor::new("raw", ());
            let event = raw.define(Event::PktIn, move |cx| {
                filter_notes.add("filter");
                cx.control.close(own.borrow().unwrap()).is_ok()
            });
            let other = raw.define(Event::PktIn, move |_| {
                a.add("later filter");
                true
            });
            core.open_raw(raw.on_event(event, move |_| b.add("called")).on_event(other, |_| ())).unwrap()
        } else if place == "orphan" {
            let mut monitor = plain("orphan");
            let event = monitor.define_orphan(Event::Orphan, move |cx| {
                filter_notes.add("filter");
                cx.control.close(own.borrow().unwrap()).is_ok()
            });
            let other = monitor.define_orphan(Event::Orphan, move |_| {
                a.add("later filter");
                true
            });
            core.open(monitor.on_orphan_event(event, move |_| b.add("called")).on_orphan_event(other, |_| ())).unwrap()
        } else {
            let mut monitor = plain("flow");
            let event = monitor.define(Event::PktIn, move |cx| {
                filter_notes.add("filter");
                cx.conn.control().close(own.borrow().unwrap()).is_ok()
            });
            let other = monitor.define(Event::PktIn, move |_| {
                a.add("later filter");
                true
            });
            core.open(monitor.on_rcv(event, move |_| b.add("called")).on_rcv(other, |_| ())).unwrap()
        };
        socket.replace(Some(descriptor));
        feed(&mut core, &mut batch(&frames), 64);
        assert_eq!(notes.take(), ["filter"], "{place}");
    }
}

/// Several monitors: each has its tree, and what towards the server is walked first to last is walked back to the client.
#[test]
fn spec_4_3_several_monitors_walk_their_events_in_wire_order() {
    let notes = Notes::default();
    let mut core = mos_monitor::Core::new(Config::default());
    for name in ["one", "two", "three"] {
        let mut monitor = plain(name);
        let [filter, snd, rcv] = [(); 3].map(|()| notes.clone());
        let event = monitor.define(Event::PktIn, move |_| {
            filter.add(format!("{name}?"));
            name != "two"
        });
        core.open(monitor.on_snd(event, move |_| snd.add(name)).on_rcv(event, move |_| rcv.add(name))).unwrap();
    }
    let mut talk = Talk::new(6);
    feed(&mut core, &mut batch(&[talk.syn()]), 1);
    let towards_server = ["one?", "one", "two?", "three?", "three"];
    assert_eq!(notes.take(), [towards_server, towards_server].concat());
    feed(&mut core, &mut batch(&[talk.syn_ack()]), 1);
    let towards_client = ["three?", "three", "two?", "one?", "one"];
    assert_eq!(notes.take(), [towards_client, towards_client].concat());
}
