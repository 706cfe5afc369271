//! What goes together in an application, and what does not.

use bulkhead_api::{Access, Answer, ApiError, Group, ProblemDef, operations, utoipa};
use bulkhead_config::section::{Settings, Spec, Values};
use bulkhead_db::fleet::migrate::Migration;
use bulkhead_domain::{
    access::{BuiltIn, Permission, PermissionDef},
    metering::{MeterDef, MeterKind, MeterName},
};
use bulkhead_jobs::{Job, TenantJob};
use bulkhead_telemetry::metrics::own::Counter;
use bulkhead_worker::{Finished, JobCall, JobError, TenantJobHandler};
use serde::{Deserialize, Serialize};

use super::*;

const READ: Permission = Permission::new("read:invoices");
const PERMISSIONS: &[PermissionDef] =
    &[PermissionDef { permission: READ, held_by: &[BuiltIn::Owner, BuiltIn::Admin] }];
const METERS: &[MeterDef] = &[MeterDef::new(MeterName::new("invoices_sent"), "invoice", MeterKind::Count)];
const UP: &str = "CREATE TABLE invoices (id uuid PRIMARY KEY);\n\
                  GRANT SELECT, INSERT, UPDATE, DELETE ON invoices TO :\"tenant\";";
const MIGRATIONS: &[Migration] = &[Migration::new("2026-12-01-000001_invoices", UP)];
static SENT: Counter<0> = Counter::new("invoices_sent_total", "Invoices sent.", []);
static SENT_ALREADY: ProblemDef = ProblemDef::new("already-sent", 409, "It was sent.");
static SENT_TOO: ProblemDef = ProblemDef::new("already-sent", 410, "It was sent too.");

/// Declares a module with one operation.
macro_rules! served {
    ($module:ident, $path:literal, $handler:ident $(, $error:expr)?) => {
        mod $module {
            use super::*;

            operations! {
                $handler => Access::Tenant(READ), [$($error)?];
            }

            #[utoipa::path(get, path = $path, responses((status = 204, description = "None.")))]
            async fn $handler() -> Result<Answer, ApiError> {
                Ok(Answer::no_content())
            }

            pub(super) fn served() -> Group {
                group()
            }
        }
    };
}

served!(invoices, "/v1/invoices", list_invoices, SENT_ALREADY.error());
served!(bills, "/v1/bills", list_invoices);
served!(drafts, "/v1/invoices/drafts", list_drafts);
served!(reminders, "/v1/reminders", list_reminders, SENT_TOO.error());
served!(outside, "/invoices", list_outside);
served!(nameless, "/v1/{id}", list_nameless);
served!(people, "/v1/api-keys/notes", list_notes);

/// Declares the settings of an owner, a number of days.
macro_rules! set {
    ($name:ident, $owner:literal, $variable:literal) => {
        struct $name;
        impl Settings for $name {
            const OWNER: &'static str = $owner;
            const SPECS: &'static [Spec] =
                &[Spec::required($variable, "Days.", |_| Ok(())).default_text("1")];
            fn read(_: &Values<'_>) -> Result<Self, String> {
                Ok(Self)
            }
        }
    };
}

set!(InvoiceSettings, "invoices", "BULKHEAD_INVOICES_DAYS");

#[derive(Default, Serialize, Deserialize)]
struct Send {}
impl Job for Send {
    const KIND: &'static str = "invoices.send";
}
impl TenantJob for Send {}
impl TenantJobHandler for Send {
    async fn run(self, call: &JobCall) -> Result<Finished, JobError> {
        call.done(serde_json::Value::Null).await
    }
}

fn invoices() -> Extension {
    Extension::new("invoices")
}

fn billing() -> Extension {
    Extension::new("billing")
}

fn refusal(extensions: impl IntoIterator<Item = Extension>) -> String {
    let app = extensions.into_iter().fold(App::new(), App::extension);
    app.check().err().unwrap_or_default()
}

#[test]
fn the_core_stands_alone() {
    assert_eq!(refusal([]), "");
}

#[test]
fn an_extension_is_put_beside_the_core() {
    let whole = invoices()
        .tenant_migrations(MIGRATIONS)
        .permissions(PERMISSIONS)
        .meters(METERS)
        .ids(&["inv_"])
        .settings::<InvoiceSettings>()
        .metrics(&[&SENT])
        .job::<Send>()
        .health("mail", async |_| Ok(()))
        .operations(invoices::served())
        .operations(drafts::served());
    let parts = App::new().extension(whole).assemble().unwrap();
    assert_eq!(parts.sets.names().collect::<Vec<_>>(), ["core", "invoices"]);
    assert!(parts.meters.find("invoices_sent").is_some());
    assert!(parts.catalog.operations().any(|(path, ..)| path == "/v1/invoices"));
    assert_eq!(parts.list(), Some("/v1/invoices"));
}

