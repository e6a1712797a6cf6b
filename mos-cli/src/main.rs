//! The command `mos`.

mod args;
mod bench;
mod input;
mod replay;
mod totals;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Some input could not be read, or not to its end. (Usage errors are 2: clap's own.)
const INPUT_FAULT: u8 = 1;

fn main() -> ExitCode {
    let args = Args::parse();
    env_logger::Builder::new().filter_level(args.log).parse_default_env().init();
    let done = match args.command {
        Command::Replay(args) => replay::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INPUT_FAULT),
        Err(error) => {
            eprintln!("mos: {error:#}");
            ExitCode::from(INPUT_FAULT)
        }
    }
}
