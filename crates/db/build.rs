//! Embeds the tenant migrations as text.
//!
//! `diesel_migrations` keeps the SQL of an embedded migration to itself: it can only run it, one migration at a time on
//! one connection. Migrating thousands of schemas in batches needs the text, so it is listed here, under the same
//! versions that diesel gives. Also makes cargo look at the directories, which the macro for the platform's set cannot.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    // Asked at run time: a build script that was compiled in another checkout would read that one's migrations.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?;
    let migrations = Path::new(&manifest).join("../../migrations");
    println!("cargo::rerun-if-changed={}", migrations.display());

    let mut directories = fs::read_dir(migrations.join("tenant"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, std::io::Error>>()?;
    directories.retain(|path| path.is_dir());
    directories.sort();

    let mut list = String::from("&[\n");
    for directory in directories {
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let version: String =
            name.split('_').next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        if version.len() != "20261121000001".len() {
            return Err(format!("{name}: expected YYYY-MM-DD-HHMMSS_topic").into());
        }
        let up = directory.join("up.sql").canonicalize()?;
        let up = up.to_str().ok_or("the path of the workspace is not UTF-8")?;
        list += &format!(
            "TenantMigration {{ version: {version:?}, name: {name:?}, up: include_str!({up:?}) }},\n"
        );
    }
    list += "]";

    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("tenant_migrations.rs"), list)?;
    Ok(())
}
