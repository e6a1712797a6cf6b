//! What there is once in a process: the configuration, and the devices that it names.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt::Display;
use std::io::Write;
use std::mem::zeroed;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use env_logger::{Env, Target};
use mos_core::config::{Config, Key, Machine, MosConf, Origin, Timeouts};
use mos_core::io::fanout::FlowHash;
use mos_core::io::pin;
use mos_core::runtime::live::{Clock, CoreDevices, CoreLogs, Devices};
use mos_core::runtime::random_seed;

use crate::abi::{MOS_APP, MOS_APP_ARGC, mtcp_conf};
use crate::boundary::status;
use crate::core_thread::Plan;
use crate::errno::{Errno, Result};
use crate::util::GetNumCPUs;
use crate::{context, event, here, signals};

/// The most flows of a core, as mos.conf allows them.
const MOST_FLOWS: c_int = 1 << 24;
/// The largest buffer.
const MOST_BYTES: c_int = 1 << 30;
/// The most cores: a mask has no more bits.
const MOST_CORES: c_int = 64;

/// What mtcp_init has read, and what has changed since.
struct Process {
    conf: MosConf,
    settings: Settings,
    /// The words of the applications' commands.
    commands: Vec<Vec<CString>>,
    /// By which frames are dealt out to cores.
    hash_seed: u64,
    /// What is left for cores to take; `None` if the devices are not open.
    devices: Option<Vec<Option<CoreDevices>>>,
}

/// What mtcp_setconf changes.
#[derive(Clone, Copy, Debug)]
struct Settings {
    cores: c_int,
    flows: c_int,
    receive_buffer: c_int,
    send_buffer: c_int,
    time_wait: c_int,
    /// -1: never.
    timeout: c_int,
    /// What was said of the timeout is to hold in every state.
    has_timeout: bool,
}

static PROCESS: Mutex<Option<Process>> = Mutex::new(None);

// What callbacks need of it. They take no lock for that: who holds it may be interrupted by a signal handler that waits for their core.

/// Whether monitors that say nothing about it have buffers.
static HAS_BUFFERS: AtomicBool = AtomicBool::new(true);
/// To how many cores the frames of interfaces are dealt out; 0 if to none.
static DEALT_OUT: AtomicUsize = AtomicUsize::new(0);
static HASH_SEED: AtomicU64 = AtomicU64::new(0);

static LOGS: Mutex<Option<CoreLogs>> = Mutex::new(None);

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says on standard error what is wrong.
pub(crate) fn complain(what: impl Display) {
    // Whoever has closed it does not want to know.
    let _ = writeln!(std::io::stderr(), "libmos: {what}");
}

/// To the logs of the cores, or to standard error.
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut *lock(&LOGS) {
            Some(logs) => logs.write(bytes),
            None => std::io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        lock(&LOGS).as_mut().map_or(Ok(()), Write::flush)
    }
}

/// A number, if it fits; the largest one else.
fn fit(number: impl TryInto<c_int>) -> c_int {
    number.try_into().unwrap_or(c_int::MAX)
}

fn seconds(time: Duration) -> c_int {
    fit(time.as_secs())
}

impl Settings {
    fn of(conf: &MosConf) -> Self {
        let stack = conf.stack_config(0);
        let timeout = seconds(conf.timeouts().established);
        Self {
            cores: fit(conf.cores().count()),
            flows: fit(stack.max_flows),
            receive_buffer: fit(conf.receive_buffer_bytes()),
            send_buffer: fit(conf.send_buffer_bytes()),
            time_wait: seconds(conf.timeouts().time_wait),
            timeout: if timeout == 0 { -1 } else { timeout },
            has_timeout: false,
        }
    }

    /// What a program says.
    fn change(&mut self, conf: &mtcp_conf) -> Result {
        let is_fine = (1..=MOST_CORES).contains(&conf.num_cores)
            && (1..=MOST_FLOWS).contains(&conf.max_concurrency)
            && (1..=MOST_BYTES).contains(&conf.rcvbuf_size)
            && (1..=MOST_BYTES).contains(&conf.sndbuf_size)
            && conf.tcp_timewait >= 0
            && conf.tcp_timeout >= -1;
        if !is_fine {
            return Err(Errno::EINVAL);
        }
        let timeout = if conf.tcp_timeout == 0 { -1 } else { conf.tcp_timeout };
        *self = Self {
            cores: conf.num_cores,
            flows: conf.max_concurrency,
            receive_buffer: conf.rcvbuf_size,
            send_buffer: conf.sndbuf_size,
            time_wait: conf.tcp_timewait,
            timeout,
            has_timeout: self.has_timeout || timeout != self.timeout,
        };
        Ok(())
    }

