//! A TCP packet without a flow: it begins one, or it is an orphan.

use super::{FlowCx, PacketCx, Stack};
use crate::event::{EndReason, Observer, Side, Wanted};
use crate::flow::record::{HalfFlags, ReuseSyn, SlowFlags};
use crate::flow::{FlowFlags, FlowId, NO_SLOT, Offers};
use crate::packet::Burst;
use crate::tcp::flow::WIDEST_SHIFT;
use crate::tcp::{Flow, Segment, TcpState};
use crate::wire::{SeqNum, TcpFlags};

/// The queue of half-open flows is cleared of those that are not any more whenever its length is a multiple of this: one by one it
/// would cost twice as much.
const AT_A_TIME: usize = 8;

/// How a flow begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beginning {
    /// With a SYN.
    Syn,
    /// With a SYN|ACK; the SYN was not captured, or not believed before its answer came (D10).
    SynAck(Option<ReuseSyn>),
    /// In its middle (D12).
    Middle,
}

impl Stack {
    /// The packet at `index` belongs to no flow.
    pub(super) fn open<O: Observer>(&mut self, index: usize, burst: &mut Burst<'_>, observer: &mut O) {
        const RELEVANT: u8 = TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST;
        let beginning = match self.packets[index].tcp_flags & RELEVANT {
            TcpFlags::SYN => Beginning::Syn,
            flags if !self.config.midstream || flags & TcpFlags::RST != 0 => {
                return self.orphan(index, burst, observer);
            }
            flags if flags == TcpFlags::SYN | TcpFlags::ACK => Beginning::SynAck(None),
            _ => Beginning::Middle,
        };
        self.begin(beginning, index, burst, observer);
    }

    /// The packet at `index` begins a flow, if somebody wants it.
    pub(super) fn begin<O: Observer>(
        &mut self,
        beginning: Beginning,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        if !observer.wants_flows() {
            return self.orphan(index, burst, observer);
        }
        let Some(checksum_good) = self.check_new(index, burst) else {
            return self.unseen(index, burst, observer);
        };
        let Some(attachment) = observer.on_open(&mut PacketCx { stack: self, burst: burst.reborrow(), index }) else {
            return self.orphan(index, burst, observer);
        };
        if self.flows.is_full() {
            self.evict(burst, observer);
        }
        let client_sent = match beginning {
            Beginning::Syn => true,
            Beginning::SynAck(_) => false,
            Beginning::Middle => self.packets[index].src_port >= self.packets[index].dst_port,
        };
        let sender = if client_sent { Side::Client } else { Side::Server };
        let (key, packet) = (&self.keys[index], &self.packets[index]);
        let frame = if key.key.is_v6() { self.scratch.frame(index, burst) } else { &[] };
        let (slot, hot, cold) = self.flows.insert(key, packet, frame, client_sent, self.now);
        self.stats.flows += 1;
        self.rtts.reset(slot);
        self.sender = sender;
        hot.last_seen = self.tick as u32;
        hot.wanted = Wanted::of(attachment.interest);
        hot.table = attachment.table;
        hot.half[sender as usize].flags.set(HalfFlags::EXISTS);
        if checksum_good {
            hot.half[sender as usize].flags.set(HalfFlags::CHECKSUMS);
        } else {
            cold.half[sender as usize].wrong_checksums = 1;
        }
        if packet.signed {
            hot.flags.set(FlowFlags::SIGNED);
        }
        if !matches!(beginning, Beginning::Syn) {
            prepare(&mut Flow { hot, cold }, beginning, sender, &Segment::new(packet));
        }
        self.push_half_open(slot);
        observer.on_attach(&mut FlowCx { stack: self, burst: burst.reborrow(), slot, index: Some(index) });
        match beginning {
            Beginning::Syn if self.is_plain_syn(index) => self.first_syn(slot, index, burst, observer),
            Beginning::Syn => {
                // There is nothing yet by which it could be refused.
                let segment = Segment::new(&self.packets[index]);
                self.accept(slot, sender, &segment, index, false, burst, observer);
            }
            Beginning::SynAck(_) | Beginning::Middle => self.segment(slot, sender, index, true, burst, observer),
        }
    }

    /// Remembers the flow as one that goes first when room is needed.
    fn push_half_open(&mut self, slot: u32) {
        // Those in front that are established or gone are dropped as they are met, two for each new one, some at a time; if a
        // slow one holds up the front, all others are sifted when they are the larger part.
        if self.half_open.len().is_multiple_of(AT_A_TIME) {
            for _ in 0..2 * AT_A_TIME {
                match self.half_open.front() {
                    Some(&id) if !self.is_half_open(id) => self.half_open.pop_front(),
                    _ => break,
                };
            }
        }
        if self.half_open.len() > 2 * self.flows.live() + 1024 {
            let mut queue = core::mem::take(&mut self.half_open);
            queue.retain(|&id| self.is_half_open(id));
            self.half_open = queue;
        }
        self.half_open.push_back(self.flows.id(slot));
    }

