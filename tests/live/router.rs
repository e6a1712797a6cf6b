//! A monitor on a router: the hosts are in different networks, and the middlebox's own kernel does not forward.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mos_core::io::{AfPacket, AfPacketConfig, Port};
use mos_core::packet::Offload;

use super::forwarder::open;
use super::messages::{collect_some, echo_request};
use super::middlebox::Middlebox;
use super::net::Net;
use super::streams::{connect, exchange, ping_pong, transfer};

const CONF: &str = "mos {
    forward = 1
    netdev {
        m0 0x3
        m1 0x3
    }
    route_table {
        10.77.3.0/24 via 10.77.2.2 m1
    }
}
";

/// An echo request from host a by way of the middlebox, and all that comes of it at host a, by kind: what is an answer of the kind
/// that is wanted.
fn ask(net: &Net, port: &mut AfPacket, ips: (&str, &str), hops: u8, kinds: (u8, u8)) {
    let gateway = net.run("m", || open("m0", AfPacketConfig::default()).info().mac);
    let ips: (IpAddr, IpAddr) = (ips.0.parse().unwrap(), ips.1.parse().unwrap());
    let own = port.info().mac;
    let request = echo_request((own, gateway), ips, hops, 7, 40);
    port.transmit(&request, Offload::NONE).unwrap();
    port.flush();
    let (ether_type, kind_at, kind) = match ips.0 {
        IpAddr::V4(_) => ([0x08, 0x00], 34, kinds.0),
        IpAddr::V6(_) => ([0x86, 0xdd], 54, kinds.1),
    };
    let is_icmp = |frame: &[u8]| {
        frame[12..14] == ether_type && frame[if kind_at == 34 { 23 } else { 20 }] == kind_at_protocol(kind_at)
    };
    let is_answer = |frame: &[u8]| frame.len() > 60 && is_icmp(frame) && frame[kind_at] == kind;
    let answers = collect_some(port, 1, is_answer);
    assert_eq!(answers.len(), 1, "{ips:?}: one answer, no more");
    assert_eq!(answers[0][6..12], gateway);
    assert_eq!(answers[0][..6], own);
    // What went wrong is quoted, and an echo is the same but for its head.
    assert!(answers[0].windows(8).any(|part| part == &request[kind_at + 8..kind_at + 16]));
}

/// The number of ICMP of that version.
fn kind_at_protocol(kind_at: usize) -> u8 {
    if kind_at == 34 { 1 } else { 58 }
}

const ECHO_REPLY: (u8, u8) = (0, 129);
const TIME_EXCEEDED: (u8, u8) = (11, 3);
const UNREACHABLE: (u8, u8) = (3, 1);

#[test]
fn hosts_of_different_networks_talk() {
    let Some(net) = Net::routed() else { return };
    let middlebox = Middlebox::start(&net, CONF, "midstat");
    for server in ["10.77.2.2:5001", "[fd77:2::2]:5001", "10.77.3.2:5001"] {
        let server: SocketAddr = server.parse().unwrap();
        transfer(&net, server, server, 32 << 20);
        let (client, other) = connect(&net, server, server);
        let times = ping_pong(&client, &other, 100, Duration::ZERO);
        println!("{server}: a byte there and back took {:?} (median), {:?} (worst)", times[50], times[99]);
    }
    let mut port = net.run("a", || open("a0", AfPacketConfig::default()));
    let (v4, v6) = ("10.77.1.2", "fd77:1::2");
    // Host b answers; so does the middlebox's kernel for its own addresses, near and far, and nobody besides.
    for target in [(v4, "10.77.2.2"), (v6, "fd77:2::2"), (v4, "10.77.1.1"), (v6, "fd77:1::1"), (v4, "10.77.2.1")] {
        ask(&net, &mut port, target, 64, ECHO_REPLY);
    }
    // As traceroute sees it.
    for target in [(v4, "10.77.2.2"), (v6, "fd77:2::2"), (v4, "10.77.3.2")] {
        ask(&net, &mut port, target, 1, TIME_EXCEEDED);
    }
    // No such network.
    for target in [(v4, "10.99.0.1"), (v6, "fd99::1")] {
        ask(&net, &mut port, target, 64, UNREACHABLE);
    }
    // One answer to ARP.
    net.ip("a", "neigh flush dev a0");
    let is_reply = |frame: &[u8]| frame[12..14] == [0x08, 0x06] && frame[21] == 2;
    collect_some(&mut port, 0, |_| false);
    let again: SocketAddr = "10.77.2.2:5003".parse().unwrap();
    transfer(&net, again, again, 1000);
    assert_eq!(collect_some(&mut port, 1, is_reply).len(), 1);
    middlebox.stop();
}

#[test]
fn an_interface_that_comes_back_has_another_hardware_address() {
    let Some(net) = Net::routed() else { return };
    let middlebox = Middlebox::start(&net, CONF, "midstat");
    let server: SocketAddr = "10.77.2.2:5001".parse().unwrap();
    let (client, other) = connect(&net, server, server);
    exchange(&client, &other, 1 << 20);
    net.ip("m", "link del m1");
    middlebox.wait_until("m1 is gone", |middlebox| middlebox.device("m1", "up") == [0, 0]);
    net.pair("b", "b0", "m1");
    net.address_link("b", "m1", "b0", 2);
    middlebox.wait_until("m1 is back", |middlebox| middlebox.device("m1", "up") == [1, 1]);
    exchange(&client, &other, 1 << 20);
    for server in ["10.77.2.2:5001", "[fd77:2::2]:5001"] {
        let server: SocketAddr = server.parse().unwrap();
        transfer(&net, server, server, 1 << 20);
    }
    middlebox.stop();
}
