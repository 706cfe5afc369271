//! What goes together in a registry, and what does not.

use serde::{Deserialize, Serialize};

use super::*;
use crate::JobRun;

/// Declares a tenant's job that does nothing.
macro_rules! lone {
    ($name:ident, $kind:literal, $secs:literal $(, $constant:ident)?) => {
        #[derive(Default, Serialize, Deserialize)]
        struct $name {}

        impl Job for $name {
            const KIND: &'static str = $kind;
            $(const $constant: bool = true;)?
        }

        impl TenantJob for $name {}

        impl TenantJobHandler for $name {
            const TIMEOUT: Duration = Duration::from_secs($secs);

            async fn run(self, call: &JobCall) -> Result<Finished, JobError> {
                call.done(Value::Null).await
            }
        }

        impl JobHandler for $name {
            async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
                run.done(Value::Null).await
            }
        }
    };
}

lone!(Send, "invoices.send", 60);
lone!(SendFax, "invoices.send_fax", 60, RETIRED);

fn refused(owners: Vec<Jobs>) -> String {
    Registry::new(owners).unwrap_err().to_string()
}

#[test]
fn the_cores_jobs_go_together_with_an_extensions() {
    let invoices = Jobs::of("invoices").each_tenant::<Send>(Every::Hour).with_tenant::<SendFax>();
    let registry = Registry::new([Jobs::core(), invoices]).unwrap();
    let kinds = registry.kinds();
    let by_tenants = |name| kinds.iter().find(|kind| kind.name == name).map(|kind| kind.by_tenants);
    assert_eq!(by_tenants("invoices.send"), Some(true));
    assert_eq!(by_tenants("invoices.send_fax"), Some(false), "it is retired");
    assert_eq!((by_tenants("purge_expired"), by_tenants("keep_house")), (Some(true), Some(false)));
    assert_eq!(by_tenants("erase_user"), Some(true), "tenants ask for it, and it reaches more than a tenant");
    assert_eq!(kinds.len(), 18);
    // A retired job that waits is still run.
    assert!(registry.find("invoices.send_fax").is_some());
    assert_eq!(
        registry.each_tenant().iter().map(|each| each.kind).collect::<Vec<_>>(),
        ["purge_expired", "invoices.send"]
    );
    assert_eq!(registry.recurring().len(), 9);
}

#[test]
fn a_kind_that_is_declared_twice_is_refused_with_both_owners() {
    lone!(Dotted, "a.b", 60);
    let a = || Jobs::of("a").with_tenant::<Dotted>();
    assert_eq!(refused(vec![a(), a()]), "the job a.b is declared by a and by a");
    let twice = Jobs::of("invoices").with_tenant::<Send>().each_tenant::<Send>(Every::Day);
    assert_eq!(
        refused(vec![Jobs::core(), twice]),
        "the job invoices.send is declared by invoices and by invoices"
    );
}

#[test]
fn a_kind_that_is_not_named_after_its_owner_is_refused() {
    lone!(Bare, "send", 60);
    lone!(Empty, "shop.", 60);
    lone!(Upper, "shop.Send", 60);
    lone!(Deep, "shop.a.b", 60);
    lone!(Long, "shop.a2345678901234567890123456789012345678901", 60);
    for jobs in [
        Jobs::of("shop").with_tenant::<Send>(),
        Jobs::of("shop").with_tenant::<Bare>(),
        Jobs::of("shop").with_tenant::<Empty>(),
        Jobs::of("shop").with_tenant::<Upper>(),
        Jobs::of("shop").with_tenant::<Deep>(),
        Jobs::of("shop").with_tenant::<Long>(),
        CoreJobs::new().each_tenant::<Send>(Every::Day).into(),
    ] {
        let message = refused(vec![jobs]);
        assert!(message.contains("a name is"), "{message}");
    }
    assert_eq!(
        refused(vec![Jobs::of("shop").with_tenant::<Send>()]),
        "the job 'invoices.send' of shop: a name is shop. and then 1 to 40 of a-z, 0-9 and _, which begin with a letter"
    );
}

#[test]
fn times_that_would_not_end_or_never_rest_are_refused() {
    lone!(Endless, "shop.endless", 3_601);
    lone!(Instant, "shop.instant", 0);
    for jobs in [Jobs::of("shop").with_tenant::<Endless>(), Jobs::of("shop").with_tenant::<Instant>()] {
        assert!(refused(vec![jobs]).ends_with("its time-out is between a second and an hour"));
    }
    lone!(Restless, "look_again", 60);
    let restless = CoreJobs::new().recurring::<Restless>(Duration::from_millis(999));
    assert_eq!(
        refused(vec![restless.into()]),
        "the job look_again of core: the pause between two runs is at least a second"
    );
}

#[test]
fn a_period_is_an_hour_or_a_day_of_utc() {
    let at = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    assert_eq!(
        (Every::Hour.key(at), Every::Day.key(at)),
        ("2023-11-14T22".to_owned(), "2023-11-14".to_owned())
    );
}
