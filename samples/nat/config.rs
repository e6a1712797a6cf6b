//! What is told to the NAT, and which packets are its business.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::time::Duration;

use mos_core::config::Net;
use mos_core::io::fanout::FlowHash;
use mos_monitor::{PacketView, TcpFlags};

/// More addresses than anybody has in one place: a mistyped prefix.
const MAX_ADDRESSES: usize = 4096;

/// The networks of RFC 1918.
const PRIVATE: [(Ipv4Addr, u8); 3] =
    [(Ipv4Addr::new(10, 0, 0, 0), 8), (Ipv4Addr::new(172, 16, 0, 0), 12), (Ipv4Addr::new(192, 168, 0, 0), 16)];

/// How long mappings without a connection last after their last packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatTimeouts {
    /// UDP that was not answered.
    pub udp: Duration,
    /// UDP that was.
    pub udp_answered: Duration,
    /// ICMP echo.
    pub icmp: Duration,
}

impl Default for NatTimeouts {
    fn default() -> Self {
        //= RFC 4787 section 4.3, REQ-5: five minutes by default. Departure: 30 seconds for what nobody has answered.
        //= RFC 5508 section 3.2, REQ-2. Departure: 30 seconds, not 60; an echo is answered in less.
        let secs = Duration::from_secs;
        Self { udp: secs(30), udp_answered: secs(300), icmp: secs(30) }
    }
}

/// What is told to the NAT.
#[derive(Clone, Debug)]
pub struct NatConfig {
    /// The addresses outside, at least one. Nobody else may use them: what comes for them and has no mapping is dropped.
    pub addresses: Vec<Ipv4Addr>,
    /// Whose packets are translated. The addresses outside do not count as inside.
    pub inside: Vec<Net>,
    /// Ports that are given out, and identifiers of ICMP echo.
    pub ports: RangeInclusive<u16>,
    /// How long mappings without a connection last.
    pub timeouts: NatTimeouts,
    /// By which the frames are dealt out to the cores.
    pub hash: FlowHash,
    /// How many cores there are.
    pub cores: usize,
}

impl Default for NatConfig {
    /// No addresses yet; inside are the private networks (RFC 1918); one core.
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            inside: PRIVATE.iter().map(|&(first, prefix)| Net::new(first.into(), prefix)).collect(),
            ports: 1024..=u16::MAX,
            timeouts: NatTimeouts::default(),
            hash: FlowHash::new(0),
            cores: 1,
        }
    }
}

/// Why there can be no NAT like that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatError {
    /// No address outside.
    #[error("a NAT needs at least one address outside")]
    NoAddress,
    /// Too many of them.
    #[error("{0} addresses outside: at most {MAX_ADDRESSES} are allowed")]
    TooManyAddresses(usize),
    /// What no packet can come from.
    #[error("{0} cannot be a host's address")]
    NoHost(Ipv4Addr),
    /// Nobody to translate for.
    #[error("a NAT needs at least one IPv4 network inside")]
    NoInside,
    /// No ports.
    #[error("ports {0} to {1}: none are left")]
    NoPorts(u16, u16),
    /// No core.
    #[error("a NAT needs at least one core")]
    NoCore,
    /// Not a text that names addresses.
    #[error("{0:?}: an IPv4 address, a range as 192.0.2.1-192.0.2.9, or a prefix as 192.0.2.0/28 is allowed")]
    Syntax(String),
}

/// The addresses that a text names: `192.0.2.1`, `192.0.2.1-192.0.2.9` or `192.0.2.0/28`. All of a prefix are used.
///
/// # Errors
///
/// [`NatError::Syntax`], [`NatError::TooManyAddresses`].
pub fn address_range(text: &str) -> Result<Vec<Ipv4Addr>, NatError> {
    let wrong = || NatError::Syntax(text.to_owned());
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (first.trim().parse().map_err(|_| wrong())?, last.trim().parse().map_err(|_| wrong())?),
        None => match text.parse::<Net>().map(|net| (net.first(), net.last())) {
            Ok((IpAddr::V4(first), IpAddr::V4(last))) => (first, last),
            _ => return Err(wrong()),
        },
    };
    let [first, last]: [Ipv4Addr; 2] = [first, last];
    let count = u64::from(last.to_bits()).checked_sub(first.to_bits().into()).ok_or_else(wrong)? as usize + 1;
    if count > MAX_ADDRESSES {
        return Err(NatError::TooManyAddresses(count));
    }
    Ok((first.to_bits()..=last.to_bits()).map(Ipv4Addr::from_bits).collect())
}

