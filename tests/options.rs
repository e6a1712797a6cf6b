//! The socket options of spec 2.4 and 6.6 that no other file has: overlap policies by side and flow, and the time stamp.

use mos_core::config::Config;
use mos_core::time::Timestamp;
use mos_monitor::{Chunk, Conn, Event, Monitor, OverlapPolicy, Side};

use crate::support::talk::Talk;
use crate::support::{batch, core_with, feed, finish};

fn text<At>(conn: &Conn<'_, '_, At>, side: Side) -> String {
    conn.chunks_of(side)
        .map(|chunk| match chunk {
            Chunk::Data(data) => String::from_utf8_lossy(data).into_owned(),
            Chunk::Missing(len) => "?".repeat(len as usize),
        })
        .collect()
}

/// Out-of-order bytes that come twice with other values, then what was missing before them.
fn conflicting(talk: &mut Talk) -> Vec<crate::support::Frame> {
    let mut frames = Vec::from(talk.handshake());
    for payload in [b"first", b"other"] {
        frames.push(talk.ahead(Side::Client, 2, payload));
        frames.push(talk.ahead(Side::Server, 2, payload));
    }
    frames.push(talk.data(Side::Client, b"->"));
    frames.push(talk.data(Side::Server, b"<-"));
    frames
}

fn reads(monitor: Monitor<Vec<(Side, String)>, ()>) -> Vec<(Side, String)> {
    let monitor = monitor.on_new_data(|cx| {
        let side = cx.conn.side();
        let read = text(&cx.conn, side);
        cx.state.push((side, read));
        cx.conn.consume_all();
    });
    let (mut core, socket) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&conflicting(&mut talk)), 1);
    let mut result = core.state::<Vec<(Side, String)>>(socket).unwrap().clone();
    result.sort();
    finish(&mut core);
    result
}

fn expected(client: &str, server: &str) -> Vec<(Side, String)> {
    vec![(Side::Client, format!("<-{client}")), (Side::Server, format!("->{server}"))]
}

#[test]
fn spec_2_4_overlap_policies_are_accepted_before_data_and_hold_by_side() {
    let monitor = || Monitor::<Vec<(Side, String)>, ()>::new("overlap", Vec::new());
    assert_eq!(reads(monitor()), expected("first", "first"));
    assert_eq!(reads(monitor().overlap(Side::Server, OverlapPolicy::Last)), expected("first", "other"));
    assert_eq!(reads(monitor().overlap(Side::Client, OverlapPolicy::Last)), expected("other", "first"));
    let at_run_time = monitor().on_snd(Event::ConnStart, |cx| {
        cx.conn.set_overlap(Side::Client, OverlapPolicy::Last).unwrap();
    });
    assert_eq!(reads(at_run_time), expected("other", "first"));
}

#[test]
fn spec_2_4_the_time_stamp_is_that_of_the_last_packet() {
    let monitor = Monitor::<Vec<Timestamp>, ()>::new("time stamp", Vec::new())
        .on_snd(Event::PktIn, |cx| cx.state.push(cx.conn.last_active()))
        .on_end(|cx| cx.state.push(cx.conn.last_active()));
    let (mut core, socket) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    let mut frames = Vec::from(talk.handshake());
    for (index, frame) in frames.iter_mut().enumerate() {
        frame.time = Timestamp::from_millis(1000 + 10 * index as u64);
    }
    feed(&mut core, &mut batch(&frames), 64);
    core.advance(Timestamp::from_millis(60_000));
    assert_eq!(core.state::<Vec<Timestamp>>(socket).unwrap(), &[1000, 1010, 1020, 1020].map(Timestamp::from_millis));
    finish(&mut core);
}
