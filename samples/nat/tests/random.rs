//! Random traffic: answers reach whom they are for, no two live flows share an outside 5-tuple, and nothing is left in the end.

use std::collections::HashMap;

use mos_core::wire::TcpFlags;
use proptest::prelude::*;

use super::world::{World, echo, end, tcp, udp};
use super::*;
use crate::testing::cases;

#[derive(Clone, Debug)]
enum Act {
    Open(u8, u8),
    Reset(u8, u8, bool),
    Udp(u8, u8),
    Echo(u8, u8),
    /// Answers to all that is alive.
    Answers,
    /// Nothing, for long.
    Pause,
}

fn act() -> impl Strategy<Value = Act> {
    let pair = || (0..6u8, 0..3u8);
    prop_oneof![
        6 => pair().prop_map(|(client, server)| Act::Open(client, server)),
        3 => (pair(), any::<bool>()).prop_map(|((client, server), by_server)| Act::Reset(client, server, by_server)),
        4 => pair().prop_map(|(client, server)| Act::Udp(client, server)),
        4 => pair().prop_map(|(client, server)| Act::Echo(client, server)),
        2 => Just(Act::Answers),
        1 => Just(Act::Pause),
    ]
}

fn ends_of(client: u8, server: u8) -> (SocketAddrV4, SocketAddrV4) {
    (end(&format!("10.0.{}.1:{}", client / 2, 4000 + u16::from(client))), end(&format!("198.51.100.{server}:80")))
}

/// What is known of the live flows: under which names both ends know them.
#[derive(Default)]
struct Live {
    by_inside: HashMap<(Protocol, SocketAddrV4, SocketAddrV4), SocketAddrV4>,
}

impl Live {
    /// A packet of the flow has gone out under that name.
    fn note(&mut self, protocol: Protocol, inside: SocketAddrV4, server: SocketAddrV4, outside: SocketAddrV4) {
        if let Some(before) = self.by_inside.insert((protocol, inside, server), outside) {
            assert_eq!(before, outside, "a live flow keeps its name");
        }
        for (other, name) in &self.by_inside {
            let same = *other == (protocol, inside, server);
            assert!(
                same || other.0 != protocol || other.2 != server || *name != outside,
                "{other:?} is {outside}, too"
            );
        }
    }
}

fn run(config: NatConfig, acts: &[Act]) {
    let mut world = World::new(config);
    let mut live = Live::default();
    for act in acts {
        match *act {
            Act::Open(client, server) => {
                let (client, server) = ends_of(client, server);
                let key = (Protocol::Tcp, client, server);
                if !live.by_inside.contains_key(&key)
                    && let Some((outside, _)) = world.pass(&tcp(client, server, TcpFlags::SYN, [100, 0], b""))
                {
                    live.note(Protocol::Tcp, client, server, outside);
                }
            }
            Act::Reset(client, server, by_server) => {
                let (client, server) = ends_of(client, server);
                if let Some(outside) = live.by_inside.remove(&(Protocol::Tcp, client, server)) {
                    let (frame, ends) = match by_server {
                        true => (tcp(server, outside, TcpFlags::RST | TcpFlags::ACK, [0, 101], b""), (server, client)),
                        false => (tcp(client, server, TcpFlags::RST, [101, 0], b""), (outside, server)),
                    };
                    assert_eq!(world.pass(&frame), Some(ends));
                }
            }
            Act::Udp(client, server) => {
                let (client, server) = ends_of(client, server);
                if let Some((outside, _)) = world.pass(&udp(client, server, b"x")) {
                    live.note(Protocol::Udp, client, server, outside);
                }
            }
            Act::Echo(client, server) => {
                let (client, server) = ends_of(client, server);
                if let Some((outside, _)) = world.pass(&echo(*client.ip(), *server.ip(), 8, client.port())) {
                    live.note(Protocol::Icmp, client, server, outside);
                }
            }
            Act::Answers => {
                for (&(protocol, inside, server), outside) in &live.by_inside {
                    let answer = match protocol {
                        Protocol::Tcp => tcp(server, *outside, TcpFlags::SYN | TcpFlags::ACK, [500, 101], b""),
                        Protocol::Udp => udp(server, *outside, b"y"),
                        Protocol::Icmp => echo(*server.ip(), *outside.ip(), 0, outside.port()),
                    };
                    assert_eq!(world.pass(&answer).map(|ends| ends.1), Some(inside), "{protocol:?} {server} {outside}");
                }
            }
            Act::Pause => {
                // Longer than anything lasts that has not come to an established connection.
                world.wait(400);
                live.by_inside.clear();
            }
        }
    }
    world.wait(3 * 3600);
    world.assert_empty();
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn flows_never_meet_and_leave_nothing(
        acts in prop::collection::vec(act(), 1..120), cores in 1..4usize, ports in 1..40u16, addresses in 1..3u8,
    ) {
        let addresses = address_range(&format!("203.0.113.1-203.0.113.{addresses}")).unwrap();
        run(NatConfig { addresses, ports: 2000..=2000 + ports, ..config(cores) }, &acts);
    }
}
