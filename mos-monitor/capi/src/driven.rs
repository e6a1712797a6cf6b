//! A context without a thread and devices: its packets are handed in. For benchmarks, which measure what they hand in and nothing else.

use mos_core::config::Config;
use mos_core::packet::Burst;
use mos_monitor::Core;

use crate::abi::mctx_t;
use crate::context::{self, Context};
use crate::here;

/// A core of which the calling thread is the thread.
pub struct Driven {
    core: Core,
    context: Context,
}

impl std::fmt::Debug for Driven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driven").field("core", &self.core).finish_non_exhaustive()
    }
}

impl Driven {
    /// A core without monitors. There is one at a time on a thread.
    ///
    /// # Panics
    ///
    /// If a process has had more contexts than there is room for.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let context = context::drive().expect("there is room for a context");
        here::enter(context);
        Self { core: Core::new(config), context }
    }

    /// Lets `calls` use the C interface, as between two bursts.
    pub fn with<R>(&mut self, calls: impl FnOnce(mctx_t) -> R) -> R {
        let mctx = self.context.mctx();
        here::lend(&mut self.core, || calls(mctx)).0
    }

    /// Takes a burst.
    pub fn process(&mut self, burst: &mut Burst<'_>) {
        self.core.process(burst);
    }

    /// Ends all flows.
    pub fn finish(&mut self) {
        self.core.shutdown();
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        here::leave();
        self.context.is_done();
    }
}