/// Where a packet goes, as the NAT sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From inside to outside.
    Out,
    /// From outside: to an address of the NAT, or to one inside, which nobody outside should know.
    In,
    /// From inside to an address of the NAT.
    Hairpin,
    /// No business of the NAT.
    Pass,
}

/// The configuration, checked.
#[derive(Debug)]
pub(super) struct Plan {
    /// In order, each once.
    pub(super) addresses: Box<[Ipv4Addr]>,
    /// First and last addresses of networks.
    inside: Box<[(u32, u32)]>,
    pub(super) ports: RangeInclusive<u16>,
    pub(super) timeouts: NatTimeouts,
    pub(super) hash: FlowHash,
    pub(super) cores: usize,
}

impl Plan {
    pub(super) fn new(config: NatConfig) -> Result<Self, NatError> {
        let NatConfig { mut addresses, inside, ports, timeouts, hash, cores } = config;
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(NatError::NoAddress);
        }
        if addresses.len() > MAX_ADDRESSES {
            return Err(NatError::TooManyAddresses(addresses.len()));
        }
        let no_host =
            |address: &&Ipv4Addr| address.is_unspecified() || address.is_multicast() || address.is_broadcast();
        if let Some(address) = addresses.iter().find(no_host) {
            return Err(NatError::NoHost(*address));
        }
        let bits = |net: Net| match (net.first(), net.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Some((first.to_bits(), last.to_bits())),
            _ => None,
        };
        let inside: Box<[_]> = inside.into_iter().filter_map(bits).collect();
        if inside.is_empty() {
            return Err(NatError::NoInside);
        }
        if ports.is_empty() {
            return Err(NatError::NoPorts(*ports.start(), *ports.end()));
        }
        if cores == 0 {
            return Err(NatError::NoCore);
        }
        Ok(Self { addresses: addresses.into(), inside, ports, timeouts, hash, cores })
    }

    /// Whether a host's mapping is the same whomever it talks to, for what is not TCP. On several cores it cannot be: whom a
    /// packet comes from decides which core it reaches.
    pub(super) fn is_endpoint_independent(&self) -> bool {
        self.cores == 1
    }

    /// The number of an address of the NAT.
    pub(super) fn position(&self, address: Ipv4Addr) -> Option<usize> {
        self.addresses.binary_search(&address).ok()
    }

    fn is_inside(&self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        self.inside.iter().any(|&(first, last)| (first..=last).contains(&bits)) && self.position(address).is_none()
    }

    pub(super) fn way(&self, view: &PacketView<'_>) -> Way {
        if view.packet.ip_version != 4 {
            return Way::Pass;
        }
        let [src, dst] = [view.packet.src_v4, view.packet.dst_v4].map(Ipv4Addr::from_bits);
        let from_inside = self.is_inside(src);
        match (from_inside, self.position(dst).is_some()) {
            (true, true) => Way::Hairpin,
            (false, true) => Way::In,
            // What does not leave the link is nobody else's business.
            (true, false) if dst.is_multicast() || dst.is_broadcast() || dst.is_link_local() => Way::Pass,
            (true, false) if self.is_inside(dst) => Way::Pass,
            (true, false) => Way::Out,
            (false, false) if self.is_inside(dst) => Way::In,
            (false, false) => Way::Pass,
        }
    }

    /// The core that gets the packets between two endpoints.
    pub(super) fn core_of(&self, a: SocketAddrV4, b: SocketAddrV4) -> usize {
        if self.cores == 1 { 0 } else { self.hash.core_of(a.into(), b.into(), self.cores) }
    }
}

/// Whether the packet opens a connection.
pub(super) fn is_syn(view: &PacketView<'_>) -> bool {
    view.packet.tcp_flags & (TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::SYN
}
