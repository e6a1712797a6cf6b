//! What a burst brought in for readers, until its end: pieces of stream, grouped by flow and side.

use alloc::vec::Vec;
use core::iter::successors;
use core::mem::replace;
use core::ops::Range;

use crate::event::Side;
use crate::wire::SeqNum;

const END: u32 = u32::MAX;

/// The place of a group's first piece: in the group itself, as most have no other one.
pub(crate) const FIRST: u32 = END - 1;

/// A name that no group has: of no slot, as these have 31 bits and the last one is none.
const NOBODY: u32 = u32::MAX;

/// Where the bytes of a piece are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the burst's memory, from this index on.
    Frame(usize),
    /// In the datagrams that the burst made whole, from this index on.
    Scratch(usize),
    /// In the direction's backlog.
    Stored,
    /// Nowhere: they will never come.
    Missing,
}

/// A run of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) source: Source,
    /// Less than there are sequence numbers.
    pub(crate) len: u32,
    pub(crate) next: u32,
}

/// The pieces of one side of one flow, in stream order and without holes between them.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Flow and side.
    name: u32,
    /// The sequence number of the first byte.
    pub(crate) base: SeqNum,
    pub(crate) first: Piece,
    /// The last piece behind the first one, if there is any.
    last: u32,
    /// Where it stands what hardly any group needs, if this one does.
    rest: u32,
    /// Bytes of all pieces.
    pub(crate) len: u64,
    /// Of these, bytes that those have heard of who hear at once.
    pub(crate) announced: u64,
    /// What the first reader has left of them, as long as the direction has no backlog to say it.
    left: u64,
}

const _: () = assert!(size_of::<Group>() == 64, "each packet with data that somebody reads writes one");

/// What hardly any group needs.
#[derive(Clone, Debug, Default)]
struct Rest {
    /// Nobody reads it any more.
    withdrawn: bool,
    /// The stream offset of the first byte, noted only if it cannot be told from its number any more.
    start: Option<u64>,
    /// What each reader but the first one has taken, as long as the direction has no backlog to say it.
    taken: [u64; MAX_READERS],
}

/// The most readers of a direction.
pub(crate) const MAX_READERS: usize = 16;

/// All groups of a burst.
#[derive(Debug)]
pub(crate) struct Pending {
    groups: Vec<Group>,
    /// Those behind the first ones.
    pieces: Vec<Piece>,
    rests: Vec<Rest>,
    /// The group that is being delivered, and up to where those are that may be delivered with it. Empty if there is none.
    delivered: Range<usize>,
    /// Its name, as long as there is nothing else to read of its side; else [`NOBODY`].
    alone: u32,
    /// What the first reader has left of it then: near at hand, as it is asked for and taken for each group.
    left: u64,
}

impl Default for Pending {
    fn default() -> Self {
        Self { groups: Vec::new(), pieces: Vec::new(), rests: Vec::new(), delivered: 0..0, alone: NOBODY, left: 0 }
    }
}

