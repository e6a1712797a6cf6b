//! Who the process is once the devices are open: somebody who may do nothing.

use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::Context;
use nix::sys::prctl::set_no_new_privs;
use nix::unistd::{Uid, User, geteuid, setgid, setgroups, setuid};

/// Becomes the user with that name or number for good: without other groups, without capabilities, and without a way to get any. `file` is
/// given to that user.
///
/// What was opened before stays open. An interface that goes away and comes back cannot be opened again after this.
pub(crate) fn become_user(name: &str, file: Option<&Path>) -> anyhow::Result<()> {
    let user = match name.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(name),
    };
    let user = user.with_context(|| format!("user `{name}`"))?;
    let user = user.with_context(|| format!("there is no user `{name}`"))?;
    if !geteuid().is_root() {
        anyhow::ensure!(geteuid() == user.uid, "only root can become user `{name}`");
        return Ok(());
    }
    if let Some(file) = file {
        chown(file, Some(user.uid.as_raw()), Some(user.gid.as_raw())).with_context(|| format!("{}", file.display()))?;
    }
    let become_it = || {
        setgroups(&[user.gid])?;
        setgid(user.gid)?;
        // From root to anybody else: the system takes all capabilities away.
        setuid(user.uid)?;
        set_no_new_privs()
    };
    become_it().with_context(|| format!("cannot become user `{name}`"))
}
