//! Live traffic by packet sockets of Linux: inline, or as a tap.
//!
//! A port is one socket with a receive ring that it shares with the kernel: frames are looked at and edited where the kernel
//! put them. They are sent by one system call per burst. (A transmit ring was measured against that on virtual interfaces: no
//! difference at 60 and at 1,514 bytes; and it cannot take super-frames, for which order had to be kept between two sockets.)
//!
//! Which ring: measured between two namespaces on two busy cores (benches/live.rs), a datagram and its answer through a forwarder
//! took 0.14 ms with slots and 1.9 ms with blocks handed over after 1 ms, the least there is; the kernel's own bridge took 0.06 ms.
//! A TCP stream ran at 9.3, 5.3 and 13.2 Gbit/s. So slots are for what is passed on, blocks for what is only looked at.
//!
//! What a local kernel leaves to the hardware crosses unharmed: partial checksums, TCP and UDP super-frames, VLAN tags that were
//! taken out of the frame. Nobody has to switch offloads off.
//!
//! | file | noun |
//! |---|---|
//! | `config` | what the user chooses |
//! | `group` | the sockets of an interface, opened together and again when it comes back |
//! | `opened` | one socket that is set up |
//! | `slots` | the receive ring of slots: a frame is there as soon as it has arrived |
//! | `blocks` | the receive ring of blocks: many frames at a time, later |
//! | `frames` | a frame and what the kernel says about it, from either ring |
//! | `oversize` | frames that no slot has room for |
//! | `transmit` | frames to be sent |
//! | `watch` | the state of the link |

mod blocks;
mod config;
mod frames;
mod group;
mod opened;
mod oversize;
mod slots;
mod transmit;
mod watch;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

pub use config::{AfPacketConfig, Mode};

use self::frames::{Arrived, Tally};
use self::group::Group;
use self::opened::{Opened, Receiver};
use self::transmit::Outbox;
use self::watch::Watch;
use super::device::DeviceError;
use super::port::{Arrival, LinkState, Port, PortCounters, PortInfo, TransmitError};
use crate::packet::{Burst, Offload};

/// One core's queue of an interface, by a packet socket.
///
/// It needs the capability CAP_NET_RAW, and CAP_NET_ADMIN for large socket buffers (without them super-frames can be lost when
/// many wait; they are counted as cut).
#[derive(Debug)]
pub struct AfPacket {
    group: Arc<Group>,
    core: usize,
    /// How often the group had been opened when it gave us `opened`.
    generation: u64,
    /// `None` while the interface is gone.
    opened: Option<Opened>,
    info: PortInfo,
    arrived: Arrived,
    outbox: Outbox,
    watch: Watch,
    tally: Tally,
    /// Drops of the kernel that have been read from the sockets.
    kernel_drops: u64,
    reopened: u64,
}

impl AfPacket {
    /// Opens an interface of the calling thread's network namespace by its name, with one port per core. With several cores the
    /// system deals the frames out by [`AfPacketConfig::hash`], both directions of a flow to the same core. The ports of an
    /// interface belong together: all of them must be read from.
    ///
    /// # Errors
    ///
    /// There is no such interface, the process may not do this, or the system refuses something.
    pub fn open(name: &str, cores: usize, config: &AfPacketConfig) -> Result<Vec<Self>, DeviceError> {
        let (group, opened) = Group::open(name, cores.max(1), *config)?;
        let port = |(core, opened): (usize, Opened)| Self {
            group: Arc::clone(&group),
            core,
            generation: 1,
            info: opened.info.clone(),
            arrived: Arrived::default(),
            outbox: Outbox::new(opened.info.mtu),
            watch: Watch::new(),
            tally: Tally::default(),
            kernel_drops: 0,
            reopened: 0,
            opened: Some(opened),
        };
        Ok(opened.into_iter().enumerate().map(port).collect())
    }

    /// Nothing was there: how is the link? This is where trouble is noticed, so it asks the system, but not each time.
    fn on_idle(&mut self) -> Arrival {
        if let Some(opened) = &self.opened {
            if !self.watch.is_due(opened) {
                return self.arrival();
            }
            self.kernel_drops += opened.socket.take_drops();
            if self.watch.look(opened, &self.info.name) == LinkState::Gone {
                self.opened = None;
            }
        } else if self.watch.may_reopen()
            && let Some((generation, opened)) = self.group.take(self.core, self.generation)
        {
            self.generation = generation;
            self.info = opened.info.clone();
            self.outbox.set_mtu(opened.info.mtu);
            self.reopened += 1;
            self.watch.look(&opened, &self.info.name);
            self.opened = Some(opened);
        }
        self.arrival()
    }

    fn arrival(&self) -> Arrival {
        if self.watch.state() == LinkState::Up { Arrival::Idle } else { Arrival::Down }
    }
}

impl Port for AfPacket {
    fn receive(&mut self, take: &mut dyn FnMut(&mut Burst<'_>)) -> Result<Arrival, DeviceError> {
        let before = self.tally.received;
        if let Some(Opened { receiver, socket, .. }) = &mut self.opened {
            let any = match receiver {
                Receiver::Slots(slots) => slots.receive(socket, &mut self.arrived, &mut self.tally, take),
                Receiver::Blocks(blocks) => blocks.receive(&mut self.arrived, &mut self.tally, take),
            };
            if any {
                if self.watch.state() != LinkState::Up {
                    // It must have come back, and it may never be idle again.
                    self.on_idle();
                }
                // All that was there may have been dropped.
                let frames = (self.tally.received - before) as usize;
                return Ok(if frames == 0 { Arrival::Idle } else { Arrival::Frames(frames) });
            }
        }
        Ok(self.on_idle())
    }

    fn transmit(&mut self, frame: &[u8], offload: Offload) -> Result<(), TransmitError> {
        match (&self.opened, self.watch.state()) {
            (Some(opened), LinkState::Up | LinkState::NoCarrier) => self.outbox.append(opened, frame, offload),
            _ => Err(self.outbox.refuse(TransmitError::Down)),
        }
    }

    fn flush(&mut self) {
        match &self.opened {
            Some(opened) => self.outbox.flush(opened),
            None => self.outbox.clear(),
        }
    }

    fn counters(&mut self) -> PortCounters {
        if let Some(opened) = &self.opened {
            self.kernel_drops += opened.socket.take_drops();
        }
        let Tally { received, received_bytes, cut, unsupported } = self.tally;
        PortCounters {
            received,
            received_bytes,
            kernel_drops: self.kernel_drops,
            cut,
            unsupported,
            transmitted: self.outbox.sent(),
            transmitted_bytes: self.outbox.sent_bytes(),
            transmit_drops: self.outbox.drops(),
            link: self.watch.state(),
            reopened: self.reopened,
        }
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.opened.as_ref().map(|opened| opened.socket.as_fd())
    }

    fn info(&self) -> &PortInfo {
        &self.info
    }
}
