//! A server's directory: `data/`, `password`, `server.log`, its configuration, and the two locks on it.
//!
//! `owner.lock` is locked by the owner alone: it says at once that a directory is taken. `server.log` is
//! locked too and handed to the server as its standard error: such a lock belongs to the open file, so it
//! is held until the last process of the server has gone, children and all. The kernel lets go of both
//! however a process dies, so no file that a crash left behind has to be told from one in use.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, fchown, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fmt, thread};

use nix::fcntl::OFlag;

use crate::account::{Account, prepare};
use crate::{Error, Tls};

/// A log longer than this (bytes) begins anew at the next start.
const LOG_LIMIT: u64 = 8 << 20;
/// How many of its last lines an error shows.
const TAIL_LINES: usize = 20;
/// A little more than the longest orderly stop (`postgres::STOP`): the previous server may still be stopping.
const PREVIOUS_GONE: Duration = Duration::from_secs(45);

/// A password; `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct Password(String);

impl Password {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A server's directory, held by this process for as long as the value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    dir: PathBuf,
    account: Option<Account>,
    _owner: File,
}

impl DataDir {
    /// Where [`Self::copy_tls`] puts the certificate, its key and the authority.
    pub(crate) const TLS_FILES: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

    /// Prepares `dir` and takes it; for root, the first of `accounts` that exists is to run the server.
    pub(crate) fn open(dir: &Path, accounts: &[&str]) -> Result<Self, Error> {
        let (dir, account) = prepare(dir, accounts)?;
        let owner = lock_owner(&dir)?;
        give(&owner, account.as_ref()).map_err(Error::io("change the owner of", &dir))?;
        Ok(Self { dir, account, _owner: owner })
    }

    /// Where the server keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The path of `name` in this directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A command that runs here as the server's account. Nothing of our environment but `PATH` reaches it:
    /// `PGPORT` and the like would change what it does. Messages are in English, so they can be recognised.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let path = env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        command.env_clear().env("PATH", path).env("LC_ALL", "C").current_dir(&self.dir).stdin(Stdio::null());
        if let Some(account) = &self.account {
            account.run(&mut command);
        }
        command
    }

    /// Makes the directory `name`, which only the server's account can enter, unless it is there.
    pub(crate) fn make_dir(&self, name: &str) -> Result<(), Error> {
        let dir = self.path(name);
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => self.account.as_ref().map_or(Ok(()), |to| lchown(&dir, Some(to.uid), Some(to.gid))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(Error::io("create", dir))
    }

    /// Writes a file that only the server's account can read.
    pub(crate) fn write(&self, name: &str, contents: &[u8]) -> Result<PathBuf, Error> {
        let path = self.path(name);
        let written = private_file(&path).and_then(|mut file| {
            give(&file, self.account.as_ref())?;
            file.set_len(0)?;
            file.write_all(contents)
        });
        written.map_err(Error::io("write", &path))?;
        Ok(path)
    }

    /// Copies the TLS files here: the server's account may not be able to read them where they are, and
    /// PostgreSQL refuses a key that others can read.
    pub(crate) fn copy_tls(&self, tls: &Tls) -> Result<(), Error> {
        for (from, name) in [&tls.certificate, &tls.key, &tls.ca].into_iter().zip(Self::TLS_FILES) {
            self.write(name, &fs::read(from).map_err(Error::io("read", from))?)?;
        }
        Ok(())
    }

    /// The password that was kept here, if there is one.
    pub(crate) fn password(&self) -> Option<Password> {
        let kept = fs::read_to_string(self.path("password")).ok()?;
        (!kept.trim().is_empty()).then(|| Password(kept.trim().to_owned()))
    }

    /// Makes a password of 128 random bits and keeps it in the file `password`.
    pub(crate) fn new_password(&self) -> Result<Password, Error> {
        let mut random = [0; 16];
        let source = "/dev/urandom";
        let read = File::open(source).and_then(|mut file| file.read_exact(&mut random));
        read.map_err(Error::io("read", source))?;
        let password = format!("{:032x}", u128::from_ne_bytes(random));
        self.write("password", password.as_bytes())?;
        Ok(Password(password))
    }

    /// Opens and locks the log, waiting for the processes of the previous server to go.
    pub(crate) fn log(&self) -> Result<Log, Error> {
        let path = self.path("server.log");
        let open = || {
            let file = private_file(&path)?;
            give(&file, self.account.as_ref())?;
            Ok(file)
        };
        let file = open().map_err(Error::io("open", &path))?;
        let give_up = Instant::now() + PREVIOUS_GONE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => return Err(Error::Lingering { log: path }),
                Err(TryLockError::Error(source)) => return Err(Error::Io { doing: "lock", path, source }),
            }
        }
        let mut length = file.metadata().map_or(0, |found| found.len());
        if length > LOG_LIMIT {
            file.set_len(0).map_err(Error::io("empty", &path))?;
            length = 0;
        }
        Ok(Log { file, start: length })
    }
}

/// The pause between two checks of a condition that gives no notice of its change.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// The log of one run of a server. Every process that has it open holds the lock.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    /// Where this run's lines begin.
    start: u64,
}

impl Log {
    /// For a child's output; the child then holds the lock too.
    pub(crate) fn stdio(&self) -> Result<Stdio, Error> {
        Ok(self.file.try_clone().map_err(Error::io("duplicate", "server.log"))?.into())
    }

    /// The last lines of this run.
    pub(crate) fn tail(&self) -> String {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(self.start)).and_then(|_| file.read_to_end(&mut bytes));
        if let Err(error) = read {
            return format!("(unreadable: {error})");
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
    }
}

/// Takes the lock that says that this process owns the server in `dir`.
pub(crate) fn lock_owner(dir: &Path) -> Result<File, Error> {
    let path = dir.join("owner.lock");
    let mut file = private_file(&path).map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = fs::read_to_string(&path).unwrap_or_default();
            return Err(Error::InUse { dir: dir.to_owned(), owner: owner.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(Error::Io { doing: "lock", path, source }),
    }
    // Only for the message above: the lock is what counts.
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(Error::io("write", &path))?;
    Ok(file)
}

/// Opens for reading and appending, making it when missing. Never through a symbolic link: the directory
/// belongs to an unprivileged account, and we may be root.
fn private_file(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW.bits();
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path)
}

fn give(file: &File, to: Option<&Account>) -> io::Result<()> {
    to.map_or(Ok(()), |account| fchown(file, Some(account.uid), Some(account.gid)))
}
