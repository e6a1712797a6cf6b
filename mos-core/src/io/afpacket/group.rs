//! The sockets of an interface, one per core. They are opened together, because the order in which they join the system's group
//! is what makes a socket that of a core; also when the interface has gone and comes back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::{AfPacketConfig, Mode};
use super::opened::Opened;
use crate::io::device::DeviceError;
use crate::io::fanout;
use crate::io::sys::link;

#[derive(Debug)]
pub(super) struct Group {
    name: String,
    cores: usize,
    config: AfPacketConfig,
    spare: Mutex<Spare>,
}

/// Sockets that their cores have not fetched yet.
#[derive(Debug)]
struct Spare {
    /// How often all were opened.
    generation: u64,
    /// By core.
    opened: Vec<Option<Opened>>,
    /// Opening again has failed, and that was said.
    has_complained: bool,
}

impl Group {
    pub(super) fn open(
        name: &str,
        cores: usize,
        config: AfPacketConfig,
    ) -> Result<(Arc<Self>, Vec<Opened>), DeviceError> {
        let setting = |what| DeviceError::Setting { name: name.to_owned(), what };
        if !(1 << 20..=1 << 30).contains(&config.ring_bytes) {
            return Err(setting("the memory for frames that wait must be 1 MiB to 1 GiB"));
        }
        if config.mode == Mode::Tap && !(1..=1000).contains(&config.retire_ms) {
            return Err(setting("the time after which a block is handed over must be 1 to 1000 ms"));
        }
        let spare = Mutex::new(Spare { generation: 1, opened: Vec::new(), has_complained: false });
        let group = Self { name: name.to_owned(), cores, config, spare };
        let opened = group.open_all()?;
        Ok((Arc::new(group), opened))
    }

    /// A new socket for a core whose socket, of that generation, is dead. `None` if the interface is not back.
    pub(super) fn take(&self, core: usize, generation: u64) -> Option<(u64, Opened)> {
        let mut spare = self.spare();
        let opened =
            if spare.generation > generation { spare.opened.get_mut(core).and_then(Option::take) } else { None };
        if let Some(opened) = opened {
            return Some((spare.generation, opened));
        }
        if link::index_of(&self.name).is_err() {
            return None;
        }
        match self.open_all() {
            Ok(all) => {
                *spare = Spare {
                    generation: spare.generation + 1,
                    opened: all.into_iter().map(Some).collect(),
                    has_complained: false,
                };
                log::info!("{}: the interface is back", self.name);
                let opened = spare.opened.get_mut(core)?.take()?;
                Some((spare.generation, opened))
            }
            Err(error) => {
                if !std::mem::replace(&mut spare.has_complained, true) {
                    log::warn!("the interface is back, but: {error}");
                }
                None
            }
        }
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the sockets of all cores. None of them receives before the last one has joined: until then frames would be dealt
    /// out wrongly.
    fn open_all(&self) -> Result<Vec<Opened>, DeviceError> {
        let failed = |what| move |source| DeviceError::Setup { name: self.name.clone(), what, source };
        let mut all: Vec<Opened> = Vec::with_capacity(self.cores);
        let mut number = None;
        for _ in 0..self.cores {
            let opened = Opened::open(&self.name, &self.config)?;
            match number {
                _ if self.cores == 1 => {}
                None => {
                    let program = fanout::program(&self.config.hash);
                    let begun = opened.socket.begin_group(&program);
                    number = Some(begun.map_err(failed("a group of sockets that share its frames"))?);
                }
                Some(number) => {
                    opened.socket.join_group(number).map_err(failed("a socket in the group that shares its frames"))?;
                }
            }
            all.push(opened);
        }
        for opened in &all {
            opened.socket.unmute().map_err(failed("frames"))?;
        }
        Ok(all)
    }
}
