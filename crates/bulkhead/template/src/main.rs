//! The `{{name}}` program: Bulkhead, and an extension for each thing that this product is about.

mod customers;

use std::process::ExitCode;

fn main() -> ExitCode {
    bulkhead::App::new()
        .name("{{name}}")
        .title("{{name}}")
        .version(env!("CARGO_PKG_VERSION"))
        .extension(customers::extension())
        .run()
}
