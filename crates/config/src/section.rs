//! Settings that an application brings beside the core's own, section by section.
//!
//! Owns how a section is declared, judged and read. A section belongs to one owner (an extension's name), and all of its
//! variables begin with `BULKHEAD_<OWNER>_`, so a misspelt one is refused like a misspelt variable of the core, and a later
//! setting of the core cannot collide with one. Every value passes its check before the section is read: a section never
//! sees text that its own declaration refuses.
//!
//! Refuses, at start and in one line: a variable that is declared twice or lies outside its owner's names, an owner whose
//! names are the core's, and a default that the setting's own check refuses. Rejected: a section as a clap type, as the
//! core's are. It would make clap part of what extensions are built on, and its own command line could be reached.

use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use crate::{error::ConfigError, kubernetes};

/// The longest value that a setting of a section may have, in bytes.
const LONGEST_VALUE: usize = 4_096;
/// The longest name of a variable, in bytes.
const LONGEST_NAME: usize = 80;

/// One setting: its variable, its meaning, the values it may have, and what holds when it is not set.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    variable: &'static str,
    help: &'static str,
    check: fn(&str) -> Result<(), String>,
    unset: Unset,
    secret: bool,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug)]
enum Unset {
    Text(&'static str),
    Number(i128),
    Nothing,
    Refused,
}

impl Spec {
    /// A setting that the application cannot do without: `api` and `worker` do not start until it is set. `help` says its
    /// meaning and its unit in one or more sentences; `check` refuses a value with the values there are ("not a number
    /// between 1 and 90"), which is shown after the variable's name.
    pub const fn required(
        variable: &'static str,
        help: &'static str,
        check: fn(&str) -> Result<(), String>,
    ) -> Self {
        Self { variable, help, check, unset: Unset::Refused, secret: false }
    }

    /// The same setting with a default.
    #[must_use]
    pub const fn default_text(mut self, value: &'static str) -> Self {
        self.unset = Unset::Text(value);
        self
    }

    /// The same setting with a number for its default.
    #[must_use]
    pub const fn default_number(mut self, value: i128) -> Self {
        self.unset = Unset::Number(value);
        self
    }

    /// The same setting, which may also stay unset.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.unset = Unset::Nothing;
        self
    }

    /// The same setting as a secret: its value is in no message.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The variable that sets it.
    pub const fn variable(&self) -> &'static str {
        self.variable
    }

    /// The value that holds when the variable is not set.
    fn default(&self) -> Option<String> {
        match self.unset {
            Unset::Text(text) => Some(text.to_owned()),
            Unset::Number(number) => Some(number.to_string()),
            Unset::Nothing | Unset::Refused => None,
        }
    }

    /// Whether the setting may have this value. Empty is what a template with a missing variable leaves behind.
    fn judge(&self, text: &str) -> Result<(), String> {
        match text.len() {
            0 => Err("empty; unset it, or give it a value".to_owned()),
            length if length > LONGEST_VALUE => Err(format!("longer than {LONGEST_VALUE} bytes")),
            _ => (self.check)(text).map_err(|reason| self.told(reason)),
        }
    }

    /// What is told of a value that code of the extension refuses. Its reason may quote the value, so a secret's is not
    /// told; what the setting has to be is.
    fn told(&self, reason: impl fmt::Display) -> String {
        if self.secret { format!("refused. It has to be: {}", self.help.trim()) } else { reason.to_string() }
    }

    /// The setting as clap knows those of the core.
    pub(crate) fn argument(&'static self) -> clap::Arg {
        let judge = move |text: &str| self.judge(text).map(|()| text.to_owned());
        let argument = clap::Arg::new(self.variable)
            .env(self.variable)
            .help(self.help)
            .hide_env_values(self.secret)
            .value_parser(judge);
        match self.default() {
            Some(value) => argument.default_value(value),
            None => argument,
        }
    }
}

