//! The bundled monitors, for the command `mos` and as examples of how to write one.
//!
//! | module | what it shows |
//! |---|---|
//! | [`flowlog`] | a record per connection: packets, bytes, states, gaps, retransmissions, digests |
//! | [`midstat`] | the live connections with the states of both endpoints, second by second |
//! | [`simple_firewall`] | rules for who may connect to whom |
//! | [`net`] | networks, as configuration files have them |
//! | [`output`] | where several cores write their lines |
//! | [`syntax`] | words of configuration files, and the mistakes in them |

pub mod flowlog;
pub mod midstat;
pub mod net;
pub mod output;
pub mod simple_firewall;
pub mod syntax;

#[cfg(test)]
mod testing;
