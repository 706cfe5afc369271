//! The chain of an audit log: what becomes of it, and what is found out when somebody changes a log.

use anyhow::{Context as _, Result};
use bulkhead_db::{
    DbError, OwnerTx, TenantTx,
    audit::{Chain, Hash, anchor::Anchored},
    fleet::{
        audit_chain::{Due, advance, due, step},
        audit_verify::{Break, Verdict, Why, chains, verify},
        erase::{ACTION, erase_addresses, erase_changes},
    },
    tenant::audit::{AuditEntry, AuditFilter, Entry, list, record},
};
use bulkhead_domain::{Clock as _, PlanName, SystemClock, UserId};
use bulkhead_fixtures::{Login, TestDb, TestTenant};
use serde_json::{Value, json};

/// A tenant with a log, and what is done with its chain.
struct Log {
    db: TestDb,
    tenant: TestTenant,
    chain: Chain,
}

impl Log {
    async fn new() -> Result<Self> {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let chain = Chain::Tenant(tenant.id);
        Ok(Self { db, tenant, chain })
    }

    /// A log with ten entries, chained. The first of them says that the tenant was built.
    async fn chained() -> Result<Self> {
        let log = Self::new().await?;
        for number in 2..=10 {
            log.write(&format!("key_{number}"), json!({ "number": number })).await?;
        }
        assert_eq!(log.chain_up().await?, 10);
        Ok(log)
    }

    async fn write(&self, target: &str, changes: Value) -> Result<()> {
        self.write_as("usr_1", target, changes).await
    }

    async fn write_as(&self, actor: &str, target: &str, changes: Value) -> Result<()> {
        let entry = Entry {
            at: SystemClock.now(),
            actor,
            act: None,
            action: "create_api_key",
            target,
            request_id: "req_1",
            address: Some("192.0.2.1"),
            changes,
        };
        let write = async |tx: &mut TenantTx| record(tx, &entry).await;
        Ok(self.db.db()?.write::<_, DbError>(self.tenant.proven(), write).await?)
    }

    /// Chains all that there is; how many entries that were.
    async fn chain_up(&self) -> Result<usize> {
        let (owner, mut chained) = (self.db.owner()?, 0);
        loop {
            let step = async |tx: &mut OwnerTx| advance(tx, self.chain).await;
            let stepped = owner.write::<_, DbError>(step).await?;
            chained += stepped.chained;
            if !stepped.more {
                return Ok(chained);
            }
        }
    }

    async fn verify(&self, anchors: &[Anchored]) -> Result<Verdict> {
        verify(&self.db.owner()?, self.chain, anchors, |_, _| {}).await?.context("it is being purged")
    }

    /// Where it is broken first.
    async fn broken(&self) -> Result<Option<(Option<i64>, Why)>> {
        Ok(self.verify(&[]).await?.broken.map(|Break { sequence, why, .. }| (sequence, why)))
    }

    /// Runs SQL as the superuser, in which `§` is the tenant's log and `¶` its uuid.
    async fn attack(&self, sql: &str) -> Result<()> {
        let log = format!("{}.audit_log", self.tenant.schema());
        self.db.sql(&sql.replace('§', &log).replace('¶', &self.tenant.id.uuid().to_string())).await?;
        Ok(())
    }

    async fn anchor(&self) -> Result<Anchored> {
        let sql = format!(
            "SELECT sequence, encode(hash, 'hex') FROM platform.audit_chains WHERE chain = '{}'",
            self.tenant.id.uuid()
        );
        let row = self.db.sql(&sql).await?.concat();
        let [Some(sequence), Some(hash)] = row.as_slice() else { anyhow::bail!("{row:?}") };
        let hash = Hash::try_from(bulkhead_db::audit::unhex(hash).context("hex")?);
        let hash = hash.map_err(|bytes| anyhow::anyhow!("{bytes:?}"))?;
        Ok(Anchored { source: "yesterday".to_owned(), sequence: sequence.parse()?, hash })
    }

    async fn entries(&self) -> Result<Vec<AuditEntry>> {
        let page = bulkhead_db::PageRequest { after: None, limit: 100 };
        let read = async |tx: &mut TenantTx| list(tx, &AuditFilter::default(), page).await;
        Ok(self.db.db()?.read::<_, DbError>(self.tenant.proven(), read).await?.rows)
    }
}

