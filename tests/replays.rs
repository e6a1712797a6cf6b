//! Captures replayed: the events of a flow depend neither on the size of the bursts nor on the number of cores.

use std::collections::BTreeMap;

use mos_core::config::{ChecksumMode, Config};
use mos_core::reassembly::OverlapPolicy;
use mos_core::stats::Stats;
use mos_monitor::Side;

use crate::support::talk::Talk;
use crate::support::traces;
use crate::support::{Frame, Log, batch, core_with, feed, finish, read, recorder, replay};

/// The capture on two cores: every pair of addresses on one of them, all of them with the same time at the end.
fn on_two_cores(config: &Config, capture: &[Frame], burst: usize) -> (Log, Stats) {
    let mut shares = [Vec::new(), Vec::new()];
    for frame in capture {
        let core = frame.pair().map_or(0, |pair| {
            let text = format!("{pair:?}");
            usize::from(text.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) >> 3 & 1)
        });
        shares[core].push(frame.clone());
    }
    let last = capture.iter().map(|frame| frame.time).max().unwrap_or_default();
    let (mut log, mut stats) = (Log::default(), Stats::default());
    for share in shares {
        let (mut core, socket) = core_with(config.clone(), recorder());
        feed(&mut core, &mut batch(&share), burst);
        core.advance(last);
        finish(&mut core);
        let one = core.state::<Log>(socket).unwrap();
        log.flows.extend(one.flows.iter().cloned());
        for (pair, count) in &one.orphans {
            *log.orphans.entry(*pair).or_default() += count;
        }
        stats.add(core.stats());
    }
    (log, stats)
}

fn same(name: &str, a: (&Log, &Stats), b: (&Log, &Stats)) {
    let (flows, others) = (a.0.by_endpoints(), b.0.by_endpoints());
    assert!(flows.keys().eq(others.keys()), "{name}: other flows");
    for (endpoints, flows) in &flows {
        for (flow, other) in flows.iter().zip(&others[endpoints]) {
            let differs = flow.entries.iter().zip(&other.entries).position(|(a, b)| a != b);
            let at = differs.unwrap_or(flow.entries.len().min(other.entries.len()));
            let (these, those) = (flow.entries.get(at..), other.entries.get(at..));
            assert_eq!(
                (differs, flow.entries.len(), flow.end),
                (None, other.entries.len(), other.end),
                "{name}: {endpoints:?}, from event {at}: {:?} against {:?}",
                these.map(|entries| &entries[..entries.len().min(4)]),
                those.map(|entries| &entries[..entries.len().min(4)]),
            );
            assert!(flow.streams == other.streams, "{name}: {endpoints:?}: other bytes");
        }
        assert_eq!(flows.len(), others[endpoints].len(), "{name}: {endpoints:?}: number of flows");
    }
    assert_eq!(a.0.orphans, b.0.orphans, "{name}: orphans");
    let counters = |stats: &Stats| stats.entries().map(|(a, b, value)| ((a, b), value)).collect::<BTreeMap<_, _>>();
    assert_eq!(counters(a.1), counters(b.1), "{name}: counters");
}

#[test]
fn captures_give_the_same_events_in_any_bursts_on_any_cores() {
    let Some(folder) = traces() else { return };
    let mut files = vec![folder.join("real/tiny.pcap")];
    for part in ["edge", "public"] {
        let entries = std::fs::read_dir(folder.join(part)).into_iter().flatten().flatten();
        let captures = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng"));
        let mut captures: Vec<_> = captures.collect();
        captures.sort();
        files.extend(captures);
    }
    let mut failures = Vec::new();
    for path in files {
        let mut capture = read(&path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for midstream in [false, true] {
            let config = Config { midstream, checksum: ChecksumMode::Auto, ..Config::default() };
            let outcome = std::panic::catch_unwind(|| {
                let one = replay(&config, recorder(), &capture, 1);
                for burst in [7, 64] {
                    let other = replay(&config, recorder(), &capture, burst);
                    same(&format!("{name}, bursts of {burst}"), (&one.log, &one.stats), (&other.log, &other.stats));
                }
            });
            if outcome.is_err() {
                failures.push(name.clone());
            }
        }
        // A core knows only the time of its own packets: they are told apart by times that do not run backwards.
        let mut latest = mos_core::time::Timestamp::ZERO;
        for frame in &mut capture {
            latest = latest.max(frame.time);
            frame.time = latest;
        }
        let config = Config { checksum: ChecksumMode::Auto, ..Config::default() };
        let outcome = std::panic::catch_unwind(|| {
            let one = replay(&config, recorder(), &capture, 64);
            for burst in [1, 64] {
                let (log, stats) = on_two_cores(&config, &capture, burst);
                same(&format!("{name}, two cores"), (&one.log, &one.stats), (&log, &stats));
            }
        });
        if outcome.is_err() {
            failures.push(format!("{name} on two cores"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The policy is known to matter here: the same capture under both.
#[test]
fn d22_policies_differ_only_where_copies_differ() {
    let mut talk = Talk::new(3);
    let mut capture = Vec::from(talk.handshake());
    capture.push(talk.ahead(Side::Client, 4, b"first"));
    capture.push(talk.ahead(Side::Client, 2, b"..last.."));
    capture.push(talk.data(Side::Client, b"ab"));
    let text = |overlap| {
        let replay = replay(&Config { overlap, ..Config::default() }, recorder(), &capture, 1);
        String::from_utf8(replay.log.flows[0].streams[1].bytes.clone()).unwrap()
    };
    assert_eq!(text(OverlapPolicy::First), "ab..first.");
    assert_eq!(text(OverlapPolicy::Last), "ab..last..");
}
