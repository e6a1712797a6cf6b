//! Random calls of the API: those that every callback can make, and those of some places only.

use std::time::Duration;

use mos_core::socket::Descriptor;
use mos_core::wire::{SeqNum, TcpFlags, TcpSegment};
use mos_monitor::{
    AtData, AtFilter, AtSnd, Checksums, Chunk, Clock, Conn, Control, Event, EventId, Hook, Layer, PeekError, Registers,
    Side, Timer, UserEvent, WithPacket,
};

use super::monitors::{monitor, raw};
use super::world::{Shared, UNBORN, World};
use crate::support::dice::Dice;

/// So many monitors are made in all, at most.
const MOST_MONITORS: usize = 40;

const EVENTS: [Event; 8] = [
    Event::PktIn,
    Event::ConnStart,
    Event::NewData,
    Event::Error,
    Event::TcpStateChange,
    Event::Orphan,
    Event::Rexmit,
    Event::ConnEnd,
];

pub(super) fn side(dice: &mut Dice) -> Side {
    if dice.one_in(2) { Side::Client } else { Side::Server }
}

fn hook(dice: &mut Dice) -> Hook {
    [Hook::Snd, Hook::Rcv, Hook::Null][dice.below(3)]
}

/// Any event; usually one of monitor `me`.
fn event(world: &World, me: usize, dice: &mut Dice) -> EventId {
    let owner = if dice.one_in(10) { dice.below(world.monitors.len()) } else { me };
    let events = &world.monitors[owner].events;
    match dice.pick(events) {
        Some((event, _)) if dice.one_in(2) => event.into(),
        _ => EVENTS[dice.below(EVENTS.len())].into(),
    }
}

pub(super) fn timer(dice: &mut Dice) -> Timer {
    let length = Duration::from_micros(dice.below(40_000) as u64);
    let timer = if dice.one_in(2) { Timer::after(length) } else { Timer::every(length) };
    if dice.one_in(4) { timer.by(Clock::Monotonic) } else { timer }
}

fn buffer_bytes(dice: &mut Dice) -> u64 {
    [0, 1, 100, 5000, 1 << 20, u64::MAX][dice.below(6)]
}

/// Any descriptor that ever was, or none at all.
fn descriptor(world: &World, control: &Control, dice: &mut Dice) -> Descriptor {
    let monitors: Vec<_> = world.monitors.iter().filter_map(|known| known.descriptor).collect();
    let sockets: Vec<_> = world.sockets.keys().copied().collect();
    let timers: Vec<_> = world.timers.iter().map(|timer| timer.descriptor()).collect();
    let found = match dice.below(8) {
        0 => Some(control.internal()),
        1 => dice.pick(&timers),
        2..5 => dice.pick(&sockets),
        _ => dice.pick(&monitors),
    };
    found.unwrap_or_else(|| Descriptor::from_raw(dice.next() as i32))
}

/// What can be asked of the core, from anywhere. `me`: the monitor whose callback runs.
pub(super) fn on_core(shared: &Shared, me: usize, control: &mut Control, dice: &mut Dice) {
    let target = descriptor(&shared.borrow(), control, dice);
    match dice.below(16) {
        0 if shared.borrow().monitors.len() < MOST_MONITORS => {
            let (id, monitor) = monitor(shared, dice);
            shared.borrow_mut().monitors[id].descriptor = control.open(monitor).ok();
        }
        1 if shared.borrow().monitors.len() < MOST_MONITORS => {
            let (id, raw) = raw(shared, dice);
            shared.borrow_mut().monitors[id].descriptor = control.open_raw(raw).ok();
        }
        2 => {
            if !dice.one_in(3) {
                let _ = control.kind(target);
            } else if control.close(target).is_ok() {
                shared.borrow_mut().closed(target);
            }
        }
        3 | 4 | 12 | 13 => {
            let world = shared.borrow();
            let of = if dice.one_in(4) { dice.below(world.monitors.len()) } else { me };
            let event = event(&world, of, dice);
            let known = &world.monitors[of];
            let _ = match dice.below(4) {
                0 => dice.pick(&known.snd).map(|handler| control.register(target, event, handler)),
                1 => dice.pick(&known.rcv).map(|handler| control.register(target, event, handler)),
                2 => dice.pick(&known.data).map(|handler| control.register(target, event, handler)),
                _ => dice.pick(&known.error).map(|handler| control.register(target, event, handler)),
            };
        }
        5 => {
            let event = event(&shared.borrow(), me, dice);
            let _ = control.deregister(target, hook(dice), event);
        }
        6 => {
            let side = side(dice);
            if control.stop_side(target, side).is_ok() {
                let mut world = shared.borrow_mut();
                if let Some(&place) = world.sockets.get(&target) {
                    world.stop(place, side, control.now());
                }
            }
        }
        7 => drop(control.set_buffer(target, side(dice), dice.one_in(2))),
        8 => drop(control.set_buffer_bytes(target, side(dice), buffer_bytes(dice))),
        9 | 14 => {
            let mut world = shared.borrow_mut();
            let of = if dice.one_in(4) { dice.below(world.monitors.len()) } else { me };
            let known = &world.monitors[of];
            let target = known.descriptor.filter(|_| !dice.one_in(4)).unwrap_or(target);
            if let Some(handler) = dice.pick(&known.core_timer)
                && let Ok(timer) = control.set_timer(target, timer(dice), handler)
            {
                world.timers.push(timer);
            }
        }
        10 => {
            if let Some(timer) = dice.pick(&shared.borrow().timers) {
                control.cancel_timer(target, timer);
            }
        }
        _ => {
            let _ = control.open_stream().map(|socket| control.close(socket));
        }
    }
}

