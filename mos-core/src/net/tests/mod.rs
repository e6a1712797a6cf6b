//! Forwarders at work: hosts that talk through a router or over a bridge, what the RFCs have a router refuse, and what
//! becomes of frames that make no sense.

mod bridging;
mod properties;
mod routing;
mod sending;
mod speaking;
#[cfg(feature = "std")]
mod tshark;
mod world;
