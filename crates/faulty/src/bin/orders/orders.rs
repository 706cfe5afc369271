//! Orders: of a customer that has to exist, perhaps in place of an earlier order, under a number of which there is one.

use bulkhead::prelude::*;

use crate::{CustomerId, OrderId, READ_ORDERS, WRITE_ORDERS};

operations! {
    list_orders => Access::Tenant(READ_ORDERS), [], List;
    get_order => Access::Tenant(READ_ORDERS), [];
    create_order => Access::Tenant(WRITE_ORDERS), [Error::Taken { what: "number" }];
}

/// How fast it is sent.
#[choice]
enum Speed {
    Slow,
    Fast,
}

/// An order.
#[row(orders)]
struct Order {
    /// Its id.
    id: OrderId,
    /// Its number.
    number: String,
    /// Who has ordered.
    customer: CustomerId,
    /// Who gets it.
    recipient: CustomerId,
    /// The order that this one is in place of.
    replaces: Option<OrderId>,
    /// How fast it is sent.
    speed: Speed,
    /// Whether it is paid.
    paid: bool,
    /// The day on which it is sent.
    send_on: NaiveDate,
    /// When it was promised to be there.
    promised_at: Option<DateTime<Utc>>,
    /// When it was written.
    created_at: DateTime<Utc>,
}

/// Which orders to list.
#[filter(orders, Order)]
struct ListOrders {
    /// Only those of this customer.
    customer: Option<CustomerId>,
    /// Only those that are sent so fast.
    speed: Option<Speed>,
    /// Only those that are paid, or are not.
    paid: Option<bool>,
    /// Only those that are sent on this day.
    send_on: Option<NaiveDate>,
}

/// List orders
#[get("/v1/orders", PageResponse<Order>)]
async fn list_orders(call: TenantCall, Query(query): Query<ListOrders>) -> Result<Answer> {
    call.list::<Order>(query.page()?, query.rows()).await
}

/// Read an order
#[get("/v1/orders/{id}", Order)]
async fn get_order(call: TenantCall, Id(id): Id<OrderId>) -> Result<Answer> {
    call.get::<Order>(id).await
}

/// Where an order goes.
#[body]
struct Delivery {
    /// Who gets it.
    to: CustomerId,
    /// What is written on the parcel.
    #[schema(max_length = 64)]
    label: Option<String>,
}

/// An order to write.
#[body]
struct CreateOrder {
    /// Its number, of which there is one.
    #[schema(min_length = 1, max_length = 64, example = "A-7")]
    number: String,
    /// Who orders.
    customer: CustomerId,
    /// Where it goes.
    #[serde(deserialize_with = "bulkhead::object")]
    delivery: Delivery,
    /// The order that this one is in place of.
    replaces: Option<OrderId>,
    /// How fast it is sent.
    speed: Speed,
    /// Whether it is paid.
    paid: bool,
    /// The day on which it is sent.
    send_on: NaiveDate,
    /// When it was promised to be there.
    #[schema(nullable)]
    promised_at: Option<DateTime<Utc>>,
}

/// Write an order
#[post("/v1/orders", Order)]
async fn create_order(call: TenantCall, Json(body): Json<CreateOrder>) -> Result<Answer> {
    let CreateOrder { number, customer, delivery, replaces, speed, paid, send_on, promised_at } = body;
    let (id, recipient, created_at) = (OrderId::mint(call.at()), delivery.to, call.at());
    let order =
        Order { id, number, customer, recipient, replaces, speed, paid, send_on, promised_at, created_at };
    call.write(async |tx| {
        order.insert(tx).await.map_err(refused)?;
        Written::made("/v1/orders", &order, json!({ "number": order.number, "label": delivery.label }))
    })
    .await
}

/// What a constraint of the table has refused: the recipient stands elsewhere in the body than in the table.
fn refused(error: DbError) -> Error {
    match error {
        DbError::BrokenReference { constraint } if constraint == "orders_recipient_fkey" => {
            unknown_reference("/delivery/to")(DbError::BrokenReference { constraint })
        }
        other => bulkhead::refused::<Order>(other),
    }
}
