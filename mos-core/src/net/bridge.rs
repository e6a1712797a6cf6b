//! Bridging: what comes in at a port of a pair goes out of the other, whatever it is.
//!
//! Hosts on either side see each other as if there was a wire: frames keep their hardware addresses, tags and hops. Only
//! what the wire behind could not carry is not passed on as it is: IP packets that are too long are fragmented, or their
//! senders told.

use super::arp;
use super::datagram::Datagram;
use super::forwarder::{Arrival, ETHERNET_LEN, Forwarder, Next, ether_type, write_mac};
use super::fragment::{Fit, fit};
use super::icmp::Trouble;
use super::local::Handled;
use super::mac::MacAddr;
use super::output::Departure;
use super::stats::DropReason;
use crate::packet::LinkType;
use crate::packet::Offload;
use crate::time::Timestamp;
use crate::wire::link::{self, NO_VLAN};

impl Forwarder {
    /// Decides about a frame that came in at a port whose pair is `out`.
    #[inline]
    pub(super) fn bridge(&mut self, frame: &mut [u8], arrival: Arrival, out: u16, now: Timestamp) -> Next {
        // What is not Ethernet comes from a capture, and goes on as it came.
        if arrival.link == LinkType::Ethernet {
            if self.ports.speaks(arrival.port)
                && let Some(next) = self.bridge_local(frame, arrival.port, now)
            {
                return next;
            }
            if !self.forwards {
                return Next::Drop(DropReason::ForwardingOff);
            }
            if let Some(hosts) = &mut self.hosts {
                hosts.learn(arrival.port, frame, now);
            }
            let mtu = self.ports.mtu(out);
            if frame.len() > mtu.saturating_add(ETHERNET_LEN)
                && let Some(next) = self.bridge_long(frame, arrival, out, mtu, now)
            {
                return next;
            }
            if self.replaces_source {
                self.replace_source(frame, out);
            }
        } else if !self.forwards {
            return Next::Drop(DropReason::ForwardingOff);
        }
        self.stats.bridged += 1;
        Next::Transmit(out)
    }

    /// A frame that may be for one of our own addresses, which are on the bridge as those of a host would be. `None`: it is
    /// not, or not only.
    fn bridge_local(&mut self, frame: &[u8], port: u16, now: Timestamp) -> Option<Next> {
        let to = MacAddr::read(frame, 0)?;
        let own = self.ports.mac(port)?;
        if to != own && !to.is_group() {
            return None;
        }
        if ether_type(frame)? == arp::ETHER_TYPE {
            return (self.arp(port, frame, now) == Handled::Ours).then_some(Next::Local);
        }
        let network = link::network(frame, LinkType::Ethernet).ok().filter(|network| network.vlan == NO_VLAN)?;
        let datagram = Datagram::read(frame, network.offset).ok()?;
        if Self::is_discovery(frame, &datagram) {
            return (self.discovery(port, frame, &datagram, now) == Handled::Ours).then_some(Next::Local);
        }
        let is_ours = to == own && self.ports.owns(port, datagram.destination);
        is_ours.then(|| self.deliver(frame, &datagram, Arrival::ethernet(port), now))
    }

    /// A frame that is longer than `mtu` bytes and a plain link header. `None`: it may pass all the same.
    fn bridge_long(&mut self, frame: &[u8], arrival: Arrival, out: u16, mtu: usize, now: Timestamp) -> Option<Next> {
        let Ok(network) = link::network(frame, LinkType::Ethernet) else {
            // Nobody to tell; the tags do not count, though.
            let tags = frame.get(12..).unwrap_or_default().chunks_exact(4);
            let tags = tags.take_while(|tag| matches!(tag, [0x81, 0, ..] | [0x88, 0xa8, ..] | [0x91, 0, ..])).count();
            return (frame.len() > ETHERNET_LEN + 4 * tags + mtu).then_some(Next::Drop(DropReason::TooBig));
        };
        // Padding is not part of the packet.
        let datagram = match Datagram::read(frame, network.offset) {
            Ok(datagram) => datagram,
            Err(reason) => return Some(Next::Drop(reason)),
        };
        match fit(&datagram, frame, arrival.offload, mtu) {
            Fit::Whole => None,
            Fit::Pieces => {
                let mut frame = frame.to_vec();
                if self.replaces_source {
                    self.replace_source(&mut frame, out);
                }
                self.emit_fragments(&datagram, Departure { port: out, frame, offload: arrival.offload }, mtu);
                Some(Next::Queued)
            }
            Fit::TooBig => {
                self.tell_across(
                    Trouble::TooBig(u32::try_from(mtu).unwrap_or(u32::MAX)),
                    &datagram,
                    frame,
                    arrival,
                    now,
                );
                Some(Next::Drop(DropReason::TooBig))
            }
        }
    }

    /// Tells the sender of a bridged packet of its trouble: in the bridge's own name if it has one, else in that of the
    /// destination, which is whom the sender believes to talk to.
    fn tell_across(&mut self, trouble: Trouble, datagram: &Datagram, frame: &[u8], arrival: Arrival, now: Timestamp) {
        let (Some(to), Some(from)) = (MacAddr::read(frame, 0), MacAddr::read(frame, 6)) else { return };
        let own = self.ports.source_for(arrival.port, datagram.source).zip(self.ports.mac(arrival.port));
        let (source, source_mac) = own.unwrap_or((datagram.destination, to));
        // A group has no name to speak in, and does not send.
        if source.is_multicast() || source_mac.is_group() || from.is_group() {
            return;
        }
        let Some(error) = self.error(trouble, datagram, frame, source, to.is_group(), now) else { return };
        let mut answer = frame.get(..datagram.at).unwrap_or_default().to_vec();
        write_mac(&mut answer, 0, from);
        write_mac(&mut answer, 6, source_mac);
        answer.extend_from_slice(&error);
        self.depart(Departure { port: arrival.port, frame: answer, offload: Offload::NONE });
    }

    /// Has a frame come from the port it leaves by, if it is IP.
    fn replace_source(&self, frame: &mut [u8], out: u16) {
        if let Some(mac) = self.ports.mac(out)
            && link::network(frame, LinkType::Ethernet).is_ok()
        {
            write_mac(frame, 6, mac);
        }
    }
}
