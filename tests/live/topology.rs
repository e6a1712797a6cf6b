//! Other ways to put hosts and middlebox together.

use super::net::Net;

impl Net {
    /// The hosts are in different networks, and the middlebox has addresses in both, 10.77.1.1 and fd77:1::1, 10.77.2.1 and fd77:2::1. Its
    /// kernel does not forward. Host b has the address 10.77.3.2, too.
    pub(super) fn routed() -> Option<Self> {
        let net = Self::with_spaces(&["a", "m", "b"])?;
        net.shell("m", "echo 0 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
        net.shell("m", "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding");
        for (host, here, there, number) in [("a", "m0", "a0", 1), ("b", "m1", "b0", 2)] {
            net.pair(host, there, here);
            net.address_link(host, here, there, number);
        }
        // Or the kernel would say as well that it knows no way, although it does not forward.
        net.ip("m", "-6 route add blackhole default");
        net.ip("b", "link set lo up");
        net.ip("b", "addr add 10.77.3.2/32 dev lo");
        Some(net)
    }

    /// Addresses on both ends of one link of a routed network, and the way from the host to all others.
    pub(super) fn address_link(&self, host: &str, here: &str, there: &str, number: u32) {
        for (space, interface, own) in [("m", here, 1), (host, there, 2)] {
            self.ip(space, &format!("addr add 10.77.{number}.{own}/24 dev {interface}"));
            self.ip(space, &format!("addr add fd77:{number}::{own}/64 dev {interface} nodad"));
        }
        self.ip(host, &format!("route add default via 10.77.{number}.1"));
        self.ip(host, &format!("-6 route add default via fd77:{number}::1"));
    }

    /// Between each host and the middlebox there is one more namespace, x and y, in which links can be made worse: x0 is towards
    /// host a, x1 and y0 are towards the middlebox, y1 is towards host b.
    pub(super) fn with_links() -> Option<Self> {
        let net = Self::with_spaces(&["a", "x", "m", "y", "b"])?;
        for space in ["x", "y"] {
            net.shell(space, "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
        }
        net.cable("x", "x0", "a", "a0");
        net.cable("m", "m0", "x", "x1");
        net.cable("m", "m1", "y", "y0");
        net.cable("y", "y1", "b", "b0");
        net.address_hosts();
        Some(net)
    }

    /// The hosts say nothing by themselves.
    pub(super) fn silence(&self) {
        for (host, interface) in [("a", "a0"), ("b", "b0")] {
            self.shell(host, &format!("echo 1 > /proc/sys/net/ipv6/conf/{interface}/disable_ipv6"));
            self.ip(host, &format!("link set {interface} arp off"));
        }
    }
}
