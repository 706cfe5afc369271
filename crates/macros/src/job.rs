//! `#[job("invoices.send")]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Ident, ItemStruct, LitInt, LitStr, Token,
    parse::{Parse, ParseStream},
};

struct Kind {
    kind: LitStr,
    attempts: Option<LitInt>,
}

impl Parse for Kind {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let kind = input.parse()?;
        if input.is_empty() {
            return Ok(Self { kind, attempts: None });
        }
        input.parse::<Token![,]>()?;
        let word: Ident = input.parse()?;
        if word != "attempts" {
            return Err(syn::Error::new(word.span(), "behind the kind stands `attempts = 3` or nothing"));
        }
        input.parse::<Token![=]>()?;
        Ok(Self { kind, attempts: Some(input.parse()?) })
    }
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let Kind { kind, attempts } = syn::parse2(arguments)?;
    let item: ItemStruct = syn::parse2(item)?;
    let job = &item.ident;
    let attempts = attempts.map(|attempts| quote!(const MAX_ATTEMPTS: i32 = #attempts;));
    Ok(quote! {
        #[derive(Debug, ::serde::Deserialize, ::serde::Serialize)]
        #item

        impl ::bulkhead::Job for #job {
            const KIND: &'static str = #kind;
            #attempts
        }

        impl ::bulkhead::TenantJob for #job {}
    })
}
