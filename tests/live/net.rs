//! Two hosts and a middlebox in between, each in a network namespace of its own that lives as long as the test.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// ```text
/// a: a0 10.77.0.1, fd77::1  ---  m: m0, m1  ---  b: b0 10.77.0.2, fd77::2
/// ```
///
/// All offloads are as the system sets them. Only the middlebox connects the two.
pub(super) struct Net {
    name: String,
    spaces: &'static [&'static str],
    /// One test at a time: the system's queue between two ends of a virtual cable is short, and shared by all of them.
    _alone: MutexGuard<'static, ()>,
}

impl Net {
    /// `None`, and a word about it, if the process may not make namespaces.
    pub(super) fn new() -> Option<Self> {
        let net = Self::with_spaces(&["a", "m", "b"])?;
        net.pair("a", "a0", "m0");
        net.pair("b", "b0", "m1");
        net.address_hosts();
        Some(net)
    }

    pub(super) fn with_spaces(spaces: &'static [&'static str]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static ALONE: Mutex<()> = Mutex::new(());
        let name = format!("mos{}n{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let net = Self { name, spaces, _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner) };
        for space in spaces {
            if !ip(&["netns", "add", &net.space(space)]) {
                // Past the harness, which would keep it to itself.
                let _ = writeln!(std::io::stderr(), "SKIPPED: live traffic needs root and iproute2 (ip netns add)");
                return None;
            }
            // The hosts answer for their own addresses only; neighbours are not asked for what nobody sends.
            net.shell(space, "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
        }
        net.shell("m", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
        Some(net)
    }

    pub(super) fn address_hosts(&self) {
        for (host, interface, number) in [("a", "a0", 1), ("b", "b0", 2)] {
            self.address_host(host, interface, number);
        }
    }

    /// The addresses of a host on a bridge.
    pub(super) fn address_host(&self, host: &str, interface: &str, number: u32) {
        self.ip(host, &format!("addr add 10.77.0.{number}/24 dev {interface}"));
        self.ip(host, &format!("addr add fd77::{number}/64 dev {interface} nodad"));
    }

    /// A cable between an interface of a host and one of the middlebox, both up.
    pub(super) fn pair(&self, host: &str, there: &str, here: &str) {
        self.cable("m", here, host, there);
    }

    pub(super) fn cable(&self, space: &str, here: &str, other: &str, there: &str) {
        self.ip(space, &format!("link add {here} type veth peer name {there} netns {}", self.space(other)));
        self.ip(space, &format!("link set {here} up"));
        self.ip(other, &format!("link set {there} up"));
    }

    fn space(&self, which: &str) -> String {
        format!("{}{which}", self.name)
    }

    /// Runs ip(8) in a namespace.
    pub(super) fn ip(&self, which: &str, arguments: &str) {
        let space = self.space(which);
        let all: Vec<&str> = ["-n", &space].into_iter().chain(arguments.split(' ')).collect();
        assert!(ip(&all), "ip {}", all.join(" "));
    }

    /// Runs a line of shell in a namespace.
    pub(super) fn shell(&self, which: &str, line: &str) {
        assert!(ip(&["netns", "exec", &self.space(which), "sh", "-c", line]), "{line}");
    }

    /// Runs `body` on a thread of its own, in a namespace.
    pub(super) fn spawn<R: Send + 'static>(
        &self,
        which: &str,
        body: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let file = File::open(format!("/run/netns/{}", self.space(which))).unwrap();
        thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            body()
        })
    }

    /// The same, and waits for it.
    pub(super) fn run<R: Send + 'static>(&self, which: &str, body: impl FnOnce() -> R + Send + 'static) -> R {
        self.spawn(which, body).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for space in self.spaces {
            ip(&["netns", "del", &self.space(space)]);
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    let output = Command::new("ip").args(arguments).output();
    match output {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            eprintln!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
            false
        }
        Err(error) => {
            eprintln!("ip: {error}");
            false
        }
    }
}
