//! Invoices: written once, sent in the background, counted when they are sent.

use bulkhead::prelude::*;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) fn extension() -> Extension {
    Extension::new("invoices")
        .about("Bills to customers.")
        .tenant_migrations(migrations!["2026-12-01-000001_invoices"])
        .permissions(ALL)
        .meters(METERS)
        .ids(&[InvoiceId::PREFIX])
        .settings::<InvoiceSettings>()
        .job::<SendInvoice>()
        .operations(group())
}

permissions! {
    /// See invoices.
    READ_INVOICES = "read:invoices", held by [Owner, Admin, Developer, ReadOnly];
    /// Write and send invoices.
    WRITE_INVOICES = "write:invoices", held by [Owner, Admin, Developer];
}

meters! {
    /// Invoices that were sent.
    INVOICES_SENT = "invoices_sent", "invoice";
}

settings! {
    /// What can be set for invoices.
    pub(crate) struct InvoiceSettings of "invoices" {
        /// The largest invoice, in cents, 1 to 100,000,000.
        largest_cents: i64 = 1_000_000 in 1..=100_000_000;
    }
}

id! {
    /// An invoice.
    pub(crate) InvoiceId = "inv_";
}

operations! {
    list_invoices => Access::Tenant(READ_INVOICES), [], List;
    get_invoice => Access::Tenant(READ_INVOICES), [];
    create_invoice => Access::Tenant(WRITE_INVOICES), [
        Error::Validation(Vec::new()),
        Error::Taken { what: "number" },
    ];
    send_invoice => Access::Tenant(WRITE_INVOICES), [ALREADY_SENT.error()];
}

static ALREADY_SENT: ProblemDef =
    ProblemDef::new("invoice-already-sent", 409, "The invoice was sent before.");

diesel::table! {
    invoices (id) {
        id -> Uuid,
        number -> Text,
        cents -> Int8,
        sent_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

/// An invoice.
#[derive(Insertable, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = invoices, check_for_backend(diesel::pg::Pg))]
struct Invoice {
    /// Its id.
    #[schema(value_type = String)]
    id: InvoiceId,
    /// The number that is printed on it.
    number: String,
    /// What is to be paid.
    cents: i64,
    /// When it was sent.
    sent_at: Option<DateTime<Utc>>,
    /// When it was written.
    created_at: DateTime<Utc>,
}

/// List invoices
#[utoipa::path(
    get, path = "/v1/invoices", params(PageQuery),
    responses((status = 200, description = "A page of invoices.", body = PageResponse<Invoice>)),
)]
async fn list_invoices(call: TenantCall, Query(query): Query<PageQuery>) -> Result<Answer> {
    let page = query.request(InvoiceId::uuid)?;
    let mut rows =
        invoices::table.select(Invoice::as_select()).order(invoices::id).limit(page.probe()).into_boxed();
    if let Some(after) = page.after {
        rows = rows.filter(invoices::id.gt(InvoiceId::from(after)));
    }
    let rows: Vec<Invoice> = call.read(async |tx| tx.load(rows).await).await?;
    call.page(Page::cut(rows, page), |invoice| invoice.id, |invoice| invoice)
}

/// Read an invoice
#[utoipa::path(
    get, path = "/v1/invoices/{id}",
    responses((status = 200, description = "The invoice.", body = Invoice)),
)]
async fn get_invoice(call: TenantCall, Id(id): Id<InvoiceId>) -> Result<Answer> {
    let invoice = invoices::table.find(id).select(Invoice::as_select());
    let found: Option<Invoice> = call.read(async |tx| tx.first(invoice).await).await?;
    Answer::ok(&found.ok_or(Error::NotFound)?)
}

/// An invoice to write.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateInvoice {
    /// The number that is printed on it, 1 to 64 characters; there is one of each.
    number: String,
    /// What is to be paid.
    cents: i64,
}

impl RequestBody for CreateInvoice {}

/// Write an invoice
#[utoipa::path(
    post, path = "/v1/invoices", params(IdempotencyKeyHeader), request_body = CreateInvoice,
    responses((status = 201, description = "Written.", body = Invoice)),
)]
async fn create_invoice(call: TenantCall, Json(body): Json<CreateInvoice>) -> Result<Answer> {
    let most = call.settings::<InvoiceSettings>()?.largest_cents;
    let mut fields = Fields::default();
    fields.check::<Text<64>>("/number", &body.number);
    if !(1..=most).contains(&body.cents) {
        fields.refuse("/cents", format!("must be between 1 and {most}"));
    }
    fields.finish()?;
    let (id, at) = (InvoiceId::mint(call.at()), call.at());
    let invoice = Invoice { id, number: body.number, cents: body.cents, sent_at: None, created_at: at };
    call.write(async |tx| {
        let insert = diesel::insert_into(invoices::table).values(&invoice);
        tx.execute(insert).await.map_err(taken("number"))?;
        let answer = Answer::created(format!("/v1/invoices/{id}"), &invoice)?;
        Ok(Written::changed(id, json!({ "number": invoice.number }), answer))
    })
    .await
}

/// Send an invoice
#[utoipa::path(
    post, path = "/v1/invoices/{id}/send", params(IdempotencyKeyHeader),
    responses((status = 202, description = "Follow the operation.", body = OperationResponse)),
)]
async fn send_invoice(call: TenantCall, Id(id): Id<InvoiceId>) -> Result<Answer> {
    call.write(async |tx| {
        let invoice = invoices::table.find(id).select(Invoice::as_select()).for_update();
        let invoice = tx.first(invoice).await?.ok_or(Error::NotFound)?;
        if invoice.sent_at.is_some() {
            return Err(ALREADY_SENT.error());
        }
        let job = call.enqueue_once(tx, &SendInvoice { invoice: id }, &id.to_string()).await?;
        Ok(Written::changed(id, json!({ "job": job }), Answer::accepted(job)?))
    })
    .await
}

/// Send one invoice.
#[derive(Serialize, Deserialize)]
struct SendInvoice {
    invoice: InvoiceId,
}

impl Job for SendInvoice {
    const KIND: &'static str = "invoices.send";
}

impl TenantJob for SendInvoice {}

impl TenantJobHandler for SendInvoice {
    async fn run(self, call: &JobCall) -> Result<Finished, JobError> {
        call.finish(async |tx| {
            let sent = diesel::update(invoices::table.find(self.invoice).filter(invoices::sent_at.is_null()));
            let sent = tx.execute(sent.set(invoices::sent_at.eq(call.at()))).await?;
            if sent > 0 {
                call.count(tx, INVOICES_SENT, Quantity::ONE).await?;
            }
            Ok(Some(json!({ "invoice": self.invoice })))
        })
        .await
    }
}
