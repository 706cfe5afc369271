//! `bulkhead audit`: verifies audit logs and files that were exported from them, and writes the heads of their chains elsewhere.
//!
//! Refuses to change a log. A chain that does not hold is told with the first place at which it does not, and the command fails.

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use bulkhead_auth::{
    Signature, Signed,
    audit_key::{audit_jwks, is_signed},
};
use bulkhead_config::{AnchorPlace, PLATFORM_URL, PROVISIONER_URL, Settings, TENANT_URL};
use bulkhead_db::{
    Db, Owner, Shares,
    audit::{
        Chain,
        anchor::{self, Anchored},
        hex,
        slice::{self, Seal},
    },
    fleet::audit_verify::{chains, verify},
};
use bulkhead_domain::{Clock as _, SystemClock};
use bulkhead_telemetry::Metrics;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::{app::Parts, commands::migrate, out, wiring};

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Compute every hash of every chain again, and say where the first one is that does not hold.
    Verify {
        /// Only the log of this tenant, by its id, or `platform`.
        #[arg(long)]
        chain: Option<Chain>,
        /// Where anchors are that the chains must agree with: a directory with the files, or one of them. Without it they are taken
        /// from `BULKHEAD_AUDIT_ANCHOR`, if that is set and a directory.
        #[arg(long, value_name = "PATH")]
        anchors: Option<PathBuf>,
    },
    /// Verify a file that was exported, without a database and without settings.
    VerifyExport {
        /// The file.
        file: PathBuf,
        /// The public keys, as `audit keys` and /.well-known/audit-keys.json give them.
        #[arg(long, value_name = "FILE")]
        keys: PathBuf,
    },
    /// Write the heads of all chains to `BULKHEAD_AUDIT_ANCHOR` now. A worker does it once a day.
    Anchor,
    /// Print the public keys that verify exports and anchors.
    Keys,
}

/// Verifies an exported file.
pub(crate) fn verify_export(file: &Path, keys: &Path) -> Result<()> {
    let text = fs::read_to_string(keys).with_context(|| keys.display().to_string())?;
    let keys: Value = serde_json::from_str(&text).with_context(|| keys.display().to_string())?;
    let opened = File::open(file).with_context(|| file.display().to_string())?;
    let verified = slice::verify(BufReader::new(opened), |digest, seal| {
        is_signed(&keys, Signed::Export, digest, &signature(seal))
    });
    let verified = verified.with_context(|| file.display().to_string())?;
    let slice::Verified { heading, head, entries } = verified;
    match heading.first.zip(heading.last) {
        Some((first, last)) => out::line(format_args!(
            "{}: {entries} entries hold, number {first} to {last}, up to the hash {}",
            heading.chain,
            hex(&head)
        ))?,
        None => out::line(format_args!("{}: signed, and without entries", heading.chain))?,
    }
    Ok(())
}

fn signature(seal: &Seal) -> Signature {
    Signature { kid: seal.kid.clone(), text: seal.signature.clone() }
}

/// Runs one of the others.
pub(crate) async fn run(command: &AuditCommand, parts: &Parts, settings: &Settings) -> Result<()> {
    let database = &settings.database;
    let logins = [(TENANT_URL, database.require_tenant()?), (PLATFORM_URL, database.require_platform()?)];
    wiring::try_logins(database, &logins).await?;
    let db = wiring::databases(settings, &Metrics::new()?, Shares::Whole)?();
    migrate::require_migrated(&db, &parts.sets).await?;
    match command {
        AuditCommand::Verify { chain, anchors } => {
            wiring::try_logins(database, &[(PROVISIONER_URL, database.require_provisioner()?)]).await?;
            let owner = wiring::owner(settings, 1)?;
            let anchors = match (anchors, &settings.worker.audit_anchor) {
                (Some(path), _) | (None, Some(AnchorPlace::Directory(path))) => {
                    read_anchors(path, &audit_jwks(&db).await?)?
                }
                (None, Some(AnchorPlace::Bucket { name, prefix })) => bail!(
                    "the anchors are in a bucket: get them, and say where they are\n    \
                     aws s3 sync s3://{name}/{prefix} anchors --exclude '*' --include '*audit-anchor-*.ndjson'\n    \
                     bulkhead audit verify --anchors anchors"
                ),
                (None, None) => Vec::new(),
            };
            verify_all(&owner, *chain, &anchors).await
        }
        AuditCommand::Anchor => write_anchor(settings, &db).await,
        AuditCommand::Keys => Ok(out::line(serde_json::to_string_pretty(&audit_jwks(&db).await?)?)?),
        AuditCommand::VerifyExport { file, keys } => verify_export(file, keys),
    }
}

