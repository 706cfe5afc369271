//! What an attribute refuses, and what it writes where that is not seen by the programs that use it.

use proc_macro2::TokenStream;
use quote::quote;

use crate::{body, choice, filter, job, row, verb};

fn refused(expanded: syn::Result<TokenStream>) -> String {
    expanded.map(|written| written.to_string()).unwrap_err().to_string()
}

fn written(expanded: syn::Result<TokenStream>) -> String {
    expanded.unwrap().to_string().replace(' ', "")
}

#[test]
fn what_could_not_be_checked_is_refused() {
    let endless = quote!(
        struct Body {
            #[schema(min_length = 1)]
            text: String,
        }
    );
    assert!(refused(body::expand(quote!(), endless)).starts_with("a text has its longest length: #[schema("));
    let endless = quote!(
        struct Body {
            text: Option<String>,
        }
    );
    assert!(refused(body::expand(quote!(), endless)).starts_with("a text has its longest length"));
    let two = quote!(
        struct Body {
            one: JsonContent,
            other: Option<JsonContent>,
        }
    );
    assert_eq!(refused(body::expand(quote!(), two)), "a body has one field of any JSON");
    let endless = quote!(
        struct List {
            text: Option<String>,
        }
    );
    assert!(
        refused(filter::expand(quote!(things, Thing), endless))
            .starts_with("a text has its longest length: #[param(")
    );
    let forced = quote!(
        struct List {
            kind: Kind,
        }
    );
    assert_eq!(
        refused(filter::expand(quote!(things, Thing), forced)),
        "a filter may be left out: an `Option`"
    );
}

#[test]
fn a_list_is_bounded_and_looked_into() {
    let endless = quote!(
        struct Body {
            lines: Vec<Line>,
        }
    );
    assert_eq!(
        refused(body::expand(quote!(), endless)),
        "a list has its longest length: #[schema(max_items = 100)]"
    );
    for item in
        [quote!(String), quote!(DateTime<Utc>), quote!(NaiveDate), quote!(Vec<Line>), quote!(JsonContent)]
    {
        let bare = quote!(struct Body { #[schema(max_items = 9)] lines: Vec<#item> });
        assert!(
            refused(body::expand(quote!(), bare)).starts_with("items of this type have no bounds"),
            "{item}"
        );
    }
    let lines = quote!(
        struct Body {
            #[schema(max_items = 9)]
            lines: Vec<Line>,
        }
    );
    let written = written(body::expand(quote!(), lines));
    assert!(written.contains("iffields.items(\"/lines\",value.len(),0,9){for(index,item)in"), "{written}");
}

#[test]
fn what_could_not_be_kept_or_documented_is_refused() {
    let number = quote!(
        struct List {
            #[param(maximum = 9)]
            size: Option<i64>,
        }
    );
    assert_eq!(
        refused(filter::expand(quote!(ThingId), number)),
        "a number of a filter has no bounds: one that is outside finds nothing"
    );
    let valued = quote!(
        enum Kind {
            One(u8),
        }
    );
    assert_eq!(refused(choice::expand(quote!(), valued)), "a choice is a word and has no values");
    let keyless = quote!(
        struct Thing {
            name: String,
        }
    );
    assert_eq!(refused(row::expand(quote!(things), keyless)), "a row has a field `id`, its primary key");
    let job = quote!(
        struct Send {
            invoice: InvoiceId,
        }
    );
    assert!(refused(job::expand(quote!("things.send", tries = 3), job)).contains("`attempts = 3`"));
    let handler = quote!(
        async fn get_thing() -> Result<Answer> {}
    );
    assert_eq!(
        refused(verb::expand("get", quote!("/v1/things", Thing, Other), handler)),
        "an operation has one answer"
    );
}

#[test]
fn a_column_is_of_the_type_that_holds_the_field() {
    let thing = quote! {
        struct Thing {
            id: ThingId,
            name: String,
            kind: Kind,
            size: Option<i64>,
            data: JsonText,
            at: chrono::DateTime<Utc>,
            other: Option<OtherId>,
        }
    };
    let columns = "things(id){id->Uuid,name->Text,kind->Text,size->Nullable<Int8>,data->Json,at->Timestamptz,\
                   other->Nullable<Uuid>,}";
    let written = written(row::expand(quote!(things), thing));
    assert!(written.contains(columns), "{written}");
}

#[test]
fn a_bound_is_read_beside_words_of_others() {
    let thing = quote! {
        struct Thing {
            #[schema(nullable, minimum = 3, example = json!([1, 2]))]
            size: Option<i64>,
            #[serde(rename = "x")]
            #[schema(max_length = 9)]
            name: String,
        }
    };
    let written = written(body::expand(quote!(), thing));
    assert!(written.contains("fields.range(\"/size\",*value,Some(3),None);"), "{written}");
    assert!(written.contains("fields.text(\"/x\",value,0,9);"), "{written}");
    let prose = quote!(
        struct Thing {
            #[lines]
            #[schema(max_length = 9)]
            text: String,
        }
    );
    let lines = super::tests::written(body::expand(quote!(), prose));
    assert!(lines.contains("fields.lines(\"/text\",value,0,9);") && !lines.contains("#[lines]"), "{lines}");
    assert!(!written.contains("present"), "a field that may be null is read as it is: {written}");
}

#[test]
fn times_and_dates_are_read_in_the_form_that_is_written() {
    let thing = quote! {
        struct Thing {
            at: DateTime<Utc>,
            due: Option<NaiveDate>,
            #[schema(nullable)]
            sent: Option<DateTime<Utc>>,
            #[schema(maximum = 100_000_000_000, example = 4)]
            size: i64,
        }
    };
    let body = written(body::expand(quote!(), thing));
    for part in [
        "#[serde(deserialize_with=\"::bulkhead::__private::read_time\")]at:",
        "#[serde(default,deserialize_with=\"::bulkhead::__private::present_date\")]",
        "#[serde(default,deserialize_with=\"::bulkhead::__private::optional_time\")]sent:",
        "#[schema(maximum=100_000_000_000i64,example=4)]size:",
    ] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    let list = written(filter::expand(
        quote!(ThingId),
        quote!(
            struct List {
                due: Option<NaiveDate>,
            }
        ),
    ));
    assert!(list.contains("present_date"), "{list}");
}

#[test]
fn an_operation_is_documented_by_what_it_takes() {
    let handler = quote! {
        async fn change(call: TenantCall, Id(id): Id<ThingId>, on: IfMatch, Json(body): Json<Change>) -> Result<Answer> {}
    };
    let documented = written(verb::expand("patch", quote!("/v1/things/{id}", Thing), handler));
    for part in [
        "patch,path=\"/v1/things/{id}\",params((\"id\"=ThingId,Path,description=\"Itsid.\"),::bulkhead::IfMatchHeader),request_body=Change,",
        "(status=200,description=\"Asitisnow.\",body=Thing)",
    ] {
        assert!(documented.contains(part), "{documented}");
    }
    let handler = quote!(
        async fn send(call: TenantCall, Query(q): Query<Which>) -> Result<Answer> {}
    );
    let documented =
        written(verb::expand("post", quote!("/v1/things/send", 202, OperationResponse), handler));
    assert!(documented.contains("params(Which,::bulkhead::IdempotencyKeyHeader)"), "{documented}");
    assert!(documented.contains("status=202"), "{documented}");
}
