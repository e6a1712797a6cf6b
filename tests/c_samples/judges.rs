//! What other programs say of the samples: compilers, valgrind, sanitizers. Each is shown a mistake first, which it has to find.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::workshop::{Workshop, is_here, prefix, skipped, told};

/// Every sample, with arguments.
const SAMPLES: [&str; 6] = [
    "flow_counter tap.conf 0.1",
    "reassemble tap.conf {name}",
    "events tap.conf GET",
    "timers tap.conf 0.02",
    "firewall {name}.conf rules",
    "nat {name}.conf 192.0.2.1 10.9.0.2/32 2000-2005",
];

impl Workshop {
    /// Compiles one more program, if this compiler can, and its flags have all they need.
    fn compile(&self, compiler: &str, source: &Path, flags: &str, program: &str) -> bool {
        let prefix = prefix().expect("it is installed");
        let mut command = self.run(compiler);
        command.args(flags.split(' ')).arg(source).arg("-o").arg(program);
        command.arg(format!("-I{}/include", prefix.display())).arg(format!("-L{}/lib", prefix.display())).arg("-lmos");
        command.output().is_ok_and(|output| output.status.success())
    }
}

fn mistake(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("c_samples/mistakes").join(name)
}

/// Runs all samples at a time, each as `wrap` has it.
fn run_all(workshop: &Workshop, wrap: impl Fn(Command) -> Command + Sync) {
    thread::scope(|scope| {
        for (number, sample) in SAMPLES.into_iter().enumerate() {
            let wrap = &wrap;
            scope.spawn(move || {
                let name = format!("run{number}");
                workshop.make_folder(&name);
                // Each has an output of its own.
                let conf = String::from_utf8(workshop.read("inline.conf")).unwrap();
                workshop.write(&format!("{name}.conf"), &conf.replace(">out.pcap", &format!(">{name}.pcap")));
                let output = wrap(workshop.sample(&sample.replace("{name}", &name))).output().unwrap();
                assert!(output.status.success() && output.stderr.is_empty(), "{sample}: {}", told(&output));
                assert!(!output.stdout.is_empty(), "{sample}");
            });
        }
    });
}

fn compiles_with(compiler: &str) {
    for flags in ["-O2 -g", "-O0"] {
        let Some(workshop) = Workshop::new(&format!("{compiler}{}", &flags[..3]), compiler, flags) else { return };
        run_all(&workshop, |command| command);
    }
}

#[test]
fn gcc_has_nothing_to_warn_of() {
    compiles_with("gcc");
}

#[test]
fn clang_has_nothing_to_warn_of() {
    compiles_with("clang");
}

/// The command under valgrind.
fn valgrind(command: &Command) -> Command {
    let mut wrapped = Command::new("valgrind");
    wrapped.args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,possible"]);
    wrapped.arg("--errors-for-leak-kinds=definite,possible");
    wrapped.arg(command.get_program()).args(command.get_args());
    wrapped.current_dir(command.get_current_dir().expect("it has one"));
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped
}

#[test]
fn valgrind_finds_nothing() {
    let Some(workshop) = Workshop::new("valgrind", "cc", "-O1 -g") else { return };
    if !is_here("valgrind") {
        skipped("the samples in C are not run under valgrind: it is not here");
        return;
    }
    assert!(workshop.compile("cc", &mistake("leak.c"), "-O0 -g", "leak"));
    let found = valgrind(&workshop.sample("leak")).output().unwrap();
    assert!(found.status.code() == Some(99) && told(&found).contains("definitely lost"), "{}", told(&found));
    run_all(&workshop, |command| valgrind(&command));
}

/// Builds the samples for a sanitizer of gcc, if it finds each of these mistakes; a message is what it says of it.
fn sanitize(name: &str, flags: &str, options: &[(&str, &str)], mistakes: &[(&str, &str)]) {
    let Some(workshop) = Workshop::new(&format!("plain-{name}"), "gcc", "-O1") else { return };
    for (source, message) in mistakes {
        if !workshop.compile("gcc", &mistake(source), flags, "mistake") {
            skipped(&format!("the samples in C are not run with {flags}: gcc cannot link that here"));
            return;
        }
        let found = workshop.sample("mistake tap.conf").envs(options.iter().copied()).output().unwrap();
        let text = told(&found);
        if text.contains("FATAL: ThreadSanitizer: unexpected memory mapping") {
            skipped(&format!("the samples in C are not run with {flags}: its runtime does not start on this kernel"));
            return;
        }
        assert!(!found.status.success() && text.contains(message), "{source}: {text}");
    }
    let workshop = Workshop::new(name, "gcc", flags).expect("gcc is here");
    run_all(&workshop, |mut command| {
        command.envs(options.iter().copied());
        command
    });
}

#[test]
fn address_sanitizer_finds_nothing() {
    sanitize(
        "asan",
        "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer",
        &[],
        &[("leak.c", "LeakSanitizer"), ("freed.c", "heap-use-after-free"), ("undefined.c", "signed integer overflow")],
    );
}

#[test]
fn thread_sanitizer_finds_nothing() {
    let options = [("TSAN_OPTIONS", "suppressions=tsan.supp")];
    sanitize("tsan", "-O1 -g -fsanitize=thread", &options, &[("race.c", "data race")]);
}
