//! Invoices: written once, sent in the background, counted when they are sent.

use bulkhead::prelude::*;

pub(crate) fn extension() -> Extension {
    Extension::new("invoices")
        .about("Bills to customers.")
        .tenant_migrations(migrations!["2026-12-01-000001_invoices"])
        .permissions(ALL)
        .meters(METERS)
        .ids(IDS)
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
    create_invoice => Access::Tenant(WRITE_INVOICES), [Error::Taken { what: "number" }];
    send_invoice => Access::Tenant(WRITE_INVOICES), [ALREADY_SENT.error()];
}

static ALREADY_SENT: ProblemDef =
    ProblemDef::new("invoice-already-sent", 409, "The invoice was sent before.");

/// An invoice.
#[row(invoices)]
struct Invoice {
    /// Its id.
    id: InvoiceId,
    /// The number that is printed on it.
    number: String,
    /// How it is paid.
    terms: Terms,
    /// What is to be paid.
    cents: i64,
    /// When it was sent.
    sent_at: Option<DateTime<Utc>>,
    /// When it was written.
    created_at: DateTime<Utc>,
}

/// How an invoice is paid.
#[choice]
enum Terms {
    AtOnce,
    MonthEnd,
}

/// Which invoices to list.
#[filter(invoices, Invoice)]
struct ListInvoices {
    /// Only those that are paid so.
    terms: Option<Terms>,
}

/// List invoices
#[get("/v1/invoices", PageResponse<Invoice>)]
async fn list_invoices(call: TenantCall, Query(query): Query<ListInvoices>) -> Result<Answer> {
    call.list::<Invoice>(query.page()?, query.rows()).await
}

/// Read an invoice
#[get("/v1/invoices/{id}", Invoice)]
async fn get_invoice(call: TenantCall, Id(id): Id<InvoiceId>) -> Result<Answer> {
    call.get::<Invoice>(id).await
}

/// An invoice to write.
#[body]
struct CreateInvoice {
    /// The number that is printed on it; there is one of each.
    #[schema(min_length = 1, max_length = 64, example = "A-7")]
    number: String,
    /// How it is paid.
    terms: Terms,
    /// What is to be paid. The largest that is taken can be set.
    #[schema(minimum = 1)]
    cents: i64,
}

/// Write an invoice
#[post("/v1/invoices", Invoice)]
async fn create_invoice(call: TenantCall, Json(body): Json<CreateInvoice>) -> Result<Answer> {
    let CreateInvoice { number, terms, cents } = body;
    let most = call.settings::<InvoiceSettings>()?.largest_cents;
    let mut fields = Fields::default();
    fields.range("/cents", cents, Some(1), Some(most));
    fields.finish()?;
    let (id, created_at) = (InvoiceId::mint(call.at()), call.at());
    let invoice = Invoice { id, number, terms, cents, sent_at: None, created_at };
    call.create("/v1/invoices", &invoice, json!({ "number": invoice.number })).await
}

/// Send an invoice
#[post("/v1/invoices/{id}/send", 202, OperationResponse)]
async fn send_invoice(call: TenantCall, Id(id): Id<InvoiceId>) -> Result<Answer> {
    call.write(async |tx| {
        let invoice = call.lock::<Invoice>(tx, id).await?;
        if invoice.sent_at.is_some() {
            return Err(ALREADY_SENT.error());
        }
        // A job for each request: one that failed can be asked for again, and of two the second finds nothing to do.
        call.start(tx, id, &SendInvoice { invoice: id }).await
    })
    .await
}

/// Send one invoice.
#[job("invoices.send")]
struct SendInvoice {
    invoice: InvoiceId,
}

impl TransactionalJob for SendInvoice {
    async fn run(self, call: &JobCall, tx: &mut TenantTx) -> Result<Option<Value>, JobError> {
        let unsent = invoices::table.find(self.invoice).filter(invoices::sent_at.is_null());
        let sent = diesel::update(unsent).set(invoices::sent_at.eq(call.at()));
        if tx.execute(sent).await? > 0 {
            call.count(tx, INVOICES_SENT, Quantity::ONE).await?;
        }
        Ok(Some(json!({ "invoice": self.invoice })))
    }
}
