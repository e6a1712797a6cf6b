//! One core: a stack, and the monitors that hear of what happens in it.

use std::time::Duration;

use mos_core::config::Config;
use mos_core::packet::{Burst, Verdict};
#[cfg(target_os = "linux")]
use mos_core::runtime::live::LiveWorker;
use mos_core::socket::Descriptor;
use mos_core::stack::{Outgoing, Stack};
use mos_core::stats::Stats;
use mos_core::time::Timestamp;

use crate::control::Control;
use crate::guard::CallbackTimes;
use crate::monitors::Monitors;
use crate::timer::Clock;
use crate::{CloseError, Monitor, OpenError, RawMonitor};

/// One core: a stack and its monitors. It is given frames and time; it owns no thread and no device.
#[derive(Debug)]
pub struct Core {
    stack: Stack,
    monitors: Monitors,
}

impl Core {
    /// A core without monitors.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { stack: Stack::new(config), monitors: Monitors::default() }
    }

    /// Opens a MOS_SOCK_MONITOR_STREAM: it sees flows that begin from now on.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooMany`] if the core has as many monitors as it can have; [`OpenError::ShutDown`].
    pub fn open<S: 'static, F: Default + 'static>(&mut self, monitor: Monitor<S, F>) -> Result<Descriptor, OpenError> {
        self.control(|control| control.open(monitor))
    }

    /// Opens a MOS_SOCK_MONITOR_RAW: it sees every IP packet from now on.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooMany`] if there are no descriptors left; [`OpenError::ShutDown`].
    pub fn open_raw<S: 'static>(&mut self, monitor: RawMonitor<S>) -> Result<Descriptor, OpenError> {
        self.control(|control| control.open_raw(monitor))
    }

    /// mtcp_close; see [`Control::close`].
    ///
    /// # Errors
    ///
    /// See [`CloseError`].
    pub fn close(&mut self, descriptor: Descriptor) -> Result<(), CloseError> {
        self.control(|control| control.close(descriptor))
    }

    /// Does what callbacks may ask for, from outside.
    pub fn control<R>(&mut self, ask: impl FnOnce(&mut Control) -> R) -> R {
        self.monitors.control.now = self.stack.now();
        let answer = ask(&mut self.monitors.control);
        self.monitors.apply(&mut self.stack.attachments());
        answer
    }

    /// Takes a burst of frames and says what is to become of each; [`Stack::forwarded`] has what is to go on in its place, and
    /// [`Self::poll_transmit`] what callbacks have sent.
    pub fn process(&mut self, burst: &mut Burst<'_>) -> &[Verdict] {
        self.stack.process_burst(burst, &mut self.monitors)
    }

    /// What is to be forwarded in place of the frame at `index` of the burst that was processed last, to be readdressed on its way.
    /// `None` if it was dropped.
    #[must_use]
    pub fn forwarded_mut<'f>(&'f mut self, index: usize, burst: &'f mut Burst<'_>) -> Option<&'f mut [u8]> {
        self.stack.forwarded_mut(index, burst)
    }

    /// When [`Self::advance`] has something to do at the earliest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.stack.poll_timeout()
    }

    /// Lets time pass without a packet.
    pub fn advance(&mut self, now: Timestamp) {
        self.stack.handle_timeout(now, &mut self.monitors);
    }

    /// Tells the time for timers that go by [`Clock::Monotonic`]: from any beginning, but never back.
    pub fn advance_monotonic(&mut self, now: Timestamp) {
        self.monitors.fire_timers(&mut self.stack.core(), Clock::Monotonic, now, now);
    }

    /// The next packet that a callback has sent.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.stack.poll_transmit()
    }

    /// Ends every flow; the monitors get all that is left to read (D20). Nothing can be opened, closed or registered after that.
    pub fn shutdown(&mut self) {
        self.stack.shutdown(&mut self.monitors);
        let control = &mut self.monitors.control;
        control.is_shut_down = true;
        control.timers.clear(&mut control.sockets);
        control.core_timers.clear();
        self.monitors.apply(&mut self.stack.attachments());
    }

    /// The state of the monitor that is open under `descriptor`, if it is of that type.
    #[must_use]
    pub fn state<S: 'static>(&self, descriptor: Descriptor) -> Option<&S> {
        self.monitors.state(descriptor)?.downcast_ref()
    }

    /// The same, to change.
    #[must_use]
    pub fn state_mut<S: 'static>(&mut self, descriptor: Descriptor) -> Option<&mut S> {
        self.monitors.state_mut(descriptor)?.downcast_mut()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        self.stack.stats()
    }

    /// Callbacks that panicked. A panic ends that monitor's interest in that flow; everything else goes on.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.monitors.control.guard.panics
    }

    /// From now on callbacks are timed, with two looks at a clock each; those that take longer than `budget` are counted.
    pub fn time_callbacks(&mut self, budget: Duration) {
        self.monitors.time_callbacks(budget);
    }

    /// How long callbacks took, if they are timed.
    #[must_use]
    pub fn callback_times(&self) -> Option<&CallbackTimes> {
        self.monitors.control.guard.times.as_ref()
    }

    /// Flows that were not monitored because 65,535 different sets of handlers were in use.
    #[must_use]
    pub fn unmonitored_flows(&self) -> u64 {
        self.monitors.unmonitored
    }

    /// Handlers that were not changed for a flow because 65,535 different sets of them were in use.
    #[must_use]
    pub fn unchanged_handlers(&self) -> u64 {
        self.monitors.unchanged
    }

    /// Handler tables in use: flows with equal handlers share one, however many there are.
    #[must_use]
    pub fn handler_tables(&self) -> usize {
        self.monitors.tables()
    }

    /// The stack itself.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }
}

#[cfg(target_os = "linux")]
impl LiveWorker for Core {
    fn process(&mut self, burst: &mut Burst<'_>) {
        Self::process(self, burst);
    }

    fn forwarded<'f>(&'f mut self, index: usize, burst: &'f mut Burst<'_>) -> Option<&'f mut [u8]> {
        self.forwarded_mut(index, burst)
    }

    fn poll_transmit(&mut self) -> Option<Outgoing> {
        Self::poll_transmit(self)
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        Self::poll_timeout(self)
    }

    fn advance(&mut self, now: Timestamp) {
        Self::advance(self, now);
    }

    fn shutdown(&mut self) {
        Self::shutdown(self);
    }
}
