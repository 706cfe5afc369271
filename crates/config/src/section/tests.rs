//! Sections as an application's start meets them.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    ConfigError, Needed, Password, Settings as Core, names_set, table,
    value::{name, number, seconds},
};

crate::settings! {
    /// What invoices can be set to.
    #[derive(Debug)]
    struct Invoices of "invoices" {
        /// Days until a reminder is sent, 1 to 90.
        reminder_days: u16 = 14 in 1..=90;
        /// Bytes of a document at most.
        document_bytes: u64 = 1_048_576 in 1_024..=67_108_864;
        /// How long the mail server may take, in seconds.
        mail_secs: Duration = "10" by seconds(1..=60);
        /// The mail server's password.
        mail_password: Password = secret by str::parse;
        /// The sender's name.
        sender: String = required by name;
        /// Who gets a copy; unset, no copy is sent.
        copy_to: Option<String> = optional by name;
    }
}

const PASSWORD: (&str, &str) = ("BULKHEAD_INVOICES_MAIL_PASSWORD", "hunter2hunter2");
const SENDER: (&str, &str) = ("BULKHEAD_INVOICES_SENDER", "acme");

fn invoices() -> Sections {
    Sections::new(vec![Section::of::<Invoices>()]).unwrap()
}

fn load(vars: &[(&str, &str)]) -> Result<Core, ConfigError> {
    let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
    Core::from_vars(vars, &invoices())
}

fn refusal(name: &str, value: &str) -> String {
    load(&[(name, value)]).expect_err("the value was accepted").to_string()
}

#[test]
fn a_section_is_read_with_its_defaults_and_handed_out_by_its_type() {
    let settings = load(&[PASSWORD, SENDER, ("BULKHEAD_INVOICES_REMINDER_DAYS", "30")]).unwrap();
    let invoices = settings.extensions.get::<Invoices>().unwrap();
    assert_eq!((invoices.reminder_days, invoices.document_bytes), (30, 1_048_576));
    assert_eq!((invoices.mail_secs, invoices.sender.as_str()), (Duration::from_secs(10), "acme"));
    assert_eq!((invoices.mail_password.expose(), &invoices.copy_to), ("hunter2hunter2", &None));
    assert!(settings.require(&[Needed::Extensions]).is_ok());
    // The core's settings stand beside them as ever.
    assert_eq!(settings.http.port, 8080);
}

#[test]
fn a_misspelt_setting_of_a_section_is_refused_with_the_nearest_one() {
    assert_eq!(
        refusal("BULKHEAD_INVOICES_REMINDER_DAY", "30"),
        "BULKHEAD_INVOICES_REMINDER_DAY: no such setting; did you mean BULKHEAD_INVOICES_REMINDER_DAYS?"
    );
    // An application without the section has no such settings at all.
    let vars = [("BULKHEAD_INVOICES_REMINDER_DAYS".into(), "30".into())];
    let alone = Core::from_vars(vars, &Sections::default());
    assert!(matches!(alone, Err(ConfigError::Unknown { .. })), "{alone:?}");
}

#[test]
fn a_value_out_of_range_is_refused_with_the_setting_and_the_range() {
    assert_eq!(
        refusal("BULKHEAD_INVOICES_REMINDER_DAYS", "91"),
        "BULKHEAD_INVOICES_REMINDER_DAYS: invalid value '91': not a number between 1 and 90"
    );
    assert_eq!(
        refusal("BULKHEAD_INVOICES_MAIL_SECS", "0"),
        "BULKHEAD_INVOICES_MAIL_SECS: invalid value '0': not a number of seconds between 1 and 60"
    );
    assert_eq!(
        refusal("BULKHEAD_INVOICES_COPY_TO", ""),
        "BULKHEAD_INVOICES_COPY_TO: invalid value '': empty; unset it, or give it a value"
    );
    let long = refusal("BULKHEAD_INVOICES_MAIL_PASSWORD", &"hunter2".repeat(1_000));
    assert_eq!(long, "BULKHEAD_INVOICES_MAIL_PASSWORD: invalid value: longer than 4096 bytes");
}

#[test]
fn what_is_missing_is_named_together_with_what_the_core_misses() {
    let settings = load(&[]).unwrap();
    assert!(settings.extensions.get::<Invoices>().is_none());
    let missing = settings.require(&[Needed::MasterKey, Needed::Extensions]).unwrap_err().to_string();
    assert_eq!(
        missing,
        "BULKHEAD_MASTER_KEY, BULKHEAD_INVOICES_MAIL_PASSWORD, BULKHEAD_INVOICES_SENDER: not set, and this command \
         needs them"
    );
    // A command that does not run the application's code does without.
    assert!(settings.require(&[]).is_ok());
}

