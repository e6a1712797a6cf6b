//! Devices: where frames come from and go to.
//!
//! A [`Device`] appends what arrived to a [`FrameBatch`], which hands out the bursts that the stack takes. Everything
//! here is fallible and may block, so nothing of it is reachable from the packet path.

mod batch;
mod capture;
mod capture_writer;
mod device;
mod fault;
mod frame;
mod linktype;
mod loopback;

pub use batch::FrameBatch;
pub use capture::{CaptureReader, Damage, MAX_FRAME_BYTES};
pub use capture_writer::CaptureWriter;
pub use device::{Device, DeviceError, MAX_RECEIVE_BYTES, Received};
pub use fault::{Fault, FaultConfig, FaultCounts};
pub use loopback::Loopback;
