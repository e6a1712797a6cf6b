//! The hash as a program of the classic packet filter, which the system runs on each frame (PACKET_FANOUT_CBPF): what it
//! returns, modulo the number of sockets, is the number of the socket.
//!
//! The system runs it on the packet from its network header on (measured, and held by a test on a pair of virtual interfaces):
//! the Ethernet header and the outermost VLAN tag are in front of that, and the EtherType behind them is asked for by a load
//! from a magic place. A load beyond the end of the packet ends the program with 0.

use super::{FlowHash, ICMP, ICMP_V6, INNER_TAGS, IPV4, IPV6, OLD_PROVIDER_VLAN, PROVIDER_VLAN, TCP, UDP, VLAN};
use crate::io::sys::socket::Instruction;

// Operations, as linux/bpf_common.h puts them together. A is the accumulator, X the index, M sixteen words of memory.
const LOAD: u16 = 0x20;
/// A = half word at X + constant.
const LOAD_HALF_AT: u16 = 0x48;
const LOAD_BYTE_AT: u16 = 0x50;
const LOAD_WORD_AT: u16 = 0x40;
const LOAD_MEMORY: u16 = 0x60;
const LOAD_NUMBER: u16 = 0x00;
const INDEX_NUMBER: u16 = 0x01;
const INDEX_MEMORY: u16 = 0x61;
const STORE: u16 = 0x02;
const STORE_INDEX: u16 = 0x03;
const ADD_NUMBER: u16 = 0x04;
const ADD_INDEX: u16 = 0x0c;
const MULTIPLY: u16 = 0x24;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const SHIFT_RIGHT: u16 = 0x74;
const XOR_INDEX: u16 = 0xac;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const RETURN_NUMBER: u16 = 0x06;
const RETURN: u16 = 0x16;
const TO_INDEX: u16 = 0x07;

/// Where to load the EtherType from: SKF_AD_OFF + SKF_AD_PROTOCOL.
const ETHER_TYPE: u32 = (-0x1000i32) as u32;

// Places in memory.
/// Offset of the IP header.
const NETWORK: u32 = 0;
const HASH: u32 = 1;
const SCRATCH: u32 = 2;
const PORTS: [u32; 2] = [3, 4];
const FIRST_HASH: u32 = 5;

/// The program for a hash.
pub(in crate::io) fn program(hash: &FlowHash) -> Vec<Instruction> {
    let mut code = Assembler::default();
    code.put(LOAD, ETHER_TYPE);
    code.put(INDEX_NUMBER, 0);
    code.put(STORE_INDEX, NETWORK);
    for _ in 0..INNER_TAGS {
        code.skip_tag();
    }
    code.if_not(
        &[IPV4.into()],
        |code| {
            code.if_not(&[IPV6.into()], |code| code.put(RETURN_NUMBER, 0), |code| code.ipv6(hash));
        },
        |code| code.ipv4(hash),
    );
    // Never reached, but the system wants a program to end with this.
    code.put(RETURN_NUMBER, 0);
    code.0
}

/// A program that is being written.
#[derive(Default)]
struct Assembler(Vec<Instruction>);

impl Assembler {
    fn put(&mut self, code: u16, constant: u32) {
        self.0.push(Instruction { code, if_true: 0, if_false: 0, constant });
    }

    /// `no` if A is none of the values, else `yes`. A is the same at the start of both.
    fn if_not(&mut self, values: &[u32], no: impl FnOnce(&mut Self), yes: impl FnOnce(&mut Self)) {
        // Each comparison jumps over the rest of them, and over the jump to `yes` if it failed.
        for (index, &value) in values.iter().enumerate() {
            let if_true = (values.len() - index) as u8;
            self.put(JUMP_EQUAL, value);
            // The last one that fails comes to the jump behind the next instruction.
            if let Some(last) = self.0.last_mut() {
                last.if_true = if_true;
            }
        }
        let to_no = self.0.len();
        self.put(JUMP, 0);
        yes(self);
        let to_end = self.0.len();
        self.put(JUMP, 0);
        self.land(to_no);
        no(self);
        self.land(to_end);
        // Something must be there to land on.
        self.put(ADD_NUMBER, 0);
    }

    /// Lets the jump at `from` go to what is written next.
    fn land(&mut self, from: usize) {
        let distance = self.0.len() - from - 1;
        if let Some(jump) = self.0.get_mut(from) {
            jump.constant = distance as u32;
        }
    }