#[test]
fn no_secret_of_a_section_is_shown() {
    let settings = load(&[PASSWORD, SENDER]).unwrap();
    let shown = format!("{settings:?} {:?}", settings.extensions.get::<Invoices>());
    assert!(!shown.contains("hunter2"), "{shown}");
    let refused = refusal("BULKHEAD_INVOICES_MAIL_PASSWORD", &format!("hunter2{}", "x".repeat(1_000)));
    assert!(!refused.contains("hunter2"), "{refused}");
}

#[test]
fn a_refusal_that_quotes_a_secret_is_not_told() {
    struct Mail(String);
    impl Settings for Mail {
        const OWNER: &'static str = "courier";
        const SPECS: &'static [Spec] = &[
            Spec::required("BULKHEAD_COURIER_TOKEN", " A token of the mail server.", |text| {
                if text.starts_with("tok_") { Ok(()) } else { Err(format!("{text} is no token")) }
            })
            .secret(),
            Spec::required("BULKHEAD_COURIER_SENDER", " The sender's name.", |_| Ok(())).default_text("acme"),
        ];

        fn read(values: &Values<'_>) -> Result<Self, String> {
            let token = values.get("BULKHEAD_COURIER_TOKEN", |text| match text {
                "tok_malformed" => Err(format!("{text} is malformed")),
                _ => Ok(text.to_owned()),
            })?;
            let sender = values.get("BULKHEAD_COURIER_SENDER", |text| Ok::<_, String>(text.to_owned()))?;
            match sender.as_str() {
                "quoter" => Err(format!("BULKHEAD_COURIER_TOKEN {token} is not the sender's")),
                "other" => Err("BULKHEAD_COURIER_TOKEN is not the sender's".to_owned()),
                _ => Ok(Self(token)),
            }
        }
    }
    let load = |token: &str, sender: &str| {
        let vars = [("BULKHEAD_COURIER_TOKEN", token), ("BULKHEAD_COURIER_SENDER", sender)];
        let vars = vars.map(|(name, value)| (name.into(), value.into()));
        let settings = Core::from_vars(vars, &Sections::new(vec![Section::of::<Mail>()]).unwrap());
        settings.map(|settings| settings.extensions.get::<Mail>().unwrap().0.clone())
    };
    let refusal = |token, sender| load(token, sender).unwrap_err().to_string();
    assert_eq!(load("tok_1", "acme").unwrap(), "tok_1");
    assert_eq!(
        refusal("hunter2", "acme"),
        "BULKHEAD_COURIER_TOKEN: invalid value: refused. It has to be: A token of the mail server."
    );
    assert_eq!(
        refusal("tok_malformed", "acme"),
        "the settings of courier: BULKHEAD_COURIER_TOKEN: refused. It has to be: A token of the mail server."
    );
    assert_eq!(
        refusal("tok_1", "quoter"),
        "the settings of courier: refused, for a reason that is not shown because it quotes BULKHEAD_COURIER_TOKEN"
    );
    assert_eq!(
        refusal("tok_1", "other"),
        "the settings of courier: BULKHEAD_COURIER_TOKEN is not the sender's"
    );
}

#[test]
fn the_table_lists_the_settings_of_sections_after_the_cores() {
    let whole = table(&invoices());
    let own = whole.strip_prefix(&table(&Sections::default())).unwrap();
    assert_eq!(
        own,
        "| `BULKHEAD_INVOICES_REMINDER_DAYS` | `14` | Days until a reminder is sent, 1 to 90. |\n\
         | `BULKHEAD_INVOICES_DOCUMENT_BYTES` | `1048576` | Bytes of a document at most. |\n\
         | `BULKHEAD_INVOICES_MAIL_SECS` | `10` | How long the mail server may take, in seconds. |\n\
         | `BULKHEAD_INVOICES_MAIL_PASSWORD` | — | The mail server's password. |\n\
         | `BULKHEAD_INVOICES_SENDER` | — | The sender's name. |\n\
         | `BULKHEAD_INVOICES_COPY_TO` | — | Who gets a copy; unset, no copy is sent. |\n"
    );
    // Who tests may be somebody at AWS.
    assert!(names_set(&invoices()).iter().all(|name| name.starts_with("AWS_")));
}

/// Declares a section of one setting.
macro_rules! lone {
    ($name:ident, $owner:literal, $spec:expr) => {
        struct $name;
        impl Settings for $name {
            const OWNER: &'static str = $owner;
            const SPECS: &'static [Spec] = &[$spec];
            fn read(_values: &Values<'_>) -> Result<Self, String> {
                Err("BULKHEAD_LONE_A and BULKHEAD_LONE_B do not go together".to_owned())
            }
        }
    };
}

const fn any(variable: &'static str) -> Spec {
    Spec::required(variable, "Anything.", |_text| Ok(())).optional()
}

fn refused(sections: Vec<Section>) -> String {
    Sections::new(sections).unwrap_err().to_string()
}

