//! The tables as diesel knows them, against a migrated database: every table, column, SQL type, nullability and key.
//!
//! The declarations are private to the crate and diesel tells nothing of them at run time, so they are read from the very
//! files that are compiled. Whatever in those files is not understood here fails the test, so nothing goes unchecked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use bulkhead_domain::PlanName;
use bulkhead_fixtures::TestDb;

/// What is in the database and handled in SQL alone: a table, and its column or `*` for all of it.
const IN_SQL_ALONE: [(&str, &str); 27] = [
    ("gate.audit_chain", "*"),
    ("gate.audit_links", "*"),
    ("platform.audit_anchors", "*"),
    ("platform.audit_chains", "*"),
    ("platform.audit_links", "*"),
    ("platform.databases", "*"),
    ("platform.fleet_migrations", "*"),
    ("platform.fleet_target", "*"),
    ("platform.hourly_shares", "*"),
    ("platform.job_kinds", "*"),
    ("platform.migration_runs", "*"),
    ("platform.repeatables", "*"),
    ("platform.schema_pool", "*"),
    ("platform.tenant_audit_log", "*"),
    ("platform.tenant_migrations", "*"),
    ("platform.tenant_schema_target", "*"),
    ("platform.usage_batches", "*"),
    ("platform.usage_counts", "*"),
    ("platform.tenant_schema_versions", "applied"),
    // In which transaction an entry was written.
    ("platform.audit_log", "xid"),
    ("tenant.audit_log", "xid"),
    // How jobs are queued and leased.
    ("platform.jobs", "idempotency_key"),
    ("platform.jobs", "lane"),
    ("platform.jobs", "lease_token"),
    ("platform.jobs", "leased_until"),
    ("platform.jobs", "pushed_at"),
    ("platform.jobs", "recurs_every"),
];

/// A table or a view: its columns with their types as diesel writes them, and its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    columns: BTreeMap<String, String>,
    /// In the order of the key; empty for a view, which has none.
    key: Vec<String>,
}

/// By schema and name.
type Tables = BTreeMap<String, Table>;

/// The declarations of one file. Names without a schema are a tenant's.
fn declared(text: &str) -> Result<Tables> {
    let mut tables = Tables::new();
    let mut open: Option<(String, Table)> = None;
    for line in text.lines().map(str::trim) {
        match &mut open {
            None if line == "diesel::table! {" => open = Some(Default::default()),
            // What diesel is told about tables besides them checks nothing and describes nothing.
            None => ensure!(!line.contains("table!") && !line.contains("view!"), "not understood: {line}"),
            Some(_) if line.is_empty() || line.starts_with("//") => {}
            Some((name, table)) if name.is_empty() => {
                let (before, key) = line.split_once(" (").context(line.to_owned())?;
                let key = key.strip_suffix(") {").context(line.to_owned())?;
                let tenants_own = if before.contains('.') { "" } else { "tenant." };
                *name = format!("{tenants_own}{before}");
                table.key = key.split(", ").map(str::to_owned).collect();
            }
            Some((_, table)) if line.ends_with(',') => {
                let (column, sql_type) =
                    line.trim_end_matches(',').split_once(" -> ").context(line.to_owned())?;
                let again = table.columns.insert(column.to_owned(), sql_type.to_owned());
                ensure!(again.is_none(), "twice: {line}");
            }
            // The first brace closes the table, the second the macro.
            Some((name, table)) if line == "}" => {
                if let Some(finished) = tables.insert(name.clone(), table.clone()) {
                    ensure!(finished == *table, "twice: {name}");
                    open = None;
                }
            }
            Some(_) => bail!("not understood: {line}"),
        }
    }
    ensure!(open.is_none(), "not closed");
    Ok(tables)
}

/// The declarations of the crate.
fn declarations() -> Result<Tables> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema");
    let mut tables = Tables::new();
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let of_file = declared(&text).with_context(|| path.display().to_string())?;
        ensure!(of_file.len() == text.matches("diesel::table!").count(), "{}", path.display());
        tables.extend(of_file);
    }
    Ok(tables)
}

