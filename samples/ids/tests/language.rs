//! The language of rules.

use proptest::prelude::*;

use crate::ids::{MAX_RULES, Rules};

/// The places of the mistakes.
fn places(text: &str) -> Vec<(usize, usize)> {
    let error = Rules::parse("f", text).unwrap_err();
    error.mistakes.iter().map(|mistake| (mistake.line, mistake.column)).collect()
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let text = "# comment\n\
                pass tcp any any -> any any (content:\"a\"; sid:1;)\n\
                alert udp any any -> any any (content:\"a\"; sid:1;)\n\
                alert tcp any any <> any any (content:\"a\"; sid:1;)\n\
                alert tcp 10.0.0.0/40 any -> any any (content:\"a\"; sid:1;)\n\
                alert tcp any 99999 -> any any (content:\"a\"; sid:1;)\n\
                alert tcp any any -> !any any (content:\"a\"; sid:1;)\n\
                alert tcp $NONE any -> any any (content:\"a\"; sid:1;)\n\
                var P [80,443]\n\
                alert tcp $P any -> any any (content:\"a\"; sid:1;)\n\
                var P 80\n\
                alert tcp [10.0.0.1,!10.0.0.1] any -> any any (content:\"a\"; sid:1;)\n";
    let expected = [(2, 1), (3, 7), (4, 19), (5, 20), (6, 15), (7, 22), (8, 11), (10, 11), (11, 5), (12, 11)];
    assert_eq!(places(text), expected, "{}", Rules::parse("f", text).unwrap_err());
}

#[test]
fn mistakes_in_options_are_reported_with_their_places() {
    // A ^ stands before what is wrong.
    for (options, allowed) in [
        ("^x", "("),
        ("(sid:1;)^", "content"),
        ("(content:\"a\";)^", "sid"),
        ("(content:\"a\"; sid:^0;)", "number"),
        ("(content:\"a\"; sid:1^)", ";"),
        ("(content:\"a\"; sid:1;) ^x", "end"),
        ("(content:^!\"a\"; sid:1;)", "absence"),
        ("(content:^\"\"; sid:1;)", "bytes"),
        ("(content:\"|^4|\"; sid:1;)", "hexadecimal"),
        ("(content:\"a^;\"; sid:1;)", "; after"),
        ("(content:\"a^\\x\"; sid:1;)", "after a \\"),
        ("(content:\"a^", "\" at the end"),
        ("(^nocase; content:\"a\"; sid:1;)", "a content before"),
        ("(content:\"abc\"; ^depth:2; sid:1;)", "at least 3"),
        ("(content:\"a\"; nocase; ^nocase; sid:1;)", "once"),
        ("(content:\"a\"; offset:1; ^offset:1; sid:1;)", "once"),
        ("(content:\"a\"; ^within:5; sid:1;)", "msg, content"),
        ("(^pcre:\"/a/\"; sid:1;)", "msg, content"),
        ("(flow:to_server,^to_client; content:\"a\"; sid:1;)", "one direction"),
        ("(flow:^stateless; content:\"a\"; sid:1;)", "established"),
        ("(content:\"a\"; priority:^256; sid:1;)", "255"),
        ("(msg:\"ä\"; ^conten:\"a\"; sid:1;)", "msg, content"),
    ] {
        let marked = format!("alert tcp any any -> any any {options}");
        let column = marked.chars().take_while(|c| *c != '^').count() + 1;
        let error = Rules::parse("f", &marked.replace('^', "")).unwrap_err();
        let mistake = &error.mistakes[0];
        assert!(mistake.allowed.contains(allowed), "{options}: {error}");
        assert_eq!(mistake.column, column, "{options}: {error}");
    }
}

#[test]
fn numbers_of_rules_are_unique() {
    let rule = |sid: usize| format!("alert tcp any any -> any any (content:\"a\"; sid:{sid};)\n");
    assert_eq!(places(&format!("{}{}{}", rule(1), rule(2), rule(1))), [(3, 44)]);
    let all: String = (1..=MAX_RULES + 3).map(rule).collect();
    assert_eq!(places(&all), [(MAX_RULES + 1, 1)]);
}

#[test]
fn variables_are_no_way_to_fill_the_memory() {
    let mut text = String::from("var A0 [10.0.0.1,10.0.0.3,10.0.0.5,10.0.0.7]\n");
    for level in 1..200 {
        let before = format!("$A{}", level - 1);
        text += &format!("var A{level} [{}]\n", vec![before; 500].join(","));
    }
    // Sets do not grow by being repeated; going through them is counted.
    assert!(Rules::parse("f", &text).is_ok());
    let nets: Vec<_> = (0..60_000u32).map(|net| std::net::Ipv4Addr::from_bits(net << 1).to_string()).collect();
    let text = format!("var A [{}]\nvar B [{}]\n", nets.join(","), vec!["$A"; 1000].join(","));
    let error = Rules::parse("f", &text).unwrap_err();
    assert!(error.mistakes[0].allowed.contains("too many"), "{error}");
    let deep = format!("var A {}10.0.0.1{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Rules::parse("f", &deep).unwrap_err().mistakes[0].allowed.contains("nested"));
}

#[test]
fn what_is_the_same_reads_the_same() {
    let text = "var HOME [10.0.0.0/8, 192.168.0.0/255.255.0.0]\n\
                var OUTSIDE !$HOME\n\
                alert tcp !$OUTSIDE !:1023 -> $OUTSIDE [80, 81:90] (msg:\"a\\\"b\"; content:\"a|3A 3b|b\"; sid:1;)\n\
                drop tcp $HOME any -> [any,!10.0.0.0/9] any (sid:2; content:\"|00|\"; nocase; offset:3; depth:9;)";
    let expected = "alert tcp [10.0.0.0/8,192.168.0.0/16] 1024:65535 -> \
                    [0.0.0.0/5,8.0.0.0/7,11.0.0.0/8,12.0.0.0/6,16.0.0.0/4,32.0.0.0/3,64.0.0.0/2,128.0.0.0/2,\
                    192.0.0.0/9,192.128.0.0/11,192.160.0.0/13,192.169.0.0/16,192.170.0.0/15,192.172.0.0/14,\
                    192.176.0.0/12,192.192.0.0/10,193.0.0.0/8,194.0.0.0/7,196.0.0.0/6,200.0.0.0/5,208.0.0.0/4,\
                    224.0.0.0/3,::/0] 80:90 (msg:\"a\\\"b\"; content:\"a|3A 3B|b\"; sid:1; rev:0; priority:3;)\n";
    let rules = Rules::parse("f", text).unwrap();
    assert!(rules.to_string().starts_with(expected), "{rules}");
    assert_eq!(Rules::parse("f", &rules.to_string()).unwrap().list(), rules.list());
}

proptest! {
    #[test]
    fn no_text_is_too_much(
        text in "((alert|drop|tcp|any|var A|\\$A|10\\.0\\.0\\.1|::|/|8|->|[\\[\\],!:;()\"|\\\\]|content:|sid:1;|depth:|\\PC)[ \n]?){0,40}",
    ) {
        let _ = Rules::parse("f", &text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_options_are_too_much(text in "((content:|\"|\\||41|nocase;|depth:9;|sid:1;|msg:|flow:to_server|;|\\\\|\\PC) ?){0,20}") {
        let rule = format!("alert tcp any any -> any any ({text})");
        if let Ok(rules) = Rules::parse("f", &rule) {
            let again = Rules::parse("f", &rules.to_string()).unwrap();
            prop_assert_eq!(again.list(), rules.list());
        }
    }
}
