//! A burst's way through the stack.
//!
//! Three loops, each over the whole burst, so that memory is fetched while there is other work: decode and hash; probe the
//! table by tag; confirm and process. Merging the first two costs most of what the prefetches win.

use core::mem;
use core::ops::Range;

use super::{CoreCx, PacketCx, Stack, WHOLE};
use crate::config::ChecksumMode;
use crate::event::{Observer, Wanted};
use crate::flow::key::PacketKey;
use crate::flow::{FlowFlags, Hasher, NO_SLOT};
use crate::packet::{Burst, FrameMeta, LinkType, MAX_BURST, Verdict};
use crate::prefetch::prefetch;
use crate::time::Timestamp;
use crate::wire::{Packet, PacketKind, checksum, decode_ip, decode_unusual, decode_usual, fragment::Outcome};

/// How many frames ahead a header is fetched when the next burst is not known: far enough for memory to answer.
const HEADERS_AHEAD: usize = 8;

/// Bytes that memory is fetched by.
const CACHE_LINE: usize = 64;

/// After somebody has read the bytes of a stream, so many bursts are taken to be read, too: their payloads are fetched while
/// there is other work. Where nobody reads, that would cost more than anything else.
const READ_ON: u8 = 8;

/// How many packets ahead the cold part of a flow is fetched: by then its hot line, fetched before, has arrived.
pub(super) const AHEAD: usize = 4;

impl Stack {
    /// Takes a burst of at most [`MAX_BURST`] frames (more are not looked at) and says what is to become of each.
    ///
    /// Time does not run backwards: a frame older than the last one is processed at the time of the last one.
    pub fn process_burst<O: Observer>(&mut self, burst: &mut Burst<'_>, observer: &mut O) -> &[Verdict] {
        let count = burst.frames.len().min(MAX_BURST);
        self.scratch.clear();
        self.verdicts[..count].fill(Verdict::Forward);
        // Checksums are of whole packets.
        let reading = self.reading.get() > 0 || self.config.checksum != ChecksumMode::Trust;
        self.reading.set(self.reading.get().saturating_sub(1));
        // Headers are fetched one by one with all there is to do: as many at once as a burst has would wait for each other. But
        // where payloads are fetched, these would have to wait then.
        let at_once = if reading { burst.upcoming } else { &[] };
        let bytes = self.decode(burst, at_once, count);
        self.probe(count);
        if reading {
            self.process_each::<O, true>(burst, observer);
        } else {
            self.process_each::<O, false>(burst, observer);
        }
        self.stats.packets += count as u64;
        self.stats.bytes += bytes;
        self.end_burst(burst, observer);
        &self.verdicts[..count]
    }

    /// One packet after the other. `READING`: payloads are likely to be read, if only for their checksums.
    #[inline(always)]
    fn process_each<O: Observer, const READING: bool>(&mut self, burst: &mut Burst<'_>, observer: &mut O) {
        let frames = &burst.frames[..burst.frames.len().min(MAX_BURST)];
        let headers = match burst.upcoming.get(..frames.len()) {
            Some(headers) => headers,
            // All there are, at once; one by one, what there is no harm in fetching: the loop has no end but its own to look for.
            None => {
                burst.upcoming.iter().for_each(|next| prefetch(burst.memory, next.start));
                frames
            }
        };
        for (index, (meta, next)) in frames.iter().zip(headers).enumerate() {
            if !READING {
                prefetch(burst.memory, next.start);
            }
            self.prefetch_for::<READING>(index + AHEAD, burst);
            let late = self.move_to(meta.timestamp, burst, observer);
            if late || observer.wants_packets() {
                self.process(index, burst, observer);
            } else if !self.short::<O, READING>(index, burst, observer) {
                self.different(index, burst, observer);
            }
        }
    }

