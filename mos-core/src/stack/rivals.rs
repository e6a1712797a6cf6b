//! Connections that contend for the same endpoints: a SYN on a living flow (D10), and several SYN|ACKs (D11).

use super::Stack;
use super::open::Beginning;
use crate::event::{EndReason, Observer, Side};
use crate::flow::FlowFlags;
use crate::flow::record::{ReuseSyn, SlowFlags};
use crate::packet::Burst;
use crate::tcp::{Flow, Segment, TcpState};

impl Stack {
    /// D10: a SYN on the endpoints of a living flow, or the answer that proves such a SYN. True if it was dealt with.
    pub(super) fn is_reuse<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        segment: &Segment,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let hot = self.flows.hot(slot);
        let cold = self.flows.cold(slot);
        if segment.has_ack() {
            let Some(syn) = self.proven_reuse(slot, side, index) else { return false };
            self.end(slot, EndReason::Reuse, burst, observer);
            self.begin(Beginning::SynAck(Some(syn)), index, burst, observer);
            return true;
        }
        let known = hot.half[side as usize].slow.any(SlowFlags::ISS);
        if !known || cold.half[side as usize].iss == segment.seq {
            return false;
        }
        let states = hot.half.map(|half| half.state);
        let closing = states.iter().any(|state| *state == TcpState::Closed || *state > TcpState::Established);
        let unanswered = side == Side::Client
            && hot.flags.any(FlowFlags::HALF_OPEN)
            && !hot.half[Side::Server as usize].slow.any(SlowFlags::ISS);
        // A translated flow is found under two names, of which the answer shows only one: it cannot wait for proof.
        if closing || unanswered || hot.flags.any(FlowFlags::TRANSLATED) {
            self.end(slot, EndReason::Reuse, burst, observer);
            self.open(index, burst, observer);
            return true;
        }
        self.expect_reuse(slot, side, index);
        self.pass_by(slot, side, segment, index, burst, observer);
        true
    }

    /// The SYN at `index` counts if it is answered.
    #[cold]
    pub(super) fn expect_reuse(&mut self, slot: u32, side: Side, index: usize) {
        let segment = Segment::new(&self.packets[index]);
        self.stats.unproven_syns += 1;
        self.flows.extras_mut(slot).reuse = Some(ReuseSyn { side, seq: segment.seq, segment });
    }

    /// The SYN that the SYN|ACK at `index`, from `side`, answers.
    pub(super) fn proven_reuse(&self, slot: u32, side: Side, index: usize) -> Option<ReuseSyn> {
        let ack = self.packets[index].ack;
        let answers = |syn: &ReuseSyn| syn.side == side.other() && ack.gt(syn.seq) && ack.le(syn.segment.data_end());
        self.flows.extras(slot)?.reuse.filter(answers)
    }

    /// D11: the handshake's last ACK says which of several SYN|ACKs counts.
    pub(super) fn choose_syn_ack(&mut self, slot: u32, side: Side, segment: &Segment) {
        let peer = side.other();
        let hot = self.flows.hot(slot);
        if segment.syn() || !segment.has_ack() || hot.half[peer as usize].state != TcpState::SynRcvd {
            return;
        }
        let Some(extras) = self.flows.extras(slot) else { return };
        let chosen = extras.other_syn_acks.iter().copied().find(|syn_ack| segment.ack == *syn_ack + 1);
        let Some(chosen) = chosen else { return };
        let (hot, cold) = self.flows.parts(slot);
        let mut flow = Flow { hot, cold };
        if flow.cold(peer).iss == chosen || !flow.is_untouched(side) {
            return;
        }
        let cold = flow.cold(peer);
        cold.iss = chosen;
        cold.snd_max = segment.ack;
        cold.data_max = segment.ack;
        flow.synchronize(side, segment.ack, false);
        // The time stamps seen so far were the other one's.
        flow.half(side).slow.clear(SlowFlags::TS_RECENT);
    }
}
