//! The neighbours: which hardware address the hosts on our links have, how long that is believed, and when they are asked
//! again. ARP (RFC 826) and neighbour discovery (RFC 4861 section 7.3) differ in their messages, not in this.
//!
//! A neighbour that is needed is asked for once a second, three times at most. Its answer is believed for 30 seconds. After
//! that the address is still used, but as soon as it is, the neighbour is asked again, directly; if it does not answer
//! three times, it is forgotten. One that nobody needs is forgotten after ten minutes.
//!
//! Anybody can make us ask (by sending packets to addresses on our links) or remember (by asking for us), so the table is
//! bounded. When it is full, the neighbour goes whose next deadline is nearest: those that have not answered yet have the
//! near ones, so a scan of unused addresses pushes itself out, and not who is there.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use hashbrown::HashTable;

use super::mac::MacAddr;
use crate::time::Timestamp;

/// The most neighbours that are known or asked for.
pub const MAX_NEIGHBORS: usize = 4096;

/// How long an answer is believed.
//= RFC 4861 section 10
// REACHABLE_TIME. Hosts vary it at random so that they do not ask in step; each of ours begins with its own first packet.
pub(super) const REACHABLE: Duration = Duration::from_secs(30);

/// How long a neighbour is remembered that nobody needs.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(600);

//= RFC 4861 section 10
// RETRANS_TIMER; and at most one request a second to an address, RFC 1122 section 2.3.2.1.
pub(super) const RETRANSMIT: Duration = Duration::from_secs(1);

//= RFC 4861 section 10
// MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT.
pub(super) const MAX_PROBES: u8 = 3;

/// A host on one of our links. Link-local addresses may be the same on several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NeighborKey {
    pub(super) port: u16,
    pub(super) address: IpAddr,
}

/// What is known of a neighbour that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It has this hardware address.
    Known(MacAddr),
    /// It had this hardware address, and is to be asked, directly, whether it still has.
    Stale(MacAddr),
    /// It is to be asked for.
    Unknown,
    /// It has been asked for.
    Asked,
}

/// How a hardware address became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The neighbour says so to us. If it was asked, it is there and hears us.
    Answer {
        /// It counts even if another address is known.
        replaces: bool,
    },
    /// The neighbour said so to somebody else.
    Overheard,
    /// The neighbour said so as it asked for us: we will need it.
    Request,
}

/// What evidence came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// Nothing that is of interest here.
    Nothing,
    /// The neighbour was asked for, and can be sent to now.
    Resolved,
    /// The neighbour had this hardware address before.
    Moved(MacAddr),
}

/// What is to be done about a neighbour, as its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is to be asked; directly, if a hardware address was known.
    Ask(NeighborKey, Option<MacAddr>),
    /// It has not answered, and is forgotten.
    Silent(NeighborKey),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asked for so many times.
    Incomplete(u8),
    /// Believed until then; used after it, too.
    Known { until: Timestamp },
    /// Used, and asked so many times.
    Probing(u8),
}

#[derive(Clone, Copy, Debug)]
struct Neighbor {
    key: NeighborKey,
    mac: MacAddr,
    state: State,
    /// When it is asked again, or forgotten.
    deadline: Timestamp,
}

/// The table of neighbours.
#[derive(Debug)]
pub(super) struct Neighbors {
    table: HashTable<Neighbor>,
    /// The same neighbours by their deadlines.
    deadlines: BTreeSet<(Timestamp, NeighborKey)>,
    /// One that was asked for and is forgotten for another.
    evicted: Option<NeighborKey>,
    seed: u64,
    most: usize,
}

impl Neighbors {
    /// An empty table of at most `most` neighbours.
    pub(super) fn new(seed: u64, most: usize) -> Self {
        Self { table: HashTable::new(), deadlines: BTreeSet::new(), evicted: None, seed, most: most.max(1) }
    }

    /// Looks a neighbour up in order to send to it. If it is [`Lookup::Unknown`] or [`Lookup::Stale`], the caller asks.
    #[inline]
    pub(super) fn find(&mut self, key: NeighborKey, now: Timestamp) -> Lookup {
        match self.table.find(self.hash(key), |neighbor| neighbor.key == key) {
            Some(&Neighbor { mac, state: State::Known { until }, .. }) if now < until => Lookup::Known(mac),
            known => {
                let known = known.copied();
                self.find_unsure(key, known, now)
            }
        }
    }

    fn find_unsure(&mut self, key: NeighborKey, known: Option<Neighbor>, now: Timestamp) -> Lookup {
        let deadline = now + RETRANSMIT;
        match known {
            None => {
                self.insert(Neighbor { key, mac: MacAddr::UNKNOWN, state: State::Incomplete(1), deadline });
                Lookup::Unknown
            }
            Some(Neighbor { state: State::Incomplete(_), .. }) => Lookup::Asked,
            Some(Neighbor { state: State::Probing(_), mac, .. }) => Lookup::Known(mac),
            Some(neighbor) => {
                //= RFC 4861 section 7.3.2
                // Whether what is sent arrives cannot be told here, so there is no waiting for a sign of it (DELAY).
                self.update(Neighbor { state: State::Probing(1), deadline, ..neighbor });
                Lookup::Stale(neighbor.mac)
            }
        }
    }

