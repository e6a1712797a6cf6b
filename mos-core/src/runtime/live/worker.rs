//! The worker of a live core: the stack with its monitors, as the loop sees it.

use crate::packet::Burst;
use crate::stack::Outgoing;
use crate::time::Timestamp;

/// The work of one live core. It is made, used and taken apart on one thread, so it need not be [`Send`].
pub trait LiveWorker {
    /// Takes a burst.
    fn process(&mut self, burst: &mut Burst<'_>);

    /// What is to go on in place of the frame at `index` of the burst that was processed last, to be readdressed; `None` if it
    /// was dropped.
    fn forwarded<'f>(&'f mut self, index: usize, burst: &'f mut Burst<'_>) -> Option<&'f mut [u8]>;

    /// The next packet that the worker sends of its own.
    fn poll_transmit(&mut self) -> Option<Outgoing>;

    /// When [`advance`](Self::advance) has something to do at the earliest.
    fn poll_timeout(&self) -> Option<Timestamp>;

    /// Lets time pass without a packet.
    fn advance(&mut self, now: Timestamp);

    /// No frame will come any more: every flow ends.
    fn shutdown(&mut self);
}