/// Settings of an application, read from the environment once and handed out by their type.
///
/// ```
/// use bulkhead_config::section::{Settings, Spec, Values};
///
/// struct Invoices { reminder_days: u16 }
///
/// impl Settings for Invoices {
///     const OWNER: &'static str = "invoices";
///     const SPECS: &'static [Spec] = &[Spec::required(
///         "BULKHEAD_INVOICES_REMINDER_DAYS",
///         "Days until a reminder is sent, 1 to 90.",
///         |text| bulkhead_config::value::number(1..=90_u16)(text).map(drop),
///     )
///     .default_number(14)];
///
///     fn read(values: &Values<'_>) -> Result<Self, String> {
///         let reminder_days = values.get("BULKHEAD_INVOICES_REMINDER_DAYS", str::parse)?;
///         Ok(Self { reminder_days })
///     }
/// }
/// ```
///
/// [`settings!`](crate::settings) writes the same from one line per setting.
pub trait Settings: Sized + Send + Sync + 'static {
    /// The name of the extension whose settings these are, in lower case: the second word of every variable.
    const OWNER: &'static str;
    /// The settings.
    const SPECS: &'static [Spec];

    /// Reads them. Each value has passed its check. An error is one line about values that do not go together, and stops
    /// the start; it names the variables, and shows no secret.
    fn read(values: &Values<'_>) -> Result<Self, String>;
}

type Read = fn(&Values<'_>) -> Result<Arc<dyn Any + Send + Sync>, String>;

/// The settings of one type, without the type.
#[derive(Clone, Copy)]
pub struct Section {
    owner: &'static str,
    specs: &'static [Spec],
    type_id: fn() -> TypeId,
    read: Read,
}

impl Section {
    /// The section of a type.
    pub const fn of<S: Settings>() -> Self {
        Self {
            owner: S::OWNER,
            specs: S::SPECS,
            type_id: TypeId::of::<S>,
            read: |values| Ok(Arc::new(S::read(values)?)),
        }
    }

    /// The extension whose settings these are.
    pub const fn owner(&self) -> &'static str {
        self.owner
    }

    /// What all of its variables begin with.
    fn prefix(&self) -> String {
        format!("{}{}_", crate::PREFIX, self.owner.to_ascii_uppercase())
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Section({}, {} settings)", self.owner, self.specs.len())
    }
}

/// Why the sections of an application cannot stand beside each other and the core.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SectionError {
    /// Two sections have one variable.
    #[error("{variable} is declared by {first} and by {second}")]
    Twice {
        /// The variable.
        variable: &'static str,
        /// Who declared it first.
        first: &'static str,
        /// Who declared it again.
        second: &'static str,
    },
    /// The names of an owner's settings are the core's.
    #[error("{owner} cannot have settings: {variable} is the core's")]
    Reserved {
        /// The owner.
        owner: &'static str,
        /// A setting of the core that begins like the owner's would.
        variable: String,
    },
    /// A name, a help or a default that no setting may have.
    #[error("{owner}: {what}: {reason}")]
    Malformed {
        /// The owner.
        owner: &'static str,
        /// The variable, or the owner's name.
        what: &'static str,
        /// What it must be.
        reason: String,
    },
}

/// The sections of an application, which were found to go together. By default there are none: the core alone.
#[derive(Clone, Debug, Default)]
pub struct Sections(Vec<Section>);

impl Sections {
    /// Judges the sections of an application, in the order in which its extensions were registered.
    pub fn new(sections: Vec<Section>) -> Result<Self, SectionError> {
        let core: Vec<String> =
            crate::command(&Self::default()).get_arguments().filter_map(name_of).collect();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for section in &sections {
            judge_owner(section, &core)?;
            for spec in section.specs {
                judge_spec(section, spec)?;
                if let Some(first) = owners.insert(spec.variable, section.owner) {
                    return Err(SectionError::Twice {
                        variable: spec.variable,
                        first,
                        second: section.owner,
                    });
                }
            }
        }
        Ok(Self(sections))
    }

    /// Every setting.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &'static Spec> {
        self.0.iter().flat_map(|section| section.specs)
    }

    /// Reads every section whose required settings are set.
    pub(crate) fn read(&self, matches: &clap::ArgMatches) -> Result<Extensions, ConfigError> {
        let mut extensions = Extensions::default();
        let mut read = HashMap::new();
        for section in &self.0 {
            let values = Values { owner: section.owner, specs: section.specs, matches };
            let missing = values.missing();
            if missing.is_empty() {
                let refused = |reason: String| ConfigError::Section {
                    owner: section.owner,
                    reason: values.without_secrets(reason),
                };
                read.insert((section.type_id)(), (section.read)(&values).map_err(refused)?);
            }
            extensions.missing.extend(missing);
        }
        extensions.read = Arc::new(read);
        Ok(extensions)
    }
}

/// The variable that an argument of [`crate::command`] is named like.
fn name_of(argument: &clap::Arg) -> Option<String> {
    argument.get_long().map(ToOwned::to_owned)
}

