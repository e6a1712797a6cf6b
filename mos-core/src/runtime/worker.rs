//! What takes bursts and time: the stack of one core, as the run loop sees it.

use core::ops::ControlFlow;

use crate::packet::Burst;
use crate::time::Timestamp;

/// The work of one core. It is made, used and taken apart on one thread, so it need not be [`Send`]; what it leaves is.
pub trait Worker {
    /// What is left of the worker after the run.
    type Report: Send;

    /// Takes a burst. `Break` means that nobody needs any more of this: the run ends as it stands.
    fn process(&mut self, burst: &mut Burst<'_>) -> ControlFlow<()>;

    /// Lets time pass without a packet.
    fn advance(&mut self, now: Timestamp);

    /// No frame will come any more: every flow ends.
    fn shutdown(&mut self);

    /// The last call: what is to be told of the run.
    fn report(self) -> Self::Report;
}
