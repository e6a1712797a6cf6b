//! TCP between the kernels of the two hosts: what is sent is known by its hash.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::net::Net;

/// Far longer than anything here takes.
pub(super) const LONG: Duration = Duration::from_secs(100);

/// Looks again and again, with pauses, until it is so; false if it is not after thousands of times. They are counted, not timed: a
/// machine that stands still for a minute, as virtual ones do, is no reason to give up.
pub(super) fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    const LOOKS: usize = 3000;
    const PAUSE: Duration = Duration::from_millis(20);
    (0..LOOKS).any(|_| {
        is_so() || {
            std::thread::sleep(PAUSE);
            false
        }
    })
}

/// What has gone each way, as SHA-256: from the client, and from the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// The client's end.
    pub(super) client: SocketAddr,
    pub(super) to_server: String,
    pub(super) to_client: String,
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Sends so many bytes that are hard to guess, and returns their hash.
pub(super) fn send(mut to: &TcpStream, mut seed: u64, bytes: usize) -> String {
    let (mut hash, mut chunk, mut left) = (Sha256::new(), vec![0; 256 << 10], bytes);
    while left > 0 {
        for word in chunk.as_chunks_mut().0 {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            *word = (seed ^ seed >> 29).to_ne_bytes();
        }
        let now = &chunk[..left.min(256 << 10)];
        hash.update(now);
        to.write_all(now).unwrap();
        left -= now.len();
    }
    hex(hash)
}

/// Receives so many bytes, and returns their hash.
pub(super) fn receive(mut from: &TcpStream, bytes: usize) -> String {
    let (mut hash, mut chunk, mut left) = (Sha256::new(), vec![0; 256 << 10], bytes);
    while left > 0 {
        let most = left.min(chunk.len());
        let read = from.read(&mut chunk[..most]).unwrap();
        assert_ne!(read, 0, "the stream ends {left} bytes early");
        hash.update(&chunk[..read]);
        left -= read;
    }
    hex(hash)
}

/// Does not wait for ever for what does not come.
pub(super) fn patient(stream: &TcpStream) {
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
}

/// A stream from host a to `to`, and its other end, on host b at `at`.
pub(super) fn connect(net: &Net, to: SocketAddr, at: SocketAddr) -> (TcpStream, TcpStream) {
    let listener = net.run("b", move || TcpListener::bind(at).unwrap());
    let client = net.run("a", move || TcpStream::connect_timeout(&to, LONG).unwrap());
    let (server, _) = listener.accept().unwrap();
    patient(&client);
    patient(&server);
    (client, server)
}

/// So many bytes one way, then the other. The client connects to `to`, the server is at `at`.
pub(super) fn transfer(net: &Net, to: SocketAddr, at: SocketAddr, bytes: usize) -> Sent {
    let (client, server) = connect(net, to, at);
    exchange(&client, &server, bytes)
}

/// The same on streams that are there. They are closed when it is over only if their owner drops them.
pub(super) fn exchange(client: &TcpStream, server: &TcpStream, bytes: usize) -> Sent {
    let seed = u64::from(client.local_addr().unwrap().port());
    let [sent, received] = std::thread::scope(|scope| {
        let server = scope.spawn(|| [receive(server, bytes), send(server, seed << 16, bytes)]);
        let sent = [send(client, seed, bytes), receive(client, bytes)];
        [sent, server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))]
    });
    assert_eq!(sent, received);
    let [to_server, to_client] = sent;
    Sent { client: client.local_addr().unwrap(), to_server, to_client }
}

/// One byte there and one back, `count` times, each after a pause; how long each took, the shortest first.
pub(super) fn ping_pong(
    mut client: &TcpStream,
    mut server: &TcpStream,
    count: usize,
    pause: Duration,
) -> Vec<Duration> {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..count {
                let mut byte = [0];
                server.read_exact(&mut byte).unwrap();
                server.write_all(&byte).unwrap();
            }
        });
        let once = |number: usize| {
            std::thread::sleep(pause);
            let (start, mut byte) = (Instant::now(), [number as u8]);
            client.write_all(&byte).unwrap();
            client.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [number as u8]);
            start.elapsed()
        };
        (0..count).map(once).collect()
    });
    times.sort();
    times
}

/// Many connections at a time, each with a question and an answer, `count` in all from 16 clients.
pub(super) fn many(net: &Net, at: SocketAddr, count: usize) {
    const CLIENTS: usize = 16;
    let listener = net.run("b", move || TcpListener::bind(at).unwrap());
    let server = std::thread::spawn(move || {
        for _ in 0..count / CLIENTS * CLIENTS {
            let (mut stream, _) = listener.accept().unwrap();
            patient(&stream);
            std::thread::spawn(move || {
                let mut question = [0; 8];
                stream.read_exact(&mut question).unwrap();
                stream.write_all(&question.repeat(500)).unwrap();
            });
        }
    });
    let client = |client: usize| {
        net.spawn("a", move || {
            for number in 0..count / CLIENTS {
                let mut stream = TcpStream::connect_timeout(&at, LONG).unwrap();
                patient(&stream);
                let question = (client << 32 | number).to_be_bytes();
                stream.write_all(&question).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                assert!(answer == question.repeat(500));
            }
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    for thread in clients.into_iter().chain([server]) {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}
