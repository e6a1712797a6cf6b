//! The rounds of a core, with ports that are made up.

mod holding;
mod made_up;

use std::time::{Duration, Instant, SystemTime};

use self::made_up::{Link, Notes, Step, frame};
use super::clock::RunningClock;
use super::{Clock, Handle, LiveCore, LiveError};
use crate::io::DeviceError;
use crate::net::{Forwarder, NetConfig};
use crate::time::Timestamp;

/// A core with these links, in pairs.
fn core(links: &[&Link], pairs: &[(u16, u16)], clock: Clock) -> (LiveCore<Notes>, Handle<LiveCore<Notes>>) {
    let ports = links.iter().enumerate().map(|(number, link)| link.port(number as u16)).collect();
    let net = NetConfig { pairs: pairs.to_vec(), ..NetConfig::default() };
    LiveCore::new(Notes::default(), ports, Forwarder::new(net).unwrap(), clock).unwrap()
}

/// So many bursts of two frames.
fn bursts(first: u8, count: u8) -> Vec<Step> {
    (0..count).map(|number| Step::Frames(vec![frame(first, number), frame(first, number)])).collect()
}

#[test]
fn frames_leave_by_the_other_port_of_a_pair_in_order() {
    let (a, b) = (Link::new(bursts(1, 3)), Link::new(bursts(2, 2)));
    let (core, _handle) = core(&[&a, &b], &[(0, 1)], Clock::Frames);
    let (notes, outcome) = core.run();
    outcome.unwrap();
    assert_eq!(b.sent(), [0, 0, 1, 1, 2, 2].map(|number| frame(1, number)));
    assert_eq!(a.sent(), [0, 0, 1, 1].map(|number| frame(2, number)));
    assert_eq!((notes.frames, notes.ends), (10, 1));
    assert!([a, b].iter().all(|link| link.is_finished() && link.unflushed() == 0));
}

#[test]
fn frames_may_leave_by_the_port_at_which_they_arrived() {
    let a = Link::new(bursts(1, 3));
    let (core, _handle) = core(&[&a], &[(0, 0)], Clock::Frames);
    core.run().1.unwrap();
    assert_eq!(a.sent(), [0, 0, 1, 1, 2, 2].map(|number| frame(1, number)));
}

#[test]
fn what_the_worker_drops_goes_nowhere() {
    let (a, b) =
        (Link::new(vec![Step::Frames(vec![frame(1, 1), frame(1, Notes::DROPPED), frame(1, 2)])]), Link::new(vec![]));
    let (core, _handle) = core(&[&a, &b], &[(0, 1)], Clock::Frames);
    core.run().1.unwrap();
    assert_eq!(b.sent(), [frame(1, 1), frame(1, 2)]);
}

#[test]
fn a_busy_port_does_not_keep_the_others_waiting() {
    let (busy, other) = (Link::new(bursts(1, 200)), Link::new(bursts(2, 1)));
    let (core, _handle) = core(&[&busy, &other], &[(0, 0), (1, 1)], Clock::Frames);
    let (notes, outcome) = core.run();
    outcome.unwrap();
    let place = notes.senders.iter().position(|&sender| sender == 2).unwrap();
    assert!(place <= 2, "after {place} frames of the other port");
}

#[test]
fn a_port_that_ends_does_not_end_the_others() {
    let (a, b) = (Link::new(bursts(1, 1)), Link::new(bursts(2, 50)));
    let (core, _handle) = core(&[&a, &b], &[(0, 1)], Clock::Frames);
    let (notes, outcome) = core.run();
    outcome.unwrap();
    assert_eq!((a.sent().len(), b.sent().len(), notes.ends), (100, 2, 1));
}

#[test]
fn a_broken_port_ends_the_core_after_its_flows() {
    let broken = |name: &str| DeviceError::Empty { name: name.into() };
    let a = Link::new(bursts(1, 3));
    let b = Link::new(bursts(2, 2).into_iter().chain([Step::Error(broken("b"))]));
    let (one, _handle) = core(&[&a, &b], &[(0, 1)], Clock::Frames);
    let (notes, outcome) = one.run();
    assert!(matches!(outcome, Err(LiveError::Device(DeviceError::Empty { name })) if name == "b"));
    assert_eq!(notes.ends, 1);
    // What came before in the same round, too.
    assert_eq!((b.sent().len(), b.unflushed()), (6, 0));
    assert!(a.is_finished() && b.is_finished());

    // What goes wrong at the very end is an error as well.
    let a = Link::new(bursts(1, 3)).failing_at_last(broken("a"));
    let (one, _handle) = core(&[&a], &[(0, 0)], Clock::Frames);
    assert!(matches!(one.run().1, Err(LiveError::Device(DeviceError::Empty { name })) if name == "a"));
}

