//! The bundled monitors, for the command `mos` and as examples of how to write one.
//!
//! | module | what it shows |
//! |---|---|
//! | [`flowlog`] | a record per connection: packets, bytes, states, gaps, retransmissions, digests |
//! | [`midstat`] | the live connections with the states of both endpoints, second by second |
//! | [`output`] | where several cores write their lines |

pub mod flowlog;
pub mod midstat;
pub mod output;
