//! What bursts are given to while they are measured: a stack with its monitor, or a floor.

use mos_core::config::Config;
use mos_core::packet::Burst;
use mos_monitor::{Core, Descriptor};

use super::floor::{Copier, Decoder};
use super::monitors::{self, Count};
use super::{Counts, Load};

/// Does with bursts what its load says.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    packets: u64,
}

#[derive(Debug)]
enum Kind {
    Stack(Box<Core>, Descriptor),
    Decode(Box<Decoder>),
    Copy(Box<Copier>),
}

impl Engine {
    /// An engine that has seen nothing. `config` is for stacks.
    ///
    /// # Panics
    ///
    /// Never: a new core has room for a monitor.
    #[must_use]
    pub fn new(load: Load, config: Config) -> Self {
        let mut core = match load {
            Load::Decode => return Self { kind: Kind::Decode(Box::new(Decoder::new())), packets: 0 },
            Load::Copy => return Self { kind: Kind::Copy(Box::new(Copier::new())), packets: 0 },
            _ => Box::new(Core::new(config)),
        };
        let socket = match load {
            Load::Stream => core.open(monitors::stream()),
            Load::Touch => core.open(monitors::touch()),
            Load::Raw => core.open_raw(monitors::raw()),
            _ => core.open(monitors::track()),
        };
        Self { kind: Kind::Stack(core, socket.expect("a new core has room for a monitor")), packets: 0 }
    }

    /// Takes a burst of at most [`MAX_BURST`](mos_core::packet::MAX_BURST) frames.
    ///
    /// A function of its own by this name in every build: instructions are counted from its beginning to its end.
    #[inline(never)]
    pub fn take_burst(&mut self, burst: &mut Burst<'_>) {
        self.packets += burst.frames.len() as u64;
        match &mut self.kind {
            Kind::Stack(core, _) => _ = core.process(burst),
            Kind::Decode(decoder) => decoder.process(burst),
            Kind::Copy(copier) => copier.process(burst),
        }
    }

    /// Ends all flows.
    pub fn finish(&mut self) {
        if let Kind::Stack(core, _) = &mut self.kind {
            core.shutdown();
        }
    }

    /// Flows that are alive.
    #[must_use]
    pub fn live_flows(&self) -> usize {
        match &self.kind {
            Kind::Stack(core, _) => core.stack().live_flows(),
            Kind::Decode(_) | Kind::Copy(_) => 0,
        }
    }

    /// What it has seen.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let none = Counts { packets: self.packets, ..Counts::default() };
        match &self.kind {
            Kind::Stack(core, socket) => {
                let stats = core.stats();
                Counts {
                    packets: stats.packets,
                    flows: stats.flows,
                    flow_packets: stats.flow_packets,
                    bytes: core.state::<Count>(*socket).map_or(0, |count| count.bytes),
                    errors: stats.errors.iter().sum(),
                }
            }
            Kind::Decode(decoder) => Counts { bytes: decoder.bytes, ..none },
            Kind::Copy(copier) => Counts { bytes: copier.bytes(), ..none },
        }
    }
}
