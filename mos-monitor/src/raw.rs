//! Raw monitors: every IP packet, once (MOS_SOCK_MONITOR_RAW).

use mos_core::filter::Filter;
use mos_core::stack::{PacketCx, PacketView};
use mos_core::time::Timestamp;

use crate::control::Control;

type Callback<S> = Box<dyn FnMut(&mut RawCx<'_, S>)>;

/// A monitor of packets. It sees every IP packet exactly once, of any protocol, before the stack looks at it: fragments
/// one by one, packets with bad checksums too.
pub struct RawMonitor<S = ()> {
    name: String,
    state: S,
    filter: Option<Filter>,
    on_packet: Option<Callback<S>>,
}

impl<S> std::fmt::Debug for RawMonitor<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawMonitor").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S: 'static> RawMonitor<S> {
    /// A monitor that does nothing yet. `state` is that of this core.
    pub fn new(name: impl Into<String>, state: S) -> Self {
        Self { name: name.into(), state, filter: None, on_packet: None }
    }

    /// PKT_IN only for packets that `filter` matches (raw_pkt_filter).
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// PKT_IN. A second call replaces the first one.
    #[must_use]
    pub fn on_packet(mut self, callback: impl FnMut(&mut RawCx<'_, S>) + 'static) -> Self {
        self.on_packet = Some(Box::new(callback));
        self
    }
}

/// The context of a raw packet.
#[derive(Debug)]
pub struct RawCx<'a, S> {
    /// The state of this core.
    pub state: &'a mut S,
    /// Opens and closes monitors.
    pub control: &'a mut Control,
    cx: PacketCx<'a>,
}

impl<S> RawCx<'_, S> {
    /// The packet.
    #[must_use]
    pub fn packet(&self) -> PacketView<'_> {
        self.cx.packet()
    }

    /// The time of the packet.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.cx.now()
    }

    /// The packet is not to be forwarded; the flows see it all the same.
    pub fn drop_packet(&mut self) {
        self.cx.drop_packet();
    }
}

pub(crate) trait AnyRaw {
    fn packet(&mut self, cx: PacketCx<'_>, control: &mut Control);
    fn state(&self) -> &dyn std::any::Any;
}

impl<S: 'static> AnyRaw for RawMonitor<S> {
    fn packet(&mut self, cx: PacketCx<'_>, control: &mut Control) {
        let filtered = self.filter.as_ref().is_some_and(|filter| !cx.packet().matches(filter));
        if let Some(callback) = self.on_packet.as_mut().filter(|_| !filtered) {
            callback(&mut RawCx { state: &mut self.state, control, cx });
        }
    }

    fn state(&self) -> &dyn std::any::Any {
        &self.state
    }
}
