//! What the crate can be built into. Each case is a build of its own: what it is about are flags and profiles.

use std::{
    io,
    path::Path,
    process::{Command, Output},
};

/// Runs cargo for this crate as benchmarks do, in a folder of its own.
fn cargo(task: &[&str], flags: &str) -> io::Result<Output> {
    Command::new(env!("CARGO"))
        .args(task)
        .args(["--offline", "--package", "bulkhead-ablation", "--target-dir"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("ablation"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RUSTFLAGS", flags)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
}

const SWITCHED: &str = "--cfg bulkhead_ablation -D warnings";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn no_release_leaves_anything_out() {
    let refused = cargo(&["check", "--release"], SWITCHED).unwrap();
    assert!(!refused.status.success());
    assert!(said(&refused).contains("bulkhead_ablation turns security off"), "{}", said(&refused));
    // It is the flag that is refused, not the profile.
    let product = cargo(&["check", "--release"], "-D warnings").unwrap();
    assert!(product.status.success(), "{}", said(&product));
}

#[test]
fn the_build_for_benchmarks_is_sound() {
    for task in [&["check", "--profile", "profiling"][..], &["test", "--lib"]] {
        let output = cargo(task, SWITCHED).unwrap();
        assert!(output.status.success(), "{}\n{}", said(&output), String::from_utf8_lossy(&output.stdout));
    }
}
