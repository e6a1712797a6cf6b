//! The NAT over made-up traffic: both directions, on one core and on several, with every checksum looked at.

mod errors;
mod pools;
mod random;
mod translation;
mod world;

use super::*;
use crate::testing::{self, Paper};

fn config(cores: usize) -> NatConfig {
    NatConfig {
        addresses: address_range("203.0.113.1").unwrap(),
        inside: vec!["10.0.0.0/8".parse().unwrap()],
        hash: mos_core::io::fanout::FlowHash::new(7),
        cores,
        ..NatConfig::default()
    }
}

#[test]
fn what_makes_no_sense_says_so() {
    let error = |config: NatConfig| Nat::new(config, Paper::default().output()).unwrap_err();
    assert_eq!(error(NatConfig::default()), NatError::NoAddress);
    assert_eq!(error(NatConfig { cores: 0, ..config(1) }), NatError::NoCore);
    #[expect(clippy::reversed_empty_ranges, reason = "that is the mistake")]
    let ports = 9..=8;
    assert_eq!(error(NatConfig { ports, ..config(1) }), NatError::NoPorts(9, 8));
    assert_eq!(error(NatConfig { inside: vec!["fd00::/8".parse().unwrap()], ..config(1) }), NatError::NoInside);
    let multicast = address_range("224.0.0.1").unwrap();
    assert_eq!(error(NatConfig { addresses: multicast.clone(), ..config(1) }), NatError::NoHost(multicast[0]));
}

#[test]
fn addresses_are_single_or_ranges_or_prefixes() {
    let count = |text: &str| address_range(text).map(|addresses| addresses.len());
    assert_eq!(count("192.0.2.1"), Ok(1));
    assert_eq!(count("192.0.2.1-192.0.2.9"), Ok(9));
    assert_eq!(count("192.0.2.0/28"), Ok(16));
    assert_eq!(count("10.0.0.0/8"), Err(NatError::TooManyAddresses(1 << 24)));
    for text in ["", "192.0.2", "fd00::1", "192.0.2.9-192.0.2.1", "192.0.2.1-", "192.0.2.1/33"] {
        assert_eq!(count(text), Err(NatError::Syntax(text.to_owned())));
    }
}
