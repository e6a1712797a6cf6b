//! Expressions against built frames, errors against their texts, and properties of both directions.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::packet::LinkType;
use crate::wire::{FrameBuilder, TcpFlags, TcpSegment, decode};

fn ethernet(ether_type: u16, datagram: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &ether_type.to_be_bytes()[..], datagram].concat()
}

/// 10.1.0.9 to 10.2.0.8.
fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x45, 0, 0, 20 + payload.len() as u8, 0, 0, 0, 0, 64, protocol, 0, 0];
    datagram[6..8].copy_from_slice(&fragment.to_be_bytes());
    datagram.extend([10, 1, 0, 9, 10, 2, 0, 8]);
    datagram.extend(payload);
    ethernet(0x0800, &datagram)
}

fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let addresses = [0xfd00_u128 << 112 | 1, 0xfd00_u128 << 112 | 2].map(u128::to_be_bytes).concat();
    let header = [0x60, 0, 0, 0, 0, payload.len() as u8, protocol, 64];
    ethernet(0x86dd, &[&header[..], &addresses, payload].concat())
}

fn tcp(src: &str, dst: &str, flags: u8) -> TcpSegment<'static> {
    TcpSegment { flags, ..TcpSegment::new(src.parse().unwrap(), dst.parse().unwrap()) }
}

/// 53 to 1024.
const UDP: [u8; 8] = [0, 53, 4, 0, 0, 8, 0, 0];

/// The frames of the table, each with the letter it has there.
fn frames() -> Vec<(char, Vec<u8>)> {
    let syn = tcp("10.1.2.3:40000", "192.0.2.1:80", TcpFlags::SYN);
    let mapped = tcp("[::ffff:10.1.2.3]:443", "[fd00::9]:443", TcpFlags::FIN | TcpFlags::ACK);
    vec![
        ('4', syn.to_ethernet()),
        ('s', tcp("192.0.2.1:80", "10.1.2.3:40000", TcpFlags::SYN | TcpFlags::ACK).to_ethernet()),
        ('6', tcp("[fd00::1]:50000", "[2001:db8::1]:443", TcpFlags::ACK).to_ethernet()),
        ('m', mapped.to_ethernet()),
        ('v', FrameBuilder::new().vlan(7).vlan(100).ethernet(&syn)),
        ('u', ipv4(17, 0, &UDP)),
        ('U', ipv6(17, &UDP)),
        ('i', ipv4(1, 0, &[8, 0, 0, 0, 0, 0, 0, 0])),
        ('I', ipv6(58, &[128, 0, 0, 0, 0, 0, 0, 0])),
        ('f', ipv4(6, 0x2000, &[0, 80, 0, 80, 0, 0, 0, 0])),
        ('c', ipv4(17, 0, &[0, 53])),
        ('a', ethernet(0x0806, &[0; 46])),
    ]
}

/// The letters of the frames that an expression matches.
fn matched(text: &str) -> String {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let letters = frames().into_iter().filter(|(_, frame)| {
        let wire_len = frame.len() as u32;
        let packet = decode(frame, wire_len, LinkType::Ethernet);
        filter.matches(&packet, frame, wire_len)
    });
    letters.map(|(letter, _)| letter).collect()
}

const EVERY: &str = "4s6mvuUiIfca";

