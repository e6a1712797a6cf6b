//! What is at hand on a core's thread: the dispatch in which a callback of the program runs.
//!
//! A callback is given a few numbers, and calls back in. So while it runs, its context is lent to the thread; each call borrows it and
//! gives it back before it returns.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::ptr::NonNull;

use mos_core::stack::{AlterError, PeekError};
use mos_core::time::Timestamp;
use mos_monitor::{
    Checksums, Conn, Control, ControlError, Core, CoreTimerCx, DataCx, Descriptor, ErrorCx, FilterCx, LastPacket,
    Layer, PacketEventCx, RcvCx, Side, SndCx, UserEvent,
};

use crate::context::Context;
use crate::errno::{Errno, Result};
use crate::register::Monitors;
use crate::socket::FlowPointers;

/// A flow that is not at hand, or of which it does not matter that it is.
pub(crate) type AnyConn<'a, 'b> = Conn<'a, 'b, mos_monitor::AtTimer>;

/// An edit of the packet at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit<'a> {
    Overwrite(&'a [u8]),
    Insert(&'a [u8]),
    Chomp(usize),
}

/// Where a callback is, and what can be done there.
pub(crate) trait Place {
    /// Asks for something that takes effect before the next callback.
    fn control(&mut self, act: &mut dyn FnMut(&mut Control));

    /// A flow of the core.
    fn with_flow(
        &mut self,
        socket: Descriptor,
        act: &mut dyn FnMut(&mut AnyConn<'_, '_>),
    ) -> std::result::Result<(), ControlError>;

    fn live_flows(&mut self) -> usize;

    /// Copies unread bytes of the flow at hand, and takes them: what [`Self::with_flow`] would do for most who read. `None`: the
    /// socket is not that of this flow, or the side has no buffer.
    fn peek(&mut self, _: Descriptor, _: Side, _: &mut [u8]) -> Option<std::result::Result<usize, PeekError>> {
        None
    }

    /// The packet at hand.
    fn packet(&self) -> Option<LastPacket<'_>> {
        None
    }

    /// Does not forward it. False if that cannot be.
    fn drop_packet(&mut self) -> bool {
        false
    }

    /// Changes it.
    fn edit(&mut self, _: Layer, _: usize, _: Edit<'_>, _: Checksums) -> std::result::Result<(), AlterError> {
        Err(AlterError::NoPacket)
    }

    /// In a filter: raises an event. `None` elsewhere.
    fn raise(&mut self, _: UserEvent) -> Option<bool> {
        None
    }
}

/// What all contexts of a flow have.
macro_rules! flow_place {
    () => {
        fn control(&mut self, act: &mut dyn FnMut(&mut Control)) {
            act(self.conn.control());
        }

        fn with_flow(
            &mut self,
            socket: Descriptor,
            act: &mut dyn FnMut(&mut AnyConn<'_, '_>),
        ) -> std::result::Result<(), ControlError> {
            self.conn.with_flow(socket, act)
        }

        fn live_flows(&mut self) -> usize {
            self.conn.live_flows()
        }

        fn peek(
            &mut self,
            socket: Descriptor,
            side: Side,
            out: &mut [u8],
        ) -> Option<std::result::Result<usize, PeekError>> {
            let can_read = self.conn.is(socket) && self.conn.is_buffered(side);
            can_read.then(|| self.conn.peek(side, out))
        }

        fn packet(&self) -> Option<LastPacket<'_>> {
            self.conn.last_packet()
        }

        fn drop_packet(&mut self) -> bool {
            self.conn.drop_forwarded()
        }

        fn edit(
            &mut self,
            layer: Layer,
            offset: usize,
            edit: Edit<'_>,
            checksums: Checksums,
        ) -> std::result::Result<(), AlterError> {
            let Some(mut conn) = self.conn.to_edit() else {
                return match edit {
                    Edit::Overwrite(bytes) => self.conn.overwrite_forwarded(layer, offset, bytes, checksums),
                    Edit::Insert(_) | Edit::Chomp(_) => Err(AlterError::Seen),
                };
            };
            let mut packet = conn.edit().checksums(checksums);
            match edit {
                Edit::Overwrite(bytes) => packet.overwrite(layer, offset, bytes),
                Edit::Insert(bytes) => packet.insert(layer, offset, bytes),
                Edit::Chomp(len) => packet.chomp(layer, offset, len),
            }
            .map(drop)
        }
    };
}

