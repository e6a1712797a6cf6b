//! libmos where compilers, linkers, pkg-config and man look for it.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result};

use crate::library::Archive;
use crate::link::{self, SONAME};
use crate::{pkgconfig, tree};

/// Build libmos and install it: both libraries, also under the name libmtcp, the headers, mos.pc and the man pages.
///
/// A file that is replaced is replaced as a whole: programs that run with the old library keep it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Install below this folder: into lib, lib/pkgconfig, include and share/man/man3
    #[arg(long, value_name = "DIR")]
    prefix: PathBuf,

    /// Build without the optimisations of a release
    #[arg(long)]
    debug: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let prefix = path::absolute(&options.prefix).with_context(|| format!("no such prefix: {:?}", options.prefix))?;
    let archive = Archive::build(if options.debug { "dev" } else { "release" })?;
    let shared = link::shared_library(&archive)?;

    let libraries = Folder::make(prefix.join("lib"))?;
    libraries.copy(&shared, SONAME)?;
    libraries.copy(&archive.path, "libmos.a")?;
    libraries.link(SONAME, "libmos.so")?;
    // The name that the build files of programs for mOS know.
    libraries.link(SONAME, "libmtcp.so")?;
    libraries.link("libmos.a", "libmtcp.a")?;

    let packages = Folder::make(prefix.join("lib/pkgconfig"))?;
    packages.write(pkgconfig::text(&prefix, &archive.needs)?, "mos.pc")?;

    Folder::make(prefix.join("include"))?.copy_all(&tree::headers(), "h")?;
    if tree::man_pages().is_dir() {
        Folder::make(prefix.join("share/man/man3"))?.copy_all(&tree::man_pages(), "3")?;
    }
    Ok(())
}

/// A folder that files are put into, each at one blow: nobody finds half a file, and who has the old one open keeps it.
struct Folder(PathBuf);

impl Folder {
    fn make(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }

    fn copy(&self, from: &Path, name: impl AsRef<OsStr>) -> Result<()> {
        self.put(name.as_ref(), |new| fs::copy(from, new).map(drop).and_then(|()| readable(new)))
            .with_context(|| format!("it is a copy of {}", from.display()))
    }

    /// Every file of a folder with this extension.
    fn copy_all(&self, from: &Path, extension: &str) -> Result<()> {
        let unreadable = || format!("cannot read the folder {}", from.display());
        for entry in fs::read_dir(from).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            if entry.path().extension() == Some(extension.as_ref()) {
                self.copy(&entry.path(), entry.file_name())?;
            }
        }
        Ok(())
    }

    fn write(&self, text: String, name: &str) -> Result<()> {
        self.put(name.as_ref(), |new| fs::write(new, text).and_then(|()| readable(new)))
    }

    fn link(&self, target: &str, name: &str) -> Result<()> {
        self.put(name.as_ref(), |new| symlink(target, new))
    }

    fn put(&self, name: &OsStr, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
        let path = self.0.join(name);
        let new = self.0.join(format!(".{}.new", name.display()));
        // What an installation that was interrupted has left.
        let _ = fs::remove_file(&new);
        let made = make(&new).and_then(|()| fs::rename(&new, &path));
        made.with_context(|| format!("cannot install {}", path.display()))?;
        println!("{}", path.display());
        Ok(())
    }
}

/// Whatever the umask of those who built it: all may read it.
fn readable(file: &Path) -> io::Result<()> {
    fs::set_permissions(file, Permissions::from_mode(0o644))
}
