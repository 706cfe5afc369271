//! Checks that every place which has to name the Rust version names the same one. `rust-version` in the root
//! Cargo.toml is the pin; a `rust-toolchain.toml` would be a second one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// What precedes a version in a Dockerfile or a workflow.
const MARKERS: [&str; 4] = ["RUST_VERSION", "rust-version", "toolchain", "FROM rust"];

/// What names a version beside our workflows: the image, and what `bulkhead new` writes.
const FILES: [&str; 4] = [
    "Dockerfile",
    "crates/bulkhead/template/Cargo.toml.in",
    "crates/bulkhead/template/Dockerfile",
    "crates/bulkhead/template/.github/workflows/ci.yml",
];

/// One line for each place in the repository at `root` that names another version than `pinned`.
pub(crate) fn mismatches(root: &Path, pinned: (u64, u64)) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for path in files(root) {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        found.extend(mismatches_in(&name, &text, pinned));
    }
    Ok(found)
}

fn files(root: &Path) -> Vec<PathBuf> {
    let workflows = fs::read_dir(root.join(".github/workflows")).into_iter().flatten().flatten();
    let workflows = workflows.map(|entry| entry.path());
    let yaml = workflows.filter(|path| path.extension().is_some_and(|end| end == "yml" || end == "yaml"));
    let by_name = FILES.iter().map(|name| root.join(name)).filter(|path| path.exists());
    by_name.chain(yaml).collect()
}

fn mismatches_in(name: &str, text: &str, (major, minor): (u64, u64)) -> Vec<String> {
    let lines = text.lines().zip(1..);
    let other = lines.filter_map(|(line, number)| {
        let named = version(line).filter(|named| *named != (major, minor))?;
        Some(format!(
            "{name}:{number} names Rust {}.{}, but rust-version in Cargo.toml is {major}.{minor}: make them equal",
            named.0, named.1
        ))
    });
    other.collect()
}

/// The major and minor version that a line names: a marker, one of `:`, `=` and `@`, then the number.
fn version(line: &str) -> Option<(u64, u64)> {
    let rest = MARKERS.iter().find_map(|marker| line.split_once(marker)).map(|(_, rest)| rest)?;
    let rest = rest.trim_start().strip_prefix([':', '=', '@'])?;
    let number = rest.trim_start().trim_start_matches(['"', '\'']);
    let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
    let mut parts = number.get(..end)?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_where_they_are_named() {
        for (line, expected) in [
            ("ARG RUST_VERSION=1.95", Some((1, 95))),
            ("ARG RUST_VERSION=1.95.0", Some((1, 95))),
            ("ARG RUST_VERSION", None),
            ("FROM rust:${RUST_VERSION}-slim-bookworm AS build", None),
            ("FROM rust:1.94-slim", Some((1, 94))),
            ("          toolchain: \"1.93.1\"", Some((1, 93))),
            ("  RUST_VERSION: '1.95'", Some((1, 95))),
            ("uses: dtolnay/rust-toolchain@1.92.0", Some((1, 92))),
            ("uses: dtolnay/rust-toolchain@4be9e76fd7c4901c61fb841f559994984270fce7 # v1", None),
            ("          toolchain: stable", None),
        ] {
            assert_eq!(version(line), expected, "{line}");
        }
    }

    #[test]
    fn another_version_is_reported_with_its_place() {
        let text = "# comment\nARG RUST_VERSION=1.94\nFROM rust:1.95\n";
        let found = mismatches_in("Dockerfile", text, (1, 95));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("Dockerfile:2 names Rust 1.94, but rust-version in Cargo.toml is 1.95"));
    }
}
