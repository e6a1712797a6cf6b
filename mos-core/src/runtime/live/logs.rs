//! `mos_log`: in a directory, a log for each core.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::thread;

/// What the thread of a core is called: this, and the processor's number.
pub const CORE_THREAD: &str = "core-";

/// The logs of all cores: what is written goes to that of the core on whose thread it is.
#[derive(Debug)]
pub struct CoreLogs {
    /// By processor. What is said by no core goes to the first one's.
    files: Vec<(String, File)>,
}

impl CoreLogs {
    /// Creates `log_N` in the directory for each core N, at least one, or empties it. The directory must be there.
    ///
    /// # Errors
    ///
    /// What the system says of a file, with its name.
    pub fn create(directory: &Path, cores: impl Iterator<Item = u32>) -> io::Result<Self> {
        let create = |cpu: u32| {
            let path = directory.join(format!("log_{cpu}"));
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("mos_log: {}: {error}", path.display()));
            Ok((format!("{CORE_THREAD}{cpu}"), File::create(&path).map_err(named)?))
        };
        Ok(Self { files: cores.map(create).collect::<io::Result<_>>()? })
    }

    fn current(&mut self) -> &mut File {
        let thread = thread::current();
        let own = thread.name().and_then(|name| self.files.iter().position(|(core, _)| core == name));
        &mut self.files[own.unwrap_or(0)].1
    }
}

impl Write for CoreLogs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.current().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_core_has_a_log_of_its_own() {
        let directory = std::env::temp_dir().join(format!("mos-logs-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut logs = CoreLogs::create(&directory, [2, 5].into_iter()).unwrap();
        logs.write_all(b"from outside\n").unwrap();
        let spoken = thread::Builder::new().name(format!("{CORE_THREAD}5")).spawn(move || {
            logs.write_all(b"from core 5\n").unwrap();
        });
        spoken.unwrap().join().unwrap();
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!((read("log_2"), read("log_5")), ("from outside\n".to_owned(), "from core 5\n".to_owned()));
        std::fs::remove_dir_all(&directory).unwrap();

        let missing = CoreLogs::create(&directory, [0].into_iter()).err().unwrap();
        assert!(missing.to_string().starts_with("mos_log: "), "{missing}");
    }
}
