//! The bundled firewall stands between two hosts: what it forbids never arrives.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mos_core::io::{AfPacket, AfPacketConfig};
use mos_core::packet::LinkType;
use mos_core::wire::{TcpFlags, decode};
use rustix::process::Signal;

use super::forwarder::open;
use super::messages::collect_some;
use super::middlebox::{Folder, Middlebox, bridge};
use super::net::Net;
use super::streams::{connect, exchange, transfer};

/// How long a client tries: its kernel sends a second SYN within.
const TRY: Duration = Duration::from_millis(1500);

fn at(host: &str, port: u16) -> SocketAddr {
    format!("{host}:{port}").parse().unwrap()
}

/// Host b listens, and a client on host a gets no answer at all.
pub(super) fn assert_refused(net: &Net, to: SocketAddr) {
    let listener = net.run("b", move || TcpListener::bind(to).unwrap());
    let error = net.run("a", move || TcpStream::connect_timeout(&to, TRY).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{to}");
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// The ports to which SYNs came, until so many have come.
fn syns(port: &mut AfPacket, count: usize) -> Vec<u16> {
    let dst_port = |frame: &[u8]| {
        let packet = decode(frame, frame.len() as u32, LinkType::Ethernet);
        let is_syn = packet.protocol == 6 && packet.tcp_flags & (TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::SYN;
        is_syn.then_some(packet.dst_port)
    };
    let frames = collect_some(port, count, |frame| dst_port(frame).is_some());
    frames.iter().filter_map(|frame| dst_port(frame)).collect()
}

#[test]
fn what_is_forbidden_never_arrives() {
    let Some(net) = Net::new() else { return };
    let folder = Folder::new();
    folder.write("rules", "DROP any any dport:6001\nDROP fd77::1 fd77::2 dport:6002\nDEFAULT ACCEPT\n");
    let middlebox = Middlebox::start_in(&net, folder, &bridge(1, ""), "simple-firewall --rules {dir}/rules");
    let mut ear = net.run("b", || open("b0", AfPacketConfig::default()));
    for host in ["10.77.0.2", "[fd77::2]"] {
        assert_refused(&net, at(host, 6001));
    }
    assert_refused(&net, at("[fd77::2]", 6002));
    for to in [at("10.77.0.2", 6002), at("10.77.0.2", 6003), at("[fd77::2]", 6003)] {
        transfer(&net, to, to, 1 << 20);
    }
    let ports = syns(&mut ear, 3);
    assert_eq!(ports, [6002, 6003, 6003], "each once, and no other");
    let done = middlebox.stop();
    let line = |number: &str| done.stdout.lines().rfind(|line| line.starts_with(number)).unwrap().to_owned();
    let flows = |number| line(number).split_whitespace().nth(1).unwrap().to_owned();
    assert_eq!((flows("1 "), flows("2 ")), ("2".to_owned(), "1".to_owned()), "{}", done.stdout);
}

#[test]
fn rules_are_read_again_while_streams_go_on() {
    let Some(net) = Net::new() else { return };
    let folder = Folder::new();
    folder.write("rules", "DROP any any dport:6101\nDEFAULT ACCEPT\n");
    let middlebox = Middlebox::start_in(&net, folder, &bridge(1, ""), "simple-firewall --rules {dir}/rules");
    let (forbidden_later, allowed_later) = (at("10.77.0.2", 6100), at("10.77.0.2", 6101));
    let (client, server) = connect(&net, forbidden_later, forbidden_later);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Goes on all the time.
        let transfer = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                exchange(&client, &server, 1 << 20);
                count += 1;
            }
            count
        });
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            assert_refused(&net, allowed_later);
            middlebox.folder.write("rules", "DROP any any dport:6100\nDEFAULT ACCEPT\n");
            middlebox.signal(Signal::HUP);
            middlebox.wait_until("rules are new", |middlebox| middlebox.stderr().contains("the rules were read again"));
            connect(&net, allowed_later, allowed_later);
            assert_refused(&net, at("10.77.0.2", 6100));

            middlebox.folder.write("rules", "DROP any any dport:6101\nDROP what\nDEFAULT ACCEPT\n");
            middlebox.signal(Signal::HUP);
            middlebox.wait_until("broken rules are refused", |middlebox| {
                middlebox.stderr().contains("the rules stay as they were")
            });
            connect(&net, allowed_later, allowed_later);
            assert_refused(&net, at("10.77.0.2", 6100));
        }));
        stop.store(true, Ordering::Relaxed);
        let count = transfer.join().unwrap();
        assert!(count > 3, "the stream stood still");
        judged.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let stderr = middlebox.stderr();
    assert!(stderr.contains("/rules:2:"), "where the mistake is: {stderr}");
    middlebox.stop();
}
