//! The thread of a context's core: it builds the core, serves it, and says when it has gone.

use std::mem::MaybeUninit;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mos_core::config::Config;
use mos_core::io::pin;
use mos_core::net::{Forwarder, NetConfig};
use mos_core::runtime::live::{CORE_THREAD, Clock, CoreDevices, Handle, LiveCore, promise};
use mos_core::runtime::random_seed;
use mos_monitor::Core;

use crate::context::Context;
use crate::errno::{Errno, Result};
use crate::here;
use crate::process::complain;

/// How long a capture waits for a program that does not say that it waits.
const PATIENCE: Duration = Duration::from_millis(500);

/// How one core is reached.
pub(crate) type CoreHandle = Handle<LiveCore<Core>>;

/// What a core is to be.
pub(crate) struct Plan {
    /// Its processor.
    pub(crate) cpu: u32,
    pub(crate) config: Config,
    /// `None`: it has no devices.
    pub(crate) devices: Option<CoreDevices>,
    /// The time that it goes by.
    pub(crate) clock: Clock,
    /// The numbers of the devices whose counters are printed each second.
    pub(crate) printed: Vec<usize>,
}

/// Says that the core has gone, however it has.
struct Gone(Context);

impl Drop for Gone {
    fn drop(&mut self) {
        here::leave();
        self.0.is_done();
    }
}

/// Starts a core on a thread of its own. It runs when this returns.
pub(crate) fn start(context: Context, plan: Plan) -> Result<(CoreHandle, JoinHandle<()>)> {
    let (ready, is_ready) = promise();
    let builder = thread::Builder::new().name(format!("{CORE_THREAD}{}", plan.cpu));
    let signals = Signals::block();
    let thread = builder.spawn(move || {
        let gone = Gone(context);
        here::enter(context);
        match build(plan) {
            Ok((core, handle)) => {
                ready.keep(Ok(handle));
                let (worker, outcome) = core.run();
                // Before anybody hears that the core has gone.
                drop(worker);
                if let Err(error) = outcome {
                    complain(format_args!("a core has stopped: {error}"));
                }
                drop(gone);
            }
            Err(error) => {
                std::mem::forget(gone);
                here::leave();
                ready.keep(Err(error));
            }
        }
    });
    drop(signals);
    let thread = thread.map_err(|error| Errno(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
    match is_ready.wait() {
        Ok(Ok(handle)) => Ok((handle, thread)),
        Ok(Err(errno)) => {
            let _ = thread.join();
            Err(errno)
        }
        Err(_) => Err(Errno::EIO),
    }
}

/// One core, on the thread where it will stay.
fn build(plan: Plan) -> Result<(LiveCore<Core>, CoreHandle)> {
    let Plan { cpu, config, devices, clock, printed } = plan;
    if let Err(error) = pin(cpu) {
        log::warn!("core {cpu}: its thread may run on any processor: {error}");
    }
    let (ports, net, hash_seed) = match devices {
        Some(CoreDevices { ports, net, hash_seed, .. }) => (ports, net, hash_seed),
        None => (Vec::new(), NetConfig::default(), random_seed()),
    };
    let core = Core::new(Config { hash_seed, ..config });
    let forwarder = Forwarder::new(net).map_err(|error| {
        complain(error);
        Errno::EINVAL
    })?;
    let (mut core, handle) = LiveCore::new(core, ports, forwarder, clock).map_err(|error| {
        complain(format_args!("no way to reach a core: {error}"));
        Errno(error.raw_os_error().unwrap_or(libc::EMFILE))
    })?;
    if clock == Clock::Frames {
        core.hold(PATIENCE);
    }
    if !printed.is_empty() {
        core.each_second(move |ports| {
            for (name, counters) in printed.iter().filter_map(|number| ports.get(*number)) {
                complain(format_args!("core {cpu} {name}: {counters}"));
            }
        });
    }
    Ok((core, handle))
}

/// Holds signals back from threads that begin meanwhile: they are for the program's threads.
struct Signals(libc::sigset_t);

impl Signals {
    fn block() -> Self {
        let mut before = MaybeUninit::zeroed();
        // SAFETY: both sets are ours; a set of zeros is one.
        unsafe {
            let mut all = MaybeUninit::zeroed();
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self(before.assume_init())
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: the set is what the thread had before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}
