//! Two endpoints that really talk: a small reliable TCP, with retransmissions that cut the stream elsewhere, cumulative and
//! selective acknowledgments (RFC 2018), and time stamps (RFC 7323). Between them may stand a middlebox that changes what passes.
//!
//! An endpoint believes nothing that a real one would not: a wrong checksum, an acknowledgment of what it has not sent, a
//! block that makes no sense, or other bytes for what it holds already is a failure of the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mos_core::packet::LinkType;
use mos_core::wire::{FrameBuilder, PacketKind, SeqNum, TcpFlags, TcpOptions, TcpSegment, checksum, decode};

use super::dice::Dice;

/// What both endpoints have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    pub(crate) mss: usize,
    pub(crate) window: u16,
    pub(crate) timestamps: bool,
    pub(crate) sack: bool,
    /// Milliseconds without progress before all is sent again.
    pub(crate) patience: u64,
}

/// One end of a connection. Offsets count its stream's bytes; the FIN counts one more.
#[derive(Debug)]
pub(crate) struct Endpoint {
    name: &'static str,
    is_client: bool,
    traits: Traits,
    addresses: [SocketAddr; 2],
    pub(crate) iss: u32,
    irs: Option<u32>,
    random: Dice,
    pub(crate) to_send: Vec<u8>,
    is_established: bool,
    syn_sent: Option<u64>,
    una: u64,
    next: u64,
    max: u64,
    window: u64,
    sacked: Vec<[u64; 2]>,
    progress: u64,
    pub(crate) received: Vec<u8>,
    held: BTreeMap<u64, u8>,
    fin_at: Option<u64>,
    fin_received: bool,
    ts_recent: u32,
    owes_ack: u32,
    /// The last one sent, as an offset.
    last_ack: i64,
    pub(crate) is_reset: bool,
    pub(crate) retransmissions: u64,
}

impl Endpoint {
    pub(crate) fn new(
        is_client: bool,
        addresses: [SocketAddr; 2],
        iss: u32,
        to_send: Vec<u8>,
        traits: Traits,
        random: Dice,
    ) -> Self {
        Self {
            name: if is_client { "client" } else { "server" },
            is_client,
            traits,
            addresses,
            iss,
            irs: None,
            random,
            to_send,
            is_established: false,
            syn_sent: None,
            una: 0,
            next: 0,
            max: 0,
            window: 0,
            sacked: Vec::new(),
            progress: 0,
            received: Vec::new(),
            held: BTreeMap::new(),
            fin_at: None,
            fin_received: false,
            ts_recent: 0,
            owes_ack: 0,
            last_ack: 0,
            is_reset: false,
            retransmissions: 0,
        }
    }

    /// All was sent and acknowledged, and all of the peer's was received.
    pub(crate) fn is_done(&self) -> bool {
        self.una == self.to_send.len() as u64 + 1 && self.fin_received
    }

    /// SND.NXT and RCV.NXT.
    pub(crate) fn numbers(&self) -> (SeqNum, SeqNum) {
        (self.seq(self.max), SeqNum(self.irs.unwrap_or(0).wrapping_add(1)) + self.expected() as u32)
    }

    fn seq(&self, offset: u64) -> SeqNum {
        SeqNum(self.iss.wrapping_add(1)) + offset as u32
    }

    /// RCV.NXT as an offset.
    fn expected(&self) -> u64 {
        self.received.len() as u64 + u64::from(self.fin_received)
    }