#[tokio::test]
async fn a_log_that_nobody_has_touched_holds() -> Result<()> {
    let log = Log::chained().await?;
    let anchor = log.anchor().await?;
    let verdict = log.verify(std::slice::from_ref(&anchor)).await?;
    assert_eq!(verdict, Verdict { entries: 10, erased: 0, waiting: 0, broken: None });
    log.write("key_11", json!({})).await?;
    assert_eq!(log.verify(std::slice::from_ref(&anchor)).await?.waiting, 1);
    assert_eq!((log.chain_up().await?, log.chain_up().await?), (1, 0));
    assert_eq!(log.verify(&[anchor]).await?, Verdict { entries: 11, erased: 0, waiting: 0, broken: None });
    assert_eq!(chains(&log.db.owner()?).await?, [log.chain]);
    Ok(())
}

/// A transaction that began before others, and has its id and its time from then, commits behind them.
#[tokio::test]
async fn an_entry_that_commits_late_is_chained_behind_those_before_it() -> Result<()> {
    let log = Log::chained().await?;
    let slow = log.db.session(Login::Admin).await?;
    let insert = |target: &str| {
        format!(
            "INSERT INTO {}.audit_log (id, at, actor, action, target, request_id, changes) \
             VALUES ('{}', now(), 'usr_1', 'x', '{target}', 'req_1', '{{}}')",
            log.tenant.schema(),
            UserId::mint(SystemClock.now()).uuid()
        )
    };
    slow.batch_execute(&format!("BEGIN; {}", insert("slow"))).await?;
    for number in 0..5 {
        log.write(&format!("fast_{number}"), json!({})).await?;
    }
    assert_eq!(log.chain_up().await?, 5);
    log.write("fast_5", json!({})).await?;
    slow.batch_execute("COMMIT").await?;
    log.write("fast_6", json!({})).await?;
    assert_eq!(log.chain_up().await?, 3);
    let order = log
        .db
        .value(&format!(
            "SELECT string_agg(e.target, ' ' ORDER BY l.sequence) FROM platform.audit_links l \
             JOIN {}.audit_log e ON e.id = l.entry_id WHERE l.sequence > 10",
            log.tenant.schema()
        ))
        .await?;
    assert_eq!(order, "fast_0 fast_1 fast_2 fast_3 fast_4 slow fast_5 fast_6");
    assert_eq!(log.broken().await?, None);
    // Rolled back, it leaves no gap.
    slow.batch_execute(&format!("BEGIN; {}; ROLLBACK", insert("never"))).await?;
    log.write("fast_7", json!({})).await?;
    assert_eq!(log.chain_up().await?, 1);
    assert_eq!(log.verify(&[]).await?.entries, 19);
    Ok(())
}

/// Writers and chainers side by side: every entry is chained once, and no writer waits for a chainer.
#[tokio::test]
async fn many_write_while_many_chain() -> Result<()> {
    let log = Log::new().await?;
    let writers = futures::future::join_all((0..16).map(async |writer| {
        for number in 0..10 {
            log.write(&format!("{writer}_{number}"), json!({})).await?;
        }
        anyhow::Ok(())
    }));
    let chainers = futures::future::join_all((0..3).map(async |_| {
        for _ in 0..20 {
            log.chain_up().await?;
        }
        anyhow::Ok(())
    }));
    let (written, chained) = futures::join!(writers, chainers);
    written.into_iter().chain(chained).collect::<Result<()>>()?;
    log.chain_up().await?;
    assert_eq!(log.verify(&[]).await?, Verdict { entries: 161, erased: 0, waiting: 0, broken: None });
    // A chain whose row is held holds up no write.
    let held = log.db.session(Login::Admin).await?;
    held.batch_execute("BEGIN; SELECT FROM platform.audit_chains FOR UPDATE").await?;
    log.write("beside", json!({})).await
}