const TABLE: &[(&str, &str)] = &[
    ("", EVERY),
    (" \t\n", EVERY),
    // Versions and protocols.
    ("ip", "4svuifc"),
    ("ip6", "6mUI"),
    ("not ip and not ip6", "a"),
    ("tcp", "4s6mvf"),
    ("udp", "uUc"),
    ("icmp", "i"),
    ("icmp6", "I"),
    ("proto 6", "4s6mvf"),
    ("proto tcp or udp", "4s6mvuUfc"),
    ("proto \\icmp or \\udp", "uUic"),
    ("proto icmp or gre", "i"),
    ("ip proto 17", "uc"),
    ("ip6 proto (6 or 0x11)", "6mU"),
    ("proto 0", ""),
    // Addresses.
    ("host 10.1.2.3", "4sv"),
    ("src host 10.1.2.3", "4v"),
    ("dst 10.1.2.3", "s"),
    ("src 10.1.2.3 or fd00::1", "46vUI"),
    ("src or dst host 10.1.2.3", "4sv"),
    ("dst or src host 10.1.2.3", "4sv"),
    ("src and dst host 10.1.2.3", ""),
    ("src && dst net 10", "uifc"),
    ("src and dst net fd00::/8", "UI"),
    ("src host 10.1.2.3 or dst host 10.1.2.3", "4sv"),
    ("host ::ffff:10.1.2.3", "m"),
    ("ip host 10.1.0.9", "uifc"),
    ("ip6 host fd00::1 or fd00::9", "6mUI"),
    ("net 10.1", "4svuifc"),
    ("net 10.1/16", "4svuifc"),
    ("net 10.1.2.3", "4sv"),
    ("src net 10.1.0/24", "uifc"),
    ("net 192.0.2.0/24", "4sv"),
    ("net 10.1.0.0 mask 255.255.0.0", "4svuifc"),
    ("net 10 mask 255", "4svuifc"),
    ("dst net 0.0.0.1 mask 0.0.0.255", "4v"),
    ("net 0.0.0.0/0", "4svuifc"),
    ("net ::/0", "6mUI"),
    ("ip6 dst net 2001:db8::/32", "6"),
    // Ports.
    ("port 80", "4sv"),
    ("dst port 80", "4v"),
    ("src port 80 or 53", "suU"),
    ("port 80 or 443", "4s6mv"),
    ("port (80 or 443)", "4s6mv"),
    ("port 80 or (443 and not 50000)", "4smv"),
    ("dst port not 80 and ip and tcp", "sf"),
    ("src and dst port 443", "m"),
    ("tcp port 53", ""),
    ("udp src port 53", "uU"),
    ("port 0", ""),
    ("portrange 50-60", "uU"),
    ("dst portrange 1024-80", "46mvuU"),
    ("tcp src portrange 440-450 or 50000-50001", "6m"),
    // Links.
    ("vlan", "v"),
    ("vlan 100", "v"),
    ("vlan 7", ""),
    ("mpls", ""),
    ("not mpls 16", EVERY),
    // Lengths.
    ("less 50", "uifc"),
    ("len < 60 and greater 54", "4s"),
    ("len = 60", "a"),
    ("len != 60 and len >= 0x3e", "6mvUI"),
    ("len > 0xffffffff", ""),
    // Flags.
    ("tcp[tcpflags] & tcp-syn != 0", "4sv"),
    ("tcp[13]&2!=0", "4sv"),
    ("tcp[tcpflags] == tcp-syn", "4v"),
    ("tcp[tcpflags] = tcp-syn|tcp-ack", "s"),
    ("tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn", "4v"),
    ("(tcp[tcpflags] & (tcp-fin | 0x4)) != 0", "m"),
    ("(tcp[tcpflags] & tcp-fin != 0)", "m"),
    ("(tcp[tcpflags]) = (tcp-ack)", "6"),
    ("tcp[13] & tcp-ack > 0 and tcp[13] <= 16", "6"),
    ("not tcp[13] & 16 = 16 and tcp", "4vf"),
    // Joining.
    ("udp or tcp and ip6", "6mU"),
    ("udp or (tcp and ip6)", "6muUc"),
    ("not tcp or ip", "4svuUiIfca"),
    ("! tcp && ! udp || vlan", "viIa"),
    ("not not tcp", "4s6mvf"),
    ("not (tcp or udp)", "iIa"),
    ("(port 80) or 443", "4s6mv"),
    ("not port 80 or 443", "6muUiIfca"),
];

