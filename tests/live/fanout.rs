//! The system deals frames out as the function says, both directions of a flow to one core.

use std::time::Duration;

use mos_core::io::fanout::FlowHash;
use mos_core::io::{AfPacket, AfPacketConfig, Arrival, LinkState, Port, wait};
use mos_core::packet::Offload;
use mos_core::wire::TcpSegment;

use super::faults::{assert_passes, until};
use super::forwarder::open;
use super::net::Net;

const CORES: usize = 3;

/// Frames of all kinds that the hash tells apart, tagged and not; both directions of each flow.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for number in 0..60u16 {
        let pairs = [
            (format!("10.9.0.{number}:{}", 1000 + number), "10.8.0.1:443".to_owned()),
            (format!("[fd09::{number:x}]:{}", 1000 + number), "[fd08::1]:443".to_owned()),
        ];
        for (a, b) in pairs {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            for (from, to) in [(a, b), (b, a)] {
                let tcp = TcpSegment { payload: b"0123456789", ..TcpSegment::new(from, to) }.to_ethernet();
                let protocol = if tcp[12] == 8 { 23 } else { 20 };
                let with = |value: u8| {
                    let mut frame = tcp.clone();
                    frame[protocol] = value;
                    frame
                };
                let mut echo = with(if protocol == 23 { 1 } else { 58 });
                let at = if protocol == 23 { 34 } else { 54 };
                echo[at..at + 6].copy_from_slice(&[if protocol == 23 { 8 } else { 129 }, 0, 0, 0, 3, number as u8]);
                let mut fragment = tcp.clone();
                if protocol == 23 {
                    fragment[20] = 0x20;
                }
                let untagged = [tcp.clone(), with(17), with(50), echo, fragment];
                for tags in [&[][..], &[0x81, 0, 0, 5], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6]] {
                    frames.extend(untagged.iter().map(|frame| [&frame[..12], tags, &frame[12..]].concat()));
                }
            }
        }
    }
    frames
}

fn drain(ports: &mut [AfPacket], hash: FlowHash, counts: &mut [usize]) -> bool {
    let mut any = false;
    for (core, port) in ports.iter_mut().enumerate() {
        let arrival = port.receive(&mut |burst| {
            for meta in burst.frames {
                let frame = &burst.memory[meta.range()];
                assert_eq!(hash.of_frame(frame) as usize % CORES, core, "{frame:02x?}");
            }
            counts[core] += burst.frames.len();
        });
        any |= matches!(arrival.unwrap(), Arrival::Frames(_));
    }
    any
}

/// Sends all kinds of frames, and checks where they come out.
fn check(net: &Net, ports: &mut [AfPacket], hash: FlowHash) {
    let mut host = net.run("a", || open("a0", AfPacketConfig::default()));
    let (frames, mut counts) = (frames(), [0; CORES]);
    for chunk in frames.chunks(50) {
        chunk.iter().for_each(|frame| host.transmit(frame, Offload::NONE).unwrap());
        host.flush();
        while drain(ports, hash, &mut counts) {}
    }
    for _ in 0..500 {
        if counts.iter().sum::<usize>() == frames.len() {
            break;
        }
        if !drain(ports, hash, &mut counts) {
            let fds: Vec<_> = ports.iter().filter_map(Port::poll_fd).collect();
            wait(&fds, Duration::from_millis(20)).unwrap();
        }
    }
    assert_eq!(counts.iter().sum::<usize>(), frames.len(), "{:?}", host.counters());
    assert!(counts.iter().all(|&count| count > frames.len() / 6), "{counts:?}");
    assert!(ports.iter_mut().all(|port| port.counters().kernel_drops == 0));
}

#[test]
fn the_system_and_the_function_choose_the_same_core() {
    let Some(net) = Net::new() else { return };
    net.silence();
    for seed in [1, 2] {
        let hash = FlowHash::new(seed);
        let config = AfPacketConfig { hash, ..AfPacketConfig::default() };
        let mut ports = net.run("m", move || AfPacket::open("m0", CORES, &config).unwrap());
        check(&net, &mut ports, hash);

        // The system takes the sockets out of their group, and puts them in again.
        net.ip("m", "link set m0 down");
        ports.iter_mut().for_each(|port| assert!(until(port, LinkState::Down) < 1000));
        net.ip("m", "link set m0 up");
        ports.iter_mut().rev().for_each(|port| assert!(until(port, LinkState::Up) < 1000));
        assert_passes(&net, &mut ports[0]);
        check(&net, &mut ports, hash);

        net.ip("m", "link del m0");
        ports.iter_mut().for_each(|port| assert!(until(port, LinkState::Gone) < 1000));
        net.pair("a", "a0", "m0");
        net.silence();
        let mut ports = net.run("m", move || {
            ports.iter_mut().rev().for_each(|port| assert!(until(port, LinkState::Up) < 1000));
            ports
        });
        assert_passes(&net, &mut ports[0]);
        check(&net, &mut ports, hash);
    }
}
