//! Whether a packet's checksums let it count (D13).

use super::Stack;
use super::segment::CONTROL;
use crate::config::ChecksumMode;
use crate::event::Side;
use crate::flow::record::HalfFlags;
use crate::packet::{Burst, Checksums};
use crate::wire::{TcpFlags, checksum};

/// So many wrong checksums of a sender, and no right one before them, mean that its frames were captured before its network
/// card filled them in: whatever comes later, its checksums say nothing.
const OFFLOADED: u8 = 3;

impl Stack {
    /// Whether the checksums of a known flow's packet let it count (D13).
    #[inline(always)]
    pub(super) fn check(&mut self, slot: u32, side: Side, index: usize, burst: &Burst<'_>) -> bool {
        let good_before = self.flows.hot(slot).half[side as usize].flags.any(HalfFlags::CHECKSUMS);
        let verified = self.verify(index, burst);
        if good_before {
            return verified != Some(false) || (self.begins_anew(slot, side, index) && self.excuse()) || self.refuse();
        }
        let wrong = &mut self.flows.cold_mut(slot).half[side as usize].wrong_checksums;
        match verified {
            Some(true) => {
                if *wrong < OFFLOADED {
                    self.flows.hot_mut(slot).half[side as usize].flags.set(HalfFlags::CHECKSUMS);
                }
                true
            }
            None => true,
            Some(false) => {
                *wrong = wrong.saturating_add(1);
                self.excuse()
            }
        }
    }

    /// A SYN that may begin another connection on a flow's endpoints is judged by itself: another program may have sent it.
    fn begins_anew(&self, slot: u32, side: Side, index: usize) -> bool {
        let packet = &self.packets[index];
        self.config.checksum == ChecksumMode::Auto
            && packet.tcp_flags & CONTROL == TcpFlags::SYN
            && packet.seq != self.flows.cold(slot).half[side as usize].iss
    }

    /// The same for a packet that would begin a flow: `None` if it does not count, else whether it was right.
    pub(super) fn check_new(&mut self, index: usize, burst: &Burst<'_>) -> Option<bool> {
        if self.config.checksum == ChecksumMode::Trust {
            return Some(false);
        }
        match self.verify(index, burst) {
            Some(true) => Some(true),
            None => Some(false),
            Some(false) => self.excuse().then_some(false),
        }
    }

    /// A wrong checksum of a sender that never had a right one is put down to the capture, if that is asked for.
    fn excuse(&mut self) -> bool {
        if self.config.checksum == ChecksumMode::Auto {
            self.stats.trusted_checksums += 1;
            return true;
        }
        self.refuse()
    }

    fn refuse(&mut self) -> bool {
        self.stats.bad_checksums += 1;
        false
    }

    /// Whether IPv4 header and TCP checksum are right; `None` if the capture is too short to tell.
    fn verify(&self, index: usize, burst: &Burst<'_>) -> Option<bool> {
        let packet = &self.packets[index];
        let frame = self.frame(index, burst);
        if packet.ip_version == 4 && !checksum::ipv4_header_ok(packet.network_header(frame)) {
            return Some(false);
        }
        // Verified by the hardware already, or left to hardware that the frame never met: looking would mislead.
        match burst.frames.get(index).map(|meta| meta.offload.checksums) {
            Some(Checksums::Good | Checksums::Partial) => Some(true),
            _ => checksum::tcp_ok(packet, frame),
        }
    }
}