async fn write_anchor(settings: &Settings, db: &Db) -> Result<()> {
    let keyring = wiring::keyring(settings, db).await?;
    let anchoring = wiring::anchoring(settings, &keyring)?.context("BULKHEAD_AUDIT_ANCHOR is not set")?;
    let written = anchoring.write(db, SystemClock.now()).await?;
    Ok(out::line(format_args!("{}: the heads of {} chains", written.place, written.chains))?)
}

/// All anchors of a directory, or of a file. A file that is not signed by one of our keys is no anchor, and an error: somebody has
/// changed it.
fn read_anchors(path: &Path, keys: &Value) -> Result<Vec<(Chain, Anchored)>> {
    let files = if path.is_dir() {
        let entries = fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut files = Vec::new();
        for entry in entries {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "ndjson") {
                files.push(file);
            }
        }
        files.sort();
        files
    } else {
        vec![path.to_owned()]
    };
    let mut found = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let opened = File::open(&file).with_context(|| name.clone())?;
        let read = anchor::read(BufReader::new(opened), &name, |digest, seal| {
            is_signed(keys, Signed::Anchor, digest, &signature(seal))
        });
        found.extend(read.with_context(|| name.clone())?);
    }
    Ok(found)
}

async fn verify_all(owner: &Owner, only: Option<Chain>, anchors: &[(Chain, Anchored)]) -> Result<()> {
    let mut all = chains(owner).await?;
    // A chain that is gone altogether is found by its anchor.
    all.extend(anchors.iter().map(|(chain, _)| *chain));
    all.sort_unstable();
    all.dedup();
    if let Some(only) = only {
        all.retain(|chain| *chain == only);
        if all.is_empty() {
            bail!("{only} has no chain: there is no such log, or nothing in it was chained yet");
        }
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} entries of {msg}, {per_sec}, {eta} left");
    let progress = ProgressBar::new(0);
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut broken = 0;
    for chain in all {
        let of_chain: Vec<Anchored> =
            anchors.iter().filter(|(of, _)| *of == chain).map(|(_, anchor)| anchor.clone()).collect();
        progress.set_message(chain.to_string());
        let tell = |done: i64, of: i64| {
            progress.set_length(u64::try_from(of).unwrap_or(0));
            progress.set_position(u64::try_from(done).unwrap_or(0));
        };
        let verdict = verify(owner, chain, &of_chain, tell).await?;
        progress.suspend(|| match verdict {
            None => out::line(format_args!("{chain}: is being purged just now; try again later")),
            Some(verdict) => match &verdict.broken {
                Some(at) => {
                    broken += 1;
                    out::line(format_args!("{chain}: BROKEN behind {} entries. {at}", verdict.entries))
                }
                None => out::line(format_args!(
                    "{chain}: {} entries hold, {} of them with erased parts, {} anchors agree, {} wait to be chained",
                    verdict.entries,
                    verdict.erased,
                    of_chain.len(),
                    verdict.waiting
                )),
            },
        })?;
    }
    progress.finish_and_clear();
    if broken > 0 {
        bail!("{broken} audit logs are not what they were");
    }
    Ok(())
}
