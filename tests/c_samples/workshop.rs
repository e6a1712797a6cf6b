//! Where the samples in C are built: an installed libmos, and copies of `samples/c` for each compiler and set of flags.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What is warned of is an error here.
const STRICT: &str = "-Werror -Wshadow -Wconversion";

/// Past the harness, which would keep it to itself.
pub(crate) fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

pub(crate) fn is_here(tool: &str) -> bool {
    let asked = Command::new(tool).arg("--version").stdin(Stdio::null()).output();
    asked.is_ok_and(|output| output.status.success())
}

/// All that it said, if it went well.
#[track_caller]
pub(crate) fn well(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", told(&output));
    String::from_utf8(output.stdout).expect("samples speak UTF-8")
}

pub(crate) fn told(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{}\n{stderr}{stdout}", output.status)
}

/// Where libmos is installed; `None` if it cannot be, or if nothing can be built with it.
pub(crate) fn prefix() -> Option<&'static Path> {
    static PREFIX: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        for tool in ["cc", "make", "pkg-config"] {
            if !is_here(tool) {
                skipped(&format!("the samples in C: {tool} is not here"));
                return None;
            }
        }
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libmos");
        let mut install = Command::new(env!("CARGO"));
        install.current_dir(ROOT).args(["run", "--quiet", "--package", "xtask", "--", "install", "--debug"]);
        well(install.arg("--prefix").arg(&prefix));
        Some(prefix)
    });
    PREFIX.as_deref()
}

/// A copy of `samples/c`, with the captures where it looks for them, and all programs built.
pub(crate) struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    /// Each has a name of its own. `None` if the compiler is not here.
    pub(crate) fn new(name: &str, compiler: &str, flags: &str) -> Option<Self> {
        let prefix = prefix()?;
        if !is_here(compiler) {
            skipped(&format!("the samples in C are not built with {compiler}: it is not here"));
            return None;
        }
        let above = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c_samples").join(name);
        // From an earlier run.
        let _ = fs::remove_dir_all(&above);
        for folder in ["c", "traces"] {
            let from = Path::new(ROOT).join("samples").join(folder);
            fs::create_dir_all(above.join(folder)).unwrap();
            for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
                let name = entry.file_name();
                // Not what somebody has built or written there.
                let is_ours = ["c", "h", "conf", "supp", "pcap", "txt"].map(|extension| Some(extension.as_ref()));
                if is_ours.contains(&entry.path().extension()) || name == "Makefile" || name == "rules" {
                    fs::copy(entry.path(), above.join(folder).join(name)).unwrap();
                }
            }
        }
        let _ = fs::remove_file(above.join("c/out.pcap"));
        let workshop = Self { folder: above.join("c") };
        let mut make = workshop.run("make");
        make.args(["--silent", &format!("CC={compiler}"), &format!("CFLAGS={STRICT} {flags}")]);
        make.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        let output = make.output().unwrap();
        assert!(output.status.success(), "{compiler} {flags}: {}", told(&output));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{compiler} {flags}");
        Some(workshop)
    }

    /// A program as the system finds it, to run in the folder.
    pub(crate) fn run(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.env("LD_LIBRARY_PATH", prefix().expect("it is installed").join("lib"));
        command
    }

    /// A sample with its arguments, to run in the folder.
    pub(crate) fn sample(&self, words: &str) -> Command {
        let mut words = words.split(' ');
        let name = words.next().expect("it has a name");
        let mut command = self.run(self.path(name).to_str().expect("the path is text"));
        command.args(words);
        command
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A folder in it, empty.
    pub(crate) fn make_folder(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        folder
    }
}
