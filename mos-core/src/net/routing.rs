//! Routing (RFC 1812, RFC 8200): what comes in at a port without a pair goes where its destination address leads, one hop
//! further.

use super::arp;
use super::datagram::Datagram;
use super::forwarder::{Arrival, ETHERNET_LEN, Forwarder, Next, ether_type, ethernet, write_mac};
use super::fragment::{Fit, fit};
use super::held::Origin;
use super::icmp::Trouble;
use super::local::Handled;
use super::mac::MacAddr;
use super::neighbor::NeighborKey;
use super::output::Departure;
use super::route::Hop;
use super::stats::DropReason;
use crate::packet::LinkType;
use crate::time::Timestamp;
use crate::wire::link::{self, NO_VLAN};

impl Forwarder {
    /// Decides about a frame that came in at a port without a pair.
    pub(super) fn route(&mut self, frame: &mut [u8], arrival: Arrival, now: Timestamp) -> Next {
        let is_ethernet = arrival.link == LinkType::Ethernet;
        let mut origin = Origin { port: arrival.port, mac: None };
        if is_ethernet {
            let Some(interface) = self.ports.interface(arrival.port) else {
                return Next::Drop(DropReason::NoInterface);
            };
            let (Some(to), Some(from)) = (MacAddr::read(frame, 0), MacAddr::read(frame, 6)) else {
                return Next::Drop(DropReason::Malformed);
            };
            if from.is_group() {
                return Next::Drop(DropReason::Malformed);
            }
            if to != interface.mac {
                return self.route_foreign(frame, arrival, to, now);
            }
            if ether_type(frame) == Some(arp::ETHER_TYPE) {
                return self.route_arp(frame, arrival.port, now);
            }
            origin.mac = Some(from);
        }
        let network = match link::network(frame, arrival.link) {
            Ok(network) => network,
            Err(reason) if reason.is_malformed() => return Next::Drop(DropReason::Malformed),
            Err(_) => return Next::Drop(DropReason::NotIp),
        };
        if is_ethernet && network.vlan != NO_VLAN {
            return Next::Drop(DropReason::Tagged);
        }
        match Datagram::read(frame, network.offset) {
            Ok(datagram) => self.route_datagram(frame, &datagram, arrival, origin, now),
            Err(reason) => Next::Drop(reason),
        }
    }

    /// A frame that is not for the port alone: of interest is who asks for us.
    fn route_foreign(&mut self, frame: &[u8], arrival: Arrival, to: MacAddr, now: Timestamp) -> Next {
        if !to.is_group() {
            return Next::Drop(DropReason::NotForUs);
        }
        if ether_type(frame) == Some(arp::ETHER_TYPE) {
            return self.route_arp(frame, arrival.port, now);
        }
        if let Ok(network) = link::network(frame, arrival.link)
            && network.vlan == NO_VLAN
            && let Ok(datagram) = Datagram::read(frame, network.offset)
            && Self::is_discovery(frame, &datagram)
        {
            return match self.discovery(arrival.port, frame, &datagram, now) {
                Handled::Bad => Next::Drop(DropReason::BadDiscovery),
                Handled::Ours | Handled::NotOurs => Next::Local,
            };
        }
        //= RFC 1812 section 5.3.4
        // What was for everybody on the link is not passed on, whatever its IP address.
        Next::Drop(if to == MacAddr::BROADCAST { DropReason::Broadcast } else { DropReason::Multicast })
    }

    fn route_arp(&mut self, frame: &[u8], port: u16, now: Timestamp) -> Next {
        match self.arp(port, frame, now) {
            Handled::Bad => Next::Drop(DropReason::BadArp),
            Handled::Ours | Handled::NotOurs => Next::Local,
        }
    }

    fn route_datagram(
        &mut self,
        frame: &mut [u8],
        datagram: &Datagram,
        arrival: Arrival,
        origin: Origin,
        now: Timestamp,
    ) -> Next {
        //= RFC 1812 section 5.3.7
        let source = self.table.find(datagram.source);
        if matches!(source, Some(Hop::Broadcast | Hop::Multicast | Hop::Martian)) {
            return Next::Drop(DropReason::MartianSource);
        }
        let hop = self.table.find(datagram.destination);
        // A monitor that translates addresses may have written one of our own as the source. That we would send to ourselves
        // by way of a link is a lie all the same.
        if source == Some(Hop::Own) && hop == Some(Hop::Own) {
            return Next::Drop(DropReason::MartianSource);
        }
        if hop == Some(Hop::Own) {
            return self.deliver(frame, datagram, arrival, now);
        }
        if !self.forwards {
            return Next::Drop(DropReason::ForwardingOff);
        }
        //= RFC 3927 section 7
        //= RFC 4291 section 2.5.6
        if source == Some(Hop::LinkLocal) {
            return Next::Drop(DropReason::LinkLocal);
        }
        let (out, gateway) = match hop {
            Some(Hop::Via { port, gateway }) => (port, gateway),
            Some(Hop::LinkLocal) => return Next::Drop(DropReason::LinkLocal),
            Some(Hop::Multicast) => return Next::Drop(DropReason::Multicast),
            //= RFC 2644 section 2
            Some(Hop::Broadcast) => return Next::Drop(DropReason::Broadcast),
            Some(Hop::Martian | Hop::Own) => return Next::Drop(DropReason::MartianDestination),
            None => {
                self.tell(Trouble::NoRoute, datagram, frame, origin, now);
                return Next::Drop(DropReason::NoRoute);
            }
        };
        //= RFC 1812 section 5.3.1
        //= RFC 4443 section 3.3
        // The last hop that it may take is to here.
        if datagram.hop_limit <= 1 {
            self.tell(Trouble::HopLimit, datagram, frame, origin, now);
            return Next::Drop(DropReason::HopLimit);
        }
        let Some(interface) = self.ports.interface(out) else { return Next::Drop(DropReason::NoRoute) };
        let (mac, mtu) = (interface.mac, interface.mtu);
        let fit = fit(datagram, frame, arrival.offload, mtu as usize);
        if fit == Fit::TooBig {
            self.tell(Trouble::TooBig(mtu), datagram, frame, origin, now);
            return Next::Drop(DropReason::TooBig);
        }
        datagram.decrement_hop_limit(frame);
        self.stats.routed += 1;
        let next_hop = NeighborKey { port: out, address: gateway.unwrap_or(datagram.destination) };
        if fit == Fit::Whole
            && datagram.at == ETHERNET_LEN
            && arrival.link == LinkType::Ethernet
            && let Some(to) = self.resolve(next_hop, now)
        {
            write_mac(frame, 0, to);
            write_mac(frame, 6, mac);
            return Next::Transmit(out);
        }
        let copy = ethernet(MacAddr::UNKNOWN, mac, datagram.bytes(frame));
        let departure = Departure { port: out, frame: copy, offload: arrival.offload };
        self.send_or_hold(next_hop, departure, Some(origin), now);
        Next::Queued
    }
}
