//! What a forwarder on packet sockets costs, against the kernel's own bridge: between two hosts in network namespaces, with all
//! offloads as the system sets them. Needs root.
//!
//! ```sh
//! cargo bench -p mos-tests --bench live
//! ```

#[cfg(target_os = "linux")]
#[path = "../live/forwarder.rs"]
mod forwarder;
#[cfg(target_os = "linux")]
#[path = "../live/net.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod net;

#[cfg(target_os = "linux")]
fn main() {
    measure::all();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod measure {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use mos_core::io::{AfPacketConfig, Mode};

    use super::forwarder::Forwarder;
    use super::net::Net;

    const ROUND_TRIPS: usize = 500;
    const DATAGRAMS: usize = 400_000;
    const STREAM: usize = 2 << 30;

    pub(super) fn all() {
        let taps = AfPacketConfig { mode: Mode::Tap, retire_ms: 1, ..AfPacketConfig::default() };
        let ways =
            [("kernel bridge", None), ("slots (V2)", Some(AfPacketConfig::default())), ("blocks (V3)", Some(taps))];
        for (name, config) in ways {
            let Some(net) = Net::new() else { return };
            let forwarder = config.map(|config| Forwarder::start(&net, config, Box::new(|_, _, _| {})));
            if forwarder.is_none() {
                for arguments in ["add name mid type bridge", "set m0 master mid", "set m1 master mid", "set mid up"] {
                    net.ip("m", &format!("link {arguments}"));
                }
            }
            // Until the neighbours know each other.
            round_trips(&net, 3, Duration::ZERO);
            let mut idle = round_trips(&net, ROUND_TRIPS, Duration::from_millis(3));
            idle.sort_unstable();
            let mut busy = round_trips(&net, ROUND_TRIPS * 10, Duration::ZERO);
            busy.sort_unstable();
            let [median, late, busy] = [idle[idle.len() / 2], idle[idle.len() * 99 / 100], busy[busy.len() / 2]];
            println!(
                "{name}: round trip when idle {median:?}, one in a hundred {late:?}; one after the other {busy:?}"
            );
            let (received, seconds) = datagrams(&net);
            println!(
                "{name}: {:.0} of {:.0} thousand datagrams a second arrive",
                received / seconds / 1e3,
                DATAGRAMS as f64 / seconds / 1e3
            );
            println!("{name}: a TCP stream of {:.1} Gbit/s", stream(&net));
            if let Some(forwarder) = forwarder {
                println!("{:?}", forwarder.stop()[0]);
            }
        }
    }

    /// Datagrams that are answered, and a pause after each.
    fn round_trips(net: &Net, count: usize, pause: Duration) -> Vec<Duration> {
        let server = net.run("b", || UdpSocket::bind("10.77.0.2:9").unwrap());
        let echo = std::thread::spawn(move || {
            let mut bytes = [0; 64];
            for _ in 0..count {
                let (len, from) = server.recv_from(&mut bytes).unwrap();
                server.send_to(&bytes[..len], from).unwrap();
            }
        });
        let times = net.run("a", move || {
            let client = UdpSocket::bind("10.77.0.1:0").unwrap();
            client.connect("10.77.0.2:9").unwrap();
            let round_trip = |_| {
                sleep(pause);
                let start = Instant::now();
                client.send(&[7; 32]).unwrap();
                client.recv(&mut [0; 64]).unwrap();
                start.elapsed()
            };
            (0..count).map(round_trip).collect()
        });
        echo.join().unwrap();
        times
    }

    /// As many small datagrams as the sender can make. How many arrive, and in how many seconds they were sent.
    fn datagrams(net: &Net) -> (f64, f64) {
        let server = net.run("b", || UdpSocket::bind("10.77.0.2:9").unwrap());
        server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let count = std::thread::spawn(move || (0..).take_while(|_| server.recv(&mut [0; 64]).is_ok()).count());
        let seconds = net.run("a", || {
            let client = UdpSocket::bind("10.77.0.1:0").unwrap();
            client.connect("10.77.0.2:9").unwrap();
            let start = Instant::now();
            (0..DATAGRAMS).for_each(|_| drop(client.send(&[7; 18])));
            start.elapsed().as_secs_f64()
        });
        (count.join().unwrap() as f64, seconds)
    }

    fn stream(net: &Net) -> f64 {
        let listener = net.run("b", || TcpListener::bind("10.77.0.2:9").unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut chunk, mut left) = (vec![0; 256 << 10], STREAM);
            while left > 0 {
                left -= stream.read(&mut chunk).unwrap();
            }
        });
        let start = Instant::now();
        net.run("a", || {
            let mut stream = TcpStream::connect("10.77.0.2:9").unwrap();
            let chunk = vec![5; 256 << 10];
            (0..STREAM / chunk.len()).for_each(|_| stream.write_all(&chunk).unwrap());
        });
        server.join().unwrap();
        STREAM as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9
    }
}
