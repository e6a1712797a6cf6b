//! Flows that nobody monitors any more (D27): their packets are no orphans, and cost next to nothing.

use super::Stack;
use super::open::Beginning;
use crate::event::{Attachment, EndReason, Observer, Side};
use crate::flow::FlowFlags;
use crate::flow::record::{HalfFlags, SlowFlags};
use crate::packet::Burst;
use crate::tcp::TcpState;
use crate::wire::TcpFlags;

impl Stack {
    /// Whether nobody monitors the flow.
    #[inline]
    pub(super) fn is_bypassed(&self, slot: u32) -> bool {
        self.flows.hot(slot).table == Attachment::BYPASS.table
    }

    /// Nobody monitors the flow any more: what was kept for its readers goes.
    pub(super) fn begin_bypass(&mut self, slot: u32) {
        self.flows.hot_mut(slot).flags.clear(FlowFlags::FAST | FlowFlags::IN_ORDER);
        for side in Side::BOTH {
            self.flows.hot_mut(slot).half[side as usize].flags.clear(HalfFlags::PENDING);
            self.drop_backlog(slot, side);
        }
        self.drop_suspects(slot);
        if let Some(extras) = self.flows.extras_if_any(slot) {
            extras.suspects.clear();
            extras.reuse = None;
        }
    }

    /// A packet of such a flow. Only what says how long to remember the flow is looked at.
    pub(super) fn bypass<O: Observer>(
        &mut self,
        slot: u32,
        side: Side,
        index: usize,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) {
        let packet = &self.packets[index];
        let (flags, seq) = (packet.tcp_flags, packet.seq);
        let hot = self.flows.hot_mut(slot);
        if flags & (TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST) == 0 && !hot.flags.any(FlowFlags::HALF_OPEN) {
            hot.last_seen = self.tick as u32;
            return;
        }
        if flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST) == TcpFlags::SYN {
            let half = &hot.half[side as usize];
            let again = half.slow.any(SlowFlags::ISS) && self.flows.cold(slot).half[side as usize].iss == seq;
            let states = self.flows.hot(slot).half.map(|half| half.state);
            let closing = states.iter().any(|state| *state == TcpState::Closed || *state > TcpState::Established);
            let opening = self.flows.hot(slot).flags.any(FlowFlags::HALF_OPEN);
            if !again && (closing || opening || self.flows.hot(slot).flags.any(FlowFlags::TRANSLATED)) {
                self.end(slot, EndReason::Stopped, burst, observer);
                return self.open(index, burst, observer);
            }
            if !again {
                self.expect_reuse(slot, side, index);
            }
        } else if flags & (TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::SYN | TcpFlags::ACK
            && let Some(syn) = self.proven_reuse(slot, side, index)
        {
            self.end(slot, EndReason::Stopped, burst, observer);
            return self.begin(Beginning::SynAck(Some(syn)), index, burst, observer);
        }
        let hot = self.flows.hot_mut(slot);
        hot.last_seen = self.tick as u32;
        // Not states that anybody sees: they make the entry go sooner.
        if flags & TcpFlags::RST != 0 {
            hot.half.iter_mut().for_each(|half| half.state = TcpState::Closed);
        } else if flags & TcpFlags::FIN != 0 {
            hot.half[side as usize].state = TcpState::Closed;
        } else if side == Side::Client && flags & (TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::ACK {
            hot.flags.clear(FlowFlags::HALF_OPEN);
        }
        let finished = hot.half.iter().all(|half| half.state.is_finished());
        if finished && self.patience(slot).0 == 0 {
            return self.end(slot, EndReason::Stopped, burst, observer);
        }
        self.arm(slot);
    }
}
