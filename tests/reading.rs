//! Readers that begin and stop at awkward moments, and reading when memory is short: nothing is lost that nobody was told of.

use std::cell::RefCell;
use std::rc::Rc;

use mos_core::config::Config;
use mos_monitor::{Chunk, Core, ErrorReason, Event, Monitor, OverlapPolicy, Side, Span};

use crate::support::talk::Talk;
use crate::support::{batch, core_with, feed, finish};

/// What NEW_DATA has shown: the offset it began at, and the bytes; `?` for missing ones.
type Shown = Rc<RefCell<Vec<(u64, Vec<u8>)>>>;

fn bytes<'a>(chunks: impl Iterator<Item = Chunk<'a>>) -> Vec<u8> {
    let mut all = Vec::new();
    for chunk in chunks {
        match chunk {
            Chunk::Data(data) => all.extend_from_slice(data),
            Chunk::Missing(len) => all.resize(all.len() + len as usize, b'?'),
        }
    }
    all
}

/// A reader of what the server receives, that takes everything.
fn taker(shown: &Shown) -> Monitor<Vec<ErrorReason>, u32> {
    let shown = shown.clone();
    Monitor::new("taker", Vec::new())
        .on_new_data(move |cx| {
            shown.borrow_mut().push((cx.conn.position(Side::Server), bytes(cx.conn.chunks())));
            cx.conn.consume_all();
        })
        .on_error(|cx| cx.state.push(cx.reason()))
}

/// Reading stops with the first data and begins again with the second, all in one burst: what came in between is not
/// there, and what comes then stands where it belongs.
#[test]
fn reading_that_stops_and_begins_within_a_burst_goes_on_at_the_right_byte() {
    for burst in [1, 64] {
        let shown = Shown::default();
        let monitor = taker(&shown).on_rcv(Event::PktIn, |cx| {
            if cx.conn.side() == Side::Server && cx.conn.packet().unwrap().payload().len() == 3 {
                *cx.flow += 1;
                if *cx.flow < 3 {
                    cx.conn.set_buffer(Side::Server, *cx.flow == 2).unwrap();
                }
            }
        });
        let (mut core, _) = core_with(Config::default(), monitor);
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        frames.extend([b"aaa", b"bbb", b"ccc", b"ddd"].map(|data| talk.data(Side::Client, data)));
        feed(&mut core, &mut batch(&frames), burst);
        let all: Vec<u8> = shown.borrow().iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert_eq!(shown.borrow()[0].0, 6, "burst {burst}");
        assert_eq!(all, b"cccddd", "burst {burst}");
        assert_eq!(core.panics(), 0);
        finish(&mut core);
    }
}

/// A reader that stops when it is told of an overrun leaves no memory behind.
#[test]
fn whoever_stops_reading_in_an_overrun_leaves_nothing() {
    for burst in [1, 64] {
        let monitor = Monitor::<(), ()>::new("lazy", ())
            .with_buffer(Side::Server)
            .buffer_bytes(Side::Server, 1000)
            .on_error(|cx| cx.conn.set_buffer(Side::Server, false).unwrap());
        let (mut core, _) = core_with(Config::default(), monitor);
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        frames.push(talk.data(Side::Client, &[1; 600]));
        feed(&mut core, &mut batch(&frames), 64);
        assert!(core.stack().reassembly_bytes() > 0);
        let frames = [2, 3, 4].map(|byte| talk.data(Side::Client, &[byte; 600]));
        feed(&mut core, &mut batch(&frames), burst);
        assert_eq!(core.stack().reassembly_bytes(), 0, "burst {burst}");
        finish(&mut core);
    }
}

/// Another monitor begins to read while all that the first one has left is missing: the first one still finds that.
#[test]
fn whoever_begins_to_read_leaves_missing_bytes_to_others() {
    let seen: Shown = Shown::default();
    let out = seen.clone();
    let slow = Monitor::<(), ()>::new("slow", ()).on_new_data(move |cx| {
        let side = cx.conn.side();
        out.borrow_mut().push((cx.conn.position(side), bytes(cx.conn.chunks())));
    });
    let late = Monitor::<(), u32>::new("late", ()).with_buffer(Side::Server).without_buffer(Side::Server).on_rcv(
        Event::PktIn,
        |cx| {
            *cx.flow += 1;
            if *cx.flow == 6 {
                cx.conn.set_buffer(Side::Server, true).unwrap();
            }
        },
    );
    let mut core = Core::new(Config::default());
    core.open(slow).unwrap();
    core.open(late).unwrap();
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.handshake()), 1);
    // Ten bytes that were not captured, and the server has them.
    let mut cut = talk.data(Side::Client, &[0; 10]);
    cut.bytes.truncate(cut.bytes.len() - 10);
    let frames = [cut, talk.ack(Side::Server), talk.ack(Side::Client), talk.data(Side::Client, b"data")];
    feed(&mut core, &mut batch(&frames), 1);
    assert_eq!(*seen.borrow(), [(0, b"?".repeat(10)), (0, b"??????????data".to_vec())]);
    finish(&mut core);
}

