//! An application that no command starts: an operation of it needs a permission that is declared nowhere.

use std::process::ExitCode;

fn main() -> ExitCode {
    let undeclared = bulkhead_faulty::extension().permissions(&[]);
    bulkhead::App::new().extension(undeclared).run()
}
