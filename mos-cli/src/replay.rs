//! `mos replay`: a bundled monitor over capture files.

use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use mos_core::config::Config;
use mos_core::io::fanout::FlowHash;
use mos_core::packet::Burst;
use mos_core::runtime::Worker;
use mos_core::stats::Stats;
use mos_core::time::Timestamp;
use mos_monitor::{Core, Descriptor};
use mos_samples::midstat::Screen;
use mos_samples::output::Output;

use crate::args::ReplayArgs;
use crate::bundled::Bundled;
use crate::input::Input;
use crate::tell;
use crate::totals::Totals;

/// Replays all files. False if one of them could not be read to its end.
pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<bool> {
    args.check();
    let output = Arc::new(Output::new(BufWriter::new(io::stdout())));
    let replay = Replay {
        monitor: Bundled::new(args.monitor, &args.options, &output, FlowHash::new(0), 1)?,
        output,
        config: args.config(),
    };
    let mut totals = Totals::default();
    let mut all_read = true;
    for path in &args.files {
        all_read &= replay.file(path, args, &mut totals);
        if replay.output.is_closed() {
            break;
        }
    }
    replay.monitor.finish().context("standard output cannot be written")?;
    tell(totals);
    Ok(all_read)
}

struct Replay {
    monitor: Bundled,
    output: Arc<Output>,
    config: Config,
}

impl Replay {
    /// One file, into cores of its own. False if it could not be read to its end.
    fn file(&self, path: &Path, args: &ReplayArgs, totals: &mut Totals) -> bool {
        let mut input = match Input::open(path) {
            Ok(input) => input,
            Err(error) => {
                tell(format_args!("mos: {error}"));
                return false;
            }
        };
        let outcome = args.run().run(&mut input, |core| self.worker(core));
        for stats in &outcome.reports {
            totals.add(stats);
        }
        totals.add_unsupported(input.unsupported());
        drop(input);
        match outcome.error {
            Some(error) => {
                self.output.flush();
                tell(format_args!("mos: {error}"));
                false
            }
            None => true,
        }
    }

    /// The worker of one core.
    fn worker(&self, core: usize) -> ReplayWorker<'_> {
        let mut stack = Core::new(self.config.clone());
        let socket = self.monitor.open(&mut stack, core).expect("a new core has room for a monitor");
        ReplayWorker { core: stack, socket, output: &self.output }
    }
}

/// A core that works until its output is closed.
struct ReplayWorker<'a> {
    core: Core,
    socket: Descriptor,
    output: &'a Output,
}

impl Worker for ReplayWorker<'_> {
    type Report = Stats;

    fn process(&mut self, burst: &mut Burst<'_>) -> ControlFlow<()> {
        self.core.process(burst);
        if self.output.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn advance(&mut self, now: Timestamp) {
        self.core.advance(now);
    }

    fn shutdown(&mut self) {
        if let Some(screen) = self.core.state::<Screen>(self.socket) {
            screen.show();
        }
        self.core.shutdown();
    }

    fn report(self) -> Stats {
        self.core.stats().clone()
    }
}
