//! The cores' threads: one for each core of the configuration, on a processor of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use anyhow::Context;
use mos_core::config::{Config, Key, MosConf, Origin, Timeouts};
use mos_core::io::pin;
use mos_core::net::Forwarder;
use mos_core::runtime::live::{CORE_THREAD, CoreDevices, Devices, Handle, LiveCore};
use mos_monitor::Core;

use super::worker::CoreWorker;
use crate::bundled::Bundled;
use crate::tell;

/// How one core is reached.
pub(crate) type CoreHandle = Handle<LiveCore<CoreWorker>>;

/// A core that can be asked for its counters.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// The processor's number.
    pub(crate) cpu: u32,
    pub(crate) handle: CoreHandle,
}

/// All cores that run.
pub(crate) struct Cores {
    watches: Vec<Watch>,
    threads: Vec<(u32, JoinHandle<bool>)>,
    state: Arc<State>,
    is_stopped: AtomicBool,
}

/// How the cores are.
#[derive(Debug, Default)]
struct State {
    running: AtomicUsize,
    /// One had to stop before it was told to.
    has_failed: AtomicBool,
}

/// A core that runs: counted, however it ends.
struct Running(Arc<State>);

impl Running {
    fn begin(state: &Arc<State>) -> Self {
        state.running.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.has_failed.store(true, Ordering::Relaxed);
        }
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Cores {
    /// Starts a thread for each core. All are ready when this returns.
    pub(crate) fn start(conf: &MosConf, devices: Devices, monitor: &Arc<Bundled>) -> anyhow::Result<Self> {
        let mut cores = Self {
            watches: Vec::new(),
            threads: Vec::new(),
            state: Arc::default(),
            is_stopped: AtomicBool::new(false),
        };
        for (number, devices) in devices.cores.into_iter().enumerate() {
            let (conf, monitor) = (conf.clone(), Arc::clone(monitor));
            let (ready, is_ready) = channel();
            let running = Running::begin(&cores.state);
            let cpu = devices.cpu;
            let body = move || {
                let (core, handle) = match build(&conf, devices, &monitor, number) {
                    Ok(built) => built,
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        return false;
                    }
                };
                let _ = ready.send(Ok(handle));
                let (_, outcome) = core.run();
                if let Err(error) = &outcome {
                    tell(format_args!("mos: {error}"));
                    running.0.has_failed.store(true, Ordering::Relaxed);
                }
                outcome.is_ok()
            };
            let thread = thread::Builder::new().name(format!("{CORE_THREAD}{cpu}")).spawn(body);
            cores.threads.push((cpu, thread.context("the system has no thread for another core")?));
            let handle = is_ready.recv().context("a core could not be built")??;
            cores.watches.push(Watch { cpu, handle });
        }
        for (number, watch) in cores.watches.iter().enumerate() {
            let others = cores.watches.iter().enumerate().filter(|(other, _)| *other != number);
            let siblings: Vec<CoreHandle> = others.map(|(_, watch)| watch.handle.clone()).collect();
            // One that has stopped already has no use for them.
            let _ = watch.handle.tell(move |core| core.set_siblings(siblings));
        }
        Ok(cores)
    }

    pub(crate) fn watches(&self) -> Vec<Watch> {
        self.watches.clone()
    }

    /// Whether none runs any more, or one has failed: the frames that were its to serve would be lost, so the others are not to go on
    /// alone.
    pub(crate) fn are_done(&self) -> bool {
        self.state.running.load(Ordering::Relaxed) == 0 || self.state.has_failed.load(Ordering::Relaxed)
    }

    /// All stop after their round, and end their flows.
    pub(crate) fn stop(&self) {
        if !self.is_stopped.swap(true, Ordering::Relaxed) {
            for watch in &self.watches {
                let _ = watch.handle.tell(LiveCore::stop);
            }
        }
    }

    /// Waits for all of them. False if one had to stop before it was told to.
    pub(crate) fn join(self) -> bool {
        let results = self.threads.into_iter().map(|(cpu, thread)| {
            thread.join().unwrap_or_else(|_| {
                // What it was is on standard error already. What the other cores have found is still to be written.
                tell(format_args!("mos: core {cpu} is broken: its flows have no end"));
                false
            })
        });
        results.fold(true, |all, one| all & one)
    }
}

/// One core, on the thread where it will stay.
fn build(
    conf: &MosConf,
    devices: CoreDevices,
    monitor: &Bundled,
    number: usize,
) -> anyhow::Result<(LiveCore<CoreWorker>, CoreHandle)> {
    let CoreDevices { cpu, ports, net, clock, hash_seed } = devices;
    if let Err(error) = pin(cpu) {
        log::warn!("core {cpu}: its thread may run on any processor: {error}");
    }
    let config = Config { hash_seed, timeouts: timeouts(conf, monitor), ..conf.stack_config(cpu) };
    let mut core = Core::new(config);
    let socket = monitor.open(&mut core, number).expect("a new core has room for a monitor");
    let forwarder = Forwarder::new(net)?;
    LiveCore::new(CoreWorker { core, socket }, ports, forwarder, clock).context("no way to reach the core")
}

/// What the file says; where it says nothing, what the monitor needs.
fn timeouts(conf: &MosConf, monitor: &Bundled) -> Timeouts {
    let said = conf.timeouts();
    let Some(needed) = monitor.timeouts() else { return said };
    let is_said = |key| matches!(conf.value(key).1, Origin::File(_));
    let choose = |key, said, needed| if is_said(key) || is_said(Key::TcpTimeout) { said } else { needed };
    Timeouts {
        half_open: choose(Key::TimeoutHalfOpen, said.half_open, needed.half_open),
        established: choose(Key::TimeoutEstablished, said.established, needed.established),
        closing: choose(Key::TimeoutClosing, said.closing, needed.closing),
        time_wait: if is_said(Key::TcpTwInterval) { said.time_wait } else { needed.time_wait },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_panics_is_noticed() {
        let state = Arc::<State>::default();
        let (well, broken) = (Running::begin(&state), Running::begin(&state));
        let cores = |threads| Cores {
            watches: Vec::new(),
            threads,
            state: Arc::clone(&state),
            is_stopped: AtomicBool::new(false),
        };
        assert!(!cores(Vec::new()).are_done());
        let panics = thread::spawn(move || {
            let _running = broken;
            // Without a word on standard error.
            std::panic::resume_unwind(Box::new(()))
        });
        while !panics.is_finished() {
            thread::yield_now();
        }
        // Though the other one runs.
        assert!(cores(Vec::new()).are_done());
        drop(well);
        assert!(!cores(vec![(0, panics)]).join());
    }
}