#[test]
fn what_two_extensions_share_is_refused_in_one_line_that_names_both() {
    let read = || invoices().permissions(PERMISSIONS);
    for (refused, line) in [
        (refusal([invoices(), invoices()]), "two extensions are called invoices"),
        (
            refusal([read(), billing().permissions(PERMISSIONS)]),
            "the permission read:invoices is declared by invoices and by billing",
        ),
        (
            refusal([invoices().ids(&["inv_"]), billing().ids(&["bil_", "inv_"])]),
            "the id prefix inv_ is declared by invoices and by billing",
        ),
        (
            refusal([invoices().tenant_migrations(MIGRATIONS), billing().tenant_migrations(MIGRATIONS)]),
            "the table invoices is made by invoices and by billing",
        ),
        (
            refusal([read().operations(invoices::served()), billing().operations(invoices::served())]),
            "GET /v1/invoices is served by list_invoices of invoices and by list_invoices of billing",
        ),
        (
            refusal([read().operations(invoices::served()), billing().operations(bills::served())]),
            "the operation list_invoices is declared by invoices and by billing",
        ),
        (
            refusal([read().operations(invoices::served()), billing().operations(drafts::served())]),
            "the first segment of paths invoices is declared by invoices and by billing",
        ),
        (
            refusal([read().operations(invoices::served()), billing().operations(reminders::served())]),
            "the problem code already-sent means one thing in list_invoices of invoices and another in \
             list_reminders of billing",
        ),
        (
            refusal([
                invoices().health("mail", async |_| Ok(())),
                billing().health("mail", async |_| Ok(())),
            ]),
            "the health probe mail is declared by invoices and by billing",
        ),
        (
            refusal([invoices().settings::<InvoiceSettings>().settings::<InvoiceSettings>()]),
            "BULKHEAD_INVOICES_DAYS is declared by invoices and by invoices",
        ),
        (
            refusal([invoices().job::<Send>().job::<Send>()]),
            "the job invoices.send is declared by invoices and by invoices",
        ),
    ] {
        assert_eq!(refused, line);
    }
    let twice = refusal([invoices().metrics(&[&SENT, &SENT])]);
    assert!(twice.contains("invoices_sent_total") && twice.contains("invoices"), "{twice}");
}

#[test]
fn names_that_are_the_cores_are_refused() {
    const READ_JOBS: &[PermissionDef] =
        &[PermissionDef { permission: Permission::new("purge:jobs"), held_by: &[BuiltIn::Owner] }];
    const ROLES: &[Migration] = &[Migration::new("2026-12-01-000001_roles", "CREATE TABLE roles ();")];
    const USERS: &[Migration] = &[Migration::new("2026-12-01-000001_users", "CREATE TABLE users ();")];
    const OWN: &[Migration] =
        &[Migration::new("2026-12-01-000001_own", "CREATE TABLE bulkhead_own (id uuid);")];
    let read = || invoices().permissions(PERMISSIONS);
    for (refused, line) in [
        (refusal([Extension::new("core")]), "the extension 'core': that name is the core's"),
        (refusal([Extension::new("usage")]), "the extension 'usage': that name is the core's"),
        (refusal([invoices().ids(&["usr_"])]), "the id prefix usr_ of invoices is the core's"),
        (refusal([invoices().permissions(READ_JOBS)]), "the permission purge:jobs of invoices is the core's"),
        (refusal([invoices().tenant_migrations(ROLES)]), "the table roles of invoices is the core's"),
        (refusal([invoices().tenant_migrations(OWN)]), "the table bulkhead_own of invoices is the core's"),
        (refusal([invoices().tenant_migrations(USERS)]), "the table users is made by core and by invoices"),
        (
            refusal([read().operations(people::served())]),
            "the path /v1/api-keys/notes of invoices is the core's",
        ),
    ] {
        assert_eq!(refused, line);
    }
}

#[test]
fn names_of_another_form_are_refused() {
    set!(OfBilling, "billing", "BULKHEAD_BILLING_DAYS");
    let read = || invoices().permissions(PERMISSIONS);
    for name in ["", "a", "Invoices", "in-voices", "1nvoices", "x_invoices", &"a".repeat(32)] {
        let name = String::leak(name.to_owned());
        assert!(refusal([Extension::new(name)]).starts_with(&format!("the extension '{name}': ")), "{name}");
    }
    for (refused, line) in [
        (
            refusal([billing().meters(METERS)]),
            "the meter invoices_sent of billing: its name begins with billing_",
        ),
        (
            refusal([read().operations(outside::served())]),
            "the path /invoices of invoices: it begins with /v1/ and a name",
        ),
        (
            refusal([read().operations(nameless::served())]),
            "the path /v1/{id} of invoices: it begins with /v1/ and a name",
        ),
        (
            refusal([invoices().settings::<OfBilling>()]),
            "the section of settings billing of invoices: an extension has its own settings alone",
        ),
    ] {
        assert_eq!(refused, line);
    }
    assert!(refusal([billing().metrics(&[&SENT])]).contains("invoices_sent_total"));
    assert!(refusal([billing().job::<Send>()]).contains("the job 'invoices.send' of billing"));
}

#[test]
fn a_migration_that_leaves_its_schema_is_refused_with_its_file_and_line() {
    const OUTSIDE: &[Migration] = &[Migration::new(
        "2026-12-01-000001_outside",
        "CREATE TABLE invoices (id uuid PRIMARY KEY);\nGRANT SELECT ON invoices TO :\"tenant\";\nCOMMIT;",
    )];
    let refused = refusal([invoices().tenant_migrations(OUTSIDE)]);
    assert!(refused.starts_with("invoices/2026-12-01-000001_outside/up.sql, line 3: "), "{refused}");
}

#[test]
fn a_permission_that_is_needed_and_declared_nowhere_is_refused() {
    assert_eq!(
        refusal([invoices().operations(drafts::served())]),
        "operation list_drafts of invoices needs the permission read:invoices, which is declared nowhere"
    );
}
