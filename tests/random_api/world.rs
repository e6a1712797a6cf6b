//! What the random callbacks have in common: the choices to come, what is open, and what must not happen any more.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::rc::Rc;

use mos_core::flow::FlowId;
use mos_core::time::Timestamp;
use mos_monitor::{
    AtCoreTimer, AtData, AtError, AtRcv, AtSnd, AtTimer, Conn, Descriptor, Event, Handler, Side, TimerId, UserEvent,
};

use crate::support::dice::Dice;

thread_local! {
    /// So many states of flows to come panic when they are made.
    pub(super) static UNBORN: Cell<u32> = const { Cell::new(0) };
    /// So many have.
    pub(super) static STILLBORN: Cell<u64> = const { Cell::new(0) };
}

/// The state of a flow: making it may panic.
pub(super) struct FlowState;

impl Default for FlowState {
    fn default() -> Self {
        if UNBORN.get() > 0 {
            UNBORN.set(UNBORN.get() - 1);
            STILLBORN.set(STILLBORN.get() + 1);
            resume_unwind(Box::new("on purpose"));
        }
        Self
    }
}

/// What can be named of a monitor that was made.
#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) descriptor: Option<Descriptor>,
    pub(super) is_closed: bool,
    pub(super) events: Vec<(UserEvent, Event)>,
    pub(super) allocated: Vec<UserEvent>,
    pub(super) snd: Vec<Handler<AtSnd>>,
    pub(super) rcv: Vec<Handler<AtRcv>>,
    pub(super) data: Vec<Handler<AtData>>,
    pub(super) error: Vec<Handler<AtError>>,
    pub(super) timer: Vec<Handler<AtTimer>>,
    pub(super) core_timer: Vec<Handler<AtCoreTimer>>,
}

/// Which flow of which monitor.
pub(super) type Place = (usize, FlowId);

#[derive(Default)]
pub(super) struct World {
    script: std::vec::IntoIter<u64>,
    /// Callbacks until the next one that does something.
    wait: u64,
    pub(super) monitors: Vec<Known>,
    /// Which flow a descriptor stands for.
    pub(super) sockets: BTreeMap<Descriptor, Place>,
    pub(super) timers: Vec<TimerId>,
    pub(super) panics: u64,
    /// Flows that callbacks have changed or dropped packets of, by their endpoints.
    pub(super) touched: HashSet<[SocketAddr; 2]>,
    /// Flows that a monitor hears no more of.
    left: HashSet<Place>,
    /// Sides that it hears no more of, and since when: what is being told then is told to its end.
    stopped: HashMap<(Place, Side), Timestamp>,
    pub(super) callbacks: u64,
    pub(super) calls: u64,
    complaints: Vec<String>,
}

pub(super) type Shared = Rc<RefCell<World>>;

impl World {
    pub(super) fn new(script: Vec<u64>) -> Self {
        Self { script: script.into_iter(), ..Self::default() }
    }

    pub(super) fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    pub(super) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// What the callback at hand is to do, if anything.
    pub(super) fn choice(&mut self) -> Option<Dice> {
        self.callbacks += 1;
        if self.wait > 0 {
            self.wait -= 1;
            return None;
        }
        let choice = self.script.next()?;
        self.wait = choice % 8;
        self.calls += 1;
        Some(Dice(choice))
    }

    /// A callback of a monitor runs.
    pub(super) fn enter(&mut self, me: usize, what: &str) {
        if self.monitors[me].is_closed {
            self.complain(format!("{what} of monitor {me}, which is closed"));
        }
    }

    /// A callback of a monitor runs for a flow. `sided`: it is about a side.
    pub(super) fn enter_flow<At>(&mut self, me: usize, conn: &Conn<'_, '_, At>, sided: bool) {
        self.enter(me, "an event");
        let place = (me, conn.id());
        let what = || format!("monitor {me}: {:?} {:?} of {:?}", conn.hook(), conn.event(), conn.id());
        if self.left.contains(&place) {
            self.complain(format!("{} after the flow was left", what()));
        }
        if let Some(&since) = self.stopped.get(&(place, conn.side()))
            && sided
            && since != conn.now()
        {
            self.complain(format!("{} after {:?} was stopped at {since:?}", what(), conn.side()));
        }
    }

    pub(super) fn leave(&mut self, place: Place) {
        self.left.insert(place);
    }

    pub(super) fn stop(&mut self, place: Place, side: Side, now: Timestamp) {
        self.stopped.entry((place, side)).or_insert(now);
        if self.stopped.contains_key(&(place, side.other())) {
            self.leave(place);
        }
    }

    pub(super) fn touch<At>(&mut self, conn: &Conn<'_, '_, At>) {
        self.touched.insert(Side::BOTH.map(|side| conn.endpoint(side)));
    }

    /// The descriptor was closed.
    pub(super) fn closed(&mut self, descriptor: Descriptor) {
        if let Some(known) = self.monitors.iter_mut().find(|known| known.descriptor == Some(descriptor)) {
            known.is_closed = true;
        } else if let Some(&place) = self.sockets.get(&descriptor) {
            self.leave(place);
        }
    }
}

/// Ends the callback at hand with a panic that prints nothing.
pub(super) fn blow_up(world: &Shared, place: Option<Place>) -> ! {
    let mut world = world.borrow_mut();
    world.panics += 1;
    if let Some(place) = place {
        world.leave(place);
    }
    drop(world);
    resume_unwind(Box::new("on purpose"))
}
