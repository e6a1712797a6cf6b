//! mtcp_setlastpkt (spec 8.1), operation by operation: what each layer's bounds are, and what goes on.

use mos_core::config::Config;
use mos_core::packet::LinkType;
use mos_core::wire::{PacketKind, SeqNum, TcpFlags, TcpSegment, checksum, decode};
use mos_monitor::{AlterError, Conn, EditError, Event, Layer, Monitor, Side};

use crate::support::talk::Talk;
use crate::support::{Frame, Log, batch, core_with, finish, reader};

type Conns<'a, 'b> = Conn<'a, 'b, mos_monitor::AtSnd>;

/// 10 bytes of payload behind 12 bytes of options: an Ethernet frame of 14 + 20 + 32 + 10 bytes.
const PAYLOAD: &[u8] = b"0123456789";
const LENGTHS: [(Layer, usize); 4] = [(Layer::Ethernet, 14), (Layer::Ip, 20), (Layer::Tcp, 32), (Layer::Payload, 10)];

/// A handshake and a segment with payload, on Ethernet with time stamps.
fn frames() -> Vec<Frame> {
    let mut talk = Talk::new(1);
    let mut frames = Vec::from(talk.handshake());
    frames.push(talk.data(Side::Client, PAYLOAD));
    let options = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];
    let on_ethernet = |frame: &Frame| {
        let packet = decode(&frame.bytes, frame.wire_len, frame.link);
        let [src, dst] = [
            (packet.source(&frame.bytes), packet.src_port).into(),
            (packet.destination(&frame.bytes), packet.dst_port).into(),
        ];
        let (seq, ack, flags, payload) = (packet.seq, packet.ack, packet.tcp_flags, packet.payload(&frame.bytes));
        let segment = TcpSegment { seq, ack, flags, payload, options: &options, ..TcpSegment::new(src, dst) };
        let bytes = segment.to_ethernet();
        Frame { wire_len: bytes.len() as u32, bytes, time: frame.time, link: LinkType::Ethernet }
    };
    frames.iter().map(on_ethernet).collect()
}

/// What becomes of the segment when a callback at SND does this with it, and what its receiver has then.
fn after(mut edit: impl FnMut(&mut Conns<'_, '_>) + 'static) -> (Option<Vec<u8>>, Vec<u8>) {
    let monitor = Monitor::<(), ()>::new("editor", ()).on_snd(Event::PktIn, move |cx| {
        if cx.conn.packet().is_some_and(|packet| !packet.payload().is_empty()) {
            edit(&mut cx.conn);
        }
    });
    let (mut core, _) = core_with(Config::default(), monitor);
    let log = core.open(reader()).unwrap();
    let frames = frames();
    let mut batch = batch(&frames);
    let mut burst = batch.burst(0..frames.len());
    core.process(&mut burst);
    let forwarded = core.stack().forwarded(3, &burst).map(<[u8]>::to_vec);
    assert_eq!(core.panics(), 0);
    finish(&mut core);
    let flow = &core.state::<Log>(log).unwrap().flows[0];
    (forwarded, flow.streams[1].bytes.clone())
}

/// The payload of a frame whose lengths and checksums are right.
fn payload(frame: &[u8]) -> &[u8] {
    let packet = decode(frame, frame.len() as u32, LinkType::Ethernet);
    assert_eq!(packet.kind, PacketKind::Tcp);
    assert_eq!(checksum::tcp_ok(&packet, frame), Some(true));
    assert!(checksum::ipv4_header_ok(packet.network_header(frame)));
    assert_eq!(packet.payload_range().end, frame.len(), "the IP length is that of the frame");
    packet.payload(frame)
}

fn out_of_bounds(result: Result<(), AlterError>) -> bool {
    matches!(result, Err(AlterError::Edit(EditError::OutOfBounds { .. })))
}

/// MOS_DROP: it does not go on, and its receiver never gets it (D23).
#[test]
fn spec_8_1_drop_is_not_forwarded_and_not_received() {
    let (frame, received) = after(|conn| assert!(conn.drop_packet()));
    assert_eq!((frame, received.len()), (None, 0));
}