#[test]
fn what_has_arrived_is_served_before_the_end() {
    let a = Link::new(bursts(1, 20)).lasting();
    let (one, handle) = core(&[&a], &[(0, 0)], Clock::System);
    handle.tell(LiveCore::stop).unwrap();
    let (notes, outcome) = one.run();
    outcome.unwrap();
    assert_eq!((notes.frames, a.sent().len(), notes.ends), (40, 40, 1));
    assert!(handle.tell(|_| ()).is_err() && handle.ask(|_| ()).is_err());

    // But it does come to an end.
    let a = Link::new(bursts(1, 1)).repeating();
    let (one, handle) = core(&[&a], &[(0, 0)], Clock::System);
    handle.tell(LiveCore::stop).unwrap();
    one.run().1.unwrap();
}

#[test]
fn a_sleeping_core_answers() {
    let a = Link::new([]).lasting();
    let (core, handle) = core(&[&a], &[(0, 0)], Clock::System);
    let thread = std::thread::spawn(move || core.run().1.is_ok());
    for _ in 0..50 {
        handle.ask(|core| core.worker().frames).unwrap();
    }
    handle.tell(LiveCore::stop).unwrap();
    assert!(thread.join().unwrap());
}

#[test]
fn timers_are_kept_without_spinning() {
    // Nothing wakes the core, and one of the links is down.
    let (a, b) = (Link::new([]).lasting(), Link::new([]).down());
    let (mut core, handle) = core(&[&a, &b], &[(0, 1)], Clock::System);
    let start = Instant::now();
    let system = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let due = Timestamp::ZERO + system + Duration::from_millis(150);
    core.worker().due = Some(due);
    core.worker().stop_at_last = Some(Box::new(move || handle.tell(LiveCore::stop).unwrap()));
    let (notes, outcome) = core.run();
    outcome.unwrap();
    let told = notes.advanced[0];
    assert!(told >= due && start.elapsed() >= Duration::from_millis(149));
    // Looked at often, then slept by 20 ms at most.
    let most = 40 + start.elapsed().as_millis() as u32 / 15 + super::core::LAST_ROUNDS as u32;
    assert!(a.asked() < most, "it spins: asked {} times", a.asked());
}

#[test]
fn stamps_of_a_clock_that_was_set_become_the_cores() {
    let system = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    let before = Timestamp::ZERO + system();
    let stamped = |stamp| Step::Stamped(vec![frame(1, 1)], stamp);
    // The system's clock was set back by an hour; then a frame comes that had been waiting since before that.
    let a = Link::new([stamped(before), stamped(before + hour + hour)]);
    let (mut core, _handle) = core(&[&a], &[(0, 0)], Clock::System);
    core.set_clock(RunningClock::ahead(hour));
    let (notes, outcome) = core.run();
    outcome.unwrap();
    let [first, second] = notes.times[..] else { panic!("{:?}", notes.times) };
    // Two clocks are never read at the very same time, least of all on a busy machine.
    assert!(first >= before + (hour - minute) && first <= before + hour + minute, "{first:?}");
    assert!(second >= first && second <= Timestamp::ZERO + system() + hour + minute, "{second:?}");

    // Without that, they stay as they are.
    let a = Link::new([stamped(before)]);
    let (core, _handle) = self::core(&[&a], &[(0, 0)], Clock::System);
    assert_eq!(core.run().0.times, [before]);
}

#[test]
fn offers_are_bounded_and_requests_are_not_lost() {
    let a = Link::new([]).lasting();
    let (core, handle) = core(&[&a], &[(0, 0)], Clock::System);
    let accepted = (0..1000).filter(|_| handle.offer(|core| core.worker().frames += 1).unwrap()).count();
    assert_eq!(accepted, 256);
    for _ in 0..1000 {
        handle.tell(|core| core.worker().frames += 1).unwrap();
    }
    let thread = std::thread::spawn(move || core.run().0.frames);
    assert_eq!(handle.ask(|core| core.worker().frames).unwrap(), 1256);
    // There is room again.
    assert!(handle.offer(|_| ()).unwrap());
    handle.tell(LiveCore::stop).unwrap();
    assert_eq!(thread.join().unwrap(), 1256);
    assert!(handle.offer(|_| ()).is_err());
}
