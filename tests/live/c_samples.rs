//! The samples in C that stand in the way, between two kernels.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::firewall::assert_refused;
use super::middlebox::bridge;
use super::net::Net;
use super::streams::{LONG, connect, eventually, many, patient, transfer};
use super::workshop::{Workshop, is_here, skipped};

const NAT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// A process in a namespace. It is killed when the test is over, if it is still there.
struct Running {
    child: Child,
    output: std::path::PathBuf,
}

impl Running {
    /// Starts it, with all that it says in a file.
    fn start(net: &Net, space: &str, mut command: Command, output: std::path::PathBuf) -> Self {
        let file = File::create(&output).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = net.run(space, move || command.spawn().unwrap());
        Self { child, output }
    }

    fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    fn wait_for(&self, words: &str) {
        assert!(eventually(|| self.output().contains(words)), "never: {words}: {}", self.output());
    }

    /// Interrupts it, as Ctrl-C does, and waits for its end.
    fn stop(&mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut status = None;
        let has_ended = eventually(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(has_ended && status.is_some_and(|status| status.success()), "{status:?}: {}", self.output());
        self.output()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("it has said:\n{}", self.output());
        }
    }
}

/// Starts a sample in the middlebox, with the arguments that come behind its mos.conf, and waits until it says these words.
fn middlebox(net: &Net, workshop: &Workshop, name: &str, arguments: &str, words: &str) -> Running {
    workshop.write("bridge.conf", &bridge(1, ""));
    let command = workshop.sample(&format!("{name} bridge.conf {arguments}"));
    let running = Running::start(net, "m", command, workshop.path("output"));
    running.wait_for(words);
    running
}

/// Fetches a page from host b, where a server for it is started, if the tools for that are here: what curl makes of it, and what the
/// server says.
fn fetch(net: &Net, workshop: &Workshop, port: u16) -> Option<(Option<i32>, String)> {
    for tool in ["curl", "python3"] {
        if !is_here(tool) {
            skipped(&format!("a page is not fetched through the samples in C: {tool} is not here"));
            return None;
        }
    }
    let folder = workshop.make_folder("pages");
    fs::write(folder.join("page"), "from the server\n").unwrap();
    let mut python = Command::new("python3");
    python.args(["-u", "-m", "http.server", "--bind", "10.77.0.2", &port.to_string()]).current_dir(folder);
    let server = Running::start(net, "b", python, workshop.path("server"));
    server.wait_for("Serving HTTP");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--noproxy", "*", "--max-time", "3", &format!("http://10.77.0.2:{port}/page")]);
    let output = net.run("a", move || curl.output().unwrap());
    let is_page = output.stdout == b"from the server\n";
    assert_eq!(output.status.success(), is_page);
    Some((output.status.code(), server.output()))
}

fn at(host: &str, port: u16) -> SocketAddr {
    format!("{host}:{port}").parse().unwrap()
}

#[test]
fn firewall_in_c_refuses_and_accepts() {
    let Some(net) = Net::new() else { return };
    let Some(workshop) = Workshop::new("live-firewall", "cc", "-O2 -g") else { return };
    workshop.write(
        "live-rules",
        "drop any any 6001\ndrop fd77::/16 any 6002\ndrop 10.77.0.1 10.77.0.0/24 6003\naccept 10.77.0.1 any any\n",
    );
    let mut firewall = middlebox(&net, &workshop, "firewall", "live-rules", "4 rules\n");
    for (host, port) in [("10.77.0.2", 6001), ("[fd77::2]", 6001), ("[fd77::2]", 6002), ("10.77.0.2", 6003)] {
        assert_refused(&net, at(host, port));
    }
    for to in [at("10.77.0.2", 6002), at("[fd77::2]", 6003)] {
        transfer(&net, to, to, 1 << 20);
    }
    let mut pages = [0, 0];
    if let Some((status, log)) = fetch(&net, &workshop, 8000) {
        assert!(status == Some(0) && log.contains("GET /page"), "{status:?} {log}");
        pages[0] += 1;
    }
    if let Some((status, log)) = fetch(&net, &workshop, 6001) {
        // It has timed out.
        assert!(status == Some(28) && !log.contains("GET"), "{status:?} {log}");
        pages[1] += 1;
    }
    let table = firewall.stop();
    let flows: Vec<u64> =
        table.lines().skip(2).map(|line| line.split_whitespace().nth(2).unwrap().parse().unwrap()).collect();
    assert_eq!(flows, [2 + pages[1], 1, 1, 1 + pages[0], 1], "{table}");
}

