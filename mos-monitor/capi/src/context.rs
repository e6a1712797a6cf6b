//! Contexts: one for each core that a program has started.
//!
//! A `mctx_t` points into a table that lives as long as the process, and is only ever compared with it, so a pointer that is none, or
//! no longer one, is told by where it points. What a signal handler may need of a context (to stop it, to see that it has stopped) is
//! atomics; all else is behind a lock that signal handlers do not take.

use std::ffi::{c_int, c_void};
use std::mem::{offset_of, size_of};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use mos_core::runtime::live::{LiveCore, Stopper};
use mos_monitor::Core;

use crate::abi::{mctx_t, mtcp_context};
use crate::boundary::{call, call_or, status};
use crate::core_thread::CoreHandle;
use crate::errno::{Errno, Result};
use crate::here::{self, Place};
use crate::{core_thread, process};

/// The most contexts that a process can have before the places of the first ones are used again.
const MOST: usize = 1024;

/// What becomes of a place.
const FREE: u32 = 0;
/// Somebody is at work on it.
const TAKEN: u32 = 1;
const RUNNING: u32 = 2;
/// It was told to stop, or is about to.
const STOPPING: u32 = 3;
/// Its core is gone; nobody has destroyed it yet.
const DONE: u32 = 4;
/// It was destroyed where that could not be finished: in a signal handler, perhaps. The place is free as soon as somebody needs one.
const DESTROYED: u32 = 5;

/// A place for a context.
#[repr(C)]
struct Slot {
    /// What the program has.
    context: mtcp_context,
    /// One of the above; who waits for the core's end, waits on it.
    state: AtomicU32,
    /// Stops the core. It stays until the place is used again: a signal handler may hold it.
    stopper: AtomicPtr<Stopper>,
    core: Mutex<Option<Running>>,
}

/// How the core of a context is reached.
struct Running {
    handle: CoreHandle,
    thread: Option<JoinHandle<()>>,
    /// The thread that has created it.
    creator: libc::pthread_t,
}

static SLOTS: [Slot; MOST] = [const {
    Slot {
        context: mtcp_context { cpu: AtomicI32::new(-1) },
        state: AtomicU32::new(FREE),
        stopper: AtomicPtr::new(null_mut()),
        core: Mutex::new(None),
    }
}; MOST];

/// Where the next context goes: names are used again as late as possible.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A context that exists, or has existed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context(usize);

impl Context {
    /// The context that `mctx` names.
    #[inline]
    pub(crate) fn of(mctx: mctx_t) -> Result<Self> {
        match here::context() {
            Some(own) if own.mctx() == mctx && own.exists() => Ok(own),
            _ => Self::of_any(mctx),
        }
    }

    /// The same where it is not that of this thread's core.
    #[inline(never)]
    fn of_any(mctx: mctx_t) -> Result<Self> {
        let from = (mctx as usize).wrapping_sub(SLOTS.as_ptr() as usize).wrapping_sub(offset_of!(Slot, context));
        let index = from / size_of::<Slot>();
        if mctx.is_null() || index >= MOST || !from.is_multiple_of(size_of::<Slot>()) {
            return Err(Errno::EACCES);
        }
        let context = Self(index);
        if context.exists() { Ok(context) } else { Err(Errno::EACCES) }
    }

