//! Random monitors: any events, any settings, and callbacks that do what the script says.

use mos_monitor::{Conn, Event, EventId, Monitor, PacketEventCx, RawMonitor, UserEvent};

use super::acts::{on_core, on_data, on_filter, on_flow, on_packet, on_snd, raised, side, timer};
use super::world::{FlowState, Known, Shared, blow_up};
use crate::support::dice::Dice;

const HOOKED: [Event; 5] = [Event::PktIn, Event::ConnStart, Event::TcpStateChange, Event::Rexmit, Event::ConnEnd];
const DEFINED: [Event; 7] = [
    Event::PktIn,
    Event::ConnStart,
    Event::TcpStateChange,
    Event::Rexmit,
    Event::ConnEnd,
    Event::NewData,
    Event::Error,
];

/// A callback of a flow runs: notes that, and does what the script says. Returns what is left to decide.
fn flow_callback<At>(shared: &Shared, me: usize, conn: &mut Conn<'_, '_, At>, sided: bool) -> Option<Dice> {
    shared.borrow_mut().enter_flow(me, conn, sided);
    let mut dice = shared.borrow_mut().choice()?;
    for _ in 0..=dice.below(2) {
        on_flow(shared, me, conn, &mut dice);
    }
    Some(dice)
}

fn perhaps_blow_up<At>(shared: &Shared, me: usize, conn: &Conn<'_, '_, At>, dice: &mut Dice) {
    if dice.one_in(25) {
        blow_up(shared, Some((me, conn.id())));
    }
}

/// A packet without a flow, at a monitor of either kind.
fn packet_callback(shared: &Shared, me: usize, cx: &mut PacketEventCx<'_, usize>) {
    shared.borrow_mut().enter(me, "a packet");
    let _ = cx.last_packet().to_copy();
    let Some(mut dice) = shared.borrow_mut().choice() else { return };
    on_core(shared, me, cx.control, &mut dice);
    if dice.one_in(4) {
        cx.drop_packet();
    }
    if let Some(event) = raised(&shared.borrow(), me, &mut dice) {
        let _ = cx.raise(event);
    }
    if dice.one_in(25) {
        blow_up(shared, None);
    }
}

fn packet_filter(shared: &Shared, me: usize, cx: &mut PacketEventCx<'_, usize>) -> bool {
    packet_callback(shared, me, cx);
    cx.now().as_nanos() & 1 << 17 != 0
}

/// Handlers of all kinds.
fn handlers(shared: &Shared, me: usize, monitor: &mut Monitor<usize, FlowState>, known: &mut Known) {
    for _ in 0..2 {
        let world = shared.clone();
        known.snd.push(monitor.snd_handler(move |cx| {
            if let Some(mut dice) = flow_callback(&world, me, &mut cx.conn, true) {
                if dice.one_in(3) {
                    on_snd(&world, &mut cx.conn, &mut dice);
                }
                perhaps_blow_up(&world, me, &cx.conn, &mut dice);
            }
        }));
        let world = shared.clone();
        known.rcv.push(monitor.rcv_handler(move |cx| {
            on_packet(&mut cx.conn);
            if let Some(mut dice) = flow_callback(&world, me, &mut cx.conn, true) {
                perhaps_blow_up(&world, me, &cx.conn, &mut dice);
            }
        }));
        let world = shared.clone();
        known.data.push(monitor.data_handler(move |cx| {
            if let Some(mut dice) = flow_callback(&world, me, &mut cx.conn, true) {
                on_data(&world, &mut cx.conn, &mut dice);
                perhaps_blow_up(&world, me, &cx.conn, &mut dice);
            }
        }));
        let world = shared.clone();
        known.error.push(monitor.error_handler(move |cx| {
            on_packet(&mut cx.conn);
            let _ = cx.reason();
            if let Some(mut dice) = flow_callback(&world, me, &mut cx.conn, true) {
                perhaps_blow_up(&world, me, &cx.conn, &mut dice);
            }
        }));
        let world = shared.clone();
        known.timer.push(monitor.timer_handler(move |cx| {
            if let Some(mut dice) = flow_callback(&world, me, &mut cx.conn, false) {
                if dice.one_in(4) {
                    let id = cx.id();
                    cx.conn.cancel_timer(id);
                }
                perhaps_blow_up(&world, me, &cx.conn, &mut dice);
            }
        }));
        let world = shared.clone();
        known.core_timer.push(monitor.core_timer_handler(move |cx| {
            world.borrow_mut().enter(me, "a timer or accept");
            let choice = world.borrow_mut().choice();
            if let Some(mut dice) = choice {
                on_core(&world, me, cx.control, &mut dice);
                if dice.one_in(25) {
                    blow_up(&world, None);
                }
            }
        }));
    }
}

/// An event with a filter, which does what the script says and raises events.
fn define(shared: &Shared, me: usize, monitor: &mut Monitor<usize, FlowState>, parent: EventId) -> UserEvent {
    let world = shared.clone();
    let mut asked = 0_u32;
    monitor.define(parent, move |cx| {
        asked += 1;
        on_packet(&mut cx.conn);
        if let Some(mut dice) = flow_callback(&world, me, &mut cx.conn, true) {
            on_filter(&mut cx.conn, &mut dice);
            perhaps_blow_up(&world, me, &cx.conn, &mut dice);
        }
        let mut dice = Dice(asked.into());
        let event = raised(&world.borrow(), me, &mut dice);
        if let Some(event) = event {
            let _ = cx.raise(event);
        }
        !asked.is_multiple_of(3)
    })
}

