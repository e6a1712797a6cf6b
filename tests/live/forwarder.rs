//! The least that stands in the way: what arrives at one port leaves by the other, after it was looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mos_core::io::{AfPacket, AfPacketConfig, Arrival, Port, PortCounters, wait};
use mos_core::packet::FrameMeta;

use super::net::Net;

/// What is done to a frame on its way; the number is that of the port at which it arrived.
pub(super) type Edit = Box<dyn FnMut(usize, &mut [u8], &FrameMeta) + Send>;

/// A forwarder that runs in the middlebox's namespace.
pub(super) struct Forwarder {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<[PortCounters; 2]>,
}

pub(super) fn open(name: &str, config: AfPacketConfig) -> AfPacket {
    AfPacket::open(name, 1, &config).unwrap_or_else(|error| panic!("{error}")).remove(0)
}

impl Forwarder {
    pub(super) fn start(net: &Net, config: AfPacketConfig, edit: Edit) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, (ready, is_ready)) = (Arc::clone(&stop), std::sync::mpsc::channel());
        let thread = net.spawn("m", move || {
            let ports = [open("m0", config), open("m1", config)];
            ready.send(()).unwrap();
            forward(ports, &told, edit)
        });
        is_ready.recv().unwrap();
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> [PortCounters; 2] {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn forward(mut ports: [AfPacket; 2], stop: &AtomicBool, mut edit: Edit) -> [PortCounters; 2] {
    while !stop.load(Ordering::Relaxed) {
        let mut any = false;
        for from in 0..2 {
            let [a, b] = &mut ports;
            let (receiver, sender) = if from == 0 { (a, b) } else { (b, a) };
            let arrival = receiver.receive(&mut |burst| {
                for meta in burst.frames {
                    let frame = &mut burst.memory[meta.range()];
                    edit(from, frame, meta);
                    // What cannot be sent is counted.
                    let _ = sender.transmit(frame, meta.offload);
                }
            });
            sender.flush();
            any |= matches!(arrival.unwrap(), Arrival::Frames(_));
        }
        if !any {
            let fds: Vec<_> = ports.iter().filter_map(Port::poll_fd).collect();
            wait(&fds, Duration::from_millis(10)).unwrap();
        }
    }
    ports.map(|mut port| port.counters())
}
