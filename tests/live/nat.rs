//! The NAT between two kernels, on one core and on two: the server knows the NAT's address only, everything is answered, and
//! nothing is left afterwards.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use mos_core::config::{ChecksumMode, Config, Timeouts};
use mos_core::io::fanout::FlowHash;
use mos_core::io::{AfPacket, AfPacketConfig, Arrival, Port, wait};
use mos_core::time::Timestamp;
use mos_monitor::Core;
use mos_samples::nat::{Nat, NatConfig, NatTimeouts, Protocol, address_range};
use mos_samples::output::Output;

use super::net::Net;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

const NAT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const CLIENTS: usize = 4;
const CONNECTIONS: usize = 3000;
const SOCKETS: usize = 200;

/// As the system has it for the frames.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_nanos(since.as_nanos() as u64)
}

/// One core between the two ports: it ends when it is told to, and says whether anything has panicked.
fn run(mut ports: [AfPacket; 2], nat: &Nat, number: usize, stop: &AtomicBool) -> u64 {
    let timeouts = Timeouts { time_wait: Duration::from_millis(300), ..Nat::flow_timeouts() };
    let mut core = Core::new(Config { checksum: ChecksumMode::Verify, timeouts, ..Config::default() });
    nat.open(&mut core, number).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let mut any = false;
        for from in 0..2 {
            let [a, b] = &mut ports;
            let (receiver, sender) = if from == 0 { (a, b) } else { (b, a) };
            let arrival = receiver.receive(&mut |burst| {
                core.process(burst);
                for (index, meta) in burst.frames.iter().enumerate() {
                    if let Some(frame) = core.stack().forwarded(index, burst) {
                        sender.transmit(frame, meta.offload).unwrap();
                    }
                }
            });
            sender.flush();
            any |= matches!(arrival.unwrap(), Arrival::Frames(_));
        }
        core.advance(now());
        if !any {
            let fds: Vec<_> = ports.iter().filter_map(Port::poll_fd).collect();
            wait(&fds, Duration::from_millis(5)).unwrap();
        }
    }
    core.panics()
}

struct Running {
    nat: Nat,
    stop: Arc<AtomicBool>,
    cores: Vec<JoinHandle<u64>>,
}

impl Running {
    fn start(net: &Net, cores: usize) -> Self {
        let hash = FlowHash::new(11);
        let nat = Nat::new(
            NatConfig {
                addresses: address_range(&NAT.to_string()).unwrap(),
                inside: vec!["10.77.0.1".parse().unwrap()],
                timeouts: NatTimeouts {
                    udp: Duration::from_secs(2),
                    udp_answered: Duration::from_secs(2),
                    ..NatTimeouts::default()
                },
                hash,
                cores,
                ..NatConfig::default()
            },
            Arc::new(Output::new(std::io::sink())),
        );
        let (nat, stop) = (nat.unwrap(), Arc::new(AtomicBool::new(false)));
        let config = AfPacketConfig { hash, ..AfPacketConfig::default() };
        let [inside, outside] =
            net.run("m", move || ["m0", "m1"].map(|name| AfPacket::open(name, cores, &config).unwrap()));
        let threads = inside.into_iter().zip(outside).enumerate().map(|(number, (a, b))| {
            let (nat, stop) = (nat.clone(), Arc::clone(&stop));
            std::thread::spawn(move || run([a, b], &nat, number, &stop))
        });
        let cores = threads.collect();
        Self { nat, stop, cores }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for core in self.cores {
            assert_eq!(core.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), 0);
        }
    }
}

