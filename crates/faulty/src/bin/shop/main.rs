//! A shop: Bulkhead and invoices.

mod invoices;

use std::process::ExitCode;

fn main() -> ExitCode {
    bulkhead::App::new()
        .name("shop")
        .title("Shop")
        .version(env!("CARGO_PKG_VERSION"))
        .extension(invoices::extension())
        .run()
}