    fn timeouts(&self, said: Timeouts) -> Timeouts {
        let time_wait = Duration::from_secs(self.time_wait.unsigned_abs().into());
        let timeout = Duration::from_secs(self.timeout.max(0).unsigned_abs().into());
        let said = if self.has_timeout { Timeouts::all(timeout) } else { said };
        Timeouts { time_wait, ..said }
    }
}

impl Process {
    fn read(file: &CStr) -> Result<Self> {
        let path = file.to_str().map_err(|_| Errno::EINVAL)?;
        let text = std::fs::read_to_string(path).map_err(|error| {
            complain(format_args!("{path}: {error}"));
            Errno(error.raw_os_error().unwrap_or(libc::EINVAL))
        })?;
        let machine = Machine { cpus: u32::try_from(GetNumCPUs()).ok(), ..Machine::default() };
        let conf = MosConf::parse(path, &text, machine).map_err(|faults| {
            complain(faults);
            Errno::EINVAL
        })?;
        // What only `mos run` does. Nobody is to think that it is done here.
        for key in [Key::User, Key::Metrics] {
            if let (_, Origin::File(place)) = conf.value(key) {
                let what = format_args!("`{}` is for `mos run`: a program has to do that itself", key.spec().name);
                complain(conf.fault(place, what));
                return Err(Errno::EINVAL);
            }
        }
        let logs = conf.mos_log().map(|directory| CoreLogs::create(Path::new(directory), conf.cores())).transpose();
        *lock(&LOGS) = logs.map_err(|error| {
            complain(&error);
            Errno(error.raw_os_error().unwrap_or(libc::ENOENT))
        })?;
        let words = |command: &[String]| command.iter().filter_map(|word| CString::new(word.as_str()).ok()).collect();
        Ok(Self {
            settings: Settings::of(&conf),
            commands: conf.applications().iter().map(|application| words(application.command())).collect(),
            hash_seed: random_seed(),
            devices: None,
            conf,
        })
    }

    /// What mtcp_getconf says.
    fn describe(&self) -> mtcp_conf {
        let settings = &self.settings;
        // SAFETY: zeros are numbers and NULLs.
        let empty: mtcp_conf = unsafe { zeroed() };
        let mut conf = mtcp_conf {
            num_cores: settings.cores,
            max_concurrency: settings.flows,
            cpu_mask: self.conf.core_mask(),
            max_num_buffers: settings.flows,
            rcvbuf_size: settings.receive_buffer,
            sndbuf_size: settings.send_buffer,
            tcp_timewait: settings.time_wait,
            tcp_timeout: settings.timeout,
            ..empty
        };
        let applications = self.conf.applications().iter().zip(&self.commands).take(MOS_APP);
        for (number, (application, words)) in applications.enumerate() {
            conf.app_cpu_mask[number] = application.core_mask();
            let words = words.iter().take(MOS_APP_ARGC);
            conf.app_argc[number] = fit(words.len());
            for (place, word) in conf.app_argv[number].iter_mut().zip(words) {
                *place = word.as_ptr().cast_mut();
            }
            conf.num_app = fit(number + 1);
        }
        conf
    }

    /// Whether what arrives tells the time.
    fn clock(&self) -> Clock {
        let is_capture = self.conf.devices().iter().any(|device| device.name.is_capture());
        if is_capture { Clock::Frames } else { Clock::System }
    }

    fn open_devices(&mut self) -> Result {
        let cores = usize::try_from(self.settings.cores).unwrap_or(1);
        let devices = Devices::open(&self.conf, cores, FlowHash::new(self.hash_seed), &[]).map_err(|error| {
            complain(error);
            Errno::ENODEV
        })?;
        HASH_SEED.store(self.hash_seed, Ordering::Relaxed);
        DEALT_OUT.store(if self.clock() == Clock::System { devices.cores.len() } else { 0 }, Ordering::Release);
        self.devices = Some(devices.cores.into_iter().map(Some).collect());
        Ok(())
    }
}

