//! mos.conf: every file of `configs/` has its exact messages, or, in `configs/valid/`, what `mos check` prints; those of the
//! folder `config/` are right, and the manual has every key.
//!
//! `MOS_BLESS=1 cargo test` writes the expectations, and the manual's tables, anew: then read the difference.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use mos_core::config::keys::{Effect, Fallback};
use mos_core::config::{Block, Diagnostics, Machine, MosConf, text};

use crate::support::{read, reader, replay};

/// The project's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn is_blessing() -> bool {
    std::env::var_os("MOS_BLESS").is_some()
}

/// The configuration files of a folder, by name.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "conf")).collect();
    files.sort();
    files
}

/// Reads a file as if on the machine that its comments describe: `# cpus: 2`, `# interfaces: lo eth0`.
fn parse(path: &Path) -> Result<MosConf, Diagnostics> {
    let text = fs::read_to_string(path).unwrap();
    let said = |what: &str| text.lines().find_map(|line| line.strip_prefix(what));
    let interfaces: Option<Vec<_>> = said("# interfaces: ").map(|names| names.split(' ').collect());
    let cpus = said("# cpus: ").map(|cpus| cpus.parse().unwrap());
    let name = path.file_name().unwrap().to_str().unwrap();
    MosConf::parse(name, &text, Machine { cpus, interfaces: interfaces.as_deref() })
}

/// Compares what came out of a file with what stands beside it.
fn compare(path: &Path, outcome: &str, failed: &mut Vec<String>) {
    let beside = path.with_extension("txt");
    if is_blessing() {
        fs::write(&beside, outcome).unwrap();
    }
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    if expected != outcome {
        failed.push(format!("{}:\n{outcome}instead of\n{expected}", path.display()));
    }
}

#[test]
fn every_broken_file_has_its_exact_messages() {
    let files = files("tests/configs");
    assert!(files.len() >= 40, "only {} files", files.len());
    let mut failed = Vec::new();
    for path in files {
        let outcome = match parse(&path) {
            Ok(conf) => format!("nothing is wrong with it:\n{conf}"),
            Err(faults) => format!("{faults}\n"),
        };
        compare(&path, &outcome, &mut failed);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn right_files_are_shown_as_they_hold() {
    let mut failed = Vec::new();
    for path in files("tests/configs/valid") {
        let conf = parse(&path).unwrap_or_else(|faults| panic!("{faults}"));
        compare(&path, &conf.to_string(), &mut failed);
        let again = MosConf::parse("shown", &conf.to_string(), Machine::default());
        assert_eq!(again.unwrap_or_else(|faults| panic!("{faults}")), conf, "{}", path.display());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn bundled_files_are_right() {
    let files = files("config");
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        parse(&path).unwrap_or_else(|faults| panic!("{faults}"));
    }
}

#[test]
fn without_ring_buffers_data_in_order_is_read_all_the_same() {
    let capture = read(&root().join("tests/traces/basic.pcap"));
    let [with, without] = ["", "no_ring_buffers = 1"].map(|line| {
        let text = format!("mos {{\n{line}\nnetdev {{\npcap:basic.pcap 1\n}}\n}}");
        let conf = MosConf::parse("test", &text, Machine::default()).unwrap();
        replay(&conf.stack_config(0), reader(), &capture, 7).log
    });
    assert!(with.flows.iter().any(|flow| !flow.streams[0].bytes.is_empty()), "the capture has data");
    assert!(with.by_endpoints() == without.by_endpoints(), "{}", with.difference(&without));
}

#[test]
fn no_line_can_be_cut_off_unnoticed() {
    // Whatever a file loses at its end, it is still read or refused, never half of it.
    for path in files("tests/configs/valid") {
        let text = fs::read_to_string(&path).unwrap();
        let whole = parse(&path).unwrap();
        for (end, _) in text.char_indices() {
            if let Ok(conf) = MosConf::parse("cut", &text[..end], Machine::default()) {
                let rest = text[end..].lines().map(|line| text::without_comment(line).trim());
                assert!(conf == whole || rest.clone().any(|line| line.contains('{')), "{}: {end}", path.display());
            }
        }
    }
}

/// The manual's table of a block's keys.
fn table_of_keys(block: Block) -> String {
    let mut table = "| key | allowed | without it | meaning |\n|---|---|---|---|\n".to_owned();
    for spec in block.keys() {
        let names: Vec<_> = spec.names().map(|name| format!("`{name}`")).collect();
        let star = if spec.is_ours { " *" } else { "" };
        let default = match spec.default {
            _ if spec.required => "an error".to_owned(),
            Fallback::Number(number) if number == u64::MAX.into() => "all cores".to_owned(),
            Fallback::Number(number) => number.to_string(),
            Fallback::As(other) => format!("`{}`", other.spec().name),
            Fallback::Unset(meaning) | Fallback::Depends(meaning) => meaning.to_owned(),
        };
        let effect = match spec.effect {
            Effect::Full => String::new(),
            Effect::None(why) => format!(" No effect: {why}."),
            Effect::Dpdk => " Only for devices of DPDK.".to_owned(),
        };
        writeln!(table, "| {}{star} | {} | {default} | {}{effect} |", names.join(", "), spec.kind, spec.meaning)
            .unwrap();
    }
    table
}

/// The manual's table of blocks.
fn table_of_blocks() -> String {
    let mut table =
        "| block | inside | must be there | its lines | for example | meaning |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for block in Block::ALL {
        let spec = block.spec();
        let inside = spec.parent.map_or(String::new(), |parent| format!("`{parent}`"));
        let required = if spec.required { "yes" } else { "" };
        let columns =
            [&format!("`{block}`"), &inside, required, spec.lines, &format!("`{}`", spec.example), spec.meaning];
        writeln!(table, "| {} |", columns.join(" | ")).unwrap();
    }
    table
}

#[test]
fn the_manual_has_every_block_and_key() {
    let path = root().join("docs/mos-conf.md");
    let manual = fs::read_to_string(&path).unwrap();
    let mut expected = manual.clone();
    for (name, table) in [
        ("blocks", table_of_blocks()),
        ("application", table_of_keys(Block::Application)),
        ("mos", table_of_keys(Block::Mos)),
    ] {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let (before, rest) = expected.split_once(&begin).unwrap_or_else(|| panic!("the manual has no {begin}"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("the manual has no {end}"));
        expected = format!("{before}{begin}{table}{end}{after}");
    }
    if is_blessing() {
        fs::write(&path, &expected).unwrap();
    } else {
        assert_eq!(manual, expected);
    }
}
