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

mod declaration;
mod refusal;
mod spec;

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::Arc,
};

#[doc(hidden)]
pub use self::declaration::upper;
pub use self::{refusal::SectionError, spec::Spec};
use crate::error::ConfigError;
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

/// The sections of an application, which were found to go together. By default there are none: the core alone.
#[derive(Clone, Debug, Default)]
pub struct Sections(Vec<Section>);

impl Sections {
    /// Judges the sections of an application, in the order in which its extensions were registered.
    pub fn new(sections: Vec<Section>) -> Result<Self, SectionError> {
        refusal::judge(&sections)?;
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
        let required = self.specs.iter().filter(|spec| spec.is_required());
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

#[cfg(test)]
mod tests;
