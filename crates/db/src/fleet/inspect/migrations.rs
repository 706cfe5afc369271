//! Whether every tenant has what it is to have, by the name of each migration, and how that stands to this program.

use diesel::{QueryableByName, sql_types::Text};

use super::{Finding, Level, Offender, judge};
use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::OwnerTx,
    },
    fleet::migrate::{
        Correction, Ids, Ledger, Sets, Step, corrections, pending_platform,
        repeatable::{self, Texts},
    },
};

/// How many migrations are named of one tenant.
const NAMED_EACH: usize = 3;

#[derive(QueryableByName)]
struct Behind {
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = Text)]
    applied: String,
}

/// What is said of a database that lacks tables of the platform; `None` when it has them all. Nothing else can be asked before.
pub(super) async fn lacks_tables(tx: &mut OwnerTx) -> DbResult<Option<Finding>> {
    let pending = pending_platform(tx).await?;
    let named = names(pending.iter().map(|name| (*name).to_owned()));
    let detail =
        format!("the platform lacks {named}: run `migrate`; what else there is to see is seen afterwards");
    Ok((!pending.is_empty()).then_some(Finding { check: "migrations", level: Level::Broken, detail }))
}

/// Compares the ledger with this program's sets, and each tenant with the ledger.
pub(super) async fn findings(tx: &mut OwnerTx, sets: &Sets) -> DbResult<Vec<Finding>> {
    let ledger = Ledger::read(tx).await?;
    let query = diesel::sql_query(
        "SELECT slug, applied::text AS applied FROM fleet_target, tenant_schema_versions JOIN tenants ON id = tenant_id \
         WHERE NOT applied @> wanted ORDER BY slug",
    );
    let behind: Vec<Behind> = tx.tx.load(query).await?;
    let mut offenders = Vec::new();
    for Behind { slug, applied } in behind {
        let applied: Ids = applied.parse()?;
        let lacking = names(ledger.lacking(&applied).map(Step::title));
        offenders.push(Offender { offender: format!("{slug} lacks {lacking}") });
    }
    let well = "every tenant has every migration that tenants are built with";
    let tenants = judge("tenant migrations", Level::Broken, well, offenders);
    let changes = corrections(tx, &ledger, sets).await;
    let gate = judge_gate(repeatable::compare(tx).await?);
    Ok(vec![judge_program(&ledger, sets, changes)?, gate, tenants, judge_removed(&ledger, sets)])
}

/// The functions and views of gate are those of one program: of this one, or of a newer one that has migrated.
fn judge_gate(texts: Texts) -> Finding {
    let found = |level, detail| Finding { check: "gate texts", level, detail };
    match texts {
        Texts::Newer => {
            let what =
                "the functions and views of gate are a newer program's, and this one leaves them as they are";
            found(Level::Ok, what.to_owned())
        }
        Texts::Pending(pending) if pending.is_empty() => {
            found(Level::Ok, "the functions and views of gate are those of this program".to_owned())
        }
        Texts::Pending(pending) => {
            let named = names(pending.into_iter());
            found(Level::Broken, format!("gate has not this program's {named}: run `migrate`"))
        }
    }
}

fn judge_program(ledger: &Ledger, sets: &Sets, changes: DbResult<Vec<Correction>>) -> DbResult<Finding> {
    let found = |level, detail| Ok(Finding { check: "migrations", level, detail });
    let Some(_target) = &ledger.target else {
        let what = "no tenant can be built: `migrate` has never come to its end";
        return found(Level::Broken, what.to_owned());
    };
    let corrections = match changes {
        Err(changed @ DbError::MigrationChanged { .. }) => return found(Level::Broken, changed.to_string()),
        changes => changes?,
    };
    if !corrections.is_empty() {
        let wrong = names(corrections.iter().map(Correction::title));
        return found(Level::Broken, format!("{wrong} was put right since it was met: run `migrate`"));
    }
    let missing: Vec<String> = ledger.missing(sets).collect();
    if !missing.is_empty() {
        let what = format!("tenants are built without {}: run `migrate`", names(missing.into_iter()));
        return found(Level::Broken, what);
    }
    let own: Vec<&str> = sets.names().collect();
    let newer = ledger.foreign(sets).filter(|step| own.contains(&step.set_name.as_str()));
    let newer: Vec<String> = newer.map(Step::title).collect();
    let what = if newer.is_empty() {
        "tenants are built with all migrations of this program".to_owned()
    } else {
        format!("tenants are built also with {}, which a newer program has left", names(newer.into_iter()))
    };
    found(Level::Ok, what)
}

/// Sets that no longer belong to the program. Tenants keep their tables, and new ones get them, too.
fn judge_removed(ledger: &Ledger, sets: &Sets) -> Finding {
    let own: Vec<&str> = sets.names().collect();
    let mut removed: Vec<&str> = ledger.foreign(sets).map(|step| step.set_name.as_str()).collect();
    removed.retain(|set| !own.contains(set));
    removed.sort_unstable();
    removed.dedup();
    let offender = |set: &str| Offender {
        offender: format!(
            "the set {set} is not part of this program; tenants have its tables, and new ones get them until it is forgotten"
        ),
    };
    let well = "every set that tenants have belongs to this program";
    judge("removed sets", Level::Warning, well, removed.into_iter().map(offender).collect())
}

/// The first of them, and how many more there are.
fn names(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    let named = all.iter().take(NAMED_EACH).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED_EACH) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