/// MOS_OVERWRITE: up to the end of the layer and no byte further; at the end, nothing can be written.
#[test]
fn spec_8_1_overwrite_keeps_within_each_layer() {
    for (layer, len) in LENGTHS {
        let (frame, _) = after(move |conn| {
            for (offset, count) in [(0, len + 1), (len - 1, 2), (len, 1), (len + 1, 0), (usize::MAX, 1), (1, len)] {
                let result = conn.edit().overwrite(layer, offset, &vec![0xee; count]).map(|_| ());
                assert!(out_of_bounds(result), "{layer}: {count} at {offset}: {result:?}");
            }
            // All of it, as it is: nothing changes.
            let packet = conn.last_packet().unwrap().to_copy();
            let parts = packet.as_packet();
            let all = match layer {
                Layer::Ethernet => parts.ethernet,
                Layer::Ip => parts.ip,
                Layer::Tcp => parts.tcp,
                Layer::Payload => parts.payload,
            };
            assert_eq!(all.len(), len);
            conn.edit().overwrite(layer, 0, all).unwrap();
            conn.edit().overwrite(layer, len, b"").unwrap();
        });
        assert_eq!(frame.as_deref(), Some(&frames()[3].bytes[..]), "{layer}");
    }
}

/// Each layer's bytes are where they are said to be, and the checksums follow.
#[test]
fn spec_8_1_overwrite_of_every_layer_goes_on_with_right_checksums() {
    let (frame, received) = after(|conn| {
        conn.edit()
            .overwrite(Layer::Ethernet, 0, &[2, 9, 9, 9, 9, 9])
            .unwrap()
            .overwrite(Layer::Ip, 8, &[7])
            .unwrap()
            .overwrite(Layer::Tcp, 14, &1234_u16.to_be_bytes())
            .unwrap()
            .overwrite(Layer::Payload, 7, b"xyz")
            .unwrap();
        let info = conn.last_packet().unwrap().info;
        assert_eq!(info.window, 1234, "what is known of the packet is read again");
    });
    let frame = frame.unwrap();
    assert_eq!((&frame[..6], frame[22]), (&[2, 9, 9, 9, 9, 9][..], 7));
    assert_eq!((payload(&frame), &received[..]), (&b"0123456xyz"[..], &b"0123456xyz"[..]));
}

/// Sequence number and addresses overwritten in the header are those that the receiver's half goes by.
#[test]
fn spec_8_1_overwrite_of_the_sequence_number_moves_the_data() {
    let (frame, received) = after(|conn| {
        let seq = SeqNum(conn.last_packet().unwrap().info.seq.wrapping_sub(4));
        conn.edit().overwrite(Layer::Tcp, 4, &seq.0.to_be_bytes()).unwrap();
        assert_eq!(conn.last_packet().unwrap().info.seq, seq.0);
    });
    assert_eq!(payload(&frame.unwrap()), PAYLOAD);
    assert_eq!(received, b"456789", "the first four lie before the stream");
}

/// MOS_CHOMP: bytes go, lengths follow; nothing beyond the layer, nothing of the link header, headers by whole words.
#[test]
fn spec_8_1_chomp_takes_out_bytes_of_each_layer() {
    let (frame, received) = after(|conn| {
        for (layer, len) in LENGTHS {
            let results = [(0, len + 4), (len, 1), (usize::MAX, 4)]
                .map(|(offset, count)| conn.edit().chomp(layer, offset, count).map(|_| ()));
            assert!(results.iter().all(|result| result.is_err()), "{layer}: {results:?}");
        }
        assert!(conn.edit().chomp(Layer::Ethernet, 0, 4).is_err());
        assert!(conn.edit().chomp(Layer::Ip, 0, 4).is_err());
        assert!(conn.edit().chomp(Layer::Tcp, 20, 3).is_err(), "a header has whole words");
        conn.edit().chomp(Layer::Tcp, 20, 12).unwrap().chomp(Layer::Payload, 2, 3).unwrap();
        assert_eq!(conn.last_packet().unwrap().tcp.len(), 20);
    });
    let frame = frame.unwrap();
    assert_eq!(frame.len(), 14 + 20 + 20 + 7);
    assert_eq!((payload(&frame), &received[..]), (&b"0156789"[..], &b"0156789"[..]));
}

