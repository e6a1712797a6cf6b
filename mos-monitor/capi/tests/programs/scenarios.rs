//! Running the scenarios of a test program, in a folder of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::library;

/// Runs every scenario of a program.
#[track_caller]
pub(crate) fn run_all(name: &str) {
    let Some(program) = library::program(name) else { return };
    run(Command::new(&program).arg("all"), &library::folder(name));
}

/// Runs those that are short under valgrind: a wrong access and memory that is lost are failures.
#[track_caller]
pub(crate) fn run_quick_under_valgrind(name: &str) {
    let Some(program) = library::compiled(name, &format!("{name}-valgrind"), &["-DSLOW"]) else { return };
    if !library::is_here("valgrind") {
        library::skipped(&format!("{name} does not run under valgrind: it is not here"));
        return;
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--fair-sched=yes"]);
    valgrind.args(["--show-leak-kinds=definite,possible", "--errors-for-leak-kinds=definite,possible"]);
    run(valgrind.arg(&program).arg("quick"), &library::folder(&format!("{name}-valgrind")));
}

#[track_caller]
fn run(command: &mut Command, folder: &Path) {
    // What an earlier run has left is no help.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).expect("the target folder can be written");
    let output = command.current_dir(folder).output().expect("it was just compiled");
    let [said, complained] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{command:?}: {}\n{said}{complained}", output.status);
}