/// What can be asked of a flow, from any of its callbacks.
pub(super) fn on_flow<At>(shared: &Shared, me: usize, conn: &mut Conn<'_, '_, At>, dice: &mut Dice) {
    let place = (me, conn.id());
    let of = side(dice);
    if dice.one_in(4)
        && let Some(socket) = conn.socket()
    {
        shared.borrow_mut().sockets.insert(socket, place);
    }
    match dice.below(16) {
        0 => on_core(shared, me, conn.control(), dice),
        1 => on_core(shared, me, conn.control(), dice),
        2 if dice.one_in(3) => {
            conn.stop();
            shared.borrow_mut().leave(place);
        }
        3 if dice.one_in(2) => {
            if conn.stop_side(of).is_ok() {
                shared.borrow_mut().stop(place, of, conn.now());
            }
        }
        4 => drop(conn.set_buffer(of, dice.one_in(2))),
        5 => drop(conn.set_buffer_bytes(of, buffer_bytes(dice))),
        6 => drop(conn.keep_history(buffer_bytes(dice).min(1 << 20))),
        7 => drop(conn.set_immediate(dice.one_in(2))),
        8 => {
            let handler = dice.pick(&shared.borrow().monitors[me].timer);
            if let Some(Ok(timer)) = handler.map(|handler| conn.set_timer(timer(dice), handler)) {
                shared.borrow_mut().timers.push(timer);
            }
        }
        9 => {
            if let Some(timer) = dice.pick(&shared.borrow().timers) {
                conn.cancel_timer(timer);
            }
        }
        10 | 11 => {
            let event = event(&shared.borrow(), me, dice);
            let known = shared.borrow().monitors[me].clone();
            match dice.below(5) {
                0 => register(conn, event, dice.pick(&known.snd)),
                1 => register(conn, event, dice.pick(&known.rcv)),
                2 => register(conn, event, dice.pick(&known.data)),
                3 => register(conn, event, dice.pick(&known.error)),
                _ => drop(conn.deregister(hook(dice), event)),
            }
        }
        12 => read(shared, conn, of, dice),
        13 => {
            let bytes = dice.bytes();
            let options = vec![1; dice.below(60)];
            let segment = TcpSegment { payload: &bytes, options: &options, ..conn.segment_to(of) };
            let _ = conn.send_packet(of, &segment);
        }
        14 => drop(conn.reset()),
        _ => UNBORN.set(u32::from(dice.one_in(4))),
    }
}

fn register<At, H: Registers>(conn: &mut Conn<'_, '_, At>, event: EventId, handler: Option<mos_monitor::Handler<H>>) {
    if let Some(handler) = handler {
        let _ = conn.register(event, handler);
    }
}

/// Reads in one of the ways there are. What they say of a stream must be the same.
fn read<At>(shared: &Shared, conn: &mut Conn<'_, '_, At>, of: Side, dice: &mut Dice) {
    let (unread, position) = (conn.unread_len(of), conn.position(of));
    let mut all = 0;
    let mut first = None;
    for chunk in conn.chunks_of(of) {
        first.get_or_insert(match chunk {
            Chunk::Data(_) => None,
            Chunk::Missing(len) => Some(len),
        });
        all += match chunk {
            Chunk::Data(data) => data.len() as u64,
            Chunk::Missing(len) => len,
        };
    }
    let what = format!("{:?} {:?} {of:?} {:?}", conn.hook(), conn.event(), conn.id());
    if all != unread {
        shared.borrow_mut().complain(format!("{what}: {unread} bytes unread, chunks of {all}"));
    }
    let mut bytes = vec![0; dice.below(3000)];
    let back = dice.below(4000) as u64;
    let _ = conn.ppeek(of, (position + 1000).saturating_sub(back), &mut bytes);
    let (_, _) = (conn.buf_info(of), conn.fragments(of));
    if dice.one_in(2) {
        return;
    }
    let taken = match conn.peek(of, &mut bytes) {
        Ok(len) => len as u64,
        Err(PeekError::Missing(len)) => len,
    };
    if first == Some(None) && !bytes.is_empty() && taken == 0 {
        shared.borrow_mut().complain(format!("{what}: bytes are there, and peek finds none"));
    }
    let after = (conn.unread_len(of), conn.position(of));
    if after != (unread - taken, position + taken) {
        let message = format!("{what}: {unread} unread at {position}, {taken} taken, {after:?} after that");
        shared.borrow_mut().complain(message);
    }
}

