//! What a device is called, and what kind of device that means.

use alloc::string::String;
use core::fmt;

/// What Linux gives an interface's name, without the zero at its end.
const MAX_INTERFACE_BYTES: usize = 15;

/// The name of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceName {
    /// `eth0`: a network interface, by AF_PACKET.
    Interface(String),
    /// `pcap:FILE` or `pcap:FILE>FILE`: a capture file.
    Pcap {
        /// The file that is read.
        input: String,
        /// The file to which is written what leaves by the device.
        output: Option<String>,
    },
    /// `xdp:eth0`: a network interface, by AF_XDP.
    Xdp(String),
    /// `dpdk0` or `dpdk:PORT`: a port of DPDK.
    Dpdk(DpdkPort),
}

/// A port of DPDK.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DpdkPort {
    /// By its number, as mOS has it (`dpdk0`).
    Number(u16),
    /// By its PCI address, or a virtual device with its arguments.
    Name(String),
}

impl DeviceName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let number = text.strip_prefix("dpdk").filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(port) = number.and_then(|digits| digits.parse().ok()) {
            // `dpdk00` would be another name of the same port.
            let is_plain = number.is_some_and(|digits| digits.len() == 1 || !digits.starts_with('0'));
            return if is_plain { Ok(Self::Dpdk(DpdkPort::Number(port))) } else { Err("its number begins with 0") };
        }
        match text.split_once(':') {
            None => interface(text).map(Self::Interface),
            Some(("pcap", files)) => {
                let (input, output) = match files.split_once('>') {
                    Some((input, output)) => (input, Some(output)),
                    None => (files, None),
                };
                if input.is_empty() || output.is_some_and(str::is_empty) {
                    return Err("the name of a file is missing");
                }
                if output == Some(input) {
                    return Err("it would write the file that it reads");
                }
                Ok(Self::Pcap { input: input.into(), output: output.map(Into::into) })
            }
            Some(("xdp", name)) => interface(name).map(Self::Xdp),
            Some(("dpdk", "")) => Err("the port is missing"),
            Some(("dpdk", port)) => Ok(Self::Dpdk(DpdkPort::Name(port.into()))),
            Some(_) => Err("this kind of device is unknown"),
        }
    }

    /// The network interface behind it, if there is one.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Interface(name) | Self::Xdp(name) => Some(name),
            Self::Pcap { .. } | Self::Dpdk(_) => None,
        }
    }

    /// Whether it is a capture file.
    #[must_use]
    pub fn is_capture(&self) -> bool {
        matches!(self, Self::Pcap { .. })
    }

    /// Whether it is DPDK's.
    #[must_use]
    pub fn is_dpdk(&self) -> bool {
        matches!(self, Self::Dpdk(_))
    }
}

/// A name that Linux would give an interface.
fn interface(name: &str) -> Result<String, &'static str> {
    if name.is_empty() {
        return Err("the name of an interface is missing");
    }
    if name.len() > MAX_INTERFACE_BYTES {
        return Err("the name of an interface has at most 15 bytes");
    }
    if matches!(name, "." | "..") || name.contains(|c: char| matches!(c, '/' | ':' | '>') || c.is_control()) {
        return Err("no interface has such a name");
    }
    Ok(name.into())
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => f.write_str(name),
            Self::Pcap { input, output: None } => write!(f, "pcap:{input}"),
            Self::Pcap { input, output: Some(output) } => write!(f, "pcap:{input}>{output}"),
            Self::Xdp(name) => write!(f, "xdp:{name}"),
            Self::Dpdk(DpdkPort::Number(port)) => write!(f, "dpdk{port}"),
            Self::Dpdk(DpdkPort::Name(port)) => write!(f, "dpdk:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_device_is() {
        let pcap = |input: &str, output: Option<&str>| DeviceName::Pcap {
            input: input.into(),
            output: output.map(Into::into),
        };
        let expected = [
            ("eth0", DeviceName::Interface("eth0".into())),
            ("eth0.100", DeviceName::Interface("eth0.100".into())),
            ("br-lan", DeviceName::Interface("br-lan".into())),
            ("enp1s0f0np0@x", DeviceName::Interface("enp1s0f0np0@x".into())),
            ("dpdk", DeviceName::Interface("dpdk".into())),
            ("dpdkX", DeviceName::Interface("dpdkX".into())),
            ("dpdk0", DeviceName::Dpdk(DpdkPort::Number(0))),
            ("dpdk12", DeviceName::Dpdk(DpdkPort::Number(12))),
            ("dpdk:0000:03:00.0", DeviceName::Dpdk(DpdkPort::Name("0000:03:00.0".into()))),
            ("dpdk:net_pcap0,rx_pcap=a", DeviceName::Dpdk(DpdkPort::Name("net_pcap0,rx_pcap=a".into()))),
            ("xdp:eth0", DeviceName::Xdp("eth0".into())),
            ("pcap:in.pcap", pcap("in.pcap", None)),
            ("pcap:a:b/in.pcap>out.pcap", pcap("a:b/in.pcap", Some("out.pcap"))),
        ];
        for (text, name) in expected {
            assert_eq!(DeviceName::parse(text).as_ref(), Ok(&name), "{text}");
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "pcap:",
            "pcap:>o",
            "pcap:i>",
            "pcap:a>a",
            "xdp:",
            "dpdk:",
            "dpdk00",
            "netmap:eth0",
            "a/b",
            ".",
            "sixteen-bytes-ab",
        ] {
            assert!(DeviceName::parse(text).is_err(), "{text}");
        }
    }
}