    fn frame(&mut self, now: u64, flags: u8, seq: SeqNum, payload: &[u8]) -> Vec<u8> {
        let mut options = Vec::new();
        if flags & TcpFlags::SYN != 0 {
            options.extend([2, 4, (self.traits.mss >> 8) as u8, self.traits.mss as u8]);
            if self.traits.sack {
                options.extend([1, 1, 4, 2]);
            }
        }
        if self.traits.timestamps {
            options.extend([1, 1, 8, 10]);
            options.extend((now as u32).to_be_bytes());
            options.extend(self.ts_recent.to_be_bytes());
        }
        if self.traits.sack && flags & TcpFlags::SYN == 0 && !self.held.is_empty() {
            let mut blocks: Vec<[u64; 2]> = Vec::new();
            for &at in self.held.keys() {
                match blocks.last_mut() {
                    Some(last) if last[1] == at => last[1] += 1,
                    _ => blocks.push([at, at + 1]),
                }
            }
            let count = blocks.len().min(if self.traits.timestamps { 3 } else { 4 });
            options.extend([1, 1, 5, 2 + 8 * count as u8]);
            let first = SeqNum(self.irs.unwrap_or(0).wrapping_add(1));
            for edge in blocks[..count].as_flattened() {
                options.extend((first + *edge as u32).0.to_be_bytes());
            }
        }
        let ack = self.numbers().1;
        let flags = if self.irs.is_some() { flags | TcpFlags::ACK } else { flags };
        let [src, dst] = self.addresses;
        let segment = TcpSegment {
            seq,
            ack: if self.irs.is_some() { ack } else { SeqNum(0) },
            flags,
            window: self.traits.window,
            options: &options,
            payload,
            ..TcpSegment::new(src, dst)
        };
        self.owes_ack = 0;
        self.last_ack = self.expected() as i64;
        FrameBuilder::new().ethernet(&segment)
    }

    /// What it sends now.
    pub(crate) fn poll(&mut self, now: u64, out: &mut Vec<Vec<u8>>) {
        if self.is_reset {
            return;
        }
        if !self.is_established {
            let due = self.syn_sent.is_none_or(|sent| now >= sent + self.traits.patience);
            if due && (self.is_client || self.irs.is_some()) {
                self.syn_sent = Some(now);
                let frame = self.frame(now, TcpFlags::SYN, SeqNum(self.iss), b"");
                out.push(frame);
            }
            return;
        }
        let end = self.to_send.len() as u64;
        if self.una < self.max && now >= self.progress + self.traits.patience {
            // Everything again that was not acknowledged, cut anew.
            self.next = self.una;
            self.progress = now;
            // A peer may have given up what it said it had (RFC 2018 8); and it may be that which is waited for.
            if self.random.percent(20) {
                self.sacked.clear();
            }
        }
        while self.next <= end && self.next < self.una + self.window.max(1) {
            if let Some(block) = self.sacked.iter().find(|block| block[0] <= self.next && self.next < block[1]) {
                self.next = block[1];
                continue;
            }
            let size = match self.random.below(4) {
                0 => 1 + self.random.below(20),
                1 => 1 + self.random.below(self.traits.mss),
                _ => self.traits.mss,
            };
            let edge = self.sacked.iter().map(|block| block[0]).filter(|&edge| edge > self.next).min();
            let to = end.min(self.next + size as u64).min(self.una + self.window).min(edge.unwrap_or(end));
            let fin = to == end && self.una + self.window > end && (to > self.next || self.next == end);
            let fin = fin && (self.next == end || self.random.percent(50));
            if to == self.next && !fin {
                break;
            }
            if self.next < self.max {
                self.retransmissions += 1;
            }
            let payload = self.to_send[self.next as usize..to as usize].to_vec();
            let flags = if fin { TcpFlags::FIN } else { 0 } | TcpFlags::PSH;
            let frame = self.frame(now, flags, self.seq(self.next), &payload);
            out.push(frame);
            if self.una == self.max {
                self.progress = now;
            }
            self.next = to + u64::from(fin);
            self.max = self.max.max(self.next);
        }
        if self.owes_ack > 0 {
            let frame = self.frame(now, 0, self.seq(self.max), b"");
            out.push(frame);
        }
    }

