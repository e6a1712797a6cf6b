//! libmos.a, as cargo builds it.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::tree;

/// With this rustc starts the line in which it names the libraries of the system that the archive needs.
const NATIVE_LIBRARIES: &str = "native-static-libs: ";

pub(crate) struct Archive {
    pub(crate) path: PathBuf,
    /// Arguments for the linker: `-lm` and the like. Their order matters.
    pub(crate) needs: Vec<String>,
}

impl Archive {
    /// Builds it with one of cargo's profiles. Cargo shows its progress and what the compiler has to say.
    pub(crate) fn build(profile: &str) -> Result<Self> {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(tree::root())
            .args(["rustc", "--package", "mos-capi", "--lib", "--crate-type", "staticlib", "--profile", profile])
            .args(["--message-format", "json", "--", "--print", "native-static-libs"])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run cargo")?;

        let mut path = None;
        let mut needs = None;
        for line in BufReader::new(cargo.stdout.take().expect("it is piped")).lines() {
            let line = line.context("cannot read what cargo says")?;
            // What is not a message is the output of a build script.
            let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
            path = archive_of(&message).or(path);
            needs = libraries_of(&message).or(needs);
            show(&message);
        }
        ensure!(cargo.wait().context("cannot wait for cargo")?.success(), "cargo cannot build libmos.a");

        Ok(Self {
            path: path.context("cargo does not say where libmos.a is")?,
            needs: needs.context("rustc does not say which libraries of the system libmos.a needs")?,
        })
    }
}

fn archive_of(message: &Value) -> Option<PathBuf> {
    if message["reason"] != "compiler-artifact" || message["target"]["name"] != "mos" {
        return None;
    }
    let mut files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    files.find(|file| file.ends_with(".a")).map(PathBuf::from)
}

fn libraries_of(message: &Value) -> Option<Vec<String>> {
    let libraries = message["message"]["message"].as_str()?.strip_prefix(NATIVE_LIBRARIES)?;
    Some(libraries.split_whitespace().map(String::from).collect())
}

fn show(message: &Value) {
    let diagnostic = &message["message"];
    if ["error", "warning"].iter().any(|level| diagnostic["level"] == *level) {
        eprint!("{}", diagnostic["rendered"].as_str().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn archive_is_found_among_artifacts() {
        let artifact = |name: &str| {
            json!({
                "reason": "compiler-artifact",
                "target": { "name": name },
                "filenames": ["/target/libmos.rlib", "/target/libmos.a"],
            })
        };
        assert_eq!(archive_of(&artifact("mos")), Some("/target/libmos.a".into()));
        assert_eq!(archive_of(&artifact("mos_core")), None);
        assert_eq!(archive_of(&json!({ "reason": "build-finished" })), None);
    }

    #[test]
    fn libraries_are_found_among_diagnostics() {
        let note =
            |text: &str| json!({ "reason": "compiler-message", "message": { "level": "note", "message": text } });
        assert_eq!(
            libraries_of(&note("native-static-libs: -lgcc_s -lm -lc")),
            Some(["-lgcc_s", "-lm", "-lc"].map(String::from).to_vec())
        );
        assert_eq!(libraries_of(&note("link against the following native artifacts")), None);
    }
}
