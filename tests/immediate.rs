//! Immediate delivery: NEW_DATA with the packet that brought it, which can still be dropped there.

use std::cell::RefCell;
use std::rc::Rc;

use mos_core::config::{ChecksumMode, Config};
use mos_core::io::{CaptureReader, Device, FrameBatch, Received};
use mos_core::packet::Verdict;
use mos_monitor::{Chunk, Core, EndReason, Event, Monitor, Side};

use crate::support::talk::Talk;
use crate::support::{Frame, Log, batch, core_with, feed, finish, reader, replay, traces};

const BURSTS: [usize; 3] = [1, 7, 64];

/// Gives the frames to the core and returns what became of each.
fn verdicts(core: &mut Core, frames: &[Frame], burst: usize) -> Vec<Verdict> {
    let mut batch = batch(frames);
    let mut all = Vec::new();
    for start in (0..frames.len()).step_by(burst) {
        all.extend_from_slice(core.process(&mut batch.burst(start..frames.len().min(start + burst))));
    }
    all
}

fn dropped(verdicts: &[Verdict]) -> Vec<usize> {
    verdicts.iter().enumerate().filter(|(_, verdict)| **verdict == Verdict::Drop).map(|(index, _)| index).collect()
}

/// What a flow has delivered: the bytes of each call by side, and whether a packet was at hand.
type Calls = Rc<RefCell<Vec<(Side, Vec<u8>, bool)>>>;

/// An immediate monitor that drops data with `bad` in it.
fn censor(calls: &Calls, bad: &'static [u8]) -> Monitor {
    let calls = calls.clone();
    Monitor::new("censor", ()).immediate().on_new_data(move |cx| {
        let mut bytes = Vec::new();
        for chunk in cx.conn.chunks() {
            match chunk {
                Chunk::Data(data) => bytes.extend_from_slice(data),
                Chunk::Missing(len) => bytes.extend(std::iter::repeat_n(b'?', len as usize)),
            }
        }
        cx.conn.consume_all();
        let at_hand = cx.conn.packet().is_some();
        if !bad.is_empty() && bytes.windows(bad.len()).any(|window| window == bad) {
            assert_eq!(cx.conn.drop_packet(), at_hand);
        }
        calls.borrow_mut().push((cx.conn.side(), bytes, at_hand));
    })
}

#[test]
fn data_comes_with_its_packet() {
    for burst in BURSTS {
        let calls = Calls::default();
        let (mut core, _) = core_with(Config::default(), censor(&calls, b""));
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        frames.push(talk.data(Side::Client, b"one"));
        frames.push(talk.data(Side::Client, b"two"));
        frames.push(talk.data(Side::Server, b"answer"));
        // A hole, and what fills it.
        frames.push(talk.ahead(Side::Client, 4, b"five"));
        frames.push(talk.data(Side::Client, b"four"));
        talk.next[0] = talk.next[0].wrapping_add(4);
        frames.extend(talk.close());
        assert_eq!(dropped(&verdicts(&mut core, &frames, burst)), [] as [usize; 0]);
        let expected: [(Side, &[u8], bool); 4] = [
            (Side::Server, b"one", true),
            (Side::Server, b"two", true),
            (Side::Client, b"answer", true),
            (Side::Server, b"fourfive", true),
        ];
        let told = calls.borrow();
        assert!(told.iter().map(|(side, bytes, at)| (*side, &bytes[..], *at)).eq(expected), "{burst}: {told:?}");
        finish(&mut core);
    }
}

