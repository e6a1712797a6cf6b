//! ARP, neighbour discovery and echo, as others hear them.

use core::net::Ipv6Addr;

use super::super::arp::{Arp, Operation};
use super::super::{Arrival, DropReason, Forwarder, MacAddr, Next, nd};
use super::world::*;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(5_000);

fn router() -> Forwarder {
    Forwarder::new(router_config(1500)).unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

const REQUEST: Arp = Arp {
    operation: Operation::Request,
    sender_mac: mac(0xa),
    sender: core::net::Ipv4Addr::new(10, 0, 0, 2),
    target_mac: MacAddr::UNKNOWN,
    target: core::net::Ipv4Addr::new(10, 0, 0, 1),
};

fn take(router: &mut Forwarder, frame: &[u8]) -> (Next, Vec<(u16, Vec<u8>)>) {
    let next = router.forward(&mut frame.to_vec(), Arrival::ethernet(0), NOW);
    (next, outputs(router))
}

#[test]
fn rfc_826_who_asks_for_us_is_answered_and_remembered() {
    let mut router = router();
    let answer = REQUEST.answer(mac(1)).frame(mac(0xa));
    assert_eq!(take(&mut router, &REQUEST.frame(MacAddr::BROADCAST)), (Next::Local, vec![(0, answer)]));
    // A packet to who has asked need not wait; but he is asked, directly, whether he is still there.
    router.send_datagram(&echo_request("10.0.0.1", "10.0.0.2", 64, 8), NOW).unwrap();
    let sent = outputs(&mut router);
    assert_eq!(sent.len(), 2);
    assert_eq!((&sent[0].1[..6], &sent[0].1[12..14]), (&mac(0xa).0[..], &[8, 6][..]));
    assert_eq!((&sent[1].1[..6], &sent[1].1[12..14]), (&mac(0xa).0[..], &[8, 0][..]));
}

#[test]
fn rfc_826_who_asks_for_others_is_not_answered() {
    let mut router = router();
    for target in [[10, 0, 0, 3], [10, 0, 1, 1]] {
        let other = Arp { target: target.into(), ..REQUEST };
        assert_eq!(take(&mut router, &other.frame(MacAddr::BROADCAST)), (Next::Local, vec![]));
    }
    assert_eq!(router.poll_timeout(), None, "nobody is remembered");
}

#[test]
fn rfc_5227_probes_are_answered_and_conflicts_counted() {
    let mut router = router();
    let probe = Arp { sender: [0; 4].into(), ..REQUEST };
    assert_eq!(take(&mut router, &probe.frame(MacAddr::BROADCAST)).1.len(), 1);
    assert_eq!(router.poll_timeout(), None, "nobody to remember");
    let claim = Arp { sender: REQUEST.target, ..REQUEST };
    assert_eq!(take(&mut router, &claim.frame(MacAddr::BROADCAST)), (Next::Local, vec![]));
    assert_eq!(router.stats().conflicts, 1);
}

#[test]
fn replies_that_nobody_asked_for_change_nothing() {
    let mut router = router();
    let reply = Arp { operation: Operation::Reply, target_mac: mac(1), ..REQUEST };
    assert_eq!(take(&mut router, &reply.frame(mac(1))), (Next::Local, vec![]));
    let advertisement = nd::advertisement(v6("2001:db8::2"), Some(v6("2001:db8::1")), mac(1), mac(0xa), false);
    assert_eq!(take(&mut router, &advertisement), (Next::Local, vec![]));
    assert_eq!((router.poll_timeout(), router.stats().resolved), (None, 0));
}

#[test]
fn broken_messages_are_counted() {
    let mut router = router();
    let mut arp = REQUEST.frame(MacAddr::BROADCAST);
    arp[19] = 7;
    assert_eq!(take(&mut router, &arp), (Next::Drop(DropReason::BadArp), vec![]));
    let mut solicitation = nd::solicitation(v6("2001:db8::1"), None, v6("2001:db8::2"), mac(0xa));
    solicitation[21] = 254;
    assert_eq!(take(&mut router, &solicitation), (Next::Drop(DropReason::BadDiscovery), vec![]));
}

#[test]
fn rfc_4861_7_2_4_who_asks_for_us_is_answered() {
    let mut router = router();
    for target in ["2001:db8::1", "fe80::ff:fe00:1"] {
        let solicitation = nd::solicitation(v6(target), None, v6("2001:db8::2"), mac(0xa));
        let answer = nd::advertisement(v6(target), Some(v6("2001:db8::2")), mac(0xa), mac(1), true);
        assert_eq!(take(&mut router, &solicitation), (Next::Local, vec![(0, answer)]));
    }
    let other = nd::solicitation(v6("2001:db8::3"), None, v6("2001:db8::2"), mac(0xa));
    assert_eq!(take(&mut router, &other), (Next::Local, vec![]));
}

#[test]
fn rfc_4861_7_2_2_the_group_of_a_neighbor_is_asked() {
    let mut router = router();
    router.send_datagram(&echo_request("2001:db8::1", "2001:db8::abcd:ef01", 64, 8), NOW).unwrap();
    let asked = nd::solicitation(v6("2001:db8::abcd:ef01"), None, v6("2001:db8::1"), mac(1));
    assert_eq!(outputs(&mut router), [(0, asked)]);
    let answer = nd::advertisement(v6("2001:db8::abcd:ef01"), Some(v6("2001:db8::1")), mac(1), mac(0xc), false);
    let (next, sent) = take(&mut router, &answer);
    assert_eq!((next, sent.len(), &sent[0].1[..6]), (Next::Local, 1, &mac(0xc).0[..]));
}

#[test]
fn other_cores_are_overheard() {
    let mut router = router();
    router.send_datagram(&echo_request("10.0.0.1", "10.0.0.2", 64, 8), NOW).unwrap();
    assert_eq!(outputs(&mut router).len(), 1);
    let reply = Arp { operation: Operation::Reply, target_mac: mac(1), ..REQUEST };
    router.overhear(&REQUEST.frame(MacAddr::BROADCAST)[..20], Arrival::ethernet(0), NOW);
    router.overhear(&reply.frame(mac(9)), Arrival::ethernet(0), NOW);
    assert_eq!(outputs(&mut router), [], "to somebody else");
    router.overhear(&reply.frame(mac(1)), Arrival::ethernet(0), NOW);
    assert_eq!(outputs(&mut router).len(), 1, "what waited");
    let solicitation = nd::solicitation(v6("2001:db8::1"), None, v6("2001:db8::2"), mac(0xa));
    router.overhear(&solicitation, Arrival::ethernet(0), NOW);
    assert_eq!(outputs(&mut router), [], "it is not for this core to answer");
}

#[test]
fn echoes_are_limited() {
    let mut router = router();
    let request = framed(mac(1), mac(0xa), &echo_request("10.0.0.2", "10.0.0.1", 64, 8));
    let replies = (0..500).filter(|_| !take(&mut router, &request).1.is_empty()).count();
    assert_eq!((replies, router.stats().icmp_limited), (100, 400));
}
