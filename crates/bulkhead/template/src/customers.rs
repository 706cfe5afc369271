//! Customers: people and companies, each with a number.
//!
//! The extension to copy: a table with its migration, three operations, two permissions and a meter.

use bulkhead::prelude::*;

/// What `main.rs` adds to the application.
pub(crate) fn extension() -> Extension {
    Extension::new("customers")
        .about("People and companies, each with a number.")
        .tenant_migrations(migrations!["2026-11-28-000001_customers"])
        .permissions(ALL)
        .meters(METERS)
        .ids(IDS)
        .operations(group())
}

permissions! {
    /// See customers.
    READ_CUSTOMERS = "read:customers", held by [Owner, Admin, Developer, ReadOnly];
    /// Add customers.
    WRITE_CUSTOMERS = "write:customers", held by [Owner, Admin, Developer];
}

meters! {
    /// Customers that were added.
    CUSTOMERS_ADDED = "customers_added", "customer";
}

id! {
    /// A customer.
    pub(crate) CustomerId = "cust_";
}

// Who may call what, and the errors that are an operation's own.
operations! {
    list_customers => Access::Tenant(READ_CUSTOMERS), [], List;
    get_customer => Access::Tenant(READ_CUSTOMERS), [];
    create_customer => Access::Tenant(WRITE_CUSTOMERS), [Error::Taken { what: "number" }];
}

/// A customer, as the table has it and as clients see it.
#[row(customers)]
struct Customer {
    /// Its id.
    id: CustomerId,
    /// The number that it goes by.
    #[schema(example = "C-1042")]
    number: String,
    /// What it is called.
    #[schema(example = "Ada Lovelace")]
    name: String,
    /// What it is.
    kind: Kind,
    /// When it was added.
    created_at: DateTime<Utc>,
}

/// What a customer is.
#[choice]
enum Kind {
    Person,
    Company,
}

/// Which customers to list.
#[filter(customers, Customer)]
struct ListCustomers {
    /// Only customers of this kind.
    kind: Option<Kind>,
}

/// List customers
#[get("/v1/customers", PageResponse<Customer>)]
async fn list_customers(call: TenantCall, Query(query): Query<ListCustomers>) -> Result<Answer> {
    call.list::<Customer>(query.page()?, query.rows()).await
}

/// Read a customer
#[get("/v1/customers/{id}", Customer)]
async fn get_customer(call: TenantCall, Id(id): Id<CustomerId>) -> Result<Answer> {
    // Another tenant's id is answered like one that exists nowhere.
    call.get::<Customer>(id).await
}

/// A customer to add.
#[body]
struct CreateCustomer {
    /// The number that it goes by; there is one of each.
    #[schema(min_length = 1, max_length = 40, example = "C-1042")]
    number: String,
    /// What it is called.
    #[schema(min_length = 1, max_length = 200, example = "Ada Lovelace")]
    name: String,
    /// What it is.
    kind: Kind,
}

/// Add a customer
#[post("/v1/customers", Customer)]
async fn create_customer(call: TenantCall, Json(body): Json<CreateCustomer>) -> Result<Answer> {
    let CreateCustomer { number, name, kind } = body;
    let customer = Customer { id: CustomerId::mint(call.at()), number, name, kind, created_at: call.at() };
    call.write(async |tx| {
        call.insert(tx, &customer).await?;
        call.count(tx, CUSTOMERS_ADDED, Quantity::ONE).await?;
        // What the audit log keeps beside who, when and what: never put a secret into it.
        Written::made("/v1/customers", &customer, json!({ "number": customer.number }))
    })
    .await
}
