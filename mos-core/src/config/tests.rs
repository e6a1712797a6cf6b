//! What a file says is what holds.

use core::time::Duration;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<MosConf, Diagnostics> {
    MosConf::parse("f", text, Machine::default())
}

fn complaint(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// A file with these lines in `mos`.
fn with(lines: &str) -> MosConf {
    parse(&format!("mos {{\n{lines}\nnetdev {{\neth0 0x1\n}}\n}}")).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn without_keys_the_defaults_hold() {
    let conf = with("");
    let (told, usual) = (conf.stack_config(0), Config::default());
    assert_eq!(format!("{told:?}"), format!("{usual:?}"));
    assert!(conf.forwards() && conf.monitors() && !conf.has_end_applications() && conf.is_promiscuous());
    assert_eq!(conf.value(Key::Forward), (Some(Value::Number(1)), Origin::Default));
}

#[test]
fn keys_reach_the_stack() {
    let conf = with(
        "forward = 0\nmax_concurrency = 0x10\nrmem_size = 16384\nreassembly_memory = 64M\nchecksum = trust\nmidstream = 1\n\
         vlan_tracking = 1\ntcp_timeout = 60\ntimeout_half_open = 5\ntimeout_closing = -1\ntcp_tw_interval = 010",
    );
    let config = conf.stack_config(0);
    assert!(!conf.forwards());
    assert_eq!(config.max_flows, 16);
    assert_eq!(config.receive_buffer_bytes, 16384);
    assert_eq!(config.reassembly_memory_bytes, 64 << 20);
    assert_eq!(config.checksum, ChecksumMode::Trust);
    assert!(config.midstream && config.vlan_tracking);
    let seconds = Duration::from_secs;
    let expected =
        Timeouts { half_open: seconds(5), established: seconds(60), closing: seconds(0), time_wait: seconds(8) };
    assert_eq!(config.timeouts, expected);
    assert_eq!(conf.value(Key::TimeoutHalfOpen).1, Origin::File(Place { line: 10, column: 1 }));
    assert_eq!(with("no_ring_buffers = 1").stack_config(0).receive_buffer_bytes, 0);
}

#[test]
fn capture_files_need_no_checksums() {
    let conf = parse("mos {\nnetdev {\npcap:a 0x3\neth0 0x2\n}\n}").unwrap();
    assert_eq!(conf.checksum(0), ChecksumMode::Auto);
    assert_eq!(conf.checksum(1), ChecksumMode::Verify);
    assert_eq!(conf.checksum(70), ChecksumMode::Verify);
    assert_eq!(conf.cores().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn applications_say_what_they_do() {
    let conf = parse(
        "application {\ntype = end\nrun = \"a b\" c\ncore_mask = 3\nip_forward = 0\n}\n\
         mos {\nnetdev {\neth0 1\n}\n}\napplication {\nrun = d\n}",
    )
    .unwrap();
    let [first, second] = conf.applications() else { panic!("{conf}") };
    assert_eq!(first.application_type(), Some(ApplicationType::End));
    assert_eq!(first.command(), ["a b", "c"]);
    assert_eq!((first.core_mask(), second.core_mask()), (3, u64::MAX));
    assert!(!conf.forwards() && !conf.monitors() && conf.has_end_applications());
}

#[test]
fn tables_name_devices_that_come_later() {
    let conf = parse(
        "mos {\nroute_table {\n10.0.0.7/24 b\n0.0.0.0/0 via 10.0.0.1 a\n::/0 via fe80::1 a\n}\narp_table {\n10.0.0.1 2:0:0:0:0:aB\n}\n\
         nic_forward_table {\na b\nc c\n}\nstat_print = a\nnetdev {\na 1\nb 1\nc 1\n}\n}",
    )
    .unwrap();
    let routes: Vec<_> =
        conf.routes().iter().map(|route| (route.net.to_string(), route.gateway, route.device)).collect();
    assert_eq!(routes[0], ("10.0.0.0/24".into(), None, 1));
    assert_eq!(routes[1], ("0.0.0.0/0".into(), Some("10.0.0.1".parse().unwrap()), 0));
    assert_eq!(routes[2].1, Some("fe80::1".parse().unwrap()));
    assert_eq!(conf.arp_entries()[0].mac.to_string(), "02:00:00:00:00:ab");
    assert_eq!([0, 1, 2, 3].map(|port| conf.partner(port)), [Some(1), Some(0), Some(2), None]);
    assert_eq!(conf.stat_print(), [0]);
}

#[test]
fn the_machine_has_its_say() {
    let text = "mos {\nnetdev {\neth0 0x5\nxdp:eth1 1\npcap:x 1\n}\n}";
    let check = |machine| MosConf::parse("f", text, machine).map_err(|error| error.to_string());
    assert!(check(Machine { cpus: Some(3), interfaces: Some(&["eth0", "eth1"]) }).is_ok());
    let error = check(Machine { cpus: Some(2), interfaces: Some(&["eth0", "lo"]) }).unwrap_err();
    let expected = "f:3:6: `0x5` has core 2, this machine has cores 0 to 1: allowed are bits of 0x3\n\
                    f:4:1: this machine has no interface `eth1` (did you mean `eth0`?)";
    assert_eq!(error, expected);
}

#[test]
fn one_missing_brace_is_one_fault() {
    let all = "mos {\nforward = 1\nnetdev {\neth0 1\n}\narp_table {\n}\n}\napplication {\nrun = a\n}";
    assert!(parse(all).is_ok());
    for (at, _) in all.match_indices(['{', '}']) {
        let mut text = all.to_owned();
        text.remove(at);
        assert_eq!(complaint(&text).lines().count(), 1, "{text}\n{}", complaint(&text));
    }
}

#[test]
fn applications_are_at_most_as_many_as_c_programs_can_see() {
    let application = "application {\nrun = a\n}\n";
    let text = |count| format!("{}mos {{\nnetdev {{\neth0 1\n}}\n}}", application.repeat(count));
    assert!(parse(&text(20)).is_ok());
    assert_eq!(complaint(&text(22)), "f:61:1: too many blocks `application`: allowed are 20");
}

#[test]
fn later_faults_look_like_the_parsers() {
    let conf = with("user = nobody");
    let (_, Origin::File(place)) = conf.value(Key::User) else { panic!("it is in the file") };
    assert_eq!(conf.fault(place, "there is no such user").to_string(), "f:2:1: there is no such user");
}

/// Lines that a file may have in `mos`, right ones and wrong ones.
fn line() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[0-9]{1,8}",
        "0x[0-9a-f]{1,16}",
        "(verify|trust|auto|end|monitor|eth|eth0 eth1|[0-9]{1,4}[KMG]|127.0.0.1:80|[0-9] master)",
        "[ -~]{0,20}",
        any::<String>(),
    ];
    let setting = (0..keys::KEYS.len(), value).prop_map(|(at, value)| format!("{} = {value}", keys::KEYS[at].name));
    let device = "(eth[01](\\.[0-9])?|pcap:[a-z/]{1,5}(>[a-z]{1,5})?|xdp:e|dpdk[0-9]) (0x)?[0-9a-f]{1,3}";
    let address = "([0-9]{1,3}\\.){3}[0-9]{1,3}(/[0-9]{1,2})? (([0-9a-f]{2}:){5}[0-9a-f]{2}|(via 10.0.0.1 )?eth[01])";
    let block = (0..Block::ALL.len()).prop_map(|at| Block::ALL[at].spec().name);
    prop_oneof![
        6 => setting,
        2 => device,
        2 => address,
        1 => "eth[01] eth[01]",
        2 => block.prop_map(|block| format!("{block} {{")),
        2 => Just("}".to_owned()),
        1 => any::<String>(),
    ]
}

/// A file that may well be right.
fn likely() -> impl Strategy<Value = String> {
    let number = |name: &'static str, kind: Kind| {
        match kind {
            Kind::Switch => "[01]".prop_map(String::from).boxed(),
            Kind::Number { max, .. } => (1..=max.min(1000)).prop_map(|number| format!("{number:#x}")).boxed(),
            Kind::Size { .. } => "[1-9][0-9]{2}[MK]".boxed(),
            Kind::Mask => "0x[1-9a-f]{1,16}".boxed(),
            Kind::Choice(choices) => prop::sample::select(choices).prop_map(String::from).boxed(),
            Kind::Text(_) => "[ -\"$-z|~]{0,10}x".boxed(),
            Kind::Command => "( ?'[^'#{}\n\r]{0,5}'| ?\"[a-z' \\\\]{0,2}[a-z]\"| [a-z-]{1,5}){1,5}".boxed(),
            Kind::Devices => "(eth0|e)( eth)?".boxed(),
            Kind::Address => any::<std::net::SocketAddr>().prop_map(|address| address.to_string()).boxed(),
            Kind::Process => "[0-9]( master)?".boxed(),
        }
        .prop_map(move |value| format!("{name} = {value}\n"))
    };
    let some = |block: Block| {
        let lines: Vec<_> = block
            .keys()
            .map(|spec| {
                let line = number(spec.name, spec.kind);
                if spec.required { line.boxed() } else { prop_oneof![Just(String::new()), line].boxed() }
            })
            .collect();
        lines.prop_map(|lines| lines.concat())
    };
    let tables = "netdev \\{ eth0 0x[1-9a-f]\n(br-lan [1-9]\n)?(pcap:a>b 1\n)?\\}\n(arp_table \\{ (10\\.[0-9]\\.0\\.0/1[0-9] 02:00:00:00:00:[0-9a-f]{2}\n)?\\})?\
                  (route_table \\{ (10\\.[0-9]\\.0\\.0/1[0-9] (via 10\\.0\\.0\\.1 )?eth0\n)?(2001:db8::/(32|64) eth0\n)?\\})?(nic_forward_table \\{ eth0 eth0\n\\})?";
    (some(Block::Application), any::<bool>(), some(Block::Mos), tables).prop_map(
        |(application, has_one, mos, tables)| {
            let application = if has_one { format!("application {{\n{application}}}\n") } else { String::new() };
            format!("{application}mos {{\n{mos}{tables}\n}}\n")
        },
    )
}

proptest! {
    #[test]
    fn arbitrary_text_does_no_harm(text in any::<String>()) {
        if let Err(error) = parse(&text) {
            prop_assert!(!error.list.is_empty());
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn arbitrary_lines_do_no_harm(lines in prop::collection::vec(line(), 0..40), in_mos in any::<bool>()) {
        let text = lines.join("\n");
        let text = if in_mos { format!("mos {{\n{text}\n}}") } else { text };
        match parse(&text) {
            Ok(conf) => prop_assert_eq!(parse(&conf.to_string()).unwrap(), conf),
            Err(error) => {
                let lines = text.lines().count().max(1);
                prop_assert!(error.list.iter().all(|fault| (1..=lines).contains(&fault.place.line)), "{}", error);
                prop_assert!(error.list.is_sorted_by_key(|fault| fault.place));
            }
        }
    }

    #[test]
    fn what_is_shown_says_the_same(text in likely()) {
        let conf = parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let shown = conf.to_string();
        let again = parse(&shown).map_err(|error| TestCaseError::fail(format!("{shown}\n{error}")))?;
        prop_assert_eq!(&again, &conf);
        prop_assert_eq!(format!("{:?}", again.stack_config(0)), format!("{:?}", conf.stack_config(0)));
        let without_comments = |text: &str| -> Vec<String> {
            text.lines().map(|line| text::without_comment(line).trim_end().to_owned()).collect()
        };
        prop_assert_eq!(without_comments(&again.to_string()), without_comments(&shown));
    }
}
