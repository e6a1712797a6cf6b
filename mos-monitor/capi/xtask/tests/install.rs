//! An installed libmos, as the linker, the loader, pkg-config and a C compiler see it. Where one of these is not there the test says
//! so and passes.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

const CAPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Where it was installed, twice: the second time everything was there already. `None` without a C compiler. The name has a space:
/// there are such folders.
static PREFIX: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    if !is_here("cc") {
        skipped("libmos is not installed: no C compiler (cc) is here");
        return None;
    }
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("a prefix");
    // From an earlier run.
    let _ = fs::remove_dir_all(&prefix);
    for _ in 0..2 {
        let install =
            output(Command::new(env!("CARGO_BIN_EXE_xtask")).args(["install", "--debug", "--prefix"]).arg(&prefix));
        let named: Vec<_> = install.lines().map(Path::new).collect();
        assert!(named.iter().all(|path| path.exists()) && named.contains(&prefix.join("lib/libmos.so.0").as_path()));
    }
    Some(prefix)
});

fn is_here(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn skipped(what: &str) {
    // Past the harness, which would keep it to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// The prefix, if this tool is here as well.
fn prefix_for(tool: &str) -> Option<&'static Path> {
    let prefix = PREFIX.as_deref()?;
    if !is_here(tool) {
        skipped(&format!("an installed libmos is not looked at with {tool}: it is not here"));
        return None;
    }
    Some(prefix)
}

#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("tools speak UTF-8")
}

/// The names in the part of the version script that exports.
fn interface() -> BTreeSet<String> {
    let script = fs::read_to_string(Path::new(CAPI).join("mos.map")).unwrap();
    let (_, names) = script.split_once("global:").unwrap();
    let (names, _) = names.split_once("local:").unwrap();
    let statements = names.split(';').filter_map(|statement| statement.split_whitespace().next_back());
    statements.map(String::from).collect()
}

#[test]
fn exports_are_those_of_the_version_script() {
    let Some(prefix) = prefix_for("nm") else { return };
    let symbols = output(Command::new("nm").args(["-D", "--defined-only"]).arg(prefix.join("lib/libmos.so")));
    let exported: BTreeSet<_> = symbols
        .lines()
        .filter_map(|line| line.split_whitespace().next_back())
        // The node itself is a symbol too.
        .filter(|symbol| *symbol != "MOS_0")
        .map(|symbol| {
            symbol.strip_suffix("@@MOS_0").unwrap_or_else(|| panic!("{symbol} has another version")).to_owned()
        })
        .collect();

    let interface = interface();
    assert_eq!(exported.difference(&interface).collect::<Vec<_>>(), [""; 0]);
    // A library with no function at all is one that is yet to be written.
    if !exported.is_empty() {
        assert_eq!(interface.difference(&exported).collect::<Vec<_>>(), [""; 0]);
    }
}

#[test]
fn programs_ask_for_the_versioned_name() {
    let Some(prefix) = prefix_for("readelf") else { return };
    let dynamic = output(Command::new("readelf").args(["-d", "-W"]).arg(prefix.join("lib/libmos.so")));
    assert!(dynamic.contains("Library soname: [libmos.so.0]"), "{dynamic}");
}

#[test]
fn every_name_leads_to_a_library() {
    let Some(prefix) = PREFIX.as_deref() else { return };
    for (name, target) in [("libmos.so", "libmos.so.0"), ("libmtcp.so", "libmos.so.0"), ("libmtcp.a", "libmos.a")] {
        assert_eq!(fs::read_link(prefix.join("lib").join(name)).unwrap(), Path::new(target));
    }
    assert!(prefix.join("lib/libmos.so.0").is_file() && prefix.join("lib/libmos.a").is_file());
}

#[test]
fn nothing_is_left_out_and_nothing_left_behind() {
    let Some(prefix) = PREFIX.as_deref() else { return };
    let names = |folder: &Path, extension: &str| -> BTreeSet<_> {
        let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension() == Some(extension.as_ref()))
            .map(|path| path.file_name().unwrap().to_owned())
            .collect()
    };
    let headers = names(&prefix.join("include"), "h");
    assert_eq!(headers.len(), 4);
    assert_eq!(headers, names(&Path::new(CAPI).join("include"), "h"));
    assert_eq!(names(&prefix.join("share/man/man3"), "3"), names(&Path::new(CAPI).join("../../docs/man"), "3"));
    for folder in ["lib", "lib/pkgconfig", "include"] {
        assert!(names(&prefix.join(folder), "new").is_empty());
    }
}

/// With what pkg-config says a program compiles, links, in either way, and starts.
#[test]
fn programs_are_built_with_pkg_config() {
    let Some(prefix) = prefix_for("pkg-config") else { return };
    let source = prefix.join("program.c");
    fs::write(&source, "#include <mos_api.h>\nint main(void) { return sizeof(struct pkt_info) != 72; }\n").unwrap();
    // What pkg-config writes is for a shell to read; eval does so with the result of the inner one.
    let build = |how: &str| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("eval \"cc -o program program.c {how}\" && ./program")).current_dir(prefix);
        shell.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).env("LD_LIBRARY_PATH", prefix.join("lib"));
        output(&mut shell);
    };
    build("$(pkg-config --cflags mos) -Wl,--no-as-needed $(pkg-config --libs mos)");
    build(
        "$(pkg-config --cflags mos) -Wl,-Bstatic,--whole-archive $(pkg-config --libs mos) \
           -Wl,--no-whole-archive,-Bdynamic $(pkg-config --static --libs-only-l mos | sed s/-lmos//)",
    );
}

#[test]
fn refusal_says_what_and_where() {
    // Not while the other installation reads what this one links.
    if PREFIX.is_none() {
        return;
    }
    // A file is in the place of the folder.
    let blocked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("a file");
    fs::write(&blocked, "").unwrap();
    for (compiler, prefix, reason) in [
        ("cc", &*blocked, format!("cannot make the folder {}", blocked.join("lib").display())),
        ("false", Path::new("/tmp"), "false cannot link ".to_owned()),
        ("/no/such/cc", Path::new("/tmp"), "cannot run the C compiler, /no/such/cc".to_owned()),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["install", "--debug", "--prefix"]).arg(prefix).env("CC", compiler);
        let output = command.output().unwrap();
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && messages.contains(&reason), "{messages}");
    }
}