fn judge_owner(section: &Section, core: &[String]) -> Result<(), SectionError> {
    let owner = section.owner;
    let word = owner.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !(word && owner.starts_with(|first: char| first.is_ascii_lowercase()) && owner.len() <= 31) {
        let reason = "an owner is 1 to 31 of a-z, 0-9 and _, and begins with a letter".to_owned();
        return Err(SectionError::Malformed { owner, what: owner, reason });
    }
    let prefix = section.prefix();
    match core.iter().find(|variable| variable.starts_with(&prefix)) {
        Some(variable) => Err(SectionError::Reserved { owner, variable: variable.clone() }),
        None => Ok(()),
    }
}

fn judge_spec(section: &Section, spec: &Spec) -> Result<(), SectionError> {
    let prefix = section.prefix();
    let refuse =
        |reason: String| Err(SectionError::Malformed { owner: section.owner, what: spec.variable, reason });
    let rest = spec.variable.strip_prefix(&prefix).unwrap_or_default();
    let clean = rest.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    if !(clean && rest.starts_with(|first: char| first.is_ascii_uppercase())) {
        return refuse(format!("its name must be {prefix} and then A-Z, 0-9 and _"));
    }
    if spec.variable.len() > LONGEST_NAME {
        return refuse(format!("its name is longer than {LONGEST_NAME} bytes"));
    }
    if kubernetes::is_service_link(spec.variable, "") {
        return refuse("Kubernetes sets variables of that form by itself".to_owned());
    }
    if spec.help.trim().is_empty() {
        return refuse("its help is empty".to_owned());
    }
    match spec.default().map(|value| spec.judge(&value)) {
        Some(Err(reason)) => refuse(format!("its default is refused: {reason}")),
        Some(Ok(())) | None => Ok(()),
    }
}

/// The values of one section, each of which its own check has let through.
#[derive(Debug)]
pub struct Values<'a> {
    owner: &'static str,
    specs: &'static [Spec],
    matches: &'a clap::ArgMatches,
}

impl Values<'_> {
    /// A value that is set, or has a default, as what `parse` makes of it.
    pub fn get<T, E: fmt::Display>(
        &self,
        variable: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, String> {
        self.find(variable, parse)?.ok_or_else(|| format!("{variable} is not set"))
    }

    /// The same of a setting that may stay unset.
    pub fn find<T, E: fmt::Display>(
        &self,
        variable: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, String> {
        let spec = self.specs.iter().find(|spec| spec.variable == variable);
        let spec = spec.ok_or_else(|| format!("{} does not declare {variable}", self.owner))?;
        let parsed = self.text(spec).map(parse).transpose();
        parsed.map_err(|error| format!("{variable}: {}", spec.told(error)))
    }

    /// The reason for which an extension refuses its settings, unless it quotes the value of a secret.
    fn without_secrets(&self, reason: String) -> String {
        let mut secrets = self.specs.iter().filter(|spec| spec.secret);
        match secrets.find(|spec| self.text(spec).is_some_and(|value| reason.contains(value))) {
            Some(spec) => {
                format!("refused, for a reason that is not shown because it quotes {}", spec.variable)
            }
            None => reason,
        }
    }

    fn text(&self, spec: &Spec) -> Option<&str> {
        self.matches.get_one::<String>(spec.variable).map(String::as_str)
    }

    /// The required variables that are not set.
    fn missing(&self) -> Vec<&'static str> {
        let required = self.specs.iter().filter(|spec| matches!(spec.unset, Unset::Refused));
        required.filter(|spec| self.text(spec).is_none()).map(Spec::variable).collect()
    }
}

/// The settings of all sections, by type. Clones share them.
#[derive(Clone, Default)]
pub struct Extensions {
    read: Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    missing: Vec<&'static str>,
}

impl Extensions {
    /// The settings of this type; `None` when the application did not register it, or a required one is not set
    /// ([`crate::Needed::Extensions`] refuses the start of a command that needs them).
    pub fn get<S: Settings>(&self) -> Option<&S> {
        self.read.get(&TypeId::of::<S>()).and_then(|settings| settings.downcast_ref())
    }

    /// The required variables of all sections that are not set.
    pub(crate) fn missing(&self) -> &[&'static str] {
        &self.missing
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extensions({} sections)", self.read.len())
    }
}

/// For [`settings!`](crate::settings): the text in upper case. `N` is its length.
#[doc(hidden)]
pub const fn upper<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut rest = text.as_bytes();
    let mut target = bytes.as_mut_slice();
    while let (Some((from, from_rest)), Some((to, to_rest))) = (rest.split_first(), target.split_first_mut())
    {
        *to = from.to_ascii_uppercase();
        rest = from_rest;
        target = to_rest;
    }
    bytes
}

