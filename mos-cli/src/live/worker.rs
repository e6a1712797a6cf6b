//! A core's stack with its monitor, as the live loop sees it.

use mos_core::packet::Burst;
use mos_core::runtime::live::LiveWorker;
use mos_core::stack::Outgoing;
use mos_core::time::Timestamp;
use mos_monitor::{Core, Descriptor};
use mos_samples::midstat::Screen;

/// A stack with its monitor.
pub(crate) struct CoreWorker {
    pub(crate) core: Core,
    pub(crate) socket: Descriptor,
}

impl LiveWorker for CoreWorker {
    fn process(&mut self, burst: &mut Burst<'_>) {
        self.core.process(burst);
    }

    fn forwarded<'f>(&'f mut self, index: usize, burst: &'f mut Burst<'_>) -> Option<&'f mut [u8]> {
        self.core.forwarded_mut(index, burst)
    }

    fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.core.poll_transmit()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.core.poll_timeout()
    }

    fn advance(&mut self, now: Timestamp) {
        self.core.advance(now);
    }

    fn shutdown(&mut self) {
        if let Some(screen) = self.core.state::<Screen>(self.socket) {
            screen.show();
        }
        self.core.shutdown();
    }
}
