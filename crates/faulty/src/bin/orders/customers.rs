//! Customers: a name of which there is one.

use bulkhead::prelude::*;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{CustomerId, READ_ORDERS, WRITE_ORDERS};

operations! {
    list_customers => Access::Tenant(READ_ORDERS), [], List;
    create_customer => Access::Tenant(WRITE_ORDERS), [
        Error::Validation(Vec::new()),
        Error::Taken { what: "name" },
    ];
}

diesel::table! {
    customers (id) {
        id -> Uuid,
        name -> Text,
        created_at -> Timestamptz,
    }
}

/// A customer.
#[derive(Insertable, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = customers, check_for_backend(diesel::pg::Pg))]
struct Customer {
    /// Its id.
    #[schema(value_type = String, example = "cus_069tbm3w01x3q72dbsqq10cjmc")]
    id: CustomerId,
    /// Its name.
    name: String,
    /// When it was written.
    created_at: DateTime<Utc>,
}

/// List customers
#[utoipa::path(
    get, path = "/v1/customers", params(PageQuery),
    responses((status = 200, description = "A page of customers.", body = PageResponse<Customer>)),
)]
async fn list_customers(call: TenantCall, Query(query): Query<PageQuery>) -> Result<Answer> {
    let page = query.request(CustomerId::uuid)?;
    let mut rows =
        customers::table.select(Customer::as_select()).order(customers::id).limit(page.probe()).into_boxed();
    if let Some(after) = page.after {
        rows = rows.filter(customers::id.gt(CustomerId::from(after)));
    }
    let rows: Vec<Customer> = call.read(async |tx| tx.load(rows).await).await?;
    call.page(Page::cut(rows, page), |customer| customer.id, |customer| customer)
}

/// A customer to write.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateCustomer {
    /// Its name, of which there is one.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
}

impl RequestBody for CreateCustomer {}

/// Write a customer
#[utoipa::path(
    post, path = "/v1/customers", params(IdempotencyKeyHeader), request_body = CreateCustomer,
    responses((status = 201, description = "Written.", body = Customer)),
)]
async fn create_customer(call: TenantCall, Json(body): Json<CreateCustomer>) -> Result<Answer> {
    let mut fields = Fields::default();
    fields.check::<Text<64>>("/name", &body.name);
    fields.finish()?;
    let id = CustomerId::mint(call.at());
    let customer = Customer { id, name: body.name, created_at: call.at() };
    call.write(async |tx| {
        let insert = diesel::insert_into(customers::table).values(&customer);
        tx.execute(insert).await.map_err(taken("name"))?;
        let answer = Answer::created(format!("/v1/customers/{id}"), &customer)?;
        Ok(Written::changed(id, json!({ "name": customer.name }), answer))
    })
    .await
}
