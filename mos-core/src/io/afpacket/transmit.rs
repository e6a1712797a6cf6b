//! Frames to be sent: collected, then sent by one system call, in order.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::opened::Opened;
use crate::io::offload::{HEADER_BYTES, Header};
use crate::io::port::{TransmitDrops, TransmitError};
use crate::io::sys::{link, message};
use crate::packet::{LinkType, Offload};

/// Frames are sent at the latest when they have this many bytes.
const MAX_BYTES: usize = 512 << 10;

/// How often the system is asked again to send when it has no memory for another frame.
const ATTEMPTS: u32 = 16;

/// An MTU that is too small is asked for again, because it may have been changed, but not more often than this.
const MTU_EVERY: Duration = Duration::from_millis(100);

const ETHERNET: usize = 14;
const TAG: usize = 4;

#[derive(Debug)]
pub(super) struct Outbox {
    /// Frames, each behind its offload header.
    memory: Vec<u8>,
    frames: Vec<Range<usize>>,
    mtu: usize,
    mtu_read: Instant,
    /// Super-frames have been sent on this socket, so the queueing discipline is no longer bypassed.
    sends_super: bool,
    sent: u64,
    sent_bytes: u64,
    drops: TransmitDrops,
}

impl Outbox {
    pub(super) fn new(mtu: usize) -> Self {
        Self {
            memory: Vec::new(),
            frames: Vec::with_capacity(message::MAX_SENT),
            mtu,
            mtu_read: Instant::now(),
            sends_super: false,
            sent: 0,
            sent_bytes: 0,
            drops: TransmitDrops::default(),
        }
    }

    /// Another socket, on an interface with this MTU.
    pub(super) fn set_mtu(&mut self, mtu: usize) {
        (self.mtu, self.mtu_read, self.sends_super) = (mtu, Instant::now(), false);
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    pub(super) fn drops(&self) -> TransmitDrops {
        self.drops
    }

    /// Counts a frame that is not sent.
    #[cold]
    pub(super) fn refuse(&mut self, error: TransmitError) -> TransmitError {
        match error {
            TransmitError::Down => self.drops.down += 1,
            TransmitError::TooLong { .. } => self.drops.too_long += 1,
            TransmitError::Unsupported => self.drops.unsupported += 1,
        }
        error
    }

    /// Appends a frame, and sends what has been collected if that is enough.
    #[inline]
    pub(super) fn append(&mut self, opened: &Opened, frame: &[u8], offload: Offload) -> Result<(), TransmitError> {
        let link = opened.info.link;
        let start = self.memory.len();
        self.memory.extend_from_slice(&[0; HEADER_BYTES]);
        self.memory.extend_from_slice(frame);
        let copy = self.memory.get_mut(start + HEADER_BYTES..).unwrap_or_default();
        let Ok((header, bytes)) = Header::leaving(copy, offload, link) else {
            self.memory.truncate(start);
            return Err(self.refuse(TransmitError::Unsupported));
        };
        let longest = header.longest_on_wire(bytes);
        if longest > self.most(frame, link) && longest > self.most_now(opened, frame, link) {
            self.memory.truncate(start);
            let most = self.most(frame, link);
            return Err(self.refuse(TransmitError::TooLong { bytes: longest, most }));
        }
        self.memory.truncate(start + HEADER_BYTES + bytes);
        if let Some(place) = self.memory.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            *place = header.to_bytes();
        }
        if header.is_super() && !self.sends_super {
            self.sends_super = true;
            // Before this frame, so that none of those that went past the discipline is behind one that did not.
            self.flush(opened);
            // What is not set cannot be unset: no error.
            let _ = opened.socket.set(libc::PACKET_QDISC_BYPASS, 0);
            return self.append(opened, frame, offload);
        }
        self.frames.push(start..self.memory.len());
        if self.frames.len() >= message::MAX_SENT || self.memory.len() >= MAX_BYTES {
            self.flush(opened);
        }
        Ok(())
    }

    /// The longest frame that goes out. One VLAN tag is not counted.
    fn most(&self, frame: &[u8], link: LinkType) -> usize {
        let tagged = matches!(frame.get(12..14), Some([0x81, 0x00]));
        match link {
            LinkType::Ethernet => self.mtu + ETHERNET + if tagged { TAG } else { 0 },
            _ => self.mtu,
        }
    }

    #[cold]
    fn most_now(&mut self, opened: &Opened, frame: &[u8], link: LinkType) -> usize {
        if self.mtu_read.elapsed() >= MTU_EVERY {
            self.mtu_read = Instant::now();
            self.mtu = link::mtu(&opened.socket, opened.index).unwrap_or(self.mtu);
        }
        self.most(frame, link)
    }

    /// Gives up on what has been collected.
    pub(super) fn clear(&mut self) {
        self.drops.down += self.frames.len() as u64;
        self.frames.clear();
        self.memory.clear();
    }

    /// Sends what has been collected.
    pub(super) fn flush(&mut self, opened: &Opened) {
        let (mut done, mut attempts) = (0, 0);
        while let Some(rest @ [first, ..]) = self.frames.get(done..) {
            match message::send(&opened.socket, &self.memory, rest) {
                Ok(sent) => {
                    let bytes: usize = rest.iter().take(sent).map(|frame| frame.len() - HEADER_BYTES).sum();
                    self.sent += sent as u64;
                    self.sent_bytes += bytes as u64;
                    done += sent;
                    attempts = 0;
                }
                // There is no memory for the frame until others have left.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && attempts < ATTEMPTS => {
                    attempts += 1;
                    std::thread::yield_now();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The frame is lost. Whether the link is at fault is found out when nothing arrives.
                Err(error) => {
                    match error.raw_os_error() {
                        Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => self.drops.down += 1,
                        Some(libc::EMSGSIZE) => self.drops.too_long += 1,
                        Some(libc::ENOBUFS | libc::EAGAIN | libc::ENOMEM) => self.drops.no_room += 1,
                        _ => {
                            log::debug!("{}: {} bytes refused: {error}", opened.info.name, first.len());
                            self.drops.refused += 1;
                        }
                    }
                    done += 1;
                    attempts = 0;
                }
            }
        }
        self.frames.clear();
        self.memory.clear();
    }
}
