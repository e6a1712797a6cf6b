//! Frames pass as they are: each, in order, byte by byte.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use mos_core::io::{AfPacket, AfPacketConfig, Arrival, Mode, Port, TransmitError, wait};
use mos_core::packet::{Checksums, Offload};
use mos_core::wire::TcpSegment;

use super::forwarder::{Forwarder, open};
use super::net::Net;

/// Far longer than anything here takes: what has not come by then will not.
const LONG: Duration = Duration::from_secs(20);

/// A frame of an experimental EtherType, of that many bytes; no two are the same.
pub(super) fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..len).map(|at| (at as u32).wrapping_mul(number | 1) as u8));
    frame
}

/// Receives until `count` frames have come.
pub(super) fn collect(port: &mut AfPacket, count: usize) -> Vec<Vec<u8>> {
    let (mut frames, start) = (Vec::new(), Instant::now());
    while frames.len() < count && start.elapsed() < LONG {
        let arrival = port.receive(&mut |burst| {
            frames.extend(burst.frames.iter().map(|meta| burst.memory[meta.range()].to_vec()));
        });
        if !matches!(arrival.unwrap(), Arrival::Frames(_)) {
            let fds: Vec<_> = port.poll_fd().into_iter().collect();
            wait(&fds, Duration::from_millis(10)).unwrap();
        }
    }
    assert_eq!(frames.len(), count, "{:?}", port.counters());
    frames
}

/// Sends frames from a host to a port of the middlebox, a few at a time: the system's own queue between them is short.
fn exchange(net: &Net, config: AfPacketConfig, frames: Vec<Vec<u8>>) {
    let (ready, is_ready) = channel();
    let (acknowledge, acknowledged) = channel();
    let (tell, told) = channel::<Vec<Vec<u8>>>();
    let receiver = net.spawn("m", move || {
        let mut port = open("m0", config);
        ready.send(()).unwrap();
        for expected in told {
            let frames = collect(&mut port, expected.len());
            assert!(frames == expected);
            acknowledge.send(()).unwrap();
        }
        port.counters()
    });
    is_ready.recv().unwrap();
    let count = frames.len() as u64;
    net.run("a", move || {
        let mut port = open("a0", AfPacketConfig::default());
        for chunk in frames.chunks(100) {
            for frame in chunk {
                port.transmit(frame, Offload::NONE).unwrap();
            }
            port.flush();
            tell.send(chunk.to_vec()).unwrap();
            acknowledged.recv().unwrap();
        }
        let counters = port.counters();
        assert_eq!((counters.transmitted, counters.transmit_drops.total()), (count, 0));
    });
    let counters = receiver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert_eq!((counters.received, counters.kernel_drops, counters.cut), (count, 0, 0));
}

/// Enough for the ring to be gone around several times.
#[test]
fn frames_arrive_unchanged_and_in_order() {
    let Some(net) = Net::new() else { return };
    net.silence();
    for mode in [Mode::Inline, Mode::Tap] {
        let config = AfPacketConfig { mode, ring_bytes: 4 << 20, retire_ms: 1, ..AfPacketConfig::default() };
        exchange(&net, config, (0..6000).map(|number| frame(number, 60 + number as usize % 1455)).collect());
    }
}

#[test]
fn tags_that_the_system_took_out_are_back() {
    let Some(net) = Net::new() else { return };
    net.silence();
    let tagged = |number: u32| {
        let mut frame = frame(number, 100);
        let tags: [&[u8]; 4] = [
            &[0x81, 0, 0x20, 7],
            &[0x88, 0xa8, 0xe0, 9],
            &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2],
            &[0x81, 0, 0, 1, 0x81, 0, 0xf, 0xff],
        ];
        frame.splice(12..12, tags[number as usize % 4].iter().copied());
        frame
    };
    for mode in [Mode::Inline, Mode::Tap] {
        exchange(&net, AfPacketConfig { mode, ..AfPacketConfig::default() }, (0..400).map(tagged).collect());
    }
    // As long as they may be.
    exchange(
        &net,
        AfPacketConfig::default(),
        (0..10)
            .map(|number| {
                let mut frame = frame(number, 1514);
                frame.splice(12..12, [0x81, 0, 0, 7]);
                frame
            })
            .collect(),
    );
}

