//! The forwarder: everything between the verdict on a frame and the port it leaves by, put together.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::arp::{Arp, Operation};
use super::config::{NetConfig, NetConfigError, SourceMac};
use super::datagram::Datagram;
use super::fragment::{Fit, complete_checksum, fit, fragment};
use super::held::{Held, HeldQueue, Origin};
use super::hosts::Hosts;
use super::icmp::{self, Trouble};
use super::limit::TokenBucket;
use super::lpm::Lpm;
use super::mac::MacAddr;
use super::nd;
use super::neighbor::{Due, Evidence, Learned, Lookup, MAX_NEIGHBORS, NeighborKey, Neighbors};
use super::output::{Departure, Output};
use super::ports::Ports;
use super::route::{self, Hop};
use super::stats::{DropReason, NetStats};
use crate::packet::LinkType;
use crate::packet::{Checksums, Offload};
use crate::time::Timestamp;

/// The length of an Ethernet header without tags.
pub(super) const ETHERNET_LEN: usize = 14;

/// ICMP errors a second, and at once: as Linux has it.
//= RFC 1812 section 4.3.2.8
//= RFC 4443 section 2.4
// (f): a bucket, so that a traceroute is answered and a flood is not.
const ERRORS: (u32, u32) = (1000, 50);

/// Echo replies a second, and at once.
const ECHOES: (u32, u32) = (1000, 100);

/// What is known of a frame that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The port it came in at.
    pub port: u16,
    /// How its first header is to be read.
    pub link: LinkType,
    /// What the device has left undone in it.
    pub offload: Offload,
}

impl Arrival {
    /// An ordinary Ethernet frame.
    #[must_use]
    pub const fn ethernet(port: u16) -> Self {
        Self { port, link: LinkType::Ethernet, offload: Offload::NONE }
    }
}

/// What is to become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// It leaves by this port, as it is now.
    Transmit(u16),
    /// It does not leave itself: a copy that waits for a hardware address or got another link header, or its fragments,
    /// will come out of [`Forwarder::poll_output`].
    Queued,
    /// It was for this machine. ARP, neighbour discovery and echo requests are dealt with; all else is for who wants it.
    Local,
    /// It goes no further.
    Drop(DropReason),
}

/// What stands between verdicts and ports: bridging, routing, and what is spoken for the machine's own addresses.
///
/// It is given frames and the time, and gives back where they go, frames to send, and its next deadline.
///
/// ```
/// use mos_core::net::{Arrival, Forwarder, NetConfig, Next};
/// use mos_core::time::Timestamp;
/// use mos_core::wire::TcpSegment;
///
/// let mut forwarder = Forwarder::new(NetConfig { pairs: vec![(0, 1)], ..NetConfig::default() })?;
/// let segment = TcpSegment::new("10.0.0.1:40000".parse()?, "10.0.0.2:80".parse()?);
/// let mut frame = segment.to_ethernet();
/// assert_eq!(forwarder.forward(&mut frame, Arrival::ethernet(0), Timestamp::ZERO), Next::Transmit(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Forwarder {
    pub(super) ports: Ports,
    pub(super) table: Lpm<Hop>,
    pub(super) static_neighbors: Lpm<MacAddr>,
    pub(super) neighbors: Neighbors,
    pub(super) hosts: Option<Hosts>,
    /// Own addresses that others speak for.
    silent: Vec<IpAddr>,
    pub(super) forwards: bool,
    pub(super) replaces_source: bool,
    pub(super) stats: NetStats,
    pub(super) echoes: TokenBucket,
    errors: TokenBucket,
    held: HeldQueue,
    output: Output,
}

impl Forwarder {
    /// A forwarder that knows nobody yet.
    ///
    /// # Errors
    ///
    /// See [`NetConfigError`].
    pub fn new(config: NetConfig) -> Result<Self, NetConfigError> {
        config.check()?;
        let neighbors: Vec<_> = config.neighbors.iter().map(|neighbor| (neighbor.prefix, neighbor.mac)).collect();
        Ok(Self {
            ports: Ports::new(&config),
            table: route::table(&config),
            static_neighbors: Lpm::new(&neighbors),
            neighbors: Neighbors::new(config.seed, MAX_NEIGHBORS),
            hosts: (config.learn_hosts && !config.pairs.is_empty()).then(|| Hosts::new(config.seed)),
            forwards: config.forward,
            silent: config.silent,
            replaces_source: config.source_mac == SourceMac::Replace,
            stats: NetStats::default(),
            echoes: TokenBucket::new(ECHOES.0, ECHOES.1),
            errors: TokenBucket::new(ERRORS.0, ERRORS.1),
            held: HeldQueue::default(),
            output: Output::default(),
        })
    }

