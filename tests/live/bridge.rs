//! A monitor that stands in the way as a bridge: the hosts do not notice it.

use std::net::SocketAddr;
use std::time::Duration;

use mos_core::io::{AfPacketConfig, Port};
use mos_core::packet::Offload;

use super::forwarder::open;
use super::messages::{collect_some, echo_request};
use super::middlebox::{Middlebox, bridge};
use super::net::Net;
use super::streams::{connect, many, ping_pong, transfer};

/// Bytes of each transfer, each way.
const BYTES: usize = 100 << 20;

/// An answer takes so long if a core sleeps although there is something to do: until it looks by itself.
const STALL: Duration = Duration::from_millis(250);

/// Everything that the hosts can do to each other.
fn check(net: &Net, middlebox: &Middlebox) {
    for server in ["10.77.0.2:5001", "[fd77::2]:5001"] {
        let server: SocketAddr = server.parse().unwrap();
        transfer(net, server, server, BYTES);
        many(net, server, 512);
        let (client, other) = connect(net, server, server);
        let times = ping_pong(&client, &other, 200, Duration::ZERO);
        let (median, worst) = (times[100], times[199]);
        println!("{server}: a byte there and back took {median:?} (median), {worst:?} (worst)");
        // The machine itself may stand still now and then.
        let stalls = times.iter().filter(|&&time| time > STALL).count();
        assert!(stalls < 5, "{stalls} of 200 took more than {STALL:?}");
    }
    echo(net);
    // By now everybody knows everybody: once more from the beginning.
    for (host, interface) in [("a", "a0"), ("b", "b0")] {
        net.ip(host, &format!("neigh flush dev {interface}"));
    }
    transfer(net, "10.77.0.2:5002".parse().unwrap(), "10.77.0.2:5002".parse().unwrap(), 1000);
    transfer(net, "[fd77::2]:5002".parse().unwrap(), "[fd77::2]:5002".parse().unwrap(), 1000);
    middlebox.wait_until("no flow is left but the open one", |middlebox| middlebox.counter("live_flows") <= 2);
}

/// ICMP echo, both versions, of several lengths: answered by host b's kernel, each once.
fn echo(net: &Net) {
    let mac = net.run("b", || open("b0", AfPacketConfig::default()).info().mac);
    let mut port = net.run("a", || open("a0", AfPacketConfig::default()));
    let own = port.info().mac;
    for (from, to) in [("10.77.0.1", "10.77.0.2"), ("fd77::1", "fd77::2")] {
        for (number, len) in [0, 1, 56, 1400].into_iter().enumerate() {
            let request =
                echo_request((own, mac), (from.parse().unwrap(), to.parse().unwrap()), 64, number as u16, len);
            port.transmit(&request, Offload::NONE).unwrap();
            port.flush();
            let payload = &request[request.len() - len..];
            let kind = if from.contains(':') { (54, 129) } else { (34, 0) };
            let is_reply = |frame: &[u8]| {
                frame.get(6..12) == Some(&mac)
                    && frame.get(kind.0) == Some(&kind.1)
                    && frame.get(kind.0 + 4..kind.0 + 8) == request.get(kind.0 + 4..kind.0 + 8)
                    && frame.ends_with(payload)
            };
            let replies = collect_some(&mut port, 1, is_reply);
            assert_eq!(replies.len(), 1, "{from} {len}");
        }
    }
}

#[test]
fn hosts_do_not_notice_a_bridge() {
    let Some(net) = Net::new() else { return };
    let middlebox = Middlebox::start(&net, &bridge(1, ""), "midstat");
    check(&net, &middlebox);
    assert_eq!(middlebox.device("m0", "kernel_drops"), [0]);
    let done = middlebox.stop();
    assert!(done.stdout.starts_with("Proto CPU Client Address"), "{}", done.stdout);
}

#[test]
fn two_cores_share_a_bridge() {
    let Some(net) = Net::new() else { return };
    let middlebox = Middlebox::start(&net, &bridge(3, ""), "midstat");
    check(&net, &middlebox);
    let received = middlebox.device("m0", "received");
    println!("frames that each core got: {received:?}");
    // Whose are hundreds of connections.
    assert!(received.iter().all(|&frames| frames > 500), "{received:?}");
    middlebox.stop();
}