/// The frame, its retransmissions and all later data of that direction are dropped; nothing else is.
#[test]
fn what_is_dropped_once_is_dropped_for_good() {
    for burst in BURSTS {
        let calls = Calls::default();
        let (mut core, _) = core_with(Config::default(), censor(&calls, b"BAD"));
        let (mut talk, mut other) = (Talk::new(1), Talk::new(2));
        let mut frames = Vec::from(talk.handshake());
        frames.extend(other.handshake());
        let good = talk.data(Side::Client, b"good ");
        let bad = talk.data(Side::Client, b"BAD");
        frames.extend([good.clone(), bad.clone()]);
        frames.push(talk.data(Side::Server, b"answer"));
        frames.push(other.data(Side::Client, b"fine"));
        frames.extend([bad, good]);
        frames.push(talk.data(Side::Client, b"later"));
        frames.push(talk.ack(Side::Client));
        let both = talk.ahead(Side::Client, -8, b"BADlater");
        frames.push(both);
        frames.push(other.data(Side::Server, b"fine, too"));
        frames.push(talk.data(Side::Server, b"more"));
        assert_eq!(dropped(&verdicts(&mut core, &frames, burst)), [7, 10, 12, 14], "burst {burst}");
        finish(&mut core);
    }
}

/// What came before the dropped data has passed, and may be sent again.
#[test]
fn only_new_data_is_cut_off() {
    for burst in BURSTS {
        let calls = Calls::default();
        let (mut core, _) = core_with(Config::default(), censor(&calls, b"BAD"));
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        frames.push(talk.data(Side::Client, b"0123456789"));
        // Half of it again, with something new.
        frames.push(talk.ahead(Side::Client, -5, b"56789BAD"));
        frames.push(talk.ahead(Side::Client, -10, b"0123456789"));
        frames.push(talk.ahead(Side::Client, -3, b"789"));
        frames.push(talk.ahead(Side::Client, 0, b"BAD"));
        frames.push(talk.ahead(Side::Client, 2, b"D"));
        assert_eq!(dropped(&verdicts(&mut core, &frames, burst)), [4, 7, 8], "burst {burst}");
        finish(&mut core);
    }
}

/// The gap filler carries the blame: it is the packet at hand.
#[test]
fn a_gap_filler_is_dropped_for_what_it_makes_readable() {
    for burst in BURSTS {
        let calls = Calls::default();
        let (mut core, _) = core_with(Config::default(), censor(&calls, b"BAD"));
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        frames.push(talk.ahead(Side::Client, 2, b"AD"));
        frames.push(talk.ahead(Side::Client, 0, b".B"));
        frames.push(talk.ahead(Side::Client, 2, b"AD"));
        frames.push(talk.ahead(Side::Client, 0, b".B"));
        assert_eq!(dropped(&verdicts(&mut core, &frames, burst)), [4, 5, 6], "burst {burst}");
    }
}

#[test]
fn data_with_a_fin_can_be_dropped() {
    for burst in BURSTS {
        let calls = Calls::default();
        let (mut core, _) = core_with(Config::default(), censor(&calls, b"BAD"));
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        let fin = talk.segment(Side::Client, 0x11, talk.next[0], talk.next[1], b"BAD");
        frames.extend([fin.clone(), fin]);
        assert_eq!(dropped(&verdicts(&mut core, &frames, burst)), [3, 4], "burst {burst}");
        finish(&mut core);
    }
}

/// A reset in the same burst: what is left is told at the end, and there is no packet to drop any more.
#[test]
fn at_the_end_of_a_flow_nothing_is_told_twice() {
    for burst in BURSTS {
        let calls = Calls::default();
        let ends: Rc<RefCell<Vec<EndReason>>> = Rc::default();
        let note = ends.clone();
        let monitor = censor(&calls, b"").on_end(move |cx| note.borrow_mut().push(cx.reason()));
        let (mut core, _) = core_with(Config::default(), monitor);
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        frames.push(talk.data(Side::Client, b"data"));
        frames.push(talk.ahead(Side::Client, 3, b"beyond"));
        talk.ack(Side::Server);
        frames.push(talk.rst(Side::Client));
        verdicts(&mut core, &frames, burst);
        assert_eq!(*ends.borrow(), [EndReason::Rst]);
        let told = calls.borrow();
        let expected: [(Side, &[u8], bool); 2] = [(Side::Server, b"data", true), (Side::Server, b"???beyond", false)];
        assert!(told.iter().map(|(side, bytes, at)| (*side, &bytes[..], *at)).eq(expected), "{burst}: {told:?}");
        finish(&mut core);
    }
}

