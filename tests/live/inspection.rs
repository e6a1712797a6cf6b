//! The bundled IDS stands between two hosts: what its rules match goes no further.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use mos_core::io::AfPacketConfig;

use super::forwarder::open;
use super::messages::collect_some;
use super::middlebox::{Folder, Middlebox, bridge};
use super::net::Net;
use super::streams::{LONG, connect, transfer};

const RULES: &str = r#"
drop tcp any any -> any 7001 (msg:"dropped"; content:"FORBIDDEN"; sid:1;)
reject tcp any any -> any 7002 (msg:"rejected"; content:"FORBIDDEN"; sid:2;)
alert tcp any any -> any 7003 (msg:"told"; content:"FORBIDDEN"; sid:3;)
"#;

#[test]
fn what_rules_forbid_goes_no_further() {
    let Some(net) = Net::new() else { return };
    let folder = Folder::new();
    folder.write("rules", RULES);
    let middlebox = Middlebox::start_in(&net, folder, &bridge(1, ""), "ids --inline --rules {dir}/rules");
    let mut ear = net.run("b", || open("b0", AfPacketConfig::default()));
    for host in ["10.77.0.2", "[fd77::2]"] {
        let connect = |port: u16| {
            let at = format!("{host}:{port}").parse().unwrap();
            let (mut client, mut server) = connect(&net, at, at);
            client.set_nodelay(true).unwrap();
            let mut greeting = [0; 6];
            client.write_all(b"hello ").unwrap();
            server.read_exact(&mut greeting).unwrap();
            (client, server)
        };
        let (mut client, mut server) = connect(7001);
        client.write_all(b"something FORBIDDEN").unwrap();
        server.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        assert_eq!(server.read(&mut [0; 64]).unwrap_err().kind(), ErrorKind::WouldBlock, "dropped");

        let (mut client, mut server) = connect(7002);
        client.write_all(b"something FORBIDDEN").unwrap();
        for end in [&mut client, &mut server] {
            end.set_read_timeout(Some(LONG)).unwrap();
            assert_eq!(end.read(&mut [0; 64]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }

        let (mut client, mut server) = connect(7003);
        client.write_all(b"something FORBIDDEN").unwrap();
        let mut text = [0; 19];
        server.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"something FORBIDDEN");
        let at = format!("{host}:7004").parse().unwrap();
        transfer(&net, at, at, 4 << 20);
    }
    let is_forbidden = |frame: &[u8]| frame.windows(9).any(|word| word == b"FORBIDDEN");
    let arrived = collect_some(&mut ear, 2, is_forbidden);
    let ports: Vec<_> =
        arrived.iter().map(|frame| if frame[12] == 8 { &frame[36..38] } else { &frame[56..58] }).collect();
    assert_eq!(ports, [7003u16.to_be_bytes(); 2], "of three in each version of IP, one");

    let done = middlebox.stop();
    let alerts: Vec<_> = done.records().iter().map(|record| record["alert"].clone()).collect();
    let told: Vec<_> = alerts.iter().map(|alert| (alert["signature_id"].as_u64(), alert["action"].as_str())).collect();
    let once = [(Some(1), Some("blocked")), (Some(2), Some("blocked")), (Some(3), Some("allowed"))];
    assert_eq!(told, [once, once].concat());
}