/// The last copy counts, but there is no memory to keep the first one: it is read where it lies.
#[test]
fn without_memory_a_retransmission_takes_nothing_from_the_burst() {
    for burst in [1, 64] {
        let shown = Shown::default();
        let (mut core, socket) = core_with(
            Config { reassembly_memory_bytes: 0, overlap: OverlapPolicy::Last, ..Config::default() },
            taker(&shown),
        );
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        let data = talk.data(Side::Client, b"data");
        frames.extend([data.clone(), data, talk.data(Side::Client, b"more")]);
        feed(&mut core, &mut batch(&frames), burst);
        let all: Vec<u8> = shown.borrow().iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert_eq!(all, b"datamore", "burst {burst}");
        assert_eq!(core.state::<Vec<ErrorReason>>(socket).unwrap()[..], []);
        finish(&mut core);
    }
}

/// The memory that a retransmission lacked is there again at the end of the burst: what is unread is kept then.
#[test]
fn memory_that_comes_back_within_the_burst_is_used() {
    let shown = Shown::default();
    let out = shown.clone();
    let lazy = Monitor::<Vec<ErrorReason>, ()>::new("lazy", Vec::new())
        .on_new_data(move |cx| {
            out.borrow_mut().push((cx.conn.position(Side::Server), bytes(cx.conn.chunks())));
        })
        .on_error(|cx| cx.state.push(cx.reason()));
    let config = Config { reassembly_memory_bytes: 2048, overlap: OverlapPolicy::Last, ..Config::default() };
    let (mut core, socket) = core_with(config, lazy);
    let (mut talk, mut other) = (Talk::new(1), Talk::new(2));
    feed(&mut core, &mut batch(&[talk.handshake(), other.handshake()].concat()), 64);
    feed(&mut core, &mut batch(&[other.ahead(Side::Client, 1, b"beyond")]), 64);
    assert_eq!(core.stack().reassembly_bytes(), 2048);
    let data = talk.data(Side::Client, b"data");
    feed(&mut core, &mut batch(&[data.clone(), data, other.rst(Side::Client)]), 64);
    feed(&mut core, &mut batch(&[talk.data(Side::Client, b"more")]), 64);
    let last = shown.borrow().last().cloned();
    assert_eq!(last, Some((0, b"datamore".to_vec())));
    let gap = ErrorReason::Gap(Span::new(0, 1).unwrap());
    assert!(core.state::<Vec<ErrorReason>>(socket).unwrap().iter().all(|reason| *reason == gap));
    finish(&mut core);
}

/// What cannot be kept for want of memory is told to those who have not read it, before it goes.
#[test]
fn what_is_left_without_memory_is_an_overrun() {
    for burst in [1, 64] {
        let shown = Shown::default();
        let lazy = Monitor::<Vec<ErrorReason>, ()>::new("lazy", Vec::new())
            .with_buffer(Side::Server)
            .on_error(|cx| cx.state.push(cx.reason()));
        let mut core = Core::new(Config { reassembly_memory_bytes: 0, ..Config::default() });
        let quick = core.open(taker(&shown)).unwrap();
        let lazy = core.open(lazy).unwrap();
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        frames.extend([b"data", b"more"].map(|data| talk.data(Side::Client, data)));
        feed(&mut core, &mut batch(&frames), burst);
        let errors = |core: &Core, socket| core.state::<Vec<ErrorReason>>(socket).unwrap().clone();
        let overruns: &[_] = if burst == 1 { &[(0, 4), (4, 8)] } else { &[(0, 8)] };
        let overruns: Vec<_> =
            overruns.iter().map(|&(start, end)| ErrorReason::Overrun(Span::new(start, end).unwrap())).collect();
        assert_eq!(errors(&core, lazy), overruns, "burst {burst}");
        assert_eq!(errors(&core, quick), []);
        finish(&mut core);
    }
}

/// Two want NEW_DATA, one of them at once; the other one asks for that as well, with a packet that brings no data.
#[test]
fn whoever_asks_for_data_at_once_misses_nothing() {
    for burst in [1, 64] {
        let (first, second) = (Shown::default(), Shown::default());
        let mut core = Core::new(Config::default());
        core.open(taker(&first).immediate()).unwrap();
        let late = taker(&second).on_rcv(Event::PktIn, |cx| {
            *cx.flow += 1;
            if *cx.flow == 5 {
                cx.conn.set_immediate(true).unwrap();
            }
        });
        core.open(late).unwrap();
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        frames.extend([talk.data(Side::Client, b"data"), talk.ack(Side::Server)]);
        frames.extend(talk.close());
        feed(&mut core, &mut batch(&frames), burst);
        assert_eq!(*first.borrow(), [(0, b"data".to_vec())], "burst {burst}");
        assert_eq!(*second.borrow(), [(0, b"data".to_vec())], "burst {burst}");
        finish(&mut core);
    }
}

/// A monitor that comes with a timer is opened with it, or not at all.
#[test]
fn a_monitor_without_a_descriptor_for_its_timer_is_not_opened() {
    let mut core = Core::new(Config::default());
    core.control(|control| while control.open_stream().is_ok() {});
    let (opened, last) = core.control(|control| {
        // The internal one stays; one is free now.
        let _ = control.close(mos_monitor::Descriptor::from_raw(1 << 20 | 7));
        let monitor = Monitor::<(), ()>::new("clock", ()).every(std::time::Duration::from_secs(1), |_| {});
        (control.open(monitor), control.open_stream())
    });
    assert!(opened.is_err());
    assert!(last.is_ok(), "the descriptor is free again");
}
