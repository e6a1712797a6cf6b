//! A capture file as it is replayed: opened by name, with a progress bar if it is long and somebody is watching.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mos_core::io::{CaptureReader, Device, DeviceError, FrameBatch, Received};
use mos_core::time::Timestamp;

/// Files up to this many bytes are over before a progress bar tells anything.
const SMALL_FILE_BYTES: u64 = 64 << 20;

const TEMPLATE: &str = "{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// An open capture file.
pub(crate) struct Input {
    reader: CaptureReader<Box<dyn Read>>,
    progress: ProgressBar,
}

impl Input {
    /// Opens the file at `path`; `-` is standard input.
    pub(crate) fn open(path: &Path) -> Result<Self, DeviceError> {
        let is_stdin = path.as_os_str() == "-";
        let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
        let (source, bytes): (Box<dyn Read>, _) = if is_stdin {
            (Box::new(io::stdin().lock()), 0)
        } else {
            let open = || {
                let file = File::open(path)?;
                let bytes = file.metadata()?.len();
                Ok((file, bytes))
            };
            let (file, bytes) = open().map_err(|source| DeviceError::Open { name: name.clone(), source })?;
            (Box::new(file), bytes)
        };
        let progress = progress(&name, bytes);
        Ok(Self { reader: CaptureReader::new(source, name, 0), progress })
    }

    /// Link types that are not read, and the frames that were skipped for it.
    pub(crate) fn unsupported(&self) -> &[(u32, u64)] {
        self.reader.unsupported()
    }
}

fn progress(name: &str, bytes: u64) -> ProgressBar {
    if bytes <= SMALL_FILE_BYTES || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(TEMPLATE).expect("the template is a constant");
    let bar = ProgressBar::new(bytes).with_style(style).with_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl Drop for Input {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}

impl Device for Input {
    fn receive(&mut self, batch: &mut FrameBatch, max_frames: usize) -> Result<Received, DeviceError> {
        let received = self.reader.receive(batch, max_frames);
        self.progress.set_position(self.reader.position());
        received
    }

    fn transmit(&mut self, port: u16, frame: &[u8], timestamp: Timestamp) -> Result<(), DeviceError> {
        self.reader.transmit(port, frame, timestamp)
    }
}
