//! Customers: a name of which there is one.

use bulkhead::prelude::*;

use crate::{CustomerId, READ_ORDERS, WRITE_ORDERS};

operations! {
    list_customers => Access::Tenant(READ_ORDERS), [], List;
    create_customer => Access::Tenant(WRITE_ORDERS), [Error::Taken { what: "name" }];
}

/// A customer.
#[row(customers)]
struct Customer {
    /// Its id.
    id: CustomerId,
    /// Its name.
    name: String,
    /// When it was written.
    created_at: DateTime<Utc>,
}

/// List customers
#[get("/v1/customers", PageResponse<Customer>)]
async fn list_customers(call: TenantCall, Query(query): Query<PageQuery>) -> Result<Answer> {
    call.list::<Customer>(query.request(CustomerId::uuid)?, Customer::rows()).await
}

/// A customer to write.
#[body]
struct CreateCustomer {
    /// Its name, of which there is one.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
}

/// Write a customer
#[post("/v1/customers", Customer)]
async fn create_customer(call: TenantCall, Json(body): Json<CreateCustomer>) -> Result<Answer> {
    let customer = Customer { id: CustomerId::mint(call.at()), name: body.name, created_at: call.at() };
    call.create("/v1/customers", &customer, json!({ "name": customer.name })).await
}
