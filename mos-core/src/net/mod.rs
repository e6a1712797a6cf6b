//! What stands between a verdict and a port: bridging, routing, and the protocols that these need.
//!
//! Frames that came in at a port of a pair (mOS's `nic_forward_table`) are bridged: they leave by the other port as they
//! are, whatever they are. All others are routed: where the longest prefix leads, one hop further, to the hardware address
//! that ARP (RFC 826) or neighbour discovery (RFC 4861) finds out. The machine's own addresses are spoken for: ARP and
//! neighbour discovery, echo (RFC 792, RFC 4443). Senders of what goes no further are told, at a limited rate.
//!
//! A [`Forwarder`] owns no device and no clock. It is given frames and the time, and says where they go
//! ([`forward`](Forwarder::forward)); what it sends itself, it queues ([`poll_output`](Forwarder::poll_output)); when it
//! wants to be called again, it says so ([`poll_timeout`](Forwarder::poll_timeout)). Everything that strangers can make it
//! keep is bounded.
//!
//! It is a router without routing protocols: routes are what it is told, and it sends no redirects, no router
//! advertisements and no multicast reports, does not look whether its own addresses are free, and takes no notice of IP
//! options.
//!
//! | file | noun |
//! |---|---|
//! | `mac`, `prefix` | addresses of hardware, prefixes of IP addresses |
//! | `interface`, `config` | what a port is on its link; what a forwarder is told |
//! | `ports`, `route`, `lpm` | ports by number, what an address means, the longest prefix |
//! | `forwarder` | the forwarder: its parts, its queues, its time |
//! | `bridge`, `routing` | the two ways on |
//! | `local` | what is said to the machine itself |
//! | `send` | what monitors and the machine send |
//! | `datagram` | the IP header |
//! | `fragment` | packets that are too long |
//! | `arp`, `nd`, `icmp` | messages, read and written |
//! | `neighbor` | who is known on the links |
//! | `hosts` | who is where on a bridge |
//! | `held`, `output`, `limit` | packets that wait, frames that leave, how often |
//! | `stats` | counters, and why a frame is dropped |

mod arp;
mod bridge;
mod config;
mod datagram;
mod forwarder;
mod fragment;
mod held;
mod hosts;
mod icmp;
mod interface;
mod limit;
mod local;
mod lpm;
mod mac;
mod nd;
mod neighbor;
mod output;
mod ports;
mod prefix;
mod route;
mod routing;
mod send;
mod stats;

#[cfg(test)]
mod tests;

pub use config::{NetConfig, NetConfigError, Route, SourceMac, StaticNeighbor};
pub use forwarder::{Arrival, Forwarder, Next};
pub use held::{MAX_HELD, MAX_HELD_BYTES, MAX_HELD_PER_NEIGHBOR};
pub use interface::{ETHERNET_MTU, Interface};
pub use local::tells_of_neighbors;
pub use mac::{MacAddr, MacAddrError};
pub use neighbor::MAX_NEIGHBORS;
pub use output::{Departure, MAX_OUTPUT, MAX_OUTPUT_BYTES};
pub use prefix::{Prefix, PrefixError};
pub use stats::{DropReason, NetStats};
