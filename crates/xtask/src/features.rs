//! Checks that the product does not have what the manifest says it does not have.
//!
//! A feature is on when any crate of the build turns it on: `default-features = false` in our manifest does not keep a
//! library of another crate from bringing them all. So what cargo has resolved is looked at, over the whole workspace, which
//! is never less than what is in the product.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use cargo_metadata::Metadata;

/// Libraries whose features are no more than these.
const FEATURES: [(&str, &[&str]); 2] = [("actix-web", &["macros", "unicode"]), ("actix-http", &["default"])];

/// What the product is not built from, and what would have brought it.
const ABSENT: [(&str, &str); 7] = [
    ("h2", "HTTP/2"),
    ("brotli", "compression"),
    ("zstd", "compression"),
    ("cookie", "cookies"),
    ("pq-sys", "libpq"),
    ("native-tls", "second TLS"),
    ("openssl-sys", "second TLS"),
];

/// One line for each feature that is on against the list, and for each library that is linked against it.
pub(crate) fn violations(metadata: &Metadata, product: &BTreeSet<String>) -> anyhow::Result<Vec<String>> {
    let resolve = metadata.resolve.as_ref().context("cargo did not resolve the dependencies")?;
    let names: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (&package.id, &package.name)).collect();
    let mut found = Vec::new();
    for (name, allowed) in FEATURES {
        let node =
            resolve.nodes.iter().find(|node| names.get(&node.id).is_some_and(|one| one.as_str() == name));
        let node =
            node.with_context(|| format!("{name} is not among the dependencies: take it off the list"))?;
        let on: Vec<&str> = node.features.iter().map(|feature| feature.as_str()).collect();
        found.extend(too_many(name, &on, allowed));
    }
    found.extend(linked(product));
    Ok(found)
}

fn too_many(name: &str, on: &[&str], allowed: &[&str]) -> Vec<String> {
    let more = on.iter().filter(|feature| !allowed.contains(feature));
    let line = |feature| {
        format!(
            "{name}: the feature {feature} is on; `cargo tree -e features -i {name}` shows who turns it on"
        )
    };
    more.map(line).collect()
}

fn linked(product: &BTreeSet<String>) -> Vec<String> {
    let present = ABSENT.iter().filter(|(name, _)| product.contains(*name));
    let line = |(name, what): &(&str, &str)| {
        format!(
            "the product has no {what}, but links {name}: `cargo tree -p bulkhead-cli -e normal -i {name}` shows how"
        )
    };
    present.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_is_not_on_the_list_is_reported() {
        assert_eq!(too_many("actix-web", &["macros"], &["macros"]), [""; 0]);
        let found = too_many("actix-web", &["cookies", "http2", "macros"], &["macros"]);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("actix-web: the feature cookies is on"));
    }

    #[test]
    fn what_the_product_does_without_is_not_linked() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(linked(&set(&["actix-web", "cookie-factory", "http"])), [""; 0]);
        assert_eq!(linked(&set(&["actix-web", "h2", "cookie"])).len(), 2);
    }
}