/// What the database has, in the same words. A view's column has no nullability of its own: it is null only if all the
/// columns of its name are, that the view is made from.
async fn found(db: &TestDb, tenant: &str) -> Result<Tables> {
    let sql = format!(
        "SET search_path = pg_catalog;
SELECT CASE nspname WHEN '{tenant}' THEN 'tenant' ELSE nspname END || '.' || relname, attname,
    format_type(atttypid, NULL),
    CASE relkind WHEN 'v' THEN (
        SELECT bool_or(source.attnotnull) FROM pg_rewrite rule
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = rule.oid
            AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
        JOIN pg_attribute source ON source.attrelid = d.refobjid AND source.attnum = d.refobjsubid
        WHERE rule.ev_class = c.oid AND source.attname = a.attname)
    ELSE attnotnull END,
    array_position(i.indkey::int2[], a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE nspname IN ('platform', 'gate', '{tenant}') AND relkind IN ('r', 'p', 'v', 'm')
    AND relname <> '__diesel_schema_migrations'
ORDER BY 1, 5"
    );
    let mut tables = Tables::new();
    for row in db.sql(&sql).await? {
        let [Some(name), Some(column), Some(sql_type), not_null, place] = row.as_slice() else {
            bail!("not understood: {row:?}")
        };
        let not_null = not_null.as_deref();
        let not_null =
            not_null.with_context(|| format!("{name}.{column}: not made from a column of its name"))?;
        let in_diesel = diesel_type(sql_type);
        let in_diesel = if not_null == "t" { in_diesel } else { format!("Nullable<{in_diesel}>") };
        let table = tables.entry(name.clone()).or_default();
        table.columns.insert(column.clone(), in_diesel);
        if place.is_some() {
            table.key.push(column.clone());
        }
    }
    Ok(tables)
}

/// The word that diesel has for a type of PostgreSQL's. Any other type stays what it is, and equals no declaration.
fn diesel_type(sql_type: &str) -> String {
    if let Some(element) = sql_type.strip_suffix("[]") {
        return format!("Array<{}>", diesel_type(element));
    }
    let word = match sql_type {
        "uuid" => "Uuid",
        "text" => "Text",
        "boolean" => "Bool",
        "smallint" => "Int2",
        "integer" => "Int4",
        "bigint" => "Int8",
        "double precision" => "Float8",
        "numeric" => "Numeric",
        "date" => "Date",
        "timestamp with time zone" => "Timestamptz",
        "json" => "Json",
        "jsonb" => "Jsonb",
        "bytea" => "Bytea",
        other => other,
    };
    word.to_owned()
}

fn in_sql_alone(table: &str, column: &str) -> bool {
    IN_SQL_ALONE.iter().any(|(of, one)| *of == table && (*one == "*" || *one == column))
}

/// One line for each difference.
fn differences(declared: &Tables, found: &Tables) -> Vec<String> {
    let mut lines = Vec::new();
    let mut differ = |what: String, declared: Option<&str>, found: Option<&str>| {
        if declared != found {
            let word = |one: Option<&str>| one.unwrap_or("nothing").to_owned();
            lines.push(format!("{what}: declared {}, in the database {}", word(declared), word(found)));
        }
    };
    let nothing = Table::default();
    for name in declared.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
        let (ours, theirs) = (declared.get(name).unwrap_or(&nothing), found.get(name).unwrap_or(&nothing));
        let columns: BTreeSet<_> = ours.columns.keys().chain(theirs.columns.keys()).collect();
        for column in columns {
            let (is, should) = (ours.columns.get(column), theirs.columns.get(column));
            if is.is_some() || !in_sql_alone(name, column) {
                differ(format!("{name}.{column}"), is.map(String::as_str), should.map(String::as_str));
            }
        }
        if !theirs.key.is_empty() && declared.contains_key(name) {
            differ(format!("key of {name}"), Some(&ours.key.join(", ")), Some(&theirs.key.join(", ")));
        }
    }
    lines
}

