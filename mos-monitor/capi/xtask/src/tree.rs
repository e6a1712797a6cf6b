//! Where things are in the source tree.

use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    // This crate is at mos-monitor/capi/xtask.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).expect("the crate is in its workspace").to_owned()
}

pub(crate) fn capi() -> PathBuf {
    root().join("mos-monitor/capi")
}

pub(crate) fn headers() -> PathBuf {
    capi().join("include")
}

pub(crate) fn version_script() -> PathBuf {
    capi().join("mos.map")
}

pub(crate) fn man_pages() -> PathBuf {
    root().join("docs/man")
}
