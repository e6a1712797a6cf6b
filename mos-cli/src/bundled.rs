//! The bundled monitors, by the names that the command line has for them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use mos_monitor::{Core, Descriptor, OpenError};
use mos_samples::accounting::{Accounting, Subscribers};
use mos_samples::flowlog::FlowLog;
use mos_samples::http_log::HttpLog;
use mos_samples::ids::{self, Ids};
use mos_samples::midstat;
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
}

impl Bundled {
    /// The monitor that was asked for, writing to `output`. Fails if one of its files cannot be read.
    pub(crate) fn new(name: MonitorName, args: &MonitorOptions, output: &Arc<Output>) -> anyhow::Result<Self> {
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
        }
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
        }
    }
}
