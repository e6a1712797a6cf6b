//! What has to be done for libmos beside compiling it: `cargo run -p xtask -- install --prefix DIR`.

mod install;
mod library;
mod link;
mod pkgconfig;
mod tree;

use clap::{Parser, Subcommand};

/// What has to be done for libmos beside compiling it.
#[derive(Debug, Parser)]
#[command(name = "xtask", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Install(install::Options),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Install(options) => install::run(&options),
    }
}
