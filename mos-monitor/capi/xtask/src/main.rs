//! What the C library needs beside what cargo builds.

#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};

mod man;

/// What the C library needs beside what cargo builds.
#[derive(Debug, Parser)]
#[command(name = "xtask", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Man(man::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Man(args) => man::run(&args),
    }
}
