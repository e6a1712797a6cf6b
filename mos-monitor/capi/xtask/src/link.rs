//! libmos.so, as the system's linker makes it from libmos.a. Cargo's own kind of shared library could have neither a name for the
//! linker nor versioned symbols.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::library::Archive;
use crate::tree;

/// What a program that was linked with it asks for at its start. The number changes when the interface breaks.
pub(crate) const SONAME: &str = "libmos.so.0";

/// Links it next to the archive.
pub(crate) fn shared_library(archive: &Archive) -> Result<PathBuf> {
    let library = archive.path.with_file_name(SONAME);
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(&compiler)
        .args(["-shared", "-o"])
        .arg(&library)
        .arg(format!("-Wl,-soname,{SONAME}"))
        .args(["-Xlinker", "--version-script", "-Xlinker"])
        .arg(tree::version_script())
        // All of the archive is looked at, and only what an exported function leads to is kept.
        .arg("-Wl,--whole-archive")
        .arg(&archive.path)
        .args(["-Wl,--no-whole-archive", "-Wl,--gc-sections"])
        // What is missing is found now and not when a program starts; tables of addresses are read-only from then on.
        .args(["-Wl,-z,defs", "-Wl,-z,relro", "-Wl,-z,now"])
        // Cores are threads of the library: its code cannot be unmapped under them.
        .arg("-Wl,-z,nodelete")
        .arg("-Wl,--as-needed")
        .args(&archive.needs)
        .status();

    let compiler = compiler.display();
    let status = status.with_context(|| format!("cannot run the C compiler, {compiler} (CC names another)"))?;
    ensure!(status.success(), "{compiler} cannot link {} from {}", library.display(), archive.path.display());
    Ok(library)
}
