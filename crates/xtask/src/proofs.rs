//! Checks which files may say that something is proven.
//!
//! `Proven::on` turns any tenant's id into the right to open that tenant's data, and `Authority` is the right to open the
//! platform's own tables. The compiler cannot tell a credential that was verified from one that was not, so the files that
//! may say so are listed here, by what they may say. Tests are not looked at: they prove nothing to the product.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Context;

use crate::sources::without_comments;

/// A kind of proof, and the files of `crates/` that may make it. A path that ends with a slash stands for everything below it.
type Kind = (&'static str, &'static [&'static str]);

/// What begins a proof, and its kinds.
const MAY_SAY: [(&str, &[Kind]); 2] = [
    (
        "Proven::on(",
        &[
            ("Evidence::AccessToken", &["auth/src/jwt.rs"]),
            ("Evidence::ApiKey", &["auth/src/key_check.rs"]),
            ("Evidence::Password", &["auth/src/login.rs"]),
            ("Evidence::FailedLogin", &["auth/src/failed_login.rs"]),
            ("Evidence::RefreshToken", &["auth/src/refresh.rs"]),
            ("Evidence::OneTimeToken", &["auth/src/newcomers.rs", "auth/src/own_password.rs"]),
            ("Evidence::Stranger", &["auth/src/newcomers.rs"]),
            ("Evidence::LoginChallenge", &["auth/src/second_factor/second_step.rs"]),
            ("Evidence::Impersonation", &["auth/src/impersonation.rs"]),
            ("Evidence::OperatorKey", &["auth/src/operator_secrets.rs"]),
            ("Evidence::Federation", &["auth/src/federation/bearer.rs", "auth/src/federation/login.rs"]),
            ("Evidence::JobRow", &["worker/src/context.rs"]),
            // The second is inside the unit tests of that file.
            (
                "Evidence::Fixture",
                &[
                    "bulkhead/src/commands/dev/seed.rs",
                    "auth/src/principal.rs",
                    "fixtures/src/",
                    "bench/src/",
                ],
            ),
        ],
    ),
    (
        "Authority::",
        &[
            ("operator(", &["api/src/http/call/operator.rs"]),
            (
                "credentials(",
                &[
                    "auth/src/authenticator.rs",
                    "auth/src/directory.rs",
                    "auth/src/federation/bearer.rs",
                    "auth/src/login.rs",
                    "auth/src/failed_login.rs",
                    // Reads revocations for all requests.
                    "auth/src/node_view.rs",
                    // Beside the log-in: operators' sessions.
                    "auth/src/refresh.rs",
                    // Beside the log-in: operators' keys and the roles that the platform has defined, log-ins in two steps.
                    "auth/src/operator_secrets.rs",
                    "auth/src/second_factor/second_step.rs",
                ],
            ),
            (
                "logins(",
                &[
                    "auth/src/directory.rs",
                    "auth/src/federation/login.rs",
                    "auth/src/login.rs",
                    "auth/src/newcomers.rs",
                ],
            ),
            (
                "machinery(",
                &[
                    "api/src/http/background.rs",
                    "auth/src/audit_key.rs",
                    "auth/src/root_key.rs",
                    "bulkhead/src/commands/keys.rs",
                    "bulkhead/src/commands/migrate.rs",
                    "bulkhead/src/commands/operator.rs",
                    "bulkhead/src/commands/dev/seed.rs",
                    "usage/src/",
                    "worker/src/",
                    "fixtures/src/",
                    "bench/src/",
                ],
            ),
        ],
    ),
];

/// Ways to say the same without its name; with them nothing could be checked.
const DISGUISES: [&str; 9] = [
    "Proven as ",
    "Proven::<",
    "Proven>::",
    ">::on(",
    "Evidence as ",
    "Evidence::{",
    "Evidence::*",
    "Authority as ",
    "Authority>::",
];
/// What may have no other name either.
const NO_ALIAS: [&str; 3] = ["= Proven", "= Evidence", "= Authority"];

/// One line for each proof that a file makes without leave, and for each leave that no file uses.
pub(crate) fn violations(root: &Path) -> anyhow::Result<Vec<String>> {
    let crates = root.join("crates");
    let (mut found, mut taken) = (Vec::new(), BTreeSet::new());
    for file in crate::sources::below(&crates)? {
        let path = file.strip_prefix(&crates)?.to_string_lossy().into_owned();
        // This file names what it looks for.
        if path.contains("/tests/") || path.starts_with("xtask/") {
            continue;
        }
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
        let code = without_comments(&text);
        found.extend(judge(&path, &code, &mut taken));
        found.extend(disguises(&path, &code));
        found.extend(misplaced_evidence(&path, &code));
    }
    found.extend(needless(&taken));
    Ok(found)
}

/// A leave: what begins the proof, its kind, and the path that may make it.
type Leave = (&'static str, &'static str, &'static str);

fn judge(path: &str, text: &str, taken: &mut BTreeSet<Leave>) -> Vec<String> {
    let mut found = Vec::new();
    for (begin, kinds) in MAY_SAY {
        for (at, _) in text.match_indices(begin.trim_end_matches('(')) {
            let (before, said) = text.split_at(at);
            // The end of another name, like that of an authority for certificates.
            if before.ends_with(char::is_alphanumeric) {
                continue;
            }
            let line = before.lines().count().max(1);
            let said = said.strip_prefix(begin).map(str::trim_start);
            match kinds.iter().find(|(kind, _)| said.is_some_and(|said| said.starts_with(kind))) {
                Some((kind, allowed)) => match allowed.iter().find(|one| covers(one, path)) {
                    Some(one) => drop(taken.insert((begin, kind, one))),
                    None => found.push(format!(
                        "crates/{path}:{line}: may not say {begin}{kind}; who may is listed in {}",
                        file!()
                    )),
                },
                None => found.push(format!(
                    "crates/{path}:{line}: {begin} must name what it rests on right there, so that it can be checked"
                )),
            }
        }
    }
    found
}

fn disguises(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let is_alias = line.split_whitespace().any(|word| word == "type");
        let aliases = NO_ALIAS.iter().filter(|_| is_alias);
        let said = DISGUISES.iter().chain(aliases).find(|disguise| line.contains(**disguise)).copied();
        if let Some(disguise) = said.or_else(|| is_qualified(line).then_some("Proven<…>::")) {
            found.push(format!("crates/{path}:{number}: `{disguise}` hides who proves something"));
        }
    }
    found
}

/// Whether something of `Proven` is named by its type with what it holds: `<Proven<TenantId>>::on`.
fn is_qualified(line: &str) -> bool {
    line.match_indices("Proven<").any(|(at, before)| {
        let mut open = 1_usize;
        let behind = line[at + before.len()..].trim_start_matches(|c| {
            match c {
                '<' => open += 1,
                '>' => open = open.saturating_sub(1),
                _ => return open > 0,
            }
            true
        });
        behind.starts_with("::")
    })
}

/// Evidence stands only where the proof that rests on it does: nothing else can be done with it.
fn misplaced_evidence(path: &str, text: &str) -> Vec<String> {
    let kinds = MAY_SAY.iter().flat_map(|(_, kinds)| kinds.iter());
    let misplaced = kinds.filter(|(kind, allowed)| {
        kind.starts_with("Evidence::") && text.contains(kind) && !allowed.iter().any(|one| covers(one, path))
    });
    misplaced
        .map(|(kind, _)| format!("crates/{path}: may not name {kind}; who may is listed in {}", file!()))
        .collect()
}

/// Leaves that no file uses any more.
fn needless(taken: &BTreeSet<Leave>) -> Vec<String> {
    let mut found = Vec::new();
    for (begin, kinds) in MAY_SAY {
        for (kind, allowed) in kinds {
            for path in allowed.iter().filter(|path| !taken.contains(&(begin, *kind, **path))) {
                found.push(format!(
                    "{}: crates/{path} does not say {begin}{kind}; take it off the list",
                    file!()
                ));
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

    fn judged(path: &str, text: &str) -> usize {
        let code = without_comments(text);
        let judged = judge(path, &code, &mut BTreeSet::new());
        judged.len() + disguises(path, &code).len() + misplaced_evidence(path, &code).len()
    }

    #[test]
    fn a_proof_is_made_where_the_list_says_and_nowhere_else() {
        let proof = "let t = Proven::on(\n    Evidence::ApiKey, id);";
        assert_eq!(judged("auth/src/key_check.rs", proof), 0);
        assert!(judged("api/src/routes/session/me/get.rs", proof) > 0);
        assert!(judged("worker/src/context.rs", "Proven::on(Evidence::ApiKey, id)") > 0);
        assert_eq!(judged("worker/src/context.rs", "Proven::on(Evidence::JobRow, id)"), 0);
        assert_eq!(
            judged("api/src/routes/session/me/get.rs", "/// See [`Proven::on`] and Evidence::ApiKey."),
            0
        );
    }

    #[test]
    fn evidence_cannot_hide_behind_a_name() {
        for hidden in [
            "Proven::on(why, id)",
            "ids.map(Proven::on)",
            "Proven::<TenantId>::on(Evidence::AccessToken, id)",
            "use bulkhead_domain::Proven as P;",
            "type P = Proven<TenantId>;",
            "use Evidence::*;",
            "use bulkhead_domain::Evidence::{self, ApiKey};",
            "type E = Evidence;",
            "let e = Evidence::ApiKey;",
            "<Proven<TenantId>>::on(caller.tenant.evidence(), other)",
            "ids.map(<Proven<_>>::on)",
            "<bulkhead_domain::Proven<Vec<TenantId>>>::on(why, ids)",
            "<Proven>::on(why, id)",
            "Proven<TenantId>::on(why, id)",
            "<P<TenantId>>::on(why, id)",
        ] {
            assert!(judged("auth/src/jwt.rs", hidden) > 0, "{hidden}");
        }
        for plain in
            ["id: Proven<OperatorId>, x = Provenance", "fn ids() -> Vec<Proven<TenantId>> { Vec::new() }"]
        {
            assert_eq!(judged("auth/src/jwt.rs", plain), 0, "{plain}");
        }
    }

    #[test]
    fn the_right_to_the_platforms_tables_is_guarded_alike() {
        assert_eq!(judged("worker/src/jobs/housekeeping.rs", "Authority::machinery()"), 0);
        for said in [
            "Authority::machinery()",
            "Authority::operator(proof)",
            "proof.map(Authority::operator)",
            "use bulkhead_db::Authority as A;",
            "type A = Authority;",
            "<bulkhead_db::Authority>::machinery()",
            "proof.map(<Authority>::operator)",
            "<Authority as Sized>::machinery()",
        ] {
            assert!(judged("api/src/routes/tenant/users/get.rs", said) > 0, "{said}");
        }
    }

    #[test]
    fn a_leave_that_is_not_taken_is_taken_back() {
        let all: usize = MAY_SAY.iter().flat_map(|(_, kinds)| *kinds).map(|(_, allowed)| allowed.len()).sum();
        let mut taken = BTreeSet::new();
        judge("worker/src/context.rs", "Proven::on(Evidence::JobRow, id)", &mut taken);
        assert_eq!(needless(&taken).len(), all - 1);
    }
}
