//! What is called when the monitors of a flow are told something, in the order in which that is done: flat lists, made once for all
//! flows with the same set.

use std::rc::Rc;

use mos_core::event::{Event, Hook, Interest, Side};

use crate::event::EventId;
use crate::program::Node;
use crate::sets::{Member, Seat};

/// Of what monitors are told. Each has a list for each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Events at the SND hook.
    Snd,
    /// Events at the RCV hook.
    Rcv,
    /// ERROR.
    Error,
    /// NEW_DATA at the end of the burst.
    Data,
    /// NEW_DATA with the packet that brought it.
    DataAtOnce,
}

impl Occasion {
    const ALL: [Self; 5] = [Self::Snd, Self::Rcv, Self::Error, Self::Data, Self::DataAtOnce];

    pub(crate) fn hook(self) -> Hook {
        match self {
            Self::Snd => Hook::Snd,
            Self::Rcv => Hook::Rcv,
            Self::Error | Self::Data | Self::DataAtOnce => Hook::Null,
        }
    }

    /// Where on the wire it goes, if it is `side` that is told of: that is the order of the monitors.
    #[inline]
    pub(crate) fn towards(self, side: Side) -> Side {
        if self == Self::Snd { side.other() } else { side }
    }
}

/// What the monitor whose turn it is is told of the flow at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) event: EventId,
    pub(crate) member: Member,
    pub(crate) side: Side,
    pub(crate) hook: Hook,
}

impl Told {
    /// Nothing of a flow that `member` has.
    pub(crate) const fn nothing(member: Member) -> Self {
        Self { event: EventId::Builtin(Event::PktIn), member, side: Side::Client, hook: Hook::Null }
    }
}

/// What is to be called.
#[derive(Clone, Debug)]
pub(crate) enum Called {
    /// A handler: that is all there is for the pair. The usual case, and the cheapest.
    Handler(u32),
    /// What these nodes of a program say.
    Nodes(Rc<[Node]>),
}

/// The turn of one monitor for one pair of a hook and a built-in event.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Put together before: noted with two stores.
    pub(crate) told: Told,
    pub(crate) pair: Interest,
    pub(crate) called: Called,
}

impl Call {
    /// What the same monitor is to be told after this, of all that comes `behind`.
    pub(crate) fn rest(&self, behind: &[Self]) -> Interest {
        let same = behind.iter().take_while(|call| call.told.member == self.told.member);
        same.fold(Interest::NONE, |rest, call| rest.or(call.pair))
    }
}

/// The lists of a set.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    lists: [[Box<[Call]>; 2]; Occasion::ALL.len()],
}

impl Calls {
    /// Those of these seats, which are in order of creation. Callbacks that are timed are all called by nodes: the walk over them
    /// sees to that.
    pub(crate) fn new(seats: &[Seat], timed: bool) -> Self {
        Self {
            lists: Occasion::ALL.map(|occasion| {
                Side::BOTH.map(|side| {
                    let mut calls = Vec::new();
                    let mut add = |seat: &Seat| push(&mut calls, seat, occasion, side, timed);
                    match occasion.towards(side) {
                        Side::Server => seats.iter().for_each(&mut add),
                        Side::Client => seats.iter().rev().for_each(&mut add),
                    }
                    calls.into()
                })
            }),
        }
    }

    /// Who is called when something of `side` is told, in this order.
    #[inline]
    pub(crate) fn of(&self, occasion: Occasion, side: Side) -> &[Call] {
        &self.lists[occasion as usize][side as usize]
    }
}

/// Appends the calls of one seat.
fn push(calls: &mut Vec<Call>, seat: &Seat, occasion: Occasion, side: Side, timed: bool) {
    let program = &seat.table.program;
    let mut rest = seat.table.told(occasion, side);
    loop {
        let before = rest;
        let Some(number) = rest.pop_pair() else { return };
        let nodes = program.nodes(number);
        let Some(first) = nodes.first() else { continue };
        calls.push(Call {
            told: Told { event: first.event, member: seat.member, side, hook: occasion.hook() },
            pair: before.without(rest),
            called: match program.only(number) {
                Some(handler) if !timed => Called::Handler(handler),
                _ => Called::Nodes(Rc::clone(nodes)),
            },
        });
    }
}