/// Where there may be a packet.
pub(super) fn on_packet<At: WithPacket>(conn: &mut Conn<'_, '_, At>) {
    if let Some(last) = conn.last_packet() {
        let copy = last.to_copy();
        assert_eq!(copy.as_packet().payload, last.payload);
    }
}

/// At SND: edits.
pub(super) fn on_snd(shared: &Shared, conn: &mut Conn<'_, '_, AtSnd>, dice: &mut Dice) {
    on_packet(conn);
    let layer = [Layer::Ethernet, Layer::Ip, Layer::Tcp, Layer::Payload, Layer::Payload][dice.below(5)];
    let checksums = [Checksums::Incremental, Checksums::Full, Checksums::Keep][dice.below(3)];
    let reach = if dice.one_in(4) { 1500 } else { 30 };
    let offset = dice.below(reach);
    let bytes = dice.bytes();
    shared.borrow_mut().touch(conn);
    match dice.below(9) {
        0 => {
            conn.drop_packet();
        }
        1 => {
            if let Some(frame) = conn.frame_mut()
                && !frame.is_empty()
            {
                for _ in 0..dice.below(4) {
                    let reach = frame.len().min(if dice.one_in(2) { 60 } else { 1500 });
                    frame[dice.below(reach)] = dice.next() as u8;
                }
            }
        }
        2 => {
            // Outside of all that the traffic uses.
            let address = [203, 0, 113, dice.next() as u8];
            let rewrite = conn.rewrite().src(address, dice.next() as u16);
            let _ = if dice.one_in(2) { rewrite.apply() } else { rewrite.dst(address, 80).apply() };
        }
        3 => {
            let seq = SeqNum(dice.next() as u32);
            let rewrite = conn.rewrite().window(dice.next() as u16).hop_limit(dice.next() as u8);
            let _ = match dice.below(4) {
                0 => rewrite.seq(seq).apply(),
                1 => rewrite.ack(seq).apply(),
                2 => rewrite.flags(dice.next() as u8).apply(),
                _ => rewrite.dscp(63).macs([1; 6], [2; 6]).apply(),
            };
        }
        kind => {
            let mut edit = conn.edit().checksums(checksums);
            if dice.one_in(4) {
                edit = edit.out_of_step();
            }
            let _ = match kind {
                4 => edit.overwrite(layer, offset, &bytes).map(drop),
                5 => edit.chomp(layer, offset, dice.below(2000)).map(drop),
                6 => edit.replace(layer, offset, dice.below(30), &bytes).map(drop),
                _ => edit.insert(layer, offset, &bytes).map(drop),
            };
        }
    }
}

/// With new data: takes some of it, or drops what brought it.
pub(super) fn on_data(shared: &Shared, conn: &mut Conn<'_, '_, AtData>, dice: &mut Dice) {
    on_packet(conn);
    let side = conn.side();
    let before = (conn.unread_len(side), conn.position(side));
    let len = match dice.below(4) {
        0 => u64::MAX,
        _ => dice.below(3000) as u64,
    };
    match dice.below(6) {
        0 => {
            shared.borrow_mut().touch(conn);
            conn.drop_packet();
        }
        1..4 => {
            conn.consume(len);
            let taken = len.min(before.0);
            let after = (conn.unread_len(side), conn.position(side));
            if after != (before.0 - taken, before.1 + taken) {
                let message = format!("{side:?} {:?}: {before:?}, {taken} taken, {after:?}", conn.id());
                shared.borrow_mut().complain(message);
            }
        }
        _ => read(shared, conn, side, dice),
    }
}

/// A flag or two, for packets of one's own.
pub(super) fn on_filter(conn: &mut Conn<'_, '_, AtFilter>, dice: &mut Dice) {
    let to = side(dice);
    let flags = TcpFlags::ACK | dice.next() as u8 & TcpFlags::FIN;
    let _ = conn.send_packet(to, &TcpSegment { flags, ..conn.segment_to(to) });
}

/// Which event a filter may raise: usually one of its monitor's.
pub(super) fn raised(world: &World, me: usize, dice: &mut Dice) -> Option<UserEvent> {
    let of = if dice.one_in(10) { dice.below(world.monitors.len()) } else { me };
    dice.pick(&world.monitors[of].allocated)
}
