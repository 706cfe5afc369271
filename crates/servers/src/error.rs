//! What can go wrong with a private server, said so that the reader knows what to do next.

use std::io;
use std::path::PathBuf;

/// Why a server could not be found, started, signalled or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No binary that is new enough.
    #[error("{server} {oldest} or newer is needed, but {found}: run .ci/setup, or install {package}")]
    Missing {
        /// The server's name.
        server: &'static str,
        /// The oldest major version that will do.
        oldest: u32,
        /// What was found instead.
        found: String,
        /// The package to install.
        package: &'static str,
    },
    /// Another owner runs the server in this directory.
    #[error("{} is in use by process {owner}: stop that one first, or choose another directory", dir.display())]
    InUse {
        /// The server's directory.
        dir: PathBuf,
        /// Process id of the owner, as that one wrote it down.
        owner: String,
    },
    /// The previous server's processes have not gone.
    #[error("processes of the previous server still use {}: stop them (`fuser {}` lists them)", log.display(), log.display())]
    Lingering {
        /// The log that they hold open.
        log: PathBuf,
    },
    /// The account that the server must run as cannot get to its directory.
    #[error("account {account} cannot enter {}: open the directories above it, or remove it", dir.display())]
    Unreachable {
        /// Name of the account.
        account: String,
        /// The server's directory.
        dir: PathBuf,
    },
    /// We are root, and no unprivileged account exists to run the server.
    #[error("the server must not run as root, and none of these accounts exists: {0}")]
    NoAccount(String),
    /// The data was written by another major version.
    #[error(
        "{} was made by PostgreSQL {made_by}, but PostgreSQL {server} is installed: remove it or install {made_by}",
        dir.display()
    )]
    DataVersion {
        /// The data directory.
        dir: PathBuf,
        /// Major version that made it.
        made_by: String,
        /// Major version found.
        server: u32,
    },
    /// There is data, but the file with its password is gone.
    #[error("{} is missing, without it the data beside it cannot be opened: remove both", path.display())]
    PasswordMissing {
        /// Where the password should be.
        path: PathBuf,
    },
    /// A setting that cannot be written into the server's configuration.
    #[error("setting {0:?} must have a plain name and a value of one line")]
    Setting(String),
    /// Another process uses the port.
    #[error("{server} cannot listen on port {port} of 127.0.0.1: it is in use")]
    PortInUse {
        /// The server's name.
        server: &'static str,
        /// The port.
        port: u16,
    },
    /// The server ended, or was not ready in time.
    #[error("{server} {reason}; the end of its log:\n{log}")]
    NotStarted {
        /// The program's name.
        server: &'static str,
        /// What happened.
        reason: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// The server is not running, so it cannot be signalled.
    #[error("{0} is not running")]
    NotRunning(&'static str),
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file or program.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: wraps the system's reason with what was attempted on which path.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
