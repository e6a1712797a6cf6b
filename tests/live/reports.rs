//! What a running instance says of itself, and to whom.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::middlebox::{Middlebox, bridge, mos};
use super::net::Net;
use super::streams::{patient, transfer};

const KEYS: &str = "stat_print = m0\n    metrics = 127.0.0.1:9100";

fn server() -> SocketAddr {
    "10.77.0.2:5007".parse().unwrap()
}

/// What is served to Prometheus.
fn metrics(net: &Net) -> String {
    net.run("m", || {
        let mut stream = TcpStream::connect("127.0.0.1:9100").unwrap();
        patient(&stream);
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
}

#[test]
fn counters_are_shown_to_all_who_ask() {
    let Some(net) = Net::new() else { return };
    net.ip("m", "link set lo up");
    let middlebox = Middlebox::start(&net, &bridge(3, KEYS), "midstat --stats 1");
    transfer(&net, server(), server(), 1 << 20);

    // Those who connect and say nothing keep nobody waiting for long.
    let _silent = UnixStream::connect(middlebox.socket()).unwrap();
    let _mute = net.run("m", || TcpStream::connect("127.0.0.1:9100").unwrap());

    let stat = |words: &str| {
        let output = mos(&middlebox.folder, &format!("stat --socket {{dir}}/sock {words}")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = stat("");
    for word in ["core 0\n", "core 1\n", "  m0: ", "  m1: ", "received ", "transmitted ", "up 1"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let json: Value = serde_json::from_str(&stat("--json")).unwrap();
    let cores = json["cores"].as_array().unwrap();
    assert_eq!(cores.len(), 2);
    let received: u64 = cores.iter().map(|core| core["devices"]["m0"]["received"].as_u64().unwrap()).sum();
    assert!(received > 10);

    let answer = metrics(&net);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    let value = |name: &str| -> u64 {
        let lines = body.lines().filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next());
        lines.map(|value| value.parse::<u64>().unwrap()).sum()
    };
    assert!(
        value("mos_device_received{core=\"0\",device=\"m0\"}") + value("mos_device_received{core=\"1\",device=\"m0\"}")
            >= received
    );
    for line in body.lines() {
        let (name, number) = line.rsplit_once(' ').unwrap();
        assert!(number.parse::<u64>().is_ok(), "{line}");
        let name = name.split('{').next().unwrap();
        assert!(
            name.starts_with("mos_") && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            "{line}"
        );
    }
    middlebox.wait_until("counters are printed", |middlebox| {
        let stderr = middlebox.stderr();
        stderr.contains("\n  m1: ") && stderr.contains("core 0 m0: ") && stderr.contains("core 1 m0: ")
    });
    assert!(!middlebox.stderr().contains("core 0 m1: "), "only m0 was asked for");
    middlebox.stop();
}

#[test]
fn nobody_is_privileged_when_devices_are_open() {
    let Some(net) = Net::new() else { return };
    let middlebox = Middlebox::start(&net, &bridge(3, "user = nobody"), "midstat");
    let status = middlebox.proc("status");
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(line("Uid:").split_whitespace().collect::<Vec<_>>(), ["65534"; 4]);
    assert_eq!(line("Gid:").split_whitespace().collect::<Vec<_>>(), ["65534"; 4]);
    assert_eq!(line("Groups:"), "65534");
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(line(capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!(line("NoNewPrivs:"), "1");
    // All threads, too.
    transfer(&net, server(), server(), 16 << 20);
    assert!(middlebox.ask().is_some());
    middlebox.stop();
    // By its number.
    let middlebox = Middlebox::start(&net, &bridge(1, "user = 65534"), "midstat");
    assert!(middlebox.proc("status").contains("Uid:\t65534"));
    middlebox.stop();
}

#[test]
fn an_instance_that_is_alive_is_not_disturbed() {
    let Some(net) = Net::new() else { return };
    let middlebox = Middlebox::start(&net, &bridge(1, ""), "midstat");
    let words = "run midstat -f {dir}/mos.conf --socket {dir}/";
    let refused = |socket: &str| {
        let mut command = mos(&middlebox.folder, &format!("{words}{socket}"));
        let output = net.run("m", move || command.output().unwrap());
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let path = |name: &str| middlebox.folder.path(name).display().to_string();
    assert_eq!(refused("sock"), format!("mos: {}: another instance listens there\n", path("sock")));
    assert_eq!(refused("mos.conf"), format!("mos: {}: there is a file that is no socket\n", path("mos.conf")));
    assert!(middlebox.folder.read("mos.conf").contains("netdev"), "it is still there");
    assert!(middlebox.ask().is_some());
    middlebox.stop();
}
