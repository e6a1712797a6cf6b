//! A file that has been read and found right.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::device::DeviceName;
use super::error::{Diagnostics, Place};
use super::keys::{Block, Effect, Key};
use super::net::Net;
use super::read;
use super::settings::{Origin, Placed, Settings};
use super::stack::{ChecksumMode, Config, Timeouts};
use super::value::{Multiprocess, Value};

/// What the machine has, if the file is to be held against it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine<'a> {
    /// How many processors: masks have no bits beyond them.
    pub cpus: Option<u32>,
    /// The names of its network interfaces: devices are among them.
    pub interfaces: Option<&'a [&'a str]>,
}

/// What an application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationType {
    /// It has connections of its own.
    End,
    /// It looks at those of others.
    Monitor,
}

/// A program that uses the stack (`application { }`).
#[derive(Clone, Debug)]
pub struct Application {
    pub(super) settings: Settings,
    pub(super) place: Place,
}

impl Application {
    /// Where its block begins.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// What it does, if the file says so (`type`).
    #[must_use]
    pub fn application_type(&self) -> Option<ApplicationType> {
        match self.settings.given(Key::Type).map(|value| &value.what) {
            Some(Value::Text(text)) if text == "end" => Some(ApplicationType::End),
            Some(_) => Some(ApplicationType::Monitor),
            None => None,
        }
    }

    /// The program and its arguments (`run`).
    #[must_use]
    pub fn command(&self) -> &[String] {
        match self.settings.given(Key::Run).map(|value| &value.what) {
            Some(Value::Command(words)) => words,
            _ => &[],
        }
    }

    /// Its cores, as bits (`cpu_mask`).
    #[must_use]
    pub fn core_mask(&self) -> u64 {
        match self.settings.get(Key::CpuMask).0 {
            Some(Value::Mask(mask)) => mask,
            _ => u64::MAX,
        }
    }

    /// Whether it allows forwarding (`ip_forward`).
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.settings.is_on(Key::IpForward)
    }

    /// What one of its keys is set to, and why. `None`: to nothing.
    #[must_use]
    pub fn value(&self, key: Key) -> (Option<Value>, Origin) {
        self.settings.get(key)
    }
}

impl PartialEq for Application {
    fn eq(&self, other: &Self) -> bool {
        Block::Application.keys().all(|spec| self.value(spec.key).0 == other.value(spec.key).0)
    }
}

/// A line of `netdev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What it is called, and what it is.
    pub name: DeviceName,
    /// The cores that work for it, as bits: at least one.
    pub core_mask: u64,
}

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A line of `arp_table`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpEntry {
    /// The addresses.
    pub net: Net,
    /// Their hardware address.
    pub mac: MacAddress,
}

/// A line of `route_table`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The addresses.
    pub net: Net,
    /// Whom their packets are sent to, if not themselves. It is of the same version of IP.
    pub gateway: Option<IpAddr>,
    /// The index of the device by which they leave.
    pub device: usize,
}

/// A line of `nic_forward_table`: the indices of two devices, which may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardPair(pub usize, pub usize);

/// A configuration. It equals one that says the same in other words.
#[derive(Clone, Debug)]
pub struct MosConf {
    pub(super) file: String,
    pub(super) applications: Vec<Application>,
    pub(super) settings: Settings,
    pub(super) devices: Vec<Placed<Device>>,
    pub(super) arp_entries: Vec<Placed<ArpEntry>>,
    pub(super) routes: Vec<Placed<Route>>,
    pub(super) forward_pairs: Vec<Placed<ForwardPair>>,
}

