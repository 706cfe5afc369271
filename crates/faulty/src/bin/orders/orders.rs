//! Orders: of a customer that has to exist, perhaps in place of an earlier order, under a number of which there is one.

use bulkhead::prelude::*;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{CustomerId, OrderId, READ_ORDERS, WRITE_ORDERS};

operations! {
    list_orders => Access::Tenant(READ_ORDERS), [], List;
    get_order => Access::Tenant(READ_ORDERS), [];
    create_order => Access::Tenant(WRITE_ORDERS), [
        Error::Validation(Vec::new()),
        Error::Taken { what: "number" },
    ];
}

diesel::table! {
    orders (id) {
        id -> Uuid,
        number -> Text,
        customer -> Uuid,
        recipient -> Uuid,
        replaces -> Nullable<Uuid>,
        speed -> Text,
        paid -> Bool,
        created_at -> Timestamptz,
    }
}

/// How fast it is sent.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Speed {
    Slow,
    Fast,
}

impl Speed {
    fn written(self) -> String {
        match self {
            Self::Slow => "slow",
            Self::Fast => "fast",
        }
        .to_owned()
    }
}

/// An order.
#[derive(Insertable, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = orders, check_for_backend(diesel::pg::Pg))]
struct Order {
    /// Its id.
    #[schema(value_type = String, example = "ord_069tbm3w01x3q72dbsqq10cjmc")]
    id: OrderId,
    /// Its number.
    number: String,
    /// Who has ordered.
    #[schema(value_type = String, example = "cus_069tbm3w01x3q72dbsqq10cjmc")]
    customer: CustomerId,
    /// Who gets it.
    #[schema(value_type = String, example = "cus_069tbm3w01x3q72dbsqq10cjmc")]
    recipient: CustomerId,
    /// The order that this one is in place of.
    #[schema(value_type = Option<String>, example = "ord_069tbm3w01x3q72dbsqq10cjmc")]
    replaces: Option<OrderId>,
    /// How fast it is sent.
    #[schema(value_type = Speed)]
    speed: String,
    /// Whether it is paid.
    paid: bool,
    /// When it was written.
    created_at: DateTime<Utc>,
}

/// Which orders to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListOrdersQuery {
    /// Only those of this customer.
    #[param(value_type = Option<String>, example = "cus_069tbm3w01x3q72dbsqq10cjmc")]
    customer: Option<CustomerId>,
    /// Only those that are sent so fast.
    #[param(inline)]
    speed: Option<Speed>,
    /// Only those that are paid, or are not.
    paid: Option<bool>,
    /// How many rows to return, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(default, deserialize_with = "page_limit")]
    limit: Option<u16>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List orders
#[utoipa::path(
    get, path = "/v1/orders", params(ListOrdersQuery),
    responses((status = 200, description = "A page of orders.", body = PageResponse<Order>)),
)]
async fn list_orders(call: TenantCall, Query(query): Query<ListOrdersQuery>) -> Result<Answer> {
    let page = page_request(query.limit, query.cursor.as_deref(), OrderId::uuid)?;
    let mut rows =
        orders::table.select(Order::as_select()).order(orders::id).limit(page.probe()).into_boxed();
    if let Some(customer) = query.customer {
        rows = rows.filter(orders::customer.eq(customer));
    }
    if let Some(speed) = query.speed {
        rows = rows.filter(orders::speed.eq(speed.written()));
    }
    if let Some(paid) = query.paid {
        rows = rows.filter(orders::paid.eq(paid));
    }
    if let Some(after) = page.after {
        rows = rows.filter(orders::id.gt(OrderId::from(after)));
    }
    let rows: Vec<Order> = call.read(async |tx| tx.load(rows).await).await?;
    call.page(Page::cut(rows, page), |order| order.id, |order| order)
}

/// Read an order
#[utoipa::path(
    get, path = "/v1/orders/{id}", responses((status = 200, description = "The order.", body = Order)),
)]
async fn get_order(call: TenantCall, Id(id): Id<OrderId>) -> Result<Answer> {
    let order = orders::table.find(id).select(Order::as_select());
    let found: Option<Order> = call.read(async |tx| tx.first(order).await).await?;
    Answer::ok(&found.ok_or(Error::NotFound)?)
}

/// Where an order goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Delivery {
    /// Who gets it.
    #[schema(value_type = String, example = "cus_069tbm3w01x3q72dbsqq10cjmc")]
    to: CustomerId,
}

/// An order to write.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateOrder {
    /// Its number, of which there is one.
    #[schema(min_length = 1, max_length = 64, example = "A-7")]
    number: String,
    /// Who orders.
    #[schema(value_type = String, example = "cus_069tbm3w01x3q72dbsqq10cjmc")]
    customer: CustomerId,
    /// Where it goes.
    #[serde(deserialize_with = "bulkhead::object")]
    delivery: Delivery,
    /// The order that this one is in place of.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "ord_069tbm3w01x3q72dbsqq10cjmc")]
    replaces: Option<OrderId>,
    /// How fast it is sent.
    speed: Speed,
    /// Whether it is paid.
    paid: bool,
}

impl RequestBody for CreateOrder {}

/// Write an order
#[utoipa::path(
    post, path = "/v1/orders", params(IdempotencyKeyHeader), request_body = CreateOrder,
    responses((status = 201, description = "Written.", body = Order)),
)]
async fn create_order(call: TenantCall, Json(body): Json<CreateOrder>) -> Result<Answer> {
    let CreateOrder { number, customer, delivery, replaces, speed, paid } = body;
    let mut fields = Fields::default();
    fields.check::<Text<64>>("/number", &number);
    fields.finish()?;
    let (id, recipient, created_at) = (OrderId::mint(call.at()), delivery.to, call.at());
    let order = Order { id, number, customer, recipient, replaces, speed: speed.written(), paid, created_at };
    call.write(async |tx| {
        let insert = diesel::insert_into(orders::table).values(&order);
        tx.execute(insert).await.map_err(refused)?;
        let answer = Answer::created(format!("/v1/orders/{id}"), &order)?;
        Ok(Written::changed(id, json!({ "number": order.number }), answer))
    })
    .await
}

/// What a constraint of the table has refused.
fn refused(error: DbError) -> Error {
    let DbError::BrokenReference { constraint } = &error else { return taken("number")(error) };
    let pointer = match constraint.as_str() {
        "orders_customer_fkey" => "/customer",
        "orders_recipient_fkey" => "/delivery/to",
        _ => "/replaces",
    };
    unknown_reference(pointer)(error)
}