/// Each attack with the database's full rights, one at a time, and where it is found.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn what_is_changed_is_found_where_it_was_changed() -> Result<()> {
    let at = |number: i64| {
        format!("(SELECT entry_id FROM platform.audit_links WHERE chain = '¶' AND sequence = {number})")
    };
    let insert = "INSERT INTO § (id, at, actor, action, target, request_id, changes, xid)";
    let attacks = [
        (format!("UPDATE § SET actor = 'usr_2' WHERE id = {}", at(4)), Some(4), Why::Changed),
        (
            format!("UPDATE § SET at = at + interval '1 microsecond' WHERE id = {}", at(4)),
            Some(4),
            Why::Changed,
        ),
        (format!("UPDATE § SET changes = '{{\"number\": 5}}' WHERE id = {}", at(4)), Some(4), Why::Changed),
        (format!("UPDATE § SET changes = '{{}}' WHERE id = {}", at(4)), Some(4), Why::Changed),
        (format!("UPDATE § SET address = NULL WHERE id = {}", at(4)), Some(4), Why::Changed),
        (format!("UPDATE § SET act = 'opr_1' WHERE id = {}", at(4)), Some(4), Why::Changed),
        (format!("DELETE FROM § WHERE id = {}", at(5)), Some(5), Why::NoEntry),
        (format!("DELETE FROM § WHERE id = {}", at(10)), Some(10), Why::NoEntry),
        (
            "DELETE FROM platform.audit_links WHERE chain = '¶' AND sequence = 5".to_owned(),
            Some(5),
            Why::NoLink,
        ),
        (
            "DELETE FROM platform.audit_links WHERE chain = '¶' AND sequence = 10".to_owned(),
            Some(10),
            Why::NoLink,
        ),
        // Two entries change places.
        (
            format!(
                "UPDATE § SET target = CASE id WHEN {a} THEN (SELECT target FROM § WHERE id = {b}) \
                     ELSE (SELECT target FROM § WHERE id = {a}) END WHERE id IN ({a}, {b})",
                a = at(3),
                b = at(4)
            ),
            Some(3),
            Why::Changed,
        ),
        (
            "UPDATE platform.audit_links SET sequence = -sequence WHERE chain = '¶' AND sequence IN (3, 4); \
             UPDATE platform.audit_links SET sequence = 7 + sequence WHERE chain = '¶' AND sequence < 0"
                .to_owned(),
            Some(3),
            Why::Changed,
        ),
        // An entry with a time of long ago, which pretends that it was there before the chain, or comes later.
        (
            format!(
                "{insert} VALUES ('018f0000-0000-7000-8000-000000000000', '2026-01-01', 'a', 'a', 'a', 'a', '{{}}', NULL)"
            ),
            None,
            Why::NotChained(1),
        ),
        (
            format!(
                "{insert} VALUES ('018f0000-0000-7000-8000-000000000000', '2026-01-01', 'a', 'a', 'a', 'a', '{{}}', '3')"
            ),
            None,
            Why::NotChained(1),
        ),
        (
            format!(
                "{insert} VALUES ('018f0000-0000-7000-8000-000000000000', '2026-01-01', 'a', 'a', 'a', 'a', '{{}}', '999999999')"
            ),
            None,
            Why::NotChained(1),
        ),
        (
            "UPDATE platform.audit_chains SET hash = sha256('x') WHERE chain = '¶'".to_owned(),
            Some(10),
            Why::Head,
        ),
        // What was erased is said again, or taken away without leaving a commitment.
        (
            format!(
                "UPDATE platform.audit_links SET changes_salt = NULL WHERE chain = '¶' AND entry_id = {}",
                at(4)
            ),
            Some(4),
            Why::Changed,
        ),
        (
            format!(
                "UPDATE platform.audit_links SET changes_commitment = sha256('x'), changes_salt = NULL \
                     WHERE chain = '¶' AND entry_id = {}",
                at(4)
            ),
            Some(4),
            Why::Changed,
        ),
    ];
    let log = Log::chained().await?;
    let keep = "CREATE TABLE public.log AS TABLE §; CREATE TABLE public.links AS TABLE platform.audit_links; \
         CREATE TABLE public.chains AS TABLE platform.audit_chains";
    log.attack(keep).await?;
    let restore = "TRUNCATE platform.audit_links, platform.audit_chains, §; INSERT INTO § SELECT * FROM public.log; \
         INSERT INTO platform.audit_chains SELECT * FROM public.chains; INSERT INTO platform.audit_links SELECT * FROM public.links";
    for (sql, sequence, why) in attacks {
        log.attack(restore).await?;
        assert_eq!(log.broken().await?, None, "before {sql}");
        log.attack(&sql).await?;
        assert_eq!(log.broken().await?, Some((sequence, why)), "{sql}");
    }
    Ok(())
}

