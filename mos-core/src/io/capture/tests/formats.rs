//! What each format can say, and what it must not.

use super::*;
use crate::io::CaptureWriter;
use crate::io::capture::record::ByteOrder::{self, Big, Little};

#[test]
fn what_is_written_is_read() {
    let mut writer = CaptureWriter::new(Vec::new(), "test", LinkType::RawIp).unwrap();
    writer.write(Timestamp::from_nanos(1_700_000_000_123_456_789), b"abc", 7).unwrap();
    writer.write(Timestamp::ZERO, b"", 0).unwrap();
    writer.write(Timestamp::from_nanos(u64::MAX), b"xy", 1).unwrap();
    let got = |bytes: &[u8], wire_len, nanos| Got { bytes: bytes.to_vec(), wire_len, nanos, link: LinkType::RawIp };
    assert_eq!(
        frames(&writer.finish().unwrap()),
        [
            got(b"abc", 7, 1_700_000_000_123_456_789),
            got(b"", 0, 0),
            got(b"xy", 2, u64::from(u32::MAX) * 1_000_000_000 + 999_999_999)
        ]
    );
}

#[test]
fn every_link_type_is_written_as_it_is_read() {
    for link in [LinkType::Ethernet, LinkType::LinuxSll, LinkType::LinuxSll2, LinkType::RawIp, LinkType::Null] {
        let mut writer = CaptureWriter::new(Vec::new(), "test", link).unwrap();
        writer.write(Timestamp::ZERO, b"abc", 3).unwrap();
        assert_eq!(frames(&writer.finish().unwrap())[0].link, link);
    }
}

#[test]
fn the_writer_reports_what_it_cannot_write() {
    let mut writer = CaptureWriter::new(Vec::new(), "out", LinkType::Ethernet).unwrap();
    let error = writer.write(Timestamp::ZERO, &vec![0; MAX_FRAME_BYTES + 1], 0).unwrap_err();
    assert_eq!(error.to_string(), "out: a frame of 16777217 bytes is too long, the most is 16777216");
    assert_eq!(frames(&writer.finish().unwrap()), []);
    let mut full = [0; 30];
    let mut writer = CaptureWriter::new(&mut full[..], "out", LinkType::Ethernet).unwrap();
    let error = writer.write(Timestamp::ZERO, b"abc", 3).unwrap_err();
    assert!(matches!(error, DeviceError::Write { .. }), "{error}");
    assert!(matches!(CaptureWriter::create("/nowhere/x", LinkType::Null), Err(DeviceError::Open { .. })));
}

#[test]
fn classic_byte_orders_and_resolutions() {
    for order in [Little, Big] {
        for (magic, nanos) in [(0xa1b2_c3d4, 5_000), (0xa1b2_3c4d, 5), (0xa1b2_cd34, 5_000)] {
            let file = ClassicFile::new(order, magic, 1).frame(2, 5, b"first", 5).frame(1, 0, b"cut", 1500);
            let cut = Got { wire_len: 1500, ..ethernet(b"cut", 1_000_000_000) };
            assert_eq!(frames(&file.bytes), [ethernet(b"first", 2_000_000_000 + nanos), cut]);
        }
    }
}

#[test]
fn classic_oddities_are_tolerated() {
    // More bytes than were on the wire, a fraction of more than a second, a frame beyond the snapshot length of 96, and
    // the length of the frame check sequence above the link type.
    let long = [7; 200];
    let file =
        ClassicFile::new(Big, 0xa1b2_c3d4, 0x5400_0001).frame(u32::MAX, u32::MAX, b"abcd", 2).frame(0, 0, &long, 200);
    let latest = u64::from(u32::MAX) * 1_000_001_000;
    assert_eq!(frames(&file.bytes), [ethernet(b"abcd", latest), ethernet(&long, 0)]);
}

#[test]
fn link_types() {
    let expected = [
        (0, LinkType::Null),
        (1, LinkType::Ethernet),
        (12, LinkType::RawIp),
        (14, LinkType::RawIp),
        (101, LinkType::RawIp),
        (108, LinkType::Null),
        (113, LinkType::LinuxSll),
        (228, LinkType::RawIp),
        (229, LinkType::RawIp),
        (276, LinkType::LinuxSll2),
    ];
    for (number, link) in expected {
        let classic = ClassicFile::new(Little, 0xa1b2_c3d4, number).frame(0, 0, b"abc", 3);
        assert_eq!(frames(&classic.bytes)[0].link, link);
        let ng = NgFile::new(Big).interface(number as u16, 0, &[]).enhanced(0, 0, b"abc", 3);
        assert_eq!(frames(&ng.bytes)[0].link, link);
    }
}

#[test]
fn unsupported_link_types_are_counted() {
    let mut file = NgFile::new(Little).interface(147, 0, &[]).interface(1, 0, &[]).interface(104, 0, &[]);
    for interface in [0, 1, 0, 2, 1, 0] {
        file = file.enhanced(interface, 9, b"abc", 3);
    }
    let mut reader = CaptureReader::new(&file.bytes[..], "test", 0);
    assert_eq!(drain_by(&mut reader, 1).0, [ethernet(b"abc", 9_000), ethernet(b"abc", 9_000)]);
    assert_eq!(reader.unsupported(), [(104, 1), (147, 3)]);
    assert_eq!(reader.position(), file.bytes.len() as u64);
}

