//! Checks that what the manifests name is used: an unused dependency costs time in every build, and makes a reader
//! ask what it is for.
//!
//! A library is used where its name begins a path (`serde::`, `use url;`) in the code that the kind of its entry is for:
//! `src/` for normal ones, all targets for those of tests, the build script for those of builds. Refuses to guess: one that is
//! there for its features alone says so by `use library as _;`.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, Package};

use crate::sources;

/// One line for each dependency that nothing uses, and for each pinned version that no crate takes.
pub(crate) fn violations(metadata: &Metadata) -> anyhow::Result<Vec<String>> {
    let (mut found, mut named) = (Vec::new(), BTreeSet::new());
    for package in metadata.workspace_packages() {
        let code = Code::of(package)?;
        for dependency in &package.dependencies {
            named.insert(dependency.name.as_str());
            let name = dependency.rename.as_ref().unwrap_or(&dependency.name);
            if !code.uses(name, dependency.kind) {
                let (section, place) = place(dependency.kind);
                found.push(format!(
                    "{}: {name} is in [{section}] and not used {place}; take it out",
                    package.name
                ));
            }
        }
    }
    let manifest = metadata.workspace_root.as_std_path().join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).context("cannot read Cargo.toml")?;
    found.extend(not_taken(&manifest, &named));
    Ok(found)
}

/// The section of a manifest that is for a kind, and where its libraries are used.
fn place(kind: DependencyKind) -> (&'static str, &'static str) {
    match kind {
        DependencyKind::Development => ("dev-dependencies", "by any test, benchmark or example"),
        DependencyKind::Build => ("build-dependencies", "by build.rs"),
        _ => ("dependencies", "below src/"),
    }
}

/// The code of a crate, by what it is built for.
struct Code {
    product: String,
    tests: String,
    build: String,
}

impl Code {
    fn of(package: &Package) -> anyhow::Result<Self> {
        let root = package.manifest_path.parent().context("a manifest lies in no directory")?.as_std_path();
        let read = |folder: &str| -> anyhow::Result<String> {
            let folder = root.join(folder);
            let files = if folder.is_dir() { sources::below(&folder)? } else { Vec::new() };
            files.iter().map(|file| text(file)).collect()
        };
        let build = root.join("build.rs");
        let build = if build.is_file() { text(&build)? } else { String::new() };
        let tests = [read("tests")?, read("benches")?, read("examples")?].concat();
        Ok(Self { product: read("src")?, tests, build })
    }

    fn uses(&self, library: &str, kind: DependencyKind) -> bool {
        let name = library.replace('-', "_");
        match kind {
            // Unit tests stand in `src/`.
            DependencyKind::Development => {
                begins_path(&self.tests, &name) || begins_path(&self.product, &name)
            }
            DependencyKind::Build => begins_path(&self.build, &name),
            _ => begins_path(&self.product, &name),
        }
    }
}

fn text(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(sources::without_comments(&text) + "\n")
}

/// Whether `name` is the first part of a path, or imported as a whole.
fn begins_path(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, rest) = code.split_at(at);
        let rest = rest.get(name.len()..).unwrap_or_default();
        let is_whole = rest.starts_with("::")
            || before.ends_with("use ") && rest.starts_with([';', ' '])
            || before.ends_with("extern crate ");
        // `::name::` is absolute, `other::name::` is not.
        let before = before.strip_suffix("::").unwrap_or(before);
        let is_first = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>' || c == '$');
        is_whole && is_first
    })
}

/// One line for each version that the root manifest pins and no crate takes.
fn not_taken(manifest: &str, named: &BTreeSet<&str>) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let entries = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once(" = "));
    let names = entries.map(|(name, _)| name).filter(|name| !name.starts_with('#') && !named.contains(name));
    names
        .map(|name| format!("Cargo.toml: no crate takes {name} from [workspace.dependencies]; take it out"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_used_where_its_name_begins_a_path() {
        for code in [
            "use bytes::Bytes;",
            "pub use ::bytes::Bytes;",
            "use {bytes::Bytes, url::Url};",
            "let text: bytes::Bytes = x;",
            "#[derive(bytes::Derive)]",
            "use bytes;",
            "use bytes as b;",
            "extern crate bytes;",
        ] {
            assert!(begins_path(code, "bytes"), "{code}");
        }
        for code in [
            "let bytes = 1;",
            "use crate::bytes::Bytes;",
            "use actix_web::web::bytes::Bytes;",
            "<T as X>::bytes::Y",
            "megabytes::MAX",
            "bytes_of::<T>()",
            "use bytes_utils::X;",
        ] {
            assert!(!begins_path(code, "bytes"), "{code}");
        }
    }

    #[test]
    fn comments_use_nothing() {
        let code = sources::without_comments("// use bytes::Bytes;\n    /// [`bytes::Bytes`]\nfn f() {}");
        assert!(!begins_path(&code, "bytes"));
    }

    #[test]
    fn each_kind_has_its_place() {
        use DependencyKind::{Build, Development, Normal};
        let code = |product: &str, tests: &str, build: &str| Code {
            product: product.to_owned(),
            tests: tests.to_owned(),
            build: build.to_owned(),
        };
        let line = "use some_library::X;";
        for (kind, code, used) in [
            (Normal, code(line, "", ""), true),
            (Normal, code("", line, line), false),
            (Development, code("", line, ""), true),
            (Development, code(line, "", ""), true),
            (Development, code("", "", line), false),
            (Build, code("", "", line), true),
            (Build, code(line, line, ""), false),
        ] {
            assert_eq!(code.uses("some-library", kind), used, "{kind:?}");
        }
    }

    #[test]
    fn a_version_that_no_crate_takes_is_reported() {
        let manifest = "[package]\nx = 1\n[workspace.dependencies]\n# gone = 1\nserde = \"1\"\nurl = { version = \"2\" }\n\n[profile.dev]\ndebug = 1\n";
        assert_eq!(not_taken(manifest, &BTreeSet::from(["serde", "url"])), [""; 0]);
        let found = not_taken(manifest, &BTreeSet::from(["serde"]));
        assert_eq!(found, ["Cargo.toml: no crate takes url from [workspace.dependencies]; take it out"]);
    }
}