/// Through a forwarder, from one host to the other and back.
#[test]
fn a_forwarder_changes_nothing() {
    let Some(net) = Net::new() else { return };
    net.silence();
    let forwarder = Forwarder::start(&net, AfPacketConfig::default(), Box::new(|_, _, _| {}));
    let mut a = net.run("a", || open("a0", AfPacketConfig::default()));
    let mut b = net.run("b", || open("b0", AfPacketConfig::default()));
    let mut number = 0;
    for round in 0..40 {
        let (from, to) = if round % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let frames: Vec<_> = (number..number + 100).map(|number| frame(number, 14 + number as usize % 1500)).collect();
        number += 100;
        frames.iter().for_each(|frame| from.transmit(frame, Offload::NONE).unwrap());
        from.flush();
        assert!(collect(to, 100) == frames);
    }
    for counters in forwarder.stop() {
        assert_eq!((counters.received, counters.transmitted), (2000, 2000));
    }
}

/// What does not fit, and says so, and what the system cuts up.
#[test]
fn a_frame_that_is_too_long_is_told_from_one_that_is_cut_up() {
    let Some(net) = Net::new() else { return };
    net.silence();
    net.ip("m", "link set m0 mtu 9000");
    net.run("a", || {
        let mut port = open("a0", AfPacketConfig::default());
        let segment = TcpSegment {
            payload: &[5; 4000],
            ..TcpSegment::new("10.77.0.1:1".parse().unwrap(), "10.77.0.2:2".parse().unwrap())
        };
        let long = segment.to_ethernet();
        let error = port.transmit(&long, Offload::NONE).unwrap_err();
        assert_eq!(error, TransmitError::TooLong { bytes: 4054, most: 1514 });
        let offload = |segment_bytes| Offload { checksums: Checksums::Partial, segment_bytes };
        port.transmit(&long, offload(1461)).unwrap_err();
        port.transmit(&long, offload(1460)).unwrap();
        port.flush();
        let arp = port.transmit(&frame(1, 60), offload(0));
        assert_eq!(arp, Err(TransmitError::Unsupported));
        let counters = port.counters();
        assert_eq!((counters.transmitted, counters.transmit_drops.too_long), (1, 2));
        assert_eq!(counters.transmit_drops.unsupported, 1);
    });
}

/// What nobody reads is counted, each frame of it.
#[test]
fn drops_are_counted() {
    let Some(net) = Net::new() else { return };
    net.silence();
    for mode in [Mode::Inline, Mode::Tap] {
        let config = AfPacketConfig { mode, ring_bytes: 1 << 20, retire_ms: 1, ..AfPacketConfig::default() };
        let mut port = net.run("m", move || open("m0", config));
        let sent = net.run("a", || {
            let mut port = open("a0", AfPacketConfig::default());
            for number in 0..5000 {
                port.transmit(&frame(number, 1000), Offload::NONE).unwrap();
                if number % 50 == 0 {
                    // Not faster than the system takes them from its own queue.
                    port.flush();
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            port.flush();
            port.counters().transmitted
        });
        assert_eq!(sent, 5000);
        let mut received = 0;
        let mut last = Instant::now();
        while last.elapsed() < Duration::from_millis(200) {
            if let Arrival::Frames(frames) = port.receive(&mut |_| ()).unwrap() {
                received += frames as u64;
                last = Instant::now();
            }
        }
        let counters = port.counters();
        assert!(counters.kernel_drops > 1000, "{counters:?}");
        assert_eq!((counters.received, counters.received + counters.kernel_drops), (received, sent), "{counters:?}");
    }
}
