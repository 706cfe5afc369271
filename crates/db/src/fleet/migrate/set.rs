//! Migrations, and the sets that they come in.
//!
//! Owns the form of a migration's name, the lists that are compiled in, and the rule that a list ascends. A list is written out
//! with [`migrations!`](crate::migrations); a misspelt name, two migrations of one version and a list out of order do not
//! compile. Knows nothing of a database.

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
    /// `:"tenant"` stands for the tenant's role.
    ///
    /// # Panics
    ///
    /// When the name has another form; in a constant this is an error of the compiler.
    pub const fn new(name: &'static str, up: &'static str, down: &'static str) -> Self {
        match version_of(name) {
            Some(version) => Self { name, version, up, down },
            None => panic!("a migration's name is YYYY-MM-DD-HHMMSS_topic, the topic of a-z, 0-9 and _"),
        }
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

    /// SQL that takes it back.
    pub const fn down(&self) -> &'static str {
        self.down
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

/// A list of migrations by the names of their directories below `migrations/` of the crate that is compiled, or below the
/// directory that is given first, relative to that crate. Their files are read by the compiler.
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
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $directory, "/", $name, "/down.sql")),
        )),+];
        const _: () = $crate::fleet::migrate::check(LIST);
        LIST
    }};
    ($($name:literal),+ $(,)?) => { $crate::migrations![in "migrations"; $($name),+] };
}

/// The migrations of the platform's own schemas.
pub(super) const PLATFORM_MIGRATIONS: &[Migration] = migrations![
    in "../../migrations/platform";
    "2026-11-21-000001_foundation",
    "2026-11-21-000002_gate",
    "2026-11-21-000003_schema_pool",
    "2026-11-28-000001_revocations_and_caps",
    "2026-11-28-000002_tenant_lifecycle",
    "2026-11-28-000003_rejected_usage",
];

/// The migrations of a tenant's schema, oldest first.
pub const TENANT_MIGRATIONS: &[Migration] = migrations![
    in "../../migrations/tenant";
    "2026-11-21-000001_foundation",
    "2026-11-28-000002_resource_bytes",
    "2026-11-28-000003_resource_text",
];

#[cfg(test)]
mod tests {
    use std::{fs, panic::catch_unwind, path::Path};

    use super::*;

    /// A directory that its list does not name would never be applied.
    #[test]
    fn every_directory_is_listed() {
        for (set, list) in [("platform", PLATFORM_MIGRATIONS), ("tenant", TENANT_MIGRATIONS)] {
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
        assert_eq!(Migration::new("2026-11-21-000001_foundation", "", "").version(), 20_261_121_000_001);
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
            assert!(catch_unwind(|| Migration::new(name, "", "")).is_err(), "{name}");
        }
    }

    #[test]
    fn a_list_ascends() {
        let [a, b, c] = ["2026-12-01-000001_a", "2026-12-01-000001_b", "2026-12-01-000002_c"]
            .map(|name| Migration::new(name, "", ""));
        check(&[]);
        check(&[a]);
        check(&[a, c]);
        for list in [vec![a, b], vec![c, a], vec![a, c, c], vec![a, c, b]] {
            assert!(catch_unwind(|| check(&list)).is_err(), "{list:?}");
        }
    }
}