/// Two interfaces with clocks of their own, every kind of packet block, blocks to pass over; then the same in a second
/// section of the other byte order, where the interfaces are others.
fn sample(first: ByteOrder, second: ByteOrder) -> (NgFile, Vec<Got>) {
    let offset = |order, seconds: i64| if order == Big { seconds.to_be_bytes() } else { seconds.to_le_bytes() };
    let file = NgFile::new(first)
        .interface(1, 4, &[(2, b"eth0"), (14, &offset(first, -3)), (0, b"")])
        .block(5, vec![1; 12])
        .interface(101, 0, &[(9, &[0x80 | 10])])
        .enhanced(1, 1024 + 512, b"enhanced", 60)
        .simple(b"simp", 900)
        .simple(b"abc", 3)
        .obsolete(0, 7_000_001, b"obsolete!", 9)
        .block(0x8000_0bad, Vec::new())
        .section(second)
        .interface(276, 0, &[(9, &[9]), (14, &offset(second, 2))])
        .simple(b"all", 3)
        .enhanced(0, 1 << 33, b"", 0);
    let got = |bytes: &[u8], wire_len, nanos, link| Got { bytes: bytes.to_vec(), wire_len, nanos, link };
    let frames = vec![
        got(b"enhanced", 60, 1_500_000_000, LinkType::RawIp),
        got(b"simp", 900, 1_500_000_000, LinkType::Ethernet),
        got(b"abc", 3, 1_500_000_000, LinkType::Ethernet),
        got(b"obsolete!", 9, 4_000_001_000, LinkType::Ethernet),
        got(b"all", 3, 4_000_001_000, LinkType::LinuxSll2),
        got(b"", 0, (1 << 33) + 2_000_000_000, LinkType::LinuxSll2),
    ];
    (file, frames)
}

#[test]
fn ng_sections_interfaces_and_packet_blocks() {
    for (first, second) in [(Little, Big), (Big, Little), (Little, Little)] {
        let (file, expected) = sample(first, second);
        assert_eq!(frames(&file.bytes), expected);
    }
}

#[test]
fn cut_anywhere_everything_before_the_cut_is_delivered() {
    let classic =
        ClassicFile::new(Big, 0xa1b2_cd34, 1).frame(1, 2, b"one", 3).frame(2, 3, b"", 0).frame(3, 4, b"four", 4);
    let plain = ClassicFile::new(Little, 0xa1b2_c3d4, 1).frame(1, 2, b"one", 3).frame(2, 3, b"two!", 4);
    let (ng, _) = sample(Little, Big);
    for (bytes, records) in [(classic.bytes, classic.records), (plain.bytes, plain.records), (ng.bytes, ng.records)] {
        let whole = frames(&bytes);
        for cut in 0..=bytes.len() {
            let (got, error) = drain(&bytes[..cut]);
            let before = records.iter().filter(|(start, _)| *start < cut);
            let boundary = cut == bytes.len() || records.iter().any(|(start, _)| *start == cut);
            let last = records.iter().rfind(|(start, _)| *start < cut).map_or(0, |(start, _)| *start);
            let in_whole = before.filter(|(start, is_frame)| *is_frame && (boundary || *start < last)).count();
            assert_eq!(got, whole[..in_whole], "cut at {cut}");
            match error {
                None => assert!(boundary && cut > 0, "cut at {cut}"),
                Some(DeviceError::Empty { .. }) => assert_eq!(cut, 0),
                Some(DeviceError::Truncated { offset, needs, has, .. }) => {
                    assert!(!boundary, "cut at {cut}");
                    assert_eq!((offset, has), (last as u64, cut - last));
                    assert!(needs > has);
                    let end = records.iter().map(|(start, _)| *start).find(|start| *start > cut);
                    assert!(needs <= end.unwrap_or(bytes.len()) - last, "cut at {cut}: needs {needs}");
                }
                Some(other) => panic!("cut at {cut}: {other}"),
            }
        }
    }
}

#[test]
fn what_is_no_capture_file_is_said_to_be_none() {
    let error = |bytes: &[u8]| {
        let (frames, error) = drain(bytes);
        assert_eq!(frames, []);
        error.unwrap().to_string()
    };
    assert_eq!(error(b""), "test: empty: not even the header of a capture file");
    assert_eq!(error(b"abc"), "test: truncated: the record at byte 0 needs 4 bytes, the file has 3");
    assert_eq!(error(b"\x1f\x8b\x08\0..."), "test: neither pcap nor pcapng: it starts with 1f 8b 08 00");
    let header = ClassicFile::new(Little, 0xa1b2_c3d4, 1).bytes;
    assert_eq!(error(&header[..20]), "test: truncated: the record at byte 0 needs 24 bytes, the file has 20");
    let error = CaptureReader::open("/nowhere/x.pcap", 0).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/x.pcap: cannot be opened: "), "{error}");
}

