//! What the user chooses about packet sockets.

use crate::io::fanout::FlowHash;

/// What the frames are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are passed on: each is there as soon as it has arrived (TPACKET_V2).
    Inline,
    /// They are only looked at, and a few milliseconds do not matter: they come in blocks, packed, which needs less memory and
    /// less waking up (TPACKET_V3).
    Tap,
}

/// How packet sockets are set up.
#[derive(Clone, Copy, Debug)]
pub struct AfPacketConfig {
    /// What the frames are wanted for.
    pub mode: Mode,
    /// Memory for the frames of each core that wait to be received, in bytes: 1 MiB to 1 GiB. It is taken at once. Inline, a
    /// frame of the usual size takes 2 KiB of it.
    pub ring_bytes: usize,
    /// In a tap, milliseconds after which frames are handed over although their block, 256 KiB to 1 MiB, is not full: 1 to 1000.
    pub retire_ms: u32,
    /// See frames that are addressed to others. A middlebox wants to.
    pub promiscuous: bool,
    /// Send past the queueing discipline. It ends by itself with the first super-frame that is sent, because the interface may
    /// need the system's help to cut it up.
    pub qdisc_bypass: bool,
    /// What stands in [`FrameMeta::port`](crate::packet::FrameMeta::port).
    pub port: u16,
    /// How frames are dealt out to several cores.
    pub hash: FlowHash,
}

impl Default for AfPacketConfig {
    /// Inline, 32 MiB for each core, promiscuous, past the queueing discipline.
    fn default() -> Self {
        Self {
            mode: Mode::Inline,
            ring_bytes: 32 << 20,
            retire_ms: 4,
            promiscuous: true,
            qdisc_bypass: true,
            port: 0,
            hash: FlowHash::new(0),
        }
    }
}
