use super::*;
use crate::packet::Checksums;
use crate::packet::LinkType;
use crate::time::Timestamp;
use crate::wire::{DefragLimits, Defragmenter, FrameBuilder, Outcome, TcpSegment, checksum as sums, decode};
use proptest::prelude::*;

/// A frame whose datagram may be fragmented, with these IP options.
fn frame(payload: usize, options: &[u8]) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload).map(|byte| byte as u8).collect();
    let segment = TcpSegment::new("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let mut frame = FrameBuilder::new().identification(77).ethernet(&TcpSegment { payload: &payload, ..segment });
    frame.splice(34..34, options.iter().copied());
    frame[14] = 0x45 + (options.len() / 4) as u8;
    let len = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&len.to_be_bytes());
    frame[20] = 0;
    seal(&mut frame);
    frame
}

fn seal(frame: &mut [u8]) {
    let packet = decode(frame, frame.len() as u32, LinkType::Ethernet);
    sums::fill_ipv4(frame, &packet);
}

fn read(frame: &[u8]) -> Datagram {
    Datagram::read(frame, 14).unwrap()
}

/// Puts fragments together again.
fn whole(fragments: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut defragmenter = Defragmenter::new(DefragLimits::default());
    let mut result = None;
    for fragment in fragments {
        let packet = decode(fragment, fragment.len() as u32, LinkType::Ethernet);
        if let Outcome::Complete(datagram) = defragmenter.insert(&packet, fragment, Timestamp::ZERO) {
            result = Some(datagram);
        }
    }
    result
}

#[test]
fn rfc_791_3_2_fragments_carry_what_the_example_says() {
    // A data length of 452 bytes on a link that takes 280, as in the example of section 3.2 and its appendix A.
    let frame = frame(432, &[]);
    let fragments = fragment(&read(&frame), &frame, 280);
    let fields: Vec<_> = fragments
        .iter()
        .map(|fragment| {
            let word = |at: usize| u16::from_be_bytes([fragment[at], fragment[at + 1]]);
            (word(16), word(20) & MORE != 0, word(20) & OFFSET, word(18))
        })
        .collect();
    assert_eq!(fields, [(276, true, 0, 77), (216, false, 32, 77)]);
}

#[test]
fn rfc_791_3_1_options_are_copied_if_they_say_so() {
    // A no-operation, an option of three bytes that is copied, and record route, which is not.
    let options = [1, 0x83, 3, 4, 7, 7, 4, 0, 0, 0, 0, 0];
    let frame = frame(100, &options);
    let fragments = fragment(&read(&frame), &frame, 68);
    assert_eq!(fragments[0][34..46], options);
    assert_eq!(fragments[1][14], 0x46);
    assert_eq!(fragments[1][34..38], [0x83, 3, 4, 0]);
    // Options that cannot be read end there.
    assert_eq!(later_header(&[&[0x46][..], &[0; 19], &[0x83, 9, 0, 0]].concat()).len(), 20);
    assert_eq!(later_header(&[&[0x46][..], &[0; 19], &[0x83, 1, 0, 0]].concat()).len(), 20);
}

#[test]
fn rfc_791_fragments_are_fragmented_again() {
    let frame = frame(1000, &[]);
    let fragments = fragment(&read(&frame), &frame, 576);
    let again: Vec<_> = fragments.iter().flat_map(|piece| fragment(&read(piece), piece, 100)).collect();
    assert!(again.len() > 12);
    assert_eq!(whole(&again).as_deref(), Some(&frame[14..]));
}

#[test]
fn fits() {
    let frame = frame(1460, &[]);
    let datagram = read(&frame);
    let of = |offload, mtu| fit(&datagram, &frame, offload, mtu);
    assert_eq!(of(Offload::NONE, 1500), Fit::Whole);
    assert_eq!(of(Offload::NONE, 1499), Fit::Pieces);
    assert_eq!(of(Offload::NONE, 27), Fit::TooBig);
    let segments = |segment_bytes| Offload { segment_bytes, checksums: Checksums::Partial };
    assert_eq!(of(segments(536), 576), Fit::Whole, "each segment does");
    assert_eq!(of(segments(537), 576), Fit::TooBig);
    let mut frame = frame;
    frame[20] = 0x40;
    seal(&mut frame);
    assert_eq!(fit(&read(&frame), &frame, Offload::NONE, 1499), Fit::TooBig, "don't fragment");
}

#[test]
fn checksums_left_to_the_device_are_completed() {
    let mut frame = frame(99, &[]);
    frame[50] ^= 0xff;
    complete_checksum(&read(&frame), &mut frame);
    let packet = decode(&frame, frame.len() as u32, LinkType::Ethernet);
    assert_eq!(sums::tcp_ok(&packet, &frame), Some(true));
}

proptest! {
    #[test]
    fn rfc_791_fragments_fit_and_make_the_datagram_again(
        payload in 1usize..3000,
        words in prop::collection::vec(Just([0x83u8, 3, 4, 1]), 0..3),
        mtu in 68usize..1600,
    ) {
        let frame = frame(payload, &words.concat());
        let fragments = fragment(&read(&frame), &frame, mtu);
        for piece in &fragments {
            prop_assert!(piece.len() - 14 <= mtu);
            prop_assert_eq!(&piece[..14], &frame[..14]);
            prop_assert_eq!(read(piece).len, piece.len() - 14);
        }
        if read(&frame).len > mtu {
            let again = whole(&fragments);
            prop_assert_eq!(again.as_deref(), Some(&frame[14..]));
        } else {
            prop_assert_eq!(fragments, [frame]);
        }
    }
}
