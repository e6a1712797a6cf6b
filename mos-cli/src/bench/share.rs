//! One core's share of some traffic.

use mos_core::flow::Hasher;
use mos_core::packet::LinkType;
use mos_core::wire::{PacketKind, decode};

use super::Conversation;
use super::conversation::HANDSHAKE;

/// Any seed but those of the stacks: their tables would see nothing but one half of the hashes.
const SEED: u64 = 0x5eed_0f5a_4e5d;

/// The flows of one core, by a symmetric hash of addresses and ports. (`mos replay --cores` goes by addresses alone; two
/// hosts would keep one core busy.)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    core: usize,
    cores: usize,
    hasher: Hasher,
}

impl Share {
    /// That of the core with this number, among so many.
    pub(crate) fn of(core: usize, cores: usize) -> Self {
        Self { core, cores, hasher: Hasher::new(SEED, false) }
    }

    /// So many of so many things.
    pub(crate) fn part(self, things: usize) -> usize {
        things.div_ceil(self.cores)
    }

    /// Whether the frame belongs to it. What is not TCP is the first core's.
    pub(crate) fn has_frame(self, frame: &[u8], wire_len: u32, link: LinkType) -> bool {
        if self.cores == 1 {
            return true;
        }
        let packet = decode(frame, wire_len, link);
        let core = match packet.kind {
            PacketKind::Tcp => {
                let hash = self.hasher.key(&packet, frame).tag;
                ((u64::from(hash) * self.cores as u64) >> 32) as usize
            }
            _ => 0,
        };
        core == self.core
    }

    /// Whether the connection with this number belongs to it.
    pub(crate) fn has(self, number: u32) -> bool {
        let (from, flags) = HANDSHAKE[0];
        self.cores == 1 || {
            let frame = Conversation::new(number).frame(from, flags, 0);
            self.has_frame(&frame, frame.len() as u32, LinkType::Ethernet)
        }
    }
}
