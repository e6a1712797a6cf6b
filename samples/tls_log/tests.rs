//! The TLS log on a bundled capture, and its handshakes under every treatment a stream may get.

use mos_core::time::Timestamp;
use mos_monitor::Side;
use proptest::collection::vec;
use proptest::prelude::*;

use super::handshake::{FirstMessage, Step};
use super::{Handshake, TlsLog, hello};
use crate::testing::{Paper, cases, file, replay_bundled, sorted};

fn log(capture: &str, burst: usize) -> String {
    let paper = Paper::default();
    let log = TlsLog::new(paper.output());
    replay_bundled(capture, burst, log.monitor());
    log.finish().unwrap();
    paper.text()
}

#[test]
fn the_bundled_capture_gives_the_records_that_are_expected() {
    let expected = std::fs::read_to_string(file("tls_log/expected.jsonl")).unwrap();
    assert_eq!(log("tls.pcap", 64), expected);
    for burst in [1, 2, 7] {
        assert_eq!(sorted(&log("tls.pcap", burst)), sorted(&expected), "bursts of {burst}");
    }
    assert_eq!(log("tiny.pcap", 64), "");
    assert_eq!(log("http.pcap", 64), "");
}

/// A hello with a record header: a client's with a name and two protocols, or a server's of TLS 1.3.
fn stream(is_client: bool) -> Vec<u8> {
    let extensions: &[u8] = if is_client {
        b"\x00\x00\x00\x0c\x00\x0a\x00\x00\x07a.local\x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1"
    } else {
        b"\x00\x2b\x00\x02\x03\x04"
    };
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend_from_slice(if is_client { &[0, 2, 0x13, 1, 1, 0] } else { &[0x13, 1, 0] });
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(extensions);
    let mut message = vec![if is_client { 1 } else { 2 }, 0, 0, body.len() as u8];
    message.append(&mut body);
    let mut stream = vec![22, 3, 1, 0, message.len() as u8];
    stream.append(&mut message);
    stream
}

fn handshake() -> Handshake {
    Handshake { readers: Side::BOTH.map(|_| Some(FirstMessage::default())), ..Handshake::default() }
}

fn feed(handshake: &mut Handshake, side: Side, bytes: &[u8]) {
    handshake.data(side, bytes, |_| Timestamp::ZERO);
}

#[test]
fn hellos_are_understood_whoever_sends_them() {
    for server in Side::BOTH {
        let mut handshake = handshake();
        feed(&mut handshake, server, &stream(true));
        feed(&mut handshake, server.other(), &stream(false));
        let (client, answer) = (handshake.client.unwrap(), handshake.server.unwrap());
        assert_eq!(client.name.as_deref(), Some("a.local"));
        assert_eq!(client.protocols, ["h2", "http/1.1"]);
        assert_eq!(hello::version_name(answer.version), "TLS 1.3");
        assert_eq!(hello::cipher_suite_name(answer.cipher_suite), "TLS_AES_128_GCM_SHA256");
        assert_eq!(handshake.server_side, Some(server));
        assert!(handshake.readers.iter().all(Option::is_none));
    }
}

#[test]
fn two_clients_do_not_shake_hands() {
    let mut handshake = handshake();
    feed(&mut handshake, Side::Server, &stream(true));
    feed(&mut handshake, Side::Client, &stream(true));
    assert!(handshake.server.is_none() && handshake.readers.iter().all(Option::is_none));
    assert_eq!(handshake.server_side, Some(Side::Server));
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn pieces_make_no_difference(sizes in vec(1_usize..50, 1..20), is_client in any::<bool>()) {
        let bytes = stream(is_client);
        let (mut rest, mut handshake) = (&bytes[..], handshake());
        for size in sizes.iter().copied().cycle() {
            let (piece, behind) = rest.split_at(size.min(rest.len()));
            feed(&mut handshake, Side::Server, piece);
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!((handshake.client.is_some(), handshake.server.is_some()), (is_client, !is_client));
    }

    #[test]
    fn any_bytes_are_survived(
        is_client in any::<bool>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        tail in vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = stream(is_client);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.extend(tail);
        for side in Side::BOTH {
            let (mut whole, mut pieces) = (handshake(), handshake());
            feed(&mut whole, side, &bytes);
            bytes.chunks(1).for_each(|piece| feed(&mut pieces, side, piece));
            prop_assert_eq!((&whole.client, &whole.server), (&pieces.client, &pieces.server));
        }
        let _ = hello::parse(&bytes[5..]);
        if let Step::Done { used } = FirstMessage::default().take(&bytes) {
            prop_assert!(used <= bytes.len());
        }
    }
}
