//! Packets and bits in a second.

use std::fmt;
use std::iter::Sum;
use std::time::Duration;

/// So much in each second of CPU time; of several cores together, in each second of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Speed {
    pub(crate) packets: f64,
    bits: f64,
}

impl Speed {
    pub(crate) fn new(packets: u64, wire_bytes: u64, cpu: Duration) -> Self {
        // The clock may not have moved.
        let seconds = cpu.max(Duration::from_nanos(1)).as_secs_f64();
        Self { packets: packets as f64 / seconds, bits: wire_bytes as f64 * 8.0 / seconds }
    }
}

impl Sum for Speed {
    fn sum<I: Iterator<Item = Self>>(speeds: I) -> Self {
        speeds.fold(Self::default(), |sum, speed| Self {
            packets: sum.packets + speed.packets,
            bits: sum.bits + speed.bits,
        })
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = if self.packets > 0.0 { 1e9 / self.packets } else { 0.0 };
        write!(f, "{nanos:8.1} ns/packet {:8.3} Mpps {:8.3} Gbit/s", self.packets / 1e6, self.bits / 1e9)
    }
}