/// Many short connections, a few at a time. Returns whom the server has seen.
fn connections(net: &Net) -> BTreeSet<IpAddr> {
    let listener = net.run("b", || TcpListener::bind("10.77.0.2:7000").unwrap());
    let server = std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        for _ in 0..CONNECTIONS {
            let (mut stream, from) = listener.accept().unwrap();
            seen.insert(from.ip());
            stream.set_read_timeout(Some(LONG)).unwrap();
            let mut word = [0; 8];
            stream.read_exact(&mut word).unwrap();
            stream.write_all(&word).unwrap();
        }
        seen
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            net.spawn("a", move || {
                for number in 0..CONNECTIONS / CLIENTS {
                    let to = "10.77.0.2:7000".parse().unwrap();
                    let mut stream = TcpStream::connect_timeout(&to, LONG).unwrap();
                    stream.set_read_timeout(Some(LONG)).unwrap();
                    let word = (client * CONNECTIONS + number).to_be_bytes();
                    stream.write_all(&word).unwrap();
                    let mut answer = [0; 8];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, word);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    server.join().unwrap()
}

/// Datagrams to an echo, each from a socket of its own. Returns whom the server has seen.
fn datagrams(net: &Net) -> BTreeSet<IpAddr> {
    let socket = net.run("b", || UdpSocket::bind("10.77.0.2:7001").unwrap());
    socket.set_read_timeout(Some(LONG)).unwrap();
    let server = std::thread::spawn(move || {
        let (mut seen, mut datagram) = (BTreeSet::new(), [0; 2000]);
        for _ in 0..SOCKETS {
            let (len, from) = socket.recv_from(&mut datagram).unwrap();
            seen.insert(from.ip());
            socket.send_to(&datagram[..len], from).unwrap();
        }
        seen
    });
    net.run("a", || {
        for number in 0..SOCKETS {
            let socket = UdpSocket::bind("10.77.0.1:0").unwrap();
            socket.connect("10.77.0.2:7001").unwrap();
            socket.set_read_timeout(Some(LONG)).unwrap();
            let datagram = vec![number as u8; 1 + number * 7];
            socket.send(&datagram).unwrap();
            let mut answer = [0; 2000];
            let len = socket.recv(&mut answer).unwrap();
            assert_eq!(answer[..len], datagram);
        }
    });
    server.join().unwrap()
}

/// Nobody listens there, and the client's kernel hears so, by an ICMP error that may reach another core.
fn refusals(net: &Net) {
    net.run("a", || {
        for _ in 0..8 {
            let socket = UdpSocket::bind("10.77.0.1:0").unwrap();
            socket.connect("10.77.0.2:9").unwrap();
            socket.set_read_timeout(Some(LONG)).unwrap();
            socket.send(b"anybody?").unwrap();
            assert_eq!(socket.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
    });
}

fn translates(cores: usize) {
    let Some(net) = Net::new() else { return };
    // The server finds the NAT's address where the client is, as it would find it behind a router.
    net.shell("b", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit");
    net.ip("a", "link set a0 address 02:00:00:00:00:0a");
    net.ip("b", &format!("route add {NAT}/32 dev b0"));
    net.ip("b", &format!("neigh replace {NAT} lladdr 02:00:00:00:00:0a dev b0 nud permanent"));
    let running = Running::start(&net, cores);
    let only_nat = BTreeSet::from([IpAddr::V4(NAT)]);
    assert_eq!(connections(&net), only_nat);
    assert_eq!(datagrams(&net), only_nat);
    refusals(&net);
    let stats = running.nat.stats();
    let made = |protocol| -> Vec<u64> {
        stats.pools.iter().filter(|pool| pool.protocol == protocol).map(|pool| pool.made).collect()
    };
    assert_eq!(made(Protocol::Tcp).iter().sum::<u64>(), CONNECTIONS as u64, "{stats:?}");
    assert!(made(Protocol::Tcp).iter().all(|&made| made > CONNECTIONS as u64 / 4), "{stats:?}");
    // The client's kernel may have given a socket the port of an earlier one.
    let datagrams = made(Protocol::Udp).iter().sum::<u64>();
    assert!((SOCKETS as u64 / 2..=SOCKETS as u64 + 8).contains(&datagrams), "{stats:?}");
    assert_eq!((stats.exhausted(), stats.errors, stats.bad_checksums), (0, 8, 0), "{stats:?}");
    let start = Instant::now();
    while running.nat.stats().in_use() > 0 && start.elapsed() < LONG {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(running.nat.stats().in_use(), 0, "{:?}", running.nat.stats());
    println!("{:?}", running.nat.stats());
    running.stop();
}

#[test]
fn a_nat_on_one_core() {
    translates(1);
}

#[test]
fn a_nat_on_two_cores() {
    translates(2);
}
