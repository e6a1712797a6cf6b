//! Alerts in Suricata's layout.

use mos_monitor::{Conn, Side};
use serde::Serialize;

use super::Header;

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
    /// When, and in which flow.
    #[serde(flatten)]
    pub header: Header,
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
        let header = Header::new("alert", conn.now(), conn);
        let header = if receiver == Side::Server { header } else { header.reversed() };
        Self { header, alert, direction: Direction::towards(receiver) }
    }
}