fn columns<'a>(tables: &'a mut Tables, table: &str) -> &'a mut BTreeMap<String, String> {
    &mut tables.entry(table.to_owned()).or_default().columns
}

async fn migrated() -> Result<Tables> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    found(&db, &tenant.schema()).await
}

#[tokio::test]
async fn every_declared_table_is_what_the_migrations_make() {
    let (declared, found) = (declarations().unwrap(), migrated().await.unwrap());
    for schema in ["platform.", "gate.", "tenant."] {
        assert!(declared.keys().any(|name| name.starts_with(schema)), "{schema}");
    }
    let differences = differences(&declared, &found);
    assert!(
        differences.is_empty(),
        "put it right in src/schema/, or name it in IN_SQL_ALONE:\n{}",
        differences.join("\n")
    );
    for (table, column) in IN_SQL_ALONE {
        let known = found.get(table).is_some_and(|table| column == "*" || table.columns.contains_key(column));
        assert!(known, "{table}.{column} is not in the database");
    }
}

#[tokio::test]
async fn no_difference_is_overlooked() {
    let found = migrated().await.unwrap();
    let declared = declarations().unwrap();
    let spoilt = |spoil: &dyn Fn(&mut Tables)| {
        let mut tables = declared.clone();
        spoil(&mut tables);
        differences(&tables, &found)
    };
    for (table, column) in [
        ("platform.tenants", "burst"),
        ("gate.jobs", "result"),
        ("gate.tenant_profile", "burst"),
        ("tenant.users", "email"),
        ("tenant.sessions", "previous_mac"),
    ] {
        assert_eq!(
            spoilt(&|tables| drop(columns(tables, table).remove(column))).len(),
            1,
            "{table}.{column}"
        );
        let other = |tables: &mut Tables| {
            let declared = columns(tables, table).get_mut(column).unwrap();
            *declared = match declared.strip_prefix("Nullable<") {
                Some(rest) => rest.trim_end_matches('>').to_owned(),
                None => format!("Nullable<{declared}>"),
            };
        };
        assert_eq!(spoilt(&other).len(), 1, "whether {table}.{column} may be null");
        let more = |tables: &mut Tables| drop(columns(tables, table).insert("more".into(), "Text".into()));
        assert_eq!(spoilt(&more).len(), 1, "{table}.more");
    }
    let smaller =
        |tables: &mut Tables| drop(columns(tables, "tenant.users").insert("version".into(), "Int4".into()));
    assert_eq!(spoilt(&smaller), ["tenant.users.version: declared Int4, in the database Int8"]);
    let rekeyed = |tables: &mut Tables| tables.get_mut("platform.usage_days").unwrap().key.reverse();
    assert_eq!(spoilt(&rekeyed).len(), 1);
    let undeclared = |tables: &mut Tables| drop(tables.remove("tenant.audit_log"));
    assert_eq!(spoilt(&undeclared).len(), declared["tenant.audit_log"].columns.len());
}

#[test]
fn a_declaration_that_is_not_understood_is_refused() {
    let table = "diesel::table! {\n    users (id, role) {\n        id -> Uuid,\n        role -> Nullable<Text>,\n    }\n}\n";
    let tables = declared(table).unwrap();
    assert_eq!(tables["tenant.users"].columns["role"], "Nullable<Text>");
    assert_eq!(tables["tenant.users"].key, ["id", "role"]);
    for (from, into) in [
        ("id -> Uuid,", "#[sql_name = \"key\"]\n        id -> Uuid,"),
        ("diesel::table! {", "table! {"),
        ("id -> Uuid,", "id -> Uuid, role -> Text"),
        ("    }\n}\n", "    }\n"),
    ] {
        assert!(declared(&table.replace(from, into)).is_err(), "{into}");
    }
}
