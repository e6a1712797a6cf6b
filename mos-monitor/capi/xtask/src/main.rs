//! What libmos needs beside being compiled: `cargo run -p xtask -- install --prefix DIR`, and `man` for its manual pages.

#![forbid(unsafe_code)]

mod install;
mod library;
mod link;
mod man;
mod pkgconfig;
mod tree;

use clap::{Parser, Subcommand};

/// What libmos needs beside being compiled.
#[derive(Debug, Parser)]
#[command(name = "xtask", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Install(install::Options),
    Man(man::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Install(options) => install::run(&options),
        Command::Man(args) => man::run(&args),
    }
}
