//! The command `mos`, as a library: what it measures with serves the workspace's benches too.

mod args;
pub mod bench;
mod bundled;
mod check;
mod input;
#[cfg(target_os = "linux")]
mod live;
mod replay;
mod totals;

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Some input could not be read, or not to its end. (Usage errors are 2: clap's own.)
const INPUT_FAULT: u8 = 1;

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let mut logger = env_logger::Builder::new();
    logger.filter_level(args.log).parse_default_env();
    let done = match args.command {
        // Its configuration says where the log goes.
        #[cfg(target_os = "linux")]
        Command::Run(args) => live::run(&args, logger),
        command => {
            logger.init();
            other(command)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INPUT_FAULT),
        // Who reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("mos: {error:#}"));
            ExitCode::from(INPUT_FAULT)
        }
    }
}

/// Whatever needs no logger of its own.
fn other(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Replay(args) => replay::run(&args),
        #[cfg(target_os = "linux")]
        Command::Run(args) => live::run(&args, env_logger::Builder::new()),
        #[cfg(target_os = "linux")]
        Command::Stat(args) => live::stat(&args, &mut io::stdout().lock()),
        #[cfg(not(target_os = "linux"))]
        Command::Run(_) | Command::Stat(_) => Err(anyhow::anyhow!("live traffic needs Linux")),
        Command::Check(args) => check::run(&args, &mut io::stdout().lock()),
        Command::Bench(args) => bench::run(&args, &mut io::stdout().lock()),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.root_cause().downcast_ref().is_some_and(|error: &io::Error| error.kind() == ErrorKind::BrokenPipe)
}

/// Says something on standard error, if anybody listens there.
fn tell(message: impl Display) {
    let _ = writeln!(io::stderr(), "{message}");
}