#[test]
fn spec_7_expressions_match_the_frames_they_mean() {
    let found: Vec<_> = TABLE.iter().map(|&(text, _)| (text, matched(text))).collect();
    let wrong: Vec<_> = found.iter().zip(TABLE).filter(|(found, (_, expected))| found.1 != *expected).collect();
    assert!(wrong.is_empty(), "found, expected: {wrong:#?}");
}

#[test]
fn spec_7_printed_expressions_parse_to_the_same() {
    for &(text, expected) in TABLE {
        let filter = Filter::parse(text).unwrap();
        let printed = filter.to_string();
        assert_eq!(Filter::parse(&printed).as_ref(), Ok(&filter), "{text}: {printed}");
        assert_eq!(matched(&printed), expected, "{text}: {printed}");
    }
    let printed = |text| Filter::parse(text).unwrap().to_string();
    assert_eq!(printed("tcp src port (80 or 443) and less 60"), "(tcp src port 80 or tcp src port 443) and len <= 60");
    assert_eq!(printed("!(ip src or dst net 10.1 || portrange 9-5)"), "not (net 10.1.0.0/16 or portrange 5-9)");
    assert_eq!(printed("net 10.0.1.0 mask 255.0.255.0"), "net 10.0.1.0 mask 255.0.255.0");
}

#[test]
fn a_short_wire_length_is_that_of_the_capture() {
    let frame = tcp("10.0.0.1:1", "10.0.0.2:2", 0).to_ethernet();
    let packet = decode(&frame, 0, LinkType::Ethernet);
    assert!(Filter::parse("len = 54").unwrap().matches(&packet, &frame, 0));
    assert!(Filter::parse("len = 1500").unwrap().matches(&packet, &frame, 1500));
}

const ERRORS: &[(&str, usize, &str)] = &[
    ("prot 80", 1, "unknown word `prot`: allowed are `host`, `net`"),
    ("tcp and", 8, "expected a primitive, found the end: allowed are"),
    ("tcp udp", 5, "expected `and`, `or` or the end, found `udp`"),
    ("tcp)", 4, "`)` closes nothing"),
    ("not (tcp or udp", 5, "`(` is never closed"),
    ("(tcp 5)", 6, "expected `and`, `or` or `)`, found `5`"),
    ("()", 2, "expected a primitive, found `)`"),
    ("10.0.0.1", 1, "nothing says what `10.0.0.1` is: put `host`"),
    ("tcp or 80", 8, "nothing says what `80` is"),
    ("port http", 6, "`http` is no number: a port is one from 0 to 65535"),
    ("port 65536", 6, "`65536` is out of range: a port is a number from 0 to 65535"),
    ("port 99999999999999999999", 6, "`99999999999999999999` is out of range"),
    ("port 080", 6, "`080` begins with 0, which may mean octal"),
    ("port", 5, "expected a port, found the end"),
    ("portrange 80", 11, "`80` is no range of ports: write `80-80` or `port 80`"),
    ("host example.org", 6, "`example.org` is no address"),
    ("host 10.0.0.0/8", 6, "`10.0.0.0/8` is not one address: write `net 10.0.0.0/8`"),
    ("src foo", 5, "expected `host`, `net`, `port`, `portrange` or an address after the direction, found `foo`"),
    ("src or host 1.2.3.4", 5, "expected `host`, `net`, `port`, `portrange` or an address after the direction"),
    ("net 10.0.0.1/8", 5, "`10.0.0.1/8` has bits beyond its mask: write `net 10.0.0.0/8`"),
    ("net 10.0.0.1 mask 255.0.0.0", 5, "`10.0.0.1` has bits beyond its mask: write `net 10.0.0.0/8`"),
    ("net fd00::1/8", 5, "`fd00::1/8` has bits beyond its prefix: the net is `fd00::/8`"),
    ("net 10.0.0.0/33", 5, "`33` is out of range: a prefix length here is a number from 0 to 32"),
    ("net 10.0.0.256", 5, "`256` is out of range: each part of an IPv4 address is a number from 0 to 255"),
    ("net 1.2.3.4.5", 5, "`1.2.3.4.5` is no net"),
    ("ip host fd00::1", 9, "`fd00::1` is not of the version `ip`"),
    ("ip6 net 10", 9, "`10` is not of the version `ip6`"),
    ("tcp host 1.2.3.4", 1, "`tcp` does not go with an address: `ip` and `ip6` do; `tcp and ...` is allowed"),
    ("ip port 80", 1, "`ip` does not go with a port: `tcp` and `udp` do"),
    ("icmp6 port 80", 1, "`icmp6` does not go with a port"),
    ("src proto 6", 5, "`proto` has no direction"),
    ("proto http", 7, "unknown protocol `http`: a number from 0 to 255 is allowed, and icmp, igmp"),
    ("proto 256", 7, "`256` is out of range"),
    ("vlan 4096", 6, "`4096` is out of range: a VLAN id is a number from 0 to 4095"),
    ("less x", 6, "`x` is no number: a length is one from 0 to 4294967295"),
    ("len 5", 5, "expected `=`, `!=`, `<`, `<=`, `>` or `>=`, found `5`"),
    ("tcp[12] & 0xf0 != 0", 5, "unknown field `12`: only `tcpflags`, which is 13, is allowed here"),
    ("tcp[tcpflags] & syn != 0", 17, "unknown flag `syn`: a number from 0 to 255 is allowed, and tcp-fin, tcp-syn"),
    ("tcp[13] & 1|2 != 0", 12, "expected `=`, `!=`"),
    ("tcp[13] = 256", 11, "`256` is out of range"),
    ("tcp[13", 7, "expected `]`, found the end"),
    ("port ü80", 6, "`ü80` is no number"),
    ("host é or €", 6, "`é` is no address"),
];

