//! Receive buffers at run time: switched on and off, made larger and smaller, kept as history; and the memory goes back
//! (spec 1.3 MOS_CLIBUF, MOS_SVRBUF; 6.6).

use std::cell::RefCell;
use std::rc::Rc;

use mos_core::config::Config;
use mos_core::reassembly::SEGMENT_BYTES;
use mos_monitor::{Conn, Core, Descriptor, ErrorReason, Event, Monitor, PeekError, Side, Span};

use crate::support::conversation::payload;
use crate::support::talk::Talk;
use crate::support::{Frame, batch, core_with, feed, finish};

/// What is done with a flow when the next packet is received.
type Todo<At> = Rc<RefCell<Vec<Box<dyn FnMut(&mut Conn<'_, '_, At>)>>>>;

/// A monitor that takes nothing by itself, and does with its flow what is put into `todo`. Its state: the errors.
fn lazy(todo: &Todo<mos_monitor::AtRcv>) -> Monitor<Vec<ErrorReason>, ()> {
    let todo = todo.clone();
    Monitor::new("lazy", Vec::new())
        .with_buffer(Side::Server)
        .on_rcv(Event::PktIn, move |cx| {
            for mut act in todo.take() {
                act(&mut cx.conn);
            }
        })
        .on_error(|cx| cx.state.push(cx.reason()))
}

fn read_all<At>(conn: &mut Conn<'_, '_, At>) -> Vec<u8> {
    let mut all = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        match conn.peek(Side::Server, &mut all[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(PeekError::Missing(missing)) => {
                all[len..][..missing as usize].fill(b'?');
                len += missing as usize;
            }
        }
    }
    all.truncate(len);
    all
}

struct Bench {
    core: Core,
    talk: Talk,
    todo: Todo<mos_monitor::AtRcv>,
    socket: Descriptor,
    sent: Vec<u8>,
}

impl Bench {
    fn new(
        config: Config,
        change: impl FnOnce(Monitor<Vec<ErrorReason>, ()>) -> Monitor<Vec<ErrorReason>, ()>,
    ) -> Self {
        let todo = Todo::default();
        let (mut core, socket) = core_with(config, change(lazy(&todo)));
        let mut talk = Talk::new(1);
        feed(&mut core, &mut batch(&talk.handshake()), 64);
        Self { core, talk, todo, socket, sent: Vec::new() }
    }

    /// `count` segments of 1000 bytes from the client, in one burst.
    fn send(&mut self, count: usize) {
        let mut frames = Vec::new();
        for _ in 0..count {
            let bytes = payload(self.sent.len() as u32 + 1, 1000);
            frames.push(self.talk.data(Side::Client, &bytes));
            self.sent.extend(bytes);
        }
        self.feed(&frames);
    }

    fn feed(&mut self, frames: &[Frame]) {
        feed(&mut self.core, &mut batch(frames), 64);
    }

    /// Does something with the flow, in the RCV callback of a pure ACK.
    fn act(&mut self, act: impl FnMut(&mut Conn<'_, '_, mos_monitor::AtRcv>) + 'static) {
        self.todo.borrow_mut().push(Box::new(act));
        let ack = self.talk.ack(Side::Client);
        self.feed(&[ack]);
        assert!(self.todo.borrow().is_empty());
        assert_eq!(self.core.panics(), 0);
    }

    fn read(&mut self) -> Vec<u8> {
        let read: Rc<RefCell<Vec<u8>>> = Rc::default();
        let out = read.clone();
        self.act(move |conn| *out.borrow_mut() = read_all(conn));
        read.take()
    }

    fn errors(&self) -> Vec<ErrorReason> {
        self.core.state::<Vec<ErrorReason>>(self.socket).unwrap().clone()
    }
}

#[test]
fn d7_what_is_unread_is_kept_up_to_the_buffer_and_the_memory_goes_back() {
    let mut bench = Bench::new(Config::default(), |monitor| monitor.buffer_bytes(Side::Server, 10_000));
    bench.send(10);
    assert!(bench.core.stack().reassembly_bytes() >= 10_000);
    assert_eq!(bench.errors(), []);
    bench.send(3);
    let spans = [0, 1000, 2000].map(|start| ErrorReason::Overrun(Span::new(start, start + 1000).unwrap()));
    assert_eq!(bench.errors(), spans);
    let expected = [&[b'?'; 3000], &bench.sent[3000..]].concat();
    assert!(bench.read() == expected);
    // What was taken outside of NEW_DATA goes with the next delivery.
    bench.send(1);
    assert!(bench.core.stack().reassembly_bytes() <= 2 * SEGMENT_BYTES);
    finish(&mut bench.core);
}

