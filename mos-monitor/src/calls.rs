//! What is called when the monitors of a flow are told something, in the order in which that is done: flat lists, made once for all
//! flows with the same set.

use mos_core::event::{Hook, Interest, Side};

use crate::event::EventId;
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

/// What is to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// A handler: that is all there is for the pair. The usual case, and the cheapest.
    Handler(u32),
    /// Whatever the program of the table says, which belongs to this one among the seats.
    Program(u32),
}

/// The turn of one monitor for one pair of a hook and a built-in event.
#[derive(Clone, Copy, Debug)]
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
    /// Those of these seats, which are in order of creation. Callbacks that are timed are all called by programs, which see to that.
    pub(crate) fn new(seats: &[Seat], timed: bool) -> Self {
        Self {
            lists: Occasion::ALL.map(|occasion| {
                Side::BOTH.map(|side| {
                    let mut calls = Vec::new();
                    let mut add =
                        |(place, seat): (usize, &Seat)| push(&mut calls, place as u32, seat, occasion, side, timed);
                    let seats = seats.iter().enumerate();
                    match occasion.towards(side) {
                        Side::Server => seats.for_each(&mut add),
                        Side::Client => seats.rev().for_each(&mut add),
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
fn push(calls: &mut Vec<Call>, place: u32, seat: &Seat, occasion: Occasion, side: Side, timed: bool) {
    let mut rest = seat.table.told(occasion, side);
    while !rest.is_empty() {
        let before = rest;
        let Some(number) = rest.pop_pair() else { return };
        let Some(event) = seat.table.program.event(number) else { continue };
        let only = seat.table.program.only(number).filter(|_| !timed);
        calls.push(Call {
            told: Told { event, member: seat.member, side, hook: occasion.hook() },
            pair: before.without(rest),
            called: only.map_or(Called::Program(place), Called::Handler),
        });
    }
}
