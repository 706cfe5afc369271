//! What an application's sections are refused for, at start and in one line.

use std::collections::BTreeMap;

use super::{Section, Sections, Spec};
use crate::kubernetes;

/// The longest name of a variable, in bytes.
const LONGEST_NAME: usize = 80;

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

/// Refuses sections that do not go together, in the order in which they stand, or that take a name of the core's.
pub(super) fn judge(sections: &[Section]) -> Result<(), SectionError> {
    let core: Vec<String> =
        crate::command(&Sections::default()).get_arguments().filter_map(name_of).collect();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for section in sections {
        judge_owner(section, &core)?;
        for spec in section.specs {
            judge_spec(section, spec)?;
            if let Some(first) = owners.insert(spec.variable, section.owner) {
                return Err(SectionError::Twice { variable: spec.variable, first, second: section.owner });
            }
        }
    }
    Ok(())
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
