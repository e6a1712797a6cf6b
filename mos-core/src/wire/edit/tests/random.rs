//! Random edits of random frames.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::wire::{FrameBuilder, SeqNum};

const LAYERS: [Layer; 4] = [Layer::Ethernet, Layer::Ip, Layer::Tcp, Layer::Payload];
const MODES: [Checksums; 5] =
    [Checksums::Incremental, Checksums::Full, Checksums::OnlyIpv4, Checksums::OnlyTcp, Checksums::Keep];

/// By how much each checksum is wrong, in ones' complement.
fn errors(frame: &[u8]) -> [u32; 2] {
    let packet = decoded(frame);
    let mut right = frame.to_vec();
    let is_v4 = checksum::fill_ipv4(&mut right, &packet);
    assert!(checksum::fill_tcp(&mut right, &packet));
    let error = |at: usize| {
        let stored = |frame: &[u8]| u32::from(u16_at(frame, at).unwrap());
        (stored(frame) + 0xffff - stored(&right)) % 0xffff
    };
    let ip = if is_v4 { error(usize::from(packet.network) + 10) } else { 0 };
    [ip, error(usize::from(packet.transport) + 16)]
}

prop_compose! {
    /// A right frame with all that there can be around a segment, and perhaps padding.
    fn any_frame()(
        is_v6: bool, vlans in prop::collection::vec(0u16..4096, 0..=2), flags: u8, seq: u32, words in 0usize..4,
        options in prop::collection::vec(any::<u8>(), 0..=40), payload in prop::collection::vec(any::<u8>(), 0..80),
        padding in prop_oneof![Just(0usize), 0usize..9],
    ) -> Vec<u8> {
        let (src, dst) = endpoints(is_v6);
        let segment = TcpSegment { flags, seq: SeqNum(seq), options: &options, payload: &payload, ..TcpSegment::new(src, dst) };
        let builder = vlans.iter().fold(FrameBuilder::new(), |builder, &id| builder.vlan(id));
        let mut frame = builder.ethernet(&segment);
        lengthen(&mut frame, words);
        frame.resize(frame.len() + padding, 0xee);
        frame
    }
}

prop_compose! {
    /// A layer, a mode, and where in the layer: two points of it.
    fn any_place()(layer in 0usize..4, mode in 0usize..5, points: [Index; 2]) -> (Layer, Checksums, [Index; 2]) {
        (LAYERS[layer], MODES[mode], points)
    }
}

fn place(layer: Layer, packet: &Packet, points: [Index; 2]) -> (usize, usize) {
    let mut points = points.map(|point| point.index(layer.bounds(packet).len() + 1));
    points.sort_unstable();
    (points[0], points[1] - points[0])
}