#[test]
fn spec_7_errors_name_what_is_wrong_and_where() {
    for &(text, column, message) in ERRORS {
        let error = Filter::parse(text).unwrap_err();
        assert!(error.message.starts_with(message), "{text}: {}", error.message);
        assert_eq!(error.column, column, "{text}: {error}");
        let shown = error.to_string();
        assert_eq!(shown, format!("{}\n  {text}\n  {}^", error.message, " ".repeat(column - 1)));
    }
}

#[test]
fn spec_7_errors_show_one_line_and_not_too_much_of_it() {
    let error = Filter::parse("tcp\nand\tfoo").unwrap_err();
    assert!(error.to_string().ends_with("\n  tcp and foo\n          ^"), "{error}");

    let many = "tcp or ".repeat(100);
    let error = Filter::parse(&format!("{many}foo or {many}tcp")).unwrap_err();
    assert_eq!(error.column, 701);
    let shown = error.to_string();
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[1].len() < 140 && lines[1].starts_with("  ...") && lines[1].ends_with("..."), "{error}");
    assert!(lines[1][lines[2].len() - 1..].starts_with("foo or"), "{error}");
}

#[test]
fn depth_and_length_are_bounded() {
    let nested = |depth| format!("{}tcp{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(Filter::parse(&nested(MAX_DEPTH)), Filter::parse("tcp"));
    let error = Filter::parse(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!((error.column, &*error.message), (65, "parentheses are nested more than 64 deep"));

    let ids = format!("port {}80", "(".repeat(MAX_LEN - 7));
    assert_eq!(Filter::parse(&ids).unwrap_err().column, 5 + 65);

    // Long without being deep: neither reading, printing, matching nor dropping these may take more stack for it.
    let nots = format!("{}tcp", "!".repeat(MAX_LEN - 3));
    assert_eq!(Filter::parse(&nots), Filter::parse("not tcp"));
    let chain = format!("{}ip", "ip or ".repeat(MAX_LEN / 6 - 1));
    assert_eq!(Filter::parse(&chain).unwrap().to_string(), chain);
    assert_eq!(matched(&chain), matched("ip"));

    let error = Filter::parse(&" ".repeat(MAX_LEN + 1)).unwrap_err();
    assert_eq!(error.message, "the expression has 65537 bytes, more than the 65536 allowed");
}

const WORDS: &str = "host net port portrange src dst ip ip6 tcp udp icmp icmp6 proto vlan mpls less greater len \
                     mask and or not && || ! ( ) [ ] & | = == != < <= > >= tcp[ tcp[tcpflags] tcp[13] tcpflags \
                     13 tcp-syn tcp-ack tcp-cwr 0 80 443 0x10 080 65536 4294967296 10 10.1 10.0.0.1 10.0.0.0/8 \
                     255.255.0.0 fd00::1 fd00::/8 ::/0 80-443 9-1 - / \\udp gre foo ü";

fn any_word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(WORDS.split_whitespace().collect::<Vec<_>>())
}

/// What parses is printed so that it parses to the same, and matching survives it.
fn check(text: &str) -> Result<(), TestCaseError> {
    match Filter::parse(text) {
        Ok(filter) => {
            let printed = filter.to_string();
            prop_assert_eq!(Filter::parse(&printed), Ok(filter.clone()), "{}", printed);
            for (_, frame) in frames() {
                let packet = decode(&frame, 0, LinkType::Ethernet);
                let is_match = filter.matches(&packet, &frame, 0);
                prop_assert_eq!(Filter::parse(&printed).unwrap().matches(&packet, &frame, 0), is_match);
                // Another frame than the packet's: any answer will do.
                let _ = filter.matches(&packet, &frame[..frame.len() / 3], 0);
            }
        }
        Err(error) => {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.column));
            prop_assert_eq!(error.to_string().lines().count(), 3);
        }
    }
    Ok(())
}

