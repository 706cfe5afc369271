//! Migrations of tenants' schemas: what the program prints of them, run in a schema of the test's own.
//!
//! All of a test is one transaction of the superuser's as the owner of every schema, which is rolled back: nothing of it stays,
//! and no other test sees it.

use std::{fs, io::ErrorKind, path::Path};

use serde_json::Value;

use crate::{App, catalog, unique};

/// One migration.
struct Step {
    /// Its set and its name.
    title: String,
    up: String,
    /// Empty where there is no way back.
    down: String,
}

/// The `down.sql` of a migration, which no program has: of those in the directory `migrations` of the package under test. Empty
/// where there is none.
fn way_back(name: &str) -> String {
    // cargo runs the tests of a package in its directory.
    let path = Path::new("migrations").join(name).join("down.sql");
    match fs::read_to_string(&path) {
        Ok(sql) => sql,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// All of the program, in the order in which a new tenant gets them.
fn steps(app: &App) -> Vec<Step> {
    let printed = app.run(&["schema", "--json"], &[], "");
    assert!(printed.success, "{printed:?}");
    let printed: Value = serde_json::from_str(&printed.out).unwrap();
    let mut steps = Vec::new();
    for set in printed["sets"].as_array().unwrap() {
        for migration in set["migrations"].as_array().unwrap() {
            let of = |member: &str| migration[member].as_str().unwrap().to_owned();
            let title = format!("{}/{}", set["name"].as_str().unwrap(), of("name"));
            steps.push(Step { title, up: of("up"), down: way_back(&of("name")) });
        }
    }
    assert!(!steps.is_empty(), "the program has no migration");
    steps
}

/// A transaction in which a schema is built.
struct Building {
    /// The name of the schema, and of its tenant's role.
    schema: String,
    script: String,
}

/// Stands in front of what was seen at once.
const SEEN: &str = "-- seen";

impl Building {
    fn new() -> Self {
        let schema = format!("t_{}{}", unique(), &unique()[..12]);
        let script = format!(
            "BEGIN;\nCREATE ROLE {schema};\nSET LOCAL ROLE bulkhead_owner;\nCREATE SCHEMA {schema};\n"
        );
        Self { schema, script }
    }

    /// Runs SQL of a migration. Where PostgreSQL refuses it, the last title in front of the refusal says whose it was.
    fn apply(&mut self, title: &str, sql: &str) {
        let sql = sql.replace(":\"tenant\"", &self.schema);
        // The last statement of a migration may lack its semicolon, its last line may be a comment.
        self.script += &format!("\\warn {title}\nSET LOCAL search_path = {};\n{sql}\n;\n", self.schema);
    }

    fn look(&mut self) {
        self.script += &format!("SELECT '{SEEN}';\n{};\n", catalog::facts(&[&self.schema]));
    }

    /// What was seen at each look, with another name in place of the schema's.
    fn run(self, app: &App) -> Vec<String> {
        let seen = app.script(&format!("{}ROLLBACK;\n", self.script));
        let looks = seen.split(SEEN).skip(1);
        looks.map(|seen| seen.trim().replace(&self.schema, "tenant")).collect()
    }
}

/// The lines that only one of the two has.
fn difference(one: &str, other: &str) -> Vec<String> {
    let only = |sign: char, of: &str, not: &str| {
        let lines = of.lines().filter(|line| !not.lines().any(|other| other == *line));
        lines.map(|line| format!("{sign} {line}")).collect::<Vec<_>>()
    };
    [only('-', one, other), only('+', other, one)].concat()
}

/// Each migration of a tenant's schema that has a `down.sql` is taken back by it to the last index and grant, and can then be
/// applied again, which leaves what the first time has left.
pub async fn every_migration_can_be_taken_back(app: &App) {
    let steps = steps(app);
    let mut building = Building::new();
    let mut back = Vec::new();
    for step in &steps {
        if step.down.trim().is_empty() {
            building.apply(&step.title, &step.up);
            continue;
        }
        back.push(step);
        building.look();
        building.apply(&step.title, &step.up);
        building.look();
        building.apply(&format!("down.sql of {}", step.title), &step.down);
        building.look();
        building.apply(&step.title, &step.up);
        building.look();
    }
    let seen = building.run(app);
    assert_eq!(seen.len(), 4 * back.len());
    for (step, seen) in back.iter().zip(seen.chunks(4)) {
        let left = difference(&seen[0], &seen[2]);
        assert!(left.is_empty(), "down.sql of {} does not take back what up.sql does: {left:#?}", step.title);
        let again = difference(&seen[1], &seen[3]);
        assert!(again.is_empty(), "{} does something else behind its own down.sql: {again:#?}", step.title);
    }
}

/// A schema to which every migration was applied by itself has what the program builds for a new tenant.
pub async fn a_new_tenant_has_what_an_upgraded_one_has(app: &App) {
    let tenant = app.tenant().await;
    let mut building = Building::new();
    for step in steps(app) {
        building.apply(&step.title, &step.up);
    }
    building.look();
    let upgraded = building.run(app);
    let fresh = app.script(&format!("{};\n", catalog::facts(&[&tenant.schema()])));
    let fresh = fresh.trim().replace(&tenant.schema(), "tenant");
    // Who may enter the schema is said by what makes it, and by no migration.
    let of_migrations = |text: &str| {
        let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("schema ")).collect();
        kept.join("\n")
    };
    let differ = difference(&of_migrations(&upgraded[0]), &of_migrations(&fresh));
    assert!(differ.is_empty(), "an upgraded tenant (-) has not what a new one (+) has: {differ:#?}");
}

/// Each foreign key of a tenant's schema, and of the schemas across tenants, has an index that begins with its columns: without
/// one, removing what it refers to reads the whole table.
pub async fn every_foreign_key_has_an_index(app: &App) {
    let schema = app.tenant().await.schema();
    let of_these = format!("connamespace::regnamespace::text ~ '^({schema}|platform|gate|x_.*)$'");
    let keys = format!("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND {of_these}");
    assert!(app.sql(&keys) != "0", "there is no foreign key");
    let bare = app.sql(&format!("{} AND {of_these}", catalog::KEYS_WITHOUT_INDEX));
    let bare = bare.replace(&format!("{schema}."), "");
    assert_eq!(bare, "", "these have no index: write one into a migration");
}
