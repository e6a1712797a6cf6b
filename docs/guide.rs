// What the examples of monitor-guide.md share: a connection made by hand, and a way to hand it to a core.

use mos_core::io::FrameBatch;
use mos_core::packet::LinkType;
use mos_core::time::Timestamp;
use mos_core::wire::{SeqNum, TcpFlags, TcpSegment, decode};

/// Handshake, request, answer, end: eight frames, a millisecond apart.
pub fn connection() -> Vec<Vec<u8>> {
    const ACK: u8 = TcpFlags::ACK;
    let (client, server) = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    let (request, answer) = (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK");
    let (asked, told) = (101 + request.len() as u32, 501 + answer.len() as u32);
    let segment = |from_client: bool, flags, seq, ack, payload| {
        let (src, dst) = if from_client { (client, server) } else { (server, client) };
        let (seq, ack) = (SeqNum(seq), SeqNum(ack));
        TcpSegment { seq, ack, flags, payload, ..TcpSegment::new(src, dst) }.to_ethernet()
    };
    vec![
        segment(true, TcpFlags::SYN, 100, 0, b""),
        segment(false, TcpFlags::SYN | ACK, 500, 101, b""),
        segment(true, ACK, 101, 501, b""),
        segment(true, ACK | TcpFlags::PSH, 101, 501, request),
        segment(false, ACK | TcpFlags::PSH, 501, asked, answer),
        segment(true, TcpFlags::FIN | ACK, asked, told, b""),
        segment(false, TcpFlags::FIN | ACK, told, asked + 1, b""),
        segment(true, ACK, asked + 1, told + 1, b""),
    ]
}

/// Hands the frames over, and returns what is to be forwarded.
pub fn feed(core: &mut mos_monitor::Core, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut batch = FrameBatch::new();
    for (millis, frame) in frames.iter().enumerate() {
        let time = Timestamp::from_millis(1000 + millis as u64);
        batch.push(frame, frame.len() as u32, time, 0, LinkType::Ethernet);
    }
    let count = batch.len();
    let mut burst = batch.burst(0..count);
    core.process(&mut burst);
    (0..count).filter_map(|index| core.stack().forwarded(index, &burst).map(<[u8]>::to_vec)).collect()
}

/// The sender of a frame.
pub fn source(frame: &[u8]) -> std::net::SocketAddr {
    let packet = decode(frame, frame.len() as u32, LinkType::Ethernet);
    std::net::SocketAddr::new(packet.source(frame), packet.src_port)
}

/// The TCP payload of a frame.
pub fn payload(frame: &[u8]) -> &[u8] {
    decode(frame, frame.len() as u32, LinkType::Ethernet).payload(frame)
}