#[test]
fn spec_2_4_a_buffer_that_grows_loses_nothing() {
    let mut bench = Bench::new(Config::default(), |monitor| monitor.buffer_bytes(Side::Server, 5000));
    bench.send(5);
    bench.act(|conn| conn.set_buffer_bytes(Side::Server, 50_000).unwrap());
    bench.send(45);
    assert_eq!(bench.errors(), []);
    let sent = bench.sent.clone();
    assert!(bench.read() == sent);
    finish(&mut bench.core);
}

/// What is unread stays until it is read; only then are fewer bytes kept.
#[test]
fn spec_2_4_a_buffer_that_shrinks_keeps_what_is_unread() {
    let mut bench = Bench::new(Config::default(), |monitor| monitor.buffer_bytes(Side::Server, 50_000));
    bench.send(40);
    bench.act(|conn| conn.set_buffer_bytes(Side::Server, 5000).unwrap());
    assert_eq!(bench.errors(), []);
    let sent = bench.sent.clone();
    assert!(bench.read() == sent, "all that was unread");
    bench.send(5);
    assert_eq!(bench.errors(), []);
    bench.send(1);
    assert!(matches!(bench.errors()[..], [ErrorReason::Overrun(_)]), "{:?}", bench.errors());
    let expected = [&[b'?'; 1000], &bench.sent[41_000..]].concat();
    assert!(bench.read() == expected, "the new size");
    finish(&mut bench.core);
}

#[test]
fn spec_2_4_a_buffer_that_shrinks_within_a_burst_keeps_what_is_unread() {
    let mut bench = Bench::new(Config::default(), |monitor| monitor.buffer_bytes(Side::Server, 50_000));
    let mut frames = Vec::new();
    for _ in 0..40 {
        let bytes = payload(bench.sent.len() as u32 + 1, 1000);
        frames.push(bench.talk.data(Side::Client, &bytes));
        bench.sent.extend(bytes);
    }
    frames.push(bench.talk.ack(Side::Client));
    // The last packet finds 40,000 bytes unread, none of which lie in a buffer yet.
    let end = frames.len() - 1;
    let seen = Rc::new(RefCell::new(0));
    let (todo, again) = (bench.todo.clone(), seen.clone());
    bench.todo.borrow_mut().push(Box::new(move |conn| shrink_at(end, conn, &todo, &again)));
    bench.feed(&frames);
    assert_eq!(*seen.borrow(), end + 1);
    assert_eq!(bench.errors(), []);
    // New bytes take the place of the oldest; the others stay.
    bench.send(1);
    assert_eq!(bench.errors(), [ErrorReason::Overrun(Span::new(0, 1000).unwrap())]);
    let expected = [&[b'?'; 1000], &bench.sent[1000..]].concat();
    assert!(bench.read() == expected);
    finish(&mut bench.core);
}

/// Makes the buffer small with the packet of that number.
fn shrink_at(
    end: usize,
    conn: &mut Conn<'_, '_, mos_monitor::AtRcv>,
    todo: &Todo<mos_monitor::AtRcv>,
    seen: &Rc<RefCell<usize>>,
) {
    *seen.borrow_mut() += 1;
    if *seen.borrow() == end + 1 {
        assert_eq!(conn.unread_len(Side::Server), 40_000);
        conn.set_buffer_bytes(Side::Server, 5000).unwrap();
    } else {
        let (next, seen) = (todo.clone(), seen.clone());
        todo.borrow_mut().push(Box::new(move |conn| shrink_at(end, conn, &next, &seen)));
    }
}

#[test]
fn spec_2_4_a_buffer_switched_off_keeps_nothing_and_on_again_goes_on_with_the_next_byte() {
    let mut bench = Bench::new(Config::default(), |monitor| monitor);
    bench.send(4);
    bench.act(|conn| conn.set_buffer(Side::Server, false).unwrap());
    assert_eq!(bench.core.stack().reassembly_bytes(), 0, "memory of what nobody reads");
    bench.send(4);
    assert_eq!(bench.core.stack().reassembly_bytes(), 0);
    bench.act(|conn| conn.set_buffer(Side::Server, true).unwrap());
    bench.send(4);
    let expected = bench.sent[8000..].to_vec();
    assert!(bench.read() == expected);
    finish(&mut bench.core);
    assert_eq!(bench.errors(), []);
}

/// Bytes that came out of order while nobody read are not there; and nobody waits for them for ever.
#[test]
fn what_came_out_of_order_before_reading_began_is_missing() {
    let mut bench = Bench::new(Config::default(), |monitor| monitor.without_buffer(Side::Server));
    let ahead = bench.talk.ahead(Side::Client, 1000, &[7; 500]);
    bench.feed(&[ahead]);
    bench.act(|conn| conn.set_buffer(Side::Server, true).unwrap());
    let later = bench.talk.ahead(Side::Client, 1500, &[8; 500]);
    bench.feed(&[later]);
    let filler = bench.talk.data(Side::Client, &[1; 1000]);
    bench.feed(&[filler]);
    bench.act(|conn| {
        assert_eq!(conn.fragments(Side::Server)[1..], [Span::new(1500, 2000).unwrap()]);
        assert!(read_all(conn) == [1; 1000]);
    });
    bench.talk.next[0] = bench.talk.next[0].wrapping_add(1000);
    let ack = bench.talk.ack(Side::Server);
    bench.feed(&[ack]);
    assert_eq!(bench.errors(), [ErrorReason::Gap(Span::new(1000, 1500).unwrap())]);
    assert!(bench.read() == [[b'?'; 500], [8; 500]].concat());
    finish(&mut bench.core);
}

