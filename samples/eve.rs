//! What all records in Suricata's EVE layout have in common: the header, the flow's number, how times are written, and the
//! line that a record becomes.

mod alert;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use mos_core::time::Timestamp;
use mos_monitor::{Conn, Side};
use serde::{Serialize, Serializer};

pub use alert::{Alert, AlertRecord, Direction, Outcome};

/// The first fields of a record.
#[derive(Clone, Debug, Serialize)]
pub struct Header {
    /// When it happened.
    pub timestamp: Time,
    /// A number for the flow, the same in the records of all monitors; see [`flow_id`].
    pub flow_id: u64,
    /// What kind of record it is.
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
}

impl Header {
    /// The header of something that happened at `time` in the flow at hand.
    #[must_use]
    pub fn new<At>(event_type: &'static str, time: Timestamp, conn: &Conn<'_, '_, At>) -> Self {
        let [client, server] = Side::BOTH.map(|side| conn.endpoint(side));
        Self {
            timestamp: Time(time),
            flow_id: flow_id([client, server], conn.created()),
            event_type,
            src_ip: client.ip(),
            src_port: client.port(),
            dest_ip: server.ip(),
            dest_port: server.port(),
            proto: "TCP",
        }
    }

    /// The header as seen from the other side: what the flow's server sent is what made it happen.
    #[must_use]
    pub fn reversed(self) -> Self {
        let Self { src_ip, src_port, dest_ip, dest_port, .. } = self;
        Self { src_ip: dest_ip, src_port: dest_port, dest_ip: src_ip, dest_port: src_port, ..self }
    }
}

/// The number of the flow between `endpoints`, client first, that began at `created`. It depends on nothing else: monitors,
/// cores and runs agree on it. It has 53 bits, which every reader of JSON can hold. Two flows with the same one are
/// unlikely, and nothing here minds.
#[must_use]
pub fn flow_id(endpoints: [SocketAddr; 2], created: Timestamp) -> u64 {
    // FNV-1a, then the last step of MurmurHash3, because the lower bits of the former are poor.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for endpoint in endpoints {
        match endpoint.ip() {
            IpAddr::V4(address) => add(&address.octets()),
            IpAddr::V6(address) => add(&address.octets()),
        }
        add(&endpoint.port().to_be_bytes());
    }
    add(&created.as_nanos().to_be_bytes());
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash ^ hash >> 33) >> 11
}

/// A record as a line of JSON.
#[must_use]
pub fn line(record: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("a record has only strings for keys, and numbers that are finite");
    line.push(b'\n');
    line
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
    fn flows_have_numbers_of_their_own() {
        let [a, b]: [SocketAddr; 2] = ["10.0.0.1:1000", "10.0.0.2:80"].map(|text| text.parse().unwrap());
        let [now, later] = [1, 2].map(Timestamp::from_nanos);
        let numbers =
            [([a, b], now), ([b, a], now), ([a, b], later), ([a, a], now)].map(|(ends, at)| flow_id(ends, at));
        for (place, number) in numbers.iter().enumerate() {
            assert!(*number < 1 << 53);
            assert!(!numbers[..place].contains(number));
        }
        assert_eq!(flow_id([a, b], now), numbers[0]);
    }
}
