//! Where flows live: a slab of slots, and a hash table that finds the slot of a packet.
//!
//! The table (`TagIndex`) holds a 32-bit tag and a slot number; the key itself is in the slot's line. So a burst can probe
//! first, fetch the lines, and confirm later. Room for the most slots is reserved, not touched, at the start: a flow's
//! records never move. Only the table itself grows, a little with each new flow.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::index::TagIndex;
use super::key::{FlowKey, Hasher, PacketKey};
use super::record::{Cold, Extras, FlowFlags, Hot};
use super::spill::{NO_SPILL, SpillHalf, SpillStore};
use crate::event::Side;
use crate::prefetch::prefetch;
use crate::time::Timestamp;
use crate::wire::Packet;

/// The entries of so many slots are moved with each burst while the index grows. Two for each new flow would do to be ready in
/// time, and a burst has at most [`MAX_BURST`](crate::packet::MAX_BURST) of them.
const MOVES: usize = 4 * crate::packet::MAX_BURST;

/// The slot of no flow.
pub const NO_SLOT: u32 = u32::MAX;

/// Names a flow for as long as it lives; never another one that uses the slot later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl FlowId {
    /// The flow's slot: small, dense numbers, used again after the flow is gone. An index for per-flow state.
    #[must_use]
    pub fn slot(self) -> usize {
        self.slot as usize
    }

    /// The flow as one number, unique among the flows of its core.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }
}

/// An IPv6 address and a port. Of plain tuples and short arrays the allocator gives zeroed memory that is not touched.
type EndpointV6 = ([u8; 16], u16);

/// All flows of one core.
#[derive(Debug)]
pub struct FlowTable {
    hasher: Hasher,
    index: TagIndex,
    /// What came to the index since a burst's flows were probed: one bit for all tags of a kind.
    arrivals: u64,
    /// While the index grows: the first slot whose entries may not have been moved.
    unmoved: usize,
    hot: Vec<Hot>,
    cold: Vec<Cold>,
    /// Client and server of IPv6 flows. Zeroed memory that is never written costs nothing.
    v6: Vec<[EndpointV6; 2]>,
    spills: SpillStore,
    extras: BTreeMap<u32, Extras>,
    free: Vec<u32>,
    max_flows: usize,
    live: usize,
}

impl FlowTable {
    /// A table for up to `max_flows` flows at a time, found by the keys that `hasher` makes.
    #[must_use]
    pub fn new(max_flows: usize, hasher: Hasher) -> Self {
        let max_flows = max_flows.clamp(1, NO_SLOT as usize / 2);
        // The slots of flows that ended within a burst come back only after it: that many more are needed.
        let slots = max_flows + crate::packet::MAX_BURST;
        Self {
            hasher,
            index: TagIndex::new(max_flows),
            arrivals: 0,
            unmoved: 0,
            hot: Vec::with_capacity(slots),
            cold: Vec::with_capacity(slots),
            v6: vec![[([0; 16], 0); 2]; slots],
            spills: SpillStore::new(slots),
            extras: BTreeMap::new(),
            free: Vec::new(),
            max_flows,
            live: 0,
        }
    }

