//! Directories for servers that are thrown away.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Uid;
use tempfile::{Builder, TempDir};

use crate::Error;
use crate::data_dir::lock_owner;

const PREFIX: &str = "bulkhead-servers-";
/// A directory younger than this may not have been locked by its maker yet.
const SETTLED: Duration = Duration::from_secs(10);

/// A temporary directory that servers can be started in, whichever account runs them. Removed when dropped, so it
/// must be dropped after the servers. Directories that killed owners left behind are removed when the next one is
/// made.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    // Says that the directory is in use.
    _owner: File,
}

impl Scratch {
    /// Makes a directory in the system's place for temporary files.
    pub fn new() -> Result<Self, Error> {
        let base = base();
        sweep(&base);
        // Others may pass through it, which the servers' accounts have to, but not list it.
        let made = Builder::new().prefix(PREFIX).permissions(Permissions::from_mode(0o711)).tempdir_in(&base);
        let dir = made.map_err(Error::io("create a directory in", &base))?;
        let owner = lock_owner(dir.path())?;
        Ok(Self { dir, _owner: owner })
    }

    /// Where it is. Give each server a directory of its own in it.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Root's own place for temporary files may be closed to the accounts that the servers run as.
fn base() -> PathBuf {
    let base = std::env::temp_dir();
    let open = |dir: &Path| fs::metadata(dir).is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    let reachable = fs::canonicalize(&base).is_ok_and(|base| base.ancestors().all(open));
    if reachable || !Uid::effective().is_root() { base } else { PathBuf::from("/var/tmp") }
}

/// Removes the directories whose owners have died. Whatever cannot be removed now, the next one removes.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Ok(found) = entry.metadata() else { continue };
        if !ours || !found.is_dir() || found.uid() != Uid::effective().as_raw() {
            continue;
        }
        let age = found.modified().ok().and_then(|time| time.elapsed().ok()).unwrap_or_default();
        if age > SETTLED && lock_owner(&entry.path()).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
