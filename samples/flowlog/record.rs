//! The record of a flow, field by field as it is written.

use std::fmt::Write;

use serde::Serialize;

use crate::eve::{Header, Time};

/// One flow. "To the server" means: sent by the client.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When the flow ended, and which it was.
    #[serde(flatten)]
    pub header: Header,
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
    fn digits_are_lower_case() {
        assert_eq!(hex(&[0, 0xab, 7]), "00ab07");
    }
}
