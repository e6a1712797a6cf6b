//! Lines of tables: devices, hardware addresses, routes, pairs.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::device::DeviceName;
use super::error::{Notes, Place, Problem};
use super::file::{ArpEntry, Device, ForwardPair, MacAddress, Machine, Route};
use super::keys::Block;
use super::lex::Text;
use super::near::nearest;
use super::net::{BadNet, Net};
use super::settings::Placed;
use super::text::{Quoted, Word, words};
use super::value;

/// A device's name in another block than `netdev`: that block may come later.
type NameOfDevice<'t> = Text<'t>;

/// How many devices a message names.
const SHOWN_DEVICES: usize = 16;

/// The lines of all tables.
#[derive(Default)]
pub(super) struct Tables<'t> {
    pub(super) devices: Vec<Placed<Device>>,
    pub(super) arp_entries: Vec<Placed<ArpEntry>>,
    routes: Vec<(Placed<Route>, NameOfDevice<'t>)>,
    pairs: Vec<[NameOfDevice<'t>; 2]>,
    /// What must not come twice, and where it was. For a device, whatever else is wrong with it, its index as well.
    names: BTreeMap<&'t str, (usize, Place)>,
    arp_nets: BTreeMap<Net, Place>,
    route_nets: BTreeMap<Net, Place>,
    partners: BTreeMap<&'t str, Place>,
}

/// A line of a table that is being read, word by word.
struct Line<I> {
    block: Block,
    place: Place,
    end: Place,
    words: I,
}

/// What is wrong with a line, and where.
type Fault = (Place, Problem);

impl<'t, I: Iterator<Item = Word<'t>>> Line<I> {
    fn fault(&self, place: Place, why: impl Into<String>) -> Fault {
        (place, Problem::BadLine { why: why.into(), block: self.block })
    }

    /// The next word, which stands for `what`.
    fn word(&mut self, what: &str) -> Result<Text<'t>, Fault> {
        match self.words.next() {
            Some(word) => Ok(Text { text: word.text, place: self.place.of(word) }),
            None => Err(self.fault(self.end, format!("the {what} is missing"))),
        }
    }

    fn instead(&self, found: Text<'_>, of: &str) -> Fault {
        self.fault(found.place, format!("found {} instead of {of}", Quoted(found.text)))
    }

    /// A network, and the word that it was.
    fn net(&mut self) -> Result<(Net, Text<'t>), Fault> {
        let word = self.word("address")?;
        match word.text.parse() {
            Ok(net) => Ok((net, word)),
            Err(BadNet { at, allowed }) => {
                // What stands before a wrong mask is an address, which is ASCII.
                let found = Text { text: &word.text[at..], place: word.place.after(at) };
                Err(self.instead(found, allowed))
            }
        }
    }

    /// The line is over.
    fn finish(mut self) -> Result<(), Fault> {
        match self.words.next() {
            Some(word) => {
                let why = format!("{} is one word too many", Quoted(word.text));
                Err(self.fault(self.place.of(word), why))
            }
            None => Ok(()),
        }
    }
}

/// Reads the words of a line.
fn line<'t>(block: Block, text: Text<'t>) -> Line<impl Iterator<Item = Word<'t>>> {
    Line { block, place: text.place, end: text.end(), words: words(text.text) }
}

impl<'t> Tables<'t> {
    /// Reads a line of a block that is a table.
    pub(super) fn read(&mut self, block: Block, text: Text<'t>, machine: Machine<'_>, notes: &mut Notes) {
        let done = match block {
            Block::Netdev => self.device(text, machine, notes),
            Block::ArpTable => self.arp_entry(text),
            Block::RouteTable => self.route(text),
            Block::NicForwardTable => self.pair(text),
            Block::Application | Block::Mos => unreachable!("its lines are settings"),
        };
        if let Err((place, problem)) = done {
            notes.add(place, problem);
        }
    }

    fn device(&mut self, text: Text<'t>, machine: Machine<'_>, notes: &mut Notes) -> Result<(), Fault> {
        let mut line = line(Block::Netdev, text);
        let name = line.word("device")?;
        // Other blocks may name it even if there is something wrong with it: that is one fault, not several.
        let index = self.names.len();
        if let Some((_, first)) = self.names.get(name.text) {
            return Err((name.place, Problem::Repeated { found: name.text.into(), first: *first }));
        }
        self.names.insert(name.text, (index, name.place));
        let device = DeviceName::parse(name.text);
        match &device {
            Err(why) => notes.add(name.place, Problem::BadDevice { found: name.text.into(), why }),
            Ok(device) => {
                if let Some(problem) = absent(device, machine) {
                    notes.add(name.place, problem);
                }
            }
        }
        let mask = line.word("mask")?;
        let Ok(core_mask) = value::mask(mask.text) else {
            return Err(line.instead(mask, "a mask of cores from 0x1 to 0xffffffffffffffff"));
        };
        let highest = core_mask.ilog2();
        if let Some(cpus) = machine.cpus.filter(|cpus| highest >= *cpus) {
            let found = mask.text.into();
            return Err((mask.place, Problem::NoCore { found, core: highest, cpus }));
        }
        line.finish()?;
        if let Ok(device) = device {
            self.devices.push(Placed { what: Device { name: device, core_mask }, place: name.place });
        }
        Ok(())
    }

