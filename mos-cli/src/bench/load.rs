//! What is done with each packet of a benchmark.

use clap::ValueEnum;

/// What is done with the packets that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Load {
    /// Connections and their states, without their bytes
    Track,
    /// The bytes of both directions, in order; none is looked at
    Stream,
    /// As stream, and every byte is read
    Touch,
    /// Every packet, without connections
    Raw,
    /// No stack: headers are decoded, nothing else
    Decode,
    /// No stack: headers are decoded, payloads are copied to a ring
    Copy,
}

impl Load {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Track, Self::Stream, Self::Touch, Self::Raw, Self::Decode, Self::Copy];

    /// Its name and what it does, in a line.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Track => "track (CONN_START, TCP_STATE_CHANGE, CONN_END at both hooks; no buffers)",
            Self::Stream => "stream (NEW_DATA both ways, all of it consumed)",
            Self::Touch => "touch (NEW_DATA both ways, all bytes added up as words of 64 bits and consumed)",
            Self::Raw => "raw (PKT_IN, no flows)",
            Self::Decode => "decode (headers read, no stack)",
            Self::Copy => "copy (headers read, payloads copied to a ring of 4 MiB, no stack)",
        }
    }

    /// Whether flows are followed.
    #[must_use]
    pub fn has_flows(self) -> bool {
        matches!(self, Self::Track | Self::Stream | Self::Touch)
    }

    /// Whether payload bytes are counted.
    #[must_use]
    pub fn has_bytes(self) -> bool {
        !matches!(self, Self::Track | Self::Raw)
    }
}
