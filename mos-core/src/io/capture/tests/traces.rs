//! The captures of the development machine: every one is read to its end, and has the frames that are known to be in
//! it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// The folder of captures: `MOS_TRACES`, or `shared/traces` beside a folder that this crate is in.
fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("MOS_TRACES") {
        return Some(folder.into());
    }
    let ancestors = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    ancestors.map(|folder| folder.join("shared/traces")).find(|folder| folder.is_dir())
}

/// The number that stands before (or behind) `mark` in a line about packets.
fn number_at(text: &str) -> Option<u64> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// How many frames each file has, as the folders' own lists say.
fn known_counts(folder: &Path) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    for line in fs::read_to_string(folder.join("edge/truth.txt")).unwrap_or_default().lines() {
        if let Some((name, rest)) = line.split_once(": pkts=") {
            counts.extend(number_at(rest).map(|count| (format!("{name}.pcap"), count)));
        }
    }
    for line in fs::read_to_string(folder.join("public/INDEX.md")).unwrap_or_default().lines() {
        let name = line.split('`').nth(1);
        let count = line.split(" pkts/").next().and_then(|text| text.rsplit(' ').next()).and_then(number_at);
        counts.extend(name.map(str::to_owned).zip(count));
    }
    counts
}

#[test]
fn every_capture_is_read() {
    let Some(folder) = folder() else {
        eprintln!("SKIPPED: no captures; set MOS_TRACES to their folder");
        return;
    };
    let counts = known_counts(&folder);
    let (mut files, mut checked) = (0, 0);
    for path in ["real", "edge", "public"].iter().flat_map(|part| fs::read_dir(folder.join(part))).flatten() {
        let path = path.unwrap().path();
        if !path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng") {
            continue;
        }
        let mut reader = CaptureReader::open(&path, 0).unwrap();
        let (got, error) = drain_by(&mut reader, 64);
        assert!(error.is_none(), "{}", error.unwrap());
        assert_eq!(reader.position(), fs::metadata(&path).unwrap().len());
        let skipped: u64 = reader.unsupported().iter().map(|(_, frames)| frames).sum();
        let frames = got.len() as u64 + skipped;
        assert!(frames > 0, "{}", path.display());
        if let Some(count) = counts.get(path.file_name().unwrap().to_str().unwrap()) {
            assert_eq!(frames, *count, "{}", path.display());
            checked += 1;
        }
        files += 1;
    }
    eprintln!("{files} captures read in {}, {checked} with a known number of frames", folder.display());
    assert!(files > 0, "no captures in {}", folder.display());
}
