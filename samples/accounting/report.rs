//! The ledger as a table for people, or as JSON lines.

use std::fmt::Write;

use serde::Serialize;

use super::ledger::{Entry, Way};
use super::subscribers::{Subscriber, Subscribers};
use crate::eve::{self, Time};

const COLUMNS: [&str; 13] = [
    "SUBSCRIBER",
    "FLOWS",
    "PKTS>",
    "PKTS<",
    "WIRE>",
    "WIRE<",
    "CHARGED>",
    "CHARGED<",
    "AGAIN>",
    "AGAIN<",
    "MISSING>",
    "MISSING<",
    "CONFLICTS",
];

type Row = [String; COLUMNS.len()];

/// A subscriber's record.
#[derive(Serialize)]
struct Record {
    timestamp: Time,
    event_type: &'static str,
    subscriber: String,
    flows: u64,
    up: WayPart,
    down: WayPart,
    conflicts: ConflictsPart,
}

#[derive(Serialize)]
struct WayPart {
    packets: u64,
    wire_bytes: u64,
    charged: u64,
    payload: u64,
    retransmitted_free: u64,
    retransmitted_charged: u64,
    missing: u64,
}

#[derive(Serialize)]
struct ConflictsPart {
    flows: u64,
    spans: u64,
}

impl From<&Way> for WayPart {
    fn from(way: &Way) -> Self {
        Self {
            packets: way.packets,
            wire_bytes: way.wire_bytes,
            charged: way.charged(),
            payload: way.payload,
            retransmitted_free: way.retransmitted_free,
            retransmitted_charged: way.retransmitted_charged,
            missing: way.missing,
        }
    }
}

/// A line for each account.
pub(super) fn lines(subscribers: &Subscribers, accounts: &[(Subscriber, Entry)]) -> impl Iterator<Item = Vec<u8>> {
    accounts.iter().map(|(subscriber, entry)| {
        eve::line(&Record {
            timestamp: Time(entry.last),
            event_type: "accounting",
            subscriber: subscribers.name(*subscriber),
            flows: entry.flows,
            up: (&entry.up).into(),
            down: (&entry.down).into(),
            conflicts: ConflictsPart { flows: entry.conflicting_flows, spans: entry.conflicts },
        })
    })
}

/// The table, with the sums in its last line. `>` is what the subscriber sent.
pub(super) fn table(subscribers: &Subscribers, accounts: &[(Subscriber, Entry)]) -> String {
    let mut sum = Entry::default();
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    for (subscriber, entry) in accounts {
        sum.add(entry);
        rows.push(row(subscribers.name(*subscriber), entry));
    }
    rows.push(row("(all)".to_owned(), &sum));
    let widths: [usize; COLUMNS.len()] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        // Writing to a string does not fail.
        let _ = write!(text, "{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

fn row(name: String, Entry { flows, up, down, conflicts, .. }: &Entry) -> Row {
    let numbers = [
        *flows,
        up.packets,
        down.packets,
        up.wire_bytes,
        down.wire_bytes,
        up.charged(),
        down.charged(),
        up.retransmitted_free,
        down.retransmitted_free,
        up.missing,
        down.missing,
        *conflicts,
    ];
    let mut cells = std::iter::once(name).chain(numbers.iter().map(u64::to_string));
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}
