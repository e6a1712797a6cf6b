//! The command itself, as a process in the middlebox's namespace.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::net::Net;
use super::streams::{LONG, eventually};

/// The program.
pub(super) const MOS: &str = env!("CARGO_BIN_EXE_mos-live");

/// A folder for the files of one run, gone when the test is over.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("mos-live-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file.
    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(super) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap()).into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A mos.conf for the two interfaces of the middlebox, that are a bridge. `keys` are further lines of the block `mos`.
pub(super) fn bridge(mask: u32, keys: &str) -> String {
    format!(
        "mos {{\n    forward = 1\n    {keys}\n    netdev {{\n        m0 {mask:#x}\n        m1 {mask:#x}\n    }}\n    \
         nic_forward_table {{\n        m0 m1\n    }}\n}}\n"
    )
}

/// A `mos run` that runs. It is killed when the test is over, if it is still there.
pub(super) struct Middlebox {
    child: Child,
    pub(super) folder: Folder,
    /// Its standard error and output are in files with this number.
    run: u32,
}

/// What a `mos run` that is over has left behind.
pub(super) struct Done {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Done {
    /// It went well; otherwise all that it said is shown.
    pub(super) fn well(self) -> Self {
        assert!(self.status.success(), "{}: {}\n{}", self.status, self.stderr, self.stdout);
        self
    }

    /// The records, one a line.
    pub(super) fn records(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Middlebox {
    /// Starts it and waits until it works. `{dir}` in the arguments is its folder.
    pub(super) fn start(net: &Net, conf: &str, arguments: &str) -> Self {
        Self::start_in(net, Folder::new(), conf, arguments)
    }

    /// The same with a folder that has files in it.
    pub(super) fn start_in(net: &Net, folder: Folder, conf: &str, arguments: &str) -> Self {
        let stdout = File::create(folder.path("out0")).unwrap();
        Self::start_to(net, folder, conf, arguments, stdout.into())
    }

    /// The same with a pipe for standard output that nobody reads.
    pub(super) fn start_unread(net: &Net, conf: &str, arguments: &str) -> Self {
        let folder = Folder::new();
        folder.write("out0", "");
        Self::start_to(net, folder, conf, arguments, Stdio::piped())
    }

    fn start_to(net: &Net, folder: Folder, conf: &str, arguments: &str, stdout: Stdio) -> Self {
        folder.write("mos.conf", conf);
        let child = spawn(net, &folder, arguments, 0, stdout);
        let mut middlebox = Self { child, folder, run: 0 };
        middlebox.wait_until_it_answers();
        middlebox
    }

    /// Starts it once more, in the same folder, when it is gone.
    pub(super) fn restart(&mut self, net: &Net, arguments: &str) {
        self.run += 1;
        let stdout = File::create(self.folder.path(&format!("out{}", self.run))).unwrap();
        self.child = spawn(net, &self.folder, arguments, self.run, stdout.into());
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&mut self) {
        let answers = eventually(|| {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it has ended: {ended:?}: {}", self.stderr());
            self.ask().is_some()
        });
        assert!(answers, "it does not answer: {}", self.stderr());
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path("sock")
    }

    /// What it counts, if it answers.
    pub(super) fn ask(&self) -> Option<Value> {
        let mut answer = String::new();
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(LONG)).ok()?;
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(&answer).ok()
    }

    /// A counter, the sum over all cores.
    pub(super) fn counter(&self, name: &str) -> u64 {
        let all = self.ask().expect("it answers");
        let cores = all["cores"].as_array().unwrap().iter();
        cores.map(|core| core["counters"][name].as_u64().unwrap_or_else(|| panic!("{name}: {core}"))).sum()
    }

    /// A counter of a device, by core.
    pub(super) fn device(&self, device: &str, name: &str) -> Vec<u64> {
        let all = self.ask().expect("it answers");
        let cores = all["cores"].as_array().unwrap().iter();
        cores.map(|core| core["devices"][device][name].as_u64().unwrap_or_else(|| panic!("{name}: {core}"))).collect()
    }

    /// Waits until it is so.
    pub(super) fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        assert!(eventually(|| is_so(self)), "never: {what}: {:?}\n{}", self.ask(), self.stderr());
    }

    pub(super) fn stdout(&self) -> String {
        self.folder.read(&format!("out{}", self.run))
    }

    /// The records that are written by now. Those that wait are, each second.
    pub(super) fn stdout_records(&self) -> Vec<Value> {
        let text = self.stdout();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(super) fn stderr(&self) -> String {
        self.folder.read(&format!("err{}", self.run))
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// A file of its /proc.
    pub(super) fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// The processor time it has used, of which the system counts hundredths of seconds.
    pub(super) fn cpu_time(&self) -> Duration {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = [fields[11], fields[12]].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Has it stop by this signal, and waits for its end.
    pub(super) fn stop_by(&mut self, signal: Signal) -> Done {
        self.signal(signal);
        self.wait()
    }

    /// Has it stop, and waits for its end. All has to be well.
    pub(super) fn stop(mut self) -> Done {
        self.stop_by(Signal::TERM).well()
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> Done {
        let mut status = None;
        let has_ended = eventually(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(has_ended, "it does not end: {}", self.stderr());
        let status = status.expect("it has ended");
        Done { status, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Middlebox {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("standard error of the middlebox:\n{}", self.stderr());
        }
    }
}

fn arguments(folder: &Path, arguments: &str) -> Vec<String> {
    let dir = folder.display().to_string();
    arguments.split_whitespace().map(|word| word.replace("{dir}", &dir)).collect()
}

/// Starts `mos run` in the middlebox's namespace: a process has the namespace of the thread that starts it.
fn spawn(net: &Net, folder: &Folder, words: &str, run: u32, stdout: Stdio) -> Child {
    let mut command = Command::new(MOS);
    command.args(["--log", "info", "run"]).args(arguments(&folder.0, words));
    command.arg("-f").arg(folder.path("mos.conf")).arg("--socket").arg(folder.path("sock"));
    command.stdin(Stdio::null());
    command.stdout(stdout);
    command.stderr(File::create(folder.path(&format!("err{run}"))).unwrap());
    net.run("m", move || command.spawn().unwrap())
}

/// The command with these arguments. `{dir}` in them is the folder.
pub(super) fn mos(folder: &Folder, words: &str) -> Command {
    let mut command = Command::new(MOS);
    command.args(arguments(&folder.0, words)).stdin(Stdio::null());
    command
}
