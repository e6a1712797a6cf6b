//! Integration tests.

mod bypass;
mod closing;
mod edits;
mod errnos;
mod filters;
mod handlers;
mod options;
mod panics;
mod properties;
mod regression;
mod replays;
mod scenario;
mod support;
mod times;
mod traps;
mod truth;
mod user_events;
