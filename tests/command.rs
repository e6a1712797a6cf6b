//! The command `mos`, built along with the tests: only a package's own programs are known to its tests by path.

use std::process::ExitCode;

fn main() -> ExitCode {
    mos_cli::main()
}
