//! The command `mos`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mos_cli::main()
}
