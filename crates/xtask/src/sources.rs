//! The Rust files of the repository, for the checks that read them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Every Rust file below a directory, in the order of their paths.
pub(crate) fn below(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory);
        for entry in entries.with_context(|| format!("cannot list {}", directory.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The text with the lines blank that are comments as a whole: they may name what they like.
pub(crate) fn without_comments(text: &str) -> String {
    let code =
        |line: &'_ str| if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}
