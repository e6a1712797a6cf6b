//! The bundled monitors, for the command `mos` and as examples of how to write one.
//!
//! | module | what it shows |
//! |---|---|
//! | [`accounting`] | bytes per subscriber, each charged once, and who cheats with retransmissions |
//! | [`flowlog`] | a record per connection: packets, bytes, states, gaps, retransmissions, digests |
//! | [`http_log`] | a record per HTTP/1.x transaction: who asked for what, and what the answer was |
//! | [`ids`] | rules with contents that are looked for in both streams |
//! | [`midstat`] | the live connections with the states of both endpoints, second by second |
//! | [`nat`] | many hosts behind few addresses, on several cores |
//! | [`simple_firewall`] | rules for who may connect to whom |
//! | [`tls_log`] | a record per TLS handshake: server name, version, protocols |
//! | [`eve`] | what records in Suricata's EVE layout have in common |
//! | [`output`] | where several cores write their lines |
//! | [`syntax`] | words of configuration files, and the mistakes in them |

pub mod accounting;
pub mod eve;
pub mod flowlog;
pub mod http_log;
pub mod ids;
pub mod midstat;
mod moments;
pub mod nat;
pub mod output;
pub mod simple_firewall;
pub mod syntax;
pub mod tls_log;

#[cfg(test)]
mod testing;
