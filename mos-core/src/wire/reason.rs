//! Why a frame was not decoded, and which tunnels are seen but not opened: the one-byte names under which such frames are
//! counted.

/// Defines a one-byte enum whose variants index counters and have a name to print.
macro_rules! counted {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $type { $($(#[$doc])* $variant,)+ }

        impl $type {
            /// All of them, in the order of their index.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// How many there are: the size of an array of counters.
            pub const COUNT: usize = Self::ALL.len();

            /// The place of its counter in such an array.
            #[inline]
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// The name it is counted under.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use counted;

counted! {
    /// Why a frame was not decoded. Some frames carry something else than IP, some were cut short by the capture, and some
    /// are broken: [`is_malformed`](Self::is_malformed) tells the last from the others.
    Undecoded {
        /// The frame ends before its link header does.
        FrameTooShort = "frame_too_short",
        /// An EtherType that is not known here.
        UnknownEtherType = "unknown_ether_type",
        /// ARP.
        Arp = "arp",
        /// IEEE 802.3 with a length instead of a type: LLC, as spanning tree uses it.
        Llc = "llc",
        /// MPLS labels.
        Mpls = "mpls",
        /// A PPPoE session.
        PppoeSession = "pppoe_session",
        /// PPPoE discovery.
        PppoeDiscovery = "pppoe_discovery",
        /// A loopback capture's address family that is neither IPv4 nor IPv6.
        UnknownLoopbackFamily = "unknown_loopback_family",
        /// More VLAN tags or extension headers than anyone has a use for.
        TooManyHeaders = "too_many_headers",
        /// An IP header that is not there in full, because the capture cut the frame short.
        IpHeaderCut = "ip_header_cut",
        /// A raw IP frame that starts with neither 4 nor 6.
        UnknownIpVersion = "unknown_ip_version",
        /// The frame ends before its IPv4 header does.
        Ipv4HeaderTooShort = "ipv4_header_too_short",
        /// The link layer says IPv4, the header says otherwise.
        Ipv4BadVersion = "ipv4_bad_version",
        /// An IPv4 header length below 20 bytes.
        Ipv4BadIhl = "ipv4_bad_ihl",
        /// An IPv4 total length that does not even cover the header.
        Ipv4LengthBelowHeader = "ipv4_length_below_header",
        /// An IP length that exceeds what was on the wire.
        LengthExceedsWire = "length_exceeds_wire",
        /// The frame ends before its IPv6 header does.
        Ipv6HeaderTooShort = "ipv6_header_too_short",
        /// The link layer says IPv6, the header says otherwise.
        Ipv6BadVersion = "ipv6_bad_version",
        /// An extension header that runs past the packet, or stands where it must not.
        Ipv6BadExtension = "ipv6_bad_extension",
        /// An authentication header in an IPv4 packet that runs past it.
        Ipv4BadAuthentication = "ipv4_bad_authentication",
        /// An IP packet that says TCP and has no room for a TCP header.
        TcpHeaderTooShort = "tcp_header_too_short",
        /// A TCP data offset below 20 bytes, or beyond the packet.
        TcpBadDataOffset = "tcp_bad_data_offset",
        /// A TCP header that is not there in full, because the capture cut the frame short.
        TcpHeaderCut = "tcp_header_cut",
    }
}

impl Undecoded {
    /// Whether the frame itself is broken. What is not broken is forwarded inline, as any other frame is.
    #[must_use]
    pub const fn is_malformed(self) -> bool {
        match self {
            Self::UnknownEtherType
            | Self::Arp
            | Self::Llc
            | Self::Mpls
            | Self::PppoeSession
            | Self::PppoeDiscovery
            | Self::UnknownLoopbackFamily
            | Self::IpHeaderCut
            | Self::TcpHeaderCut => false,
            Self::FrameTooShort
            | Self::TooManyHeaders
            | Self::UnknownIpVersion
            | Self::Ipv4HeaderTooShort
            | Self::Ipv4BadVersion
            | Self::Ipv4BadIhl
            | Self::Ipv4LengthBelowHeader
            | Self::LengthExceedsWire
            | Self::Ipv6HeaderTooShort
            | Self::Ipv6BadVersion
            | Self::Ipv6BadExtension
            | Self::Ipv4BadAuthentication
            | Self::TcpHeaderTooShort
            | Self::TcpBadDataOffset => true,
        }
    }
}

counted! {
    /// A tunnel that is recognised but not opened: its packets are seen as what they are outside.
    Tunnel {
        /// Generic routing encapsulation (RFC 2784), IP protocol 47.
        Gre = "gre",
        /// IPv4 in IP (RFC 2003), IP protocol 4.
        IpInIp = "ip_in_ip",
        /// IPv6 in IP (RFC 4213), IP protocol 41.
        Ipv6InIp = "ipv6_in_ip",
        /// Virtual extensible LAN (RFC 7348), UDP port 4789.
        Vxlan = "vxlan",
        /// GPRS tunnelling, user plane (3GPP TS 29.281), UDP port 2152.
        GtpU = "gtp_u",
    }
}

#[cfg(test)]
mod tests {
    use super::{Tunnel, Undecoded};

    #[test]
    fn indices_follow_the_order_and_names_are_unique() {
        for (index, reason) in Undecoded::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert!(reason.name().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!(Undecoded::ALL[..index].iter().all(|earlier| earlier.name() != reason.name()));
        }
        assert_eq!(Tunnel::COUNT, 5);
        assert_eq!(Tunnel::GtpU.to_string(), "gtp_u");
    }
}