    fn slot(self) -> &'static Slot {
        &SLOTS[self.0]
    }

    fn state(self) -> u32 {
        self.slot().state.load(Ordering::Acquire)
    }

    fn exists(self) -> bool {
        matches!(self.state(), RUNNING | STOPPING | DONE)
    }

    /// What the program calls it.
    pub(crate) fn mctx(self) -> mctx_t {
        &raw const self.slot().context
    }

    fn running(self) -> MutexGuard<'static, Option<Running>> {
        self.slot().core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its core has ended all flows, and nothing is called any more.
    pub(crate) fn is_done(self) {
        let state = &self.slot().state;
        state.store(DONE, Ordering::Release);
        wake_all(state);
    }

    /// Waits until the core has gone.
    fn wait(self) {
        let state = &self.slot().state;
        loop {
            match state.load(Ordering::Acquire) {
                now @ (RUNNING | STOPPING) => wait_while(state, now),
                _ => return,
            }
        }
    }

    /// Joins the thread, which has gone or is about to.
    fn join(self) {
        let thread = self.running().as_mut().and_then(|running| running.thread.take());
        if let Some(thread) = thread {
            // Whatever it died of was said.
            let _ = thread.join();
        }
    }

    /// A core that has gone is of no use to the program any more. Safe in a signal handler.
    fn give_up(self) {
        let _ = self.slot().state.compare_exchange(DONE, DESTROYED, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The place of a core that was given up is free.
    fn free(self) {
        if self.state() != DESTROYED {
            return;
        }
        self.join();
        if self.slot().state.compare_exchange(DESTROYED, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            *self.running() = None;
            self.slot().state.store(FREE, Ordering::Release);
        }
    }

    /// The core stops. Safe in a signal handler.
    fn stop(self) {
        let slot = self.slot();
        let _ = slot.state.compare_exchange(RUNNING, STOPPING, Ordering::AcqRel, Ordering::Relaxed);
        // SAFETY: it was made of a box, and is taken back only when 1024 contexts later the place is used again.
        if let Some(stopper) = unsafe { slot.stopper.load(Ordering::Acquire).as_ref() } {
            stopper.stop();
        }
    }

    /// What a capture holds may come.
    fn release(self) {
        if let Some(running) = &*self.running() {
            // One that has gone has no use for it.
            let _ = running.handle.tell(LiveCore::release);
        }
    }

    /// Does something on the thread of the context's core: at once if this is that thread, else between two of its bursts.
    pub(crate) fn ask<R: Send + 'static>(
        self,
        act: impl FnOnce(&mut dyn Place) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        match here::context() {
            Some(own) if own == self => here::with(self, act),
            // Two cores that ask each other would wait for ever.
            Some(_) => Err(Errno::EPERM),
            None => {
                if self.state() != RUNNING {
                    return Err(Errno::EACCES);
                }
                let handle = self.running().as_ref().map(|running| running.handle.clone()).ok_or(Errno::EACCES)?;
                let done = handle.ask(move |core: &mut LiveCore<Core>| act(core.worker()));
                done.unwrap_or(Err(Errno::EACCES))
            }
        }
    }

    /// Does something with the dispatch at hand: only on the thread of the context's core.
    pub(crate) fn here<R>(self, act: impl FnOnce(&mut dyn Place) -> Result<R>) -> Result<R> {
        here::with(self, act)
    }
}

/// The contexts that exist.
fn all() -> impl Iterator<Item = Context> {
    (0..MOST).map(Context).filter(|context| context.exists())
}

/// A context that has no thread but the caller's.
#[cfg(feature = "driven")]
pub(crate) fn drive() -> Result<Context> {
    let context = take()?;
    context.slot().context.cpu.store(0, Ordering::Relaxed);
    context.slot().state.store(RUNNING, Ordering::Release);
    Ok(context)
}

/// Whether no context exists.
pub(crate) fn are_none() -> bool {
    all().next().is_none()
}

/// All cores stop. Safe in a signal handler.
pub(crate) fn stop_all() {
    all().for_each(Context::stop);
}

/// All cores stop, and their places are free.
pub(crate) fn destroy_all() {
    stop_all();
    for context in all() {
        context.wait();
        context.give_up();
    }
    (0..MOST).map(Context).for_each(Context::free);
}

/// A place that nobody has, taken.
fn take() -> Result<Context> {
    for _ in 0..MOST {
        let index = NEXT.fetch_add(1, Ordering::Relaxed) % MOST;
        Context(index).free();
        if SLOTS[index].state.compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Ok(Context(index));
        }
    }
    Err(Errno::EMFILE)
}

