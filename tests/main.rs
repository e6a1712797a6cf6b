//! Integration tests.

mod buffers;
mod bypass;
mod closing;
mod edits;
mod edits_in_flows;
mod errnos;
mod filters;
mod handlers;
mod immediate;
mod in_step;
mod injection;
mod options;
mod packets;
mod panics;
mod properties;
mod queries;
mod regression;
mod replays;
mod scenario;
mod support;
mod timers;
mod times;
mod traps;
mod truth;
mod user_events;
