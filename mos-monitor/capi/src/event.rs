//! Events that programs define: one forest for the process, whose roots are built in.

use std::ffi::{c_int, c_void};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mos_monitor::Event;

use crate::abi::{event_t, filter_arg, filter_t, mctx_t};
use crate::boundary::{call, status};
use crate::context::Context;
use crate::errno::{Errno, Result};
use crate::here;

/// The first number of an event that is not built in.
const FIRST: event_t = 1 << 12;

/// An argument's bytes, kept for as long as somebody may be given them: as well aligned as memory of malloc is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Argument {
    bytes: Box<[u128]>,
    len: usize,
}

impl Argument {
    /// A copy.
    ///
    /// # Safety
    ///
    /// `from` has so many bytes.
    unsafe fn copy(from: *const c_void, len: usize) -> Self {
        let mut bytes = vec![0u128; len.div_ceil(size_of::<u128>())].into_boxed_slice();
        if len > 0 {
            // SAFETY: there is room for so many bytes; the caller says that there are so many.
            unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), bytes.as_mut_ptr().cast::<u8>(), len) };
        }
        Self { bytes, len }
    }

    /// What a callback is given.
    pub(crate) fn as_c(&self) -> filter_arg {
        if self.len == 0 {
            return filter_arg::NONE;
        }
        filter_arg { arg: self.bytes.as_ptr().cast_mut().cast(), len: self.len }
    }
}

/// What lets an event happen, once its parent has.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// A filter.
    Filter(filter_t, Arc<Argument>),
    /// A filter of an event beside or below it raises it.
    Raised,
}

#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) parent: event_t,
    /// The built-in event that it descends from.
    pub(crate) root: event_t,
    pub(crate) cause: Cause,
}

impl Definition {
    fn is(&self, parent: event_t, filter: filter_t, argument: &Argument) -> bool {
        let same = |other: &filter_t| std::ptr::fn_addr_eq(*other, filter);
        self.parent == parent
            && matches!(&self.cause, Cause::Filter(other, bytes) if same(other) && **bytes == *argument)
    }
}

/// All events that were defined, in order.
static FOREST: RwLock<Vec<Definition>> = RwLock::new(Vec::new());

fn read() -> RwLockReadGuard<'static, Vec<Definition>> {
    FOREST.read().unwrap_or_else(PoisonError::into_inner)
}

fn write() -> RwLockWriteGuard<'static, Vec<Definition>> {
    FOREST.write().unwrap_or_else(PoisonError::into_inner)
}

fn index(event: event_t) -> Option<usize> {
    usize::try_from(event.checked_sub(FIRST)?).ok()
}

fn is_builtin(event: event_t) -> bool {
    event < FIRST && event.is_power_of_two()
}

/// The event of that number that is built in and raised. The deprecated ones never are.
pub(crate) fn builtin(event: event_t) -> Option<Event> {
    const RAISED: [Event; Event::COUNT] = [
        Event::PktIn,
        Event::ConnStart,
        Event::NewData,
        Event::Error,
        Event::TcpStateChange,
        Event::Orphan,
        Event::Rexmit,
        Event::ConnEnd,
    ];
    RAISED.into_iter().find(|raised| *raised as event_t == event)
}

/// The built-in event that a known one descends from; `None` if it is not known.
pub(crate) fn root(event: event_t) -> Option<event_t> {
    if is_builtin(event) { Some(event) } else { definition(event).map(|definition| definition.root) }
}

pub(crate) fn definition(event: event_t) -> Option<Definition> {
    read().get(index(event)?).cloned()
}

/// Whether a filter of `evaluated` may raise `event`: it was allocated below it, or below an event above it.
fn may_raise(evaluated: event_t, event: event_t) -> bool {
    let Some(Definition { parent, cause: Cause::Raised, .. }) = definition(event) else { return false };
    let mut above = evaluated;
    loop {
        if above == parent {
            return true;
        }
        match definition(above) {
            Some(definition) => above = definition.parent,
            None => return false,
        }
    }
}

fn define(parent: event_t, cause: Cause) -> Result<event_t> {
    let root = root(parent).ok_or(Errno::EINVAL)?;
    let mut forest = write();
    if let Cause::Filter(filter, argument) = &cause
        && let Some(index) = forest.iter().position(|other| other.is(parent, *filter, argument))
    {
        return Ok(FIRST + index as event_t);
    }
    forest.push(Definition { parent, root, cause });
    Ok(FIRST + forest.len() as event_t - 1)
}

/// The process begins anew.
pub(crate) fn forget_all() {
    write().clear();
}

/// See mtcp_define_event(3).
///
/// # Safety
///
/// `arg` is NULL, or its `arg` has `len` bytes, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_define_event(
    event: event_t,
    filter: Option<filter_t>,
    arg: *const filter_arg,
) -> event_t {
    call(|| {
        let filter = filter.ok_or(Errno::EINVAL)?;
        // SAFETY: the caller says so.
        let arg = unsafe { arg.as_ref() }.copied().unwrap_or(filter_arg::NONE);
        if arg.arg.is_null() && arg.len > 0 {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller says so.
        let argument = unsafe { Argument::copy(arg.arg, if arg.arg.is_null() { 0 } else { arg.len }) };
        define(event, Cause::Filter(filter, Arc::new(argument)))
    })
}

/// See mtcp_alloc_event(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_alloc_event(event: event_t) -> event_t {
    call(|| define(event, Cause::Raised))
}

/// See mtcp_raise_event(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_raise_event(mctx: mctx_t, event: event_t) -> c_int {
    status(|| {
        Context::of(mctx)?.here(|place| {
            let evaluated = here::evaluated().ok_or(Errno::EPERM)?;
            if !may_raise(evaluated.event, event) {
                return Err(Errno::EINVAL);
            }
            // Where nobody has registered it or anything below, nobody hears of it.
            match here::monitors(|monitors| monitors.event(evaluated.monitor, event)) {
                Some(event) => match place.raise(event) {
                    Some(true) => Ok(()),
                    Some(false) => Err(Errno::EINVAL),
                    None => Err(Errno::EPERM),
                },
                None => Ok(()),
            }
        })
    })
}
