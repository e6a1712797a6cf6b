//! Random TCP conversations between honest endpoints, seen by a capture in the middle of a network that is none too good.
//!
//! What the network does to a frame is its [`Fate`]. The endpoints acknowledge only what they received in order, keep to
//! the windows they were offered, reject old time stamps (RFC 7323 5), and repeat what was not acknowledged.

use std::net::SocketAddr;

use mos_core::time::Timestamp;
use mos_core::wire::{SeqNum, TcpFlags, TcpSegment};

use super::Frame;

/// What becomes of a frame on its way past the capture to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Twice,
    /// It is overtaken by that many later frames of its direction.
    Late(u8),
    /// It never comes as far as the capture.
    Lost,
    /// It is captured, and lost behind the capture.
    LostLater,
    /// The capture misses it, its receiver gets it.
    Uncaptured,
}

/// What an endpoint does next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) server: bool,
    /// So many bytes.
    pub(crate) size: u16,
    /// From so far back that some are repeated.
    pub(crate) back: u16,
    pub(crate) fate: Fate,
    /// That of the answer; `None` for a delayed acknowledgment.
    pub(crate) ack_fate: Option<Fate>,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In order; the first FIN has so many of the last bytes in its segment.
    Fin {
        server_first: bool,
        with_data: u8,
        fate: Fate,
    },
    Rst {
        server: bool,
    },
    Never,
}

/// A conversation to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) v6: bool,
    pub(crate) port: u16,
    pub(crate) isn: [u32; 2],
    /// First time stamps, if they are used.
    pub(crate) timestamps: Option<[u32; 2]>,
    pub(crate) scale: Option<u8>,
    /// The window of both, unscaled.
    pub(crate) window: u16,
    pub(crate) len: [usize; 2],
    pub(crate) syn_ack: Fate,
    pub(crate) steps: Vec<Step>,
    pub(crate) ending: Ending,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) capture: Vec<Frame>,
    /// What the client and the server sent.
    pub(crate) sent: [Vec<u8>; 2],
    /// For each byte of it, whether its receiver got it from a frame that was captured; `None` if it never got it.
    pub(crate) received: [Vec<Option<bool>>; 2],
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    start: usize,
    end: usize,
    fin: bool,
    ack: u32,
    ts: u32,
    ts_echo: u32,
}

#[derive(Debug, Default)]
struct Endpoint {
    /// Offsets in the own stream: the FIN counts one.
    snd_una: usize,
    snd_nxt: usize,
    snd_edge: usize,
    /// Offset in the peer's stream.
    rcv_nxt: usize,
    fin_received: Option<usize>,
    last_ack_sent: usize,
    ts_recent: Option<u32>,
}

struct World<'p> {
    plan: &'p Plan,
    ends: [Endpoint; 2],
    late: [Vec<(u8, Segment)>; 2],
    out: Conversation,
    micros: u64,
    emitted: u32,
}

/// Random bytes that differ at every offset and for every direction.
pub(crate) fn payload(seed: u32, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) << 1 | 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(len)
    .collect()
}

impl Plan {
    fn window_bytes(&self) -> usize {
        usize::from(self.window) << self.scale.unwrap_or(0)
    }

    /// Lets it happen.
    pub(crate) fn play(&self) -> Conversation {
        let sent = [0, 1].map(|side| payload(self.isn[side] ^ side as u32, self.len[side]));
        let received = [0, 1].map(|side| vec![None; self.len[side]]);
        let mut world = World {
            plan: self,
            ends: Default::default(),
            late: Default::default(),
            out: Conversation { capture: Vec::new(), sent, received },
            micros: 1_000_000,
            emitted: 0,
        };
        world.handshake();
        for step in self.steps.iter().cycle().take(self.steps.len().max(200)) {
            world.step(step);
        }
        match self.ending {
            Ending::Never => {}
            Ending::Rst { server } => {
                let seq = world.seq(usize::from(server), world.ends[usize::from(server)].snd_nxt);
                world.capture(usize::from(server), TcpFlags::RST, seq, 0, &[], &[]);
            }
            Ending::Fin { server_first, fate, .. } => world.close(usize::from(server_first), fate),
        }
        world.out
    }
}