/// Expressions that are right, made as the grammar has it.
fn right() -> impl Strategy<Value = String> {
    let pick = |options: &'static str| prop::sample::select(options.split(';').collect::<Vec<_>>());
    let side = || pick(";src ;dst ;src or dst ;dst and src ");
    let primitive = prop_oneof![
        (pick(";ip "), side(), pick("host 10.1.2.3;net 10.1;net 10.1.2.0/24;net 10.1 mask 255.255.0.0"))
            .prop_map(|(version, side, id)| format!("{version}{side}{id}")),
        (pick(";ip6 "), side(), pick("host fd00::1;net fd00::/8;net (::/0 or fd00::1)"))
            .prop_map(|(version, side, id)| format!("{version}{side}{id}")),
        (pick(";tcp ;udp "), side(), any::<(u16, u16)>())
            .prop_map(|(transport, side, (a, b))| format!("{transport}{side}portrange {a}-{b} or {b}-{a}")),
        (pick(";tcp ;udp "), side(), pick("port 80;port 443 or not 53;port (80 or (53 and 443))"))
            .prop_map(|(transport, side, id)| format!("{transport}{side}{id}")),
        (pick(";ip ;ip6 "), any::<u8>()).prop_map(|(version, number)| format!("{version}proto {number}")),
        pick("ip;ip6;tcp;udp;icmp;icmp6;vlan;vlan 100;mpls;mpls 3;less 60;greater 60").prop_map(String::from),
        (pick("=;==;!=;<;<=;>;>="), any::<u32>()).prop_map(|(relation, len)| format!("len{relation}{len}")),
        (pick("=;!=;<;>="), any::<(u8, u8)>())
            .prop_map(|(relation, (mask, value))| format!("tcp[tcpflags]&{mask}{relation}{value:#x}")),
    ];
    primitive.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| format!("not {inner}")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            (inner.clone(), pick(" and ; or ;&&;||"), inner).prop_map(|(a, joint, b)| format!("{a}{joint}{b}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn survives_any_text(text: String) {
        check(&text)?;
    }

    #[test]
    fn survives_any_words(words in prop::collection::vec(any_word(), 0..12)) {
        check(&words.join(" "))?;
        check(&words.concat())?;
    }

    #[test]
    fn right_expressions_parse_and_print(text in right()) {
        prop_assert!(Filter::parse(&text).is_ok(), "{}", text);
        check(&text)?;
    }
}