    /// A frame has arrived.
    pub(crate) fn handle(&mut self, now: u64, frame: &[u8]) {
        if self.is_reset {
            return;
        }
        let packet = decode(frame, frame.len() as u32, LinkType::Ethernet);
        assert_eq!(packet.kind, PacketKind::Tcp, "{}: no TCP", self.name);
        assert_eq!(checksum::tcp_ok(&packet, frame), Some(true), "{}: wrong TCP checksum", self.name);
        if packet.ip_version == 4 {
            assert!(checksum::ipv4_header_ok(packet.network_header(frame)), "{}: wrong IPv4 checksum", self.name);
        }
        let options = TcpOptions::parse(packet.tcp_options(frame));
        assert!(!options.malformed, "{}: malformed options", self.name);
        let payload = packet.payload(frame);
        assert_eq!(payload.len(), packet.payload_len as usize, "{}: a length that is wrong", self.name);
        let has = |flag: u8| packet.tcp_flags & flag != 0;
        if has(TcpFlags::RST) {
            let (sent, expected) = self.numbers();
            assert!(self.irs.is_some() && packet.seq == expected, "{}: a RST that does not count", self.name);
            assert!(!has(TcpFlags::ACK) || packet.ack.le(sent), "{}: a RST that acknowledges too much", self.name);
            self.is_reset = true;
            return;
        }
        if has(TcpFlags::SYN) {
            if self.irs.is_none() {
                self.irs = Some(packet.seq.0);
                self.ts_recent = options.timestamps.map_or(0, |(value, _)| value);
                self.window = packet.window.into();
            }
            if self.is_client {
                assert_eq!(packet.ack, self.seq(0), "the SYN is not what is acknowledged");
                self.is_established = true;
                self.owes_ack += 1;
            } else {
                self.syn_sent = if self.is_established { self.syn_sent } else { None };
            }
            self.progress = now;
            return;
        }
        let Some(irs) = self.irs else { return };
        let at = i64::from(packet.seq.distance(SeqNum(irs.wrapping_add(1)) + self.expected() as u32));
        if let Some((value, _)) = options.timestamps {
            if SeqNum(value).lt(SeqNum(self.ts_recent)) {
                self.owes_ack += 1;
                return;
            }
            if at <= 0 {
                self.ts_recent = value;
            }
        } else {
            assert!(!self.traits.timestamps, "{}: no time stamp", self.name);
        }
        // RFC 9293 3.10.7.4: what lies outside the window has no effect but an acknowledgment.
        let end = at + payload.len() as i64 + i64::from(has(TcpFlags::FIN));
        if self.is_established && (at > i64::from(self.traits.window) || end < self.last_ack - self.expected() as i64) {
            self.owes_ack += 1;
            return;
        }
        self.acknowledged(now, packet.ack, packet.window, &options);
        self.is_established = true;
        self.take(at, payload, has(TcpFlags::FIN));
    }

    fn acknowledged(&mut self, now: u64, ack: SeqNum, window: u16, options: &TcpOptions) {
        let ahead = i64::from(ack.distance(self.seq(self.una)));
        let acked = self.una.saturating_add_signed(ahead);
        assert!(ahead <= 0 || acked <= self.max, "{}: {acked} acknowledged, {} sent", self.name, self.max);
        if acked > self.una || acked == self.una && ahead == 0 {
            self.window = window.into();
        }
        if acked > self.una {
            self.una = acked;
            self.next = self.next.max(acked);
            self.progress = now;
        }
        assert!(self.traits.sack || options.sack.is_empty(), "{}: SACK", self.name);
        for &(left, right) in options.sack.iter() {
            let [left, right] = [left, right].map(|edge| i64::from(edge.distance(self.seq(self.una))));
            assert!(left <= right, "{}: a block from {left} to {right}", self.name);
            let [left, right] = [left, right].map(|edge| self.una.saturating_add_signed(edge));
            assert!(right <= self.max, "{}: {right} selectively acknowledged, {} sent", self.name, self.max);
            if left > self.una && left < right {
                self.sacked.push([left, right]);
            }
        }
        let una = self.una;
        self.sacked.retain(|block| block[1] > una);
    }