/// While a transaction is slow, the chain looks again at those that began after it. What is put in under the number of one of them,
/// which the chain has come by, is not chained for that, but found.
#[tokio::test]
async fn an_entry_that_pretends_to_have_been_seen_is_not_chained_later() -> Result<()> {
    let log = Log::chained().await?;
    let slow = log.db.session(Login::Admin).await?;
    slow.batch_execute("BEGIN; SELECT pg_current_xact_id()").await?;
    log.write("seen", json!({})).await?;
    assert_eq!(log.chain_up().await?, 1);
    let sql = "INSERT INTO § (id, at, actor, action, target, request_id, changes, xid) \
         SELECT gen_random_uuid(), at, actor, action, 'forged', request_id, changes, xid FROM § WHERE target = 'seen'";
    log.attack(sql).await?;
    assert_eq!(log.chain_up().await?, 0);
    assert_eq!(log.broken().await?, Some((None, Why::NotChained(1))));
    slow.batch_execute("ROLLBACK").await?;
    Ok(())
}

/// An entry of long ago that lets itself be chained is found by its neighbour.
#[tokio::test]
async fn an_entry_that_says_that_it_is_older_is_found() -> Result<()> {
    let log = Log::chained().await?;
    let sql = "INSERT INTO § (id, at, actor, action, target, request_id, changes) \
         VALUES ('018f0000-0000-7000-8000-000000000000', now() - interval '2 hours', 'a', 'a', 'a', 'a', '{}')";
    log.attack(sql).await?;
    assert_eq!(log.chain_up().await?, 1);
    assert_eq!(log.broken().await?, Some((Some(11), Why::OutOfOrder)));
    Ok(())
}

/// Whoever has all rights, and knows how the chain is made, can make it anew. The anchor tells.
#[tokio::test]
async fn a_chain_that_is_made_anew_is_found_by_its_anchor() -> Result<()> {
    let log = Log::chained().await?;
    let anchor = log.anchor().await?;
    let forge = "DELETE FROM platform.audit_links WHERE chain = '¶'; DELETE FROM platform.audit_chains WHERE chain = '¶'";
    log.attack(&format!("{forge}; UPDATE § SET actor = 'usr_2' WHERE target = 'key_4'")).await?;
    assert_eq!(log.chain_up().await?, 10);
    assert_eq!(log.broken().await?, None, "it holds by itself");
    let verdict = log.verify(std::slice::from_ref(&anchor)).await?;
    let broken = verdict.broken.context("the anchor tells nothing")?;
    assert_eq!((broken.sequence, broken.why), (Some(10), Why::Anchor("yesterday".to_owned())));
    // The newest entry is taken out of the log and the chain, and the head is put back.
    log.attack(&format!(
        "{forge}; UPDATE § SET actor = 'usr_1' WHERE target = 'key_4'; DELETE FROM § WHERE target = 'key_10'"
    ))
    .await?;
    log.chain_up().await?;
    let broken =
        log.verify(std::slice::from_ref(&anchor)).await?.broken.context("the anchor tells nothing")?;
    assert_eq!((broken.sequence, broken.why), (Some(10), Why::Shorter("yesterday".to_owned())));
    // All of it is gone.
    log.attack(&format!("{forge}; DELETE FROM §")).await?;
    let broken = log.verify(&[anchor]).await?.broken.context("the anchor tells nothing")?;
    assert_eq!(broken.why, Why::Shorter("yesterday".to_owned()));
    Ok(())
}

/// The tenant's role adds to the log, and has no other right to it, nor any to the chain.
#[tokio::test]
async fn a_tenant_can_only_add() -> Result<()> {
    let log = Log::chained().await?;
    let session = log.db.session(Login::Tenant).await?;
    let role = log.tenant.schema();
    for refused in [
        "UPDATE audit_log SET actor = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "INSERT INTO audit_log (id, at, actor, action, target, request_id, changes, xid) \
         VALUES (gen_random_uuid(), now(), 'a', 'a', 'a', 'a', '{}', '3')",
        "SELECT FROM platform.audit_links",
        "SELECT FROM platform.audit_chains",
        "UPDATE gate.audit_links SET hash = ''",
        "DELETE FROM gate.audit_links",
    ] {
        let sql = format!("BEGIN; SET LOCAL ROLE {role}; SET LOCAL search_path = {role}; {refused}");
        let error = session.batch_execute(&sql).await.expect_err(refused);
        let error = error.as_db_error().context("no answer")?.message().to_owned();
        assert!(error.contains("permission denied") || error.contains("cannot "), "{refused}: {error}");
        session.batch_execute("ROLLBACK").await?;
    }
    let own = format!(
        "BEGIN; SET LOCAL ROLE {role}; SET LOCAL search_path = {role}; SELECT count(*) FROM gate.audit_links"
    );
    let counted = session.simple_query(&own).await?;
    let count = counted.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    assert_eq!(count.as_deref(), Some("10"));
    Ok(())
}