    /// If A is the type of a VLAN tag, the IP header is 4 bytes further on, and A the type behind the tag.
    fn skip_tag(&mut self) {
        self.if_not(
            &[VLAN, PROVIDER_VLAN, OLD_PROVIDER_VLAN].map(u32::from),
            |_| {},
            |code| {
                code.put(INDEX_MEMORY, NETWORK);
                code.put(LOAD_HALF_AT, 2);
                code.put(STORE, SCRATCH);
                code.put(LOAD_MEMORY, NETWORK);
                code.put(ADD_NUMBER, 4);
                code.put(STORE, NETWORK);
                code.put(LOAD_MEMORY, SCRATCH);
            },
        );
    }

    fn ipv4(&mut self, hash: &FlowHash) {
        self.no_ports();
        self.put(INDEX_MEMORY, NETWORK);
        self.put(LOAD_HALF_AT, 6);
        self.put(AND, 0x3fff);
        self.if_not(
            &[0],
            |_| {},
            |code| {
                // X: the transport header. The protocol comes first, while X is the IP header.
                code.put(LOAD_BYTE_AT, 9);
                code.put(STORE, SCRATCH);
                code.put(LOAD_BYTE_AT, 0);
                code.put(AND, 0xf);
                code.put(SHIFT_LEFT, 2);
                code.put(ADD_INDEX, 0);
                code.put(TO_INDEX, 0);
                code.put(LOAD_MEMORY, SCRATCH);
                code.ports(ICMP, [0, 8]);
            },
        );
        self.hash(hash, 12, 4);
    }

    fn ipv6(&mut self, hash: &FlowHash) {
        self.no_ports();
        self.put(INDEX_MEMORY, NETWORK);
        self.put(LOAD_BYTE_AT, 6);
        self.put(STORE, SCRATCH);
        self.put(LOAD_MEMORY, NETWORK);
        self.put(ADD_NUMBER, 40);
        self.put(TO_INDEX, 0);
        self.put(LOAD_MEMORY, SCRATCH);
        self.ports(ICMP_V6, [128, 129]);
        self.hash(hash, 8, 16);
    }

    fn no_ports(&mut self) {
        self.put(LOAD_NUMBER, 0);
        PORTS.into_iter().for_each(|port| self.put(STORE, port));
    }

    /// Stores the ports, if A is a protocol that has some. X is where its header begins.
    fn ports(&mut self, icmp: u8, echo: [u32; 2]) {
        let no_ports = |code: &mut Self| {
            let echo = |code: &mut Self| {
                code.put(LOAD_BYTE_AT, 0);
                code.if_not(
                    &echo,
                    |_| {},
                    |code| {
                        code.put(LOAD_HALF_AT, 4);
                        PORTS.into_iter().for_each(|port| code.put(STORE, port));
                    },
                );
            };
            code.if_not(&[icmp.into()], |_| {}, echo);
        };
        self.if_not(&[TCP.into(), UDP.into()], no_ports, |code| {
            for (port, at) in PORTS.into_iter().zip([0, 2]) {
                code.put(LOAD_HALF_AT, at);
                code.put(STORE, port);
            }
        });
    }

    /// Returns the hash of the two addresses, the first at offset `at` of the IP header, and of the ports.
    fn hash(&mut self, hash: &FlowHash, at: u32, address_bytes: u32) {
        for (side, port) in PORTS.into_iter().enumerate() {
            self.put(LOAD_NUMBER, hash.start);
            self.put(STORE, HASH);
            let address = at + side as u32 * address_bytes;
            for word in (address..address + address_bytes).step_by(4) {
                self.put(INDEX_MEMORY, NETWORK);
                self.put(LOAD_WORD_AT, word);
                self.step(hash);
            }
            self.put(LOAD_MEMORY, port);
            self.step(hash);
            if side == 0 {
                self.put(LOAD_MEMORY, HASH);
                self.put(STORE, FIRST_HASH);
            }
        }
        self.put(INDEX_MEMORY, FIRST_HASH);
        self.put(LOAD_MEMORY, HASH);
        self.put(ADD_INDEX, 0);
        self.mix(hash);
        self.put(RETURN, 0);
    }

    /// Takes A into the hash in memory.
    fn step(&mut self, hash: &FlowHash) {
        self.put(INDEX_MEMORY, HASH);
        self.put(ADD_INDEX, 0);
        self.mix(hash);
        self.put(STORE, HASH);
    }

    fn mix(&mut self, hash: &FlowHash) {
        self.put(MULTIPLY, hash.multiplier);
        self.put(TO_INDEX, 0);
        self.put(SHIFT_RIGHT, 16);
        self.put(XOR_INDEX, 0);
    }
}