    /// The line of the flow of a packet a little ahead has arrived by now, and tells what else the packet will need. `READING`:
    /// its payload is likely to be read.
    #[inline(always)]
    fn prefetch_for<const READING: bool>(&self, index: usize, burst: &Burst<'_>) {
        let (slot, mut payload) = (self.slots[index], READING);
        if let Some(hot) = self.flows.get(slot) {
            if hot.has_hole() {
                self.prefetch_rest(slot);
                // What comes out of order is copied, if anybody wants it.
                payload |= hot.wanted.any(Wanted::BUFFERS);
            } else if !hot.flags.any(FlowFlags::FAST) {
                self.prefetch_rest(slot);
            }
        }
        if payload {
            self.prefetch_payload(index, burst);
        }
    }

    /// Fetches what packets need that do not go the shortest way.
    #[inline(always)]
    fn prefetch_rest(&self, slot: u32) {
        self.flows.prefetch_cold(slot);
        self.timers.prefetch(slot);
    }

    /// Fetches the payload of a packet a little ahead, if there is one. Not inlined: the loop has the registers for itself.
    #[inline(never)]
    fn prefetch_payload(&self, index: usize, burst: &Burst<'_>) {
        if let (Some(meta), Some(packet)) = (burst.frames.get(index), self.packets.get(index))
            && packet.kind == PacketKind::Tcp
        {
            let Range { start: mut at, end } = packet.payload_range();
            while at < end {
                prefetch(burst.memory, meta.start + at);
                at += CACHE_LINE;
            }
        }
    }

    /// Reads the headers of the first `count` frames and names their flows, while those of `upcoming` frames are fetched; of this
    /// burst's own, if nobody knew of them before. Returns how many bytes the frames had on the wire.
    fn decode(&mut self, burst: &Burst<'_>, upcoming: &[FrameMeta], count: usize) -> u64 {
        let ahead = match burst.upcoming {
            [] => burst.frames.get(HEADERS_AHEAD..).unwrap_or_default(),
            _ => upcoming,
        };
        let frames = &burst.frames[..count];
        let (first, last) = frames.split_at(ahead.len().min(count));
        // When no more are known to fetch, there is no harm in fetching a frame that is read at once.
        self.decode_run(0, burst.memory, first, ahead) + self.decode_run(first.len(), burst.memory, last, last)
    }

    /// Reads the headers of `frames`, of which the first one is number `first` in its burst, while those of as many frames
    /// `ahead` are fetched. Not inlined: all it needs is in registers then.
    #[inline(never)]
    fn decode_run(&mut self, first: usize, memory: &[u8], frames: &[FrameMeta], ahead: &[FrameMeta]) -> u64 {
        let hasher = self.hasher;
        let mut bytes = 0;
        let places = self.packets[first..].iter_mut().zip(&mut self.keys[first..]);
        for ((meta, next), (packet, key)) in frames.iter().zip(ahead).zip(places) {
            prefetch(memory, next.start);
            bytes += u64::from(meta.wire_len);
            let frame = &memory[meta.range()];
            if meta.link == LinkType::Ethernet
                && let Some(endpoints) = decode_usual(packet, frame, meta.wire_len)
            {
                *key = hasher.key_v4(endpoints);
            } else {
                self.has_v6 |= unusual(packet, key, frame, meta, &hasher);
            }
        }
        bytes
    }

    /// Looks for the flows of the first `count` packets and fetches their lines. What is not TCP is looked for in vain: to tell
    /// it apart costs more.
    fn probe(&mut self, count: usize) {
        self.flows.probe_all(&self.keys[..count], &mut self.slots[..count]);
        self.slots[count..][..AHEAD].fill(NO_SLOT);
        if mem::take(&mut self.has_v6) {
            for &slot in self.slots[..count].iter().filter(|slot| **slot != NO_SLOT) {
                self.flows.prefetch_v6(slot);
            }
        }
    }

    /// Somebody reads bytes of a stream.
    #[inline]
    pub(super) fn note_reading(&self) {
        self.reading.set(READ_ON);
    }

