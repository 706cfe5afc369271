//! Migrations, and the sets that they come in.
//!
//! Owns the form of a migration's name, the lists that are compiled in, and the rule that a list ascends. A list is written out
//! with [`migrations!`](crate::migrations); a misspelt name, two migrations of one version and a list out of order do not
//! compile. Knows nothing of a database.
//!
//! A program has several sets: the core's, and one of each extension. A tenant gets all of the first set, then all of the second,
//! each by version, and not all of them by date: the author of a set knows the sets before it and none of those
//! behind it. A set changes no table of another one, though its tables may refer to them. So the order in which a tenant has
//! come to its migrations makes no difference, and a migration may be older or newer than those of other sets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bulkhead_sqlcheck::{Texts, judge_platform_set, judge_set, tables_of};

use super::repeatable::GATE;
use crate::engine::error::{DbError, DbResult};

/// One step of a schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    name: &'static str,
    version: i64,
    up: &'static str,
    down: &'static str,
}

impl Migration {
    /// A migration with the name of its directory, `YYYY-MM-DD-HHMMSS_topic`, and its SQL. In SQL for a tenant's schema
    /// `:"tenant"` stands for the tenant's role. It only goes forward: no command takes back what a tenant or an extension has.
    ///
    /// # Panics
    ///
    /// When the name has another form; in a constant this is an error of the compiler.
    pub const fn new(name: &'static str, up: &'static str) -> Self {
        match version_of(name) {
            Some(version) => Self { name, version, up, down: "" },
            None => panic!("a migration's name is YYYY-MM-DD-HHMMSS_topic, the topic of a-z, 0-9 and _"),
        }
    }

    /// The same with SQL that takes it back, for the platform's own list.
    const fn back(mut self, down: &'static str) -> Self {
        self.down = down;
        self
    }

    /// The name of its directory.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The fourteen digits of its name. A set applies its migrations in this order.
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// SQL that takes the step.
    pub const fn up(&self) -> &'static str {
        self.up
    }

    /// SQL that takes it back. Only `migrate --revert` runs it, for one of the platform's own list; empty elsewhere.
    pub(super) const fn down(&self) -> &'static str {
        self.down
    }

    /// As the rules for SQL read it.
    fn texts(&self) -> Texts<'static> {
        Texts { name: self.name, up: self.up }
    }
}

/// The digits before the topic; `None` when the name has not the form.
const fn version_of(name: &str) -> Option<i64> {
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'-',
        hour1,
        hour2,
        minute1,
        minute2,
        second1,
        second2,
        b'_',
        topic @ ..,
    ] = name.as_bytes()
    else {
        return None;
    };
    let digits =
        [*y1, *y2, *y3, *y4, *m1, *m2, *d1, *d2, *hour1, *hour2, *minute1, *minute2, *second1, *second2];
    // A version has fourteen digits, as text and as a number.
    if *y1 == b'0' || !is_topic(topic) {
        return None;
    }
    let (mut rest, mut version) = (digits.as_slice(), 0);
    while let [digit, after @ ..] = rest {
        if !digit.is_ascii_digit() {
            return None;
        }
        version = version * 10 + (*digit - b'0') as i64;
        rest = after;
    }
    Some(version)
}

const fn is_topic(topic: &[u8]) -> bool {
    let mut rest = topic;
    while let [byte, after @ ..] = rest {
        if !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_') {
            return false;
        }
        rest = after;
    }
    !topic.is_empty()
}

/// Refuses a list in which a migration is not newer than the one before it.
///
/// # Panics
///
/// When it refuses; in a constant this is an error of the compiler.
pub const fn check(list: &[Migration]) {
    let mut rest = list;
    while let [older, after @ ..] = rest {
        if let [newer, ..] = after {
            assert!(
                older.version < newer.version,
                "migrations are listed from the oldest to the newest, and each has a version of its own"
            );
        }
        rest = after;
    }
}

/// Whether two texts are one but for how their lines end, which is the editor's or the system's to choose.
pub(super) fn same_text(one: &str, other: &str) -> bool {
    one.lines().eq(other.lines())
}