/// What all contexts of no flow have.
macro_rules! no_flow_place {
    () => {
        fn control(&mut self, act: &mut dyn FnMut(&mut Control)) {
            act(self.control);
        }

        fn with_flow(
            &mut self,
            socket: Descriptor,
            act: &mut dyn FnMut(&mut AnyConn<'_, '_>),
        ) -> std::result::Result<(), ControlError> {
            Self::with_flow(self, socket, act)
        }

        fn live_flows(&mut self) -> usize {
            Self::live_flows(self)
        }
    };
}

impl Place for SndCx<'_, '_, (), ()> {
    flow_place!();
}

impl Place for RcvCx<'_, '_, (), ()> {
    flow_place!();
}

impl Place for DataCx<'_, '_, (), ()> {
    flow_place!();
}

impl Place for ErrorCx<'_, '_, (), ()> {
    flow_place!();
}

impl Place for FilterCx<'_, '_, (), ()> {
    flow_place!();

    fn raise(&mut self, event: UserEvent) -> Option<bool> {
        Some(FilterCx::raise(self, event).is_ok())
    }
}

impl Place for PacketEventCx<'_, ()> {
    no_flow_place!();

    fn packet(&self) -> Option<LastPacket<'_>> {
        Some(self.last_packet())
    }

    fn drop_packet(&mut self) -> bool {
        PacketEventCx::drop_packet(self)
    }

    fn edit(
        &mut self,
        layer: Layer,
        offset: usize,
        edit: Edit<'_>,
        checksums: Checksums,
    ) -> std::result::Result<(), AlterError> {
        let Edit::Overwrite(bytes) = edit else { return Err(AlterError::NoPayload) };
        let edited = self.edit_frame(|frame, packet| {
            mos_core::wire::edit::overwrite(frame, packet, layer, offset, bytes, checksums)
        })?;
        edited.map_err(AlterError::Edit)
    }

    fn raise(&mut self, event: UserEvent) -> Option<bool> {
        PacketEventCx::raise(self, event).map(|raised| raised.is_ok())
    }
}

impl Place for CoreTimerCx<'_, ()> {
    no_flow_place!();
}

/// Between two bursts, for other threads.
impl Place for Core {
    fn control(&mut self, act: &mut dyn FnMut(&mut Control)) {
        Core::control(self, |control| act(control));
    }

    fn with_flow(
        &mut self,
        _: Descriptor,
        _: &mut dyn FnMut(&mut AnyConn<'_, '_>),
    ) -> std::result::Result<(), ControlError> {
        // What is asked of flows is asked on the core's own thread.
        Err(ControlError::WrongKind)
    }

    fn live_flows(&mut self) -> usize {
        self.stack().live_flows()
    }
}

/// A filter that is asked, for what it calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evaluated {
    pub(crate) event: u64,
    /// The monitor on which it is asked.
    pub(crate) monitor: Descriptor,
}

/// What a thread knows. It is one thing: in a shared library each thread-local variable is a call to find it.
struct Here {
    /// Set on the threads of cores.
    context: Cell<Option<Context>>,
    place: Cell<Option<NonNull<dyn Place>>>,
    evaluated: Cell<Option<Evaluated>>,
    /// See [`crate::packet`].
    length: Cell<Option<u16>>,
    /// The program's handler of SIGINT runs.
    interrupted: Cell<bool>,
}

thread_local! {
    static HERE: Here = const {
        Here {
            context: Cell::new(None),
            place: Cell::new(None),
            evaluated: Cell::new(None),
            length: Cell::new(None),
            interrupted: Cell::new(false),
        }
    };
    static OWN: Own = const { Own };
    static MONITORS: RefCell<Monitors> = RefCell::default();
    static FLOWS: RefCell<FlowPointers> = RefCell::default();
}

/// Goes with what is the thread's own. If a callback calls exit(), that is before the program's last functions run, perhaps on this
/// thread: they find nothing at hand any more.
struct Own;

impl Drop for Own {
    fn drop(&mut self) {
        HERE.with(|here| here.place.set(None));
    }
}

/// This thread is that of the context's core.
pub(crate) fn enter(context: Context) {
    HERE.with(|here| here.context.set(Some(context)));
    // It is there from now on.
    OWN.with(|_| ());
}

/// No more: nothing is called here any more.
pub(crate) fn leave() {
    HERE.with(|here| here.context.set(None));
    MONITORS.take();
    FLOWS.take();
}

