//! The record of a flow, field by field as it is written.

use std::fmt::{self, Write};
use std::net::IpAddr;

use mos_core::time::Timestamp;
use serde::{Serialize, Serializer};

/// One flow. "To the server" means: sent by the client.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When the flow ended.
    pub timestamp: Time,
    /// A number that no other flow of the run has.
    pub flow_id: u64,
    /// Always `flow`.
    pub event_type: &'static str,
    /// The client.
    pub src_ip: IpAddr,
    /// The client's port.
    pub src_port: u16,
    /// The server.
    pub dest_ip: IpAddr,
    /// The server's port.
    pub dest_port: u16,
    /// Always `TCP`.
    pub proto: &'static str,
    /// Its packets and its life.
    pub flow: FlowPart,
    /// Its endpoints.
    pub tcp: TcpPart,
    /// Its bytes.
    pub stream: StreamPart,
}

/// The packets of a flow, and its life. A datagram that came in fragments counts as one packet, with its IP length.
#[derive(Clone, Debug, Serialize)]
pub struct FlowPart {
    /// Packets that the client sent.
    pub pkts_toserver: u64,
    /// Packets that the server sent.
    pub pkts_toclient: u64,
    /// Bytes of these packets on the wire.
    pub bytes_toserver: u64,
    /// Bytes of these packets on the wire.
    pub bytes_toclient: u64,
    /// The first packet.
    pub start: Time,
    /// The last packet.
    pub end: Time,
    /// Whole seconds from the first to the last.
    pub age: u64,
    /// How far it came.
    pub state: FlowState,
    /// The name of the reason for which it ended.
    pub reason: &'static str,
}

/// How far a flow came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowState {
    /// The handshake was not completed.
    New,
    /// It was open, and was not seen closing to the end.
    Established,
    /// It was closed in order, or reset.
    Closed,
}

impl FlowState {
    /// Its name, as in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Closed => "closed",
        }
    }
}

/// The endpoints of a flow.
#[derive(Clone, Debug, Serialize)]
pub struct TcpPart {
    /// The state in which the client's last packets left it.
    pub state_client: &'static str,
    /// The same for the server.
    pub state_server: &'static str,
    /// Any packet had this flag.
    pub syn: bool,
    /// Any packet had this flag.
    pub fin: bool,
    /// Any packet had this flag.
    pub rst: bool,
}

/// The streams of a flow.
#[derive(Clone, Debug, Serialize)]
pub struct StreamPart {
    /// Bytes that were delivered, without gaps.
    pub bytes_toserver: u64,
    /// Bytes that were delivered, without gaps.
    pub bytes_toclient: u64,
    /// Over the delivered bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256_toserver: Option<String>,
    /// Over the delivered bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256_toclient: Option<String>,
    /// Bytes that were never seen.
    pub gaps_toserver: u64,
    /// Bytes that were never seen.
    pub gaps_toclient: u64,
    /// Segments that brought something again.
    pub retransmits_toserver: u32,
    /// Segments that brought something again.
    pub retransmits_toclient: u32,
    /// Bytes that came again and were not the same, times that it happened, both ways together.
    pub conflicts: u32,
}

impl Record {
    /// The record as a line of JSON.
    pub(super) fn to_line(&self) -> Vec<u8> {
        let mut line =
            serde_json::to_vec(self).expect("a record has only strings for keys, and numbers that are finite");
        line.push(b'\n');
        line
    }
}

/// A point in time, written as Suricata does: RFC 3339 with microseconds, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_nanosecond(i128::from(self.0.as_nanos())).map_err(|_| fmt::Error)?;
        write!(f, "{}", time.strftime("%Y-%m-%dT%H:%M:%S.%6f%z"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_as_suricata_does() {
        let time = Time(Timestamp::from_nanos(1_767_323_045_678_901_999));
        assert_eq!(time.to_string(), "2026-01-02T03:04:05.678901+0000");
        assert_eq!(Time(Timestamp::ZERO).to_string(), "1970-01-01T00:00:00.000000+0000");
        assert_eq!(&Time(Timestamp::from_nanos(u64::MAX)).to_string()[..4], "2554");
    }

    #[test]
    fn digits_are_lower_case() {
        assert_eq!(hex(&[0, 0xab, 7]), "00ab07");
    }
}