/// Host b finds the NAT's address where host a is, as it would find it behind a router.
fn outside() -> Option<Net> {
    let net = Net::new()?;
    net.ip("a", "link set a0 address 02:00:00:00:00:0a");
    net.ip("b", &format!("route add {NAT}/32 dev b0"));
    net.ip("b", &format!("neigh replace {NAT} lladdr 02:00:00:00:00:0a dev b0 nud permanent"));
    Some(net)
}

#[test]
fn nat_in_c_translates_both_ways() {
    let Some(net) = outside() else { return };
    let Some(workshop) = Workshop::new("live-nat", "cc", "-O2 -g") else { return };
    let mut nat = middlebox(&net, &workshop, "nat", "203.0.113.1 10.77.0.1/32", "translating\n");

    let to = at("10.77.0.2", 7100);
    let listener = net.run("b", move || TcpListener::bind(to).unwrap());
    let client = net.spawn("a", move || {
        for number in 0..50u8 {
            let mut stream = TcpStream::connect_timeout(&to, LONG).unwrap();
            patient(&stream);
            stream.write_all(&[number]).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(answer == [number; 10_000]);
        }
    });
    let (mut seen, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..50 {
        let (mut stream, from) = listener.accept().unwrap();
        seen.insert(from.ip());
        ports.insert(from.port());
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&[byte[0]; 10_000]).unwrap();
    }
    client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert_eq!(seen, BTreeSet::from([IpAddr::V4(NAT)]));
    assert_eq!(ports, (1024..1074).collect(), "the port that was free for the longest time comes first");

    many(&net, at("10.77.0.2", 7101), 320);
    transfer(&net, at("10.77.0.2", 7102), at("10.77.0.2", 7102), 4 << 20);
    let mut pages = 0;
    if let Some((status, log)) = fetch(&net, &workshop, 8000) {
        assert!(status == Some(0) && log.contains("203.0.113.1 - - "), "{status:?} {log}");
        pages += 1;
    }
    // Nobody outside may begin.
    let inside = at("10.77.0.1", 7103);
    let listener = net.run("a", move || TcpListener::bind(inside).unwrap());
    let refused = net.run("b", move || TcpStream::connect_timeout(&inside, Duration::from_millis(1500)).is_err());
    listener.set_nonblocking(true).unwrap();
    assert!(refused && listener.accept().is_err());

    let said = nat.stop();
    let made = 50 + 320 + 1 + pages;
    assert!(
        said.contains(&format!("\n{made} connections translated, {made} of them ended, 64512 ports free\n")),
        "{said}"
    );
}

/// Who finds no port tries again by itself, and gets one when another connection has ended.
#[test]
fn nat_in_c_gives_ports_again() {
    let Some(net) = outside() else { return };
    let Some(workshop) = Workshop::new("live-ports", "cc", "-O2 -g") else { return };
    let mut nat = middlebox(&net, &workshop, "nat", "203.0.113.1 10.77.0.1/32 9999-9999", "translating\n");
    let [first, second] = [7200, 7201].map(|port| at("10.77.0.2", port));
    let ends = connect(&net, first, first);
    let listener = net.run("b", move || TcpListener::bind(second).unwrap());
    let client = net.spawn("a", move || TcpStream::connect_timeout(&second, LONG).unwrap());
    std::thread::sleep(Duration::from_millis(200));
    assert!(!client.is_finished(), "there is one port, and somebody else has it");
    drop(ends);
    let _client = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert_eq!(listener.accept().unwrap().1, SocketAddr::from((NAT, 9999)));
    let said = nat.stop();
    assert!(said.contains("\n2 connections translated, 2 of them ended, 1 ports free\n"), "{said}");
    assert!(!said.contains(" 0 without a port"), "{said}");
}
