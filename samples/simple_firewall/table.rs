//! Rules and counters for people, in the columns of the mOS sample.

use std::fmt::Write;

use super::Count;
use super::rules::{Ports, Rules, Target};

/// The sample's width of an address; longer ones widen the column.
const ADDRESS_WIDTH: usize = 19;

/// The width of the sample's dashed lines, without the ports.
const WIDTH_WITHOUT_ADDRESSES: usize = 33;

/// The table between dashed lines. `counts` are those of the rules, in their order.
pub(super) fn render(rules: &Rules, counts: &[Count]) -> String {
    let addresses: Vec<_> =
        rules.list().iter().map(|rule| [rule.source.to_string(), rule.destination.to_string()]).collect();
    let longest = addresses.iter().flatten().map(String::len).max().unwrap_or(0);
    let width = ADDRESS_WIDTH.max(longest + 1);
    let dashes = "-".repeat(WIDTH_WITHOUT_ADDRESSES + 2 * width);
    let mut text = format!("{dashes}\nFirewall rule table\n");
    // Writing to a string does not fail.
    let _ = writeln!(text, "{:<6}{:<8}{:<9}{:<width$}{:<width$}port", "idx", "flows", "target", "client", "server");
    for (place, ((rule, count), [client, server])) in rules.list().iter().zip(counts).zip(&addresses).enumerate() {
        let ports: Vec<_> = [("sport", rule.source_port), ("dport", rule.destination_port)]
            .into_iter()
            .filter(|(_, ports)| *ports != Ports::ANY)
            .map(|(name, ports)| format!("{name}:{ports}"))
            .collect();
        let line = format!(
            "{:<6}{:<8}{:<9}{client:<width$}{server:<width$}{}",
            place + 1,
            count.flows,
            rule.target.name(),
            ports.join(" ")
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&dashes);
    text.push('\n');
    text
}

/// What it came to, in one line.
pub(super) fn summary(rules: &Rules, counts: &[Count]) -> String {
    let places = (0..rules.list().len()).map(Some).chain([None]);
    let mut sums = [Count::default(); 2];
    for (place, count) in places.zip(counts) {
        let sum = &mut sums[usize::from(rules.target(place) == Target::Drop)];
        sum.flows += count.flows;
        sum.packets += count.packets;
    }
    let [accepted, dropped] = sums;
    let default = counts.last().copied().unwrap_or_default();
    format!(
        "accepted: {} flows; dropped: {} flows, {} SYNs; of these by default ({}): {} flows\n",
        accepted.flows,
        dropped.flows,
        dropped.packets,
        rules.default_target().name(),
        default.flows,
    )
}