    fn is_half_open(&self, id: FlowId) -> bool {
        // The line first: of most flows that tells it all.
        self.flows.get(id.slot).is_some_and(|hot| hot.flags.any(FlowFlags::HALF_OPEN) && !hot.key.is_closed())
            && self.flows.id(id.slot) == id
    }

    /// Makes room for one flow (D21): the oldest half-open one goes, or else the one that was idle longest.
    fn evict<O: Observer>(&mut self, burst: &mut Burst<'_>, observer: &mut O) {
        while let Some(id) = self.half_open.pop_front() {
            if self.is_half_open(id) {
                return self.give_way(id.slot, burst, observer);
            }
        }
        let slot = self.longest_idle();
        if slot != NO_SLOT {
            self.give_way(slot, burst, observer);
        }
    }

    fn give_way<O: Observer>(&mut self, slot: u32, burst: &mut Burst<'_>, observer: &mut O) {
        let reason = self.overdue(slot).unwrap_or(EndReason::Evicted);
        self.end(slot, reason, burst, observer);
    }

    /// The flow that was idle longest. One pass over the lines finds the oldest sixteenth of all flows; they stay the
    /// oldest as long as no packet comes for them, so the pass is paid for by as many evictions.
    fn longest_idle(&mut self) -> u32 {
        for _ in 0..2 {
            while let Some((seen, slot)) = self.idlest.pop() {
                if self.flows.is_live(slot) && self.flows.hot(slot).last_seen == seen {
                    return slot;
                }
            }
            let count = (self.flows.live() / 16).max(64);
            let mut idlest = core::mem::take(&mut self.idlest);
            self.flows.longest_idle(self.tick as u32, count, &mut idlest);
            // From the end on, with the time they were last seen instead of their age.
            idlest.reverse();
            for (age, slot) in &mut idlest {
                *age = self.flows.hot(*slot).last_seen;
            }
            self.idlest = idlest;
        }
        NO_SLOT
    }
}

/// What is known of the endpoints before the first packet that was captured.
fn prepare(flow: &mut Flow<'_>, beginning: Beginning, sender: Side, segment: &Segment) {
    let receiver = sender.other();
    match beginning {
        Beginning::Syn => {}
        Beginning::SynAck(syn) => {
            flow.half(Side::Client).slow.set(SlowFlags::MIDSTREAM);
            for side in Side::BOTH {
                flow.half(side).flags.set(HalfFlags::EXISTS);
                flow.half(side).window_shift = WIDEST_SHIFT;
            }
            let iss = syn.map_or(SeqNum(segment.ack.0.wrapping_sub(1)), |syn| syn.seq);
            let client = flow.cold(receiver);
            client.iss = iss;
            client.snd_max = segment.ack;
            client.data_max = iss + 1;
            flow.half(receiver).slow.set(SlowFlags::ISS);
            flow.half(receiver).state = TcpState::SynSent;
            flow.half(sender).state = TcpState::SynRcvd;
            flow.synchronize(sender, iss + 1, false);
            match syn {
                Some(syn) => flow.learn_options(receiver, &syn.segment),
                // The answer says whether the SYN offered scaling, not how much.
                None => flow.cold(receiver).offers.set(Offers::SCALE),
            }
        }
        Beginning::Middle => {
            flow.half(Side::Client).slow.set(SlowFlags::MIDSTREAM);
            for side in Side::BOTH {
                flow.half(side).flags.set(HalfFlags::EXISTS);
                flow.half(side).state = TcpState::Established;
                flow.half(side).window_shift = WIDEST_SHIFT;
            }
            flow.synchronize(receiver, segment.data_start(), false);
            flow.half(sender).slow.set(SlowFlags::ISS);
            let cold = flow.cold(sender);
            cold.iss = SeqNum(segment.seq.0.wrapping_sub(1));
            cold.snd_max = segment.seq;
            cold.data_max = segment.seq;
            if segment.has_ack() {
                flow.synchronize(sender, segment.ack, false);
                flow.half(receiver).slow.set(SlowFlags::ISS);
                let cold = flow.cold(receiver);
                cold.iss = SeqNum(segment.ack.0.wrapping_sub(1));
                cold.snd_max = segment.ack;
                cold.data_max = segment.ack;
            }
        }
    }
}