    /// Payload `at` bytes from the next one expected.
    fn take(&mut self, at: i64, payload: &[u8], fin: bool) {
        let expected = self.expected();
        if payload.is_empty() && !fin {
            // What is before the window asks how far it has come.
            self.owes_ack += u32::from(at < 0);
            return;
        }
        self.owes_ack += 1;
        for (index, &byte) in payload.iter().enumerate() {
            let Some(offset) = expected.checked_add_signed(at + index as i64) else { continue };
            if offset < expected || offset >= expected + u64::from(self.traits.window) || self.fin_received {
                continue;
            }
            let held = *self.held.entry(offset).or_insert(byte);
            assert_eq!(held, byte, "{}: another byte at {offset}", self.name);
        }
        let end = expected.checked_add_signed(at + payload.len() as i64);
        if fin && !self.fin_received && end.is_some_and(|end| end <= expected + u64::from(self.traits.window)) {
            assert!(self.fin_at.is_none() || self.fin_at == end, "{}: two ends", self.name);
            self.fin_at = end;
        }
        while let Some(byte) = self.held.remove(&(self.received.len() as u64)) {
            self.received.push(byte);
        }
        if self.fin_at == Some(self.received.len() as u64) {
            self.fin_received = true;
        }
        assert!(!self.fin_received || self.held.is_empty(), "{}: data beyond the FIN", self.name);
    }
}

/// What the network does to frames on one stretch of the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// In percent.
    pub(crate) loss: usize,
    /// In percent.
    pub(crate) twice: usize,
    /// Milliseconds, at random.
    pub(crate) delay: [u64; 2],
}

/// Frames on their way.
#[derive(Debug, Default)]
struct Stretch {
    frames: BTreeMap<(u64, u64), Vec<u8>>,
    count: u64,
}

impl Stretch {
    fn send(&mut self, now: u64, frame: Vec<u8>, weather: Weather, random: &mut Dice) {
        for _ in 0..1 + usize::from(random.percent(weather.twice)) {
            if random.percent(weather.loss) {
                continue;
            }
            let [least, most] = weather.delay;
            let due = now + least + random.below((most - least + 1) as usize) as u64;
            self.count += 1;
            self.frames.insert((due, self.count), frame.clone());
        }
    }

    fn due(&mut self, now: u64) -> Option<Vec<u8>> {
        let first = self.frames.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Two endpoints, and two stretches of way each: to the middlebox and on from there.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) ends: [Endpoint; 2],
    before: Stretch,
    after: [Stretch; 2],
    pub(crate) weather: Weather,
    pub(crate) random: Dice,
    pub(crate) now: u64,
}

impl World {
    pub(crate) fn new(ends: [Endpoint; 2], weather: Weather, random: Dice) -> Self {
        Self { ends, before: Stretch::default(), after: Default::default(), weather, random, now: 1000 }
    }

    /// A millisecond passes: returns what arrives at the middlebox.
    pub(crate) fn tick(&mut self) -> Vec<Vec<u8>> {
        self.now += 1;
        for to in [0, 1] {
            while let Some(frame) = self.after[to].due(self.now) {
                self.ends[to].handle(self.now, &frame);
            }
        }
        let mut out = Vec::new();
        for end in &mut self.ends {
            end.poll(self.now, &mut out);
        }
        for frame in out {
            self.before.send(self.now, frame, self.weather, &mut self.random);
        }
        std::iter::from_fn(|| self.before.due(self.now)).collect()
    }

    /// The middlebox sends a frame on to the client (0) or the server (1).
    pub(crate) fn forward(&mut self, to: usize, frame: Vec<u8>) {
        self.after[to].send(self.now, frame, self.weather, &mut self.random);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.is_done() || end.is_reset)
    }
}
