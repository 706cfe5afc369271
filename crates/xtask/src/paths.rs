//! Checks that the files and directories which comments and documents name in back-ticks exist.
//!
//! A comment that says where a guard is, or what a test checks, outlives both. A name is looked for where a reader would:
//! from the directory of the file that names it upwards, there also below `src/`, from the root and from `crates/`. Refuses to
//! guess: what begins with no directory of ours (`application/json`, an address of the API) is not taken for a path.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;

/// Endings of names that stand for a file by themselves, without a directory.
const ENDINGS: [&str; 15] = [
    ".rs", ".md", ".sql", ".toml", ".yml", ".py", ".sh", ".lua", ".json", ".tf", ".hcl", ".mjs", ".txt",
    ".tfvars", ".lock",
];

/// What is named on purpose and is not in the repository, with the reason. One that ends with `*` stands for any ending.
const ABSENT: [(&str, &str); 12] = [
    (".bulkhead/*", "`bulkhead dev` makes it"),
    ("call.lock", "a method, and no file"),
    ("down.sql", "a migration may have it beside its up.sql"),
    ("up.sql", "each migration has it"),
    ("latest.*", "`make bench` writes it"),
    ("migrations/2026-12-01-000001_invoices/*", "the shop of the guide has it"),
    ("owner.lock", "a server's owner makes it in the server's directory"),
    ("src/invoices.rs", "the shop of the guide has it"),
    ("src/main.rs", "the shop of the guide has it"),
    ("rust-toolchain.toml", "it is said why there is none"),
    ("terraform.tfvars", "who deploys writes it"),
    ("api/v1/remote_write", "an address of Prometheus"),
];

/// Directories that are not the repository's.
const NOT_OURS: [&str; 5] = [".git", "target", "node_modules", ".terraform", ".bulkhead"];

/// The files and directories of the repository, by their paths from its root.
struct Tree {
    paths: BTreeSet<PathBuf>,
}

/// Prints every name that leads nowhere and fails when there is one.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("xtask is not in crates/")?;
    let found = violations(root)?;
    for line in &found {
        eprintln!("{line}");
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn violations(root: &Path) -> anyhow::Result<Vec<String>> {
    let tree = Tree::of(root)?;
    let (mut found, mut used) = (Vec::new(), BTreeSet::new());
    for file in &tree.paths {
        let full = root.join(file);
        let Some(kind) = Kind::of(file).filter(|_| full.is_file()) else { continue };
        let text = fs::read_to_string(&full).with_context(|| format!("cannot read {}", file.display()))?;
        for (line, name) in names(kind, &text) {
            if let Some((absent, _)) = ABSENT.iter().find(|(absent, _)| fits_absent(absent, &name)) {
                used.insert(*absent);
            } else if !tree.has(file, &name) {
                found.push(format!(
                    "{}:{line}: there is no `{name}`; put the name right, or say in {} why it is named",
                    file.display(),
                    file!()
                ));
            }
        }
    }
    let unused = ABSENT.iter().filter(|(absent, _)| !used.contains(absent));
    found.extend(unused.map(|(absent, _)| format!("{}: nothing names `{absent}` any more", file!())));
    Ok(found)
}

fn fits_absent(absent: &str, name: &str) -> bool {
    absent.strip_suffix('*').map_or(absent == name, |start| name.starts_with(start))
}

/// Where the prose of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Everywhere.
    Prose,
    /// Behind this mark.
    Behind(&'static str),
}

impl Kind {
    fn of(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?;
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match (name, ending) {
            (_, "md") => Some(Self::Prose),
            (_, "rs" | "mjs") => Some(Self::Behind("//")),
            (_, "sql") => Some(Self::Behind("--")),
            (_, "toml" | "yml" | "tf" | "hcl" | "py" | "sh" | "tfvars") | ("Dockerfile" | "Makefile", _) => {
                Some(Self::Behind("#"))
            }
            _ if file.starts_with(".ci") => Some(Self::Behind("#")),
            _ => None,
        }
    }

    fn prose(self, line: &str) -> &str {
        match self {
            Self::Prose => line,
            Self::Behind(mark) => {
                let starts = line.match_indices(mark).map(|(at, _)| at);
                let stands_free = |at: &usize| {
                    line.get(..*at).is_some_and(|code| !code.ends_with(|c: char| !c.is_whitespace()))
                };
                starts.into_iter().find(stands_free).and_then(|at| line.get(at..)).unwrap_or_default()
            }
        }
    }
}

/// Names in back-ticks that may be paths, each with its line.
fn names(kind: Kind, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let quoted = kind.prose(line).split('`').skip(1).step_by(2);
        found.extend(quoted.filter(|name| may_be_path(name)).map(|name| (number, name.to_owned())));
    }
    found
}

fn may_be_path(name: &str) -> bool {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-/<>{}*,".contains(c));
    // A name that begins with a slash is an address of the API, or a place on one machine.
    let is_relative = !name.starts_with('/') && !name.starts_with("..");
    let is_file = ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending));
    is_plain && is_relative && (is_file || (name.contains('/') && name != "/"))
}

