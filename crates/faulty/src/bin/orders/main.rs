//! An application that the public test kit has to be told nothing of: customers, and orders, each of which needs two.

mod customers;
mod orders;

use std::process::ExitCode;

use bulkhead::prelude::*;

permissions! {
    /// See customers and their orders.
    READ_ORDERS = "read:orders", held by [Owner, Admin, Developer, ReadOnly];
    /// Write customers and their orders.
    WRITE_ORDERS = "write:orders", held by [Owner, Admin, Developer];
}

id! {
    /// A customer.
    pub(crate) CustomerId = "cus_";
    /// An order.
    pub(crate) OrderId = "ord_";
}

fn main() -> ExitCode {
    let orders = Extension::new("orders")
        .about("Orders of customers.")
        .tenant_migrations(migrations!["2026-12-01-000001_customers", "2026-12-01-000002_orders"])
        .permissions(ALL)
        .ids(IDS)
        .operations(customers::group())
        .operations(orders::group());
    bulkhead::App::new().name("orders").title("Orders").extension(orders).run()
}
