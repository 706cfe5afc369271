//! Which directory a server really lives in, and which account runs it there.
//!
//! PostgreSQL refuses to run as root and Redis should not. So for root a server's directory belongs to an
//! unprivileged account, and when that account cannot reach it (a clone under `/root`), it is made under
//! `/var` and a symbolic link stands in its place. For every other account this only makes the directory.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User};

use crate::Error;
use crate::data_dir::lock_owner;

/// Where directories go that the account cannot reach; the second when the first cannot be made.
const ELSEWHERE: [&str; 2] = ["/var/lib/bulkhead", "/var/tmp/bulkhead"];

/// An unprivileged account that a server runs as.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    fn first_of(names: &[&str]) -> Result<Self, Error> {
        let user = names.iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = user.ok_or_else(|| Error::NoAccount(names.join(", ")))?;
        Ok(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    /// Asks the system itself, as that account: modes, access lists and mounts all have their say.
    pub(crate) fn can_enter(&self, dir: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cd -- \"$1\"", "sh"]).arg(dir).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.run(&mut command).status().is_ok_and(|status| status.success())
    }

    /// Makes `command` run as this account, without root's supplementary groups.
    pub(crate) fn run<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.uid(self.uid).gid(self.gid)
    }
}

/// Makes `dir` ready for a server and returns where it really is and, for root, the account that runs the server
/// there.
pub(crate) fn prepare(dir: &Path, accounts: &[&str]) -> Result<(PathBuf, Option<Account>), Error> {
    let dir = std::path::absolute(dir).map_err(Error::io("resolve", dir))?;
    if Uid::effective().is_root() {
        let (dir, account) = prepare_as_root(&dir, accounts)?;
        return Ok((dir, Some(account)));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(Error::io("create", &dir))?;
    Ok((fs::canonicalize(&dir).map_err(Error::io("resolve", &dir))?, None))
}

fn prepare_as_root(dir: &Path, accounts: &[&str]) -> Result<(PathBuf, Account), Error> {
    let parent = dir.parent().unwrap_or(dir);
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    remove_stale(dir);
    match fs::metadata(dir) {
        Ok(found) => adopt(dir, &found, accounts),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let account = Account::first_of(accounts)?;
            if account.can_enter(parent) {
                make(dir, &account)?;
                return Ok((fs::canonicalize(dir).map_err(Error::io("resolve", dir))?, account));
            }
            let place = make_elsewhere(dir, &account)?;
            symlink(&place, dir).map_err(Error::io("link", dir))?;
            Ok((place, account))
        }
        Err(source) => Err(Error::Io { doing: "examine", path: dir.to_owned(), source }),
    }
}

/// Removes what holds no data: a link that leads nowhere, or an empty directory of root's, which is better
/// made again where the account can reach it.
fn remove_stale(dir: &Path) {
    let Ok(found) = fs::symlink_metadata(dir) else { return };
    if found.is_symlink() && !dir.exists() {
        // A failure shows when the directory is made.
        let _ = fs::remove_file(dir);
    } else if found.is_dir() && found.uid() == 0 {
        // Fails, as it should, when the directory is not empty.
        let _ = fs::remove_dir(dir);
    }
}

/// Takes over a directory with data: its owner runs the server; root's (a copy made by root) changes hands.
fn adopt(dir: &Path, found: &fs::Metadata, accounts: &[&str]) -> Result<(PathBuf, Account), Error> {
    let dir = fs::canonicalize(dir).map_err(Error::io("resolve", dir))?;
    let account = if found.uid() == 0 {
        let account = Account::first_of(accounts)?;
        chown_all(&dir, &account)?;
        account
    } else {
        let user = User::from_uid(Uid::from_raw(found.uid())).ok().flatten();
        let name = user.map_or_else(|| found.uid().to_string(), |user| user.name);
        Account { name, uid: found.uid(), gid: found.gid() }
    };
    if account.can_enter(&dir) {
        Ok((dir, account))
    } else {
        Err(Error::Unreachable { account: account.name, dir })
    }
}

fn chown_all(path: &Path, account: &Account) -> Result<(), Error> {
    lchown(path, Some(account.uid), Some(account.gid)).map_err(Error::io("change the owner of", path))?;
    if path.is_symlink() || !path.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(Error::io("list", path))? {
        chown_all(&entry.map_err(Error::io("list", path))?.path(), account)?;
    }
    Ok(())
}

/// Makes a new directory that belongs to the account. Fails when it exists, so another account cannot put its
/// own directory there first.
fn make(dir: &Path, account: &Account) -> Result<(), Error> {
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(Error::io("create", dir))?;
    lchown(dir, Some(account.uid), Some(account.gid)).map_err(Error::io("change the owner of", dir))
}

/// The directory under `/var` that stands for `dir`. What is there already belonged to a directory that
/// has since been deleted, and goes the same way.
fn make_elsewhere(dir: &Path, account: &Account) -> Result<PathBuf, Error> {
    let name = format!("{:016x}", fnv1a(dir.as_os_str().as_bytes()));
    for base in ELSEWHERE.map(Path::new) {
        if !is_roots(base) || !account.can_enter(base) {
            continue;
        }
        let place = base.join(&name);
        if place.exists() {
            drop(lock_owner(&place)?);
            fs::remove_dir_all(&place).map_err(Error::io("remove", &place))?;
        }
        make(&place, account)?;
        return Ok(place);
    }
    Err(Error::Unreachable { account: account.name.clone(), dir: dir.to_owned() })
}

/// Whether `base` is a directory of root's; made when missing. False when another account made it first: every
/// account may write to `/var/tmp`.
fn is_roots(base: &Path) -> bool {
    if fs::create_dir(base).is_ok() {
        return fs::set_permissions(base, fs::Permissions::from_mode(0o711)).is_ok();
    }
    fs::symlink_metadata(base).is_ok_and(|found| found.is_dir() && found.uid() == 0)
}

/// FNV-1a, 64 bits: a name that stays the same across releases, which `DefaultHasher` does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn hash_matches_the_published_vectors() {
        // http://www.isthe.com/chongo/tech/comp/fnv/, "test vectors"
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
