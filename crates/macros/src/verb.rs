//! `#[get("/v1/invoices/{id}", Invoice)]` and its kind: what utoipa has to be told of an operation, read from its handler.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{
    FnArg, ItemFn, LitInt, LitStr, Token, Type,
    parse::{Parse, ParseStream},
};

use crate::field;

/// What an operation answers, and where.
struct Operation {
    path: LitStr,
    status: Option<LitInt>,
    body: Option<Type>,
}

impl Parse for Operation {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut operation = Self { path: input.parse()?, status: None, body: None };
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.peek(LitInt) && operation.status.is_none() && operation.body.is_none() {
                operation.status = Some(input.parse()?);
            } else if operation.body.is_none() {
                operation.body = Some(input.parse()?);
            } else {
                return Err(input.error("an operation has one answer"));
            }
        }
        Ok(operation)
    }
}

pub(crate) fn expand(verb: &str, arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let Operation { path, status, body } = syn::parse2(arguments)?;
    let handler: ItemFn = syn::parse2(item)?;
    let status = match status {
        Some(status) => status.base10_parse()?,
        None if body.is_none() => 204,
        None if verb == "post" => 201,
        None => 200,
    };
    let taken: Vec<&Type> = handler.sig.inputs.iter().filter_map(argument).collect();
    let inside =
        |wrapper: &str| taken.iter().find(|ty| field::word(ty) == wrapper).and_then(|ty| field::argument(ty));
    let mut params = Vec::new();
    params.extend(inside("Id").map(|id| quote!(("id" = #id, Path, description = "Its id."))));
    params.extend(inside("Query").map(|query| quote!(#query)));
    if taken.iter().any(|ty| field::word(ty) == "IfMatch") {
        params.push(quote!(::bulkhead::IfMatchHeader));
    }
    if verb == "post" {
        params.push(quote!(::bulkhead::IdempotencyKeyHeader));
    }
    let request_body = inside("Json").map(|sent| quote!(request_body = #sent,));
    let said = said(status, body.as_ref());
    let status = proc_macro2::Literal::u16_unsuffixed(status);
    let answer = body.map(|body| quote!(, body = #body));
    let verb = Ident::new(verb, Span::call_site());
    Ok(quote! {
        #[::bulkhead::utoipa::path(
            #verb, path = #path, params(#(#params),*), #request_body
            responses((status = #status, description = #said #answer)),
        )]
        #handler
    })
}

/// What the document says of an answer.
fn said(status: u16, body: Option<&Type>) -> &'static str {
    match (status, body.map(field::word).as_deref()) {
        (200, Some("PageResponse")) => "A page of the list.",
        (200, _) => "As it is now.",
        (201, _) => "Made.",
        (202, _) => "Taken: follow the operation.",
        _ => "Done.",
    }
}

/// The type of an argument.
fn argument(input: &FnArg) -> Option<&Type> {
    match input {
        FnArg::Typed(typed) => Some(&typed.ty),
        FnArg::Receiver(_) => None,
    }
}