impl Group {
    /// The flow and the side that has received it.
    #[inline]
    pub(crate) fn place(&self) -> (u32, Side) {
        (self.name >> 1, side(self.name))
    }
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.pieces.clear();
        self.rests.clear();
    }

    /// Begins the group of a side that has none, with one piece.
    #[inline(always)]
    pub(crate) fn begin(&mut self, slot: u32, side: Side, base: SeqNum, source: Source, len: u32) {
        if self.groups.len() == self.groups.capacity() {
            return self.begin_with_room(slot, side, base, source, len);
        }
        self.groups.push(Group {
            name: name(slot, side),
            base,
            first: Piece { source, len, next: END },
            last: END,
            rest: END,
            len: len.into(),
            announced: 0,
            left: len.into(),
        });
    }

    /// The same once there is room: to make it on the way would make each call dearer.
    #[cold]
    #[inline(never)]
    fn begin_with_room(&mut self, slot: u32, side: Side, base: SeqNum, source: Source, len: u32) {
        self.groups.reserve(1);
        self.begin(slot, side, base, source, len);
    }

    /// Adds a piece to the group of a side that has one.
    #[inline(never)]
    pub(crate) fn extend(&mut self, slot: u32, side: Side, source: Source, len: u32) {
        let Some(index) = self.find(slot, side) else { return };
        let group = &mut self.groups[index];
        let place = self.pieces.len() as u32;
        let last = self.pieces.get_mut(group.last as usize).unwrap_or(&mut group.first);
        last.next = place;
        group.last = place;
        group.len += u64::from(len);
        group.left += u64::from(len);
        self.pieces.push(Piece { source, len, next: END });
    }

    /// The group of a side. A burst has few; the newest is the likeliest.
    pub(crate) fn find(&self, slot: u32, side: Side) -> Option<usize> {
        let name = name(slot, side);
        let is_it = |&index: &usize| self.groups[index].name == name && !self.is_withdrawn(index);
        (0..self.groups.len()).rev().find(is_it)
    }

    /// Whether nobody reads the group any more.
    pub(crate) fn is_withdrawn(&self, index: usize) -> bool {
        self.rests.get(self.groups[index].rest as usize).is_some_and(|rest| rest.withdrawn)
    }

    /// Nobody reads the group any more. What its side receives later in the burst is another group.
    pub(crate) fn withdraw(&mut self, index: usize) {
        self.rest_mut(index).withdrawn = true;
        if self.delivered.start == index {
            self.join();
        }
    }

    /// The sides of a flow that both have a group, that whose data came first in front.
    pub(crate) fn in_order(&self, slot: u32) -> [Side; 2] {
        match (self.find(slot, Side::Client), self.find(slot, Side::Server)) {
            (Some(client), Some(server)) if server < client => [Side::Server, Side::Client],
            _ => Side::BOTH,
        }
    }

    #[inline]
    pub(crate) fn group(&self, index: usize) -> &Group {
        &self.groups[index]
    }

    /// The first of `groups` is being delivered, and the others may be, too. `alone`: there is nothing else to read of its side.
    pub(crate) fn begin_delivery(&mut self, groups: Range<usize>, alone: bool) {
        let Group { name, left, .. } = self.groups[groups.start];
        self.alone = if alone { name } else { NOBODY };
        (self.delivered, self.left) = (groups, left);
    }

    /// It has been.
    pub(crate) fn end_delivery(&mut self) {
        (self.delivered, self.alone) = (0..0, NOBODY);
    }

    /// The group that is being delivered.
    pub(crate) fn delivered(&self) -> Option<usize> {
        Some(self.delivered.start).filter(|_| !self.delivered.is_empty())
    }

    /// The group that is being delivered, and what the first reader has left of it, if `reader` is that one, the group is of this
    /// side, and there is nothing else to read of it: the usual case.
    #[inline]
    pub(crate) fn only(&self, slot: u32, side: Side, reader: u8) -> Option<(usize, u64)> {
        let usual = reader == 0 && self.alone == name(slot, side);
        if usual { Some((self.delivered.start, self.left)) } else { None }
    }

    /// `reader` takes `len` bytes more, or all there are, in the same case. False in others.
    #[inline]
    pub(crate) fn take_only(&mut self, slot: u32, side: Side, reader: u8, len: u64) -> bool {
        let usual = self.only(slot, side, reader).is_some();
        if usual {
            self.left = self.left.saturating_sub(len);
        }
        usual
    }

    /// From now on there may be something else to read of the side whose group is being delivered.
    pub(crate) fn join(&mut self) {
        if self.alone != NOBODY {
            self.groups[self.delivered.start].left = self.left;
            self.alone = NOBODY;
        }
    }

    /// The group behind the one that is being delivered, if it is like most, and the first reader has taken all there was to read
    /// there.
    #[inline]
    pub(crate) fn next_if_taken(&self) -> Option<&Group> {
        let Range { start, end } = self.delivered;
        if self.alone == NOBODY || self.left > 0 || start + 1 >= end {
            return None;
        }
        self.groups.get(start + 1).filter(|group| group.rest == END)
    }

    /// That one is being delivered now, and there is nothing else to read of its side. Returns the side of the one before it.
    #[inline]
    pub(crate) fn go_on(&mut self) -> Side {
        self.delivered.start += 1;
        let Group { name, left, .. } = self.groups[self.delivered.start];
        self.left = left;
        side(replace(&mut self.alone, name))
    }

    /// What `reader` has taken of a group that is not alone (see [`Self::only`]).
    pub(crate) fn taken(&self, index: usize, reader: u8) -> u64 {
        let group = &self.groups[index];
        if reader == 0 {
            return group.len - group.left;
        }
        let rest = self.rests.get(group.rest as usize);
        rest.and_then(|rest| rest.taken.get(usize::from(reader))).copied().unwrap_or(0)
    }

    /// Whether all of `readers`, one bit each, have taken all of such a group.
    pub(crate) fn is_taken(&self, index: usize, readers: u16) -> bool {
        let (len, mut rest) = (self.groups[index].len, readers);
        while rest != 0 {
            if self.taken(index, rest.trailing_zeros() as u8) < len {
                return false;
            }
            rest &= rest - 1;
        }
        true
    }

    /// `reader` takes `len` bytes more of such a group, or all there are.
    pub(crate) fn take(&mut self, index: usize, reader: u8, len: u64) {
        let group = &mut self.groups[index];
        if reader == 0 {
            group.left = group.left.saturating_sub(len);
            return;
        }
        let most = group.len;
        if let Some(taken) = self.rest_mut(index).taken.get_mut(usize::from(reader)) {
            *taken = taken.saturating_add(len).min(most);
        }
    }

    /// What hardly any group needs, of one that does.
    fn rest_mut(&mut self, index: usize) -> &mut Rest {
        let group = &mut self.groups[index];
        if group.rest == END {
            group.rest = self.rests.len() as u32;
            self.rests.push(Rest::default());
        }
        &mut self.rests[group.rest as usize]
    }

    /// Somebody more hears at once: what waits for the end of the burst is told with the next packet.
    pub(crate) fn announce_again(&mut self, index: usize) {
        self.groups[index].announced = 0;
    }

    /// All of a group is known to those who hear at once.
    pub(crate) fn announce(&mut self, index: usize) {
        let group = &mut self.groups[index];
        group.announced = group.len;
    }

    /// The stream offset of a group's first byte, if that was noted.
    pub(crate) fn start(&self, index: usize) -> Option<u64> {
        self.rests.get(self.groups[index].rest as usize)?.start
    }

    /// Notes it.
    pub(crate) fn note_start(&mut self, index: usize, start: u64) {
        self.rest_mut(index).start = Some(start);
    }

    /// The pieces of a group.
    pub(crate) fn pieces(&self, index: usize) -> impl Iterator<Item = &Piece> {
        successors(Some(&self.groups[index].first), |piece| self.after(piece))
    }

    /// The piece behind another one of the same group.
    pub(crate) fn after(&self, piece: &Piece) -> Option<&Piece> {
        self.pieces.get(piece.next as usize)
    }

    /// The piece of a group at [`FIRST`], or where the one before it says.
    pub(crate) fn piece_mut(&mut self, index: usize, place: u32) -> Option<&mut Piece> {
        if place == FIRST { Some(&mut self.groups[index].first) } else { self.pieces.get_mut(place as usize) }
    }
}

/// Slots have 31 bits (see `FlowTable::new`).
fn name(slot: u32, side: Side) -> u32 {
    slot << 1 | side as u32
}

/// The side of that name.
fn side(name: u32) -> Side {
    if name & 1 == 0 { Side::Client } else { Side::Server }
}