/// What serves requests adds to the operators' log, reads all of it, and can change nothing of what the chain is made of.
#[tokio::test]
async fn the_platforms_role_can_only_add() -> Result<()> {
    let log = Log::chained().await?;
    let session = log.db.session(Login::Platform).await?;
    // Names of tables and whole statements cannot be bound, and all of them are written below.
    let begin = "BEGIN; SET LOCAL ROLE bulkhead_platform_rw; SET LOCAL search_path = platform";
    let insert = "INSERT INTO audit_log (id, at, actor, action, target, request_id, changes";
    let values = "VALUES (gen_random_uuid(), now(), 'a', 'a', 'a', 'a', '{}'";
    session.batch_execute(&format!("{begin}; {insert}) {values}); ROLLBACK")).await?;
    let mut refused = vec![
        format!("{insert}, xid) {values}, '3')"),
        "INSERT INTO audit_chains (chain) VALUES (gen_random_uuid())".to_owned(),
        "INSERT INTO audit_links SELECT * FROM audit_links".to_owned(),
        "INSERT INTO tenant_audit_log SELECT * FROM tenant_audit_log".to_owned(),
        "UPDATE audit_log SET actor = 'x'".to_owned(),
        "UPDATE audit_chains SET sequence = 0".to_owned(),
        "UPDATE audit_links SET hash = ''".to_owned(),
        "UPDATE audit_keys SET kid = ''".to_owned(),
        "UPDATE audit_anchors SET place = ''".to_owned(),
        "UPDATE tenant_audit_log SET actor = 'x'".to_owned(),
    ];
    for table in
        ["audit_log", "audit_chains", "audit_links", "audit_keys", "audit_anchors", "tenant_audit_log"]
    {
        session.batch_execute(&format!("{begin}; SELECT FROM {table}; ROLLBACK")).await?;
        refused.extend([format!("DELETE FROM {table}"), format!("TRUNCATE {table}")]);
    }
    for refused in refused {
        let error = session.batch_execute(&format!("{begin}; {refused}")).await.expect_err(&refused);
        let error = error.as_db_error().context("no answer")?.message().to_owned();
        assert!(error.contains("permission denied"), "{refused}: {error}");
        session.batch_execute("ROLLBACK").await?;
    }
    Ok(())
}

/// Another tenant sees nothing of the chain.
#[tokio::test]
async fn the_links_of_others_are_not_shown() -> Result<()> {
    let log = Log::chained().await?;
    let other = log.db.create_tenant("other", PlanName::FREE).await?;
    let (session, role) = (log.db.session(Login::Tenant).await?, other.schema());
    let sql = format!("BEGIN; SET LOCAL ROLE {role}; SELECT FROM gate.audit_links");
    let rows = session.simple_query(&sql).await?;
    assert!(!rows.iter().any(|row| matches!(row, tokio_postgres::SimpleQueryMessage::Row(_))));
    Ok(())
}

