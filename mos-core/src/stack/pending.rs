//! What a burst brought in for readers, until its end: pieces of stream, grouped by flow and side.

use alloc::vec::Vec;

use crate::event::Side;
use crate::wire::SeqNum;

const END: u32 = u32::MAX;

/// The name of a group that nobody reads any more: of no slot, as these have 31 bits and the last one is none.
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
    pub(crate) len: u64,
    pub(crate) next: u32,
}

/// The pieces of one side of one flow, in stream order and without holes between them.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) slot: u32,
    pub(crate) side: Side,
    /// The sequence number of the first byte.
    pub(crate) base: SeqNum,
    /// Its stream offset, noted only if it cannot be told from `base` any more.
    pub(crate) start: Option<u64>,
    pub(crate) first: u32,
    last: u32,
    /// Bytes of all pieces.
    pub(crate) len: u64,
    /// Of these, bytes that those have heard of who hear at once.
    pub(crate) announced: u64,
    /// What the first reader has taken, as long as the direction has no backlog to say it; ...
    taken: u64,
    /// ... and where it stands for all readers, if another one has taken something.
    all_taken: u32,
}

/// What each reader has taken.
type Taken = [u64; MAX_READERS];

/// The most readers of a direction.
pub(crate) const MAX_READERS: usize = 16;

/// All groups of a burst.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Flow and side of each group, close together: they are searched.
    names: Vec<u32>,
    groups: Vec<Group>,
    pieces: Vec<Piece>,
    all_taken: Vec<Taken>,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn clear(&mut self) {
        self.names.clear();
        self.groups.clear();
        self.pieces.clear();
        self.all_taken.clear();
    }

    /// Begins the group of a side that has none, with one piece.
    #[inline]
    pub(crate) fn begin(&mut self, slot: u32, side: Side, base: SeqNum, source: Source, len: u64) {
        let piece = self.pieces.len() as u32;
        self.pieces.push(Piece { source, len, next: END });
        self.names.push(name(slot, side));
        self.groups.push(Group {
            slot,
            side,
            base,
            start: None,
            first: piece,
            last: piece,
            len,
            announced: 0,
            taken: 0,
            all_taken: END,
        });
    }

    /// Adds a piece to the group of a side that has one.
    #[inline]
    pub(crate) fn extend(&mut self, slot: u32, side: Side, source: Source, len: u64) {
        let piece = self.pieces.len() as u32;
        self.pieces.push(Piece { source, len, next: END });
        if let Some(index) = self.find(slot, side) {
            let group = &mut self.groups[index];
            group.len += len;
            let last = group.last;
            group.last = piece;
            self.pieces[last as usize].next = piece;
        }
    }

    /// The group of a side. A burst has few; the newest is the likeliest.
    #[inline]
    pub(crate) fn find(&self, slot: u32, side: Side) -> Option<usize> {
        let name = name(slot, side);
        self.names.iter().rposition(|other| *other == name)
    }

    /// Nobody reads the group any more. What its side receives later in the burst is another group.
    pub(crate) fn withdraw(&mut self, index: usize) {
        self.names[index] = NOBODY;
    }

    /// Whether nobody reads the group any more.
    #[inline]
    pub(crate) fn is_withdrawn(&self, index: usize) -> bool {
        self.names[index] == NOBODY
    }

    /// The sides of a flow, that whose data came first in front.
    pub(crate) fn in_order(&self, slot: u32) -> [Side; 2] {
        match (self.find(slot, Side::Client), self.find(slot, Side::Server)) {
            (Some(client), Some(server)) if server < client => [Side::Server, Side::Client],
            _ => Side::BOTH,
        }
    }

    pub(crate) fn group(&self, index: usize) -> &Group {
        &self.groups[index]
    }

    /// What `reader` has taken of a group.
    #[inline]
    pub(crate) fn taken(&self, index: usize, reader: u8) -> u64 {
        let group = &self.groups[index];
        if group.all_taken == END {
            return if reader == 0 { group.taken } else { 0 };
        }
        let all = self.all_taken.get(group.all_taken as usize);
        all.and_then(|all| all.get(usize::from(reader))).copied().unwrap_or(0)
    }

    /// Whether all of `readers`, one bit each, have taken all of a group.
    #[inline]
    pub(crate) fn is_taken(&self, index: usize, readers: u16) -> bool {
        let group = &self.groups[index];
        if group.all_taken == END {
            // Only the first one can have taken anything.
            return readers & !1 == 0 && (readers == 0 || group.taken >= group.len);
        }
        (0..MAX_READERS as u8).all(|reader| readers & 1 << reader == 0 || self.taken(index, reader) >= group.len)
    }

    /// `reader` has taken so much of a group.
    #[inline]
    pub(crate) fn take(&mut self, index: usize, reader: u8, taken: u64) {
        let group = &mut self.groups[index];
        if reader == 0 && group.all_taken == END {
            group.taken = taken;
        } else {
            self.take_among(index, reader, taken);
        }
    }

    /// The same where the first reader is not the only one that has taken something.
    #[inline(never)]
    fn take_among(&mut self, index: usize, reader: u8, taken: u64) {
        let group = &mut self.groups[index];
        if reader > 0 && group.all_taken == END {
            group.all_taken = self.all_taken.len() as u32;
            let mut all = [0; MAX_READERS];
            all[0] = group.taken;
            self.all_taken.push(all);
        }
        match self.all_taken.get_mut(group.all_taken as usize).and_then(|all| all.get_mut(usize::from(reader))) {
            Some(place) => *place = taken,
            None => group.taken = taken,
        }
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

    /// Notes the stream offset of a group's first byte.
    pub(crate) fn note_start(&mut self, index: usize, start: u64) {
        self.groups[index].start = Some(start);
    }

    pub(crate) fn piece(&self, index: u32) -> Option<&Piece> {
        self.pieces.get(index as usize)
    }

    pub(crate) fn piece_mut(&mut self, index: u32) -> Option<&mut Piece> {
        self.pieces.get_mut(index as usize)
    }
}

/// Slots have 31 bits (see `FlowTable::new`).
fn name(slot: u32, side: Side) -> u32 {
    slot << 1 | side as u32
}
