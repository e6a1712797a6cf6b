//! What a monitor says of streams is what the hosts have sent, whatever the links do to their packets.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::impairment::{Impairment, Rates};
use super::middlebox::{Middlebox, bridge};
use super::net::Net;
use super::streams::{Sent, transfer};

/// Bytes of each stream.
const BYTES: usize = 2 << 20;

/// Streams at a time.
const STREAMS: u16 = 6;

#[test]
fn streams_are_told_as_they_were_sent_over_bad_links() {
    let Some(net) = Net::with_links() else { return };
    // Packets as on a wire, or a whole window would be lost at once.
    for (host, interface) in [("a", "a0"), ("b", "b0")] {
        net.ip(host, &format!("link set {interface} gso_max_segs 1"));
    }
    let rates = Rates { lost: 8, twice: 10, late: 20 };
    let links = [("x", ["x0", "x1"]), ("y", ["y0", "y1"])];
    let links = links.map(|(space, interfaces)| Impairment::start(&net, space, interfaces, rates));
    // Both kernels keep more than a megabyte out of order when the machine is busy: a monitor that is to tell all of it must, too.
    let conf = bridge(3, "rmem_size = 67108864");
    let middlebox = Middlebox::start(&net, &conf, "flowlog --format json --digest");
    let sent: Vec<Sent> = std::thread::scope(|scope| {
        let stream = |number: u16| {
            let net = &net;
            let host = if number.is_multiple_of(2) { "10.77.0.2" } else { "[fd77::2]" };
            let server: SocketAddr = format!("{host}:{}", 5100 + number).parse().unwrap();
            scope.spawn(move || transfer(net, server, server, BYTES))
        };
        let streams: Vec<_> = (0..STREAMS).map(stream).collect();
        streams.into_iter().map(|stream| stream.join().unwrap()).collect()
    });
    middlebox.wait_until("all flows are over", |middlebox| middlebox.counter("live_flows") == 0);
    let done = middlebox.stop();
    let records: HashMap<_, _> =
        done.records().into_iter().map(|record| (record["src_port"].as_u64().unwrap(), record)).collect();
    assert_eq!(records.len(), usize::from(STREAMS));
    for stream in &sent {
        let record = &records[&u64::from(stream.client.port())];
        let told = &record["stream"];
        assert_eq!(told["sha256_toserver"], stream.to_server, "{record}");
        assert_eq!(told["sha256_toclient"], stream.to_client, "{record}");
        for nothing in ["gaps_toserver", "gaps_toclient", "conflicts"] {
            assert_eq!(told[nothing], 0, "{record}");
        }
    }
    let retransmits = |way: &str| -> u64 {
        records.values().map(|record| record["stream"][format!("retransmits_{way}")].as_u64().unwrap()).sum()
    };
    let counts = links.map(Impairment::stop);
    println!("{counts:?}; retransmissions seen: {} and {}", retransmits("toserver"), retransmits("toclient"));
    for count in counts {
        assert!(count.lost > 20 && count.twice > 20 && count.late > 20, "{count:?}");
    }
    assert!(retransmits("toserver") > 0 && retransmits("toclient") > 0);
}
