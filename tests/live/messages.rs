//! Frames of the protocols below TCP, made and looked for.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use mos_core::io::{AfPacket, Arrival, Port, wait};

/// How often a port is looked at, with 10 milliseconds of sleep if it has nothing.
const LOOKS: u32 = 10_000;

/// The Internet checksum (RFC 1071), byte by byte.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!sum as u16).to_be_bytes()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An ICMP or ICMPv6 echo request in a frame; the pairs are source and destination. It may take so many hops.
pub(super) fn echo_request(
    macs: ([u8; 6], [u8; 6]),
    ips: (IpAddr, IpAddr),
    hops: u8,
    number: u16,
    len: usize,
) -> Vec<u8> {
    let [source, destination] = [octets(ips.0), octets(ips.1)];
    let kind = if ips.0.is_ipv4() { 8 } else { 128 };
    let mut message = vec![kind, 0, 0, 0, 0x4d, 0x4f];
    message.extend(number.to_be_bytes());
    message.extend((0..len).map(|at| at as u8));
    let total = message.len() as u16;
    let sum = match ips.0 {
        IpAddr::V4(_) => checksum(&[&message]),
        IpAddr::V6(_) => checksum(&[&source, &destination, &total.to_be_bytes(), &[0, 58], &message]),
    };
    message[2..4].copy_from_slice(&sum);
    let mut frame = [macs.1, macs.0].concat();
    match ips.0 {
        IpAddr::V4(_) => {
            let [high, low] = (total + 20).to_be_bytes();
            let mut header = vec![0x45, 0, high, low, 0, 0, 0x40, 0, hops, 1, 0, 0];
            header.extend([source, destination].concat());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum);
            frame.extend([0x08, 0x00]);
            frame.extend(header);
        }
        IpAddr::V6(_) => {
            let [high, low] = total.to_be_bytes();
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, high, low, 58, hops]);
            frame.extend([source, destination].concat());
        }
    }
    frame.extend(message);
    frame
}

/// Frames of that kind that arrive, until there are `count` of them; and those that come a little later, of which there should be
/// none.
pub(super) fn collect_some(port: &mut AfPacket, count: usize, is_wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let (mut frames, mut looks) = (Vec::<Vec<u8>>::new(), 0);
    let mut enough: Option<Instant> = (count == 0).then(Instant::now);
    while enough.is_none_or(|since| since.elapsed() < Duration::from_millis(100)) {
        looks += 1;
        assert!(looks < LOOKS, "{} of {count} frames", frames.len());
        let arrival = port.receive(&mut |burst| {
            let all = burst.frames.iter().map(|meta| &burst.memory[meta.range()]);
            frames.extend(all.filter(|frame| is_wanted(frame)).map(<[u8]>::to_vec));
        });
        if enough.is_none() && frames.len() >= count {
            enough = Some(Instant::now());
        }
        if !matches!(arrival.unwrap(), Arrival::Frames(_)) {
            let fds: Vec<_> = port.poll_fd().into_iter().collect();
            wait(&fds, Duration::from_millis(10)).unwrap();
        }
    }
    frames
}
