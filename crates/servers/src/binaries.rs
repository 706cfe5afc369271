//! Where the servers' programs are. Owns the search order and the oldest versions; installs nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::Error;

/// `security_invoker` views and `MERGE` came with 15; it is also the oldest in Debian 12.
const OLDEST_POSTGRES: u32 = 15;
/// Functions, sharded pub/sub and multi-part append-only files came with 7; Valkey forked from 7.2.
const OLDEST_REDIS: u32 = 7;

/// Folders of per-version installations: a parent, the start of the folder's name, the rest of the way.
const POSTGRES_FOLDERS: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/usr/local", "pgsql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];
const REDIS_FOLDERS: [&str; 6] = [
    "/usr/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/redis/bin",
    "/opt/homebrew/opt/valkey/bin",
    "/usr/local/opt/redis/bin",
];

/// The programs that the private servers are started from.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The folder with `initdb` and `postgres`; where the client tools are installed, they lie here too.
    pub postgres_dir: PathBuf,
    /// Major version of that PostgreSQL.
    pub postgres_major: u32,
    /// `redis-server` or `valkey-server`.
    pub redis: PathBuf,
    /// Major version of that Redis or Valkey.
    pub redis_major: u32,
}

impl Binaries {
    /// Looks on `PATH` first, then where distributions and Homebrew put servers, newest first.
    pub fn find() -> Result<Self, Error> {
        let path: Vec<PathBuf> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
        let (postgres_dir, postgres_major) = find_postgres(&path)?;
        let (redis, redis_major) = find_redis(&path)?;
        Ok(Self { postgres_dir, postgres_major, redis, redis_major })
    }
}

fn find_postgres(path: &[PathBuf]) -> Result<(PathBuf, u32), Error> {
    let in_dir = |dir: PathBuf| {
        // Where the program really is: a folder on PATH may hold links to some of an installation's programs.
        let dir = fs::canonicalize(dir.join("postgres")).ok()?.parent()?.to_owned();
        let complete = dir.join("initdb").is_file();
        complete.then(|| major(&dir.join("postgres"))).flatten().map(|major| (dir, major))
    };
    let folders = POSTGRES_FOLDERS.iter().flat_map(|(parent, name, rest)| matching(parent, name, rest));
    choose(path.iter().cloned().filter_map(in_dir), folders.filter_map(in_dir), OLDEST_POSTGRES).map_err(
        |found| Error::Missing {
            server: "PostgreSQL",
            oldest: OLDEST_POSTGRES,
            found,
            package: "postgresql (apt), postgresql-server (dnf) or postgresql@17 (brew)",
        },
    )
}

fn find_redis(path: &[PathBuf]) -> Result<(PathBuf, u32), Error> {
    let in_dir = |dir: PathBuf| {
        ["redis-server", "valkey-server"]
            .map(|name| dir.join(name))
            .into_iter()
            .filter_map(|program| major(&program).map(|major| (program, major)))
            .collect::<Vec<_>>()
    };
    let folders = REDIS_FOLDERS.iter().map(PathBuf::from);
    choose(path.iter().cloned().flat_map(in_dir), folders.flat_map(in_dir), OLDEST_REDIS).map_err(|found| {
        Error::Missing {
            server: "Redis or Valkey",
            oldest: OLDEST_REDIS,
            found,
            package: "redis-server (apt), redis or valkey (dnf) or redis (brew)",
        }
    })
}

/// The first of `preferred` that is new enough, else the newest of `others`, else what was seen.
fn choose(
    preferred: impl Iterator<Item = (PathBuf, u32)>,
    others: impl Iterator<Item = (PathBuf, u32)>,
    oldest: u32,
) -> Result<(PathBuf, u32), String> {
    let mut too_old = Vec::new();
    for found in preferred {
        if found.1 >= oldest {
            return Ok(found);
        }
        too_old.push(found);
    }
    too_old.extend(others);
    match too_old.into_iter().max_by_key(|found| found.1) {
        Some(newest) if newest.1 >= oldest => Ok(newest),
        Some((path, major)) => Err(format!("{} is version {major}", path.display())),
        None => Err("none was found".to_owned()),
    }
}

/// `parent/<name…>/rest` for every folder of `parent` whose name starts with `name`.
fn matching(parent: &str, name: &str, rest: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(name))
        .map(|entry| entry.path().join(rest))
        .collect()
}

/// The major version that `program --version` prints, when it is there and runs.
fn major(program: &Path) -> Option<u32> {
    if !program.is_file() {
        return None;
    }
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

fn parse_major(text: &str) -> Option<u32> {
    text.split_whitespace().find_map(|word| {
        let number = word.trim_start_matches("v=");
        let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_the_programs_print_them() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(
            parse_major("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"),
            Some(7)
        );
        assert_eq!(parse_major("Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64"), Some(8));
        assert_eq!(parse_major("not a version"), None);
    }

    #[test]
    fn path_wins_unless_too_old_then_the_newest() {
        let of = |all: &[(&str, u32)]| all.iter().map(|(p, v)| (PathBuf::from(p), *v)).collect::<Vec<_>>();
        let others = of(&[("/a/15", 15), ("/a/17", 17), ("/a/16", 16)]);
        let choose = |preferred: &[(&str, u32)], others: &[(PathBuf, u32)]| {
            choose(of(preferred).into_iter(), others.iter().cloned(), 15)
        };
        assert_eq!(choose(&[("/p", 13), ("/q", 15)], &others), Ok(("/q".into(), 15)));
        assert_eq!(choose(&[("/p", 13)], &others), Ok(("/a/17".into(), 17)));
        assert_eq!(choose(&[("/p", 13)], &[]), Err("/p is version 13".to_owned()));
        assert_eq!(choose(&[], &[]), Err("none was found".to_owned()));
    }
}