/// By their links, and before they have any.
#[tokio::test]
async fn entries_are_found_before_and_after_they_are_chained() -> Result<()> {
    let log = Log::chained().await?;
    for number in 11..=15 {
        log.write(&format!("key_{number}"), json!({})).await?;
    }
    let find = async |filter: AuditFilter<'_>, after, limit| {
        let page = bulkhead_db::PageRequest { after, limit };
        let read = async |tx: &mut TenantTx| list(tx, &filter, page).await;
        log.db.db().unwrap().read::<_, DbError>(log.tenant.proven(), read).await
    };
    let one = |target| AuditFilter { target: Some(target), ..AuditFilter::default() };
    for target in ["key_4", "key_14"] {
        let page = find(one(target), None, 10).await?;
        assert_eq!(page.rows.iter().map(|entry| entry.target.as_str()).collect::<Vec<_>>(), [target]);
    }
    assert_eq!(find(one("key_99"), None, 10).await?.rows, []);
    let theirs = AuditFilter {
        actor: Some("usr_1"),
        action: Some("create_api_key"),
        request_id: Some("req_1"),
        from: Some(SystemClock.now() - chrono::TimeDelta::hours(1)),
        to: Some(SystemClock.now() + chrono::TimeDelta::hours(1)),
        ..AuditFilter::default()
    };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = find(theirs, after, 4).await?;
        after = page.rows.last().map(|entry| entry.id.uuid());
        seen.extend(page.rows.into_iter().map(|entry| entry.target));
        if !page.more {
            break;
        }
    }
    let expected: Vec<String> = (2..=15).rev().map(|number| format!("key_{number}")).collect();
    assert_eq!(seen, expected);
    let never = AuditFilter { to: Some(SystemClock.now() - chrono::TimeDelta::hours(1)), ..theirs };
    assert_eq!(find(never, None, 10).await?.rows, []);
    let elsewhere = AuditFilter { request_id: Some("req_2"), ..AuditFilter::default() };
    assert_eq!(find(elsewhere, None, 10).await?.rows, []);
    // A log that was never chained.
    let other = log.db.create_tenant("other", PlanName::FREE).await?;
    let owner = other.owner_id.to_string();
    let read = async |tx: &mut TenantTx| {
        let filter = AuditFilter { target: Some(&owner), ..AuditFilter::default() };
        list(tx, &filter, bulkhead_db::PageRequest { after: None, limit: 9 }).await
    };
    assert_eq!(log.db.db()?.read::<_, DbError>(other.proven(), read).await?.rows.len(), 1);
    Ok(())
}

