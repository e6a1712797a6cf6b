//! Records as a table for people.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::record::Record;

/// The columns: the heading, and whether numbers stand to the right.
const COLUMNS: [(&str, bool); 11] = [
    ("START (UTC)", false),
    ("CLIENT", false),
    ("SERVER", false),
    ("STATE/END", false),
    ("PKTS>", true),
    ("PKTS<", true),
    ("BYTES>", true),
    ("BYTES<", true),
    ("GAPS>", true),
    ("GAPS<", true),
    ("SECONDS", true),
];

type Row = [String; COLUMNS.len()];

/// The table with a summary below it. `>` is from the client to the server.
pub(super) fn render(records: &[Record]) -> String {
    let heading = COLUMNS.map(|(name, _)| name.to_owned());
    let rows: Vec<Row> = std::iter::once(heading).chain(records.iter().map(row)).collect();
    let widths: [usize; COLUMNS.len()] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let start = text.len();
        for ((cell, width), (_, to_the_right)) in row.iter().zip(widths).zip(COLUMNS) {
            let gap = if text.len() > start { "  " } else { "" };
            // Writing to a string does not fail.
            let _ = match to_the_right {
                true => write!(text, "{gap}{cell:>width$}"),
                false => write!(text, "{gap}{cell:<width$}"),
            };
        }
        text.push('\n');
    }
    summary(&mut text, records);
    text
}

fn row(record: &Record) -> Row {
    let Record { header, flow, stream, .. } = record;
    let seconds = flow.end.0.saturating_since(flow.start.0).as_secs_f64();
    [
        flow.start.to_string().trim_end_matches("+0000").replace('T', " "),
        endpoint(header.src_ip, header.src_port),
        endpoint(header.dest_ip, header.dest_port),
        format!("{}/{}", flow.state.name(), flow.reason),
        flow.pkts_toserver.to_string(),
        flow.pkts_toclient.to_string(),
        stream.bytes_toserver.to_string(),
        stream.bytes_toclient.to_string(),
        stream.gaps_toserver.to_string(),
        stream.gaps_toclient.to_string(),
        format!("{seconds:.3}"),
    ]
}

fn endpoint(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

fn summary(text: &mut String, records: &[Record]) {
    let sum = |value: fn(&Record) -> u64| records.iter().map(value).sum::<u64>();
    let flows = records.len();
    let packets = sum(|r| r.flow.pkts_toserver + r.flow.pkts_toclient);
    let (to_server, to_client) = (sum(|r| r.stream.bytes_toserver), sum(|r| r.stream.bytes_toclient));
    let gaps = sum(|r| r.stream.gaps_toserver + r.stream.gaps_toclient);
    let again = sum(|r| u64::from(r.stream.retransmits_toserver) + u64::from(r.stream.retransmits_toclient));
    let conflicts = sum(|r| u64::from(r.stream.conflicts));
    let noun = if flows == 1 { "flow" } else { "flows" };
    let _ = writeln!(
        text,
        "\n{flows} {noun}, {packets} packets; stream bytes: {to_server} to servers, {to_client} to clients, {gaps} missing; \
         {again} retransmissions, {conflicts} conflicts",
    );
}
