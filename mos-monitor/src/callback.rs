//! Callbacks as they are kept: each makes its own context of what it is given. That way this comes in registers, and all places
//! are walked alike.

use mos_core::stack::FlowCx;

use crate::conn::Conn;
use crate::context::{DataCx, Defined, ErrorCx, FilterCx, RcvCx, SndCx};
use crate::control::Control;
use crate::event::UserEvent;

/// A callback of events, wherever they are raised.
pub(crate) type OnEvent<S, F> = Box<dyn FnMut(&mut S, &mut F, &mut FlowCx<'_>, &mut Control)>;

/// The same of a filter.
pub(crate) type EventFilter<S, F> = Box<dyn FnMut(&mut S, &mut F, &mut FlowCx<'_>, &mut Control, &mut Defined) -> bool>;

pub(crate) fn at_snd<S, F>(mut callback: impl FnMut(&mut SndCx<'_, '_, S, F>) + 'static) -> OnEvent<S, F> {
    Box::new(move |state, flow, cx, control| callback(&mut SndCx { state, flow, conn: Conn::new(cx, control) }))
}

pub(crate) fn at_rcv<S, F>(mut callback: impl FnMut(&mut RcvCx<'_, '_, S, F>) + 'static) -> OnEvent<S, F> {
    Box::new(move |state, flow, cx, control| callback(&mut RcvCx { state, flow, conn: Conn::new(cx, control) }))
}

pub(crate) fn at_data<S, F>(mut callback: impl FnMut(&mut DataCx<'_, '_, S, F>) + 'static) -> OnEvent<S, F> {
    Box::new(move |state, flow, cx, control| callback(&mut DataCx { state, flow, conn: Conn::new(cx, control) }))
}

pub(crate) fn at_error<S, F>(mut callback: impl FnMut(&mut ErrorCx<'_, '_, S, F>) + 'static) -> OnEvent<S, F> {
    Box::new(move |state, flow, cx, control| {
        if let Some(reason) = control.reason {
            callback(&mut ErrorCx { state, flow, conn: Conn::new(cx, control), reason });
        }
    })
}

/// The filter of the event `evaluated`.
pub(crate) fn at_filter<S, F>(
    evaluated: UserEvent,
    mut filter: impl FnMut(&mut FilterCx<'_, '_, S, F>) -> bool + 'static,
) -> EventFilter<S, F> {
    Box::new(move |state, flow, cx, control, defined| {
        filter(&mut FilterCx { state, flow, conn: Conn::new(cx, control), evaluated, defined })
    })
}

/// What stands where the filter of an event would, that filters raise: it is never asked.
pub(crate) fn never<S, F>() -> EventFilter<S, F> {
    Box::new(|_, _, _, _, _| false)
}