/// To the microsecond, although ids have milliseconds alone; of entries that are chained and of others.
#[tokio::test]
async fn a_stretch_of_time_has_what_is_in_it_and_nothing_else() -> Result<()> {
    let log = Log::chained().await?;
    log.write("key_11", json!({})).await?;
    let find = async |filter: AuditFilter<'_>| {
        let page = bulkhead_db::PageRequest { after: None, limit: 20 };
        let read = async |tx: &mut TenantTx| list(tx, &filter, page).await;
        Ok::<_, DbError>(log.db.db().unwrap().read::<_, DbError>(log.tenant.proven(), read).await?.rows)
    };
    let an_hour = chrono::TimeDelta::hours(1);
    for target in ["key_4", "key_11"] {
        let one = AuditFilter { target: Some(target), ..AuditFilter::default() };
        let at = find(one).await?.first().context("an entry")?.at;
        let next = at + chrono::TimeDelta::microseconds(1);
        for (from, to, found) in [(at, next, 1), (next, next + an_hour, 0), (at - an_hour, at, 0)] {
            for target in [Some(target), None] {
                let within = AuditFilter { target, from: Some(from), to: Some(to), ..AuditFilter::default() };
                let rows = find(within).await?;
                assert_eq!(rows.iter().filter(|entry| entry.at == at).count(), found, "{from} {to}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_person_is_erased_and_the_chain_holds() -> Result<()> {
    let log = Log::chained().await?;
    let (person, colleague) = (UserId::mint(SystemClock.now()), UserId::mint(SystemClock.now()));
    let (name, other) = (person.to_string(), colleague.to_string());
    log.write_as(&other, &name, json!({ "email": "grace@example.com", "role": "admin" })).await?;
    log.write_as(&name, "key_77", json!({ "name": "a key" })).await?;
    log.write_as(&other, "inv_1", json!({ "sent": { "to": "Grace@example.com" } })).await?;
    log.write_as(&other, "inv_2", json!({ "to": "not-grace@example.com" })).await?;
    log.write_as("anonymous", &name, json!({})).await?;
    assert_eq!(log.chain_up().await?, 5);
    // One that is not chained yet.
    log.write_as(&other, &name, json!({ "email": { "to": "grace.h@example.com" } })).await?;
    let anchor = log.anchor().await?;
    let owner = log.db.owner()?;
    let erase = async |tx: &mut OwnerTx| erase_changes(tx, log.tenant.id, person).await;
    assert_eq!(owner.write::<_, DbError>(erase).await?, 4);
    let erase = async |tx: &mut OwnerTx| erase_addresses(tx, log.tenant.id, person).await;
    assert_eq!(owner.write::<_, DbError>(erase).await?, 1);
    assert_eq!(owner.write::<_, DbError>(erase).await?, 0);
    assert_eq!(log.chain_up().await?, 1);
    let verdict = log.verify(&[anchor]).await?;
    assert_eq!(verdict, Verdict { entries: 16, erased: 4, waiting: 0, broken: None });
    let left: Vec<_> = log
        .entries()
        .await?
        .into_iter()
        .rev()
        .skip(10)
        .map(|entry| (entry.actor, entry.address, entry.changes))
        .collect();
    let here = Some("192.0.2.1".to_owned());
    assert_eq!(
        left,
        [
            (other.clone(), here.clone(), json!({})),
            (name, None, json!({ "name": "a key" })),
            (other.clone(), here.clone(), json!({})),
            (other.clone(), here.clone(), json!({ "to": "not-grace@example.com" })),
            ("anonymous".to_owned(), None, json!({})),
            (other, here, json!({})),
        ]
    );
    let dump = log.db.value("SELECT string_agg(l::text, ' ') FROM platform.audit_links l").await?;
    assert!(!dump.contains("grace"), "{dump}");
    // What was erased cannot be said again.
    log.attack("UPDATE § SET changes = '{\"email\": \"eve@example.com\"}' WHERE target = 'inv_1'").await?;
    assert_eq!(log.broken().await?, Some((Some(13), Why::Changed)));
    Ok(())
}

/// That somebody was erased, and by whom, is not erased with them.
#[tokio::test]
async fn who_has_asked_for_an_erasure_stays() -> Result<()> {
    let log = Log::chained().await?;
    let person = UserId::mint(SystemClock.now()).to_string();
    let entry = Entry {
        at: SystemClock.now(),
        actor: "usr_1",
        act: None,
        action: ACTION,
        target: &person,
        request_id: "req_1",
        address: Some("192.0.2.1"),
        changes: json!({ "operation": "job_1" }),
    };
    let write = async |tx: &mut TenantTx| record(tx, &entry).await;
    log.db.db()?.write::<_, DbError>(log.tenant.proven(), write).await?;
    assert_eq!(log.chain_up().await?, 1);
    let person: UserId = person.parse()?;
    let owner = log.db.owner()?;
    let erase = async |tx: &mut OwnerTx| erase_changes(tx, log.tenant.id, person).await;
    assert_eq!(owner.write::<_, DbError>(erase).await?, 0);
    let newest = log.entries().await?.into_iter().next().context("an entry")?;
    assert_eq!(
        (newest.address.as_deref(), newest.changes),
        (Some("192.0.2.1"), json!({ "operation": "job_1" }))
    );
    Ok(())
}

/// A step that has read an entry and not linked it yet would link what is not there any more: whoever erases waits for it.
#[tokio::test]
async fn a_person_is_erased_between_the_steps_of_the_chain() -> Result<()> {
    let log = Log::chained().await?;
    let person = UserId::mint(SystemClock.now());
    log.write_as(&person.to_string(), &person.to_string(), json!({ "email": "grace@example.com" })).await?;
    let owner = log.db.owner()?;
    let step = log.db.session(Login::Admin).await?;
    for erases_changes in [true, false] {
        step.batch_execute("BEGIN; SELECT FROM platform.audit_chains FOR UPDATE").await?;
        let erase = owner.write::<_, DbError>(async |tx: &mut OwnerTx| {
            if erases_changes {
                erase_changes(tx, log.tenant.id, person).await
            } else {
                erase_addresses(tx, log.tenant.id, person).await
            }
        });
        let mut erase = std::pin::pin!(erase);
        let waits = tokio::time::timeout(std::time::Duration::from_millis(500), &mut erase).await;
        assert!(waits.is_err(), "{waits:?}");
        step.batch_execute("COMMIT").await?;
        assert_eq!(erase.await?, 1);
    }
    assert_eq!(log.chain_up().await?, 1);
    assert_eq!(log.verify(&[]).await?, Verdict { entries: 11, erased: 0, waiting: 0, broken: None });
    Ok(())
}

/// A dump that is restored on another server brings the numbers of transactions along, which mean nothing there.
#[tokio::test]
async fn on_another_server_the_log_is_read_from_the_beginning() -> Result<()> {
    let log = Log::chained().await?;
    // What the other server has numbered lies in this one's future, and entries that it had not chained are among them.
    log.write("key_11", json!({})).await?;
    log.attack(
        "UPDATE § SET xid = (xid::text::bigint + 1000000)::text::xid8; \
         UPDATE platform.audit_chains SET server = 1, seen = '1000900:1000900:', target = NULL",
    )
    .await?;
    assert_eq!(log.verify(&[]).await?.waiting, 1, "it is not known yet what is late");
    log.write("key_12", json!({})).await?;
    assert_eq!(log.chain_up().await?, 2);
    // The numbers of the other server are forgotten: here they stand for transactions that are still to come.
    let foreign = format!(
        "SELECT count(*) FROM {}.audit_log WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())",
        log.tenant.schema()
    );
    assert_eq!(log.db.value(&foreign).await?, "0");
    log.write("key_13", json!({})).await?;
    assert_eq!(log.chain_up().await?, 1);
    assert_eq!(log.verify(&[]).await?, Verdict { entries: 13, erased: 0, waiting: 0, broken: None });
    Ok(())
}

/// More entries than one step takes, in the first reading and after it.
#[tokio::test]
async fn a_long_log_is_chained_in_steps() -> Result<()> {
    let log = Log::new().await?;
    let many = "INSERT INTO § (id, at, actor, action, target, request_id, changes) \
         SELECT ('0199' || lpad(to_hex(n + $), 8, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, now(), 'a', 'a', n::text, 'a', '{}' \
         FROM generate_series(1, 4100) n";
    log.attack(&many.replace('$', "0")).await?;
    let owner = log.db.owner()?;
    let mut steps = Vec::new();
    loop {
        let stepped =
            owner.write::<_, DbError>(async |tx: &mut OwnerTx| advance(tx, log.chain).await).await?;
        steps.push(stepped.chained);
        if !stepped.more {
            break;
        }
        // It does not disturb the reading.
        log.write("meanwhile", json!({})).await?;
    }
    assert_eq!(steps.len(), 3, "{steps:?}");
    log.attack(&many.replace('$', "5000")).await?;
    log.chain_up().await?;
    assert_eq!(log.verify(&[]).await?, Verdict { entries: 8_203, erased: 0, waiting: 0, broken: None });
    // Two transactions, the ids of one of which lie around those of the other: a step ends between transactions.
    let around = many.replace('$', "20000");
    log.attack(&around.replace(
        "generate_series(1, 4100) n",
        "generate_series(1, 3500) n WHERE n NOT BETWEEN 1001 AND 2500",
    ))
    .await?;
    log.attack(&around.replace("generate_series(1, 4100)", "generate_series(1001, 2500)")).await?;
    assert_eq!(log.chain_up().await?, 3_500);
    assert_eq!(log.verify(&[]).await?, Verdict { entries: 11_703, erased: 0, waiting: 0, broken: None });
    Ok(())
}

/// What PostgreSQL has counted tells which logs to look at; a log without news is left alone.
#[tokio::test]
async fn only_logs_with_news_are_due() -> Result<()> {
    let log = Log::chained().await?;
    let owner = log.db.owner()?;
    let find = async || {
        let all = owner.write::<_, DbError>(async |tx: &mut OwnerTx| due(tx, 100).await).await?;
        Ok::<Option<Due>, DbError>(all.into_iter().find(|due| due.chain == log.chain))
    };
    // A backend tells of what it has counted within a minute, or when it ends.
    for _ in 0..100 {
        let Some(due) = find().await? else { break };
        owner.write::<_, DbError>(async |tx: &mut OwnerTx| step(tx, due).await).await?;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(find().await?, None);
    log.attack("UPDATE platform.audit_chains SET target = seen").await?;
    assert!(find().await?.is_some(), "it is not chained to the end");
    log.attack("UPDATE platform.audit_chains SET target = NULL").await?;
    assert_eq!(find().await?, None);
    log.attack("INSERT INTO § SELECT gen_random_uuid(), now(), 'a', 'a', 'a', 'a', '{}'").await?;
    for _ in 0..100 {
        if find().await?.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let news = find().await?.context("it has news")?;
    owner.write::<_, DbError>(async |tx: &mut OwnerTx| step(tx, news).await).await?;
    assert_eq!(find().await?, None);
    log.attack("UPDATE platform.audit_chains SET looked_at = now() - interval '2 hours'").await?;
    assert!(find().await?.is_some(), "it is looked at once an hour");
    Ok(())
}
