//! What is said to the machine itself: ARP, neighbour discovery, echo requests.

use core::net::IpAddr;

use super::arp::{Arp, Operation};
use super::datagram::{Datagram, IPV6_LEN};
use super::forwarder::{Arrival, ETHERNET_LEN, Forwarder, Next};
use super::held::Origin;
use super::icmp::{self, ICMPV6, Local};
use super::mac::MacAddr;
use super::nd::{self, Discovery};
use super::neighbor::{Evidence, NeighborKey};
use super::output::Departure;
use super::stats::DropReason;
use crate::packet::LinkType;
use crate::packet::Offload;
use crate::time::Timestamp;

/// Whom a message was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// For us alone.
    Ours,
    /// For others, too.
    NotOurs,
    /// It is not valid.
    Bad,
}

/// Whether a frame may say where a neighbour is: ARP, or ICMPv6 that is no echo. What it says, [`Forwarder::overhear`] finds out.
#[must_use]
pub fn tells_of_neighbors(frame: &[u8], link: LinkType) -> bool {
    match super::forwarder::ether_type(frame) {
        _ if link != LinkType::Ethernet => false,
        Some(super::arp::ETHER_TYPE) => true,
        Some(0x86dd) => {
            let header = frame.get(ETHERNET_LEN..).unwrap_or_default();
            header.get(6) == Some(&ICMPV6) && header.get(IPV6_LEN..).is_some_and(nd::is_discovery)
        }
        _ => false,
    }
}

impl Forwarder {
    /// Learns from a frame that another core has got at the same port, without answering it: where several cores share a
    /// port, each knows its own neighbours, but an answer comes to one of them.
    pub fn overhear(&mut self, frame: &[u8], arrival: Arrival, now: Timestamp) {
        if arrival.link != LinkType::Ethernet || !self.is_addressed(frame, arrival.port) {
            return;
        }
        if let Some(arp) = Self::read_arp(frame) {
            self.learn_from_arp(arrival.port, frame, &arp, now);
        } else if let Ok(datagram) = Datagram::read(frame, ETHERNET_LEN)
            && super::forwarder::ether_type(frame) == Some(0x86dd)
            && Self::is_discovery(frame, &datagram)
            && let Some(Some(discovery)) = Discovery::read(frame, &datagram)
        {
            self.learn_from_discovery(arrival.port, frame, &discovery, now);
        }
    }

    /// Takes an ARP packet that came in at `port`.
    pub(super) fn arp(&mut self, port: u16, frame: &[u8], now: Timestamp) -> Handled {
        let Some(arp) = Self::read_arp(frame) else { return Handled::Bad };
        let Some(mac) = self.ports.mac(port) else { return Handled::NotOurs };
        let is_conflict = self.learn_from_arp(port, frame, &arp, now);
        let is_to_us = MacAddr::read(frame, 0) == Some(mac);
        match arp.operation {
            //= RFC 826 packet reception
            // Whoever asks for us, even to find out whether the address is free (RFC 5227), is answered; not so who
            // believes to have it.
            Operation::Request if self.ports.owns(port, arp.target.into()) && !is_conflict => {
                if self.speaks_for(arp.target.into()) {
                    self.stats.answered += 1;
                    let frame = arp.answer(mac).frame(arp.sender_mac);
                    self.depart(Departure { port, frame, offload: Offload::NONE });
                }
                Handled::Ours
            }
            _ if is_to_us => Handled::Ours,
            _ => Handled::NotOurs,
        }
    }

    /// Learns where the sender of an ARP packet is. Whether it claims one of our own addresses.
    fn learn_from_arp(&mut self, port: u16, frame: &[u8], arp: &Arp, now: Timestamp) -> bool {
        let sender = IpAddr::V4(arp.sender);
        let own = self.ports.mac(port);
        if arp.sender.is_unspecified() || own == Some(arp.sender_mac) {
            return false;
        }
        if self.ports.owns(port, sender) {
            //= RFC 5227 section 2.4
            // Departure: the address is neither defended nor given up.
            self.stats.conflicts += 1;
            log::debug!("port {port}: {} uses our address {sender}", arp.sender_mac);
            return true;
        }
        let is_request_for_us = arp.operation == Operation::Request
            && self.ports.owns(port, arp.target.into())
            && self.ports.is_on_link(port, sender);
        let evidence = if arp.operation == Operation::Reply && MacAddr::read(frame, 0) == own {
            Evidence::Answer { replaces: true }
        } else if is_request_for_us {
            Evidence::Request
        } else {
            Evidence::Overheard
        };
        self.learn(NeighborKey { port, address: sender }, arp.sender_mac, evidence, now);
        false
    }

