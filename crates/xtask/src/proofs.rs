//! Checks who may say that something is proven.
//!
//! `Proven::on` turns any tenant's id into the right to open that tenant's data, and `Authority` is the right to open the
//! platform's own tables. The compiler cannot tell a credential that was verified from one that was not, so the files that
//! may say so are listed here, by what they may say. Tests are not looked at: they prove nothing to the product.

use std::{fs, path::Path};

use anyhow::Context;

/// A kind of proof, and the files of `crates/` that may make it. A path that ends with a slash stands for everything below it.
type Kind = (&'static str, &'static [&'static str]);

/// What begins a proof, and its kinds.
const MAY_SAY: [(&str, &[Kind]); 2] = [
    (
        "Proven::on(",
        &[
            ("Evidence::AccessToken", &["auth/src/jwt.rs"]),
            ("Evidence::ApiKey", &["auth/src/authenticator.rs"]),
            ("Evidence::Password", &["auth/src/login.rs"]),
            ("Evidence::RefreshToken", &["auth/src/login.rs"]),
            ("Evidence::JobRow", &["worker/src/context.rs"]),
            // The second is inside the unit tests of that file.
            (
                "Evidence::Fixture",
                &["cli/src/dev/seed.rs", "auth/src/principal.rs", "testkit/src/", "bench/src/"],
            ),
        ],
    ),
    (
        "Authority::",
        &[
            ("operator(", &["api/src/extract/caller.rs"]),
            ("credentials(", &["auth/src/authenticator.rs", "auth/src/directory.rs", "auth/src/login.rs"]),
            (
                "machinery(",
                &[
                    "api/src/background.rs",
                    "cli/src/operator.rs",
                    "cli/src/dev/seed.rs",
                    "usage/src/",
                    "worker/src/",
                    "testkit/src/",
                    "bench/src/",
                ],
            ),
        ],
    ),
];

/// One line for each proof that a file may not make.
pub(crate) fn violations(root: &Path) -> anyhow::Result<Vec<String>> {
    let crates = root.join("crates");
    let mut found = Vec::new();
    for file in crate::sources::below(&crates)? {
        let path = file.strip_prefix(&crates)?.to_string_lossy().into_owned();
        // This file names what it looks for.
        if path.contains("/tests/") || path.starts_with("xtask/") {
            continue;
        }
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
        found.extend(judge(&path, &text));
    }
    Ok(found)
}

fn judge(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (begin, kinds) in MAY_SAY {
        for (at, _) in text.match_indices(begin) {
            let (before, said) = text.split_at(at + begin.len());
            let line = before.lines().count();
            let said = said.trim_start();
            match kinds.iter().find(|(kind, _)| said.starts_with(kind)) {
                Some((_, allowed)) if allowed.iter().any(|one| covers(one, path)) => {}
                Some((kind, _)) => found.push(format!(
                    "crates/{path}:{line}: may not say {begin}{kind}; who may is listed in {}",
                    file!()
                )),
                None => found.push(format!(
                    "crates/{path}:{line}: {begin} must name what it rests on right there, so that it can be checked"
                )),
            }
        }
    }
    found
}

fn covers(allowed: &str, path: &str) -> bool {
    if allowed.ends_with('/') { path.starts_with(allowed) } else { path == allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_made_where_the_list_says_and_nowhere_else() {
        let proof = "let t = Proven::on(\n    Evidence::ApiKey, id);";
        assert!(judge("auth/src/authenticator.rs", proof).is_empty());
        assert_eq!(judge("api/src/routes/me/get.rs", proof).len(), 1);
        assert_eq!(judge("worker/src/context.rs", "Proven::on(Evidence::ApiKey, id)").len(), 1);
    }

    #[test]
    fn evidence_cannot_hide_behind_a_name() {
        assert_eq!(judge("auth/src/jwt.rs", "Proven::on(why, id)").len(), 1);
    }

    #[test]
    fn the_right_to_the_platforms_tables_is_guarded_alike() {
        assert!(judge("worker/src/jobs/keep_house.rs", "Authority::machinery()").is_empty());
        assert_eq!(judge("api/src/routes/users/get.rs", "Authority::machinery()").len(), 1);
        assert_eq!(judge("api/src/routes/users/get.rs", "Authority::operator(proof)").len(), 1);
    }
}