impl World<'_> {
    fn seq(&self, side: usize, offset: usize) -> u32 {
        self.plan.isn[side].wrapping_add(1).wrapping_add(offset as u32)
    }

    fn capture(&mut self, side: usize, flags: u8, seq: u32, ack: u32, options: &[u8], payload: &[u8]) {
        let mut addresses: [SocketAddr; 2] = match self.plan.v6 {
            true => ["[2001:db8::1]:0".parse().unwrap(), "[2001:db8::2]:443".parse().unwrap()],
            false => ["10.1.2.3:0".parse().unwrap(), "10.9.8.7:443".parse().unwrap()],
        };
        addresses[0].set_port(self.plan.port);
        // The window of a SYN is never scaled.
        let window = match flags & TcpFlags::SYN {
            0 => self.plan.window,
            _ => self.plan.window_bytes().min(usize::from(u16::MAX)) as u16,
        };
        let (src, dst) = (addresses[side], addresses[1 - side]);
        let segment = TcpSegment { src, dst, seq: SeqNum(seq), ack: SeqNum(ack), flags, window, options, payload };
        self.micros += 137;
        self.out.capture.push(Frame::ip(segment.to_raw_ip(), Timestamp::from_nanos(self.micros * 1000)));
    }

    fn handshake(&mut self) {
        let now = self.plan.timestamps.unwrap_or_default();
        for side in [0, 1] {
            let mut options = vec![2, 4, 5, 180, 4, 2];
            if let Some(scale) = self.plan.scale {
                options.extend([1, 3, 3, scale]);
            }
            if self.plan.timestamps.is_some() {
                options.extend(ts_option(now[side], if side == 0 { 0 } else { now[0] }));
            }
            let (flags, ack) = match side {
                0 => (TcpFlags::SYN, 0),
                _ => (TcpFlags::SYN | TcpFlags::ACK, self.seq(0, 0)),
            };
            let copies = match self.plan.syn_ack {
                Fate::Uncaptured if side == 1 => 0,
                Fate::Twice if side == 1 => 2,
                _ => 1,
            };
            for _ in 0..copies {
                self.capture(side, flags, self.plan.isn[side], ack, &options, &[]);
            }
            // The first window is that of the SYN, not scaled.
            self.ends[1 - side].snd_edge = self.plan.window_bytes().min(usize::from(u16::MAX));
            self.ends[1 - side].ts_recent = self.plan.timestamps.map(|_| now[side]);
        }
        self.send(0, 0, 0, false, Fate::Pass);
    }

    fn step(&mut self, step: &Step) {
        let side = usize::from(step.server);
        let end = &self.ends[side];
        let held = match self.plan.ending {
            Ending::Fin { server_first, with_data, .. } if server_first == step.server => usize::from(with_data),
            _ => 0,
        };
        let limit = self.plan.len[side].saturating_sub(held).min(end.snd_edge);
        let start = end.snd_nxt.saturating_sub(usize::from(step.back));
        let stop = limit.min(start + usize::from(step.size));
        if start >= stop {
            return;
        }
        let had = self.ends[1 - side].rcv_nxt;
        self.send(side, start, stop, false, step.fate);
        let arrived = self.ends[1 - side].rcv_nxt > had;
        match step.ack_fate {
            Some(fate) => self.acknowledge(1 - side, fate),
            // Delaying an acknowledgment is for data in order only.
            None if !arrived => self.acknowledge(1 - side, Fate::Pass),
            None => {}
        }
    }

    fn acknowledge(&mut self, side: usize, fate: Fate) {
        let at = self.ends[side].snd_nxt;
        self.send(side, at, at, false, fate);
    }

    /// Both FINs, and everything again that was not acknowledged, until all is.
    fn close(&mut self, first: usize, fate: Fate) {
        for round in 0..2000 {
            let mut open = false;
            for side in [first, 1 - first] {
                let len = self.plan.len[side];
                let end = &self.ends[side];
                if end.snd_una > len {
                    continue;
                }
                open = true;
                let fate = if round == 0 { fate } else { Fate::Pass };
                // What was sent first goes first, as after a timeout; the FIN with the last bytes.
                let start = if round == 0 { end.snd_nxt } else { end.snd_una }.min(len);
                let stop = len.min(start + 1460).min(end.snd_edge).max(start);
                self.send(side, start, stop, stop == len, fate);
                self.acknowledge(1 - side, Fate::Pass);
            }
            if !open {
                break;
            }
            assert!(round < 1999, "the endpoints do not come to an end: {:?}", self.ends);
        }
        for side in [0, 1] {
            for (_, segment) in std::mem::take(&mut self.late[side]) {
                self.arrive(side, segment, true, false);
            }
        }
    }

    fn send(&mut self, side: usize, start: usize, end: usize, fin: bool, fate: Fate) {
        self.emitted += 1;
        let sender = &mut self.ends[side];
        sender.snd_nxt = sender.snd_nxt.max(end + usize::from(fin));
        sender.last_ack_sent = sender.rcv_nxt;
        let rcv_nxt = sender.rcv_nxt;
        let ts_echo = sender.ts_recent.unwrap_or(0);
        let ack = self.seq(1 - side, rcv_nxt);
        let ts = self.plan.timestamps.unwrap_or_default()[side].wrapping_add(self.emitted / 3);
        let segment = Segment { start, end, fin, ack, ts, ts_echo };
        match fate {
            Fate::Late(count) if count > 0 => return self.late[side].push((count, segment)),
            Fate::Lost => {}
            Fate::LostLater => self.arrive(side, segment, true, false),
            Fate::Uncaptured => self.arrive(side, segment, false, true),
            Fate::Twice => {
                self.arrive(side, segment, true, true);
                self.arrive(side, segment, true, true);
            }
            Fate::Pass | Fate::Late(_) => self.arrive(side, segment, true, true),
        }
        let mut due = Vec::new();
        self.late[side].retain_mut(|(count, segment)| {
            *count -= 1;
            if *count == 0 {
                due.push(*segment);
            }
            *count > 0
        });
        for segment in due {
            self.arrive(side, segment, true, true);
        }
    }

    /// A segment from `side` passes the capture.
    fn arrive(&mut self, side: usize, segment: Segment, captured: bool, received: bool) {
        let Segment { start, end, fin, ack, ts, ts_echo } = segment;
        if captured {
            let flags = TcpFlags::ACK | if fin { TcpFlags::FIN } else { 0 };
            let options = self.plan.timestamps.map(|_| ts_option(ts, ts_echo));
            let bytes = self.out.sent[side].get(start..end).unwrap_or_default().to_vec();
            let options = options.as_ref().map_or(&[][..], |options| options);
            self.capture(side, flags, self.seq(side, start), ack, options, &bytes);
        }
        if !received {
            return;
        }
        let window = self.plan.window_bytes();
        let acked = ack.wrapping_sub(self.seq(1 - side, 0)) as usize;
        let receiver = &mut self.ends[1 - side];
        if let Some(recent) = receiver.ts_recent {
            if SeqNum(ts).lt(SeqNum(recent)) {
                return;
            }
            if start <= receiver.last_ack_sent {
                receiver.ts_recent = Some(ts);
            }
        }
        // What lies before the window is dropped before its acknowledgment is looked at.
        if end + usize::from(fin) < receiver.last_ack_sent {
            return;
        }
        receiver.snd_una = receiver.snd_una.max(acked);
        receiver.snd_edge = receiver.snd_edge.max(acked + window);
        let bytes = &mut self.out.received[side];
        for byte in bytes.get_mut(start..end).unwrap_or_default() {
            byte.get_or_insert(captured);
        }
        if fin {
            receiver.fin_received = Some(end);
        }
        while bytes.get(receiver.rcv_nxt).is_some_and(Option::is_some) {
            receiver.rcv_nxt += 1;
        }
        if receiver.fin_received == Some(receiver.rcv_nxt) {
            receiver.rcv_nxt += 1;
        }
    }
}

fn ts_option(value: u32, echo: u32) -> [u8; 12] {
    let mut option = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0];
    option[4..8].copy_from_slice(&value.to_be_bytes());
    option[8..].copy_from_slice(&echo.to_be_bytes());
    option
}