/// Makes both checksums wrong, or not.
fn spoil(frame: &mut [u8], by: [u16; 2]) {
    let packet = decoded(frame);
    for (at, by) in [usize::from(packet.network) + 10, usize::from(packet.transport) + 16].into_iter().zip(by) {
        if packet.ip_version == 4 || at > usize::from(packet.transport) {
            let field = u16_at(frame, at).unwrap();
            frame[at..at + 2].copy_from_slice(&field.wrapping_add(by).to_be_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Bytes that do not decide what is what: addresses, ports, numbers, payload.
    #[test]
    fn overwritten_bytes_leave_checksums_as_wrong_as_they_were(
        mut frame in any_frame(), which in 0usize..5, points: [Index; 2], fill: u8, by: [u16; 2], full: bool,
    ) {
        spoil(&mut frame, by);
        let packet = decoded(&frame);
        let (addresses, all) = if packet.ip_version == 4 { (12, 20) } else { (8, 40) };
        let (layer, allowed) = [
            (Layer::Ethernet, 0..12), (Layer::Ip, addresses..all), (Layer::Tcp, 0..12),
            (Layer::Tcp, 18..Layer::Tcp.bounds(&packet).len()), (Layer::Payload, 0..packet.payload_len as usize),
        ][which].clone();
        let mut points = points.map(|point| allowed.start + point.index(allowed.len() + 1));
        points.sort_unstable();
        let bytes: Vec<u8> = (points[0]..points[1]).map(|at| (at as u8).wrapping_mul(31) ^ fill).collect();
        let before = errors(&frame);
        let mut expected = frame.clone();
        let start = layer.bounds(&packet).start + points[0];
        expected[start..start + bytes.len()].copy_from_slice(&bytes);
        let mode = if full { Checksums::Full } else { Checksums::Incremental };
        overwrite(&mut frame, &packet, layer, points[0], &bytes, mode).unwrap();
        if full && layer != Layer::Ethernet {
            prop_assert!(is_right(&frame));
        } else {
            prop_assert_eq!(errors(&frame), before);
        }
        for field in [usize::from(packet.network) + 10, usize::from(packet.transport) + 16] {
            if packet.ip_version == 4 || field > packet.transport.into() {
                expected[field..field + 2].copy_from_slice(&frame[field..field + 2]);
            }
        }
        prop_assert_eq!(frame, expected, "nothing else changed");
    }

    #[test]
    fn spliced_frames_say_what_they_hold(
        frame in any_frame(), (layer, mode, points) in any_place(), by: [u16; 2],
        inserted in prop::collection::vec(any::<u8>(), 0..50), words: bool, prefix in 0usize..4,
    ) {
        let mut old = frame;
        spoil(&mut old, by);
        let packet = decoded(&old);
        let (mut offset, mut removed) = place(layer, &packet, points);
        let mut inserted = inserted;
        if words && layer != Layer::Payload {
            // Random options rarely fit.
            offset = offset.max(20).min(layer.bounds(&packet).len());
            removed = removed.min(layer.bounds(&packet).len() - offset);
            let room = inserted.len() - inserted.len() % 4 + removed % 4;
            inserted.resize(room, 1);
        }
        let mut buffer = vec![0xaa; prefix];
        buffer.extend(&old);
        let result = splice(&mut buffer, prefix, &packet, layer, offset, removed, &inserted, mode, 1500);
        prop_assert_eq!(&buffer[..prefix], &vec![0xaa; prefix]);
        let frame = &buffer[prefix..];
        if result.is_err() {
            prop_assert_eq!(frame, &old);
            prop_assert_ne!(layer, Layer::Payload);
            prop_assert_ne!(removed, inserted.len());
            return Ok(());
        }
        let after = decoded(frame);
        if removed == inserted.len() && layer != Layer::Payload {
            // Anything may have been overwritten.
            return Ok(());
        }
        prop_assert_eq!(after.kind, PacketKind::Tcp);
        prop_assert_eq!(after.payload_range().end, frame.len());
        for part in LAYERS {
            let mut expected = old[part.bounds(&packet)].to_vec();
            let mut found = frame[part.bounds(&after)].to_vec();
            if part == layer {
                expected.splice(offset..offset + removed, inserted.iter().copied());
            }
            // Lengths were checked by decoding, checksums are below.
            for bytes in [&mut expected, &mut found] {
                match part {
                    Layer::Ip if packet.ip_version == 4 => [0, 2, 3, 10, 11].iter().for_each(|&at| bytes[at] = 0),
                    Layer::Ip => bytes[4..6].fill(0),
                    Layer::Tcp => [12, 16, 17].iter().for_each(|&at| bytes[at] = 0),
                    Layer::Ethernet | Layer::Payload => {}
                }
            }
            prop_assert_eq!(expected, found, "{}", part);
        }
        match mode {
            Checksums::Full => prop_assert!(is_right(frame)),
            // The other one stays: it may be wrong.
            Checksums::OnlyIpv4 => prop_assert_eq!(errors(frame)[0], 0),
            Checksums::OnlyTcp => prop_assert_eq!(errors(frame)[1], 0),
            Checksums::Incremental => prop_assert_eq!(errors(frame), errors(&old)),
            Checksums::Keep => {
                let field = |frame: &[u8], packet: &Packet| u16_at(frame, usize::from(packet.transport) + 16);
                prop_assert_eq!(field(frame, &after), field(&old, &packet));
            }
        }
    }

    #[test]
    fn nothing_panics_and_errors_change_nothing(
        mut frame in any_frame(), other in any_frame(), changes in prop::collection::vec((0usize..90, any::<u8>()), 0..4),
        (layer, mode, points) in any_place(), (offset, removed) in (0usize..120, 0usize..90), mixed: bool, huge: bool,
        bytes in prop::collection::vec(any::<u8>(), 0..90), keep in 0usize..160, start in 0usize..3, max in 0usize..2000,
        link in 0usize..2,
    ) {
        let link = [LinkType::Ethernet, LinkType::RawIp][link];
        let wire_len = frame.len() as u32;
        for (at, byte) in changes {
            if let Some(old) = frame.get_mut(at) {
                *old = byte;
            }
        }
        frame.truncate(keep);
        let mut packet = decode(if mixed { &other } else { &frame }, wire_len, link);
        if mixed && huge {
            packet.transport = packet.network.wrapping_sub(1);
        }
        let (offset, removed) = if mixed { (offset, removed) } else { place(layer, &packet, points) };
        let offset = if huge { usize::MAX - offset } else { offset };
        let before = frame.clone();
        if overwrite(&mut frame, &packet, layer, offset, &bytes, mode).is_err() {
            prop_assert_eq!(&frame, &before);
        }
        // The packet is that of the frame as it was: lengths may have been overwritten.
        let before = frame.clone();
        if splice(&mut frame, start, &packet, layer, offset, removed, &bytes, mode, max).is_err() {
            prop_assert_eq!(&frame, &before);
        }
        let packet = decode(&frame, wire_len, link);
        let _ = splice(&mut frame, 0, &packet, layer, offset % 64, removed % 32, &bytes, mode, max);
    }
}