    /// Flows that are alive.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// Whether another flow needs an eviction first.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.live >= self.max_flows
    }

    /// Slots that there may ever be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.v6.len()
    }

    /// Slots ever used: the upper bound of slot numbers.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.hot.len()
    }

    /// The first slot whose tag equals; its line is fetched. It may be another flow's: the caller confirms with
    /// [`Self::confirm`].
    #[inline]
    #[must_use]
    pub fn probe(&self, tag: u32) -> u32 {
        self.index.find(tag, |slot| {
            self.prefetch(slot);
            true
        })
    }

    /// The same for several: from now on it is noted what they do not know of.
    #[inline(never)]
    pub fn probe_all(&mut self, keys: &[PacketKey], slots: &mut [u32]) {
        self.arrivals = 0;
        for (slot, key) in slots.iter_mut().zip(keys) {
            *slot = self.probe(key.tag);
        }
    }

    /// Fetches the line of `slot`.
    #[inline]
    pub fn prefetch(&self, slot: u32) {
        prefetch(&self.hot, slot as usize);
    }

    /// Fetches the addresses of an IPv6 flow.
    #[inline]
    pub fn prefetch_v6(&self, slot: u32) {
        prefetch(&self.v6, slot as usize);
    }

    /// Fetches the cold part of `slot`.
    #[inline]
    pub fn prefetch_cold(&self, slot: u32) {
        prefetch(&self.cold, slot as usize);
    }

    /// The line of `slot`, if that is one.
    #[inline]
    #[must_use]
    pub fn get(&self, slot: u32) -> Option<&Hot> {
        self.hot.get(slot as usize)
    }

    /// The line of `slot`, as probed, if it has this key. An IPv6 key is a digest: see [`Self::same_v6`].
    #[inline(always)]
    pub fn probed(&mut self, slot: u32, key: &PacketKey) -> Option<&mut Hot> {
        self.hot.get_mut(slot as usize).filter(|hot| hot.key == key.key)
    }

    /// Whether `slot`, as probed, is the flow of this packet.
    #[inline]
    #[must_use]
    pub fn confirm(&self, slot: u32, key: &PacketKey, packet: &Packet, frame: &[u8]) -> bool {
        match self.hot.get(slot as usize) {
            Some(hot) if hot.key == key.key => {
                let plain = !key.key.is_v6() && !hot.flags.any(FlowFlags::TRANSLATED);
                plain || self.confirm_rest(slot, key, packet, frame)
            }
            _ => false,
        }
    }

    /// The slot of this packet's flow, or [`NO_SLOT`], where `slot` was probed for it: that may be another one's with the same tag,
    /// or the flow has ended or begun since then.
    #[inline(always)]
    #[must_use]
    pub fn locate(&self, slot: u32, key: &PacketKey, packet: &Packet, frame: &[u8]) -> u32 {
        // Of most packets that begin a flow, this tells that there is none.
        let is_new = slot == NO_SLOT && self.arrivals & kind(key.tag) == 0;
        if is_new || self.confirm(slot, key, packet, frame) { slot } else { self.find(key, packet, frame) }
    }

    /// The slot of this packet's flow, or [`NO_SLOT`].
    #[must_use]
    pub fn find(&self, key: &PacketKey, packet: &Packet, frame: &[u8]) -> u32 {
        self.index.find(key.tag, |slot| self.confirm(slot, key, packet, frame) || self.is_server_key(slot, key.key))
    }

    /// An IPv6 key is a digest; and under the client's key of a translated flow only the client sends.
    fn confirm_rest(&self, slot: u32, key: &PacketKey, packet: &Packet, frame: &[u8]) -> bool {
        let flags = self.hot[slot as usize].flags;
        let from_client = key.from_high == flags.any(FlowFlags::CLIENT_IS_HIGH);
        (from_client || !flags.any(FlowFlags::TRANSLATED))
            && (!key.key.is_v6() || self.same_v6(slot, key, packet, frame))
    }

    /// Whether the packet has the addresses and ports of the IPv6 flow in `slot`.
    #[inline]
    #[must_use]
    pub fn same_v6(&self, slot: u32, key: &PacketKey, packet: &Packet, frame: &[u8]) -> bool {
        let (mut source, mut destination) = (0, 1);
        if key.from_high != self.hot[slot as usize].flags.any(FlowFlags::CLIENT_IS_HIGH) {
            (source, destination) = (1, 0);
        }
        let endpoints = &self.v6[slot as usize];
        endpoints[source] == (packet.src_v6(frame), packet.src_port)
            && endpoints[destination] == (packet.dst_v6(frame), packet.dst_port)
    }

    fn is_server_key(&self, slot: u32, key: FlowKey) -> bool {
        self.hot[slot as usize].flags.any(FlowFlags::TRANSLATED)
            && self.extras.get(&slot).and_then(|extras| extras.server_key).is_some_and(|(server, _)| server == key)
    }

    /// Which side of `slot` sent a packet with this key.
    #[inline]
    #[must_use]
    pub fn sender(&self, slot: u32, key: &PacketKey) -> Side {
        let hot = &self.hot[slot as usize];
        if hot.flags.any(FlowFlags::TRANSLATED) && hot.key != key.key {
            return Side::Server;
        }
        hot.sender(key)
    }

    /// A new flow whose client is the packet's sender (`client_sent`) or its receiver: its slot and its records. The table must not
    /// be full.
    pub fn insert(
        &mut self,
        key: &PacketKey,
        packet: &Packet,
        frame: &[u8],
        client_sent: bool,
        created: Timestamp,
    ) -> (u32, &mut Hot, &mut Cold) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.hot.push(Hot::NEW);
            self.cold.push(Cold::NEW);
            self.hot.len() as u32 - 1
        });
        self.enter(key.tag, slot);
        self.live += 1;
        let mut flags = FlowFlags::HALF_OPEN;
        if key.from_high == client_sent {
            flags.set(FlowFlags::CLIENT_IS_HIGH);
        }
        if key.key.is_v6() {
            let source = (packet.src_v6(frame), packet.src_port);
            let destination = (packet.dst_v6(frame), packet.dst_port);
            self.v6[slot as usize] = if client_sent { [source, destination] } else { [destination, source] };
        }
        let (hot, cold) = (&mut self.hot[slot as usize], &mut self.cold[slot as usize]);
        *hot = Hot { key: key.key, flags, ..Hot::NEW };
        *cold = Cold { created, generation: cold.generation.wrapping_add(1), ..Cold::NEW };
        (slot, hot, cold)
    }

    /// Lets `slot` be found under `tag`.
    #[inline(always)]
    fn enter(&mut self, tag: u32, slot: u32) {
        self.arrivals |= kind(tag);
        if self.index.insert(tag, slot) {
            self.unmoved = 0;
        }
    }

    /// Whether the index grows: then [`Self::grow`] is to be called with every burst.
    #[inline]
    #[must_use]
    pub fn is_growing(&self) -> bool {
        self.index.is_growing()
    }

    /// Moves the entries of a few more flows to the larger index.
    #[cold]
    pub fn grow(&mut self) {
        let end = self.hot.len().min(self.unmoved + MOVES);
        for slot in self.unmoved as u32..end as u32 {
            if self.is_live(slot) {
                self.index.move_entry(self.hasher.tag(self.hot[slot as usize].key), slot);
                if let Some((_, tag)) = self.extras(slot).and_then(|extras| extras.server_key) {
                    self.index.move_entry(tag, slot);
                }
            }
        }
        self.unmoved = end;
    }

    /// Lets the server half be found under `key` as well: the packet that reached it carried other addresses than the
    /// one that came from the client.
    pub fn insert_server_key(&mut self, slot: u32, key: &PacketKey) {
        self.remove_server_key(slot);
        self.hot[slot as usize].flags.set(FlowFlags::TRANSLATED);
        self.extras_mut(slot).server_key = Some((key.key, key.tag));
        self.enter(key.tag, slot);
    }

    fn remove_server_key(&mut self, slot: u32) {
        let key = self.extras.get_mut(&slot).and_then(|extras| extras.server_key.take());
        if let Some((_, tag)) = key {
            self.index.remove(tag, slot);
        }
    }

    /// The flow in `slot` is found no more. Its records stay readable until [`Self::recycle`].
    pub fn remove(&mut self, slot: u32) {
        let hot = &mut self.hot[slot as usize];
        let key = hot.key;
        hot.key = key.closed();
        if hot.flags.any(FlowFlags::EXTRAS) {
            self.remove_server_key(slot);
            self.extras.remove(&slot);
        }
        self.index.remove(self.hasher.tag(key), slot);
        self.live -= 1;
    }

    /// Gives the slot of a removed flow to the next one.
    #[inline]
    pub fn recycle(&mut self, slot: u32) {
        self.spills.give_back(core::mem::replace(&mut self.cold[slot as usize].spill, NO_SPILL));
        self.free.push(slot);
    }

    /// Both parts of a flow.
    #[inline(always)]
    pub fn parts(&mut self, slot: u32) -> (&mut Hot, &mut Cold) {
        (&mut self.hot[slot as usize], &mut self.cold[slot as usize])
    }

    /// The hot line.
    #[inline]
    #[must_use]
    pub fn hot(&self, slot: u32) -> &Hot {
        &self.hot[slot as usize]
    }

    /// The hot line, to change.
    #[inline]
    pub fn hot_mut(&mut self, slot: u32) -> &mut Hot {
        &mut self.hot[slot as usize]
    }

    /// The cold part.
    #[inline]
    #[must_use]
    pub fn cold(&self, slot: u32) -> &Cold {
        &self.cold[slot as usize]
    }

    /// The cold part, to change.
    #[inline]
    pub fn cold_mut(&mut self, slot: u32) -> &mut Cold {
        &mut self.cold[slot as usize]
    }

    /// What `side` has only if something of the flow was lost, repeated, late or left unread.
    #[inline]
    #[must_use]
    pub fn spill(&self, slot: u32, side: Side) -> &SpillHalf {
        self.spills.get(self.cold[slot as usize].spill, side as usize)
    }

    /// The same, to change, made if need be.
    pub fn spill_mut(&mut self, slot: u32, side: Side) -> &mut SpillHalf {
        self.spills.get_mut(&mut self.cold[slot as usize].spill, side as usize)
    }

    /// The rare part, if the flow has one.
    #[inline]
    #[must_use]
    pub fn extras(&self, slot: u32) -> Option<&Extras> {
        self.hot[slot as usize].flags.any(FlowFlags::EXTRAS).then(|| self.extras.get(&slot)).flatten()
    }

    /// The rare part, to change, if the flow has one.
    pub fn extras_if_any(&mut self, slot: u32) -> Option<&mut Extras> {
        self.hot[slot as usize].flags.any(FlowFlags::EXTRAS).then(|| self.extras.get_mut(&slot)).flatten()
    }

    /// The rare part, made if need be.
    pub fn extras_mut(&mut self, slot: u32) -> &mut Extras {
        self.hot[slot as usize].flags.set(FlowFlags::EXTRAS);
        self.extras.entry(slot).or_default()
    }

    /// The rare part goes: there is nothing in it.
    pub fn drop_extras(&mut self, slot: u32) {
        self.hot[slot as usize].flags.clear(FlowFlags::EXTRAS);
        self.extras.remove(&slot);
    }

    /// Address and port of one side, as the first packet had them before any callback.
    #[must_use]
    pub fn endpoint(&self, slot: u32, side: Side) -> SocketAddr {
        let hot = &self.hot[slot as usize];
        if !hot.key.is_v6() {
            let high = (side == Side::Client) == hot.flags.any(FlowFlags::CLIENT_IS_HIGH);
            return hot.key.endpoint_v4(high).into();
        }
        self.v6[slot as usize][side as usize].into()
    }

    /// The flow in `slot`, by its lasting name.
    #[must_use]
    pub fn id(&self, slot: u32) -> FlowId {
        FlowId { slot, generation: self.cold[slot as usize].generation }
    }

    /// The slot of `id`, if that flow is still alive.
    #[must_use]
    pub fn slot_of(&self, id: FlowId) -> Option<u32> {
        let cold = self.cold.get(id.slot as usize)?;
        (cold.generation == id.generation && self.is_live(id.slot)).then_some(id.slot)
    }

    /// Whether `slot` holds a flow that is alive.
    #[inline]
    #[must_use]
    pub fn is_live(&self, slot: u32) -> bool {
        self.hot.get(slot as usize).is_some_and(|hot| !hot.key.is_closed())
    }

    /// The `count` flows that were idle longest at `now` (in ticks), longest first, with when they were last seen.
    pub fn longest_idle(&self, now: u32, count: usize, result: &mut Vec<(u32, u32)>) {
        result.clear();
        result.extend(
            (0..self.hot.len() as u32)
                .filter(|&slot| self.is_live(slot))
                .map(|slot| (now.wrapping_sub(self.hot(slot).last_seen), slot)),
        );
        let count = count.min(result.len());
        if count < result.len() {
            result.select_nth_unstable_by(count, |a, b| b.cmp(a));
            result.truncate(count);
        }
        result.sort_unstable_by(|a, b| b.cmp(a));
    }
}

/// The bit that stands for all tags like this one.
fn kind(tag: u32) -> u64 {
    1 << (tag % u64::BITS)
}

/// `duration` in ticks of 1 ms, rounded up, as far as ticks reach.
#[must_use]
pub fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX / 2).min(u32::MAX / 2)
}
