//! Repository chores: the dependency graph, the OpenAPI document.
fn main() {}