impl MosConf {
    /// Reads the text of a file. `file` is its name in messages.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn parse(file: &str, text: &str, machine: Machine<'_>) -> Result<Self, Diagnostics> {
        read::read(file, text, machine)
    }

    /// The file's name, as it was given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The programs that use the stack, in the order of the file.
    #[must_use]
    pub fn applications(&self) -> &[Application] {
        &self.applications
    }

    /// The devices, at least one. The first one is port 0.
    #[must_use]
    pub fn devices(&self) -> &[Placed<Device>] {
        &self.devices
    }

    /// Hardware addresses that are known.
    #[must_use]
    pub fn arp_entries(&self) -> &[Placed<ArpEntry>] {
        &self.arp_entries
    }

    /// The routes.
    #[must_use]
    pub fn routes(&self) -> &[Placed<Route>] {
        &self.routes
    }

    /// Which devices forward to each other. No device is in two pairs.
    #[must_use]
    pub fn forward_pairs(&self) -> &[Placed<ForwardPair>] {
        &self.forward_pairs
    }

    /// The port to which frames of `port` go on, by the forward pairs.
    #[must_use]
    pub fn partner(&self, port: usize) -> Option<usize> {
        self.forward_pairs.iter().find_map(|pair| match pair.what {
            ForwardPair(a, b) if a == port => Some(b),
            ForwardPair(a, b) if b == port => Some(a),
            ForwardPair(..) => None,
        })
    }

    /// All cores that work for some device, as bits.
    #[must_use]
    pub fn core_mask(&self) -> u64 {
        self.devices.iter().fold(0, |mask, device| mask | device.core_mask)
    }

    /// The numbers of the cores that work for some device, from the lowest on.
    pub fn cores(&self) -> impl Iterator<Item = u32> + use<> {
        let mask = self.core_mask();
        (0..u64::BITS).filter(move |core| mask >> core & 1 == 1)
    }

    /// Whether monitors' sockets are served: somebody monitors, or nobody says what they do.
    #[must_use]
    pub fn monitors(&self) -> bool {
        let mut types = self.applications.iter().filter_map(Application::application_type);
        types.clone().next().is_none() || types.any(|what| what == ApplicationType::Monitor)
    }

    /// Whether connections of this host are served.
    #[must_use]
    pub fn has_end_applications(&self) -> bool {
        self.applications.iter().any(|application| application.application_type() == Some(ApplicationType::End))
    }

    /// Whether packets go on: `forward`, unless an application's `ip_forward` forbids it.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.settings.is_on(Key::Forward) && self.applications.iter().all(Application::forwards)
    }

    /// Whether interfaces hand over frames that are addressed to other machines (`promiscuous`).
    #[must_use]
    pub fn is_promiscuous(&self) -> bool {
        self.settings.is_on(Key::Promiscuous)
    }

    /// Whether monitors that say nothing about it get no buffers (`no_ring_buffers`).
    #[must_use]
    pub fn has_no_ring_buffers(&self) -> bool {
        self.settings.is_on(Key::NoRingBuffers)
    }

    /// Bytes of a receive buffer (`rmem_size`), whether or not monitors that say nothing about it have one.
    #[must_use]
    pub fn receive_buffer_bytes(&self) -> u64 {
        self.settings.number(Key::RmemSize) as u64
    }

    /// Bytes of a send buffer (`wmem_size`).
    #[must_use]
    pub fn send_buffer_bytes(&self) -> u64 {
        self.settings.number(Key::WmemSize) as u64
    }

    /// Indices of the devices whose counters are printed (`stat_print`).
    #[must_use]
    pub fn stat_print(&self) -> Vec<usize> {
        let Some(Value::Names(beginnings)) = self.settings.given(Key::StatPrint).map(|value| &value.what) else {
            return Vec::new();
        };
        let is_meant = |device: &Device| {
            let name = alloc::format!("{}", device.name);
            beginnings.iter().any(|beginning| name.starts_with(beginning.as_str()))
        };
        (0..self.devices.len()).filter(|index| is_meant(&self.devices[*index])).collect()
    }

    /// Where counters are served (`metrics`).
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        match self.settings.get(Key::Metrics).0 {
            Some(Value::Address(address)) => Some(address),
            _ => None,
        }
    }

    /// The directory of the logs (`mos_log`).
    #[must_use]
    pub fn mos_log(&self) -> Option<&str> {
        self.text(Key::MosLog)
    }

    /// The user that the process becomes once its devices are open (`user`).
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.text(Key::User)
    }

    /// Memory channels, for DPDK (`nb_mem_channels`); 0 if that is DPDK's matter.
    #[must_use]
    pub fn memory_channels(&self) -> u32 {
        self.settings.number(Key::NbMemChannels) as u32
    }

    /// This process's part, if several share DPDK's devices (`multiprocess`).
    #[must_use]
    pub fn multiprocess(&self) -> Option<Multiprocess> {
        match self.settings.get(Key::Multiprocess).0 {
            Some(Value::Process(process)) => Some(process),
            _ => None,
        }
    }

    /// How long flows may be silent.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        // -1 is mOS's way to say never.
        let seconds = |key| Duration::from_secs(self.settings.number(key).max(0) as u64);
        Timeouts {
            half_open: seconds(Key::TimeoutHalfOpen),
            established: seconds(Key::TimeoutEstablished),
            closing: seconds(Key::TimeoutClosing),
            time_wait: seconds(Key::TcpTwInterval),
        }
    }

    /// What is done about checksums on a core. Capture files are of hosts whose cards fill checksums in; live traffic is not.
    #[must_use]
    pub fn checksum(&self, core: u32) -> ChecksumMode {
        match self.text(Key::Checksum) {
            Some("trust") => ChecksumMode::Trust,
            Some("auto") => ChecksumMode::Auto,
            Some(_) => ChecksumMode::Verify,
            None => self.usual_checksum(1_u64.checked_shl(core).unwrap_or(0)),
        }
    }

    fn usual_checksum(&self, core_mask: u64) -> ChecksumMode {
        let mut devices = self.devices.iter().filter(|device| device.core_mask & core_mask != 0).peekable();
        let captures_only = devices.peek().is_some() && devices.all(|device| device.name.is_capture());
        if captures_only { ChecksumMode::Auto } else { ChecksumMode::Verify }
    }

    /// What the stack of a core is told. The seed of its hash is left to whoever has a random number.
    #[must_use]
    pub fn stack_config(&self, core: u32) -> Config {
        let is_on = |key| self.settings.is_on(key);
        Config {
            max_flows: self.settings.number(Key::MaxConcurrency) as usize,
            // It is what monitors get that say nothing about it.
            receive_buffer_bytes: if is_on(Key::NoRingBuffers) { 0 } else { self.receive_buffer_bytes() },
            reassembly_memory_bytes: usize::try_from(self.settings.number(Key::ReassemblyMemory)).unwrap_or(usize::MAX),
            checksum: self.checksum(core),
            midstream: is_on(Key::Midstream),
            vlan_tracking: is_on(Key::VlanTracking),
            timeouts: self.timeouts(),
            ..Config::default()
        }
    }

    /// What a key of `mos` is set to, and why. `None`: to nothing, or to something else on each core.
    #[must_use]
    pub fn value(&self, key: Key) -> (Option<Value>, Origin) {
        match self.settings.get(key) {
            (None, origin) if key == Key::Checksum => {
                let is_auto = |core| self.checksum(core) == ChecksumMode::Auto;
                let agree = self.cores().all(is_auto) || !self.cores().any(is_auto);
                let name = if self.cores().any(is_auto) { "auto" } else { "verify" };
                (agree.then(|| Value::Text(name.into())), origin)
            }
            other => other,
        }
    }

    /// Why a key that the file may have does nothing.
    #[must_use]
    pub fn why_without_effect(&self, key: Key) -> Option<&'static str> {
        match key.spec().effect {
            Effect::Full => None,
            Effect::None(why) => Some(why),
            Effect::Dpdk if self.devices.iter().any(|device| device.name.is_dpdk()) => None,
            Effect::Dpdk => Some("no device is DPDK's"),
        }
    }

    /// Something that turns out to be wrong when the configuration is used: a message like those of the parser.
    #[must_use]
    pub fn fault(&self, place: Place, what: impl fmt::Display) -> Diagnostics {
        Diagnostics::one(&self.file, place, what)
    }

    fn text(&self, key: Key) -> Option<&str> {
        match self.settings.given(key).map(|value| &value.what) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl PartialEq for MosConf {
    fn eq(&self, other: &Self) -> bool {
        Block::Mos.keys().all(|spec| self.value(spec.key).0 == other.value(spec.key).0)
            && self.applications == other.applications
            && self.devices == other.devices
            && self.arp_entries == other.arp_entries
            && self.routes == other.routes
            && self.forward_pairs == other.forward_pairs
    }
}
