//! `mos check`: what a mos.conf comes to, or all that is wrong with it.

use std::io::Write;

use mos_core::config::{Machine, MosConf};
use mos_samples::syntax;

use crate::args::CheckArgs;
use crate::tell;

/// Writes the configuration as it holds, with the origin of each value. False if there is something wrong with the file.
pub(crate) fn run(args: &CheckArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    // Its message has its cause already; printed as a chain it would be there twice.
    let text = syntax::read(&args.file).map_err(|error| anyhow::anyhow!("{error}"))?;
    // A file may be checked elsewhere than where it will be used: what this machine has does not matter.
    match MosConf::parse(&args.file.display().to_string(), &text, Machine::default()) {
        Ok(conf) => {
            write!(out, "{conf}")?;
            out.flush()?;
            Ok(true)
        }
        Err(faults) => {
            tell(faults);
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(file: &str) -> anyhow::Result<(bool, String)> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let mut out = Vec::new();
        let is_right = run(&CheckArgs { file }, &mut out)?;
        Ok((is_right, String::from_utf8(out)?))
    }

    #[test]
    fn what_is_right_is_shown() {
        let (is_right, shown) = check("config/monitor.conf").unwrap();
        assert!(is_right);
        assert!(shown.contains("\n    reassembly_memory = 1G "), "{shown}");
    }

    #[test]
    fn nothing_is_shown_of_what_is_wrong() {
        assert_eq!(check("tests/configs/key-unknown.conf").unwrap(), (false, String::new()));
        assert!(check("no/such.conf").unwrap_err().to_string().contains("no/such.conf: "));
    }
}
