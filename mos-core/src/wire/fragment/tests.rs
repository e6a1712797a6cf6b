//! The defragmenter against a model, its bounds, and captured fragments.

use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::wire::tests::captures;
use crate::wire::{TcpFlags, TcpSegment, checksum, decode, decode_ip};

/// One fragment of a datagram: the data from `offset` on, with `id` in place of the datagram's own.
fn cut(datagram: &[u8], id: u16, offset: usize, data: &[u8], more: bool) -> Vec<u8> {
    assert!(offset.is_multiple_of(8));
    let is_v4 = datagram[0] >> 4 == 4;
    let mut fragment = datagram[..if is_v4 { 20 } else { 40 }].to_vec();
    if is_v4 {
        let flags_and_offset = (offset / 8) as u16 | u16::from(more) << 13;
        fragment[2..4].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
        fragment[4..6].copy_from_slice(&id.to_be_bytes());
        fragment[6..8].copy_from_slice(&flags_and_offset.to_be_bytes());
    } else {
        let offset_and_flags = offset as u16 | u16::from(more);
        fragment[4..6].copy_from_slice(&(8 + data.len() as u16).to_be_bytes());
        let protocol = core::mem::replace(&mut fragment[6], 44);
        fragment.extend([protocol, 0]);
        fragment.extend(offset_and_flags.to_be_bytes());
        fragment.extend(u32::from(id).to_be_bytes());
    }
    fragment.extend(data);
    fragment
}

/// A datagram and its data.
fn datagram(is_v4: bool, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (src, dst) = if is_v4 {
        ("192.0.2.1:80".parse().unwrap(), "192.0.2.2:99".parse().unwrap())
    } else {
        ("[2001:db8::1]:80".parse().unwrap(), "[2001:db8::2]:99".parse().unwrap())
    };
    let datagram = TcpSegment { flags: TcpFlags::ACK, payload, ..TcpSegment::new(src, dst) }.to_raw_ip();
    let data = datagram[if is_v4 { 20 } else { 40 }..].to_vec();
    (datagram, data)
}

fn insert(defragmenter: &mut Defragmenter, fragment: &[u8], now: Timestamp) -> Outcome {
    let packet = decode_ip(fragment, fragment.len() as u32);
    assert_eq!(packet.kind, PacketKind::Fragment);
    defragmenter.insert(&packet, fragment, now)
}

/// What a datagram becomes that was in pieces: an IPv4 header without flags.
fn restored(datagram: &[u8], id: u16) -> Vec<u8> {
    let mut restored = datagram.to_vec();
    if restored[0] >> 4 == 4 {
        restored[4..6].copy_from_slice(&id.to_be_bytes());
        restored[6..8].fill(0);
        assert!(fill_ipv4_header(&mut restored));
    }
    restored
}

#[test]
fn d16_in_any_order() {
    for is_v4 in [true, false] {
        let (datagram, data) = datagram(is_v4, &[7; 100]);
        let parts = [(0, &data[..48], true), (48, &data[48..96], true), (96, &data[96..], false)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut defragmenter = Defragmenter::default();
            let mut outcomes = order.map(|index| {
                let (offset, data, more) = parts[index];
                insert(&mut defragmenter, &cut(&datagram, 9, offset, data, more), Timestamp::ZERO)
            });
            assert_eq!(outcomes[..2], [Outcome::Held, Outcome::Held]);
            let Outcome::Complete(whole) = core::mem::replace(&mut outcomes[2], Outcome::Held) else { panic!() };
            assert_eq!(whole, restored(&datagram, 9));
            let packet = decode_ip(&whole, whole.len() as u32);
            assert_eq!(packet.kind, PacketKind::Tcp);
            assert_eq!(checksum::tcp_ok(&packet, &whole), Some(true));
            assert_eq!((defragmenter.pending(), defragmenter.pending_bytes(), defragmenter.by_age.len()), (0, 0, 0));
        }
    }
}

