//! The state of the link: noticed, said once when it changes, and looked at seldom.

use std::io;
use std::time::{Duration, Instant};

use super::opened::Opened;
use crate::io::port::LinkState;
use crate::io::sys::link;

/// So long between two looks at the link, and between two attempts to open an interface that has gone.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// So long between two questions whether an error waits on the socket. As long as one does, whoever waits for the socket is woken
/// at once.
const ASK_EVERY: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Watch {
    state: LinkState,
    looked: Instant,
    asked: Instant,
}

impl Watch {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { state: LinkState::Up, looked: now, asked: now }
    }

    pub(super) fn state(&self) -> LinkState {
        self.state
    }

    /// Whether it is time to look at the link: some time has passed, or an error waited on the socket.
    pub(super) fn is_due(&mut self, opened: &Opened) -> bool {
        let now = Instant::now();
        if now.duration_since(self.asked) < ASK_EVERY {
            return false;
        }
        self.asked = now;
        opened.socket.take_error().is_some() || now.duration_since(self.looked) >= LOOK_EVERY
    }

    /// Whether it is time to try to open the interface again.
    pub(super) fn may_reopen(&mut self) -> bool {
        let now = Instant::now();
        let may = now.duration_since(self.looked) >= LOOK_EVERY;
        if may {
            self.looked = now;
        }
        may
    }

    /// Looks at the link.
    pub(super) fn look(&mut self, opened: &Opened, name: &str) -> LinkState {
        self.looked = Instant::now();
        let state = look(opened).unwrap_or(LinkState::Gone);
        if state != self.state {
            match state {
                LinkState::Up => log::info!("{name}: the link is up"),
                LinkState::NoCarrier => log::warn!("{name}: no carrier: nothing is at the other end"),
                LinkState::Down => log::warn!("{name}: the link was set down"),
                LinkState::Gone => log::warn!("{name}: the interface is gone; waiting for one of this name"),
            }
        }
        self.state = state;
        state
    }
}

fn look(opened: &Opened) -> io::Result<LinkState> {
    // The system unbinds a socket from an interface that is removed or moved away.
    if opened.socket.bound()?.index != opened.index {
        return Ok(LinkState::Gone);
    }
    let flags = link::flags(&opened.socket, opened.index)?;
    Ok(match (flags & libc::IFF_UP != 0, flags & libc::IFF_RUNNING != 0) {
        (false, _) => LinkState::Down,
        (true, false) => LinkState::NoCarrier,
        (true, true) => LinkState::Up,
    })
}