/// The configuration, while a context is created from it.
pub(crate) struct Creating(MutexGuard<'static, Option<Process>>);

/// Nothing else is created meanwhile.
pub(crate) fn creating() -> Result<Creating> {
    let process = lock(&PROCESS);
    if process.is_some() { Ok(Creating(process)) } else { Err(Errno::EPERM) }
}

impl Creating {
    fn process(&mut self) -> &mut Process {
        self.0.as_mut().expect("it was looked at when this was made")
    }

    /// How many contexts there may be.
    pub(crate) fn cores(&mut self) -> usize {
        usize::try_from(self.process().settings.cores).unwrap_or(0)
    }

    /// What the core of that number is to be. It has its devices from then on.
    pub(crate) fn plan(&mut self, number: usize) -> Result<Plan> {
        let process = self.process();
        if process.devices.is_none() || context::are_none() {
            process.open_devices()?;
        }
        let devices = match process.devices.as_mut().and_then(|cores| cores.get_mut(number)) {
            // Somebody had this core before, and others still run: frames are dealt out among them.
            Some(core) => Some(core.take().ok_or(Errno::EBUSY)?),
            // More contexts than cores in the masks.
            None => None,
        };
        let cpu = devices.as_ref().map_or(number as u32, |devices| devices.cpu);
        let (conf, settings) = (&process.conf, &process.settings);
        let said = conf.stack_config(cpu);
        let receive_buffer_bytes = match conf.has_no_ring_buffers() {
            true => said.receive_buffer_bytes,
            false => settings.receive_buffer.unsigned_abs().into(),
        };
        let config = Config {
            max_flows: settings.flows.unsigned_abs() as usize,
            receive_buffer_bytes,
            timeouts: settings.timeouts(said.timeouts),
            ..said
        };
        Ok(Plan { cpu, config, devices, clock: process.clock(), printed: conf.stat_print() })
    }
}

/// Whether monitors that say nothing about it have buffers.
pub(crate) fn has_buffers() -> bool {
    HAS_BUFFERS.load(Ordering::Relaxed)
}

/// The most flows of a core, as things are set now.
pub(crate) fn most_flows() -> c_int {
    lock(&PROCESS).as_ref().map_or(0, |process| process.settings.flows)
}

/// The core that gets the packets between two endpoints, if frames are dealt out to so many cores now.
pub(crate) fn core_of(a: SocketAddrV4, b: SocketAddrV4, cores: usize) -> Option<usize> {
    if cores < 2 || DEALT_OUT.load(Ordering::Acquire) != cores {
        return None;
    }
    let hash = FlowHash::new(HASH_SEED.load(Ordering::Relaxed));
    Some(hash.core_of(SocketAddr::V4(a), SocketAddr::V4(b), cores))
}

/// An address and a port as C has them: in network byte order.
pub(crate) fn endpoint(address: u32, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(u32::from_be(address)), u16::from_be(port))
}

/// See mtcp_init(3).
///
/// # Safety
///
/// `config_file` is NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_init(config_file: *const c_char) -> c_int {
    status(|| {
        here::forbid()?;
        if config_file.is_null() {
            return Err(Errno::EFAULT);
        }
        // SAFETY: the caller says so.
        let file = unsafe { CStr::from_ptr(config_file) };
        let mut process = lock(&PROCESS);
        if !context::are_none() {
            return Err(Errno::EBUSY);
        }
        let read = Process::read(file)?;
        HAS_BUFFERS.store(!read.conf.has_no_ring_buffers(), Ordering::Relaxed);
        *process = Some(read);
        // The program may have a logger of its own.
        let _ = env_logger::Builder::from_env(Env::default().default_filter_or("warn"))
            .target(Target::Pipe(Box::new(Log)))
            .try_init();
        signals::catch()
    })
}

/// See mtcp_destroy(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_destroy() -> c_int {
    status(|| {
        // The core that this is called on would wait for itself.
        here::forbid()?;
        context::destroy_all();
        event::forget_all();
        *lock(&PROCESS) = None;
        *lock(&LOGS) = None;
        HAS_BUFFERS.store(true, Ordering::Relaxed);
        DEALT_OUT.store(0, Ordering::Relaxed);
        Ok(())
    })
}

/// See mtcp_getconf(3).
///
/// # Safety
///
/// `conf` is NULL or has room for a `struct mtcp_conf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getconf(conf: *mut mtcp_conf) -> c_int {
    status(|| {
        if conf.is_null() {
            return Err(Errno::EINVAL);
        }
        let described = lock(&PROCESS).as_ref().ok_or(Errno::EPERM)?.describe();
        // SAFETY: the caller says so.
        unsafe { conf.write_unaligned(described) };
        Ok(())
    })
}

/// See mtcp_setconf(3).
///
/// # Safety
///
/// `conf` is NULL or points to a `struct mtcp_conf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_setconf(conf: *const mtcp_conf) -> c_int {
    status(|| {
        if conf.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller says so. Numbers and pointers may have any value.
        let conf = unsafe { conf.read_unaligned() };
        lock(&PROCESS).as_mut().ok_or(Errno::EPERM)?.settings.change(&conf)
    })
}

/// See mtcp_core_affinitize(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_core_affinitize(cpu: c_int) -> c_int {
    status(|| {
        let cpu = u32::try_from(cpu).ok().filter(|_| cpu < GetNumCPUs()).ok_or(Errno::EINVAL)?;
        pin(cpu).map_err(|error| Errno(error.raw_os_error().unwrap_or(libc::EFAULT)))
    })
}
