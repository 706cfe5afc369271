//! `#[filter(invoices, Invoice)]`, and `#[filter(InvoiceId)]` for a list whose query is written by hand.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Field, Ident, ItemStruct, Token, Type, Visibility,
    parse::{Parse, ParseStream, Parser},
    spanned::Spanned,
};

use crate::field;

/// Whose list it is.
enum Of {
    /// That of a row in its table.
    Row { table: Ident, row: Type },
    /// Of things with these ids.
    Id(Type),
}

impl Parse for Of {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let first: Type = input.parse()?;
        if input.is_empty() {
            return Ok(Self::Id(first));
        }
        input.parse::<Token![,]>()?;
        Ok(Self::Row { table: syn::parse2(quote!(#first))?, row: input.parse()? })
    }
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let of: Of = syn::parse2(arguments)?;
    let mut item: ItemStruct = syn::parse2(item)?;
    let (filter, vis) = (item.ident.clone(), item.vis.clone());
    let fields = field::named(&mut item)?;
    let mut columns = Vec::new();
    for one in fields.iter_mut() {
        let name = field::name(one)?.clone();
        let Some(value) = field::optional(&one.ty).cloned() else {
            return Err(syn::Error::new(one.ty.span(), "a filter may be left out: an `Option`"));
        };
        field::attribute(one, reading(one, &value)?)?;
        columns.push(name);
    }
    let limit = quote! {
        /// How many rows to return, 1 to 100.
        #[param(minimum = 1, maximum = 100, default = 20)]
        #[serde(default, deserialize_with = "::bulkhead::page_limit")]
        limit: Option<u16>
    };
    let cursor = quote! {
        /// The `next_cursor` of the page before.
        cursor: Option<String>
    };
    for one in [limit, cursor] {
        fields.push(Field::parse_named.parse2(one)?);
    }
    let id = match &of {
        Of::Row { row, .. } => quote!(<#row as ::bulkhead::Row>::Id),
        Of::Id(id) => quote!(#id),
    };
    let rows = match &of {
        Of::Row { table, row } => Some(rows(&vis, table, row, &columns)),
        Of::Id(_) => None,
    };
    Ok(quote! {
        #[derive(Debug, ::serde::Deserialize, ::bulkhead::utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        #item

        impl #filter {
            /// The page that is asked for.
            #vis fn page(&self) -> ::bulkhead::Result<::bulkhead::PageRequest> {
                ::bulkhead::page_request(self.limit, self.cursor.as_deref(), |id: #id| id.uuid())
            }

            #rows
        }
    })
}

/// How a field is read and documented.
fn reading(one: &Field, value: &Type) -> syn::Result<TokenStream> {
    let kind = match field::word(value).as_str() {
        "String" => {
            let (least, most) = field::lengths(one, "param")?;
            let reader =
                format!("::bulkhead::optional_text::<_, {{ {} }}, {{ {} }}>", quote!(#least), quote!(#most));
            return Ok(quote!(#[serde(default, deserialize_with = #reader)]));
        }
        "DateTime" => "time",
        "NaiveDate" => "date",
        _ => {
            // They would be shown and not hold.
            let has = |bound| field::bound(&one.attrs, "param", bound).is_some();
            if has("minimum") || has("maximum") {
                let said = "a number of a filter has no bounds: one that is outside finds nothing";
                return Err(syn::Error::new(one.ty.span(), said));
            }
            return Ok(quote!(#[param(inline)]));
        }
    };
    let reader = format!("::bulkhead::__private::present_{kind}");
    Ok(quote!(#[param(inline)] #[serde(default, deserialize_with = #reader)]))
}

/// The method that makes the query.
fn rows(vis: &Visibility, table: &Ident, row: &Type, columns: &[Ident]) -> TokenStream {
    quote! {
        /// The rows that fit.
        #vis fn rows(self) -> <#row as ::bulkhead::Row>::Rows {
            use ::diesel::prelude::*;
            let mut rows = <#row as ::bulkhead::Row>::rows();
            #(
                if let Some(value) = self.#columns {
                    rows = rows.filter(#table::#columns.eq(value));
                }
            )*
            rows
        }
    }
}