impl Tree {
    fn of(root: &Path) -> anyhow::Result<Self> {
        let mut paths = BTreeSet::new();
        let mut open = vec![PathBuf::new()];
        while let Some(directory) = open.pop() {
            let full = root.join(&directory);
            for entry in fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))? {
                let entry = entry?;
                let name = entry.file_name();
                if NOT_OURS.iter().any(|not_ours| name == *not_ours) {
                    continue;
                }
                let path = directory.join(name);
                if entry.file_type()?.is_dir() {
                    open.push(path.clone());
                }
                paths.insert(path);
            }
        }
        Ok(Self { paths })
    }

    /// Whether there is what `name` stands for where `file` says it.
    fn has(&self, file: &Path, name: &str) -> bool {
        let pattern: Vec<String> = name.trim_end_matches('/').split('/').map(wildcards).collect();
        let Some((first, rest)) = pattern.split_first() else { return true };
        if rest.is_empty() && !name.ends_with('/') {
            return self.has_named(file, first);
        }
        let bases = bases(file);
        let begins = |base: &PathBuf| self.under(base, std::slice::from_ref(first));
        let is_file = ENDINGS.iter().any(|ending| name.ends_with(ending));
        let is_ours = is_file || bases.iter().any(begins);
        !is_ours || bases.iter().any(|base| self.under(base, &pattern))
    }

    /// A name alone stands for a file of the same crate, or at the root; in a document above the crates, for any.
    fn has_named(&self, file: &Path, pattern: &str) -> bool {
        let mut crates = file.components().take(2);
        let own: PathBuf =
            if file.starts_with("crates") { crates.by_ref().collect() } else { PathBuf::new() };
        let is_named =
            |path: &PathBuf| path.file_name().is_some_and(|name| fits(pattern, &name.to_string_lossy()));
        let at_root = |path: &PathBuf| path.components().count() == 1;
        self.paths.iter().any(|path| is_named(path) && (path.starts_with(&own) || at_root(path)))
    }

    fn under(&self, base: &Path, pattern: &[String]) -> bool {
        let depth = base.components().count();
        self.paths.iter().filter(|path| path.starts_with(base)).any(|path| {
            let parts: Vec<String> = path
                .components()
                .skip(depth)
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect();
            parts.len() == pattern.len()
                && std::iter::zip(pattern, &parts).all(|(pattern, part)| fits(pattern, part))
        })
    }
}

/// From where a reader of `file` would look.
fn bases(file: &Path) -> Vec<PathBuf> {
    let mut bases = vec![PathBuf::from("crates")];
    for directory in file.ancestors().skip(1) {
        bases.push(directory.to_owned());
        bases.push(directory.join("src"));
    }
    bases
}

/// One part of a path, with a `*` for each placeholder: `<resource>`, `{up,down}`.
fn wildcards(part: &str) -> String {
    let mut pattern = String::new();
    let mut inside = false;
    for c in part.chars() {
        match c {
            '<' | '{' => {
                inside = true;
                pattern.push('*');
            }
            '>' | '}' => inside = false,
            _ if inside => {}
            _ => pattern.push(c),
        }
    }
    pattern
}

/// Whether a part fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, part: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == part };
    let Some(mut left) = part.strip_prefix(start) else { return false };
    loop {
        if fits(rest, left) {
            return true;
        }
        let mut chars = left.chars();
        if chars.next().is_none() {
            return false;
        }
        left = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        let all = paths.iter().flat_map(|path| Path::new(path).ancestors().map(Path::to_path_buf));
        Tree { paths: all.filter(|path| path.components().count() > 0).collect() }
    }

    #[test]
    fn names_are_found_in_comments_alone() {
        let rust = "/// See `db/src/scope.rs` and `Db::read`, `a/b c`, `/v1/me`.\nlet s = \"`x/y.rs`\"; // `main.rs`\n";
        let found: Vec<_> = names(Kind::Behind("//"), rust);
        assert_eq!(found, [(1, "db/src/scope.rs".to_owned()), (2, "main.rs".to_owned())]);
        assert_eq!(names(Kind::Behind("#"), "run: a # `b/c`\nurl: x#`d/e`\n"), [(1, "b/c".to_owned())]);
        assert_eq!(names(Kind::Prose, "`a/b` `.rs` `a` `../up.md`"), [(1, "a/b".to_owned())]);
    }

    #[test]
    fn a_name_is_looked_for_where_a_reader_would() {
        let tree = tree(&[
            "README.md",
            "openapi/v1.json",
            "crates/db/README.md",
            "crates/db/src/schema/mod.rs",
            "crates/db/src/scope.rs",
            "crates/db/tests/it/walls.rs",
            "crates/api/src/routes/users/create.rs",
            "crates/api/src/docs.rs",
        ]);
        let from = Path::new("crates/db/src/schema/mod.rs");
        for there in [
            "tests/it/walls.rs",
            "schema/mod.rs",
            "scope.rs",
            "src/scope.rs",
            "db/src/scope.rs",
            "crates/db/src/",
            "openapi/v1.json",
            "api/src/routes/<resource>/{create,get}.rs",
            "README.md",
            "application/json",
            "api_keys/hint",
        ] {
            assert!(tree.has(from, there), "{there}");
        }
        for gone in [
            "tests/it/schema.rs",
            "tests/it/gone",
            "crates/gone/src/lib.rs",
            "nowhere/at_all.rs",
            "db/src/pool.rs",
            "docs.rs",
            "gone.rs",
            "crates/*/src/gone.rs",
        ] {
            assert!(!tree.has(from, gone), "{gone}");
        }
        // A crate's README speaks of its sources; a document above the crates of any file.
        assert!(tree.has(Path::new("crates/db/README.md"), "schema/mod.rs"));
        assert!(tree.has(Path::new(".github/CONTRIBUTING.md"), "docs.rs"));
    }
}
