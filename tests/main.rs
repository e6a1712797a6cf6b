//! Integration tests.

mod scenario;
mod properties;
mod support;
mod replays;
mod traps;
