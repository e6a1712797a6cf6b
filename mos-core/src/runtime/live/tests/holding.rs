//! Cores that wait, that are stopped from anywhere, and that read several captures as one.

use std::path::PathBuf;
use std::time::Duration;

use super::made_up::{Link, Notes, frame};
use super::{Clock, Forwarder, LiveCore, NetConfig, bursts, core};
use crate::config::{Machine, MosConf};
use crate::io::CaptureWriter;
use crate::io::fanout::FlowHash;
use crate::packet::LinkType;
use crate::runtime::live::Devices;
use crate::time::Timestamp;

const FOR_EVER: Duration = Duration::from_secs(1 << 20);

#[test]
fn a_held_core_answers_and_receives_when_it_is_released() {
    let a = Link::new(bursts(1, 3));
    let (mut core, handle) = core(&[&a], &[(0, 0)], Clock::Frames);
    core.hold(FOR_EVER);
    let thread = std::thread::spawn(move || core.run().0.frames);
    for _ in 0..10 {
        assert_eq!(handle.ask(|core| core.worker().frames).unwrap(), 0);
    }
    handle.tell(LiveCore::release).unwrap();
    assert_eq!(thread.join().unwrap(), 6);
}

#[test]
fn a_held_core_begins_by_itself_when_nobody_asks_for_anything() {
    let a = Link::new(bursts(1, 3));
    let (mut core, _handle) = core(&[&a], &[(0, 0)], Clock::Frames);
    core.hold(Duration::from_millis(1));
    assert_eq!(core.run().0.frames, 6);
}

#[test]
fn a_core_is_stopped_without_a_request() {
    let a = Link::new([]).lasting();
    let (one, handle) = core(&[&a], &[(0, 0)], Clock::System);
    let stopper = handle.stopper();
    let thread = std::thread::spawn(move || one.run().0.ends);
    stopper.stop();
    assert_eq!(thread.join().unwrap(), 1);
    // Nobody is there to be stopped.
    stopper.stop();

    // One that is held, too: what it had not begun to receive stays where it is.
    let a = Link::new(bursts(1, 3));
    let (mut one, handle) = core(&[&a], &[(0, 0)], Clock::Frames);
    one.hold(FOR_EVER);
    handle.stopper().stop();
    let (notes, outcome) = one.run();
    outcome.unwrap();
    assert_eq!((notes.frames, notes.ends), (0, 1));
}

#[test]
fn without_ports_the_clock_goes_on_unless_frames_are_the_clock() {
    let (one, _handle) = core(&[], &[], Clock::Frames);
    one.run().1.unwrap();
    let (one, handle) = core(&[], &[], Clock::System);
    let thread = std::thread::spawn(move || one.run().0.ends);
    assert_eq!(handle.ask(|core| core.worker().ends).unwrap(), 0);
    handle.stopper().stop();
    assert_eq!(thread.join().unwrap(), 1);
}

/// A capture of frames of one sender, at these times.
fn capture(name: &str, sender: u8, millis: impl Iterator<Item = u64>) -> PathBuf {
    let path = std::env::temp_dir().join(format!("mos-{name}-{}.pcap", std::process::id()));
    let mut writer = CaptureWriter::create(&path, LinkType::Ethernet).unwrap();
    for (number, time) in millis.enumerate() {
        let frame = frame(sender, number as u8);
        writer.write(Timestamp::from_millis(time), &frame, frame.len() as u32).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn several_captures_are_read_in_the_order_of_their_times() {
    // One has frames beside those of the other, and then goes on much longer.
    let a = capture("a", 1, (0..300).map(|number| 2 * number));
    let b = capture("b", 2, (0..5000).map(|number| 2 * number + 1));
    let [a_name, b_name] = [&a, &b].map(|path| path.display().to_string());
    let text = format!("mos {{\n forward = 0\n netdev {{\n pcap:{a_name} 1\n pcap:{b_name} 1\n }}\n}}");
    let conf = MosConf::parse("two", &text, Machine::default()).unwrap();
    let mut devices = Devices::open(&conf, usize::MAX, FlowHash::new(1), &[]).unwrap();
    let ports = devices.cores.remove(0).ports;
    let forwarder = Forwarder::new(NetConfig::default()).unwrap();
    let (core, _handle) = LiveCore::new(Notes::default(), ports, forwarder, Clock::Frames).unwrap();
    let (notes, outcome) = core.run();
    outcome.unwrap();
    assert_eq!(notes.frames, 5300);
    assert!(notes.times.is_sorted());
    let expected = (0..300).flat_map(|_| [1, 2]).chain((0..4700).map(|_| 2));
    assert!(notes.senders.iter().copied().eq(expected));
    for path in [a, b] {
        std::fs::remove_file(path).unwrap();
    }
}
