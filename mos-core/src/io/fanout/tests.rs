//! Both forms of the hash say the same, and it is fair.

use core::net::SocketAddr;

use proptest::prelude::*;

use super::FlowHash;
use crate::wire::TcpSegment;

/// What the system's program says about a frame, by an interpreter of its own: the packet begins at the network header, and the
/// outermost tag is gone.
#[cfg(target_os = "linux")]
fn run(hash: &FlowHash, frame: &[u8]) -> u32 {
    let half_at = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let (ether_type, packet) = match half_at(12) {
        0x8100 | 0x88a8 if frame.len() >= 18 => (half_at(16), &frame[18..]),
        ether_type => (ether_type, &frame[14..]),
    };
    let program = super::program(hash);
    let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [None; 16], 0);
    loop {
        let instruction = program[at];
        let k = instruction.constant;
        at += 1;
        let load = |offset: u32, bytes: usize| {
            let bytes = packet.get(offset as usize..)?.get(..bytes)?;
            Some(bytes.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)))
        };
        match instruction.code {
            0x20 => a = if k == 0xffff_f000 { ether_type.into() } else { panic!("an absolute load") },
            0x40 | 0x48 | 0x50 => {
                let bytes = [4, 2, 1][usize::from(instruction.code - 0x40) / 8];
                let Some(word) = load(x.wrapping_add(k), bytes) else { return 0 };
                a = word;
            }
            0x60 => a = memory[k as usize].expect("memory is written first"),
            0x61 => x = memory[k as usize].expect("memory is written first"),
            0x00 => a = k,
            0x01 => x = k,
            0x02 => memory[k as usize] = Some(a),
            0x03 => memory[k as usize] = Some(x),
            0x04 => a = a.wrapping_add(k),
            0x0c => a = a.wrapping_add(x),
            0x24 => a = a.wrapping_mul(k),
            0x54 => a &= k,
            0x64 => a <<= k,
            0x74 => a >>= k,
            0xac => a ^= x,
            0x05 => at += k as usize,
            0x15 => at += usize::from(if a == k { instruction.if_true } else { instruction.if_false }),
            0x06 => return k,
            0x16 => return a,
            0x07 => x = a,
            code => panic!("no operation {code:#x}"),
        }
    }
}

/// An Ethernet frame that may hold anything, but likely IP.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::collection::vec(prop::sample::select(vec![0x8100u16, 0x88a8, 0x9100]), 0..4);
    let protocol = prop::sample::select(vec![1u8, 6, 17, 58, 47, 0, 44]);
    let kind = prop::sample::select(vec![0u8, 8, 3, 128, 129, 1]);
    let bytes = prop::collection::vec(any::<u8>(), 0..100);
    (tags, prop::sample::select(vec![0x0800u16, 0x86dd, 0x0806]), protocol, kind, any::<bool>(), bytes).prop_map(
        |(tags, ether_type, protocol, kind, fragment, mut packet)| {
            let (at, transport) = if ether_type == 0x0800 { (9, 20) } else { (6, 40) };
            if let Some(byte) = packet.get_mut(at) {
                *byte = protocol;
            }
            if ether_type == 0x0800 && packet.len() > 20 {
                packet[0] = if packet[0] & 3 == 0 { packet[0] } else { 0x45 };
                if !fragment {
                    (packet[6], packet[7]) = (packet[6] & 0xc0, 0);
                }
            }
            if let Some(byte) = packet.get_mut(transport) {
                *byte = kind;
            }
            let mut frame = vec![2; 12];
            for tag in tags {
                frame.extend(tag.to_be_bytes());
                frame.extend([0, 7]);
            }
            frame.extend(ether_type.to_be_bytes());
            frame.extend(packet);
            frame
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[cfg(target_os = "linux")]
    #[test]
    fn program_and_function_agree(frame in frame(), seed: u64) {
        let hash = FlowHash::new(seed);
        prop_assert_eq!(hash.of_frame(&frame), run(&hash, &frame));
    }

    #[test]
    fn both_directions_are_one(a: SocketAddr, b: SocketAddr, seed: u64) {
        let b = if a.is_ipv4() == b.is_ipv4() { b } else { SocketAddr::new(a.ip(), b.port()) };
        let hash = FlowHash::new(seed);
        prop_assert_eq!(hash.of_flow(a, b), hash.of_flow(b, a));
        for (from, to) in [(a, b), (b, a)] {
            prop_assert_eq!(hash.of_frame(&TcpSegment::new(from, to).to_ethernet()), hash.of_flow(a, b));
        }
    }
}

/// Flows of one pair of hosts that differ in one port only, as behind a NAT, fill every core about equally.
#[test]
fn neighbours_are_spread() {
    for seed in 0..20 {
        let hash = FlowHash::new(seed);
        for cores in [2, 3, 4, 7, 16] {
            let mut flows = vec![0; cores];
            for port in 1024..=u16::MAX {
                flows[hash.core_of(([10, 0, 0, 1], port).into(), ([192, 0, 2, 1], 443).into(), cores)] += 1;
            }
            let fair = (65_536 - 1024) / cores;
            assert!(flows.iter().all(|&flows| (fair * 9 / 10..=fair * 11 / 10).contains(&flows)), "{seed}: {flows:?}");
        }
        let mut flows = [0; 8];
        for host in 0..8000u32 {
            let [.., c, d] = host.to_be_bytes();
            flows[hash.core_of(([10, 0, c, d], 4000).into(), ([192, 0, 2, 1], 443).into(), 8)] += 1;
        }
        assert!(flows.iter().all(|flows| (800..=1200).contains(flows)), "{seed}: {flows:?}");
    }
}

#[test]
fn what_has_no_ports_goes_by_addresses() {
    let hash = FlowHash::new(5);
    let address = |octets: [u8; 4], port| SocketAddr::from((octets, port));
    let mut packet =
        vec![0x45, 0, 0, 28, 0, 0, 0x20, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 2, 3, 4, 0, 8, 0, 0];
    let of = |packet: &[u8]| hash.of_frame(&[&[0; 12][..], &[8, 0], packet].concat());
    assert_eq!(of(&packet), hash.of_flow(address([10, 0, 0, 1], 0), address([10, 0, 0, 2], 0)), "the first fragment");
    packet[6] = 0x40;
    assert_eq!(of(&packet), hash.of_flow(address([10, 0, 0, 1], 0x0102), address([10, 0, 0, 2], 0x0304)));
    (packet[9], packet[20]) = (1, 8);
    assert_eq!(of(&packet), hash.of_flow(address([10, 0, 0, 1], 8), address([10, 0, 0, 2], 8)), "echo: its identifier");
    packet[20] = 3;
    assert_eq!(of(&packet), hash.of_flow(address([10, 0, 0, 1], 0), address([10, 0, 0, 2], 0)), "another ICMP");
    assert_eq!((of(&packet[..19]), of(&[]), hash.of_frame(&[])), (0, 0, 0));
}
