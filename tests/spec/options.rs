//! Socket options of flows (spec 2.4, 4.6, 6.6) that no other file has: states, sides, buffers of one monitor only.

use mos_core::config::Config;
use mos_monitor::{Event, Monitor, Side, TcpState};

use crate::support::talk::Talk;
use crate::support::{Log, batch, core_with, feed, finish, reader};

/// MOS_TCP_STATE_CLI, MOS_TCP_STATE_SVR: both from either hook and side, with mOS's numbers; the server has none until the
/// first packet reaches it.
#[test]
fn spec_2_4_tcp_state_of_both_sides() {
    type States = Vec<[Option<u8>; 2]>;
    let monitor = Monitor::<States, ()>::new("states", States::new())
        .on_snd(Event::PktIn, |cx| {
            let states = Side::BOTH.map(|side| cx.conn.state(side).map(|state| state as u8));
            cx.state.push(states);
        })
        .on_end(|cx| {
            let states = Side::BOTH.map(|side| cx.conn.state(side).map(|state| state as u8));
            cx.state.push(states);
        });
    let (mut core, socket) = core_with(Config::default(), monitor);
    feed(&mut core, &mut batch(&Talk::new(1).whole(b"question", b"answer")), 64);
    finish(&mut core);
    let states = core.state::<States>(socket).unwrap();
    assert_eq!(states[0], [Some(TcpState::SynSent as u8), None]);
    assert_eq!(states[1], [Some(2), Some(3)]);
    assert_eq!(states[2..5], [[Some(4), Some(3)], [Some(4), Some(4)], [Some(4), Some(4)]]);
    assert_eq!(states.last(), Some(&[Some(0), Some(0)]));
}

/// Zero on a flow is for that flow, that side and that monitor: the others go on reading.
#[test]
fn spec_2_4_a_buffer_switched_off_is_that_of_one_monitor_side_and_flow() {
    let monitor = Monitor::<[u64; 2], ()>::new("half", [0; 2])
        .on_snd(Event::ConnStart, |cx| {
            if cx.conn.endpoint(Side::Client).port() == 10_001 {
                cx.conn.set_buffer(Side::Server, false).unwrap();
            }
        })
        .on_new_data(|cx| {
            let side = cx.conn.side();
            cx.state[side as usize] += cx.conn.unread_len(side);
            cx.conn.consume_all();
        });
    let (mut core, half) = core_with(Config::default(), monitor);
    let all = core.open(reader()).unwrap();
    let mut frames = Talk::new(1).whole(b"question", b"answer");
    frames.extend(Talk::new(2).whole(b"question", b"answer"));
    feed(&mut core, &mut batch(&frames), 7);
    finish(&mut core);
    assert_eq!(core.state::<[u64; 2]>(half), Some(&[12, 8]));
    for flow in &core.state::<Log>(all).unwrap().flows {
        assert_eq!((&flow.streams[0].bytes[..], &flow.streams[1].bytes[..]), (&b"answer"[..], &b"question"[..]));
    }
}

/// MOS_STOP_MON for one side at the listener: later flows begin without it, those that live keep it.
#[test]
fn spec_4_6_stopping_a_side_of_the_listener_is_for_later_flows() {
    let monitor = Monitor::<Vec<(u16, Side)>, ()>::new("sides", Vec::new()).on_rcv(Event::PktIn, |cx| {
        let told = (cx.conn.endpoint(Side::Client).port(), cx.conn.side());
        cx.state.push(told);
    });
    let (mut core, socket) = core_with(Config::default(), monitor);
    let mut first = Talk::new(1);
    feed(&mut core, &mut batch(&first.handshake()), 64);
    core.control(|control| control.stop_side(socket, Side::Server)).unwrap();
    let mut frames = Vec::from(Talk::new(2).handshake());
    frames.push(first.data(Side::Client, b"x"));
    feed(&mut core, &mut batch(&frames), 64);
    let [client, server] = [Side::Client, Side::Server];
    let old = [(10_001, server), (10_001, client), (10_001, server)];
    let expected = [&old[..], &[(10_002, client), (10_001, server)]].concat();
    assert_eq!(core.state::<Vec<(u16, Side)>>(socket), Some(&expected));
    finish(&mut core);
}