    /// Takes a message of neighbour discovery that came in at `port`.
    pub(super) fn discovery(&mut self, port: u16, frame: &[u8], datagram: &Datagram, now: Timestamp) -> Handled {
        let Some(mac) = self.ports.mac(port) else { return Handled::NotOurs };
        let is_to_us = MacAddr::read(frame, 0) == Some(mac);
        let discovery = match Discovery::read(frame, datagram) {
            None => return Handled::Bad,
            Some(None) if is_to_us => return Handled::Ours,
            Some(None) => return Handled::NotOurs,
            Some(Some(discovery)) => discovery,
        };
        self.learn_from_discovery(port, frame, &discovery, now);
        match discovery {
            //= RFC 4861 section 7.2.4
            Discovery::Solicitation { target, source, source_mac } if self.ports.owns(port, target.into()) => {
                // Who does not say where it is, is where the frame came from.
                let to = source_mac.or(MacAddr::read(frame, 6)).filter(|mac| mac.is_host());
                if let Some(to) = to.filter(|_| self.speaks_for(target.into())) {
                    self.stats.answered += 1;
                    let frame = nd::advertisement(target, source, to, mac, self.forwards);
                    self.depart(Departure { port, frame, offload: Offload::NONE });
                }
                Handled::Ours
            }
            _ if is_to_us => Handled::Ours,
            _ => Handled::NotOurs,
        }
    }

    /// Learns where the sender of a message of neighbour discovery is.
    fn learn_from_discovery(&mut self, port: u16, frame: &[u8], discovery: &Discovery, now: Timestamp) {
        match *discovery {
            //= RFC 4861 section 7.2.3
            Discovery::Solicitation { target, source: Some(source), source_mac: Some(mac) } => {
                let address = IpAddr::V6(source);
                if self.ports.owns(port, address) {
                    return;
                }
                let is_for_us = self.ports.owns(port, target.into()) && self.ports.is_on_link(port, address);
                let evidence = if is_for_us { Evidence::Request } else { Evidence::Overheard };
                self.learn(NeighborKey { port, address }, mac, evidence, now);
            }
            Discovery::Solicitation { .. } => {}
            //= RFC 4861 section 7.2.5
            Discovery::Advertisement { target, target_mac, solicited, overrides } => {
                let key = NeighborKey { port, address: target.into() };
                if self.ports.owns(port, key.address) {
                    // Departure: neither defended nor given up (RFC 4862 section 5.4.4).
                    self.stats.conflicts += 1;
                    log::debug!("port {port}: {target_mac:?} uses our address {target}");
                    return;
                }
                // A neighbour that was asked directly need not say where it is. One that is not known has to.
                let Some(mac) = target_mac.or_else(|| self.neighbors.mac(key)) else { return };
                let is_to_us = MacAddr::read(frame, 0) == self.ports.mac(port);
                if solicited && is_to_us {
                    self.learn(key, mac, Evidence::Answer { replaces: overrides }, now);
                } else if overrides {
                    self.learn(key, mac, Evidence::Overheard, now);
                }
            }
        }
    }

    /// Takes a packet for one of our own addresses.
    pub(super) fn deliver(&mut self, frame: &[u8], datagram: &Datagram, arrival: Arrival, now: Timestamp) -> Next {
        let port = arrival.port;
        if Self::is_discovery(frame, datagram) && arrival.link == LinkType::Ethernet {
            return match self.discovery(port, frame, datagram, now) {
                Handled::Bad => Next::Drop(DropReason::BadDiscovery),
                Handled::Ours | Handled::NotOurs => Next::Local,
            };
        }
        if !self.speaks_for(datagram.destination) {
            return Next::Local;
        }
        let (echoes, stats) = (&mut self.echoes, &mut self.stats);
        let permit = || {
            let is_permitted = echoes.take(now);
            stats.icmp_limited += u64::from(!is_permitted);
            is_permitted
        };
        match icmp::local(datagram, frame, permit) {
            Local::Fragment => Next::Drop(DropReason::LocalFragment),
            Local::Other => Next::Local,
            Local::Echo(reply) => {
                self.stats.echo_replies += 1;
                let mac = MacAddr::read(frame, 6).filter(|mac| mac.is_host() && arrival.link == LinkType::Ethernet);
                self.answer(Origin { port, mac }, reply, now);
                Next::Local
            }
        }
    }

    /// Whether a datagram is a message of neighbour discovery.
    pub(super) fn is_discovery(frame: &[u8], datagram: &Datagram) -> bool {
        let bytes = datagram.bytes(frame);
        !datagram.is_ipv4() && bytes.get(6) == Some(&ICMPV6) && bytes.get(IPV6_LEN..).is_some_and(nd::is_discovery)
    }

    fn read_arp(frame: &[u8]) -> Option<Arp> {
        let is_arp = super::forwarder::ether_type(frame) == Some(super::arp::ETHER_TYPE);
        frame.get(ETHERNET_LEN..).filter(|_| is_arp).and_then(Arp::read)
    }

    /// Whether a frame is for the port, or for everybody or a group.
    fn is_addressed(&self, frame: &[u8], port: u16) -> bool {
        let to = MacAddr::read(frame, 0);
        to.is_some_and(|to| to.is_group() || Some(to) == self.ports.mac(port))
    }
}