    /// Lets time pass without a packet. All that is due happens, however much it is.
    pub fn handle_timeout<O: Observer>(&mut self, now: Timestamp, observer: &mut O) {
        let mut burst = Burst { memory: &mut [], frames: &[], upcoming: &[] };
        loop {
            self.move_to(now, &mut burst, observer);
            self.end_burst(&mut burst, observer);
            if !self.is_late() {
                return;
            }
        }
    }

    /// When [`Self::handle_timeout`] has something to do at the earliest; `None` if no flow waits for anything.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let flows = match self.timers.next_due() {
            u64::MAX => Timestamp::MAX,
            tick => Timestamp::from_millis(tick),
        };
        Some(flows.min(self.wakeup)).filter(|time| *time < Timestamp::MAX)
    }

    /// What is to be forwarded in place of the frame at `index` of `burst`, the last one that was processed: the frame itself
    /// as the callbacks left it, or what they made of it. `None` if it was dropped.
    #[must_use]
    pub fn forwarded<'f>(&'f self, index: usize, burst: &'f Burst<'_>) -> Option<&'f [u8]> {
        let forward = self.verdicts.get(index).is_some_and(|verdict| *verdict == Verdict::Forward);
        forward.then(|| self.scratch.frame(index, burst))
    }

    /// The same, to be readdressed on its way.
    #[must_use]
    pub fn forwarded_mut<'f>(&'f mut self, index: usize, burst: &'f mut Burst<'_>) -> Option<&'f mut [u8]> {
        let forward = self.verdicts.get(index).is_some_and(|verdict| *verdict == Verdict::Forward);
        forward.then(|| self.scratch.frame_mut(index, burst))
    }

    /// Lets time pass up to a packet. True if timers are overdue then.
    #[inline(always)]
    fn move_to<O: Observer>(&mut self, time: Timestamp, burst: &mut Burst<'_>, observer: &mut O) -> bool {
        if time < self.quiet_until {
            self.now = self.now.max(time);
            return false;
        }
        self.move_on(time, burst, observer)
    }

    /// To another tick, or to something that is due. True if timers are overdue then.
    #[cold]
    #[inline(never)]
    fn move_on<O: Observer>(&mut self, time: Timestamp, burst: &mut Burst<'_>, observer: &mut O) -> bool {
        let late = self.is_late();
        let time = time.max(self.now);
        let tick = time.as_millis();
        if late || time > self.now && (tick >= self.timers.next_due() || time >= self.wakeup) {
            self.pass_time(time, burst, observer);
        }
        (self.now, self.tick) = (time, tick);
        let late = self.timers.next_due() <= tick;
        self.quiet_until = if late { Timestamp::ZERO } else { Timestamp::from_millis(tick + 1).min(self.wakeup) };
        self.is_late()
    }

    /// What is due up to `time`, in order of time, until there were too many timers. The others are overdue then: they go
    /// first in the next call, and whatever else is due waits for them.
    #[cold]
    fn pass_time<O: Observer>(&mut self, time: Timestamp, burst: &mut Burst<'_>, observer: &mut O) {
        let mut work = self.timer_work(time.as_millis());
        // The end of time is no wakeup, though time may get there.
        while self.wakeup <= time && self.wakeup < Timestamp::MAX {
            let due = self.wakeup.max(self.now);
            if !self.fire_timers(due.as_millis(), &mut work, burst, observer) {
                return;
            }
            (self.now, self.tick) = (due, due.as_millis());
            self.wakeup = Timestamp::MAX;
            observer.on_wakeup(&mut CoreCx { stack: self, burst: burst.reborrow() }, time);
        }
        self.fire_timers(time.as_millis(), &mut work, burst, observer);
    }

    /// A packet that is shown before a flow is looked for, or that comes while timers are overdue.
    #[inline(never)]
    fn process<O: Observer>(&mut self, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        if observer.wants_packets() && self.packets[index].ip_version != 0 {
            observer.on_packet(&mut PacketCx { stack: self, burst: burst.reborrow(), index });
        }
        // It may be another one now.
        if self.is_late() || !self.short::<O, true>(index, burst, observer) {
            self.different(index, burst, observer);
        }
    }

    /// Whatever packet does not go the short way.
    #[inline(never)]
    fn different<O: Observer>(&mut self, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        match self.packets[index].kind {
            PacketKind::Tcp => self.tcp(index, burst, observer),
            kind => self.other(kind, index, burst, observer),
        }
    }

    /// A packet of this kind, which is not TCP.
    #[inline(never)]
    fn other<O: Observer>(&mut self, kind: PacketKind, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        match kind {
            PacketKind::Tcp => {}
            PacketKind::OtherIp => {
                if let Some(tunnel) = self.packets[index].tunnel() {
                    self.stats.tunnels[tunnel.index()] += 1;
                }
                self.orphan(index, burst, observer);
            }
            PacketKind::Fragment => self.fragment(index, burst, observer),
            PacketKind::Undecoded(reason) => {
                self.stats.undecoded[reason.index()] += 1;
                if self.packets[index].ip_version != 0 {
                    self.orphan(index, burst, observer);
                }
            }
        }
    }

    /// A part of a datagram. The part itself goes its way; the whole is looked at when the last part is there.
    fn fragment<O: Observer>(&mut self, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        self.stats.fragments += 1;
        self.unseen(index, burst, observer);
        let frame = &burst.memory[burst.frames[index].range()];
        let packet = &self.packets[index];
        let checked = self.config.checksum != ChecksumMode::Trust && packet.ip_version == 4;
        if checked && !checksum::ipv4_header_ok(packet.network_header(frame)) {
            self.stats.bad_checksums += 1;
            return;
        }
        match self.defragmenter.insert(&self.packets[index], frame, self.now) {
            Outcome::Held => {}
            Outcome::Rejected(_) => self.stats.fragments_rejected += 1,
            Outcome::Complete(datagram) => {
                self.stats.defragmented += 1;
                let datagram = self.scratch.put_whole(&datagram);
                let whole = decode_ip(datagram, datagram.len() as u32);
                self.packets[WHOLE] = whole;
                match whole.kind {
                    PacketKind::Tcp => {
                        self.keys[WHOLE] = self.hasher.key(&whole, datagram);
                        self.slots[WHOLE] = self.flows.probe(self.keys[WHOLE].tag);
                        self.tcp(WHOLE, burst, observer);
                    }
                    PacketKind::OtherIp => self.orphan(WHOLE, burst, observer),
                    PacketKind::Fragment => self.stats.fragments_rejected += 1,
                    PacketKind::Undecoded(reason) => self.stats.undecoded[reason.index()] += 1,
                }
            }
        }
    }

    /// The packet belongs to no flow.
    pub(super) fn orphan<O: Observer>(&mut self, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        self.stats.orphans += 1;
        observer.on_orphan(&mut PacketCx { stack: self, burst: burst.reborrow(), index });
    }

    /// The packet goes on, but no flow sees it, and it is no orphan.
    #[cold]
    #[inline(never)]
    pub(super) fn unseen<O: Observer>(&mut self, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        observer.on_unseen(&mut PacketCx { stack: self, burst: burst.reborrow(), index });
    }

    /// Readers get what the burst brought; after that nothing refers to its frames or to flows that ended in it.
    fn end_burst<O: Observer>(&mut self, burst: &mut Burst<'_>, observer: &mut O) {
        if !self.pending.is_empty() {
            self.deliver_all(burst, observer);
            self.pending.clear();
        }
        while let Some(slot) = self.ended.pop() {
            self.flows.recycle(slot);
        }
        if self.flows.is_growing() {
            self.flows.grow();
        }
    }
}

/// Reads the headers of a frame that is not as nearly all are, and names its flow. Returns whether it is IPv6.
#[cold]
#[inline(never)]
fn unusual(packet: &mut Packet, key: &mut PacketKey, frame: &[u8], meta: &FrameMeta, hasher: &Hasher) -> bool {
    decode_unusual(packet, frame, meta.wire_len, meta.link);
    *key = if packet.kind == PacketKind::Tcp { hasher.key(packet, frame) } else { PacketKey::NONE };
    packet.ip_version == 6
}
