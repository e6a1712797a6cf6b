//! The bundled monitors, by the names that the command line has for them.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use mos_core::config::Timeouts;
use mos_core::io::fanout::FlowHash;
use mos_monitor::{Core, Descriptor, OpenError};
use mos_samples::accounting::{Accounting, Subscribers};
use mos_samples::flowlog::FlowLog;
use mos_samples::http_log::HttpLog;
use mos_samples::ids::{self, Ids};
use mos_samples::midstat;
use mos_samples::nat::{Nat, NatConfig};
use mos_samples::output::Output;
use mos_samples::simple_firewall::{self, SimpleFirewall};
use mos_samples::tls_log::TlsLog;

use crate::args::{MonitorName, MonitorOptions};

/// A bundled monitor, with what its cores share.
pub(crate) enum Bundled {
    FlowLog(FlowLog),
    HttpLog(HttpLog),
    TlsLog(TlsLog),
    MidStat(Arc<Output>),
    Ids(Ids),
    /// With the file of its rules.
    SimpleFirewall(SimpleFirewall, PathBuf),
    Accounting(Accounting),
    /// With its addresses outside.
    Nat(Nat, Vec<Ipv4Addr>),
}

impl Bundled {
    /// The monitor that was asked for, writing to `output`, for so many cores, to which frames are dealt out by `hash`. Fails if one of
    /// its files cannot be read.
    pub(crate) fn new(
        name: MonitorName,
        args: &MonitorOptions,
        output: &Arc<Output>,
        hash: FlowHash,
        cores: usize,
    ) -> anyhow::Result<Self> {
        let output = Arc::clone(output);
        let rules = || args.rules.as_deref().expect("clap asks for it");
        Ok(match name {
            MonitorName::Flowlog => Self::FlowLog(FlowLog::new(args.format.into(), args.digest, output)),
            MonitorName::HttpLog => Self::HttpLog(HttpLog::new(output)),
            MonitorName::TlsLog => Self::TlsLog(TlsLog::new(output)),
            MonitorName::Midstat => Self::MidStat(output),
            MonitorName::Ids => {
                let mode = if args.inline { ids::Mode::Inline } else { ids::Mode::Watch };
                Self::Ids(Ids::new(ids::Rules::read(rules())?, output)?.mode(mode))
            }
            MonitorName::SimpleFirewall => {
                let firewall = SimpleFirewall::new(simple_firewall::Rules::read(rules())?, output);
                Self::SimpleFirewall(firewall, rules().to_owned())
            }
            MonitorName::Accounting => {
                let subscribers = match &args.subscribers {
                    Some(path) => Subscribers::read(path)?,
                    None => Subscribers::clients(),
                };
                Self::Accounting(Accounting::new(subscribers, args.format.into(), output))
            }
            MonitorName::Nat => {
                let addresses: Vec<_> = args.address.iter().flat_map(|addresses| addresses.0.clone()).collect();
                let usual = NatConfig::default();
                let inside = if args.inside.is_empty() { usual.inside } else { args.inside.clone() };
                let config = NatConfig { addresses: addresses.clone(), inside, hash, cores, ..NatConfig::default() };
                Self::Nat(Nat::new(config, output)?, addresses)
            }
        })
    }

    /// Opens it on core number `core`.
    pub(crate) fn open(&self, stack: &mut Core, core: usize) -> Result<Descriptor, OpenError> {
        match self {
            Self::FlowLog(log) => stack.open(log.monitor()),
            Self::HttpLog(log) => stack.open(log.monitor()),
            Self::TlsLog(log) => stack.open(log.monitor()),
            Self::MidStat(output) => stack.open(midstat::monitor(core, Arc::clone(output))),
            Self::Ids(ids) => stack.open(ids.monitor()),
            Self::SimpleFirewall(firewall, _) => firewall.open(stack, core),
            Self::Accounting(accounting) => stack.open(accounting.monitor()),
            Self::Nat(nat, _) => nat.open(stack, core),
        }
    }

    /// Addresses that are the monitor's: whoever asks for them on a link is to be answered.
    pub(crate) fn addresses(&self) -> &[Ipv4Addr] {
        if let Self::Nat(_, addresses) = self { addresses } else { &[] }
    }

    /// How long flows may be silent, if nobody says anything else and the stack's own defaults are too short.
    pub(crate) fn timeouts(&self) -> Option<Timeouts> {
        matches!(self, Self::Nat(..)).then(Nat::flow_timeouts)
    }

    /// Reads files again that may have changed. False if there are none.
    pub(crate) fn reload(&self) -> anyhow::Result<bool> {
        match self {
            Self::SimpleFirewall(firewall, rules) => {
                firewall.replace(simple_firewall::Rules::read(rules)?);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Writes what was held back, when all cores are done.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Self::FlowLog(log) => log.finish(),
            Self::HttpLog(log) => log.finish(),
            Self::TlsLog(log) => log.finish(),
            Self::MidStat(output) => output.finish(),
            Self::Ids(ids) => ids.finish(),
            Self::SimpleFirewall(firewall, _) => firewall.finish(),
            Self::Accounting(accounting) => accounting.finish(),
            Self::Nat(nat, _) => nat.finish(),
        }
    }
}
