//! The ports that a mos.conf names, opened, and what the forwarder is told about them.

use std::net::{IpAddr, Ipv4Addr};

use mos_core::config::{DeviceName, Diagnostics, MosConf};
use mos_core::io::fanout::FlowHash;
use mos_core::io::{AfPacket, AfPacketConfig, CapturePort, Mode, Port, PortInfo};
use mos_core::net::{Interface, MacAddr, NetConfig, Prefix, Route, StaticNeighbor};
use mos_core::runtime::live::Clock;

use super::random_seed;

/// What one core is given.
pub(crate) struct CoreDevices {
    /// The processor's number.
    pub(crate) cpu: u32,
    pub(crate) ports: Vec<Box<dyn Port>>,
    pub(crate) net: NetConfig,
    pub(crate) clock: Clock,
    /// The seed of the flow table's hash.
    pub(crate) hash_seed: u64,
}

/// All ports, by core.
pub(crate) struct Devices {
    pub(crate) cores: Vec<CoreDevices>,
}

impl Devices {
    /// Opens all devices. Frames are dealt out to cores by `hash`. `addresses` are the monitor's own: who asks for them on a link is
    /// answered.
    pub(crate) fn open(conf: &MosConf, hash: FlowHash, addresses: &[Ipv4Addr]) -> anyhow::Result<Self> {
        check(conf)?;
        let cpus: Vec<u32> = conf.cores().collect();
        let mut by_core: Vec<Vec<Box<dyn Port>>> = cpus.iter().map(|_| Vec::new()).collect();
        let mut infos = Vec::new();
        for (number, device) in conf.devices().iter().enumerate() {
            let ports = open(&device.name, number as u16, cpus.len(), conf, hash)
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
fn check(conf: &MosConf) -> Result<(), Diagnostics> {
    let devices = conf.devices();
    let all = conf.core_mask();
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
        if captures > 0 && all.count_ones() > 1 {
            let what = format!("a capture file is read by one core, and the mask {all:#x} has several");
            return Err(conf.fault(device.place, what));
        }
    }
    Ok(())
}

/// An address that the system has, too, would be answered for by both: it resets connections that it knows nothing of.
fn check_addresses(infos: &[PortInfo], addresses: &[Ipv4Addr]) -> anyhow::Result<()> {
    for info in infos {
        for (address, _) in &info.addresses {
            let is_own = addresses.iter().any(|own| IpAddr::V4(*own) == *address);
            anyhow::ensure!(
                !is_own,
                "{address} is the system's own address on {}: give the monitor another one",
                info.name
            );
        }
    }
    Ok(())
}

/// The ports of a device, one for each core.
fn open(
    name: &DeviceName,
    number: u16,
    cores: usize,
    conf: &MosConf,
    hash: FlowHash,
) -> Result<Vec<Box<dyn Port>>, String> {
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
            let port = CapturePort::open(input, output.as_deref(), number).map_err(|error| error.to_string())?;
            Ok(vec![Box::new(port)])
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