#[test]
fn a_variable_that_two_sections_declare_is_refused_with_both_names() {
    lone!(Bill, "bill", any("BULKHEAD_BILL_ING_DAYS"));
    lone!(Billing, "bill_ing", any("BULKHEAD_BILL_ING_DAYS"));
    assert_eq!(
        refused(vec![Section::of::<Bill>(), Section::of::<Billing>()]),
        "BULKHEAD_BILL_ING_DAYS is declared by bill and by bill_ing"
    );
    assert_eq!(
        refused(vec![Section::of::<Bill>(), Section::of::<Bill>()]),
        "BULKHEAD_BILL_ING_DAYS is declared by bill and by bill"
    );
}

#[test]
fn an_owner_whose_names_are_the_cores_is_refused() {
    lone!(Usage, "usage", any("BULKHEAD_USAGE_COLOUR"));
    assert_eq!(
        refused(vec![Section::of::<Usage>()]),
        "usage cannot have settings: BULKHEAD_USAGE_STREAM_MAX is the core's"
    );
}

#[test]
fn a_setting_with_a_bad_name_help_or_default_is_refused() {
    lone!(Foreign, "shop", any("BULKHEAD_INVOICES_DAYS"));
    lone!(Bare, "shop", any("BULKHEAD_SHOP_"));
    lone!(Lower, "shop", any("BULKHEAD_SHOP_days"));
    lone!(Owner, "Shop", any("BULKHEAD_SHOP_DAYS"));
    lone!(Link, "shop", any("BULKHEAD_SHOP_SERVICE_HOST"));
    lone!(Silent, "shop", Spec::required("BULKHEAD_SHOP_DAYS", " ", |_text| Ok(())));
    lone!(
        OutOfRange,
        "shop",
        Spec::required("BULKHEAD_SHOP_DAYS", "Days.", |text| number(1..=9_u8)(text).map(drop))
            .default_number(10)
    );
    let name = "its name must be BULKHEAD_SHOP_ and then A-Z, 0-9 and _";
    for (section, reason) in [
        (Section::of::<Foreign>(), format!("shop: BULKHEAD_INVOICES_DAYS: {name}")),
        (Section::of::<Bare>(), format!("shop: BULKHEAD_SHOP_: {name}")),
        (Section::of::<Lower>(), format!("shop: BULKHEAD_SHOP_days: {name}")),
        (
            Section::of::<Link>(),
            "shop: BULKHEAD_SHOP_SERVICE_HOST: Kubernetes sets variables of that form by itself".to_owned(),
        ),
        (Section::of::<Silent>(), "shop: BULKHEAD_SHOP_DAYS: its help is empty".to_owned()),
        (
            Section::of::<OutOfRange>(),
            "shop: BULKHEAD_SHOP_DAYS: its default is refused: not a number between 1 and 9".to_owned(),
        ),
        (
            Section::of::<Owner>(),
            "Shop: Shop: an owner is 1 to 31 of a-z, 0-9 and _, and begins with a letter".to_owned(),
        ),
    ] {
        assert_eq!(refused(vec![section]), reason);
    }
}

#[test]
fn values_that_do_not_go_together_are_refused_in_the_sections_words() {
    lone!(Lone, "lone", any("BULKHEAD_LONE_A"));
    let sections = Sections::new(vec![Section::of::<Lone>()]).unwrap();
    let error = Core::from_vars([], &sections).unwrap_err().to_string();
    assert_eq!(error, "the settings of lone: BULKHEAD_LONE_A and BULKHEAD_LONE_B do not go together");
}

#[test]
fn a_value_that_the_section_does_not_declare_is_not_read() {
    struct Reader;
    impl Settings for Reader {
        const OWNER: &'static str = "reader";
        const SPECS: &'static [Spec] = &[any("BULKHEAD_READER_A")];
        fn read(values: &Values<'_>) -> Result<Self, String> {
            assert_eq!(values.find::<u8, _>("BULKHEAD_READER_A", str::parse), Ok(None));
            assert_eq!(
                values.get::<u8, _>("BULKHEAD_READER_A", str::parse),
                Err("BULKHEAD_READER_A is not set".to_owned())
            );
            values.get("BULKHEAD_PORT", str::parse::<u16>).map(|_port| Self)
        }
    }
    let sections = Sections::new(vec![Section::of::<Reader>()]).unwrap();
    let error = Core::from_vars([], &sections).unwrap_err().to_string();
    assert_eq!(error, "the settings of reader: reader does not declare BULKHEAD_PORT");
}

proptest! {
    #[test]
    fn no_value_of_a_section_makes_the_start_panic_or_shows_a_secret(value in "\\PC*", which in 0_usize..6) {
        let spec = &<Invoices as Settings>::SPECS[which];
        if let Err(error) = load(&[(spec.variable(), &value)]) {
            let message = error.to_string();
            prop_assert!(message.starts_with(spec.variable()) && !message.contains('\n'), "{}", message);
            prop_assert!(!spec.secret || value.len() < 8 || !message.contains(&value));
        }
    }
}
