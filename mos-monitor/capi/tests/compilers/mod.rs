//! The C and C++ compilers of this machine, and how they are asked.

use std::fmt;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// For C and for C++. The last pair is asked only if none of the others is there: it is most often one of them.
const COMPILERS: [[&str; 2]; 3] = [["gcc", "g++"], ["clang", "clang++"], ["cc", "c++"]];

const STRICT: &[&str] = &["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-pedantic"];

/// With what the samples of mOS are built; without `-m64`, which is for one processor. Code is made, and thrown away, because some
/// warnings come with the optimiser only.
const PROGRAM: &[&str] = &["-S", "-o/dev/null", "-Wall", "-Werror", "-fgnu89-inline", "-DNDEBUG", "-O3", "-g"];

/// A compiler, a language, its edition, and what else it is told.
#[derive(Clone, Copy)]
pub(crate) struct Dialect {
    compiler: &'static str,
    language: &'static str,
    standard: &'static str,
    flags: &'static [&'static str],
}

impl Dialect {
    /// Every edition that the headers are for, with all warnings on.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let dialects = |language, standards: &'static [&'static str]| {
            found(language).flat_map(move |compiler| {
                standards.iter().map(move |standard| Self { compiler, language, standard, flags: STRICT })
            })
        };
        dialects("c", &["-std=c99", "-std=c11"]).chain(dialects("c++", &["-std=c++17"]))
    }

    /// How programs that were written for mOS are compiled.
    pub(crate) fn of_programs() -> impl Iterator<Item = Self> {
        found("c").map(|compiler| Self { compiler, language: "c", standard: "-std=gnu17", flags: PROGRAM })
    }

    pub(crate) fn is_newest(&self) -> bool {
        self.standard != "-std=c99"
    }

    pub(crate) fn compile(&self, source: &str) -> Verdict {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut child = Command::new(self.compiler)
            .args(["-x", self.language, self.standard])
            .args(self.flags)
            .args([format!("-I{root}/include"), format!("-I{root}/tests/c")])
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{self}: {error}"));
        // One that has seen enough reads no further: its messages tell why.
        let _ = child.stdin.take().expect("it is piped").write_all(source.as_bytes());
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("{self}: {error}"));
        Verdict::of(source, output)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.compiler, self.standard)
    }
}

pub(crate) enum Verdict {
    Accepted,
    Refused { source: String, messages: String },
}

impl Verdict {
    fn of(source: &str, output: Output) -> Self {
        if output.status.success() {
            return Self::Accepted;
        }
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        Self::Refused { source: source.to_owned(), messages }
    }

    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    #[track_caller]
    pub(crate) fn expect_success(&self, dialect: &Dialect) {
        if let Self::Refused { source, messages } = self {
            panic!("{dialect} refuses\n{source}\n{messages}");
        }
    }
}

/// The compilers for a language that this machine has. If it has none, that is said once.
fn found(language: &str) -> impl Iterator<Item = &'static str> + use<> {
    static FOUND: LazyLock<[Vec<&str>; 2]> = LazyLock::new(|| [search(0, "C"), search(1, "C++")]);
    FOUND[usize::from(language == "c++")].iter().copied()
}

fn search(column: usize, language: &str) -> Vec<&'static str> {
    let answers = |compiler: &&str| {
        let asked = Command::new(compiler).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let [named @ .., any] = COMPILERS.map(|pair| pair[column]);
    let mut found: Vec<_> = named.into_iter().filter(answers).collect();
    if found.is_empty() {
        found.extend(Some(any).filter(answers));
    }
    if found.is_empty() {
        // Past the harness, which would keep it to itself.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the headers are not tested in {language}: no compiler for it is here"
        );
    }
    found
}
