//! Checks which crate may depend on which. The manifests state the graph and drift one convenient line at a time;
//! this is the graph as it was meant, and `crates/README.md` says why.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use crate::{features, proofs, rust_version, unused};

/// What the name of each of our crates begins with, but for `xtask`.
const PREFIX: &str = "bulkhead-";

/// Each product crate and those of ours that it may depend on.
const GRAPH: [(&str, &[&str]); 23] = [
    ("ablation", &[]),
    ("sqlcheck", &[]),
    ("domain", &[]),
    ("macros", &[]),
    ("config", &["domain"]),
    ("telemetry", &[]),
    ("jobs", &["domain"]),
    ("db", &["ablation", "domain", "jobs", "telemetry", "sqlcheck"]),
    ("link", &["domain", "telemetry"]),
    ("mail", &["domain"]),
    ("limits", &["domain", "telemetry", "link"]),
    ("outbound", &[]),
    ("aws", &["domain", "outbound"]),
    ("oidc", &["outbound", "telemetry"]),
    ("auth", &["domain", "db", "limits", "oidc"]),
    ("usage", &["domain", "db", "telemetry", "link"]),
    ("api", &["ablation", "domain", "config", "telemetry", "jobs", "db", "auth", "limits", "usage", "oidc"]),
    (
        "worker",
        &[
            "domain",
            "config",
            "telemetry",
            "jobs",
            "db",
            "auth",
            "aws",
            "link",
            "mail",
            "oidc",
            "outbound",
            "usage",
        ],
    ),
    ("servers", &[]),
    ("testkit", &["servers"]),
    (
        "bulkhead",
        &[
            "domain",
            "macros",
            "config",
            "telemetry",
            "jobs",
            "db",
            "auth",
            "aws",
            "limits",
            "link",
            "mail",
            "oidc",
            "outbound",
            "usage",
            "api",
            "worker",
            "servers",
        ],
    ),
    ("resources", &["bulkhead"]),
    ("cli", &["bulkhead", "resources"]),
];

/// Crates that are extensions of an application: each is built on the library as a product's own extensions are, and shows
/// that nothing else is needed.
const EXTENSIONS: [&str; 1] = ["resources"];
/// What of ours the tests of an extension may use: what a product's own extension has.
const EXTENSION_TESTS_MAY_USE: [&str; 2] = ["bulkhead", "testkit"];

/// What the tests of any crate may use besides: test support, and the leaves.
const TESTS_MAY_USE: [&str; 9] =
    ["fixtures", "testkit", "servers", "sqlcheck", "domain", "config", "telemetry", "jobs", "link"];

/// Crates that are no part of the product: they may use everything, and no product crate may use them.
const TOOLS: [&str; 4] = ["bench", "faulty", "fixtures", "xtask"];

/// The tool that uses nothing of ours: it is built before everything else, in seconds.
const BY_ITSELF: &str = "xtask";

/// Libraries that only some product crates may name; a star stands for any ending, and the first row that fits holds.
const RESERVED: [(&str, &[&str]); 11] = [
    // Extensions write queries and have no connections.
    // `bulkhead` hands the names that queries need on to extensions.
    ("diesel", &["db", "bulkhead", "resources"]),
    ("diesel*", &["db"]),
    ("tokio-postgres*", &["db"]),
    ("redis", &["link", "limits", "usage", "worker"]),
    ("lettre", &["mail"]),
    ("apalis*", &["worker"]),
    // What leaves over HTTP goes through one place that judges where to.
    ("hyper", &["outbound"]),
    // Requests in our own name are signed in one place.
    ("aws-sigv4", &["aws"]),
    ("aws-credential-types", &["aws"]),
    ("actix*", &["api"]),
    ("utoipa*", &["api"]),
];

/// What must not be in the closure of `domain`, however far down: it is pure.
const IMPURE: [&str; 5] = ["tokio", "diesel*", "actix*", "redis", "apalis*"];

/// One of our crates and what its manifest names.
struct Crate {
    name: String,
    normal: BTreeSet<String>,
    dev: BTreeSet<String>,
}