#[test]
fn d16_first_copy_wins() {
    let (datagram, _) = datagram(true, &[]);
    let mut defragmenter = Defragmenter::default();
    let mut add =
        |offset, data: &[u8], more| insert(&mut defragmenter, &cut(&datagram, 1, offset, data, more), Timestamp::ZERO);
    assert_eq!(add(8, &[b'a'; 8], true), Outcome::Held);
    assert_eq!(add(24, &[b'b'; 8], true), Outcome::Held);
    assert_eq!(add(8, &[b'x'; 8], true), Outcome::Held);
    assert_eq!(add(32, b"dddddddd", false), Outcome::Held);
    let Outcome::Complete(whole) = add(0, &[b'c'; 40], true) else { panic!() };
    assert_eq!(&whole[20..], b"ccccccccaaaaaaaaccccccccbbbbbbbbdddddddd");
}

#[test]
fn extension_headers_before_the_fragment_header_stay() {
    let (datagram, data) = datagram(false, b"payload");
    let with_options = |fragment: Vec<u8>| {
        let mut bytes = fragment[..40].to_vec();
        bytes.extend([bytes[6], 0, 1, 4, 0, 0, 0, 0]);
        bytes[6] = 60;
        bytes[5] += 8;
        bytes.extend(&fragment[40..]);
        bytes
    };
    let mut defragmenter = Defragmenter::default();
    let first = with_options(cut(&datagram, 1, 0, &data[..16], true));
    assert_eq!(insert(&mut defragmenter, &first, Timestamp::ZERO), Outcome::Held);
    let last = with_options(cut(&datagram, 1, 16, &data[16..], false));
    let Outcome::Complete(whole) = insert(&mut defragmenter, &last, Timestamp::ZERO) else { panic!() };
    assert_eq!(whole, with_options(datagram));
}

#[test]
fn d16_useless_fragments_are_rejected() {
    let (datagram, data) = datagram(true, &[7; 100]);
    let mut defragmenter = Defragmenter::default();
    let mut add = |id, offset, data: &[u8], more| {
        insert(&mut defragmenter, &cut(&datagram, id, offset, data, more), Timestamp::ZERO)
    };
    assert_eq!(add(1, 8, &[], true), Outcome::Rejected(Rejection::Empty));
    assert_eq!(add(1, 8, &data[..9], true), Outcome::Rejected(Rejection::Misaligned));
    assert_eq!(add(1, 65_528, &data[..8], false), Outcome::Rejected(Rejection::Oversize));
    assert_eq!(add(2, 8, &data[..8], false), Outcome::Held);
    assert_eq!(add(2, 16, &data[..8], false), Outcome::Rejected(Rejection::Inconsistent));
    assert_eq!(add(2, 16, &data[..8], true), Outcome::Rejected(Rejection::Inconsistent));
    assert_eq!(add(3, 32, &data[..8], true), Outcome::Held);
    assert_eq!(add(3, 8, &data[..8], false), Outcome::Rejected(Rejection::Inconsistent));

    let fragment = cut(&datagram, 4, 0, &data[..16], true);
    let packet = decode_ip(&fragment[..30], fragment.len() as u32);
    let outcome = defragmenter.insert(&packet, &fragment[..30], Timestamp::ZERO);
    assert_eq!(outcome, Outcome::Rejected(Rejection::CutShort));
    let packet = decode_ip(&datagram, datagram.len() as u32);
    let outcome = defragmenter.insert(&packet, &datagram, Timestamp::ZERO);
    assert_eq!(outcome, Outcome::Rejected(Rejection::NotAFragment));

    let counters: Vec<_> = defragmenter.stats().counters().filter(|&(_, count)| count > 0).collect();
    let expected = [
        ("fragments", 10),
        ("not_a_fragment", 1),
        ("cut_short", 1),
        ("empty", 1),
        ("misaligned", 1),
        ("oversize", 1),
        ("inconsistent", 3),
    ];
    assert_eq!(counters, expected);
}