    /// Decides about a frame that came in and that monitors let pass. What has to change in it (hardware addresses, hops
    /// left, IPv4 header checksum) is changed in place.
    #[inline]
    pub fn forward(&mut self, frame: &mut [u8], arrival: Arrival, now: Timestamp) -> Next {
        let next = match self.ports.pair(arrival.port) {
            Some(out) => self.bridge(frame, arrival, out, now),
            None => self.route(frame, arrival, now),
        };
        match next {
            Next::Transmit(_) | Next::Queued => {}
            Next::Local => self.stats.local += 1,
            Next::Drop(reason) => self.stats.drop(reason),
        }
        next
    }

    /// The next frame that is to leave: something of the forwarder's own, or what had to wait or to be copied. To be asked
    /// after every call until there is none.
    pub fn poll_output(&mut self) -> Option<Departure> {
        self.output.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.neighbors.next_deadline()
    }

    /// Does what is due `now`: neighbours are asked again, or given up.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(due) = self.neighbors.poll(now) {
            match due {
                Due::Ask(key, mac) => self.solicit(key, mac),
                Due::Silent(key) => {
                    self.stats.silent += 1;
                    for held in self.held.take(key) {
                        self.give_up(&held, now);
                    }
                }
            }
        }
    }

    /// The interface of a port was removed, and there is another one now: it has this hardware address and takes packets of so
    /// many bytes. It has the IP addresses of the one before; its neighbours are to be found anew. A port that had no interface still
    /// has none.
    pub fn replace_interface(&mut self, port: u16, mac: MacAddr, mtu: u32) {
        self.ports.replace(port, mac, mtu);
        self.neighbors.forget(port);
    }

    /// Whether what is asked of this address, one of our own, is answered here.
    pub(super) fn speaks_for(&self, address: IpAddr) -> bool {
        !self.silent.contains(&address)
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> &NetStats {
        &self.stats
    }

    /// The hardware address of a next hop. If it is not known, the next hop is asked.
    #[inline]
    pub(super) fn resolve(&mut self, next_hop: NeighborKey, now: Timestamp) -> Option<MacAddr> {
        if let Some(mac) = self.static_neighbors.find(next_hop.address) {
            return Some(mac);
        }
        match self.neighbors.find(next_hop, now) {
            Lookup::Known(mac) => Some(mac),
            Lookup::Stale(mac) => {
                self.solicit(next_hop, Some(mac));
                Some(mac)
            }
            Lookup::Unknown => {
                self.forget_evicted();
                self.solicit(next_hop, None);
                None
            }
            Lookup::Asked => None,
        }
    }

    /// Asks a neighbour for its hardware address: directly, if it was `known`.
    fn solicit(&mut self, NeighborKey { port, address }: NeighborKey, known: Option<MacAddr>) {
        let Some(mac) = self.ports.mac(port) else { return };
        let source = self.ports.source_for(port, address);
        let frame = match address {
            IpAddr::V4(target) => {
                // Who has no address there asks as one of its other ports; or as nobody, who is answered, too (RFC 5227).
                let source = source.or_else(|| self.ports.any_source_for(port, address));
                let sender = if let Some(IpAddr::V4(source)) = source { source } else { [0, 0, 0, 0].into() };
                let target_mac = known.unwrap_or(MacAddr::UNKNOWN);
                let arp = Arp { operation: Operation::Request, sender_mac: mac, sender, target_mac, target };
                arp.frame(known.unwrap_or(MacAddr::BROADCAST))
            }
            IpAddr::V6(target) => {
                let source = if let Some(IpAddr::V6(source)) = source { source } else { mac.link_local() };
                nd::solicitation(target, known, source, mac)
            }
        };
        self.stats.solicitations += 1;
        self.depart(Departure { port, frame, offload: Offload::NONE });
    }

    /// Takes note of a neighbour's hardware address, and sends what has waited for it.
    pub(super) fn learn(&mut self, key: NeighborKey, mac: MacAddr, evidence: Evidence, now: Timestamp) {
        match self.neighbors.learn(key, mac, evidence, now) {
            Learned::Nothing => self.forget_evicted(),
            Learned::Resolved => {
                self.stats.resolved += 1;
                for Held { mut departure, .. } in self.held.take(key) {
                    write_mac(&mut departure.frame, 0, mac);
                    self.emit(departure);
                }
            }
            Learned::Moved(before) => {
                self.stats.moved += 1;
                log::debug!("port {}: {} was at {before}, is at {mac} now", key.port, key.address);
            }
        }
    }

    /// Who was forgotten for somebody else will not answer what waits for it.
    fn forget_evicted(&mut self) {
        if let Some(key) = self.neighbors.take_evicted() {
            self.stats.evicted += 1;
            for _ in self.held.take(key) {
                self.stats.drop(DropReason::Unreachable);
            }
        }
    }

    /// Sends a frame that is complete but for the next hop's hardware address, or holds it until that is known.
    pub(super) fn send_or_hold(
        &mut self,
        next_hop: NeighborKey,
        mut departure: Departure,
        origin: Option<Origin>,
        now: Timestamp,
    ) {
        if let Some(mac) = self.resolve(next_hop, now) {
            write_mac(&mut departure.frame, 0, mac);
            self.emit(departure);
        } else {
            self.stats.held += 1;
            for _ in 0..self.held.push(Held { next_hop, departure, origin }) {
                self.stats.drop(DropReason::HeldTooMany);
            }
        }
    }

    /// Sends an untagged frame, in fragments if it is too long.
    fn emit(&mut self, departure: Departure) {
        let mtu = self.ports.mtu(departure.port);
        match Datagram::read(&departure.frame, ETHERNET_LEN) {
            Ok(datagram) if fit(&datagram, &departure.frame, departure.offload, mtu) == Fit::Pieces => {
                self.emit_fragments(&datagram, departure, mtu);
            }
            _ => self.depart(departure),
        }
    }

    /// Sends the datagram of a frame in fragments.
    pub(super) fn emit_fragments(&mut self, datagram: &Datagram, mut departure: Departure, mtu: usize) {
        if departure.offload.checksums == Checksums::Partial {
            complete_checksum(datagram, &mut departure.frame);
        }
        self.stats.fragmented += 1;
        for frame in fragment(datagram, &departure.frame, mtu) {
            self.stats.fragments += 1;
            self.depart(Departure { port: departure.port, frame, offload: Offload::NONE });
        }
    }

    /// Sends a frame.
    pub(super) fn depart(&mut self, departure: Departure) {
        if !self.output.push(departure) {
            self.stats.drop(DropReason::OutputFull);
        }
    }

    /// A packet has waited in vain: its sender is told.
    fn give_up(&mut self, held: &Held, now: Timestamp) {
        self.stats.drop(DropReason::Unreachable);
        let frame = &held.departure.frame;
        if let Some(origin) = held.origin
            && let Ok(datagram) = Datagram::read(frame, ETHERNET_LEN)
        {
            self.tell(Trouble::Unreachable, &datagram, frame, origin, now);
        }
    }

    /// Tells the sender of a routed packet of its trouble.
    pub(super) fn tell(&mut self, trouble: Trouble, datagram: &Datagram, frame: &[u8], origin: Origin, now: Timestamp) {
        let own = self.ports.any_source_for(origin.port, datagram.source);
        // A router without any address still has to say that a packet was too big, or connections hang.
        let nobody = matches!(trouble, Trouble::TooBig(_)).then_some(datagram.destination);
        let Some(source) = own.or(nobody) else { return };
        let Some(error) = self.error(trouble, datagram, frame, source, false, now) else { return };
        self.answer(origin, error, now);
    }

    /// An ICMP error, if there is to be one: a datagram.
    pub(super) fn error(
        &mut self,
        trouble: Trouble,
        datagram: &Datagram,
        frame: &[u8],
        source: IpAddr,
        to_group: bool,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        if !icmp::may_tell(trouble, datagram, frame, to_group) {
            return None;
        }
        if !self.errors.take(now) {
            self.stats.icmp_limited += 1;
            return None;
        }
        let error = icmp::error(trouble, source, datagram, frame)?;
        self.stats.icmp_errors += 1;
        Some(error)
    }

    /// Sends a datagram back to where another one came from. That host or router is known to be there, so it is not asked
    /// for, and nobody can make us ask by giving false addresses.
    pub(super) fn answer(&mut self, origin: Origin, datagram: Vec<u8>, now: Timestamp) {
        match (origin.mac, self.ports.mac(origin.port)) {
            (Some(_), Some(_)) if datagram.len() > self.ports.mtu(origin.port) => self.stats.drop(DropReason::TooBig),
            (Some(to), Some(from)) => {
                let frame = ethernet(to, from, &datagram);
                self.depart(Departure { port: origin.port, frame, offload: Offload::NONE });
            }
            _ => {
                let _ = self.send_datagram(&datagram, now);
            }
        }
    }
}

/// An untagged frame with a datagram.
pub(super) fn ethernet(to: MacAddr, from: MacAddr, datagram: &[u8]) -> Vec<u8> {
    let is_v4 = datagram.first().is_some_and(|first| first >> 4 == 4);
    let ether_type: u16 = if is_v4 { 0x0800 } else { 0x86dd };
    let mut frame = Vec::with_capacity(ETHERNET_LEN + datagram.len());
    frame.extend_from_slice(&to.0);
    frame.extend_from_slice(&from.0);
    frame.extend_from_slice(&ether_type.to_be_bytes());
    frame.extend_from_slice(datagram);
    frame
}

/// Writes a hardware address into a frame.
#[inline]
pub(super) fn write_mac(frame: &mut [u8], at: usize, mac: MacAddr) {
    if let Some(field) = frame.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = mac.0;
    }
}

/// The EtherType of an Ethernet frame.
#[inline]
pub(super) fn ether_type(frame: &[u8]) -> Option<u16> {
    frame.get(12..)?.first_chunk().map(|field| u16::from_be_bytes(*field))
}
