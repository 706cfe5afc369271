//! What PostgreSQL's catalogue says of schemas, as SQL: for tests that compare schemas, this kit's and those of the product.

/// SQL that lists all that makes up these schemas: relations, columns, constraints, indexes, functions, comments, owners and
/// grants, one fact a row. The path is `pg_catalog` afterwards.
pub fn facts(schemas: &[&str]) -> String {
    let list = schemas.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    // The path makes the catalogue's functions qualify every name.
    format!("SET search_path = pg_catalog;\n{}", include_str!("catalog/facts.sql").replace(":schemas", &list))
}

/// SQL that lists the foreign keys without an index. Another condition on `pg_constraint k` can be added to it.
pub const KEYS_WITHOUT_INDEX: &str = include_str!("catalog/keys_without_index.sql");
