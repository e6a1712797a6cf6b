//! What a live core with connection tracking costs, against the least that a forwarder on packet sockets does and against the
//! kernel's own bridge: between two hosts in network namespaces, with all offloads as the system sets them. Needs root.
//!
//! All of them are asked in turns, and the best turn of each counts: two cores are shared by both hosts and whoever stands in between.
//!
//! ```sh
//! cargo bench -p mos-tests --bench live
//! ```

#[cfg(target_os = "linux")]
#[path = "../live/forwarder.rs"]
mod forwarder;
#[cfg(target_os = "linux")]
#[path = "../live/net.rs"]
mod net;

#[cfg(target_os = "linux")]
#[path = "live/tracker.rs"]
mod tracker;

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
    use super::tracker::Tracker;

    const ROUND_TRIPS: usize = 500;
    const DATAGRAMS: usize = 400_000;
    const STREAM: usize = 2 << 30;
    const TURNS: usize = 3;

    /// What stands between the hosts.
    #[derive(Clone, Copy, Debug)]
    enum Way {
        KernelBridge,
        /// Frames from one port to the other, and nothing else.
        Least(Mode),
        Tracking,
    }

    const WAYS: [(&str, Way); 4] = [
        ("kernel bridge", Way::KernelBridge),
        ("least, slots (V2)", Way::Least(Mode::Inline)),
        ("least, blocks (V3)", Way::Least(Mode::Tap)),
        ("tracking, slots (V2)", Way::Tracking),
    ];

    /// The best of what was measured.
    #[derive(Clone, Copy, Debug, Default)]
    struct Best {
        idle: Option<[Duration; 2]>,
        busy: Option<Duration>,
        thousand_datagrams: f64,
        gigabits: f64,
    }

    pub(super) fn all() {
        let mut best = [Best::default(); WAYS.len()];
        for _ in 0..TURNS {
            for ((_, way), best) in WAYS.iter().zip(&mut best) {
                let Some(net) = Net::new() else { return };
                turn(&net, *way, best);
            }
        }
        let least = best[1];
        for ((name, _), Best { idle, busy, thousand_datagrams, gigabits }) in WAYS.iter().zip(best) {
            let [median, late] = idle.unwrap_or_default();
            println!(
                "{name}: round trip when idle {median:?}, one in a hundred {late:?}; one after the other {busy:?}"
            );
            println!(
                "{name}: {thousand_datagrams:.0} thousand datagrams a second arrive, x {:.2}; a TCP stream of {gigabits:.1} Gbit/s, x {:.2}",
                thousand_datagrams / least.thousand_datagrams,
                gigabits / least.gigabits
            );
        }
    }

    fn turn(net: &Net, way: Way, best: &mut Best) {
        match way {
            Way::KernelBridge => {
                for arguments in ["add name mid type bridge", "set m0 master mid", "set m1 master mid", "set mid up"] {
                    net.ip("m", &format!("link {arguments}"));
                }
                measure(net, best);
            }
            Way::Least(mode) => {
                let config = AfPacketConfig { mode, retire_ms: 1, ..AfPacketConfig::default() };
                let forwarder = Forwarder::start(net, config, Box::new(|_, _, _| {}));
                measure(net, best);
                forwarder.stop();
            }
            Way::Tracking => {
                let tracker = Tracker::start(net);
                measure(net, best);
                assert!(tracker.stop() > 0, "the stream went past the tracker");
            }
        }
    }

    fn measure(net: &Net, best: &mut Best) {
        // Until the neighbours know each other.
        round_trips(net, 3, Duration::ZERO);
        let mut idle = round_trips(net, ROUND_TRIPS, Duration::from_millis(3));
        idle.sort_unstable();
        let mut busy = round_trips(net, ROUND_TRIPS * 10, Duration::ZERO);
        busy.sort_unstable();
        let idle = [idle[idle.len() / 2], idle[idle.len() * 99 / 100]];
        best.idle = Some(best.idle.map_or(idle, |before| before.min(idle)));
        let busy = busy[busy.len() / 2];
        best.busy = Some(best.busy.map_or(busy, |before| before.min(busy)));
        let (received, seconds) = datagrams(net);
        best.thousand_datagrams = best.thousand_datagrams.max(received / seconds / 1e3);
        best.gigabits = best.gigabits.max(stream(net));
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