fn create(cpu: c_int) -> Result<mctx_t> {
    let mut creating = process::creating()?;
    let number = usize::try_from(cpu).ok().filter(|number| *number < creating.cores()).ok_or(Errno::EINVAL)?;
    let has_cpu = |context: &Context| context.slot().context.cpu.load(Ordering::Relaxed) == cpu;
    if let Some(context) = all().find(has_cpu) {
        if context.state() != DONE {
            return Err(Errno::EEXIST);
        }
        // It has come to the end of its captures.
        context.give_up();
        context.free();
    }
    let plan = creating.plan(number)?;
    let context = take()?;
    let slot = context.slot();
    slot.context.cpu.store(cpu, Ordering::Relaxed);
    let started = core_thread::start(context, plan);
    let (handle, thread) = match started {
        Ok(started) => started,
        Err(errno) => {
            slot.state.store(FREE, Ordering::Release);
            return Err(errno);
        }
    };
    let stopper = slot.stopper.swap(Box::into_raw(Box::new(handle.stopper())), Ordering::AcqRel);
    if !stopper.is_null() {
        // SAFETY: it was made by `Box::into_raw` for the context that had the place 1024 contexts ago.
        drop(unsafe { Box::from_raw(stopper) });
    }
    *context.running() = Some(Running { handle, thread: Some(thread), creator: own_thread() });
    // A core without anything to do may have gone already.
    let _ = slot.state.compare_exchange(TAKEN, RUNNING, Ordering::AcqRel, Ordering::Relaxed);
    Ok(context.mctx())
}

fn own_thread() -> libc::pthread_t {
    // SAFETY: it only asks.
    unsafe { libc::pthread_self() }
}

/// Whether this thread may be in a signal handler: some signal is held back.
fn may_be_in_handler() -> bool {
    // SAFETY: a mask of zeros is one; the call writes it.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &raw mut mask);
        (1..32).any(|signal| libc::sigismember(&raw const mask, signal) == 1)
    }
}

/// Sleeps until `word`, which was `value`, has changed.
fn wait_while(word: &AtomicU32, value: u32) {
    // SAFETY: the word lives as long as the process. What the call says does not matter: the word is looked at again.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            std::ptr::null::<c_void>(),
        );
    }
}

fn wake_all(word: &AtomicU32) {
    // SAFETY: the word lives as long as the process.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, c_int::MAX);
    }
}

/// See mtcp_create_context(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_create_context(cpu: c_int) -> mctx_t {
    call(|| {
        here::forbid()?;
        create(cpu)
    })
}

/// See mtcp_destroy_context(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_destroy_context(mctx: mctx_t) -> c_int {
    let context = match Context::of(mctx) {
        Ok(context) => context,
        Err(errno) => {
            errno.set();
            return -1;
        }
    };
    let own = here::context();
    if own.is_some_and(|own| own != context) {
        // Two cores that destroy each other would wait for ever.
        Errno::EPERM.set();
        return -1;
    }
    let errno = Errno::get();
    context.stop();
    // What was interrupted may hold what a callback waits for, so nobody waits for callbacks meanwhile.
    if own.is_none() && !here::is_interrupted() {
        context.wait();
        context.give_up();
        if !may_be_in_handler() {
            status(|| {
                context.free();
                Ok(())
            });
        }
    }
    errno.set();
    0
}

/// See mtcp_app_join(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_app_join(mctx: mctx_t) {
    call(|| {
        let context = Context::of(mctx)?;
        if here::context().is_some() {
            return Err(Errno::EPERM);
        }
        let own = own_thread();
        for other in all() {
            let is_ours = other.running().as_ref().is_some_and(|running| running.creator == own);
            if other == context || is_ours {
                other.release();
            }
        }
        context.wait();
        context.join();
        Ok(())
    });
}

/// See mtcp_get_connection_cnt(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_get_connection_cnt(mctx: mctx_t) -> u32 {
    call_or(u32::MAX, || Context::of(mctx)?.ask(|place| Ok(u32::try_from(place.live_flows()).unwrap_or(u32::MAX - 1))))
}
