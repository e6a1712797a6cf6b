//! Kernels that leave checksums and segments to the hardware talk to each other through a forwarder.

use std::net::UdpSocket;

use mos_core::io::{AfPacketConfig, TransmitDrops};
use mos_core::packet::{Checksums, LinkType};
use mos_core::wire::{Rewrite, decode};

use super::forwarder::Forwarder;
use super::net::Net;
use super::streams::{LONG, transfer};

/// Bytes of each transfer.
const BYTES: usize = 128 << 20;

#[test]
fn tcp_with_all_offloads_passes_whole() {
    let Some(net) = Net::new() else { return };
    let (mut partial, mut merged) = (0u64, 0u64);
    let (tell, told) = std::sync::mpsc::channel();
    let look = move |_, frame: &mut [u8], meta: &mos_core::packet::FrameMeta| {
        partial += u64::from(meta.offload.checksums == Checksums::Partial);
        merged += u64::from(meta.offload.segment_bytes > 0 && frame.len() > 10_000);
        let _ = tell.send((partial, merged));
    };
    let forwarder = Forwarder::start(&net, AfPacketConfig::default(), Box::new(look));
    for server in ["10.77.0.2:5001", "[fd77::2]:5001"] {
        let server = server.parse().unwrap();
        transfer(&net, server, server, BYTES);
    }
    let counters = forwarder.stop();
    let (partial, merged) = told.try_iter().last().unwrap();
    assert!(partial > 1000 && merged > 1000, "offloads are on: {partial} partial checksums, {merged} super-frames");
    for port in counters {
        assert_eq!((port.unsupported, port.transmit_drops), (0, TransmitDrops::default()), "{port:?}");
    }
    assert_eq!(counters[0].received, counters[1].transmitted);
    assert_eq!(counters[1].received, counters[0].transmitted);
    println!("{counters:?}");
}

/// Checksums that are updated in place while they are still partial, as a NAT does.
#[test]
fn edited_super_frames_are_right() {
    let Some(net) = Net::new() else { return };
    let edit = |from, frame: &mut [u8], meta: &mos_core::packet::FrameMeta| {
        let packet = decode(frame, meta.wire_len, LinkType::Ethernet);
        let [outside, inside] = match packet.ip_version {
            4 => ["10.77.0.2:7000", "10.77.0.2:6000"],
            6 => ["[fd77::2]:7000", "[fd77::2]:6000"],
            _ => return,
        }
        .map(|endpoint| endpoint.parse().unwrap());
        let rewrite = match from {
            0 => Rewrite { dst: Some(inside), ..Rewrite::default() },
            _ => Rewrite { src: Some(outside), ..Rewrite::default() },
        };
        // ICMPv6 is not TCP, and stays.
        let _ = rewrite.apply(frame, &packet);
    };
    let forwarder = Forwarder::start(&net, AfPacketConfig::default(), Box::new(edit));
    for host in ["10.77.0.2", "[fd77::2]"] {
        let [outside, inside] = [7000, 6000].map(|port| format!("{host}:{port}").parse().unwrap());
        transfer(&net, outside, inside, BYTES);
    }
    forwarder.stop();
}

/// UDP with partial checksums, in and out of fragments.
#[test]
fn udp_passes_whole() {
    let Some(net) = Net::new() else { return };
    let forwarder = Forwarder::start(&net, AfPacketConfig::default(), Box::new(|_, _, _| {}));
    for (here, there) in [("10.77.0.1:0", "10.77.0.2:5002"), ("[fd77::1]:0", "[fd77::2]:5002")] {
        let socket = net.run("b", move || UdpSocket::bind(there).unwrap());
        socket.set_read_timeout(Some(LONG)).unwrap();
        let echo = std::thread::spawn(move || {
            let mut datagram = vec![0; 65_536];
            for _ in 0..20 {
                let (len, from) = socket.recv_from(&mut datagram).unwrap();
                socket.send_to(&datagram[..len], from).unwrap();
            }
        });
        net.run("a", move || {
            let socket = UdpSocket::bind(here).unwrap();
            socket.connect(there).unwrap();
            socket.set_read_timeout(Some(LONG)).unwrap();
            let mut answer = vec![0; 65_536];
            for number in 0..20usize {
                let datagram: Vec<u8> = (0..number * 1000 + 1).map(|at| (at % 251) as u8).collect();
                socket.send(&datagram).unwrap();
                let len = socket.recv(&mut answer).unwrap();
                assert!(answer[..len] == datagram);
            }
        });
        echo.join().unwrap();
    }
    forwarder.stop();
}
