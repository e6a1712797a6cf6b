//! mos.pc: what pkg-config knows of libmos.

use std::path::Path;

use anyhow::{Context, Result};

/// The text for a library that is installed below `prefix` and, when linked statically, needs these libraries of the system.
pub(crate) fn text(prefix: &Path, needs: &[String]) -> Result<String> {
    let prefix = prefix.to_str().with_context(|| format!("{} is not UTF-8, as mos.pc must be", prefix.display()))?;
    Ok(format!(
        "\
prefix={prefix}
libdir=${{prefix}}/lib
includedir=${{prefix}}/include

Name: mos
Description: Monitoring of TCP connections that pass by
Version: {version}
Cflags: -I${{includedir}}
Libs: -L${{libdir}} -lmos
Libs.private: {needs}
",
        prefix = escaped(prefix),
        version = env!("CARGO_PKG_VERSION"),
        needs = needs.join(" "),
    ))
}

/// As a shell would want it: that is how pkg-config reads the lines that the prefix goes into.
fn escaped(prefix: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    prefix.chars().flat_map(|c| (!is_plain(c)).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_one_word() {
        let text = text(Path::new("/opt/my libs"), &["-lm".into(), "-lc".into()]).unwrap();
        assert!(text.starts_with("prefix=/opt/my\\ libs\n"));
        assert!(text.ends_with("Libs.private: -lm -lc\n"));
    }
}
