//! The `bulkhead` command: the library with the extensions that this repository has.

use std::process::ExitCode;

fn main() -> ExitCode {
    bulkhead::App::new().extension(bulkhead_resources::extension()).run()
}
