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
use crate::packet::{Burst, FrameMeta, LinkType, MAX_BURST, Offload};
use crate::time::Timestamp;

/// Frames that are asked of the file at a time.
const BATCH_FRAMES: usize = 1024;

/// Longer frames than the format takes are not written.
const MTU: usize = 65_535;

/// Says yes to the frames of one port.
type Share = Box<dyn Fn(&[u8], &FrameMeta) -> bool + Send>;

/// A capture file that is read from its beginning to its end, and one that is written.
///
/// It never waits and is never full. A frame is written with the time of the latest one that arrived. What the file says wrong ends
/// it after all that came before.
pub struct CapturePort {
    reader: CaptureReader<File>,
    writer: Option<CaptureWriter<BufWriter<File>>>,
    /// The file that is written. It begins with the first frame: only then is its link type known.
    output: Option<String>,
    /// Which frames are this port's, if others have the rest.
    share: Option<Share>,
    batch: FrameBatch,
    done: usize,
    /// The latest time of all frames that were handed over.
    latest: Timestamp,
    /// The latest time of all frames that were read, whose share they were in whatever.
    read: Timestamp,
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
            share: None,
            batch: FrameBatch::new(),
            done: 0,
            latest: Timestamp::ZERO,
            read: Timestamp::ZERO,
            link: LinkType::Ethernet,
            counters: PortCounters::default(),
            info,
            failed: None,
        })
    }

    /// Of the frames, only those arrive that `share` says yes to. Other cores have ports of their own, over the same file.
    #[must_use]
    pub fn share(self, share: impl Fn(&[u8], &FrameMeta) -> bool + Send + 'static) -> Self {
        Self { share: Some(Box::new(share)), ..self }
    }

    /// Reads on if everything was handed over. `None` if the next frames are in the batch.
    fn fill(&mut self) -> Result<Option<Arrival>, DeviceError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.done < self.batch.len() {
            return Ok(None);
        }
        self.batch.clear();
        self.done = 0;
        match self.reader.receive(&mut self.batch, BATCH_FRAMES)? {
            Received::Frames(_) => {}
            Received::Idle => return Ok(Some(Arrival::Idle)),
            Received::End => return Ok(Some(Arrival::End)),
        }
        let times = self.batch.frames().iter().map(|meta| meta.timestamp);
        self.read = times.fold(self.read, Timestamp::max);
        if let Some(share) = &self.share {
            self.batch.retain(share);
        }
        Ok(if self.batch.is_empty() { Some(Arrival::Idle) } else { None })
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
        self.receive_until(Timestamp::MAX, take)
    }

    fn receive_until(
        &mut self,
        until: Timestamp,
        take: &mut dyn FnMut(&mut Burst<'_>),
    ) -> Result<Arrival, DeviceError> {
        if let Some(arrival) = self.fill()? {
            return Ok(arrival);
        }
        let next = &self.batch.frames()[self.done..self.batch.len().min(self.done + MAX_BURST)];
        let count = next.iter().take_while(|meta| meta.timestamp <= until).count();
        let range = self.done..self.done + count;
        self.done = range.end;
        for meta in &self.batch.frames()[range.clone()] {
            self.latest = self.latest.max(meta.timestamp);
            self.link = meta.link;
            self.counters.received += 1;
            self.counters.received_bytes += u64::from(meta.wire_len);
        }
        if count == 0 {
            return Ok(Arrival::Idle);
        }
        take(&mut self.batch.burst(range));
        Ok(Arrival::Frames(count))
    }

    fn next_time(&mut self) -> Result<Option<Timestamp>, DeviceError> {
        while let Some(arrival) = self.fill()? {
            if arrival == Arrival::End {
                return Ok(None);
            }
        }
        Ok(Some(self.batch.frames()[self.done].timestamp))
    }

    fn time(&self) -> Option<Timestamp> {
        Some(if self.done == self.batch.len() { self.read } else { self.latest })
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
