//! What the JSON lines of several monitors have in common: the flow's number, and alerts in Suricata's layout.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use mos_core::time::Timestamp;
use mos_monitor::{Conn, Side};
use serde::Serialize;

pub use crate::flowlog::Time;

/// Numbers up to here are exact in every reader of JSON.
const FLOW_ID_BITS: u32 = 53;

/// A number for a flow, made of its endpoints and its beginning: the same in every run, on any number of cores.
#[must_use]
pub fn flow_id(client: SocketAddr, server: SocketAddr, created: Timestamp) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    for end in [client, server] {
        match end.ip() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.write(&end.port().to_be_bytes());
    }
    hasher.write(&created.as_nanos().to_be_bytes());
    let hash = hasher.finish();
    (hash >> FLOW_ID_BITS ^ hash) & ((1 << FLOW_ID_BITS) - 1)
}

/// FNV-1a: a fixed function, not one of the standard library's that may change.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Which way the bytes went that an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

impl Direction {
    /// That of the bytes which `side` receives.
    #[must_use]
    pub fn towards(side: Side) -> Self {
        match side {
            Side::Server => Self::ToServer,
            Side::Client => Self::ToClient,
        }
    }
}

/// What became of the packet that an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It went on its way.
    Allowed,
    /// It did not.
    Blocked,
}

/// An alert record. The source is the sender of the bytes that it is about.
#[derive(Clone, Debug, Serialize)]
pub struct AlertRecord<'a> {
    /// When it was found.
    pub timestamp: Time,
    /// See [`flow_id`].
    pub flow_id: u64,
    /// Always `alert`.
    pub event_type: &'static str,
    /// The sender.
    pub src_ip: IpAddr,
    /// The sender's port.
    pub src_port: u16,
    /// The receiver.
    pub dest_ip: IpAddr,
    /// The receiver's port.
    pub dest_port: u16,
    /// Always `TCP`.
    pub proto: &'static str,
    /// What was found.
    pub alert: Alert<'a>,
    /// Which way.
    pub direction: Direction,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Alert<'a> {
    /// What became of it.
    pub action: Outcome,
    /// Always 1.
    pub gid: u32,
    /// The number of the rule.
    pub signature_id: u32,
    /// Its revision.
    pub rev: u32,
    /// Its text.
    pub signature: &'a str,
    /// Always empty: there are no classes here.
    pub category: &'a str,
    /// 1 is the most severe.
    pub severity: u8,
}

impl<'a> AlertRecord<'a> {
    /// About bytes of the flow that `receiver` was sent.
    #[must_use]
    pub fn new<At>(conn: &Conn<'_, '_, At>, receiver: Side, alert: Alert<'a>) -> Self {
        let (src, dest) = (conn.endpoint(receiver.other()), conn.endpoint(receiver));
        Self {
            timestamp: Time(conn.now()),
            flow_id: flow_id(conn.endpoint(Side::Client), conn.endpoint(Side::Server), conn.created()),
            event_type: "alert",
            src_ip: src.ip(),
            src_port: src.port(),
            dest_ip: dest.ip(),
            dest_port: dest.port(),
            proto: "TCP",
            alert,
            direction: Direction::towards(receiver),
        }
    }
}

/// A record as a line of JSON.
#[must_use]
pub fn line(record: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("records have only strings for keys, and numbers that are finite");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_flow_is_its_own() {
        let (a, b) = ("10.0.0.1:1".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap());
        let id = flow_id(a, b, Timestamp::from_millis(1));
        assert!(id < 1 << FLOW_ID_BITS);
        assert_eq!(id, flow_id(a, b, Timestamp::from_millis(1)));
        assert_ne!(id, flow_id(b, a, Timestamp::from_millis(1)));
        assert_ne!(id, flow_id(a, b, Timestamp::from_millis(2)));
    }
}
