//! A TCP connection spelled out segment by segment: the caller says who sends what, the talk keeps the numbers.

use std::net::SocketAddr;

use mos_core::time::Timestamp;
use mos_core::wire::{SeqNum, TcpFlags, TcpSegment};
use mos_monitor::Side;

use super::Frame;

const ACK: u8 = TcpFlags::ACK;

/// Both ends of a connection, as far as sequence numbers go.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) addresses: [SocketAddr; 2],
    /// The next number that each side sends.
    pub(crate) next: [u32; 2],
    /// What each side has acknowledged, as far as it was told to.
    pub(crate) acked: [u32; 2],
    pub(crate) time: Timestamp,
}

impl Talk {
    /// A connection from 10.x.y.z to 192.168.0.1:80, where x.y.z and the port come from `number`.
    pub(crate) fn new(number: u32) -> Self {
        let [_, b, c, d] = number.to_be_bytes();
        let client = SocketAddr::from(([10, b, c, d], 10_000 + (number % 50_000) as u16));
        Self::between(client, SocketAddr::from(([192, 168, 0, 1], 80)), number.wrapping_mul(2_654_435_761))
    }

    /// A connection whose initial numbers come from `seed`.
    pub(crate) fn between(client: SocketAddr, server: SocketAddr, seed: u32) -> Self {
        let next = [seed, seed.rotate_left(16) ^ 0x5bd1_e995];
        Self { addresses: [client, server], next, acked: [0; 2], time: Timestamp::from_millis(1000) }
    }

    /// The same endpoints again, with other numbers.
    pub(crate) fn again(&self) -> Self {
        let next = self.next.map(|next| next.wrapping_add(0x1357_9bdf));
        Self { next, ..self.clone() }
    }

    /// A segment with any numbers.
    pub(crate) fn segment(&self, from: Side, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Frame {
        let [src, dst] = match from {
            Side::Client => self.addresses,
            Side::Server => [self.addresses[1], self.addresses[0]],
        };
        let (seq, ack) = (SeqNum(seq), SeqNum(ack));
        let segment = TcpSegment { seq, ack, flags, payload, ..TcpSegment::new(src, dst) };
        Frame::ip(segment.to_raw_ip(), self.time)
    }

    pub(crate) fn syn(&mut self) -> Frame {
        let frame = self.segment(Side::Client, TcpFlags::SYN, self.next[0], 0, b"");
        self.next[0] = self.next[0].wrapping_add(1);
        self.acked[1] = self.next[0];
        frame
    }

    pub(crate) fn syn_ack(&mut self) -> Frame {
        let frame = self.segment(Side::Server, TcpFlags::SYN | ACK, self.next[1], self.next[0], b"");
        self.next[1] = self.next[1].wrapping_add(1);
        self.acked[0] = self.next[1];
        frame
    }

    /// SYN, SYN|ACK, ACK.
    pub(crate) fn handshake(&mut self) -> [Frame; 3] {
        [self.syn(), self.syn_ack(), self.ack(Side::Client)]
    }

    /// Acknowledges all that the peer has sent.
    pub(crate) fn ack(&mut self, from: Side) -> Frame {
        self.acked[from as usize] = self.next[from.other() as usize];
        self.segment(from, ACK, self.next[from as usize], self.acked[from as usize], b"")
    }

    /// The next data. It acknowledges what was acknowledged already.
    pub(crate) fn data(&mut self, from: Side, payload: &[u8]) -> Frame {
        let frame = self.segment(from, ACK, self.next[from as usize], self.acked[from as usize], payload);
        self.next[from as usize] = self.next[from as usize].wrapping_add(payload.len() as u32);
        frame
    }

    /// Data that lies `ahead` bytes beyond the next.
    pub(crate) fn ahead(&self, from: Side, ahead: i32, payload: &[u8]) -> Frame {
        let seq = self.next[from as usize].wrapping_add_signed(ahead);
        self.segment(from, ACK, seq, self.acked[from as usize], payload)
    }

    pub(crate) fn fin(&mut self, from: Side) -> Frame {
        self.acked[from as usize] = self.next[from.other() as usize];
        let (seq, ack) = (self.next[from as usize], self.acked[from as usize]);
        self.next[from as usize] = seq.wrapping_add(1);
        self.segment(from, TcpFlags::FIN | ACK, seq, ack, b"")
    }

    pub(crate) fn rst(&mut self, from: Side) -> Frame {
        self.segment(from, TcpFlags::RST, self.next[from as usize], 0, b"")
    }

    /// FIN, FIN, ACK: after the last one the flow is over.
    pub(crate) fn close(&mut self) -> [Frame; 3] {
        [self.fin(Side::Client), self.fin(Side::Server), self.ack(Side::Client)]
    }

    /// Handshake, a request, an answer, and the end in order: 8 frames.
    pub(crate) fn whole(&mut self, request: &[u8], answer: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::from(self.handshake());
        frames.push(self.data(Side::Client, request));
        frames.push(self.data(Side::Server, answer));
        frames.extend(self.close());
        frames
    }
}
