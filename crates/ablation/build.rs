//! Tells the crate whether its profile keeps debug information: what is released is built without.

use std::env;

#[expect(clippy::disallowed_methods, reason = "what cargo tells a build script is no setting of the product")]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(bulkhead_ablation)");
    println!("cargo::rustc-check-cfg=cfg(keeps_debug_information)");
    // Cargo sets it for build scripts, from the profile that the crate itself is built with.
    if env::var("DEBUG").is_ok_and(|debug| debug != "false" && debug != "0") {
        println!("cargo::rustc-cfg=keeps_debug_information");
    }
}
