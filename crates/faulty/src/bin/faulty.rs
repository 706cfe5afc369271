//! The application under test.

use std::process::ExitCode;

fn main() -> ExitCode {
    bulkhead::App::new().name("faulty").title("Faulty").extension(bulkhead_faulty::extension()).run()
}