#[test]
fn damage_is_named_with_its_place() {
    let start = || NgFile::new(Little).interface(1, 0, &[]).enhanced(0, 0, b"good", 4);
    let offset = start().bytes.len();
    let block = |bytes: &[u8]| {
        let mut file = start();
        file.bytes.extend(bytes);
        file
    };
    let body = |fields: &[u32]| start().body(fields, b"data");
    let most = MAX_FRAME_BYTES as u32 + 1;
    let cases: Vec<(NgFile, Damage)> = vec![
        (block(&[9, 0, 0, 0, 14, 0, 0, 0]), Damage::BlockUnaligned { length: 14 }),
        (block(&[9, 0, 0, 0, 8, 0, 0, 0]), Damage::BlockTooShort { length: 8, least: 12 }),
        (block(&[9, 0, 0, 0, 0, 0, 0, 9]), Damage::BlockTooLong { length: 9 << 24 }),
        (block(&[9, 0, 0, 0, 12, 0, 0, 0, 16, 0, 0, 0]), Damage::LengthMismatch { leading: 12, trailing: 16 }),
        (block(&[10, 13, 13, 10, 28, 0, 0, 0, 1, 2, 3, 4]), Damage::ByteOrder { magic: [1, 2, 3, 4] }),
        (start().block(0x0a0d_0d0a, body(&[0x1a2b_3c4d])), Damage::BlockTooShort { length: 20, least: 28 }),
        (start().block(0x0a0d_0d0a, body(&[0x1a2b_3c4d, 2, 0])), Damage::Version { major: 2, minor: 0 }),
        (start().block(1, body(&[])), Damage::BlockTooShort { length: 16, least: 20 }),
        (start().interface(1, 0, &[(9, &[1, 2])]), Damage::OptionLength { code: 9, length: 2, expected: 1 }),
        (start().block(1, body(&[1, 0])), Damage::OptionBeyondBlock { code: u16::from_le_bytes(*b"da") }),
        (start().enhanced(1, 0, b"", 0), Damage::UnknownInterface { interface: 1, known: 1 }),
        (start().obsolete(9, 0, b"", 0), Damage::UnknownInterface { interface: 9, known: 1 }),
        (start().section(Big).simple(b"", 0), Damage::UnknownInterface { interface: 0, known: 0 }),
        (start().block(6, body(&[0, 0, 0])), Damage::BlockTooShort { length: 28, least: 32 }),
        (start().block(6, body(&[0, 0, 0, 5, 5])), Damage::FrameBeyondBlock { captured: 5, room: 4 }),
        (start().block(6, body(&[0, 0, 0, most, 5])), Damage::FrameTooLong { captured: most }),
        (start().block(2, body(&[0])), Damage::BlockTooShort { length: 20, least: 32 }),
        (start().block(3, body(&[9])), Damage::FrameBeyondBlock { captured: 9, room: 4 }),
        (start().block(3, Vec::new()), Damage::BlockTooShort { length: 12, least: 16 }),
    ];
    for (file, expected) in cases {
        // Frames behind the damage are not delivered: there is no telling where they start.
        let expected_offset = file.records.last().filter(|(start, _)| *start >= offset).map_or(offset, |last| last.0);
        let (got, error) = drain(&file.enhanced(0, 0, b"behind", 6).bytes);
        assert_eq!(got, [ethernet(b"good", 0)], "{expected:?}");
        match error {
            Some(DeviceError::Damaged { offset, what, .. }) => {
                assert_eq!((offset, what), (expected_offset as u64, expected));
            }
            other => panic!("{expected:?}: {other:?}"),
        }
    }
    let file = ClassicFile::new(Little, 0xa1b2_c3d4, 1).frame(0, 0, b"good", 4).header(0, 0, most, most);
    let (got, error) = drain(&file.bytes);
    assert_eq!(got.len(), 1);
    assert_eq!(
        error.unwrap().to_string(),
        "test: damaged: the record at byte 44 says that it holds 16777217 bytes of a frame, the most is 16777216"
    );
}

#[test]
fn the_longest_frame_is_read() {
    let long = vec![0x5a; MAX_FRAME_BYTES];
    let length = long.len() as u32;
    let classic = ClassicFile::new(Big, 0xa1b2_c3d4, 1).frame(0, 0, b"abc", 3).frame(0, 0, &long, length);
    assert_eq!(frames(&classic.bytes), [ethernet(b"abc", 0), ethernet(&long, 0)]);
    let ng = NgFile::new(Little).interface(1, 0, &[]).enhanced(0, 0, &long, length).enhanced(0, 0, b"abc", 3);
    assert_eq!(frames(&ng.bytes), [ethernet(&long, 0), ethernet(b"abc", 0)]);
}

#[test]
fn interfaces_are_bounded() {
    let mut file = NgFile::new(Little);
    for _ in 0..65_537 {
        file = file.interface(1, 0, &[]);
    }
    let (_, error) = drain(&file.bytes);
    let Some(DeviceError::Damaged { offset, what, .. }) = error else { panic!("{error:?}") };
    assert_eq!((offset, what), (28 + 65_536 * 20, Damage::TooManyInterfaces { most: 65_536 }));
}