/// MOS_INSERT: no byte is lost. Before the first, in the middle, behind the last; options of TCP and IP.
#[test]
fn spec_8_1_insert_destroys_no_byte() {
    for (offset, expected) in [(0, b"ABC0123456789"), (4, b"0123ABC456789"), (10, b"0123456789ABC")] {
        let (frame, received) = after(move |conn| {
            conn.edit().insert(Layer::Payload, offset, b"ABC").unwrap();
            assert!(out_of_bounds(conn.edit().insert(Layer::Payload, 14, b"ABC").map(|_| ())));
        });
        assert_eq!((payload(&frame.unwrap()), &received[..]), (&expected[..], &expected[..]));
    }
    let (frame, _) = after(|conn| {
        conn.edit().insert(Layer::Tcp, 32, &[1, 1, 1, 0]).unwrap().insert(Layer::Ip, 20, &[1, 1, 1, 0]).unwrap();
        assert!(conn.edit().insert(Layer::Tcp, 32, &[1; 3]).is_err(), "a header has whole words");
        assert!(conn.edit().insert(Layer::Tcp, 32, &[1; 28]).is_err(), "a TCP header has 60 bytes at most");
        assert!(conn.edit().insert(Layer::Ethernet, 12, &[0; 4]).is_err());
    });
    let frame = frame.unwrap();
    assert_eq!(frame.len(), 14 + 24 + 36 + 10);
    assert_eq!(payload(&frame), PAYLOAD);
}

/// The longest packet that the way on can take is a bound.
#[test]
fn spec_8_1_insert_keeps_to_the_mtu() {
    let monitor = Monitor::<(), ()>::new("editor", ()).on_snd(Event::PktIn, |cx| {
        if cx.conn.packet().is_some_and(|packet| !packet.payload().is_empty()) {
            let too_long = cx.conn.edit().insert(Layer::Payload, 0, &[b'+'; 1500 - 62 + 1]).map(|_| ());
            assert!(matches!(too_long, Err(AlterError::Edit(EditError::TooLong { .. }))), "{too_long:?}");
            cx.conn.edit().insert(Layer::Payload, 0, &[b'+'; 1500 - 62]).unwrap();
        }
    });
    let (mut core, _) = core_with(Config { max_ip_len: 1500, ..Config::default() }, monitor);
    let frames = frames();
    let mut batch = batch(&frames);
    let mut burst = batch.burst(0..frames.len());
    core.process(&mut burst);
    assert_eq!(core.stack().forwarded(3, &burst).map(<[u8]>::len), Some(1514));
    assert_eq!(core.panics(), 0);
}

/// The pattern of a NAT: address and port overwritten, both checksums right; with the fields by name it is the same.
#[test]
fn spec_8_1_address_and_port_overwritten_are_as_rewritten() {
    let (by_bytes, _) = after(|conn| {
        conn.edit()
            .overwrite(Layer::Ip, 16, &[203, 0, 113, 7])
            .unwrap()
            .overwrite(Layer::Tcp, 2, &8080_u16.to_be_bytes())
            .unwrap();
    });
    let (by_name, _) = after(|conn| conn.rewrite().dst([203, 0, 113, 7], 8080).apply().unwrap());
    assert_eq!(payload(by_bytes.as_ref().unwrap()), PAYLOAD);
    assert_eq!(by_bytes, by_name);
    let (flags, _) = after(|conn| conn.rewrite().flags(TcpFlags::ACK | TcpFlags::PSH).apply().unwrap());
    assert_eq!(payload(&flags.unwrap()), PAYLOAD);
}
