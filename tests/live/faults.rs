//! Links that fail, interfaces that go, and what cannot be opened.

use std::time::{Duration, Instant};

use mos_core::io::{AfPacket, AfPacketConfig, Arrival, DeviceError, LinkState, Port, TransmitError, wait};
use mos_core::packet::Offload;

use super::forwarder::open;
use super::frames::frame;
use super::net::Net;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// Asks the port until its link is in that state. Returns how often it was asked.
pub(super) fn until(port: &mut AfPacket, state: LinkState) -> u32 {
    let (mut asked, start) = (0, Instant::now());
    while port.counters().link != state {
        assert!(start.elapsed() < LONG, "still {:?}, not {state:?}", port.counters().link);
        asked += 1;
        let arrival = port.receive(&mut |_| ()).unwrap();
        match port.poll_fd() {
            Some(fd) => drop(wait(&[fd], Duration::from_millis(20)).unwrap()),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
        if port.counters().link == LinkState::Gone {
            assert!(
                matches!(port.receive(&mut |_| ()).unwrap(), Arrival::Down) || state != LinkState::Gone,
                "{arrival:?}"
            );
        }
    }
    asked
}

/// Frames pass from the host to the port.
pub(super) fn assert_passes(net: &Net, port: &mut AfPacket) {
    let (before, start) = (port.counters().received, Instant::now());
    while port.counters().received == before {
        assert!(start.elapsed() < LONG, "nothing passes: {:?}", port.counters());
        net.run("a", || {
            let mut host = open("a0", AfPacketConfig::default());
            // It may not be back yet.
            let _ = host.transmit(&frame(1, 60), Offload::NONE);
            host.flush();
        });
        port.receive(&mut |_| ()).unwrap();
    }
}

#[test]
fn a_link_goes_down_and_comes_back() {
    let Some(net) = Net::new() else { return };
    net.silence();
    let mut port = net.run("m", || open("m0", AfPacketConfig::default()));
    assert_passes(&net, &mut port);
    net.ip("m", "link set m0 down");
    let asked = until(&mut port, LinkState::Down);
    assert!(asked < 1000, "it spins: asked {asked} times");
    assert_eq!(port.receive(&mut |_| ()).unwrap(), Arrival::Down);
    assert_eq!(port.transmit(&frame(1, 60), Offload::NONE), Err(TransmitError::Down));
    // A sleeper sleeps.
    let start = Instant::now();
    wait(&[port.poll_fd().unwrap()], Duration::from_millis(30)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30));
    net.ip("m", "link set m0 up");
    until(&mut port, LinkState::Up);
    assert_passes(&net, &mut port);

    net.ip("a", "link set a0 down");
    until(&mut port, LinkState::NoCarrier);
    assert_eq!(port.receive(&mut |_| ()).unwrap(), Arrival::Down);
    net.ip("a", "link set a0 up");
    until(&mut port, LinkState::Up);
    assert_passes(&net, &mut port);
    assert_eq!(port.counters().reopened, 0);
    assert_eq!(port.counters().transmit_drops.down, 1);
}

#[test]
fn an_interface_goes_and_another_of_its_name_comes() {
    let Some(net) = Net::new() else { return };
    net.silence();
    let config = AfPacketConfig::default();
    // In the namespace: there it will look for the name again.
    let ports = net.run("m", move || AfPacket::open("m0", 3, &config).unwrap());
    let index = ports[0].info().index;
    net.ip("m", "link del m0");
    let ports = net.run("m", move || {
        let mut ports = ports;
        for port in &mut ports {
            until(port, LinkState::Gone);
            assert_eq!(port.receive(&mut |_| ()).unwrap(), Arrival::Down);
            assert!(port.poll_fd().is_none());
            assert_eq!(port.transmit(&frame(1, 60), Offload::NONE), Err(TransmitError::Down));
        }
        ports
    });
    net.pair("a", "a0", "m0");
    net.silence();
    let mut ports = net.run("m", move || {
        let mut ports = ports;
        // Not in the order in which they were opened.
        ports.iter_mut().rev().for_each(|port| assert!(until(port, LinkState::Up) < 1000));
        ports
    });
    for port in &mut ports {
        assert_eq!(port.counters().reopened, 1);
        assert_ne!(port.info().index, index);
    }
    // What is not IP goes to the first core.
    assert_passes(&net, &mut ports[0]);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let Some(net) = Net::new() else { return };
    let error = net.run("m", || AfPacket::open("none0", 1, &AfPacketConfig::default()).unwrap_err());
    assert!(matches!(error, DeviceError::Setup { .. }));
    assert_eq!(error.to_string(), "none0: cannot be set up: an interface of this name: No such device (os error 19)");
    let config = AfPacketConfig { ring_bytes: 1, ..AfPacketConfig::default() };
    let error = net.run("m", move || AfPacket::open("m0", 1, &config).unwrap_err());
    assert!(matches!(error, DeviceError::Setting { .. }), "{error}");
}

#[test]
fn a_port_knows_its_interface() {
    let Some(net) = Net::new() else { return };
    let info = net.run("a", || open("a0", AfPacketConfig::default()).info().clone());
    assert_eq!((info.name.as_str(), info.mtu), ("a0", 1500));
    assert_ne!(info.mac, [0; 6]);
    assert!(info.addresses.contains(&("10.77.0.1".parse().unwrap(), 24)), "{info:?}");
    assert!(info.addresses.contains(&("fd77::1".parse().unwrap(), 64)), "{info:?}");
}
