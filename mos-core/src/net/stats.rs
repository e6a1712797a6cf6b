//! What a forwarder counts, and why it drops frames.

use crate::wire::reason::counted;

counted! {
    /// Why a frame was not passed on. One byte, the index of a counter.
    DropReason {
        /// Nothing is to be forwarded.
        ForwardingOff = "forwarding_off",
        /// It came in at a port that has neither a pair nor an interface.
        NoInterface = "no_interface",
        /// Its link or IP header cannot be read, or it is shorter than it says.
        Malformed = "malformed",
        /// Its IPv4 header checksum is wrong.
        BadChecksum = "bad_checksum",
        /// It is neither IP nor ARP, and so cannot be routed.
        NotIp = "not_ip",
        /// It has a VLAN tag, and the interface is in no VLAN.
        Tagged = "tagged",
        /// Its destination hardware address is another host's.
        NotForUs = "not_for_us",
        /// It is for a group; groups are not routed.
        Multicast = "multicast",
        /// It is for everybody on a link (RFC 1812 section 5.3.5, RFC 2644).
        Broadcast = "broadcast",
        /// Its source address cannot be that of another host (RFC 1812 section 5.3.7).
        MartianSource = "martian_source",
        /// Its destination address is not to be seen on a link.
        MartianDestination = "martian_destination",
        /// One of its addresses means something on its link only (RFC 3927, RFC 4291).
        LinkLocal = "link_local",
        /// It may take no more hops.
        HopLimit = "hop_limit",
        /// No route leads to its destination.
        NoRoute = "no_route",
        /// The next hop did not answer.
        Unreachable = "unreachable",
        /// Others waited for the next hop's address, too, and it was the oldest of too many.
        HeldTooMany = "held_too_many",
        /// It is longer than the link takes, and must not be fragmented.
        TooBig = "too_big",
        /// It waits for nothing, but the frames to be sent are too many.
        OutputFull = "output_full",
        /// It is a fragment of a packet for one of our addresses; these are not put together here.
        LocalFragment = "local_fragment",
        /// ARP that contradicts itself, or claims what it cannot be.
        BadArp = "bad_arp",
        /// Neighbour discovery that is not valid (RFC 4861 section 7.1).
        BadDiscovery = "bad_discovery",
    }
}

/// Defines the counters: a field, which is its name, and what it counts.
macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident,)+) => {
        /// The counters of a forwarder. They only grow.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct NetStats {
            $($(#[$doc])* pub $field: u64,)+
            /// Frames not passed on, by [`DropReason`].
            pub dropped: [u64; DropReason::COUNT],
        }

        impl Default for NetStats {
            fn default() -> Self {
                Self { $($field: 0,)+ dropped: [0; DropReason::COUNT] }
            }
        }

        impl NetStats {
            /// Every counter with its name, the grouped ones as `group.reason`, zero or not.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
                let plain = [$(("", stringify!($field), self.$field)),+];
                let dropped = DropReason::ALL.iter();
                plain.into_iter().chain(dropped.map(|why| ("dropped", why.name(), self.dropped[why.index()])))
            }

            /// Adds the counters of another core.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)+
                for (mine, theirs) in self.dropped.iter_mut().zip(other.dropped) {
                    *mine += theirs;
                }
            }
        }
    };
}

counters! {
    /// Frames passed on to the other port of a pair.
    bridged,
    /// Frames that a route was found for.
    routed,
    /// Frames for one of our own addresses, or for the protocols spoken here.
    local,
    /// Packets of monitors that were taken.
    injected,
    /// Packets that had to wait for the next hop's hardware address.
    held,
    /// Datagrams that were too long and were fragmented.
    fragmented,
    /// Fragments made of these.
    fragments,
    /// ARP requests and neighbour solicitations sent.
    solicitations,
    /// ARP requests and neighbour solicitations answered.
    answered,
    /// Neighbours whose hardware address was found.
    resolved,
    /// Neighbours that did not answer.
    silent,
    /// Neighbours forgotten for newer ones.
    evicted,
    /// Neighbours that got another hardware address.
    moved,
    /// Somebody else used one of our own addresses.
    conflicts,
    /// Echo requests answered.
    echo_replies,
    /// ICMP errors sent.
    icmp_errors,
    /// ICMP errors and echo replies that were not sent because there were too many.
    icmp_limited,
}

impl NetStats {
    /// Counts a frame that goes no further.
    pub(super) fn drop(&mut self, reason: DropReason) {
        if let Some(count) = self.dropped.get_mut(reason.index()) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_counters_are_listed_and_added() {
        let mut stats = NetStats { routed: 2, ..NetStats::default() };
        stats.drop(DropReason::BadDiscovery);
        stats.add(&stats.clone());
        let set: Vec<_> = stats.entries().filter(|entry| entry.2 > 0).collect();
        assert_eq!(set, [("", "routed", 4), ("dropped", "bad_discovery", 2)]);
        let mut names: Vec<_> = stats.entries().map(|(group, name, _)| (group, name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), stats.entries().count());
    }
}