    /// Takes note of a neighbour's hardware address.
    pub(super) fn learn(&mut self, key: NeighborKey, mac: MacAddr, evidence: Evidence, now: Timestamp) -> Learned {
        let stale = Neighbor { key, mac, state: State::Known { until: now }, deadline: now + FORGOTTEN };
        let sure = Neighbor { state: State::Known { until: now + REACHABLE }, ..stale };
        let Some(&known) = self.table.find(self.hash(key), |neighbor| neighbor.key == key) else {
            //= RFC 826 packet reception
            //= RFC 4861 section 7.2.3
            // Who asks for us is remembered. What others say among themselves, or unasked, is not.
            if evidence == Evidence::Request {
                self.insert(stale);
            }
            return Learned::Nothing;
        };
        let is_answer = matches!(evidence, Evidence::Answer { .. });
        match known.state {
            State::Incomplete(_) => {
                self.update(if is_answer { sure } else { stale });
                Learned::Resolved
            }
            State::Known { until } if known.mac == mac => {
                // Nobody asked, so it proves nothing; but the neighbour is not to be forgotten.
                self.update(Neighbor { state: State::Known { until }, ..stale });
                Learned::Nothing
            }
            State::Probing(_) if known.mac == mac => {
                if is_answer {
                    self.update(sure);
                }
                Learned::Nothing
            }
            State::Known { until } if evidence == (Evidence::Answer { replaces: false }) => {
                //= RFC 4861 section 7.2.5
                // Another address that does not claim to replace the known one makes that doubtful, no more.
                self.update(Neighbor { state: State::Known { until: until.min(now) }, ..known });
                Learned::Nothing
            }
            State::Probing(_) if evidence == (Evidence::Answer { replaces: false }) => Learned::Nothing,
            State::Probing(_) if is_answer => {
                self.update(sure);
                Learned::Moved(known.mac)
            }
            State::Known { .. } | State::Probing(_) => {
                // Anybody may say so. It is used, as everybody does; and asked about as soon as it is.
                self.update(stale);
                Learned::Moved(known.mac)
            }
        }
    }

    /// The hardware address that is known of a neighbour.
    pub(super) fn mac(&self, key: NeighborKey) -> Option<MacAddr> {
        let neighbor = self.table.find(self.hash(key), |neighbor| neighbor.key == key)?;
        (!matches!(neighbor.state, State::Incomplete(_))).then_some(neighbor.mac)
    }

    /// Forgets the hardware addresses of all neighbours at a port. Those that are being asked for are still wanted.
    pub(super) fn forget(&mut self, port: u16) {
        let is_known = |neighbor: &&Neighbor| !matches!(neighbor.state, State::Incomplete(_));
        let known = self.table.iter().filter(is_known).map(|neighbor| neighbor.key);
        let keys: Vec<NeighborKey> = known.filter(|key| key.port == port).collect();
        for key in keys {
            self.remove(key);
        }
    }

    /// The next neighbour whose time has come.
    pub(super) fn poll(&mut self, now: Timestamp) -> Option<Due> {
        loop {
            let &(deadline, key) = self.deadlines.first()?;
            if deadline > now {
                return None;
            }
            let neighbor = *self.table.find(self.hash(key), |neighbor| neighbor.key == key)?;
            let deadline = now + RETRANSMIT;
            match neighbor.state {
                State::Incomplete(probes) if probes < MAX_PROBES => {
                    self.update(Neighbor { state: State::Incomplete(probes + 1), deadline, ..neighbor });
                    return Some(Due::Ask(key, None));
                }
                State::Probing(probes) if probes < MAX_PROBES => {
                    self.update(Neighbor { state: State::Probing(probes + 1), deadline, ..neighbor });
                    return Some(Due::Ask(key, Some(neighbor.mac)));
                }
                State::Incomplete(_) | State::Probing(_) => {
                    self.remove(key);
                    return Some(Due::Silent(key));
                }
                State::Known { .. } => self.remove(key),
            }
        }
    }

    /// When [`poll`](Self::poll) has something to do.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// The neighbour that was forgotten for the one inserted last.
    pub(super) fn take_evicted(&mut self) -> Option<NeighborKey> {
        self.evicted.take()
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    fn insert(&mut self, neighbor: Neighbor) {
        if self.table.len() >= self.most
            && let Some(&(_, key)) = self.deadlines.first()
        {
            self.remove(key);
            self.evicted = Some(key);
        }
        let seed = self.seed;
        self.table.insert_unique(hash(seed, neighbor.key), neighbor, |neighbor| hash(seed, neighbor.key));
        self.deadlines.insert((neighbor.deadline, neighbor.key));
    }

    /// Changes a neighbour that is there.
    fn update(&mut self, neighbor: Neighbor) {
        let hash = self.hash(neighbor.key);
        if let Some(place) = self.table.find_mut(hash, |other| other.key == neighbor.key) {
            if place.deadline != neighbor.deadline {
                self.deadlines.remove(&(place.deadline, neighbor.key));
                self.deadlines.insert((neighbor.deadline, neighbor.key));
            }
            *place = neighbor;
        }
    }

    fn remove(&mut self, key: NeighborKey) {
        if let Ok(entry) = self.table.find_entry(self.hash(key), |neighbor| neighbor.key == key) {
            let (neighbor, _) = entry.remove();
            self.deadlines.remove(&(neighbor.deadline, key));
        }
    }

    #[inline]
    fn hash(&self, key: NeighborKey) -> u64 {
        hash(self.seed, key)
    }
}

/// A hash that nobody can make collisions for who does not know the seed.
#[inline]
pub(super) fn hash(seed: u64, NeighborKey { port, address }: NeighborKey) -> u64 {
    let (high, low) = match address {
        IpAddr::V4(address) => (0, u64::from(address.to_bits())),
        IpAddr::V6(address) => ((address.to_bits() >> 64) as u64, address.to_bits() as u64),
    };
    let digest = fold(high ^ seed ^ 0x9e37_79b9_7f4a_7c15, low ^ seed.rotate_left(29) ^ 0xd6e8_feb8_6659_fd93);
    fold(digest ^ seed, u64::from(port) ^ 0xa076_1d64_78bd_642f)
}

/// The 128-bit product of the operands, folded to 64 bits.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}
