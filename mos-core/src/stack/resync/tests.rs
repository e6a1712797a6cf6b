use alloc::vec::Vec;

use super::*;
use crate::config::{ChecksumMode, Config};
use crate::event::{Attachment, Interest, Observer};
use crate::packet::{Burst, FrameMeta, LinkType, Offload};
use crate::stack::PacketCx;
use crate::time::Timestamp;
use crate::wire::{TcpFlags, TcpSegment};

/// Flows are tracked, and nobody hears of it.
struct Nobody;

impl Observer for Nobody {
    fn wants_flows(&self) -> bool {
        true
    }
    fn on_open(&mut self, _: &mut PacketCx<'_>) -> Option<Attachment> {
        Some(Attachment { interest: Interest::NONE, table: 0 })
    }
}

/// The only flow of a stack, established: the client sends from 101 on, the server from 501 on.
struct OneFlow(Stack);

impl OneFlow {
    fn new() -> Self {
        let config = Config { max_flows: 8, checksum: ChecksumMode::Trust, hash_seed: 7, ..Config::default() };
        let mut flow = Self(Stack::new(config));
        flow.send(Side::Client, TcpFlags::SYN, 100, 0, 0);
        flow.send(Side::Server, TcpFlags::SYN | TcpFlags::ACK, 500, 101, 0);
        flow.send(Side::Client, TcpFlags::ACK, 101, 501, 0);
        flow
    }

    fn send(&mut self, side: Side, flags: u8, seq: u32, ack: u32, len: usize) {
        let (client, server) = ("10.0.0.1:2000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let (src, dst) = if side == Side::Client { (client, server) } else { (server, client) };
        let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let segment = TcpSegment { flags, payload: &payload, ..TcpSegment::new(src, dst) };
        let mut memory = TcpSegment { seq: SeqNum(seq), ack: SeqNum(ack), window: 1000, ..segment }.to_ethernet();
        let len = memory.len() as u32;
        let meta = FrameMeta {
            timestamp: Timestamp::from_millis(1),
            start: 0,
            captured: len,
            wire_len: len,
            port: 0,
            link: LinkType::Ethernet,
            offload: Offload::NONE,
        };
        let mut burst = Burst { memory: &mut memory, frames: &[meta], upcoming: &[] };
        self.0.process_burst(&mut burst, &mut Nobody);
    }

    fn is_plain(&self) -> bool {
        self.0.flows.extras(0).is_none() && self.0.flows.hot(0).flags.any(crate::flow::FlowFlags::FAST)
    }
}

#[test]
fn what_was_missed_once_does_not_keep_a_flow_from_the_short_way() {
    let mut flow = OneFlow::new();
    assert!(flow.is_plain());
    // An acknowledgment beyond the window, of what nobody has sent: more packets than that may have been missed.
    flow.send(Side::Client, TcpFlags::ACK, 101, 2501, 0);
    assert!(flow.0.flows.extras(0).is_some_and(|extras| extras.ahead.is_some()));
    // But the flow goes on as if they had not.
    flow.send(Side::Server, TcpFlags::ACK, 501, 101, 200);
    flow.send(Side::Server, TcpFlags::ACK, 701, 101, 10);
    assert!(flow.is_plain(), "{:?}", flow.0.flows.extras(0));
    flow.send(Side::Client, TcpFlags::ACK, 101, 711, 0);
    assert!(flow.is_plain());
}

#[test]
fn refused_data_is_remembered_until_its_sender_has_gone_past_it() {
    let mut flow = OneFlow::new();
    // Beyond the window of 1,000 bytes, though not far: the receiver may know of a wider one.
    flow.send(Side::Server, TcpFlags::ACK, 501 + 1200, 101, 100);
    let refused = |flow: &OneFlow| flow.0.flows.extras(0).and_then(|extras| extras.refused[Side::Server as usize]);
    assert_eq!(refused(&flow), Some(SeqNum(501 + 1300)));
    flow.send(Side::Server, TcpFlags::ACK, 501, 101, 900);
    flow.send(Side::Client, TcpFlags::ACK, 101, 1401, 0);
    assert_eq!(refused(&flow), Some(SeqNum(501 + 1300)));
    flow.send(Side::Server, TcpFlags::ACK, 1401, 101, 600);
    flow.send(Side::Client, TcpFlags::ACK, 101, 2001, 0);
    assert!(flow.is_plain(), "{:?}", flow.0.flows.extras(0));
}
