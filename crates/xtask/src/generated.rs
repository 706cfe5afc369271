//! Files, or parts of files, that are written from the code: `openapi/v1.json` and the table of settings.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};

/// The page that has the table of settings.
const SETTINGS: &str = "crates/config/README.md";
/// Between these lines of it stands the table.
const BEGIN: &str = "<!-- settings: written by `cargo xtask settings` -->";
const END: &str = "<!-- /settings -->";

/// Writes `openapi/v1.json`, or checks that it is what would be written.
pub(crate) fn openapi(check: bool) -> Result<ExitCode> {
    let document = bulkhead_api::openapi::document(&bulkhead_api::routes::catalog()?)?;
    let text = serde_json::to_string_pretty(&document)? + "\n";
    settle(&root().join("openapi/v1.json"), &text, check, "cargo xtask openapi")
}

/// Writes the table of settings, or checks it.
pub(crate) fn settings(check: bool) -> Result<ExitCode> {
    let path = root().join(SETTINGS);
    let page = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{SETTINGS} has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{SETTINGS} has no line {END}"))?;
    let text = format!("{before}{BEGIN}\n\n{}\n{END}{after}", bulkhead_config::table());
    settle(&path, &text, check, "cargo xtask settings")
}

fn settle(path: &Path, wanted: &str, check: bool, command: &str) -> Result<ExitCode> {
    let present = fs::read_to_string(path).unwrap_or_default();
    if present == wanted {
        return Ok(ExitCode::SUCCESS);
    }
    if check {
        let at = present.lines().zip(wanted.lines()).take_while(|(is, should)| is == should).count() + 1;
        eprintln!("{} differs from the code at line {at}. Run `{command}` and commit it.", path.display());
        return Ok(ExitCode::FAILURE);
    }
    fs::write(path, wanted).with_context(|| format!("writing {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}
