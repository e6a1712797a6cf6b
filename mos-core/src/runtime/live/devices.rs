//! The ports that a mos.conf names, opened, and what the forwarder is told about them.

use std::net::{IpAddr, Ipv4Addr};

use thiserror::Error;

use super::clock::Clock;
use crate::config::{DeviceName, Diagnostics, MosConf};
use crate::io::fanout::FlowHash;
use crate::io::{AfPacket, AfPacketConfig, CapturePort, DeviceError, Mode, Port, PortInfo};
use crate::net::{Interface, MacAddr, NetConfig, Prefix, Route, StaticNeighbor};
use crate::runtime::{Spread, random_seed};

/// What one core is given.
pub struct CoreDevices {
    /// The processor's number.
    pub cpu: u32,
    /// A port of each device, by number.
    pub ports: Vec<Box<dyn Port>>,
    /// What the forwarder is told.
    pub net: NetConfig,
    /// The time that the core goes by.
    pub clock: Clock,
    /// The seed of the flow table's hash.
    pub hash_seed: u64,
}

impl std::fmt::Debug for CoreDevices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreDevices").field("cpu", &self.cpu).finish_non_exhaustive()
    }
}

/// Why devices were not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DevicesError {
    /// What the file says does not go together with how devices work, or a device cannot be opened.
    #[error(transparent)]
    Conf(#[from] Diagnostics),
    /// An address that the system has, too, would be answered for by both: it resets connections that it knows nothing of.
    #[error("{address} is the system's own address on {interface}: give the monitor another one")]
    OwnAddress {
        /// The address.
        address: IpAddr,
        /// The interface that has it.
        interface: String,
    },
}

/// All ports, by core.
#[derive(Debug)]
pub struct Devices {
    /// What each core is given, from the lowest one on.
    pub cores: Vec<CoreDevices>,
}

impl Devices {
    /// Opens all devices for the first `cores` of the file's cores, or for all there are. Frames are dealt out to cores by `hash`.
    /// `addresses` are the monitor's own: who asks for them on a link is answered.
    ///
    /// # Errors
    ///
    /// See [`DevicesError`].
    pub fn open(conf: &MosConf, cores: usize, hash: FlowHash, addresses: &[Ipv4Addr]) -> Result<Self, DevicesError> {
        let cpus: Vec<u32> = conf.cores().take(cores).collect();
        check(conf, cpus.len())?;
        let mut by_core: Vec<Vec<Box<dyn Port>>> = cpus.iter().map(|_| Vec::new()).collect();
        let mut infos = Vec::new();
        // One for all: what a flow's two hosts send may be in different files.
        let spread = Spread::new(cpus.len(), random_seed());
        for (number, device) in conf.devices().iter().enumerate() {
            let ports = open(&device.name, number as u16, spread, conf, hash)
                .map_err(|error| conf.fault(device.place, error))?;
            infos.extend(ports.first().map(|port| port.info().clone()));
            for (core, port) in by_core.iter_mut().zip(ports) {
                core.push(port);
            }
        }
        let is_capture = conf.devices().iter().any(|device| device.name.is_capture());
        let clock = if is_capture { Clock::Frames } else { Clock::System };
        check_addresses(&infos, addresses)?;
        let net = net_config(conf, &infos, addresses);
        let cores = cpus.into_iter().zip(by_core);
        let cores =
            cores.map(|(cpu, ports)| CoreDevices { cpu, ports, net: net.clone(), clock, hash_seed: random_seed() });
        Ok(Self { cores: cores.collect() })
    }
}

/// What the file says is right by itself, but not together with how devices work here.
fn check(conf: &MosConf, cores: usize) -> Result<(), Diagnostics> {
    let devices = conf.devices();
    let captures = devices.iter().filter(|device| device.name.is_capture()).count();
    for device in devices {
        if let Some(first) = devices.first().filter(|first| first.core_mask != device.core_mask) {
            let what = format!(
                "`{}` has the cores {:#x}, `{}` has {:#x}: all devices need the same ones",
                device.name, device.core_mask, first.name, first.core_mask
            );
            return Err(conf.fault(device.place, what));
        }
        if captures > 0 && captures < devices.len() && !device.name.is_capture() {
            let what = "interfaces and capture files do not go together: their times are not the same";
            return Err(conf.fault(device.place, what));
        }
        if cores > 1 && matches!(device.name, DeviceName::Pcap { output: Some(_), .. }) {
            let what =
                format!("a capture file is written by one core, and the mask {:#x} has several", device.core_mask);
            return Err(conf.fault(device.place, what));
        }
    }
    Ok(())
}