/// Prints every violation with its fix and fails when there is one.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let metadata = MetadataCommand::new().exec().context("cannot read the workspace")?;
    let packages = metadata.workspace_packages();
    let crates: Vec<Crate> = packages.iter().map(|package| Crate::of(package)).collect();
    let mut found = violations(&crates);
    found.extend(impurities(&closure(&metadata, "bulkhead-domain")?));
    found.extend(features::violations(&metadata, &closure(&metadata, "bulkhead-cli")?)?);
    let pinned = packages.iter().find_map(|package| package.rust_version.as_ref());
    let pinned = pinned.context("no crate has a rust-version")?;
    found.extend(rust_version::mismatches(
        metadata.workspace_root.as_std_path(),
        (pinned.major, pinned.minor),
    )?);
    found.extend(proofs::violations(metadata.workspace_root.as_std_path())?);
    found.extend(unused::violations(&metadata)?);
    for line in &found {
        eprintln!("{line}");
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Crate {
    fn of(package: &Package) -> Self {
        let named = |dev: bool| {
            let dependencies = package.dependencies.iter();
            let of_kind = dependencies.filter(move |one| (one.kind == DependencyKind::Development) == dev);
            of_kind.map(|one| short(&one.name).to_owned()).collect()
        };
        Self { name: short(&package.name).to_owned(), normal: named(false), dev: named(true) }
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// One line for each edge that the graph does not have.
fn violations(crates: &[Crate]) -> Vec<String> {
    let ours: BTreeSet<&str> = crates.iter().map(|one| one.name.as_str()).collect();
    let graph = BTreeMap::from(GRAPH);
    let mut found = Vec::new();
    for one in crates.iter().filter(|one| one.name == BY_ITSELF) {
        let of_ours = one.normal.union(&one.dev).filter(|name| ours.contains(name.as_str()));
        found.extend(of_ours.map(|name| {
            format!("{BY_ITSELF}: links {name}, but is built by itself; let it run the program that has what it needs")
        }));
    }
    for one in crates.iter().filter(|one| !TOOLS.contains(&one.name.as_str())) {
        let name = one.name.as_str();
        let Some(allowed) = graph.get(name) else {
            found.push(format!("{name}: has no row in the graph; add it to GRAPH in {}", file!()));
            continue;
        };
        for dependency in one.normal.iter().map(String::as_str) {
            if ours.contains(dependency) && !allowed.contains(&dependency) {
                found.push(forbidden(name, dependency, allowed));
            }
            let reserved = RESERVED.iter().find(|(pattern, _)| matches(pattern, dependency));
            if let Some((_, owners)) = reserved.filter(|(_, owners)| !owners.contains(&name)) {
                found.push(not_its_business(name, dependency, owners));
            }
        }
        let is_extension = EXTENSIONS.contains(&name);
        for dependency in one.dev.iter().map(String::as_str).filter(|dependency| ours.contains(dependency)) {
            if is_extension && !EXTENSION_TESTS_MAY_USE.contains(&dependency) {
                found.push(format!(
                    "{name}: is an extension, and its tests use {dependency}; a product's own extension has {} alone",
                    EXTENSION_TESTS_MAY_USE.join(" and ")
                ));
            } else if !is_extension && !allowed.contains(&dependency) && !TESTS_MAY_USE.contains(&dependency)
            {
                found.push(format!(
                    "{name}: its tests use {dependency}; they may use {} and what {name} itself may: \
                     move the test to a crate that sits above both",
                    TESTS_MAY_USE.join(", ")
                ));
            }
        }
    }
    found
}

fn forbidden(name: &str, dependency: &str, allowed: &[&str]) -> String {
    if TOOLS.contains(&dependency) {
        return format!("{name}: {dependency} is no part of the product; move it to [dev-dependencies]");
    }
    let allowed = if allowed.is_empty() { "none of our crates".to_owned() } else { allowed.join(", ") };
    format!(
        "{name}: must not depend on {dependency}, only on {allowed}; move what it needs down into one of \
         those, or pass it in from above"
    )
}

fn not_its_business(name: &str, dependency: &str, owners: &[&str]) -> String {
    let owners = owners.join(", ");
    format!("{name}: only {owners} may name {dependency}; add what it needs to the interface there")
}

/// One line for each library in `domain`'s closure that does input or output.
fn impurities(closure: &BTreeSet<String>) -> Vec<String> {
    let impure = closure.iter().filter(|name| IMPURE.iter().any(|pattern| matches(pattern, name)));
    let line = |name| {
        format!(
            "domain: reaches {name}, but is pure; `cargo tree -p bulkhead-domain -e normal -i {name}` shows how"
        )
    };
    impure.map(line).collect()
}

/// The names of everything that `root` is built from.
fn closure(metadata: &Metadata, root: &str) -> anyhow::Result<BTreeSet<String>> {
    let resolve = metadata.resolve.as_ref().context("cargo did not resolve the dependencies")?;
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let start = names.iter().find(|(_, name)| **name == root).map(|(id, _)| *id);
    let mut to_visit = vec![start.with_context(|| format!("there is no crate {root}"))?];
    let mut seen = BTreeSet::new();
    while let Some(id) = to_visit.pop() {
        if !seen.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id).into_iter().flat_map(|node| &node.deps);
        let normal =
            dependencies.filter(|one| one.dep_kinds.iter().any(|how| how.kind == DependencyKind::Normal));
        to_visit.extend(normal.map(|one| &one.pkg));
    }
    Ok(seen.into_iter().filter_map(|id| names.get(id)).map(|name| (*name).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(name: &str, normal: &[&str], dev: &[&str]) -> Vec<String> {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let mut crates = vec![Crate { name: name.to_owned(), normal: set(normal), dev: set(dev) }];
        let others = GRAPH.iter().map(|(name, _)| *name).chain(TOOLS).filter(|other| *other != name);
        crates.extend(others.map(|other| Crate { name: other.to_owned(), normal: set(&[]), dev: set(&[]) }));
        violations(&crates)
    }

    #[test]
    fn the_graph_itself_is_accepted_and_has_no_circle() {
        for (name, allowed) in GRAPH {
            let tests_use: &[&str] =
                if EXTENSIONS.contains(&name) { &EXTENSION_TESTS_MAY_USE } else { &TESTS_MAY_USE };
            assert_eq!(planted(name, allowed, tests_use), [""; 0]);
        }
        let mut below: BTreeSet<&str> = BTreeSet::new();
        for (name, allowed) in GRAPH {
            assert!(allowed.iter().all(|one| below.contains(one)), "{name} stands before what it uses");
            below.insert(name);
        }
    }

    #[test]
    fn every_edge_that_is_not_in_the_graph_is_refused() {
        for (name, allowed) in GRAPH {
            for (other, _) in GRAPH.iter().filter(|(other, _)| *other != name && !allowed.contains(other)) {
                let found = planted(name, &[other], &[]);
                assert_eq!(found.len(), 1, "{name} -> {other}");
                assert!(found[0].starts_with(&format!("{name}: must not depend on {other}, only on")));
            }
        }
    }

    #[test]
    fn tools_belong_in_dev_dependencies() {
        let found = planted("api", &["fixtures"], &[]);
        assert_eq!(found, ["api: fixtures is no part of the product; move it to [dev-dependencies]"]);
        assert_eq!(planted("api", &[], &["fixtures"]), [""; 0]);
        assert_eq!(planted("fixtures", &["api", "diesel", "redis"], &["worker"]), [""; 0]);
    }

    #[test]
    fn xtask_links_nothing_of_ours() {
        assert_eq!(planted("xtask", &["clap"], &[]), [""; 0]);
        assert!(planted("xtask", &["api"], &[])[0].starts_with("xtask: links api"));
        assert!(planted("xtask", &[], &["fixtures"])[0].starts_with("xtask: links fixtures"));
    }

    #[test]
    fn tests_do_not_reach_across_either() {
        assert!(planted("api", &[], &["worker"])[0].starts_with("api: its tests use worker"));
        assert!(planted("db", &[], &["api"])[0].starts_with("db: its tests use api"));
        assert_eq!(planted("db", &[], &["redis", "tokio-postgres"]), [""; 0]);
    }

    #[test]
    fn an_extension_is_built_on_the_library_alone() {
        for name in EXTENSIONS {
            assert_eq!(planted(name, &["bulkhead", "diesel", "serde", "chrono"], &["bulkhead"]), [""; 0]);
            assert!(
                planted(name, &["domain"], &[])[0].starts_with(&format!("{name}: must not depend on domain"))
            );
            for dependency in ["fixtures", "servers", "domain", "db"] {
                let found = planted(name, &[], &[dependency]);
                assert_eq!(found.len(), 1, "{dependency}");
                assert!(
                    found[0]
                        .starts_with(&format!("{name}: is an extension, and its tests use {dependency};"))
                );
            }
            for library in ["diesel-async", "utoipa", "tokio-postgres", "actix-web"] {
                assert_eq!(planted(name, &[library], &[]).len(), 1, "{library}");
            }
        }
    }

    #[test]
    fn libraries_stay_with_their_owners() {
        for (name, library) in [
            ("api", "diesel-async"),
            ("worker", "diesel"),
            ("auth", "tokio-postgres-rustls"),
            ("api", "redis"),
            ("cli", "apalis-redis"),
            ("cli", "actix-web"),
            ("worker", "utoipa-swagger-ui"),
        ] {
            let found = planted(name, &[library], &[]);
            assert_eq!(found.len(), 1, "{name} -> {library}");
            assert!(found[0].contains(library) && found[0].starts_with(name), "{found:?}");
        }
        assert_eq!(planted("db", &["diesel", "diesel-async", "tokio-postgres"], &[]), [""; 0]);
        assert_eq!(planted("worker", &["apalis", "apalis-redis", "redis"], &[]), [""; 0]);
        assert_eq!(planted("limits", &["redis", "redistribute"], &[]), [""; 0]);
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        assert!(planted("billing", &[], &[])[0].starts_with("billing: has no row in the graph"));
    }

    #[test]
    fn domain_stays_pure_all_the_way_down() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(impurities(&set(&["serde", "chrono", "uuid", "redistribute"])), [""; 0]);
        assert_eq!(impurities(&set(&["tokio", "diesel_derives", "actix-rt", "redis", "serde"])).len(), 4);
    }
}