/// The context whose core's thread this is.
pub(crate) fn context() -> Option<Context> {
    HERE.with(|here| here.context.get())
}

/// Calls the program's handler of SIGINT on this thread.
pub(crate) fn interrupt(handler: impl FnOnce()) {
    HERE.with(|here| {
        let outer = here.interrupted.replace(true);
        handler();
        here.interrupted.set(outer);
    });
}

/// Whether the program's handler of SIGINT runs on this thread.
pub(crate) fn is_interrupted() -> bool {
    HERE.with(|here| here.interrupted.get())
}

/// The length that the packet at hand is to have: see [`crate::packet`].
pub(crate) fn set_length(length: Option<u16>) {
    HERE.with(|here| here.length.set(length));
}

/// For calls that no callback may make.
pub(crate) fn forbid() -> Result {
    if context().is_some() { Err(Errno::EPERM) } else { Ok(()) }
}

/// What is known of the core's monitors.
pub(crate) fn monitors<R>(act: impl FnOnce(&mut Monitors) -> R) -> R {
    MONITORS.with_borrow_mut(act)
}

/// What the program keeps for flows.
pub(crate) fn flow_pointers<R>(act: impl FnOnce(&mut FlowPointers) -> R) -> R {
    FLOWS.with_borrow_mut(act)
}

/// The filter that is asked.
pub(crate) fn evaluated() -> Option<Evaluated> {
    HERE.with(|here| here.evaluated.get())
}

/// A filter is asked from now on, or none any more.
pub(crate) fn set_evaluated(evaluated: Option<Evaluated>) {
    HERE.with(|here| here.evaluated.set(evaluated));
}

/// Puts the place back that was there before.
struct Restore<'a>(&'a Here, Option<NonNull<dyn Place>>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.0.place.set(self.1);
    }
}

/// Calls out to the program: what it calls finds `place`. Gives the length, too, that it has written into the packet at hand.
#[inline]
pub(crate) fn lend<R>(place: &mut (dyn Place + '_), call: impl FnOnce() -> R) -> (R, Option<u16>) {
    let place = NonNull::from(place);
    // SAFETY: the types differ in a lifetime only. The pointer is there for as long as `call` takes, for which `place` is borrowed.
    let place = unsafe { std::mem::transmute::<NonNull<dyn Place + '_>, NonNull<dyn Place + 'static>>(place) };
    HERE.with(|here| {
        let _restore = Restore(here, here.place.replace(Some(place)));
        (call(), here.length.take())
    })
}

/// Does something in the dispatch at hand, if this is the thread of the context's core.
///
/// The place is taken meanwhile, so whoever comes in between, as a signal handler may, finds none.
#[inline]
pub(crate) fn with<R>(context: Context, act: impl FnOnce(&mut dyn Place) -> Result<R>) -> Result<R> {
    HERE.with(|here| {
        if here.context.get() != Some(context) {
            return Err(Errno::EPERM);
        }
        let Some(mut place) = here.place.take() else { return Err(Errno::EPERM) };
        let _restore = Restore(here, Some(place));
        // SAFETY: `lend` is under way and has lent it to this thread; nobody else has it, since it was taken.
        act(unsafe { place.as_mut() })
    })
}

/// Asks for something, and says what came of it.
pub(crate) fn control<R>(place: &mut dyn Place, act: impl FnOnce(&mut Control) -> R) -> R {
    let (mut act, mut answer) = (Some(act), None);
    place.control(&mut |control| answer = act.take().map(|act| act(control)));
    answer.expect("it is called once")
}

/// Looks at the flow whose socket that is.
#[inline]
pub(crate) fn flow<R>(place: &mut dyn Place, sock: c_int, act: impl FnOnce(&mut AnyConn<'_, '_>) -> R) -> Result<R> {
    let (mut act, mut answer) = (Some(act), None);
    let seen = place.with_flow(Descriptor::from_raw(sock), &mut |conn| answer = act.take().map(|act| act(conn)));
    match seen {
        Ok(()) => Ok(answer.expect("it is called once")),
        Err(ControlError::WrongKind) => Err(Errno::ENOTSOCK),
        Err(error) => Err(error.into()),
    }
}

/// The time.
pub(crate) fn now(place: &mut dyn Place) -> Timestamp {
    control(place, |control| control.now())
}
