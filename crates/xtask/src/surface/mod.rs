//! The listing of everything that `crates/bulkhead` promises, and whether the code still has it.
//!
//! `crates/bulkhead/public-api.txt` has one line for each public item, method, variant and trait implementation, with its
//! signature. Lines are taken from the pages that rustdoc writes (`pages.rs`): they show what the compiler has resolved, with
//! what macros have made and with what is taken over from the crates below, and a stable compiler writes them. Rejected:
//! rustdoc's JSON (an unstable compiler, and it has of another crate's items the names alone), reading the source (it does not
//! see through macros, which make half of the surface). What is `doc(hidden)` is not promised. How lines are broken makes no
//! difference; another release of rustdoc may word something differently, and then the listing is written again.

mod pages;

use std::{
    collections::BTreeSet,
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;

use crate::generated::root;

/// The library's name, whose pages rustdoc puts into a directory of that name.
const LIBRARY: &str = "bulkhead";
/// The listing.
const LISTING: &str = "crates/bulkhead/public-api.txt";
/// How the listing begins.
const HEAD: &str = "# Everything that an application may build on. Written by `cargo xtask surface`; a line that goes or changes is a break,
# and crates/bulkhead/CHANGELOG.md says so (crates/bulkhead/UPGRADING.md).\n";

/// Writes the listing, or checks that the code has what it lists and nothing else.
pub(crate) fn run(check: bool) -> Result<ExitCode> {
    let path = root().join(LISTING);
    let present = pages::surface(&documented()?, LIBRARY)?;
    if !check {
        fs::write(&path, listing(&present)).with_context(|| format!("writing {LISTING}"))?;
        println!("wrote {LISTING}");
        return Ok(ExitCode::SUCCESS);
    }
    let listed = fs::read_to_string(&path).with_context(|| format!("reading {LISTING}"))?;
    let found = differences(&listed, &present);
    for line in &found {
        eprintln!("{line}");
    }
    if found.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("Run `cargo xtask surface`, commit {LISTING}, and tell of it in crates/bulkhead/CHANGELOG.md.");
    Ok(ExitCode::FAILURE)
}

/// The directory with the library's pages, written now.
fn documented() -> Result<PathBuf> {
    let metadata = MetadataCommand::new().no_deps().current_dir(root()).exec()?;
    let pages = metadata.target_directory.as_std_path().join("doc").join(LIBRARY);
    // `make check` documents private items in the same place, and cargo does not see whose pages are there.
    if pages.exists() {
        fs::remove_dir_all(&pages).with_context(|| format!("removing {}", pages.display()))?;
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let written = Command::new(cargo)
        // With the features of everything, as the Makefile builds it, which says why.
        .args(["doc", "--quiet", "--workspace", "--lib", "--examples", "--no-deps"])
        // What is wrong with the documentation is for `make check` to say.
        .env("RUSTDOCFLAGS", "--cap-lints=allow")
        .current_dir(root())
        .status()
        .context("cannot start cargo")?;
    ensure!(written.success(), "cargo cannot document {LIBRARY}");
    Ok(pages)
}

fn listing(lines: &BTreeSet<String>) -> String {
    let mut text = HEAD.to_owned();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// One line for each promise that the code does not keep, and for each public item that is not listed.
fn differences(listed: &str, present: &BTreeSet<String>) -> Vec<String> {
    let listed: BTreeSet<&str> =
        listed.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let gone = listed.iter().filter(|line| !present.contains(**line));
    let new = present.iter().filter(|line| !listed.contains(line.as_str()));
    let gone = gone.map(|line| format!("promised, and gone or changed: {line}"));
    gone.chain(new.map(|line| format!("public, and not listed: {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    const SOURCE: &str = r"
        //! A library.
        mod inner {
            pub struct Answer { status: u16, pub body: String }
            impl Answer {
                pub fn created(location: String) -> Result<Self, std::fmt::Error> { let _ = location; Err(std::fmt::Error) }
                pub(crate) fn secret(&self) -> u16 { self.status }
                fn own(&self) -> u16 { self.secret() }
                pub fn status(&self) -> u16 { self.own() }
                #[doc(hidden)]
                pub fn hidden(&self) {}
            }
            impl Clone for Answer { fn clone(&self) -> Self { Self { status: 0, body: String::new() } } }
            pub enum Access { Public, Tenant(&'static str) }
            pub trait Job { const KIND: &'static str; fn run(&self) -> bool; fn attempts(&self) -> u8 { 3 } }
        }
        pub use inner::{Access, Answer as Reply, Job};
        pub mod prelude { pub use crate::{Access, Reply}; }
        pub type Result<T, E = Reply> = std::result::Result<T, E>;
        pub const MOST: u32 = 7;
        pub fn taken(what: &'static str) -> impl FnOnce(u8) -> Reply { let _ = what; |_| unreachable!() }
        #[macro_export]
        macro_rules! meters { ($($name:ident = $text:literal;)+) => {}; }
        #[doc(hidden)]
        pub mod __private { pub struct Unpromised; }
    ";

    /// What the pages of a library with this source show.
    fn surface_of(source: &str) -> BTreeSet<String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let directory = env::temp_dir().join(format!(
            "bulkhead-surface-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        let file = directory.join("planted.rs");
        fs::create_dir_all(&directory).unwrap();
        fs::write(&file, source).unwrap();
        let rustdoc = env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into());
        let mut command = Command::new(rustdoc);
        command
            .arg(&file)
            .args(["--edition", "2024", "--crate-name", "planted", "--out-dir"])
            .arg(&directory);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = pages::surface(&directory.join("planted"), "planted").unwrap();
        fs::remove_dir_all(&directory).unwrap();
        found
    }

    static PRESENT: LazyLock<BTreeSet<String>> = LazyLock::new(|| surface_of(SOURCE));

    fn changed(from: &str, to: &str) -> Vec<String> {
        assert!(SOURCE.contains(from), "{from}");
        differences(&listing(&PRESENT), &surface_of(&SOURCE.replace(from, to)))
    }

    #[test]
    fn everything_public_is_listed_and_nothing_else() {
        assert_eq!(
            PRESENT.iter().collect::<Vec<_>>(),
            [
                "planted::Access: pub enum Access { Public, Tenant(&'static str), }",
                "planted::Job: pub trait Job { const KIND: &'static str; // Required method fn run(&self) -> bool; // Provided method fn attempts(&self) -> u8 { ... } }",
                "planted::MOST: pub const MOST: u32 = 7;",
                "planted::Reply: impl Answer: pub fn created(location: String) -> Result<Self, Error>",
                "planted::Reply: impl Answer: pub fn status(&self) -> u16",
                "planted::Reply: impl Clone for Answer",
                "planted::Reply: pub struct Reply { pub body: String, /* private fields */ }",
                "planted::Result: pub type Result<T, E = Reply> = Result<T, E>;",
                "planted::meters: macro_rules! meters { ($($name:ident = $text:literal;)+) => { ... }; }",
                "planted::prelude: pub use crate::Access;",
                "planted::prelude: pub use crate::Reply;",
                "planted::taken: pub fn taken(what: &'static str) -> impl FnOnce(u8) -> Reply",
            ]
        );
        assert_eq!(differences(&listing(&PRESENT), &PRESENT), [""; 0]);
    }

    #[test]
    fn what_goes_or_changes_is_seen() {
        let status = "planted::Reply: impl Answer: pub fn status(&self) -> u16";
        assert_eq!(
            changed("pub fn status(&self) -> u16 { self.own() }", ""),
            [format!("promised, and gone or changed: {status}")]
        );
        assert_eq!(
            changed("pub fn status(&self) -> u16 { self.own() }", "pub fn status(&self) -> u32 { 0 }"),
            [
                format!("promised, and gone or changed: {status}"),
                "public, and not listed: planted::Reply: impl Answer: pub fn status(&self) -> u32".to_owned(),
            ]
        );
        for (from, to, lines) in [
            ("location: String)", "location: &str)", 2),
            ("Public, Tenant", "Tenant", 2),
            ("fn run(&self) -> bool;", "fn run(&self) -> bool; fn stop(&self);", 2),
            ("pub body: String", "body: String", 2),
            (
                "impl Clone for Answer { fn clone(&self) -> Self { Self { status: 0, body: String::new() } } }",
                "",
                1,
            ),
            ("u32 = 7", "u64 = 7", 2),
            ("$text:literal;)+", "$text:expr;)+", 2),
            ("E = Reply> =", "E> =", 2),
            ("{ pub use crate::{Access, Reply}; }", "{ pub use crate::Reply; }", 1),
            ("impl FnOnce(u8) -> Reply", "impl FnMut(u8) -> Reply", 2),
            ("#[doc(hidden)]\n                pub fn hidden", "pub fn hidden", 1),
        ] {
            let found = changed(from, to);
            assert_eq!(found.len(), lines, "{from}: {found:#?}");
        }
        // What nothing outside can use may change.
        assert_eq!(
            changed(
                "pub(crate) fn secret(&self) -> u16 { self.status }",
                "pub(crate) fn secret(&self) -> u16 { 3 }"
            ),
            [""; 0]
        );
        assert_eq!(changed("pub struct Unpromised;", "pub struct Other;"), [""; 0]);
    }

    #[test]
    fn a_listing_without_a_line_that_the_code_has_is_refused() {
        let listed = listing(&PRESENT);
        let shorter = listed.replace("planted::MOST: pub const MOST: u32 = 7;\n", "");
        assert_eq!(
            differences(&shorter, &PRESENT),
            ["public, and not listed: planted::MOST: pub const MOST: u32 = 7;"]
        );
    }
}
