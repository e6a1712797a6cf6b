//! What is counted, at one moment.

use std::fmt::Write;

use mos_core::io::{LinkState, PortCounters};
use mos_core::net::NetStats;
use mos_core::runtime::live::LiveCore;
use mos_core::stats::Stats;
use serde_json::{Map, Value, json};

use super::cores::Watch;
use super::worker::CoreWorker;

/// The counters of one core.
#[derive(Clone, Debug)]
pub(crate) struct CoreCounters {
    /// The processor's number.
    pub(crate) cpu: u32,
    pub(crate) stats: Stats,
    pub(crate) net: NetStats,
    pub(crate) live_flows: usize,
    pub(crate) reassembly_bytes: usize,
    pub(crate) panics: u64,
    /// By number, with names.
    pub(crate) ports: Vec<(String, PortCounters)>,
}

impl CoreCounters {
    /// Asks a core. `None` if it has stopped.
    pub(crate) fn ask(watch: &Watch) -> Option<Self> {
        let cpu = watch.cpu;
        watch.handle.ask(move |core| Self::of(cpu, core)).ok()
    }

    fn of(cpu: u32, core: &mut LiveCore<CoreWorker>) -> Self {
        let net = core.forwarder().stats().clone();
        let ports = core.ports().map(|port| (port.info().name.clone(), port.counters())).collect();
        let core = &core.worker().core;
        Self {
            cpu,
            stats: core.stats().clone(),
            net,
            live_flows: core.stack().live_flows(),
            reassembly_bytes: core.stack().reassembly_bytes(),
            panics: core.panics(),
            ports,
        }
    }

    /// Every counter with its name: group, name, value. Gauges first.
    pub(crate) fn entries(&self) -> Vec<(&'static str, &'static str, u64)> {
        let gauges = [
            ("", "live_flows", self.live_flows as u64),
            ("", "reassembly_bytes", self.reassembly_bytes as u64),
            ("", "panics", self.panics),
        ];
        let net = self.net.entries().map(|(group, name, count)| match group {
            "" => ("net", name, count),
            _ => ("net_drop", name, count),
        });
        gauges.into_iter().chain(self.stats.entries()).chain(net).collect()
    }
}

/// The counters of a port by their names.
pub(crate) fn port_entries(port: &PortCounters) -> [(&'static str, u64); 14] {
    let drops = port.transmit_drops;
    [
        ("received", port.received),
        ("received_bytes", port.received_bytes),
        ("kernel_drops", port.kernel_drops),
        ("cut", port.cut),
        ("unsupported", port.unsupported),
        ("transmitted", port.transmitted),
        ("transmitted_bytes", port.transmitted_bytes),
        ("drop_down", drops.down),
        ("drop_too_long", drops.too_long),
        ("drop_no_room", drops.no_room),
        ("drop_unsupported", drops.unsupported),
        ("drop_refused", drops.refused),
        ("reopened", port.reopened),
        ("up", u64::from(port.link == LinkState::Up)),
    ]
}

fn full_name(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{group}.{name}") }
}

/// All of it as JSON.
pub(crate) fn to_json(cores: &[CoreCounters]) -> Value {
    let core = |core: &CoreCounters| {
        let counters: Map<String, Value> =
            core.entries().into_iter().map(|(group, name, count)| (full_name(group, name), count.into())).collect();
        let ports: Map<String, Value> = core
            .ports
            .iter()
            .map(|(name, port)| {
                let entries = port_entries(port).map(|(name, count)| (name.to_owned(), Value::from(count)));
                (name.clone(), Value::Object(entries.into_iter().collect()))
            })
            .collect();
        json!({ "core": core.cpu, "counters": counters, "devices": ports })
    };
    json!({ "cores": cores.iter().map(core).collect::<Vec<_>>() })
}

/// What is in such JSON for people: a line for each core and device, then what is not zero.
pub(crate) fn to_text(all: &Value) -> String {
    let mut text = String::new();
    for core in all["cores"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "core {}", core["core"]);
        for (name, device) in core["devices"].as_object().into_iter().flatten() {
            let _ = writeln!(text, "  {name}: {}", non_zero(device));
        }
        let _ = writeln!(text, "  {}", non_zero(&core["counters"]));
    }
    text
}

fn non_zero(counters: &Value) -> String {
    let counters = counters.as_object().into_iter().flatten();
    let words: Vec<String> = counters
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    words.join(", ")
}