/// Without a packet at hand nothing is dropped; others than those who want it at once hear once per burst.
#[test]
fn others_are_not_concerned() {
    for burst in BURSTS {
        let calls = Calls::default();
        let counts: Rc<RefCell<usize>> = Rc::default();
        let count = counts.clone();
        let mut core = Core::new(Config::default());
        core.open(censor(&calls, b"")).unwrap();
        let log = core.open(reader()).unwrap();
        let late = Monitor::<(), ()>::new("late", ()).on_new_data(move |cx| {
            *count.borrow_mut() += 1;
            assert!(cx.conn.packet().is_none() && cx.conn.last_packet().is_none() && !cx.conn.drop_packet());
            cx.conn.consume_all();
        });
        core.open(late).unwrap();
        let mut talk = Talk::new(1);
        let mut frames = Vec::from(talk.handshake());
        for _ in 0..10 {
            frames.push(talk.data(Side::Client, b"0123456789"));
        }
        verdicts(&mut core, &frames, burst);
        finish(&mut core);
        assert_eq!(
            *counts.borrow(),
            match burst {
                1 => 10,
                7 => 2,
                _ => 1,
            }
        );
        assert_eq!(core.state::<Log>(log).unwrap().flows[0].streams[1].bytes, b"0123456789".repeat(10));
        assert_eq!(calls.borrow().len(), 10);
    }
}

/// Switched on and off at run time, from the next packet on.
#[test]
fn it_can_be_switched_at_run_time() {
    let told: Rc<RefCell<Vec<bool>>> = Rc::default();
    let note = told.clone();
    let monitor = Monitor::<(), ()>::new("switch", ())
        .on_rcv(Event::PktIn, |cx| match cx.conn.packet().map(|packet| packet.payload().to_vec()).as_deref() {
            Some(b"on") => cx.conn.set_immediate(true).unwrap(),
            Some(b"off") => cx.conn.set_immediate(false).unwrap(),
            _ => {}
        })
        .on_new_data(move |cx| {
            note.borrow_mut().push(cx.conn.packet().is_some());
            cx.conn.consume_all();
        });
    let (mut core, _) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.handshake()), 1);
    for bytes in [&b"a"[..], b"on", b"b", b"off", b"c"] {
        feed(&mut core, &mut batch(&[talk.data(Side::Client, bytes)]), 1);
    }
    assert_eq!(*told.borrow(), [false, true, true, false, false]);
    finish(&mut core);
}

/// The same bytes as at the end of bursts, on captures with losses and in other order.
#[test]
fn captures_deliver_the_same_bytes_at_once() {
    let Some(folder) = traces() else { return };
    for name in ["real/http_lossy.pcap", "real/bulk_reorder.pcap", "real/tiny.pcap"] {
        let Ok(mut file) = CaptureReader::open(folder.join(name), 0) else {
            eprintln!("SKIPPED: no {name}");
            continue;
        };
        let mut frames = FrameBatch::new();
        while let Ok(Received::Frames(_)) = file.receive(&mut frames, usize::MAX) {}
        let capture: Vec<Frame> = (0..frames.len())
            .map(|at| Frame {
                bytes: frames.frame(at).to_vec(),
                wire_len: frames.frames()[at].wire_len,
                time: frames.frames()[at].timestamp,
                link: frames.frames()[at].link,
            })
            .collect();
        let config = Config { checksum: ChecksumMode::Auto, receive_buffer_bytes: 64 << 20, ..Config::default() };
        let usual = replay(&config, reader(), &capture, 64);
        for burst in [1, 64] {
            let at_once = replay(&config, reader().immediate(), &capture, burst);
            assert!(
                usual.log.by_endpoints() == at_once.log.by_endpoints(),
                "{name}: {}",
                usual.log.difference(&at_once.log)
            );
        }
    }
}
