//! Devices: where frames come from and go to.
//!
//! A [`Device`] appends what arrived to a [`FrameBatch`], which hands out the bursts that the stack takes. A [`Port`] is for
//! live traffic: it lends the frames in its own memory, and sends others. Everything here is fallible and may block, so
//! nothing of it is reachable from the packet path.

#[cfg(target_os = "linux")]
mod afpacket;
mod batch;
mod capture;
#[cfg(unix)]
mod capture_port;
mod capture_writer;
mod device;
pub mod fanout;
mod fault;
mod frame;
mod linktype;
mod loopback;
#[cfg(target_os = "linux")]
mod offload;
mod port;
#[cfg(target_os = "linux")]
mod sys;

#[cfg(target_os = "linux")]
pub use afpacket::{AfPacket, AfPacketConfig, Mode};
pub use batch::FrameBatch;
pub use capture::{CaptureReader, Damage, MAX_FRAME_BYTES};
#[cfg(unix)]
pub use capture_port::CapturePort;
pub use capture_writer::CaptureWriter;
pub use device::{Device, DeviceError, MAX_RECEIVE_BYTES, Received};
pub use fault::{Fault, FaultConfig, FaultCounts};
pub use loopback::Loopback;
pub use port::{Arrival, LinkState, Port, PortCounters, PortInfo, TransmitDrops, TransmitError};
#[cfg(target_os = "linux")]
pub use sys::{affinity::pin, wait::wait};
