//! IP fragments (D16): put together for inspection within bounds, the first copy of a byte winning, and forwarded as they are.

use std::time::Duration;

use mos_core::config::Config;
use mos_core::wire::checksum::checksum;
use mos_core::wire::fragment::DefragLimits;
use mos_monitor::{Event, Monitor, Side};

use crate::support::talk::Talk;
use crate::support::{Frame, Log, batch, core_with, feed, finish, reader};

/// The part of an IPv4 datagram's payload from `from` to `to`.
fn part(whole: &Frame, id: u16, from: usize, to: usize) -> Frame {
    let last = whole.bytes.len() - 20;
    let mut bytes = [&whole.bytes[..20], &whole.bytes[20 + from..20 + to]].concat();
    let field = (from / 8) as u16 | u16::from(to < last) << 13;
    for (at, value) in [(2, bytes.len() as u16), (4, id), (6, field), (10, 0)] {
        bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
    let sum = checksum(&bytes[..20]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    Frame::ip(bytes, whole.time)
}

/// 100 bytes of data from the client, and what the server has received after the frames made of it. The second value is how
/// many datagrams were made whole.
fn received(limits: DefragLimits, make: impl Fn(&Frame) -> Vec<Frame>) -> (usize, u64) {
    let (mut core, socket) = core_with(Config { fragments: limits, ..Config::default() }, reader());
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.handshake()), 64);
    let payload: Vec<u8> = (0..100).collect();
    let frames = make(&talk.data(Side::Client, &payload));
    let mut batch = batch(&frames);
    let mut burst = batch.burst(0..frames.len());
    core.process(&mut burst);
    for (at, frame) in frames.iter().enumerate() {
        assert_eq!(core.stack().forwarded(at, &burst), Some(&frame.bytes[..]), "fragments go on unchanged");
    }
    assert_eq!(core.stats().fragments, frames.len() as u64);
    let whole = core.stats().defragmented;
    finish(&mut core);
    let bytes = core.state::<Log>(socket).unwrap().flows.first().map_or(&[][..], |flow| &flow.streams[1].bytes);
    assert!(bytes.is_empty() || bytes == payload);
    (bytes.len(), whole)
}

#[test]
fn d16_fragments_are_put_together_in_any_order_and_go_on_unchanged() {
    let cuts = [(0, 24), (24, 64), (64, 104), (104, 120)];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let make = |whole: &Frame| order.iter().map(|&at| part(whole, 5, cuts[at].0, cuts[at].1)).collect();
        assert_eq!(received(DefragLimits::default(), make), (100, 1), "{order:?}");
    }
    // One is missing; two are of different datagrams.
    let some = |whole: &Frame| vec![part(whole, 5, 0, 24), part(whole, 5, 64, 120)];
    assert_eq!(received(DefragLimits::default(), some), (0, 0));
    let mixed = |whole: &Frame| vec![part(whole, 5, 0, 64), part(whole, 6, 64, 120)];
    assert_eq!(received(DefragLimits::default(), mixed), (0, 0));
}

/// Had the later copy won, the checksum would be wrong and nothing received.
#[test]
fn d16_the_first_copy_of_a_byte_wins() {
    let make = |whole: &Frame| {
        let mut forged = part(whole, 5, 24, 64);
        forged.bytes[20..].fill(0xee);
        vec![part(whole, 5, 0, 64), forged, part(whole, 5, 64, 120)]
    };
    assert_eq!(received(DefragLimits::default(), make), (100, 1));
}

#[test]
fn d16_count_bytes_and_time_are_bounded() {
    let defaults = DefragLimits::default();
    let both = |whole: &Frame| {
        let other = part(whole, 6, 0, 64);
        vec![part(whole, 5, 0, 64), other, part(whole, 5, 64, 120)]
    };
    assert_eq!(received(defaults, both), (100, 1));
    assert_eq!(received(DefragLimits { max_datagrams: 1, ..defaults }, both), (0, 0), "the oldest gives way");
    assert_eq!(received(DefragLimits { max_bytes: 10, ..defaults }, both), (0, 0));
    let late = |millis| {
        move |whole: &Frame| {
            let mut last = part(whole, 5, 64, 120);
            last.time = last.time + Duration::from_millis(millis);
            vec![part(whole, 5, 0, 64), last]
        }
    };
    assert_eq!(received(defaults, late(900)), (100, 1));
    assert_eq!(received(defaults, late(1100)), (0, 0));
}

/// The whole is one packet of the flow, at both hooks; it cannot be dropped, because its parts have gone.
#[test]
fn d16_a_datagram_in_fragments_is_one_packet_of_its_flow() {
    let monitor = Monitor::<[u32; 2], ()>::new("counter", [0; 2])
        .on_snd(Event::PktIn, |cx| {
            cx.state[0] += 1;
            if cx.conn.packet().is_some_and(|packet| packet.payload().len() == 100) {
                assert!(!cx.conn.drop_packet());
            }
        })
        .on_rcv(Event::PktIn, |cx| cx.state[1] += 1);
    let (mut core, socket) = core_with(Config::default(), monitor);
    let mut talk = Talk::new(1);
    feed(&mut core, &mut batch(&talk.handshake()), 64);
    let whole = talk.data(Side::Client, &[1; 100]);
    let parts = [part(&whole, 9, 0, 64), part(&whole, 9, 64, 104), part(&whole, 9, 104, 120)];
    feed(&mut core, &mut batch(&parts), 64);
    assert_eq!((core.state::<[u32; 2]>(socket), core.panics()), (Some(&[4, 4]), 0));
    assert_eq!((core.stats().fragments, core.stats().defragmented, core.stats().orphans), (3, 1, 0));
    finish(&mut core);
}
