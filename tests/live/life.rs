//! The life of a process: how it ends, begins again, and waits.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::middlebox::{Middlebox, bridge};
use super::net::Net;
use super::streams::{connect, exchange, ping_pong, transfer};

const JSON: &str = "flowlog --format json --digest";

fn server() -> SocketAddr {
    "10.77.0.2:5005".parse().unwrap()
}

fn reason(record: &Value) -> (Option<&str>, Option<&str>) {
    (record["flow"]["reason"].as_str(), record["flow"]["state"].as_str())
}

#[test]
fn a_signal_ends_live_flows_in_order() {
    let Some(net) = Net::new() else { return };
    for signal in [Signal::TERM, Signal::INT] {
        for format in [JSON, "flowlog"] {
            let mut middlebox = Middlebox::start(&net, &bridge(3, ""), format);
            let (client, other) = connect(&net, server(), server());
            let sent = exchange(&client, &other, 1 << 20);
            let done = middlebox.stop_by(signal).well();
            if format == JSON {
                let records = done.records();
                let [record] = records.as_slice() else { panic!("{}", done.stdout) };
                assert_eq!(reason(record), (Some("shutdown"), Some("established")));
                assert_eq!(record["stream"]["sha256_toserver"], sent.to_server);
                assert_eq!(record["stream"]["sha256_toclient"], sent.to_client);
            } else {
                let line = done.stdout.lines().nth(1).expect("a row");
                assert!(line.contains("established/shutdown"), "{line}");
                assert!(line.contains("10.77.0.2:5005"), "{line}");
            }
            assert!(!middlebox.socket().exists());
            assert_eq!(done.stderr.lines().filter(|line| line.contains("ERROR")).count(), 0, "{}", done.stderr);
        }
    }
}

#[test]
fn a_killed_one_leaves_nothing_in_the_way() {
    let Some(net) = Net::new() else { return };
    let mut middlebox = Middlebox::start(&net, &bridge(1, ""), JSON);
    transfer(&net, server(), server(), 1 << 20);
    let (client, other) = connect(&net, server(), server());
    let status = middlebox.stop_by(Signal::KILL).status;
    assert_eq!(status.signal(), Some(9));
    assert!(middlebox.socket().exists());
    middlebox.restart(&net, JSON);
    transfer(&net, server(), server(), 1 << 20);
    // Its flow is not known, but goes on.
    exchange(&client, &other, 1 << 20);
    middlebox.wait_until("the record is there", |middlebox| middlebox.counter("live_flows") == 0);
    let done = middlebox.stop();
    assert_eq!(done.records().len(), 1, "{}", done.stdout);
}

#[test]
fn flows_end_as_their_hosts_do() {
    let Some(net) = Net::new() else { return };
    let middlebox = Middlebox::start(&net, &bridge(1, "tcp_timeout = 2"), JSON);
    // A server that is gone: its kernel answers with a reset.
    let (mut client, other) = connect(&net, server(), server());
    client.write_all(b"nobody reads this").unwrap();
    other.peek(&mut [0; 4]).unwrap();
    drop(other);
    middlebox.wait_until("the flow is reset", |middlebox| middlebox.stdout_records().len() == 1);
    // Closed in order.
    let (client, other) = connect(&net, server(), server());
    client.shutdown(Shutdown::Write).unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    middlebox.wait_until("the flow is closed", |middlebox| middlebox.stdout_records().len() == 2);
    // A server that has no power any more: silence. Nothing arrives to tell the time by.
    let (_client, _other) = connect(&net, server(), server());
    net.ip("b", "link set b0 down");
    middlebox.wait_until("the flow times out", |middlebox| middlebox.stdout_records().len() == 3);
    let records = middlebox.stop().records();
    let reasons: Vec<_> = records.iter().map(reason).collect();
    let expected = [("rst", "closed"), ("fin", "closed"), ("timeout", "established")];
    assert_eq!(reasons, expected.map(|(reason, state)| (Some(reason), Some(state))));
}

#[test]
fn interfaces_that_fail_come_back() {
    let Some(net) = Net::new() else { return };
    let middlebox = Middlebox::start(&net, &bridge(3, ""), "midstat");
    let (client, other) = connect(&net, server(), server());
    exchange(&client, &other, 1 << 20);
    net.ip("m", "link set m0 down");
    middlebox.wait_until("m0 is down", |middlebox| middlebox.device("m0", "up") == [0, 0]);
    net.ip("m", "link set m0 up");
    middlebox.wait_until("m0 is up", |middlebox| middlebox.device("m0", "up") == [1, 1]);
    // The same stream goes on.
    exchange(&client, &other, 1 << 20);

    net.ip("m", "link del m1");
    middlebox.wait_until("m1 is gone", |middlebox| middlebox.device("m1", "up") == [0, 0]);
    let before = middlebox.cpu_time();
    std::thread::sleep(Duration::from_secs(1));
    let used = middlebox.cpu_time() - before;
    println!("without one of its interfaces it used {used:?} in a second");
    assert!(used < Duration::from_millis(200), "it spins: {used:?}");
    net.pair("b", "b0", "m1");
    net.address_host("b", "b0", 2);
    middlebox.wait_until("m1 is back", |middlebox| middlebox.device("m1", "up") == [1, 1]);
    assert_eq!(middlebox.device("m1", "reopened"), [1, 1]);
    // So does the stream, once host a has found host b's new hardware address.
    net.ip("a", "neigh flush dev a0");
    exchange(&client, &other, 1 << 20);
    transfer(&net, server(), server(), 1 << 20);
    let v6 = "[fd77::2]:5006".parse().unwrap();
    transfer(&net, v6, v6, 1 << 20);
    middlebox.stop();
}

#[test]
fn an_idle_one_costs_nothing_and_wakes_at_once() {
    let Some(net) = Net::new() else { return };
    let middlebox = Middlebox::start(&net, &bridge(3, ""), JSON);
    let (client, other) = connect(&net, server(), server());
    ping_pong(&client, &other, 10, Duration::ZERO);
    let (before, start) = (middlebox.cpu_time(), Instant::now());
    std::thread::sleep(Duration::from_secs(4));
    let used = middlebox.cpu_time() - before;
    let share = used.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
    println!("idle with an open connection and two cores: {share:.2} % of a processor");
    assert!(share < 2.0, "{share} %");
    let times = ping_pong(&client, &other, 7, Duration::from_millis(300));
    println!("a byte there and back after silence: {:?} (median), {:?} (worst)", times[3], times[6]);
    assert!(times[3] < Duration::from_millis(200), "{times:?}");
    middlebox.stop();
}

#[test]
fn a_second_signal_ends_one_whose_records_nobody_takes() {
    let Some(net) = Net::new() else { return };
    let mut middlebox = Middlebox::start_unread(&net, &bridge(1, ""), JSON);
    // Each is a record of some 700 bytes; the pipe takes 64 KiB. Then the core waits, and so does its traffic.
    let listener = net.run("b", || TcpListener::bind(server()).unwrap());
    listener.set_nonblocking(true).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // Closed at once.
                let _ = listener.accept();
            }
        });
        let is_stuck = net.run("a", || {
            (0..1000).any(|_| TcpStream::connect_timeout(&server(), Duration::from_millis(1500)).is_err())
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(is_stuck);
    });
    middlebox.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(middlebox.is_running(), "it has records to write");
    assert_eq!(middlebox.stop_by(Signal::TERM).status.code(), Some(1));
}