/// Declares the settings of an extension, one line each: a struct that implements [`section::Settings`](crate::section::Settings).
///
/// ```
/// use bulkhead_config::value::{name, seconds};
///
/// bulkhead_config::settings! {
///     /// What can be set for invoices.
///     #[derive(Debug)]
///     pub struct InvoiceSettings of "invoices" {
///         /// Days until a reminder is sent, 1 to 90.
///         reminder_days: u16 = 14 in 1..=90;
///         /// How long the mail server may take to answer, in seconds.
///         mail_secs: std::time::Duration = "10" by seconds(1..=60);
///         /// The sender's name.
///         sender: String = required by name;
///         /// The mail server's password.
///         password: bulkhead_config::Password = secret by str::parse;
///         /// Who gets a copy of each invoice; unset, no copy is sent.
///         copy_to: Option<String> = optional by name;
///     }
/// }
/// assert_eq!(
///     <InvoiceSettings as bulkhead_config::section::Settings>::SPECS[0].variable(),
///     "BULKHEAD_INVOICES_REMINDER_DAYS"
/// );
/// ```
///
/// A line's comment is the setting's help, and names its unit. After `in` stands the range of a number; after `by` a function
/// from `&str` to `Result<T, E>`. `required` settings must be set for `api` and `worker`, `secret` ones too, and their values
/// are in no message.
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])* $vis:vis struct $name:ident of $owner:literal {
            $( $(#[doc = $help:literal])+ $field:ident : $type:ty = $unset:tt $how:ident $values:expr ; )+
        }
    ) => {
        $(#[$meta])*
        $vis struct $name { $( $(#[doc = $help])+ $vis $field: $type, )+ }

        impl $crate::section::Settings for $name {
            const OWNER: &'static str = $owner;
            const SPECS: &'static [$crate::section::Spec] = &[$(
                $crate::settings!(@spec
                    $crate::settings!(@variable $owner $field), concat!($($help),+), $type, $unset $how $values),
            )+];

            fn read(values: &$crate::section::Values<'_>) -> ::core::result::Result<Self, ::std::string::String> {
                ::core::result::Result::Ok(Self { $(
                    $field: $crate::settings!(@read
                        values, $crate::settings!(@variable $owner $field), $type, $unset $how $values),
                )+ })
            }
        }
    };
    (@variable $owner:literal $field:ident) => {{
        const TEXT: &str = concat!("BULKHEAD_", $owner, "_", stringify!($field));
        const BYTES: [u8; TEXT.len()] = $crate::section::upper(TEXT);
        const NAME: &str = match ::core::str::from_utf8(&BYTES) {
            ::core::result::Result::Ok(name) => name,
            ::core::result::Result::Err(_) => "",
        };
        NAME
    }};
    (@spec $variable:expr, $help:expr, $type:ty, required by $values:expr) => {
        $crate::section::Spec::required($variable, $help, |text| {
            let parsed: ::core::result::Result<$type, _> = ($values)(text);
            parsed.map(drop).map_err(|error| ::std::string::ToString::to_string(&error))
        })
    };
    (@spec $variable:expr, $help:expr, $type:ty, secret by $values:expr) => {
        $crate::settings!(@spec $variable, $help, $type, required by $values).secret()
    };
    (@spec $variable:expr, $help:expr, $type:ty, optional by $values:expr) => {
        $crate::section::Spec::required($variable, $help, |text| {
            ($values)(text).map(drop).map_err(|error| ::std::string::ToString::to_string(&error))
        })
        .optional()
    };
    (@spec $variable:expr, $help:expr, $type:ty, $default:literal by $values:expr) => {
        $crate::settings!(@spec $variable, $help, $type, required by $values).default_text($default)
    };
    (@spec $variable:expr, $help:expr, $type:ty, $default:literal in $values:expr) => {
        $crate::settings!(@spec $variable, $help, $type, required by $crate::value::number::<$type>($values))
            .default_number($default)
    };
    (@read $from:ident, $variable:expr, $type:ty, optional by $values:expr) => {
        $from.find($variable, $values)?
    };
    (@read $from:ident, $variable:expr, $type:ty, $unset:tt in $values:expr) => {
        $from.get($variable, $crate::value::number::<$type>($values))?
    };
    (@read $from:ident, $variable:expr, $type:ty, $unset:tt by $values:expr) => {
        $from.get($variable, $values)?
    };
}

#[cfg(test)]
mod tests;
