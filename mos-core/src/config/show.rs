//! A configuration as it holds: every key with its value, and where that comes from. It is a file that says the same.

use alloc::format;
use alloc::string::String;
use core::fmt;

use super::file::{MosConf, Route};
use super::keys::{Block, Fallback, KeySpec};
use super::settings::{Origin, Placed};
use super::value::Value;

/// Where comments begin, if what is before them leaves the room.
const COMMENT_COLUMN: usize = 44;

impl fmt::Display for MosConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for application in self.applications() {
            line(f, 0, "application {", &format!("line {}", application.place().line))?;
            for spec in Block::Application.keys() {
                let (value, origin) = application.value(spec.key);
                setting(f, spec, value.as_ref(), origin, None)?;
            }
            f.write_str("}\n")?;
        }
        f.write_str("mos {\n")?;
        for spec in Block::Mos.keys() {
            let (value, origin) = self.value(spec.key);
            setting(f, spec, value.as_ref(), origin, self.why_without_effect(spec.key))?;
        }
        let name = |device: usize| &self.devices()[device].name;
        table(f, Block::Netdev, self.devices(), |device| format!("{} {:#x}", device.name, device.core_mask))?;
        table(f, Block::ArpTable, self.arp_entries(), |entry| format!("{} {}", entry.net, entry.mac))?;
        table(f, Block::RouteTable, self.routes(), |&Route { net, gateway, device }| match gateway {
            Some(gateway) => format!("{net} via {gateway} {}", name(device)),
            None => format!("{net} {}", name(device)),
        })?;
        table(f, Block::NicForwardTable, self.forward_pairs(), |pair| format!("{} {}", name(pair.0), name(pair.1)))?;
        f.write_str("}\n")
    }
}

fn setting(
    f: &mut fmt::Formatter<'_>,
    spec: &KeySpec,
    value: Option<&Value>,
    origin: Origin,
    without_effect: Option<&str>,
) -> fmt::Result {
    let Some(value) = value else {
        let meaning = match spec.default {
            Fallback::Unset(meaning) | Fallback::Depends(meaning) => meaning,
            Fallback::Number(_) | Fallback::As(_) => unreachable!("{} has a value", spec.name),
        };
        return writeln!(f, "    # {} is not set: {meaning}", spec.name);
    };
    let mut comment = format!("{origin}");
    if let (Origin::Default, Fallback::As(other)) = (origin, spec.default) {
        comment = format!("{comment}: {}", other.spec().name);
    }
    if let Some(why) = without_effect {
        comment = format!("{comment}; no effect: {why}");
    }
    line(f, 4, &format!("{} = {value}", spec.name), &comment)
}

fn table<T>(
    f: &mut fmt::Formatter<'_>,
    block: Block,
    entries: &[Placed<T>],
    show: impl Fn(&T) -> String,
) -> fmt::Result {
    writeln!(f, "    {block} {{")?;
    for entry in entries {
        line(f, 8, &show(entry), &format!("line {}", entry.place.line))?;
    }
    f.write_str("    }\n")
}

/// `text` after so many blanks, with a comment behind it.
fn line(f: &mut fmt::Formatter<'_>, indent: usize, text: &str, comment: &str) -> fmt::Result {
    let width = COMMENT_COLUMN - indent;
    writeln!(f, "{:indent$}{text:width$} # {comment}", "")
}
