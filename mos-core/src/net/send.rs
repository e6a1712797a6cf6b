//! Packets that nobody sent to us: what monitors inject, and the machine's own.

use alloc::vec::Vec;

use super::datagram::Datagram;
use super::forwarder::{ETHERNET_LEN, Forwarder, ethernet, write_mac};
use super::fragment::{Fit, fit};
use super::mac::MacAddr;
use super::neighbor::NeighborKey;
use super::output::Departure;
use super::route::Hop;
use super::stats::DropReason;
use crate::packet::LinkType;
use crate::packet::Offload;
use crate::stack::{Outgoing, Way};
use crate::time::Timestamp;
use crate::wire::link::{self, NO_VLAN};

impl Forwarder {
    /// Takes a packet that a monitor sends; it comes out of [`poll_output`](Self::poll_output), at once or when its next
    /// hop's hardware address is known. It is sent even if nothing is forwarded. Its hops are its sender's concern.
    ///
    /// A frame with a link header that leaves by a paired port, or back the way its occasion came, leaves as it is. All
    /// else is taken to where its destination was seen last on a bridge, or where the routing table leads.
    ///
    /// # Errors
    ///
    /// The packet goes nowhere, and is counted so.
    pub fn send(&mut self, outgoing: Outgoing, now: Timestamp) -> Result<(), DropReason> {
        let sent = self.try_send(outgoing, now);
        match sent {
            Ok(()) => self.stats.injected += 1,
            Err(reason) => self.stats.drop(reason),
        }
        sent
    }

    fn try_send(&mut self, outgoing: Outgoing, now: Timestamp) -> Result<(), DropReason> {
        let Outgoing { mut frame, link, way } = outgoing;
        let (out, is_along) = match way {
            Way::Along(port) => (self.ports.pair(port), true),
            Way::Back(port) => (Some(port), false),
            Way::Routed => (None, false),
        };
        let network = link::network(&frame, link).map_err(|_| DropReason::NotIp)?;
        if let Some(port) = out {
            // A port without an interface takes whatever its device does: it may not be Ethernet at all.
            let has_header = link != LinkType::RawIp || self.ports.interface(port).is_none();
            if has_header {
                if is_along
                    && self.replaces_source
                    && link == LinkType::Ethernet
                    && let Some(mac) = self.ports.mac(port)
                {
                    write_mac(&mut frame, 6, mac);
                }
                let datagram = Datagram::read(&frame, network.offset)?;
                return self.send_frame(Departure { port, frame, offload: Offload::NONE }, &datagram);
            }
        }
        let datagram = frame.get(network.offset..).unwrap_or_default();
        if self.send_to_host(datagram, out, now)? { Ok(()) } else { self.send_datagram(datagram, now) }
    }

    /// Sends a datagram to where its destination was seen on a bridge: on port `out`, if it is to be that. Whether it was
    /// seen.
    fn send_to_host(&mut self, bytes: &[u8], out: Option<u16>, now: Timestamp) -> Result<bool, DropReason> {
        let datagram = Datagram::read(bytes, 0)?;
        let Some(hosts) = &mut self.hosts else { return Ok(false) };
        let Some(to) = hosts.find(datagram.destination, now).filter(|to| out.is_none_or(|out| out == to.port)) else {
            return Ok(false);
        };
        // In the name of who seems to send it, if it was seen, too: that is what a bridge would have passed on.
        let from = hosts.find(datagram.source, now).filter(|_| !self.replaces_source).map(|from| from.mac);
        let Some(from) = from.or_else(|| self.ports.mac(to.port)) else { return Ok(false) };
        let mut frame = ethernet(to.mac, from, datagram.bytes(bytes));
        let mut at = ETHERNET_LEN;
        if to.vlan != NO_VLAN {
            let [high, low] = to.vlan.to_be_bytes();
            frame.splice(12..12, [0x81, 0, high, low]);
            at += 4;
        }
        let datagram = Datagram { at, ..datagram };
        self.send_frame(Departure { port: to.port, frame, offload: Offload::NONE }, &datagram)?;
        Ok(true)
    }

    /// Sends a frame that is complete, in fragments if it has to be.
    fn send_frame(&mut self, departure: Departure, datagram: &Datagram) -> Result<(), DropReason> {
        let mtu = self.ports.mtu(departure.port);
        match fit(datagram, &departure.frame, Offload::NONE, mtu) {
            Fit::Whole => self.depart(departure),
            Fit::Pieces => self.emit_fragments(datagram, departure, mtu),
            Fit::TooBig => return Err(DropReason::TooBig),
        }
        Ok(())
    }

    /// Sends a datagram of this machine to where the routing table leads.
    ///
    /// # Errors
    ///
    /// It cannot be read, leads nowhere, or is too long.
    pub fn send_datagram(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), DropReason> {
        let datagram = Datagram::read(bytes, 0)?;
        let (port, gateway) = match self.table.find(datagram.destination) {
            Some(Hop::Via { port, gateway }) => (port, gateway),
            // Which link it is on, only the source tells.
            Some(Hop::LinkLocal) => (self.ports.owner(datagram.source).ok_or(DropReason::LinkLocal)?, None),
            Some(Hop::Multicast) => return Err(DropReason::Multicast),
            Some(Hop::Broadcast) => return Err(DropReason::Broadcast),
            Some(Hop::Own | Hop::Martian) => return Err(DropReason::MartianDestination),
            None => return Err(DropReason::NoRoute),
        };
        let interface = self.ports.interface(port).ok_or(DropReason::NoInterface)?;
        let (mac, mtu) = (interface.mac, interface.mtu as usize);
        if fit(&datagram, bytes, Offload::NONE, mtu) == Fit::TooBig {
            return Err(DropReason::TooBig);
        }
        let frame: Vec<u8> = ethernet(MacAddr::UNKNOWN, mac, datagram.bytes(bytes));
        let next_hop = NeighborKey { port, address: gateway.unwrap_or(datagram.destination) };
        self.send_or_hold(next_hop, Departure { port, frame, offload: Offload::NONE }, None, now);
        Ok(())
    }
}