/// A monitor of flows; its number is its place in the world.
pub(super) fn monitor(shared: &Shared, dice: &mut Dice) -> (usize, Monitor<usize, FlowState>) {
    let me = shared.borrow().monitors.len();
    let mut monitor = Monitor::<usize, FlowState>::new(format!("random {me}"), me);
    let mut known = Known::default();
    handlers(shared, me, &mut monitor, &mut known);
    for _ in 0..dice.below(6) {
        let parent: (EventId, Event) = match dice.pick(&known.events) {
            Some((event, root)) if dice.one_in(2) => (event.into(), root),
            _ => {
                let root = DEFINED[dice.below(DEFINED.len())];
                (root.into(), root)
            }
        };
        let event = if dice.one_in(3) {
            let event = monitor.alloc(parent.0);
            known.allocated.push(event);
            event
        } else {
            define(shared, me, &mut monitor, parent.0)
        };
        known.events.push((event, parent.1));
    }
    let orphans = dice.one_in(3).then(|| {
        let world = shared.clone();
        monitor.define_orphan(Event::Orphan, move |cx| packet_filter(&world, me, cx))
    });
    let user = known.events.clone();
    let roots = DEFINED.map(|event| (EventId::from(event), event)).into_iter();
    for (event, root) in roots.chain(user.into_iter().map(|(event, root)| (event.into(), root))) {
        monitor = match root {
            _ if dice.one_in(3) => monitor,
            Event::NewData => monitor.register(event, known.data[dice.below(2)]),
            Event::Error => monitor.register(event, known.error[dice.below(2)]),
            _ if !HOOKED.contains(&root) => monitor,
            _ if dice.one_in(2) => monitor.register(event, known.snd[dice.below(2)]),
            _ => monitor.register(event, known.rcv[dice.below(2)]),
        };
    }
    monitor = settings(shared, me, monitor, dice);
    if let Some(event) = orphans {
        let world = shared.clone();
        monitor = monitor.on_orphan_event(event, move |cx| packet_callback(&world, me, cx));
    }
    shared.borrow_mut().monitors.push(known);
    (me, monitor)
}

/// Settings, and what is not registered by handlers.
fn settings(
    shared: &Shared,
    me: usize,
    mut monitor: Monitor<usize, FlowState>,
    dice: &mut Dice,
) -> Monitor<usize, FlowState> {
    if dice.one_in(2) {
        let world = shared.clone();
        monitor = monitor.on_end(move |cx| {
            let (id, _) = (cx.conn.id(), cx.reason());
            let choice = flow_callback(&world, me, &mut cx.conn, false);
            if let Some(mut dice) = choice {
                perhaps_blow_up(&world, me, &cx.conn, &mut dice);
            }
            world.borrow_mut().leave((me, id));
        });
    }
    if dice.one_in(2) {
        let world = shared.clone();
        monitor = monitor.on_orphan(move |cx| packet_callback(&world, me, cx));
    }
    if dice.one_in(3) {
        let world = shared.clone();
        monitor = monitor.accept(move |packet| {
            world.borrow_mut().enter(me, "a timer or accept");
            let Some(mut dice) = world.borrow_mut().choice() else { return !packet.frame.is_empty() };
            if dice.one_in(10) {
                blow_up(&world, None);
            }
            dice.one_in(2)
        });
    }
    if dice.one_in(3) {
        let world = shared.clone();
        monitor = monitor.at(timer(dice), move |cx| {
            world.borrow_mut().enter(me, "a timer or accept");
            let (_, _, _) = (cx.id(), cx.due(), cx.missed());
            let choice = world.borrow_mut().choice();
            if let Some(mut dice) = choice {
                on_core(&world, me, cx.control, &mut dice);
            }
        });
    }
    for _ in 0..dice.below(3) {
        monitor = match dice.below(8) {
            0 => monitor.without_buffer(side(dice)),
            1 => monitor.with_buffer(side(dice)),
            2 => monitor.buffer_bytes(side(dice), dice.below(5000) as u64),
            3 => monitor.keep_history(dice.below(5000) as u64),
            4 | 5 => monitor.immediate(),
            6 => monitor.measure_rtt(),
            _ => monitor.without_side(side(dice)),
        };
    }
    monitor
}

/// A monitor of packets.
pub(super) fn raw(shared: &Shared, dice: &mut Dice) -> (usize, RawMonitor<usize>) {
    let me = shared.borrow().monitors.len();
    let mut raw = RawMonitor::new(format!("random {me}"), me);
    let world = shared.clone();
    let event = raw.define(Event::PktIn, move |cx| packet_filter(&world, me, cx));
    let world = shared.clone();
    raw = raw.on_packet(move |cx| packet_callback(&world, me, cx));
    if dice.one_in(2) {
        let world = shared.clone();
        raw = raw.on_event(event, move |cx| packet_callback(&world, me, cx));
    }
    shared.borrow_mut().monitors.push(Known::default());
    (me, raw)
}
