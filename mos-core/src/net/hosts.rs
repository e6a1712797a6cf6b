//! Where the hosts on either side of a bridge are: learned from the frames that pass, for packets that a monitor sends
//! without one at hand.
//!
//! A fixed number of places, each for one address; one address pushes out another. So learning costs a comparison, nobody
//! can make it cost more, and what was pushed out comes back with its next frame.

use alloc::boxed::Box;
use core::net::IpAddr;
use core::time::Duration;

use super::mac::MacAddr;
use super::neighbor::{NeighborKey, hash};
use crate::packet::LinkType;
use crate::time::Timestamp;
use crate::wire::link::{self, NO_VLAN};

/// How many addresses there is room for. A power of two.
const PLACES: usize = 4096;

/// How long a host is believed to be where it was: as long as switches do (IEEE 802.1D, table 7-5).
const AGING: Duration = Duration::from_secs(300);

const NANOS: u64 = 1_000_000_000;

/// Where a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) port: u16,
    /// Its own, or that of the router before it.
    pub(super) mac: MacAddr,
    /// The VLAN it is in, or [`NO_VLAN`].
    pub(super) vlan: u16,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    address: IpAddr,
    host: Host,
    /// In seconds.
    seen: u32,
}

/// The hosts.
#[derive(Debug)]
pub(super) struct Hosts {
    places: Box<[Place]>,
    seed: u64,
}

impl Hosts {
    pub(super) fn new(seed: u64) -> Self {
        let nowhere = Host { port: 0, mac: MacAddr::UNKNOWN, vlan: NO_VLAN };
        let empty = Place { address: IpAddr::from([0, 0, 0, 0]), host: nowhere, seen: 0 };
        Self { places: alloc::vec![empty; PLACES].into(), seed }
    }

    /// Takes note of the sender of an Ethernet frame that came in at `port`, if it is IP.
    #[inline]
    pub(super) fn learn(&mut self, port: u16, frame: &[u8], now: Timestamp) {
        if let Some((address, host)) = sender(port, frame)
            && let Some(place) = self.place(address)
        {
            *place = Place { address, host, seen: seconds(now) };
        }
    }

    /// Where the host of that address was seen.
    pub(super) fn find(&mut self, address: IpAddr, now: Timestamp) -> Option<Host> {
        let place = self.place(address)?;
        let is_fresh = u64::from(seconds(now).saturating_sub(place.seen)) <= AGING.as_secs();
        (place.address == address && is_fresh && place.host.mac.is_host()).then_some(place.host)
    }

    #[inline]
    fn place(&mut self, address: IpAddr) -> Option<&mut Place> {
        let hash = hash(self.seed, NeighborKey { port: 0, address });
        self.places.get_mut(hash as usize % PLACES)
    }
}

fn seconds(now: Timestamp) -> u32 {
    u32::try_from(now.as_nanos() / NANOS).unwrap_or(u32::MAX)
}

/// Who sent a frame. Those with several tags are left out: what is sent gets one.
#[inline]
fn sender(port: u16, frame: &[u8]) -> Option<(IpAddr, Host)> {
    let network = link::network(frame, LinkType::Ethernet).ok()?;
    if network.offset > 18 {
        return None;
    }
    let header = frame.get(network.offset..)?;
    let address: IpAddr = if network.version == 4 {
        IpAddr::from(*header.get(12..)?.first_chunk::<4>()?)
    } else {
        IpAddr::from(*header.get(8..)?.first_chunk::<16>()?)
    };
    let mac = MacAddr::read(frame, 6)?;
    Some((address, Host { port, mac, vlan: network.vlan }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FrameBuilder, TcpSegment};

    #[test]
    fn senders_are_learned_and_forgotten() {
        let mut hosts = Hosts::new(7);
        let segment = TcpSegment::new("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let builder = FrameBuilder::new().macs([2, 0, 0, 0, 0, 9], [2; 6]);
        let start = Timestamp::from_millis(5_000);
        let (client, server) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        hosts.learn(3, &builder.ethernet(&segment), start);
        let host = Host { port: 3, mac: MacAddr([2, 0, 0, 0, 0, 9]), vlan: NO_VLAN };
        assert_eq!(hosts.find(client, start + AGING), Some(host));
        assert_eq!(hosts.find(server, start), None);
        assert_eq!(hosts.find(client, start + AGING + Duration::from_secs(1)), None);
        hosts.learn(4, &builder.clone().vlan(9).ethernet(&segment), start);
        assert_eq!(hosts.find(client, start), Some(Host { port: 4, vlan: 9, ..host }));
        // Two tags cannot be made again.
        hosts.learn(5, &builder.vlan(9).vlan(8).ethernet(&segment), start);
        assert_eq!(hosts.find(client, start).map(|host| host.port), Some(4));
        assert_eq!(hosts.find([0, 0, 0, 0].into(), start), None);
    }
}
