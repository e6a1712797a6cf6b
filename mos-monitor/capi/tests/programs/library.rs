//! libmos, installed once for all tests, and programs that are linked with it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::CAPI;

/// Where it was installed. `None` without a C compiler.
static PREFIX: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    if !is_here("cc") {
        skipped("no program in C is run: no C compiler (cc) is here");
        return None;
    }
    let prefix = folder("libmos");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut install = Command::new(cargo);
    install.current_dir(CAPI).args(["run", "--quiet", "--package", "xtask", "--", "install", "--debug", "--prefix"]);
    output(install.arg(&prefix));
    Some(prefix)
});

/// A folder for what tests write.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs").join(name)
}

/// Whether a tool of the system can be run.
pub(crate) fn is_here(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Says so, past the harness, which would keep it to itself.
pub(crate) fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

#[track_caller]
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("they speak UTF-8")
}

/// Compiles `tests/c/NAME.c`. `None` without a C compiler.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    compiled(name, name, &[] as &[&str])
}

/// The same under another name, with further arguments for the compiler.
pub(crate) fn compiled(name: &str, as_name: &str, arguments: &[impl AsRef<OsStr>]) -> Option<PathBuf> {
    let prefix = PREFIX.as_deref()?;
    let sources = Path::new(CAPI).join("tests/c");
    let bin = folder("bin");
    fs::create_dir_all(&bin).expect("the target folder can be written");
    let program = bin.join(as_name);
    // Before LD_LIBRARY_PATH, in which cargo names folders where some other libmos may be.
    let mut run_path = OsString::from("-Wl,--disable-new-dtags,-rpath,");
    run_path.push(prefix.join("lib"));
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"])
        .args(arguments)
        .arg("-o")
        .arg(&program)
        .arg(sources.join(name).with_extension("c"))
        .arg("-I")
        .arg(prefix.join("include"))
        .arg("-I")
        .arg(&sources)
        .arg("-L")
        .arg(prefix.join("lib"))
        .arg("-lmos")
        .arg(run_path);
    output(&mut compiler);
    Some(program)
}
