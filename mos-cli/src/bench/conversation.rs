//! A TCP connection that is made up, frame by frame: exact, in sequence, with right checksums.

use std::net::{Ipv4Addr, SocketAddr};

use mos_core::event::Side;
use mos_core::wire::{SeqNum, TcpFlags, TcpSegment};

/// MSS 1460, window scale 7, SACK permitted: what systems offer.
const OFFERS: &[u8] = &[2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2, 1, 1];

/// Unscaled in handshakes; else 2048 << 7.
const WINDOWS: [u16; 2] = [u16::MAX, 2048];

const PAYLOAD: &[u8; 8] = b"payload!";

/// An Ethernet frame of 64 bytes, without its check sequence.
const MIN_FRAME: usize = 60;

/// The next sequence numbers of the connection with this number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conversation {
    number: u32,
    next: [u32; 2],
}

impl Conversation {
    /// A connection that has sent nothing. Each number has endpoints of its own.
    pub(crate) fn new(number: u32) -> Self {
        let first = scatter(number);
        Self { number, next: [first, first.rotate_left(13)] }
    }

    /// As if it had sent nothing.
    pub(crate) fn rewind(&mut self) {
        *self = Self::new(self.number);
    }

    /// The client's address is the number's low 24 bits, scattered over a network of that size; the rest differs in ports.
    fn endpoints(self) -> [SocketAddr; 2] {
        let low = scatter(self.number) & 0xff_ffff;
        let client = Ipv4Addr::from_bits(0x0a00_0000 | low);
        let server = Ipv4Addr::from_bits(0xc0a8_0000 | low.wrapping_mul(0x2545) >> 8 & 0xffff);
        let client_port = 1024 + (low % 60_000 + (self.number >> 24)) as u16;
        [(client, client_port).into(), (server, if low & 1 == 0 { 80 } else { 443 }).into()]
    }

    /// The frame of the next segment that `from` sends, with so many bytes of payload, at most 8.
    pub(crate) fn frame(&mut self, from: Side, flags: u8, payload: usize) -> Vec<u8> {
        let endpoints = self.endpoints();
        let (mine, theirs) = if from == Side::Client { (0, 1) } else { (1, 0) };
        let is_syn = flags & TcpFlags::SYN != 0;
        let segment = TcpSegment {
            seq: SeqNum(self.next[mine]),
            ack: SeqNum(if flags & TcpFlags::ACK != 0 { self.next[theirs] } else { 0 }),
            flags,
            window: WINDOWS[usize::from(!is_syn)],
            options: if is_syn { OFFERS } else { &[] },
            payload: &PAYLOAD[..payload],
            ..TcpSegment::new(endpoints[mine], endpoints[theirs])
        };
        let numbers = payload as u32 + u32::from(flags & (TcpFlags::SYN | TcpFlags::FIN) != 0);
        self.next[mine] = self.next[mine].wrapping_add(numbers);
        let mut frame = segment.to_ethernet();
        frame.resize(frame.len().max(MIN_FRAME), 0);
        frame
    }
}

/// A bijection of the low 24 bits among themselves.
fn scatter(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b1)
}

/// The three packets that open a connection: who sends them, and their flags.
pub(crate) const HANDSHAKE: [(Side, u8); 3] =
    [(Side::Client, TcpFlags::SYN), (Side::Server, TcpFlags::SYN | TcpFlags::ACK), (Side::Client, TcpFlags::ACK)];

/// The three packets that close it.
pub(crate) const CLOSING: [(Side, u8); 3] = [
    (Side::Client, TcpFlags::FIN | TcpFlags::ACK),
    (Side::Server, TcpFlags::FIN | TcpFlags::ACK),
    (Side::Client, TcpFlags::ACK),
];
