//! Integration tests.

mod closing;
mod edits;
mod filters;
mod options;
mod panics;
mod properties;
mod regression;
mod replays;
mod scenario;
mod support;
mod traps;
mod truth;
