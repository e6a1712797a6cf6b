use std::path::Path;

use clap::{Parser, ValueEnum};

use super::*;
use crate::args::{Args, Command};

/// What `mos bench` prints, one run unless told otherwise.
fn bench(line: &str) -> anyhow::Result<String> {
    let args = Args::try_parse_from("mos bench --runs 1".split(' ').chain(line.split_whitespace()))?;
    let Command::Bench(args) = args.command else { panic!("another command: {line}") };
    let mut out = Vec::new();
    run(&args, &mut out)?;
    Ok(String::from_utf8(out)?)
}

fn tiny() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/traces/tiny.pcap");
    path.display().to_string()
}

/// The number after `name` in the output.
fn number(output: &str, name: &str) -> u64 {
    let rest = output.split_once(name).unwrap_or_else(|| panic!("no {name:?} in {output}")).1;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no number after {name:?} in {output}"))
}

fn name(load: Load) -> String {
    load.to_possible_value().expect("none is hidden").get_name().to_owned()
}

/// That made-up traffic is counted right is what `run` checks; here is that it does so with each load.
#[test]
fn every_load_runs_on_every_source() {
    for load in Load::ALL.map(name) {
        for source in [tiny().as_str(), "--flows 100 --packets 1k", "--churn 100 --packets 5k"] {
            let output = bench(&format!("{source} --monitor {load}")).unwrap();
            let median = output.lines().find(|line| line.starts_with(" median: ")).expect("a median");
            let words: Vec<_> = median.split_whitespace().collect();
            assert_eq!((words[2], words[4], words[6]), ("ns/packet", "Mpps", "Gbit/s"), "{median}");
            assert!(words[3].parse::<f64>().unwrap() > 0.0, "{median}");
            assert_eq!(words.ends_with(&["ns/new", "flow"]), source.contains("--flows"), "{median}");
            assert!(output.contains(&format!("monitor {load} ")), "{output}");
        }
    }
}

#[test]
fn loads_agree_on_bytes() {
    let bytes = |source: &str, load| number(&bench(&format!("{source} --monitor {load}")).unwrap(), "bytes delivered");
    for source in [tiny().as_str(), "--churn 100 --packets 5k", "--flows 100 --packets 1k"] {
        assert_eq!(bytes(source, "stream"), bytes(source, "touch"), "{source}");
        assert_eq!(bytes(source, "decode"), bytes(source, "copy"), "{source}");
    }
    // Where nothing is sent twice, streams have what packets have.
    assert_eq!(bytes("--churn 100 --packets 5k", "stream"), bytes("--churn 100 --packets 5k", "copy"));
}

#[test]
fn live_flows_stay_and_others_go() {
    let output = bench("--flows 1k --packets 3k").unwrap();
    assert_eq!((number(&output, "\nflows "), number(&output, "alive at the end")), (1000, 1000), "{output}");
    let output = bench("--churn 100 --packets 17k").unwrap();
    assert_eq!((number(&output, "\nflows "), number(&output, "alive at the end")), (1000, 0), "{output}");
}

#[test]
fn checksums_that_are_made_up_are_right() {
    for source in ["--churn 100 --packets 5k", "--flows 100 --packets 1k"] {
        bench(&format!("{source} --monitor stream --checksum verify")).unwrap();
    }
}

#[test]
fn two_cores_share_the_flows() {
    if processors::processors(2).is_err() {
        return eprintln!("SKIPPED: there is one processor");
    }
    for (source, flows) in
        [(tiny().as_str(), None), ("--flows 1k --packets 3k", Some(1000)), ("--churn 50 --packets 17k", None)]
    {
        let (one, two) = (bench(source).unwrap(), bench(&format!("{source} --cores 2")).unwrap());
        assert!(two.contains("core 1: ") && two.contains("in turn: ") && two.contains(" of one core"), "{two}");
        let began = |output: &str| number(output, "\nflows ");
        // Each core's part is rounded up to whole flows.
        assert!((began(&one)..=began(&one) + 1).contains(&began(&two)), "{one}{two}");
        assert!(flows.is_none_or(|flows| flows == began(&two)), "{two}");
    }
}

#[test]
fn shares_are_disjoint_and_complete() {
    let shares: Vec<_> = (0..3).map(|core| Share::of(core, 3)).collect();
    let mut sizes = [0; 3];
    for number in 0..3000 {
        let takers: Vec<_> = (0..3).filter(|&core| shares[core].has(number)).collect();
        assert_eq!(takers.len(), 1, "{number}: {takers:?}");
        sizes[takers[0]] += 1;
    }
    assert!(sizes.iter().all(|size| (900..1100).contains(size)), "{sizes:?}");
}

#[test]
fn what_is_made_up_is_the_same_each_time() {
    let bytes = |seed| {
        let (mut trace, counts) = churn(50, 2000, seed);
        let mut frames = Vec::new();
        trace.each_burst(64, |burst| {
            frames.extend(burst.frames.iter().map(|meta| burst.memory[meta.range()].to_vec()));
        });
        assert_eq!((frames.len() as u64, counts.packets), (counts.packets, counts.flows * 17));
        assert!(frames.iter().all(|frame| (60..=66).contains(&frame.len())));
        frames
    };
    assert!(bytes(1) == bytes(1));
    assert!(bytes(1) != bytes(2));
}

#[test]
fn numbers_beyond_the_addresses_have_other_ports() {
    let endpoints = |number| {
        let frame = Conversation::new(number).frame(mos_core::event::Side::Client, 0, 0);
        frame[26..38].to_vec()
    };
    // The same address; the next port.
    let (one, other) = (endpoints(7), endpoints(7 + (1 << 24)));
    assert_eq!(one[..4], other[..4]);
    assert_ne!(one[8..10], other[8..10]);
}

#[test]
fn what_cannot_be_is_an_error() {
    let error = |line: &str| bench(line).unwrap_err().to_string();
    assert!(error("/nowhere.pcap").contains("/nowhere.pcap"));
    assert!(error("--churn 1 --packets 4000M").contains("MiB"), "unless there are 800 GB");
    assert!(processors::processors(1 << 20).unwrap_err().to_string().contains("--cores 1048576"));
    assert!(bench("--flows 1 --packets 1").is_ok());
    assert!(bench("--churn 1 --packets 1").is_ok());
}