/// A list of migrations by the names of their directories below `migrations/` of the crate that is compiled, or below the
/// directory that is given first, relative to that crate. The compiler reads the file up.sql of each directory, and no other.
///
/// ```ignore
/// const LIST: &[Migration] = bulkhead_db::migrations!["2026-12-01-000001_invoices", "2026-12-05-000001_reminders"];
/// ```
#[macro_export]
macro_rules! migrations {
    (in $directory:literal; $($name:literal),+ $(,)?) => {{
        const LIST: &[$crate::fleet::migrate::Migration] = &[$($crate::fleet::migrate::Migration::new(
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $directory, "/", $name, "/up.sql")),
        )),+];
        const _: () = $crate::fleet::migrate::check(LIST);
        LIST
    }};
    ($($name:literal),+ $(,)?) => { $crate::migrations![in "migrations"; $($name),+] };
}

/// A list of the platform's migrations, which `migrate --revert` takes back one by one: each has a file down.sql, too.
macro_rules! both_ways {
    ($($name:literal),+ $(,)?) => {{
        const LIST: &[Migration] = &[$(Migration::new(
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/platform/", $name, "/up.sql")),
        )
        .back(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/platform/", $name, "/down.sql")))),+];
        const _: () = check(LIST);
        LIST
    }};
}

/// The migrations of the platform's own schemas.
pub(super) const PLATFORM_MIGRATIONS: &[Migration] = both_ways![
    "2026-11-21-000001_foundation",
    "2026-11-21-000002_gate",
    "2026-11-21-000003_schema_pool",
    "2026-11-28-000001_revocations_and_caps",
    "2026-11-28-000002_tenant_lifecycle",
    "2026-11-28-000003_rejected_usage",
    "2026-11-28-000004_migration_sets",
    "2026-11-28-000005_meters",
    "2026-11-28-000006_migration_runs",
    "2026-11-28-000007_repeatables",
    "2026-11-28-000008_generation",
    "2026-11-29-000001_operator_sessions",
    "2026-11-29-000002_signing_key_rotation",
    "2026-11-30-000001_registration",
    "2026-11-30-000002_operators",
    "2026-11-30-000003_audit_chain",
    "2026-11-30-000004_identity_providers",
];

/// The migrations of a tenant's schema that every program has.
pub const CORE: MigrationSet = MigrationSet::new(
    "core",
    migrations![
        in "../../migrations/tenant";
        "2026-11-21-000001_foundation",
        "2026-11-29-000001_sessions",
        "2026-11-29-000002_roles",
        "2026-11-30-000001_api_keys",
        "2026-11-30-000002_invitations",
        "2026-11-30-000003_second_factor",
        "2026-11-30-000004_audit",
        "2026-11-30-000005_federated_identities",
        "2026-11-30-000006_provider_accounts",
        "2026-11-30-000007_factor_at_issuer",
    ],
);

/// The migrations of one origin: the core's, or an extension's.
#[derive(Clone, Copy, Debug)]
pub struct MigrationSet {
    name: &'static str,
    tenant: &'static [Migration],
    platform: &'static [Migration],
}

impl MigrationSet {
    /// A set with a name of `a` to `z`, `0` to `9` and `_`, up to 31 bytes, and what it does to a tenant's schema. The name is
    /// kept by databases and never changes.
    ///
    /// # Panics
    ///
    /// When the name has another form, or the list does not ascend; in a constant this is an error of the compiler.
    pub const fn new(name: &'static str, tenant: &'static [Migration]) -> Self {
        assert!(
            is_topic(name.as_bytes()) && name.len() <= 31,
            "a set's name is of a-z, 0-9 and _, and 31 bytes at most"
        );
        check(tenant);
        Self { name, tenant, platform: &[] }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The same set with tables across tenants, which lie in a schema of their own, `x_` and the name of the set. Names without a
    /// schema are of that one. A tenant's transaction reaches it through functions alone.
    ///
    /// # Panics
    ///
    /// When the list does not ascend; in a constant this is an error of the compiler.
    #[must_use]
    pub const fn with_platform(mut self, platform: &'static [Migration]) -> Self {
        check(platform);
        self.platform = platform;
        self
    }

    /// What it does to its schema of the platform, from the oldest to the newest.
    pub const fn platform(&self) -> &'static [Migration] {
        self.platform
    }

    /// What it does to a tenant's schema, from the oldest to the newest.
    pub const fn tenant(&self) -> &'static [Migration] {
        self.tenant
    }

    /// The tables that it makes in a tenant's schema.
    pub fn tables(&self) -> BTreeSet<String> {
        tables_of(self.tenant.iter().map(Migration::texts))
    }
}

/// Why migrations are refused before a database is asked: the file and what is wrong with it, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(String);

/// The sets of a program, in the order in which a tenant gets them.
#[derive(Clone, Debug)]
pub struct Sets(Arc<[MigrationSet]>);

impl Sets {
    /// The core's alone.
    pub fn core() -> Self {
        Self(Arc::new([CORE]))
    }

    /// These sets. Two of one name are refused with [`DbError::Setup`].
    pub fn new(sets: impl IntoIterator<Item = MigrationSet>) -> DbResult<Self> {
        let sets: Arc<[MigrationSet]> = sets.into_iter().collect();
        let mut rest = &*sets;
        while let [one, after @ ..] = rest {
            if after.iter().any(|other| other.name == one.name) {
                return Err(DbError::Setup(format!("two sets of migrations are called {}", one.name)));
            }
            rest = after;
        }
        Ok(Self(sets))
    }

    /// All that the program has, as one text: two programs with one text need the same run of `migrate`.
    pub(super) fn text(&self) -> String {
        let platform = PLATFORM_MIGRATIONS.iter().map(|migration| ("platform", migration));
        let each = |(set, migration): (&str, &Migration)| {
            format!("{set}/{}\n{}\n", migration.name(), migration.up())
        };
        let own = self.0.iter().flat_map(|set| set.platform.iter().map(|one| (set.name, one)));
        let gate = GATE.iter().map(|one| format!("gate/{}\n{}\n", one.name, one.sql));
        platform.chain(self.migrations()).map(each).chain(own.map(each)).chain(gate).collect()
    }

    /// Refuses a table that two sets make, and migrations that break the rules for a tenant's schema.
    pub fn judge(&self) -> Result<(), Misfit> {
        let mut made = BTreeMap::new();
        for set in &*self.0 {
            for table in set.tables() {
                if let Some(other) = made.insert(table.clone(), set.name) {
                    return Err(Misfit(format!("the table {table} is made by {other} and by {}", set.name)));
                }
            }
        }
        for set in &*self.0 {
            let faults = judge_set(set.tenant.iter().map(Migration::texts)).into_iter();
            let across = judge_platform_set(set.name, set.platform.iter().map(Migration::texts));
            if let Some(fault) = faults.chain(across).next() {
                return Err(Misfit(format!("{}/{fault}", set.name)));
            }
        }
        Ok(())
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, MigrationSet> {
        self.0.iter()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(MigrationSet::name)
    }

    /// What they do to a tenant's schema, each with the name of its set, in the order in which a tenant gets them.
    pub fn migrations(&self) -> impl Iterator<Item = (&'static str, &'static Migration)> {
        self.0.iter().flat_map(|set| set.tenant.iter().map(|migration| (set.name, migration)))
    }
}

impl<'a> IntoIterator for &'a Sets {
    type Item = &'a MigrationSet;
    type IntoIter = std::slice::Iter<'a, MigrationSet>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, panic::catch_unwind, path::Path};

    use super::*;
    use crate::fleet::migrate::RESOURCES;

    /// A directory that its list does not name would never be applied.
    #[test]
    fn every_directory_is_listed() {
        for (set, list) in [("platform", PLATFORM_MIGRATIONS), ("tenant", CORE.tenant())] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(set);
            let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
            let mut found: Vec<String> = entries
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect();
            found.sort();
            let listed: Vec<&str> = list.iter().map(Migration::name).collect();
            assert_eq!(found, listed, "the list of {set} in {}", file!());
        }
    }

    /// The versions that databases have from before there were lists.
    #[test]
    fn a_version_is_the_digits_of_the_name() {
        assert_eq!(Migration::new("2026-11-21-000001_foundation", "").version(), 20_261_121_000_001);
        let platform: Vec<i64> = PLATFORM_MIGRATIONS.iter().map(Migration::version).collect();
        assert_eq!(platform.first_chunk(), Some(&[20_261_121_000_001, 20_261_121_000_002]));
    }

    #[test]
    fn a_name_of_another_form_is_refused() {
        for name in [
            "",
            "2026-11-21-000001",
            "2026-11-21-000001_",
            "2026-11-21-00001_topic",
            "2026-11-21-0000001_topic",
            "2026-11-2a-000001_topic",
            "2026_11-21-000001_topic",
            "0026-11-21-000001_topic",
            "2026-11-21-000001-topic",
            "2026-11-21-000001_Topic",
            "2026-11-21-000001_to pic",
            "2026-11-21-000001_../up",
        ] {
            assert!(catch_unwind(|| Migration::new(name, "")).is_err(), "{name}");
        }
    }

    #[test]
    fn a_set_has_a_name_of_its_own() {
        let set = |name| MigrationSet::new(name, &[]);
        let twice = Sets::new([CORE, set("notes"), set("core")]).unwrap_err().to_string();
        assert!(twice.contains("are called core"), "{twice}");
        assert_eq!(Sets::new([CORE, set("notes")]).unwrap().names().collect::<Vec<_>>(), ["core", "notes"]);
        for name in ["", "Notes", "no/tes", "notes'", "a2345678901234567890123456789012"] {
            assert!(catch_unwind(|| set(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn how_lines_end_makes_no_other_text() {
        assert!(same_text("a;\nb;\n", "a;\r\nb;"));
        for other in ["a;b;", "a;\n\nb;\n", "a;\nB;\n", "a;\rb;", "a;"] {
            assert!(!same_text("a;\nb;\n", other), "{other:?}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_refused_by_its_file() {
        const GOOD: &[Migration] = &[Migration::new(
            "2026-12-01-000001_notes",
            "CREATE TABLE notes (); GRANT SELECT ON notes TO :\"tenant\"",
        )];
        let told = |sets: &[MigrationSet]| {
            let sets = std::iter::once(CORE).chain(sets.iter().copied());
            Sets::new(sets).unwrap().judge().map_err(|misfit| misfit.to_string())
        };
        assert_eq!(told(&[RESOURCES, MigrationSet::new("notes", GOOD)]), Ok(()));
        let twice = told(&[MigrationSet::new("notes", GOOD), MigrationSet::new("ideas", GOOD)]);
        assert_eq!(twice.unwrap_err(), "the table notes is made by notes and by ideas");
        for (up, why) in [
            ("\nCOMMIT", "line 2: a migration has no statement that begins with commit"),
            ("SELECT * FROM platform.tenants", "line 1: platform.tenants is qualified with a schema"),
            ("ALTER TABLE users ADD x int", "line 1: users is not of this set"),
            ("CREATE TABLE ideas ()", "line 1: ideas is not granted to :\"tenant\""),
        ] {
            let list = vec![Migration::new("2026-12-01-000001_ideas", up)].leak();
            let refused = told(&[MigrationSet::new("ideas", list)]).unwrap_err();
            assert_eq!(refused, format!("ideas/2026-12-01-000001_ideas/up.sql, {why}"));
        }
    }

    #[test]
    fn a_list_ascends() {
        let [a, b, c] = ["2026-12-01-000001_a", "2026-12-01-000001_b", "2026-12-01-000002_c"]
            .map(|name| Migration::new(name, ""));
        check(&[]);
        check(&[a]);
        check(&[a, c]);
        for list in [vec![a, b], vec![c, a], vec![a, c, c], vec![a, c, b]] {
            assert!(catch_unwind(|| check(&list)).is_err(), "{list:?}");
        }
    }
}
