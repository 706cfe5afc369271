//! Erases a person from a tenant's audit log.
//!
//! What is erased: from where the person has called; what was changed about them; and what was changed about others where it has
//! one of their e-mail addresses in it (an invitation, say). What stays is that somebody did something at a time, under an id that
//! leads to nobody any more. The chain keeps commitments in place of the values, and the salts go, so it still holds and tells
//! nothing. Refuses to touch anything but the log: the person's row and sessions are the caller's.
//!
//! What was written before and is not overwritten yet (dead rows, write-ahead log, backups, exports) is beyond a statement.

use bulkhead_domain::{TenantId, UserId};
use diesel::{
    QueryableByName,
    sql_types::{Array, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    audit::Chain,
    engine::{error::DbResult, scope::OwnerTx},
};

/// Entries whose address one step erases.
const BATCH: usize = 2_000;

/// The action of the entry that says who was erased, by whom; nothing of it is erased.
pub const ACTION: &str = "erase_user";

#[derive(QueryableByName)]
struct Picked {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Erases what was changed about a person, and the addresses of those who have tried to log in as them; of how many entries.
/// This is the first step: it finds the person's e-mail addresses in what it then erases.
pub async fn erase_changes(tx: &mut OwnerTx, tenant: TenantId, person: UserId) -> DbResult<usize> {
    let chain = Chain::Tenant(tenant);
    hold(tx, chain).await?;
    let log = chain.log();
    let about = diesel::sql_query(format!(
        "WITH addresses AS ( \
             SELECT DISTINCT lower(found #>> '{{}}') AS address FROM {log} e, \
                 jsonb_path_query(e.changes, '$.** ? (@.type() == \"string\")') found \
             WHERE e.target = $1 AND strpos(found #>> '{{}}', '@') > 1) \
         SELECT e.id FROM {log} e WHERE e.action <> $2 AND e.changes <> '{{}}' AND (e.target = $1 \
             OR EXISTS (SELECT FROM addresses a WHERE strpos(lower(e.changes::text), '\"' || a.address || '\"') > 0))"
    ));
    let about = about.bind::<Text, _>(person.to_string()).bind::<Text, _>(ACTION);
    let about: Vec<Picked> = tx.tx.load(about).await?;
    let by_strangers = diesel::sql_query(format!(
        "SELECT e.id FROM {log} e WHERE e.target = $1 AND e.actor = 'anonymous' AND e.address IS NOT NULL"
    ));
    let by_strangers: Vec<Picked> = tx.tx.load(by_strangers.bind::<Text, _>(person.to_string())).await?;
    let erased = about.len() + by_strangers.len();
    erase(tx, chain, &about, CHANGES).await?;
    erase(tx, chain, &by_strangers, ADDRESS).await?;
    Ok(erased)
}

/// Erases from where the person has called, in some of the entries; in how many. Call it until it returns 0.
pub async fn erase_addresses(tx: &mut OwnerTx, tenant: TenantId, person: UserId) -> DbResult<usize> {
    let chain = Chain::Tenant(tenant);
    hold(tx, chain).await?;
    let by_them = diesel::sql_query(format!(
        "SELECT e.id FROM {} e WHERE e.actor = $1 AND e.address IS NOT NULL LIMIT {BATCH}",
        chain.log()
    ));
    let by_them: Vec<Picked> = tx.tx.load(by_them.bind::<Text, _>(person.to_string())).await?;
    erase(tx, chain, &by_them, ADDRESS).await?;
    Ok(by_them.len())
}

/// A field that is erased: its column in the log, what is left there, its name in the links.
type Field = (&'static str, &'static str, &'static str);
const ADDRESS: Field = ("e.address", "address = NULL", "address");
const CHANGES: Field = ("e.changes::text", "changes = '{}'", "changes");

/// No entry is chained meanwhile: what is linked was read before, what is not will be read as it is then.
async fn hold(tx: &mut OwnerTx, chain: Chain) -> DbResult<()> {
    let hold = format!("SELECT FROM audit_chains WHERE chain = '{}' FOR UPDATE", chain.uuid());
    tx.tx.batch(&hold).await
}

/// Puts the commitment in place of the salt where the entry is chained, and takes the value out of the log.
async fn erase(tx: &mut OwnerTx, chain: Chain, entries: &[Picked], field: Field) -> DbResult<()> {
    let ids: Vec<Uuid> = entries.iter().map(|entry| entry.id).collect();
    commit(tx, chain, &ids, field).await?;
    let (_, nothing, _) = field;
    let take = diesel::sql_query(format!("UPDATE {} SET {nothing} WHERE id = ANY ($1)", chain.log()));
    tx.tx.execute(take.bind::<Array<SqlUuid>, _>(ids)).await?;
    Ok(())
}

/// Leaves of the personal data of entries what the chain needs, for a log that is about to be dropped.
pub(super) async fn commit_all(tx: &mut OwnerTx, chain: Chain, entries: &[Uuid]) -> DbResult<()> {
    commit(tx, chain, entries, ADDRESS).await?;
    commit(tx, chain, entries, CHANGES).await
}

async fn commit(tx: &mut OwnerTx, chain: Chain, entries: &[Uuid], (value, _, name): Field) -> DbResult<()> {
    let log = chain.log();
    let commit = diesel::sql_query(format!(
        "UPDATE audit_links l SET {name}_commitment = sha256(l.{name}_salt || convert_to({value}, 'UTF8')), \
             {name}_salt = NULL \
         FROM {log} e WHERE l.chain = $1 AND l.entry_id = ANY ($2) AND e.id = l.entry_id AND l.{name}_salt IS NOT NULL"
    ));
    tx.tx.execute(commit.bind::<SqlUuid, _>(chain.uuid()).bind::<Array<SqlUuid>, _>(entries)).await?;
    Ok(())
}
