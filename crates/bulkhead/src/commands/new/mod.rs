//! `bulkhead new`: the repository of a product that is built on this version of the library.
//!
//! Owns the list of the template's files (`template/`), and what stands in them for the program's name and for where the library
//! comes from. Refuses a directory that has something in it, a name that cargo takes for no program, and a checkout that is
//! none; then nothing has been written. Asks no network.

mod name;

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::out;

/// The files, each with its path in the repository.
macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/template/", $path)))),+]
    };
}

/// What is written. A file that is not named here is not embedded, and a test says so.
const FILES: &[(&str, &str)] = files![
    ".clippy.toml",
    ".dockerignore",
    ".github/workflows/ci.yml",
    ".gitignore",
    ".rustfmt.toml",
    "AGENTS.md",
    "Dockerfile",
    "Makefile",
    "README.md",
    "migrations/2026-11-28-000001_customers/up.sql",
    "src/customers.rs",
    "src/main.rs",
    "tests/it.rs",
];

/// The manifest. In the template it has another name: cargo looks at each Cargo.toml of a repository that it fetches a library
/// from, and reports one that is none yet.
const MANIFEST: (&str, &str) =
    ("Cargo.toml", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/template/Cargo.toml.in")));

/// The versions of libraries that this version was tested with. cargo drops those that the product does not need.
const LOCK: (&str, &str) =
    ("Cargo.lock", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")));

/// Where our two crates that a product depends on lie in a checkout.
const LIBRARY: &str = "crates/bulkhead";
const TEST_KIT: &str = "crates/testkit";

/// Where a product takes the library from. When nothing is said: from the repository that the package names, or else from the
/// checkout in which the program was built or is called.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// Take the library from a checkout on this machine, for trying things out.
    #[arg(long, value_name = "CHECKOUT", conflicts_with = "git")]
    path: Option<PathBuf>,
    /// Take the library from this repository, at the tag of this version.
    #[arg(long, value_name = "URL")]
    git: Option<String>,
}

impl Source {
    /// What stands in Cargo.toml behind the name of one of our crates, which lies at `place` in a checkout.
    fn dependency(&self, place: &str) -> Result<String> {
        const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
        let git = self.git.as_deref().or_else(|| (!REPOSITORY.is_empty()).then_some(REPOSITORY));
        match (&self.path, git) {
            (Some(checkout), _) => Self::within(checkout, place),
            (None, Some(url)) => {
                Ok(format!("git = {}, tag = \"v{}\"", quoted(url)?, env!("CARGO_PKG_VERSION")))
            }
            (None, None) => {
                let mut places = [std::env::current_exe(), std::env::current_dir()].into_iter().flatten();
                let found = places.find_map(|place| checkout_around(&place)).context(
                    "neither this program nor this directory lies in a checkout of Bulkhead: say --git URL, or --path CHECKOUT",
                )?;
                Self::within(&found, place)
            }
        }
    }

    fn within(checkout: &Path, place: &str) -> Result<String> {
        let path = checkout.join(place);
        let found = path.canonicalize().ok().filter(|path| path.join("Cargo.toml").is_file());
        let found = found.with_context(|| {
            format!("{} is no checkout of Bulkhead: it has no {place}/Cargo.toml", checkout.display())
        })?;
        let text = found.to_str().with_context(|| format!("{} is no UTF-8", found.display()))?;
        Ok(format!("path = {}", quoted(text)?))
    }
}

/// The nearest directory above, or this one, that has the library and its test kit.
fn checkout_around(path: &Path) -> Option<PathBuf> {
    let has =
        |root: &&Path| [LIBRARY, TEST_KIT].iter().all(|place| root.join(place).join("Cargo.toml").is_file());
    path.ancestors().find(has).map(Path::to_owned)
}

/// A text as TOML has it.
fn quoted(text: &str) -> Result<String> {
    ensure!(!text.chars().any(char::is_control), "{text:?} has a control character");
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Writes the repository and says what to do next.
pub(crate) fn run(directory: &Path, source: &Source) -> Result<()> {
    let directory = std::path::absolute(directory)?;
    let name = directory.file_name().context("the directory has no name: say another one")?;
    let name = name.to_str().context("the directory's name is no UTF-8, and has to be the program's")?;
    if let Some(fault) = name::fault(name) {
        bail!("{name} cannot be the program's name: {fault}");
    }
    let (bulkhead, testkit) = (source.dependency(LIBRARY)?, source.dependency(TEST_KIT)?);
    refuse_occupied(&directory)?;
    let filled = |text: &str| {
        let text = text.replace("{{name}}", name);
        text.replace("{{bulkhead}}", &bulkhead).replace("{{testkit}}", &testkit)
    };
    for (path, text) in FILES.iter().chain([&MANIFEST]) {
        write(&directory.join(path), &filled(text))?;
    }
    let (path, lock) = LOCK;
    write(&directory.join(path), lock)?;
    settle_lock(&directory);
    Ok(out::line(next_steps(&directory, name, &bulkhead))?)
}

/// Lets cargo drop from the lock what the product does not need, and enter the product itself. It asks no network. Where it
/// cannot, because the library was never fetched on this machine or there is no cargo yet, the first build does it.
fn settle_lock(directory: &Path) {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--offline", "--quiet", "--format-version=1"]).current_dir(directory);
    let settled = cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !settled.is_ok_and(|status| status.success()) {
        out::note(
            "Cargo.lock has more than the product needs: the first build puts it right, before the first commit.",
        );
    }
}

/// A directory that does not exist, or is empty, is free.
fn refuse_occupied(directory: &Path) -> Result<()> {
    match fs::read_dir(directory) {
        Ok(mut entries) => {
            ensure!(entries.next().is_none(), "{} is not empty", directory.display());
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("looking into {}", directory.display())),
    }
}

/// Writes a new file, with the directories above it.
fn write(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().context("a file lies in a directory")?;
    fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("writing {}; remove what is there, then run this again", path.display()))
}

fn next_steps(directory: &Path, name: &str, library: &str) -> String {
    format!(
        "{name} is written: a service with one extension of its own, src/customers.rs.\n\
         Its library: {library}.\n\n  \
         cd {}\n  \
         git init && git add . && git commit --message begun\n  \
         make run     # then open the page that it names, /docs\n  \
         make test    # in the meantime, or afterwards\n\n\
         README.md says what is where, AGENTS.md how to add tables, routes, jobs, meters and settings.",
        directory.display()
    )
}

#[cfg(test)]
mod tests;
