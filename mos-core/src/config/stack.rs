//! What a stack can be told at its start.

use core::time::Duration;

use crate::reassembly::OverlapPolicy;
use crate::wire::fragment::DefragLimits;

/// What is done about checksums (D13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumMode {
    /// A packet with a bad IPv4 header or TCP checksum changes no flow.
    #[default]
    Verify,
    /// Checksums are not looked at.
    Trust,
    /// As `Verify`, except that wrong checksums of a flow's sender count for nothing as long as it has had no right one, and
    /// none of its checksums count after three wrong ones: its frames were captured before its network card filled them in.
    Auto,
}

/// How long a flow may be silent, by its state. Zero means for ever; more than 2^31 ms, almost 25 days, is as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// While the handshake is not complete.
    pub half_open: Duration,
    /// While a side may still send.
    pub established: Duration,
    /// Once both sides have sent a FIN, or one a reset that the other has not got.
    pub closing: Duration,
    /// After both sides have closed in order (`tcp_tw_interval`); zero ends the flow at once.
    pub time_wait: Duration,
}

impl Timeouts {
    /// The same time in every state but TIME_WAIT, as mOS's `tcp_timeout` has it.
    #[must_use]
    pub const fn all(timeout: Duration) -> Self {
        Self { half_open: timeout, established: timeout, closing: timeout, time_wait: Duration::ZERO }
    }
}

/// What a stack can be told at its start. The defaults are those of mOS where it has any.
#[derive(Clone, Debug)]
pub struct Config {
    /// The most flows at a time (`max_concurrency`); beyond it the oldest go (D21). Room is reserved, not touched.
    pub max_flows: usize,
    /// The most bytes kept for one direction of a flow, out of order or unread (`rmem_size`).
    pub receive_buffer_bytes: u64,
    /// The most bytes kept for all flows of the core together (`reassembly_memory`).
    pub reassembly_memory_bytes: usize,
    /// Which copy of a byte counts (D22).
    pub overlap: OverlapPolicy,
    /// What is done about checksums (D13).
    pub checksum: ChecksumMode,
    /// Whether a flow may begin without a SYN (D12).
    pub midstream: bool,
    /// Whether the VLAN id is part of a flow's name (D15).
    pub vlan_tracking: bool,
    /// How long a flow may be silent.
    pub timeouts: Timeouts,
    /// The longest IP packet, in bytes, that an edit may make: the MTU of the way it goes on.
    pub max_ip_len: u16,
    /// Bounds on IP fragments (D16).
    pub fragments: DefragLimits,
    /// The seed of the flow table's hash: should be random, so that nobody can construct collisions.
    pub hash_seed: u64,
    /// Whether packets of flows in order may go the short way. The outcome is the same; only tests have a use for `false`.
    pub short_way: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_flows: 100_000,
            receive_buffer_bytes: 1 << 20,
            reassembly_memory_bytes: 1 << 30,
            overlap: OverlapPolicy::First,
            checksum: ChecksumMode::Verify,
            midstream: false,
            vlan_tracking: false,
            timeouts: Timeouts::all(Duration::from_secs(30)),
            max_ip_len: u16::MAX,
            fragments: DefragLimits::default(),
            hash_seed: 0,
            short_way: true,
        }
    }
}
