//! Files, or parts of files, that are written from the code: `openapi/v1.json`, `openapi/roles.md` and the table of settings.
//!
//! `bulkhead` itself prints them, so this crate links nothing of ours and is built in seconds; the program is there already
//! where it has been run or tested.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;

/// The page that has the table of settings.
const SETTINGS: &str = "crates/config/README.md";
/// Between these lines of it stands the table.
const BEGIN: &str = "<!-- settings: written by `cargo xtask settings` -->";
const END: &str = "<!-- /settings -->";

/// Writes `openapi/v1.json` and `openapi/roles.md`, who may do what, in which a change of that is a line. Or checks that they are
/// what would be written.
pub(crate) fn openapi(check: bool) -> Result<ExitCode> {
    let command = "cargo xtask openapi";
    let document = settle(&root().join("openapi/v1.json"), &printed(&["openapi"])?, check, command)?;
    let roles = printed(&["roles", "--markdown"])?;
    let roles = settle(&root().join("openapi/roles.md"), &roles, check, command)?;
    Ok(if document == ExitCode::SUCCESS { roles } else { document })
}

/// Writes the table of settings, or checks it.
pub(crate) fn settings(check: bool) -> Result<ExitCode> {
    let path = root().join(SETTINGS);
    let page = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{SETTINGS} has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{SETTINGS} has no line {END}"))?;
    let text = format!("{before}{BEGIN}\n\n{}\n{END}{after}", printed(&["settings", "--markdown"])?);
    settle(&path, &text, check, "cargo xtask settings")
}

/// What `bulkhead` prints, as this source has it.
fn printed(arguments: &[&str]) -> Result<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        // As the Makefile builds it, which says why.
        .args(["build", "--quiet", "--workspace", "--examples", "--bin", "bulkhead"])
        .current_dir(root())
        .status()
        .context("cannot start cargo")?;
    ensure!(built.success(), "cargo cannot build bulkhead");
    let metadata = MetadataCommand::new().no_deps().current_dir(root()).exec()?;
    let program = metadata.target_directory.join("debug/bulkhead");
    let output =
        Command::new(&program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), complaint.trim_end());
    String::from_utf8(output.stdout).context("bulkhead printed something that is no text")
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

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}
