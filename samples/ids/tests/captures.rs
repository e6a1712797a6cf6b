//! Real traffic that was reordered, lost and sent again: what stands in the streams is found where it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use mos_monitor::{Chunk, Monitor, Side};
use sha2::{Digest, Sha256};

use super::facts;
use crate::eve;
use crate::ids::{Ids, Mode, Rules};
use crate::testing::{self, Paper};

/// The bytes that each side of each flow was sent, by the number of the flow.
type Streams = BTreeMap<(u64, Side), Vec<u8>>;

/// The contents looked for in each stream.
const PLACES: usize = 3;
const LEN: usize = 48;

fn streams(path: &Path) -> Streams {
    let reader = Monitor::<Streams, ()>::new("reader", Streams::new()).on_new_data(|cx| {
        let side = cx.conn.side();
        let flow = eve::flow_id(Side::BOTH.map(|side| cx.conn.endpoint(side)), cx.conn.created());
        cx.for_each_chunk(|streams, (), chunk| match chunk {
            Chunk::Data(data) => streams.entry((flow, side)).or_default().extend_from_slice(data),
            Chunk::Missing(_) => panic!("nothing is missing in this capture"),
        });
    });
    let mut core = testing::core();
    let socket = core.open(reader).unwrap();
    testing::replay(&mut core, path, 64);
    assert_eq!(core.panics(), 0);
    core.state::<Streams>(socket).unwrap().clone()
}

/// Rules for the places of all streams, each for one place only, and what they are to find.
fn rules(streams: &Streams) -> (String, BTreeSet<(String, u64, u64)>) {
    let (mut rules, mut expected) = (String::new(), BTreeSet::new());
    for ((flow, side), bytes) in streams.iter().filter(|(_, bytes)| bytes.len() > LEN) {
        for place in 0..PLACES {
            // Segments have up to 1,460 bytes: most places lie somewhere across two.
            let at = (bytes.len() - LEN) * place / (PLACES - 1) / 1460 * 1460;
            let offset = if place == 0 { 0 } else { at.saturating_sub(LEN / 2) };
            let content: String = bytes[offset..offset + LEN].iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").unwrap();
                text
            });
            let sid = expected.len() as u64 + 1;
            let direction = if *side == Side::Server { "to_server" } else { "to_client" };
            // Other streams may have the same there: their alerts are not looked at.
            writeln!(
                rules,
                "alert tcp any any -> any any (flow:{direction}; content:\"|{content}|\"; offset:{offset}; depth:{LEN}; sid:{sid};)"
            )
            .unwrap();
            expected.insert((format!("\"{direction}\""), *flow, sid));
        }
    }
    (rules, expected)
}

#[test]
fn every_place_of_every_stream_is_found() {
    let captures = testing::traces();
    let mut judged = 0;
    for name in ["tiny", "bulk_reorder"] {
        let Some(path) = captures.iter().find(|path| path.ends_with(format!("real/{name}.pcap"))) else { continue };
        let streams = streams(path);
        let truth = std::fs::read_to_string(path.with_extension("truth.jsonl")).unwrap();
        for bytes in streams.values() {
            let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            judged += usize::from(truth.contains(&digest));
        }
        let (rules, expected) = rules(&streams);
        let bytes =
            |side| streams.iter().filter(|((_, to), _)| *to == side).map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        for (mode, burst) in [(Mode::Watch, 64), (Mode::Watch, 1), (Mode::Inline, 64), (Mode::Inline, 7)] {
            let paper = Paper::default();
            let ids = Ids::new(Rules::parse("f", &rules).unwrap(), paper.output()).unwrap().mode(mode);
            let mut core = testing::core();
            core.open(ids.monitor()).unwrap();
            testing::replay(&mut core, path, burst);
            assert_eq!(core.panics(), 0);
            let found = facts(&paper.text());
            let missed: Vec<_> = expected.difference(&found).collect();
            assert!(missed.is_empty(), "{name}, {mode:?}, bursts of {burst}: {missed:?}");
            assert_eq!(ids.scanned(), Side::BOTH.map(bytes), "{name}, {mode:?}, bursts of {burst}");
        }
    }
    assert!(judged > 30 || captures.is_empty(), "{judged} streams are as their hosts sent them");
}
