//! Rows of the specification that no other file has a test for. Each test is named after its row; `docs/conformance.md`
//! says where the others are.

mod calls;
mod edits;
mod filters;
mod fragments;
mod links;
mod options;
mod raw;
mod sockets;
mod timers;
