//! The end of a flow.

use super::{FlowCx, Stack};
use crate::event::{EndReason, Event, Hook, Interest, Observer, Side};
use crate::flow::FlowFlags;
use crate::flow::record::{HalfFlags, SlowFlags};
use crate::packet::Burst;
use crate::tcp::{Flow, TcpState};

/// How long endpoints may go on repeating their last segments, in ticks: TIME_WAIT as they keep it.
pub(super) const LINGER: u64 = 60_000;

/// What is raised when a flow ends: at the RCV hook, then at the SND hook.
const END: [Interest; 2] = [
    Interest::of(Hook::Rcv, Event::TcpStateChange).or(Interest::of(Hook::Rcv, Event::ConnEnd)),
    Interest::of(Hook::Snd, Event::TcpStateChange).or(Interest::of(Hook::Snd, Event::ConnEnd)),
];

impl Stack {
    /// Ends the flow in `slot`: readers get what is left, CONN_END is raised, and its name is free. The slot itself is
    /// used again only after the burst.
    ///
    /// Order: first the side that received the last packet (the client, if no packet ended the flow), then the other; RCV
    /// before SND.
    pub(super) fn end<O: Observer>(&mut self, slot: u32, reason: EndReason, burst: &mut Burst<'_>, observer: &mut O) {
        let reason = if self.is_bypassed(slot) { EndReason::Stopped } else { reason };
        if self.has_rest(slot) {
            self.hand_out_rest(slot, burst, observer);
        }
        self.stats.ended[reason as usize] += 1;
        let first = match reason {
            EndReason::Fin | EndReason::Rst if self.flows.hot(slot).half[0].slow.any(SlowFlags::RECEIVED_LAST) => {
                Side::Client
            }
            EndReason::Fin | EndReason::Rst => Side::Server,
            _ => Side::Client,
        };
        let mut cx = FlowCx { stack: self, burst: burst.reborrow(), slot, index: None };
        let mut side = first;
        for _ in Side::BOTH {
            cx.stack.flows.hot_mut(slot).half[side as usize].state = TcpState::Closed;
            cx.raise(Hook::Rcv, side, END[0], observer);
            cx.raise(Hook::Snd, side, END[1], observer);
            side = side.other();
        }
        if !cx.stack.is_bypassed(slot) {
            observer.on_end(&mut cx, reason);
        }
        let hot = self.flows.hot(slot);
        if (hot.half[0].flags | hot.half[1].flags).any(HalfFlags::BUFFERED) || hot.flags.any(FlowFlags::EXTRAS) {
            self.drop_kept(slot);
        }
        self.flows.remove(slot);
        self.ended.push(slot);
    }

    /// Whether readers of a flow that ends may have something to get, or something is missing.
    #[inline(always)]
    fn has_rest(&mut self, slot: u32) -> bool {
        let (hot, cold) = self.flows.parts(slot);
        let flow = Flow { hot, cold };
        Side::BOTH.iter().any(|&side| {
            let half = &flow.hot.half[side as usize];
            half.flags.any(HalfFlags::PENDING) || flow.sent_to(side).gt(half.rcv_nxt)
        })
    }

    /// What is missing is told; readers get what is left.
    #[inline(never)]
    fn hand_out_rest<O: Observer>(&mut self, slot: u32, burst: &mut Burst<'_>, observer: &mut O) {
        // First what is missing, always in this order: what is told of that must not depend on what this burst has brought.
        for side in Side::BOTH {
            self.end_stream(slot, side, burst, observer);
        }
        for side in self.sides_in_order(slot) {
            self.hand_out(slot, side, burst, observer);
        }
    }

    /// What is kept of a flow besides its records goes.
    #[cold]
    fn drop_kept(&mut self, slot: u32) {
        for side in Side::BOTH {
            self.drop_backlog(slot, side);
        }
        self.drop_suspects(slot);
    }

    /// The sides of a flow, that which waits longest for the end of the burst in front.
    #[inline]
    fn sides_in_order(&self, slot: u32) -> [Side; 2] {
        let both_wait = self.flows.hot(slot).half.iter().all(|half| half.flags.any(HalfFlags::PENDING));
        if both_wait { self.pending.in_order(slot) } else { Side::BOTH }
    }

    /// Ends every flow that is alive, in order of slots, and readers get all that is left.
    pub fn shutdown<O: Observer>(&mut self, observer: &mut O) {
        let mut burst = Burst { memory: &mut [], frames: &[], upcoming: &[] };
        for slot in 0..self.flows.slots() as u32 {
            if self.flows.is_live(slot) {
                self.end(slot, EndReason::Shutdown, &mut burst, observer);
            }
        }
        while let Some(slot) = self.ended.pop() {
            self.flows.recycle(slot);
        }
        self.pending.clear();
        self.half_open.clear();
        self.pool.trim();
        self.buffers.trim();
    }

    /// How long the flow may be silent in its state, in ticks, and how it ends then. 0: for ever.
    pub(super) fn patience(&self, slot: u32) -> (u64, EndReason) {
        let hot = self.flows.hot(slot);
        let [client, server] = [hot.half[0].state, hot.half[1].state];
        let [half_open, established, closing, time_wait] = self.timeouts;
        if client.is_finished() && server.is_finished() {
            let wait = if self.is_shifted(slot) {
                // Its endpoints cannot do without it: see `end_if_finished`.
                time_wait.max(LINGER)
            } else if time_wait == 0 && self.is_bypassed(slot) {
                // Nobody knows which packet of it is the last one.
                closing
            } else {
                time_wait
            };
            (wait, EndReason::Fin)
        } else if hot.flags.any(FlowFlags::HALF_OPEN) {
            (half_open, EndReason::Timeout)
        } else if client == TcpState::Closed
            || server == TcpState::Closed
            || hot.half.iter().all(|half| half.slow.any(SlowFlags::FIN_SENT))
        {
            (closing, EndReason::Timeout)
        } else {
            (established, EndReason::Timeout)
        }
    }

    /// Makes sure that the flow's timer fires in time. Most packets find it armed early enough, whatever the flow's state.
    #[inline(always)]
    pub(super) fn arm(&mut self, slot: u32) {
        if self.timers.due(slot) > self.tick + self.shortest_timeout {
            self.arm_for_state(slot);
        }
    }

    #[inline(never)]
    fn arm_for_state(&mut self, slot: u32) {
        let (patience, _) = self.patience(slot);
        if patience > 0 {
            self.timers.arm_by(slot, self.tick + patience, self.tick);
        }
    }

    /// Whether both endpoints are done; then the flow ends, now or when TIME_WAIT is over.
    pub(super) fn end_if_finished<O: Observer>(
        &mut self,
        slot: u32,
        reset: bool,
        burst: &mut Burst<'_>,
        observer: &mut O,
    ) -> bool {
        let hot = self.flows.hot(slot);
        if !hot.half.iter().all(|half| half.state.is_finished()) {
            return false;
        }
        let waiting = hot.half.iter().any(|half| half.state == TcpState::TimeWait);
        // Endpoints with different numbers need somebody between them as long as one may repeat its FIN.
        if waiting && !reset && (self.timeouts[3] > 0 || self.is_shifted(slot)) {
            return false;
        }
        self.end(slot, if reset { EndReason::Rst } else { EndReason::Fin }, burst, observer);
        true
    }
}
