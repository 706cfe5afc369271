//! `.bulkhead/env`: the settings of the set that is running, for a shell and for `bulkhead doctor --dev`.
//!
//! It is there while the set runs: afterwards other servers may have its ports. A set that was killed leaves it behind.

use std::{ffi::OsString, fs, io, path::Path};

use anyhow::{Context, Result, bail};
use bulkhead_config::{Sections, Settings};

use super::{HOME, credentials};

/// The file's name in `.bulkhead/`.
const NAME: &str = "env";

/// Writes the settings so that a shell reads them: `set -a; . .bulkhead/env`. Only their owner may read them.
pub(crate) fn write(home: &Path, environment: &[(&'static str, String)]) -> Result<()> {
    let lines: Vec<String> = environment.iter().map(|(name, value)| line(name, value)).collect();
    credentials::keep(&home.join(NAME), &lines.concat())
}

/// Removes the file.
pub(crate) fn remove(home: &Path) -> io::Result<()> {
    match fs::remove_file(home.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The settings of the set that runs in the current directory.
pub(crate) fn settings() -> Result<Settings> {
    let path = std::env::current_dir()?.join(HOME).join(NAME);
    if !path.exists() {
        bail!("`dev` does not run here: there is no {}", path.display());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let variables = read(&text).with_context(|| format!("{} is not as `dev` writes it", path.display()))?;
    let variables = variables.into_iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Ok(Settings::from_vars(variables, &Sections::default())?)
}

/// Between single quotes a shell takes everything for itself but a single quote.
fn line(name: &str, value: &str) -> String {
    format!("{name}='{}'\n", value.replace('\'', r"'\''"))
}

fn read(text: &str) -> Option<Vec<(String, String)>> {
    let variable = |line: &str| {
        let (name, quoted) = line.split_once('=')?;
        let value = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
        Some((name.to_owned(), value.replace(r"'\''", "'")))
    };
    text.lines().map(variable).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_and_the_doctor_read_what_was_written() {
        let values = ["postgres://a:b@127.0.0.1:1/c", "it's \"$HOME\" `x` \\ # ; &", ""];
        let text: String = values.iter().map(|value| line("BULKHEAD_X", value)).collect();
        let expected: Vec<_> =
            values.iter().map(|value| ("BULKHEAD_X".to_owned(), (*value).to_owned())).collect();
        assert_eq!(read(&text), Some(expected));
        for value in values {
            let script = format!("{}printf %s \"$BULKHEAD_X\"", line("BULKHEAD_X", value));
            let said = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), value);
        }
        for bad in ["BULKHEAD_X", "BULKHEAD_X=1", "BULKHEAD_X='1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