    fn arp_entry(&mut self, text: Text<'t>) -> Result<(), Fault> {
        let mut line = line(Block::ArpTable, text);
        let (net, word) = line.net()?;
        let mac = line.word("hardware address")?;
        let Some(mac) = mac_address(mac.text) else { return Err(line.instead(mac, "a hardware address")) };
        line.finish()?;
        once(&mut self.arp_nets, net, &net, word.place)?;
        self.arp_entries.push(Placed { what: ArpEntry { net, mac }, place: word.place });
        Ok(())
    }

    fn route(&mut self, text: Text<'t>) -> Result<(), Fault> {
        let mut line = line(Block::RouteTable, text);
        let (net, word) = line.net()?;
        let mut device = line.word("device")?;
        let mut gateway = None;
        if device.text == "via" {
            let address = line.word("gateway")?;
            let of = if net.is_v6() { "the IPv6 address of a gateway" } else { "the IPv4 address of a gateway" };
            match address.text.parse::<IpAddr>() {
                Ok(address) if address.is_ipv6() == net.is_v6() => gateway = Some(address),
                _ => return Err(line.instead(address, of)),
            }
            device = line.word("device")?;
        }
        line.finish()?;
        once(&mut self.route_nets, net, &net, word.place)?;
        self.routes.push((Placed { what: Route { net, gateway, device: 0 }, place: word.place }, device));
        Ok(())
    }

    fn pair(&mut self, text: Text<'t>) -> Result<(), Fault> {
        let mut line = line(Block::NicForwardTable, text);
        let pair = [line.word("first device")?, line.word("second device")?];
        line.finish()?;
        once(&mut self.partners, pair[0].text, &pair[0].text, pair[0].place)?;
        if pair[0].text != pair[1].text {
            once(&mut self.partners, pair[1].text, &pair[1].text, pair[1].place)?;
        }
        self.pairs.push(pair);
        Ok(())
    }

    /// Whether there is any line of `netdev`, right or wrong.
    pub(super) fn names_devices(&self) -> bool {
        !self.names.is_empty()
    }

    /// Whether a device's name begins so. If not, what is wrong.
    pub(super) fn begins(&self, beginning: &str) -> Result<(), Problem> {
        let mut names = self.names.keys();
        if names.any(|name| name.starts_with(beginning)) { Ok(()) } else { Err(self.unknown(beginning)) }
    }

    fn unknown(&self, found: &str) -> Problem {
        let names = || self.names.keys().copied();
        let near = nearest(found, names()).map(Into::into);
        let known = names().take(SHOWN_DEVICES).map(Into::into).collect();
        Problem::UnknownDevice { found: found.into(), known, near }
    }

    /// The index of a device, now that all are known.
    fn index(&self, name: NameOfDevice<'_>, notes: &mut Notes) -> usize {
        match self.names.get(name.text) {
            Some((index, _)) => *index,
            None => {
                notes.add(name.place, self.unknown(name.text));
                0
            }
        }
    }

    /// The routes and pairs, now that all devices are known. If one of them is not, that is noted.
    pub(super) fn resolve(&self, notes: &mut Notes) -> (Vec<Placed<Route>>, Vec<Placed<ForwardPair>>) {
        let routes = self.routes.iter().map(|(route, name)| {
            let device = self.index(*name, notes);
            Placed { what: Route { device, ..route.what }, place: route.place }
        });
        let routes = routes.collect();
        let pairs = self.pairs.iter().map(|[a, b]| {
            let a_index = self.index(*a, notes);
            let b_index = if a.text == b.text { a_index } else { self.index(*b, notes) };
            Placed { what: ForwardPair(a_index, b_index), place: a.place }
        });
        (routes, pairs.collect())
    }
}

/// Notes that `key` is there, which must not be there yet.
fn once<K: Ord>(
    seen: &mut BTreeMap<K, Place>,
    key: K,
    shown: &dyn core::fmt::Display,
    place: Place,
) -> Result<(), Fault> {
    match seen.get(&key) {
        Some(first) => Err((place, Problem::Repeated { found: shown.to_string(), first: *first })),
        None => {
            seen.insert(key, place);
            Ok(())
        }
    }
}

/// What is wrong if the machine does not have the device.
fn absent(device: &DeviceName, machine: Machine<'_>) -> Option<Problem> {
    let (interface, there) = (device.interface()?, machine.interfaces?);
    if there.contains(&interface) {
        return None;
    }
    let near = nearest(interface, there.iter().copied()).map(Into::into);
    let known = there.iter().map(|name| name.to_string()).collect();
    Some(Problem::NoInterface { found: interface.into(), known, near })
}

fn mac_address(text: &str) -> Option<MacAddress> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| (1..=2).contains(&part.len()))?;
        // A sign is no digit, though the parser would take one.
        *byte = u8::from_str_radix(part, 16).ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    }
    parts.next().is_none().then_some(MacAddress(bytes))
}