fn check_addresses(infos: &[PortInfo], addresses: &[Ipv4Addr]) -> Result<(), DevicesError> {
    for info in infos {
        for &(address, _) in &info.addresses {
            if addresses.iter().any(|own| IpAddr::V4(*own) == address) {
                return Err(DevicesError::OwnAddress { address, interface: info.name.clone() });
            }
        }
    }
    Ok(())
}

/// The ports of a device, one for each core.
fn open(
    name: &DeviceName,
    number: u16,
    spread: Spread,
    conf: &MosConf,
    hash: FlowHash,
) -> Result<Vec<Box<dyn Port>>, String> {
    let cores = spread.cores();
    match name {
        DeviceName::Interface(name) => {
            let config = AfPacketConfig {
                mode: if conf.forwards() { Mode::Inline } else { Mode::Tap },
                promiscuous: conf.is_promiscuous(),
                port: number,
                hash,
                ..AfPacketConfig::default()
            };
            let ports = AfPacket::open(name, cores, &config).map_err(|error| error.to_string())?;
            Ok(ports.into_iter().map(|port| Box::new(port) as Box<dyn Port>).collect())
        }
        DeviceName::Pcap { input, output } => {
            let open = |core| {
                let port = CapturePort::open(input, output.as_deref(), number)?;
                let shared = cores > 1;
                let port =
                    if shared { port.share(move |frame, meta| spread.core_of(frame, meta) == core) } else { port };
                Ok(Box::new(port) as Box<dyn Port>)
            };
            (0..cores).map(open).collect::<Result<_, DeviceError>>().map_err(|error| error.to_string())
        }
        other => Err(format!("`{other}`: this build has no such devices, only interfaces and `pcap:FILE`")),
    }
}

/// What the forwarder is told: the interfaces as the system has them, and what the file says.
fn net_config(conf: &MosConf, infos: &[PortInfo], own: &[Ipv4Addr]) -> NetConfig {
    let port = |number: usize| number as u16;
    let is_interface = |number: usize| conf.devices()[number].name.interface().is_some();
    let interfaces = infos.iter().enumerate().filter(|(number, _)| is_interface(*number)).map(|(number, info)| {
        let addresses = info.addresses.iter().filter(|(address, _)| !address.is_loopback());
        let is_on_link = |own: &IpAddr| {
            info.addresses.iter().any(|&(address, len)| Prefix::new(address, len).is_ok_and(|link| link.contains(*own)))
        };
        let interface = Interface { mtu: info.mtu as u32, ..Interface::new(MacAddr(info.mac)) };
        let interface = addresses.fold(interface, |interface, &(address, len)| interface.address(address, len));
        // The monitor's own: hosts on that link find them here.
        let own = own.iter().map(|own| IpAddr::V4(*own)).filter(is_on_link);
        (port(number), own.fold(interface, |interface, address| interface.address(address, 32)))
    });
    let prefix = |address: IpAddr, len: u8| Prefix::new(address, len).expect("the file was checked");
    NetConfig {
        interfaces: interfaces.collect(),
        pairs: conf.forward_pairs().iter().map(|pair| (port(pair.0), port(pair.1))).collect(),
        routes: conf
            .routes()
            .iter()
            .map(|route| Route {
                prefix: prefix(route.net.first(), route.net.prefix()),
                gateway: route.gateway,
                port: port(route.device),
            })
            .collect(),
        neighbors: conf
            .arp_entries()
            .iter()
            .map(|entry| StaticNeighbor {
                prefix: prefix(entry.net.first(), entry.net.prefix()),
                mac: MacAddr(entry.mac.0),
            })
            .collect(),
        // The system answers for its own addresses itself.
        silent: infos.iter().flat_map(|info| &info.addresses).map(|(address, _)| *address).collect(),
        forward: conf.forwards(),
        seed: random_seed(),
        ..NetConfig::default()
    }
}