#[test]
fn d16_pieces_are_bounded() {
    let (datagram, _) = datagram(true, &[]);
    let mut defragmenter = Defragmenter::default();
    for index in 0..MAX_PIECES {
        let fragment = cut(&datagram, 1, 16 * index, &[0; 8], true);
        assert_eq!(insert(&mut defragmenter, &fragment, Timestamp::ZERO), Outcome::Held);
    }
    let fragment = cut(&datagram, 1, 8, &[0; 8], true);
    assert_eq!(insert(&mut defragmenter, &fragment, Timestamp::ZERO), Outcome::Rejected(Rejection::TooManyPieces));
}

#[test]
fn d16_the_oldest_gives_way() {
    let (datagram, data) = datagram(true, &[7; 100]);
    let limits = DefragLimits { max_datagrams: 2, ..DefragLimits::default() };
    let mut defragmenter = Defragmenter::new(limits);
    for id in 1..=3 {
        let fragment = cut(&datagram, id, 0, &data[..64], true);
        assert_eq!(insert(&mut defragmenter, &fragment, Timestamp::ZERO), Outcome::Held);
    }
    assert_eq!((defragmenter.pending(), defragmenter.stats().evicted), (2, 1));
    let last = |id| cut(&datagram, id, 64, &data[64..], false);
    assert!(matches!(insert(&mut defragmenter, &last(3), Timestamp::ZERO), Outcome::Complete(_)));
    assert!(matches!(insert(&mut defragmenter, &last(2), Timestamp::ZERO), Outcome::Complete(_)));
    assert_eq!(insert(&mut defragmenter, &last(1), Timestamp::ZERO), Outcome::Held, "its first part is gone");
}

#[test]
fn d16_time_is_bounded() {
    let (datagram, data) = datagram(true, &[7; 100]);
    let mut defragmenter =
        Defragmenter::new(DefragLimits { timeout: Duration::from_secs(30), ..DefragLimits::default() });
    let at = |seconds| Timestamp::ZERO + Duration::from_secs(seconds);
    assert_eq!(insert(&mut defragmenter, &cut(&datagram, 1, 0, &data[..64], true), at(1)), Outcome::Held);
    assert_eq!(insert(&mut defragmenter, &cut(&datagram, 2, 0, &data[..64], true), at(20)), Outcome::Held);
    defragmenter.expire(at(31));
    assert_eq!(defragmenter.pending(), 2);
    defragmenter.expire(at(32));
    assert_eq!((defragmenter.pending(), defragmenter.stats().expired), (1, 1));
    defragmenter.expire(at(51));
    assert_eq!((defragmenter.pending(), defragmenter.pending_bytes()), (0, 0));
}

#[test]
fn a_budget_too_small_for_one_datagram() {
    let (datagram, data) = datagram(true, &[7; 100]);
    let mut defragmenter = Defragmenter::new(DefragLimits { max_bytes: 100, ..DefragLimits::default() });
    let fragment = cut(&datagram, 1, 0, &data[..64], true);
    assert_eq!(insert(&mut defragmenter, &fragment, Timestamp::ZERO), Outcome::Rejected(Rejection::OverBudget));
    assert_eq!((defragmenter.pending(), defragmenter.pending_bytes()), (0, 0));
}

/// Reassembles a capture, and tells how many datagrams became TCP with a correct checksum, and their payload.
fn reassemble(name: &str) -> Option<(usize, Vec<u8>)> {
    let (number, frames) = captures::read(name)?;
    let link = captures::link_type(number)?;
    let mut defragmenter = Defragmenter::default();
    let (mut whole, mut payload) = (0, Vec::new());
    for (frame, wire_len) in frames {
        let packet = decode(&frame, wire_len, link);
        if packet.kind != PacketKind::Fragment {
            continue;
        }
        if let Outcome::Complete(datagram) = defragmenter.insert(&packet, &frame, Timestamp::ZERO) {
            let packet = decode_ip(&datagram, datagram.len() as u32);
            assert_eq!(packet.kind, PacketKind::Tcp);
            assert!(checksum::ipv4_header_ok(&datagram));
            assert_eq!(checksum::tcp_ok(&packet, &datagram), Some(true), "{name}");
            whole += 1;
            payload.extend(packet.payload(&datagram));
        }
    }
    assert_eq!(defragmenter.pending(), 0, "{name}");
    Some((whole, payload))
}