/// One of two readers stops reading: the other one loses nothing. Sizes: the larger counts, for whoever reads.
#[test]
fn spec_2_4_two_readers_with_buffers_of_other_sizes() {
    let todos: [Todo<mos_monitor::AtRcv>; 2] = Default::default();
    let mut core = Core::new(Config::default());
    core.open(lazy(&todos[0]).buffer_bytes(Side::Server, 2000)).unwrap();
    core.open(lazy(&todos[1]).buffer_bytes(Side::Server, 8000)).unwrap();
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.handshake()), 64);
    let sent = payload(1, 8000);
    let frames: Vec<Frame> = sent.chunks(1000).map(|part| talk.data(Side::Client, part)).collect();
    feed(&mut core, &mut batch(&frames), 3);
    let unread: Rc<RefCell<[Vec<u8>; 2]>> = Rc::default();
    for (reader, todo) in todos.iter().enumerate() {
        let unread = unread.clone();
        todo.borrow_mut().push(Box::new(move |conn| {
            let mut some = [0; 8000];
            let len = conn.peek(Side::Server, &mut some).unwrap();
            unread.borrow_mut()[reader] = some[..len].to_vec();
            if reader == 1 {
                conn.set_buffer(Side::Server, false).unwrap();
            }
        }));
    }
    feed(&mut core, &mut batch(&[talk.ack(Side::Client)]), 1);
    assert!(unread.borrow().iter().all(|bytes| *bytes == sent));
    // Now the small one is the only one.
    let more = payload(2, 3000);
    let frames: Vec<Frame> = more.chunks(1000).map(|part| talk.data(Side::Client, part)).collect();
    feed(&mut core, &mut batch(&frames), 1);
    let checked = [&[b'?'; 1000], &more[1000..]].concat();
    todos[0].borrow_mut().push(Box::new(move |conn| assert!(read_all(conn) == checked)));
    feed(&mut core, &mut batch(&[talk.ack(Side::Client)]), 1);
    assert_eq!(core.panics(), 0);
    finish(&mut core);
}

#[test]
fn spec_1_6_ppeek_history_is_kept_from_when_it_is_asked_for() {
    let mut bench = Bench::new(Config::default(), |monitor| monitor);
    bench.send(2);
    bench.read();
    bench.act(|conn| conn.keep_history(1500).unwrap());
    bench.send(2);
    bench.read();
    bench.send(1);
    let expected = bench.sent[2500..5000].to_vec();
    bench.act(move |conn| {
        let mut bytes = [0; 4000];
        assert_eq!(conn.position(Side::Server), 4000);
        // 1000 bytes are unread; the 1500 before the end of the stream would be kept anyway.
        assert_eq!(conn.ppeek(Side::Server, 3500, &mut bytes), 1500);
        assert!(bytes[..1500] == expected[1000..]);
        assert_eq!(conn.ppeek(Side::Server, 3499, &mut bytes), 0);
        assert_eq!(read_all(conn).len(), 1000);
    });
    bench.act(|conn| conn.keep_history(0).unwrap());
    bench.send(1);
    bench.act(|conn| assert_eq!(conn.ppeek(Side::Server, 3600, &mut [0; 8]), 0, "history that nobody wants any more"));
    finish(&mut bench.core);
}

#[test]
fn spec_6_6_fragments_are_the_unread_part_and_what_lies_beyond_holes() {
    let mut bench = Bench::new(Config::default(), |monitor| monitor);
    bench.send(2);
    let frames = [(2500, 100), (4000, 50), (2600, 10)];
    let frames = frames.map(|(ahead, len)| bench.talk.ahead(Side::Client, ahead - 2000, &vec![9; len]));
    bench.feed(&frames);
    let span = |start, end| Span::new(start, end).unwrap();
    bench.act(move |conn| {
        let all = [span(0, 2000), span(2500, 2610), span(4000, 4050)];
        assert_eq!(conn.fragments(Side::Server)[..], all);
        assert_eq!(conn.peek(Side::Server, &mut [0; 500]), Ok(500));
        assert_eq!(conn.fragments(Side::Server)[0], span(500, 2000));
        assert_eq!(read_all(conn).len(), 1500);
        assert_eq!(conn.fragments(Side::Server)[..], all[1..]);
        assert_eq!(conn.ppeek(Side::Server, 2590, &mut [0; 50]), 20);
    });
    finish(&mut bench.core);
}
