//! A capture file as a port: what it holds arrives, and what leaves is written to another file.

use std::fs::File;
use std::io::BufWriter;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::batch::FrameBatch;
use super::capture::CaptureReader;
use super::capture_writer::CaptureWriter;
use super::device::{Device, DeviceError, Received};
use super::port::{Arrival, Port, PortCounters, PortInfo, TransmitError};
use crate::packet::{Burst, LinkType, MAX_BURST, Offload};
use crate::time::Timestamp;

/// Frames that are asked of the file at a time.
const BATCH_FRAMES: usize = 1024;

/// Longer frames than the format takes are not written.
const MTU: usize = 65_535;

/// A capture file that is read from its beginning to its end, and one that is written.
///
/// It never waits and is never full. A frame is written with the time of the latest one that arrived. What the file says wrong ends
/// it after all that came before.
pub struct CapturePort {
    reader: CaptureReader<File>,
    writer: Option<CaptureWriter<BufWriter<File>>>,
    /// The file that is written. It begins with the first frame: only then is its link type known.
    output: Option<String>,
    batch: FrameBatch,
    done: usize,
    latest: Timestamp,
    link: LinkType,
    counters: PortCounters,
    info: PortInfo,
    /// What went wrong with writing: told with the next call.
    failed: Option<DeviceError>,
}

impl std::fmt::Debug for CapturePort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CapturePort").field("info", &self.info).field("latest", &self.latest).finish_non_exhaustive()
    }
}

impl CapturePort {
    /// Opens the file `input` as port number `number`. What leaves by the port is written to `output`, which is emptied.
    ///
    /// # Errors
    ///
    /// See [`DeviceError`].
    pub fn open(input: &str, output: Option<&str>, number: u16) -> Result<Self, DeviceError> {
        let reader = CaptureReader::open(Path::new(input), number)?;
        if let Some(output) = output {
            // To know now whether it can be written.
            CaptureWriter::create(output, LinkType::Ethernet)?;
        }
        let info = PortInfo {
            name: format!("pcap:{input}"),
            index: 0,
            mac: [0; 6],
            mtu: MTU,
            link: LinkType::Ethernet,
            addresses: Vec::new(),
        };
        Ok(Self {
            reader,
            writer: None,
            output: output.map(Into::into),
            batch: FrameBatch::new(),
            done: 0,
            latest: Timestamp::ZERO,
            link: LinkType::Ethernet,
            counters: PortCounters::default(),
            info,
            failed: None,
        })
    }

    fn write(&mut self, frame: &[u8]) -> Result<(), DeviceError> {
        if self.writer.is_none()
            && let Some(output) = &self.output
        {
            self.writer = Some(CaptureWriter::create(output, self.link)?);
        }
        match &mut self.writer {
            Some(writer) => writer.write(self.latest, frame, frame.len() as u32),
            None => Ok(()),
        }
    }
}

impl Port for CapturePort {
    fn receive(&mut self, take: &mut dyn FnMut(&mut Burst<'_>)) -> Result<Arrival, DeviceError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.done == self.batch.len() {
            self.batch.clear();
            self.done = 0;
            match self.reader.receive(&mut self.batch, BATCH_FRAMES)? {
                Received::Frames(_) => {}
                Received::Idle => return Ok(Arrival::Idle),
                Received::End => return Ok(Arrival::End),
            }
        }
        let range = self.done..self.batch.len().min(self.done + MAX_BURST);
        self.done = range.end;
        for meta in &self.batch.frames()[range.clone()] {
            self.latest = self.latest.max(meta.timestamp);
            self.link = meta.link;
            self.counters.received += 1;
            self.counters.received_bytes += u64::from(meta.wire_len);
        }
        let count = range.len();
        take(&mut self.batch.burst(range));
        Ok(if count == 0 { Arrival::Idle } else { Arrival::Frames(count) })
    }

    fn transmit(&mut self, frame: &[u8], _: Offload) -> Result<(), TransmitError> {
        if frame.len() > super::MAX_FRAME_BYTES {
            self.counters.transmit_drops.too_long += 1;
            return Err(TransmitError::TooLong { bytes: frame.len(), most: super::MAX_FRAME_BYTES });
        }
        match self.write(frame) {
            Ok(()) => {
                self.counters.transmitted += 1;
                self.counters.transmitted_bytes += frame.len() as u64;
            }
            Err(error) => {
                self.counters.transmit_drops.refused += 1;
                self.failed.get_or_insert(error);
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.flush()
        {
            self.failed.get_or_insert(error);
        }
    }

    fn finish(&mut self) -> Result<(), DeviceError> {
        self.flush();
        self.failed.take().map_or(Ok(()), Err)
    }

    fn counters(&mut self) -> PortCounters {
        self.counters
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn info(&self) -> &PortInfo {
        &self.info
    }
}
