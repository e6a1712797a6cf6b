//! Live traffic: packet sockets between the kernels of network namespaces that each test makes for itself. They need root, and say
//! so where they cannot run.
#![cfg(target_os = "linux")]

mod fanout;
mod faults;
mod forwarder;
mod frames;
mod nat;
mod net;
mod transfer;