#[test]
fn captured_fragments() {
    let Some((whole, payload)) = reassemble("edge/ipfrag.pcap") else { return };
    assert!(whole > 0 && !payload.is_empty());
    let (whole, payload) = reassemble("public/PcapPlusPlus--frag_http_req.pcap").unwrap();
    assert_eq!(whole, 1);
    assert!(payload.starts_with(b"GET "));
    let name = "public/suricata-verify--bug-6887-defrag-eth-vlan-ipv4-tcp-syn--frag-eth-vlan-ip-tcp-syn.pcap";
    assert_eq!(reassemble(name).unwrap().0, 1);
}

proptest! {
    /// The model is an array of bytes of which the first copy is kept.
    #[test]
    fn agrees_with_the_model(
        is_v4: bool,
        parts in prop::collection::vec((0usize..12, 1usize..6, any::<u8>(), prop::bool::weighted(0.2)), 1..30),
    ) {
        let (datagram, _) = datagram(is_v4, &[]);
        let mut defragmenter = Defragmenter::default();
        let (mut model, mut len): ([Option<u8>; 200], Option<usize>) = ([None; 200], None);
        for (start, units, byte, is_last) in parts {
            let is_last = is_last && start > 0; // otherwise it is no fragment
            let (offset, size) = (start * 8, units * 8 - if is_last { 3 } else { 0 });
            let end = offset + size;
            let fragment = cut(&datagram, 1, offset, &vec![byte; size], !is_last);
            let outcome = insert(&mut defragmenter, &fragment, Timestamp::ZERO);
            let reach = model.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            if len.is_some_and(|len| end > len || (is_last && end != len)) || (is_last && reach > end) {
                prop_assert_eq!(outcome, Outcome::Rejected(Rejection::Inconsistent));
                continue;
            }
            if is_last {
                len = Some(end);
            }
            for kept in &mut model[offset..end] {
                kept.get_or_insert(byte);
            }
            let data: Option<Vec<u8>> = len.and_then(|len| model[..len].iter().copied().collect());
            match (outcome, data) {
                (Outcome::Complete(whole), Some(data)) => {
                    prop_assert_eq!(&whole[if is_v4 { 20 } else { 40 }..], &data[..]);
                    (model, len) = ([None; 200], None);
                }
                (Outcome::Held, None) => {}
                (outcome, data) => prop_assert!(false, "{outcome:?}, not {data:?}"),
            }
        }
    }

    /// Whatever is sent, the bounds hold and the accounts are right.
    #[test]
    fn bounds_hold(
        fragments in prop::collection::vec((0u16..20, 0usize..100, 1usize..40, any::<bool>(), 0u64..20), 0..200),
    ) {
        let limits = DefragLimits { max_datagrams: 7, max_bytes: 5000, timeout: Duration::from_secs(30) };
        let mut defragmenter = Defragmenter::new(limits);
        let (datagram, _) = datagram(true, &[]);
        let mut now = Timestamp::ZERO;
        for (id, offset, units, more, wait) in fragments {
            now = now + Duration::from_secs(wait);
            let _ = insert(&mut defragmenter, &cut(&datagram, id, offset * 8, &vec![0; units * 8], more || offset == 0), now);
            prop_assert!(defragmenter.pending() <= limits.max_datagrams);
            prop_assert!(defragmenter.pending_bytes() <= limits.max_bytes);
            prop_assert_eq!(defragmenter.by_age.len(), defragmenter.datagrams.len());
            let cost: usize = defragmenter.datagrams.values().map(|datagram| DATAGRAM_COST + datagram.cost).sum();
            prop_assert_eq!(defragmenter.pending_bytes(), cost);
            for datagram in defragmenter.datagrams.values() {
                prop_assert!(datagram.pieces.windows(2).all(|pair| pair[0].end() <= pair[1].start));
                prop_assert!(now.saturating_since(datagram.first_seen) <= limits.timeout);
            }
        }
    }
}
