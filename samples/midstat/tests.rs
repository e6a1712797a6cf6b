//! The blocks over captures, and the columns.

use mos_core::wire::TcpFlags;

use super::*;
use crate::testing::{self, Paper, Wire};

/// All blocks, and that of the end as `mos replay` has it.
fn run(path: &std::path::Path, burst: usize) -> String {
    let paper = Paper::default();
    let mut core = testing::core();
    let socket = core.open(monitor(0, paper.output())).unwrap();
    testing::feed_all(&mut core, path, burst);
    core.state::<Screen>(socket).unwrap().show();
    core.shutdown();
    assert_eq!(core.panics(), 0);
    assert!(core.state::<Screen>(socket).unwrap().connections.is_empty(), "every connection has ended");
    paper.text()
}

#[test]
fn blocks_are_as_expected() {
    for burst in [1, 7, 64] {
        for (capture, expected) in [("tiny", "expected.txt"), ("http", "expected-http.txt")] {
            let text = run(&testing::file(&format!("traces/{capture}.pcap")), burst);
            testing::check_golden(&format!("midstat/{expected}"), &text);
        }
    }
}

#[test]
fn a_block_shows_how_things_stood_before_its_second() {
    const ACK: u8 = TcpFlags::ACK;
    let [a, b, c]: [SocketAddr; 3] = ["10.0.0.1:1000", "10.0.0.2:80", "[fd00::3]:9"].map(|text| text.parse().unwrap());
    let d = "[fd00::4]:443".parse().unwrap();
    let mut wire = Wire::new();
    let packets = [
        (1000, [a, b], TcpFlags::SYN, [99, 0]),
        (2000, [b, a], TcpFlags::SYN | ACK, [499, 100]),
        (2001, [a, b], ACK, [100, 500]),
        (3000, [c, d], TcpFlags::SYN, [99, 0]),
        (3001, [a, b], TcpFlags::FIN | ACK, [100, 500]),
        (5000, [b, a], TcpFlags::FIN | ACK, [500, 101]),
        (5001, [a, b], ACK, [101, 501]),
        (6000, [c, d], TcpFlags::SYN, [99, 0]),
    ];
    for (millis, ends, flags, numbers) in packets {
        wire.set(millis);
        wire.send(ends, flags, numbers, b"");
    }
    let expected = "a SYN_SENT b SYN_RCVD\n\na ESTABLISHED b ESTABLISHED\n\n\
                    a FIN_WAIT_1 b CLOSE_WAIT\nc SYN_SENT d SYN_RCVD\n\nc SYN_SENT d SYN_RCVD\n\n";
    for burst in [1, 3, 64] {
        let paper = Paper::default();
        let mut core = testing::core();
        core.open(monitor(7, paper.output())).unwrap();
        testing::feed(&mut core, &mut wire.frames, burst);
        let text: String =
            paper.text().lines().filter(|line| !line.starts_with("Proto")).fold(String::new(), |text, line| {
                let line =
                    line.strip_prefix("tcp   7   ").unwrap_or(line).split_whitespace().collect::<Vec<_>>().join(" ");
                text + &line + "\n"
            });
        let name = |text: String, (long, short)| text.replace(long, short);
        let names = [("10.0.0.1: 1000", "a"), ("10.0.0.2: 80", "b"), ("[fd00::3]: 9", "c"), ("[fd00::4]: 443", "d")];
        assert_eq!(names.into_iter().fold(text, name), expected, "bursts of {burst}");
    }
}

#[test]
fn every_capture_is_taken() {
    for path in testing::traces() {
        let text = run(&path, 64);
        let headings = text.lines().filter(|line| line.starts_with("Proto")).count();
        assert_eq!(text.matches("\n\n").count(), headings, "{}", path.display());
    }
}

#[test]
fn ports_stand_at_the_right() {
    assert_eq!(endpoint("10.0.0.1:80".parse().unwrap()), "10.0.0.1:          80");
    assert_eq!(endpoint("255.255.255.255:65535".parse().unwrap()), "255.255.255.255:65535");
    assert_eq!(endpoint("[fd00::1234:5678:9abc]:443".parse().unwrap()), "[fd00::1234:5678:9abc]:443");
}
