//! The whole way: a live core with connection tracking, as `mos run` has it.

use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use mos_core::config::Config;
use mos_core::io::{AfPacket, AfPacketConfig, Port};
use mos_core::net::{Forwarder, NetConfig};
use mos_core::packet::Burst;
use mos_core::runtime::live::{Clock, Handle, LiveCore, LiveWorker};
use mos_core::stack::Outgoing;
use mos_core::time::Timestamp;
use mos_monitor::{Core, Event, Monitor};

use super::net::Net;

/// A stack with a monitor of connections and their states.
struct Worker(Core);

impl LiveWorker for Worker {
    fn process(&mut self, burst: &mut Burst<'_>) {
        self.0.process(burst);
    }

    fn forwarded<'f>(&'f mut self, index: usize, burst: &'f mut Burst<'_>) -> Option<&'f mut [u8]> {
        self.0.forwarded_mut(index, burst)
    }

    fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.0.poll_transmit()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.0.poll_timeout()
    }

    fn advance(&mut self, now: Timestamp) {
        self.0.advance(now);
    }

    fn shutdown(&mut self) {
        self.0.shutdown();
    }
}

/// A core that runs in the middlebox's namespace and bridges its two ports.
pub(super) struct Tracker {
    handle: Handle<LiveCore<Worker>>,
    thread: JoinHandle<u64>,
}

impl Tracker {
    pub(super) fn start(net: &Net) -> Self {
        let (ready, is_ready) = channel();
        let thread = net.spawn("m", move || {
            let port = |(number, name): (u16, &str)| {
                let config = AfPacketConfig { port: number, ..AfPacketConfig::default() };
                Box::new(AfPacket::open(name, 1, &config).unwrap().remove(0)) as Box<dyn Port>
            };
            let ports = [(0, "m0"), (1, "m1")].map(port).into();
            let mut core = Core::new(Config::default());
            let monitor = Monitor::<u64, ()>::new("track", 0).without_buffers();
            let monitor = [Event::ConnStart, Event::TcpStateChange, Event::ConnEnd]
                .into_iter()
                .fold(monitor, |all, event| all.on_snd(event, |cx| *cx.state += 1).on_rcv(event, |cx| *cx.state += 1));
            core.open(monitor).unwrap();
            let forwarder = Forwarder::new(NetConfig { pairs: vec![(0, 1)], ..NetConfig::default() }).unwrap();
            let (core, handle) = LiveCore::new(Worker(core), ports, forwarder, Clock::System).unwrap();
            ready.send(handle).unwrap();
            let (worker, outcome) = core.run();
            outcome.unwrap();
            worker.0.stats().flow_packets
        });
        Self { handle: is_ready.recv().unwrap(), thread }
    }

    /// Stops it. How many packets belonged to connections.
    pub(super) fn stop(self) -> u64 {
        self.handle.tell(LiveCore::stop).unwrap();
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
