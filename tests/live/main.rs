//! Live traffic: packet sockets between the kernels of network namespaces that each test makes for itself. They need root, and say
//! so where they cannot run. Half of them run the command itself, as a process in the middlebox's namespace.
#![cfg(target_os = "linux")]

mod bridge;
mod c_samples;
mod captures;
mod digests;
mod fanout;
mod faults;
mod firewall;
mod forwarder;
mod frames;
mod impairment;
mod inspection;
mod life;
mod messages;
mod middlebox;
mod nat;
mod net;
mod refusals;
mod reports;
mod router;
mod streams;
mod topology;
mod transfer;
#[path = "../c_samples/workshop.rs"]
mod workshop;
