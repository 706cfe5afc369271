//! The attributes of `bulkhead`, which re-exports them: `row`, `body`, `filter`, `choice`, `job`, and a verb for each operation.
//!
//! Owns what they expand to: derives of diesel, serde and utoipa, and the traits of `bulkhead` that its helpers are built on.
//! What is written once in a type is then the table, the document and the check of what comes in. Refuses what could not be
//! checked or documented, with an error at the place where it stands. Refuses to know a name that is not in the type it is put
//! on: there is no list of types anywhere.

mod body;
mod choice;
mod field;
mod filter;
mod job;
mod row;
mod verb;

use proc_macro::TokenStream;

/// Expands an attribute, or shows where it does not fit.
fn expanded(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(|error| error.to_compile_error()).into()
}

/// A row of a tenant's table, as its migrations leave it and as clients see it: `#[row(invoices)]`.
///
/// Declares diesel's table beside the type, one column for each field in the same order, and makes the type a
/// [`Row`](../bulkhead/trait.Row.html). The field `id` is the primary key. A field `version` (`i64`) becomes the `ETag`.
///
/// | field | column |
/// |---|---|
/// | `String` | `text` |
/// | `i16`, `i32`, `i64`, `f64`, `bool` | `smallint`, `integer`, `bigint`, `double precision`, `boolean` |
/// | `DateTime<Utc>`, `NaiveDate` | `timestamptz`, `date` |
/// | `JsonText` | `json` |
/// | a type that ends with `Id` | `uuid` |
/// | any other type: a [`choice`](macro@choice) | `text` |
/// | `Option` of one of these | the same, nullable |
///
/// A table with columns that clients must not see is declared with `diesel::table!`, and has a type for each use.
#[proc_macro_attribute]
pub fn row(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expanded(row::expand(arguments.into(), item.into()))
}

/// What a client sends: `#[body]`.
///
/// Reads the type from JSON without unknown fields, documents it, and checks it before the handler runs: the bounds of
/// `#[schema(min_length, max_length, minimum, maximum, min_items, max_items)]` hold, and everything that is outside of them is
/// told at once (422 `validation-failed`). A text without its longest length does not compile. A text has no control characters
/// and no blanks around it, is in Unicode's normalization form C and shows something; one with `#[lines]` may have line breaks,
/// one without has nothing in it that turns the direction of the text around it.
///
/// A field whose type is a `#[body]`, or a list of them, is checked with it; a list has its longest length (`max_items`). Where
/// the type is a struct, add `#[serde(deserialize_with = "bulkhead::object")]`, for serde would also take a list of its values.
///
/// A field that is an `Option` may be left out, and null is refused by its name. Where null means something, put
/// `#[schema(nullable)]` on it: then the field may be null, too, and that is the same as leaving it out. One field may be a
/// `JsonContent`.
#[proc_macro_attribute]
pub fn body(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expanded(body::expand(arguments.into(), item.into()))
}

/// The query of a list: `#[filter(invoices, Invoice)]`, the table and its row.
///
/// Each field is an `Option` and is named after the column that it is compared with; `limit` and `cursor` come with them.
/// `page()` is the page that is asked for, and `rows()` the rows that fit, to which a handler may add conditions of its own. A
/// text has its longest length: `#[param(max_length = 64)]`.
///
/// With the type of the ids alone, `#[filter(InvoiceId)]`, there is no `rows()`, and the handler writes the query.
#[proc_macro_attribute]
pub fn filter(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expanded(filter::expand(arguments.into(), item.into()))
}

/// One of several words: `#[choice]` on an enum without values.
///
/// Kept in a column of type `text`, and written in bodies, queries and answers, as the variant's name in lower case with `_`
/// between its words, or as `#[serde(rename = "EUR")]` has it. Rows keep the words, so a word never changes, and one that is
/// gone makes its rows unreadable.
#[proc_macro_attribute]
pub fn choice(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expanded(choice::expand(arguments.into(), item.into()))
}

/// The payload of a tenant's job: `#[job("invoices.send")]`. What it does is its `TransactionalJob`, or its
/// `TenantJobHandler` where that is more than one transaction.
///
/// The kind is the extension's name, a dot and a word. `attempts = 3` behind it says how often it may be run, 1 to 25;
/// otherwise 10.
#[proc_macro_attribute]
pub fn job(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expanded(job::expand(arguments.into(), item.into()))
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $verb:ident;)+) => {$(
        $(#[$doc])*
        ///
        /// The first line of the handler's documentation is its title. What it takes is read from its arguments: `Query<T>`,
        /// `Json<T>`, `IfMatch`, `Id<T>`. An operation that has more to say is documented with `#[utoipa::path]`, which this
        /// writes.
        #[proc_macro_attribute]
        pub fn $verb(arguments: TokenStream, item: TokenStream) -> TokenStream {
            expanded(verb::expand(stringify!($verb), arguments.into(), item.into()))
        }
    )+};
}

verbs! {
    /// Documents an operation that reads: `#[get("/v1/invoices/{id}", Invoice)]`, its path and what it answers (200).
    get;
    /// Documents an operation that makes something: `#[post("/v1/invoices", Invoice)]`, its path and what it answers (201). An
    /// answer with another status has it in front: `#[post("/v1/invoices/{id}/send", 202, OperationResponse)]`.
    post;
    /// Documents an operation that puts something in its place: `#[put("/v1/limits", Limits)]` (200).
    put;
    /// Documents an operation that changes something: `#[patch("/v1/invoices/{id}", Invoice)]` (200).
    patch;
    /// Documents an operation that removes something: `#[delete("/v1/invoices/{id}")]` (204).
    delete;
}

#[cfg(test)]
mod tests;
