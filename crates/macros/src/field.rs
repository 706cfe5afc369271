//! What is read of the fields of a type: what kind of value a field has, whether it is optional, and its bounds.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Expr, ExprLit, Field, Fields, GenericArgument, Ident, ItemStruct, Lit, LitInt, Meta,
    PathArguments, Token, Type, ext::IdentExt, parse::Parser, punctuated::Punctuated, spanned::Spanned,
};

/// The fields of a struct that has names for them.
pub(crate) fn named(item: &mut ItemStruct) -> syn::Result<&mut Punctuated<Field, Token![,]>> {
    match &mut item.fields {
        Fields::Named(fields) => Ok(&mut fields.named),
        other => Err(syn::Error::new(other.span(), "needs a struct whose fields have names")),
    }
}

/// The type in an `Option`.
pub(crate) fn optional(ty: &Type) -> Option<&Type> {
    if word(ty) == "Option" { argument(ty) } else { None }
}

/// The first type in another: `CreateInvoice` of `Json<CreateInvoice>`.
pub(crate) fn argument(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}

/// The last word of a type's path: `DateTime` of `chrono::DateTime<Utc>`.
pub(crate) fn word(ty: &Type) -> String {
    let Type::Path(path) = ty else { return String::new() };
    path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default()
}

/// Whether a type is one of ids, by its name.
pub(crate) fn is_id(ty: &Type) -> bool {
    word(ty).ends_with("Id")
}

/// The field's name.
pub(crate) fn name(field: &Field) -> syn::Result<&Ident> {
    field.ident.as_ref().ok_or_else(|| syn::Error::new(field.span(), "needs a name"))
}

/// The field's name as clients write it.
pub(crate) fn shown(field: &Field) -> syn::Result<String> {
    match renamed(&field.attrs) {
        Some(renamed) => Ok(renamed),
        None => Ok(name(field)?.unraw().to_string()),
    }
}

/// The name that `#[serde(rename = "…")]` gives.
pub(crate) fn renamed(attributes: &[Attribute]) -> Option<String> {
    match bound(attributes, "serde", "rename")? {
        Expr::Lit(ExprLit { lit: Lit::Str(renamed), .. }) => Some(renamed.value()),
        _ => None,
    }
}

/// What stands in an attribute's list under a name: `64` of `#[schema(max_length = 64)]`.
pub(crate) fn bound(attributes: &[Attribute], list: &str, wanted: &str) -> Option<Expr> {
    let metas =
        attributes.iter().filter(|attribute| attribute.path().is_ident(list)).filter_map(|attribute| {
            let tokens = attribute.meta.require_list().ok()?.tokens.clone();
            // utoipa has words in its lists that are no expressions; each is looked at by itself.
            Some(split(tokens))
        });
    metas.flatten().find_map(|part| match syn::parse2::<Meta>(part).ok()? {
        Meta::NameValue(pair) if pair.path.is_ident(wanted) => Some(pair.value),
        _ => None,
    })
}

/// Whether a word stands in an attribute's list: `#[schema(nullable)]`.
pub(crate) fn says(attributes: &[Attribute], list: &str, wanted: &str) -> bool {
    let lists = attributes.iter().filter(|attribute| attribute.path().is_ident(list));
    let mut parts = lists
        .filter_map(|attribute| attribute.meta.require_list().ok())
        .flat_map(|list| split(list.tokens.clone()));
    parts.any(|part| syn::parse2::<Ident>(part).is_ok_and(|word| word == wanted))
}

/// The parts of a list between its commas.
fn split(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    for token in tokens {
        match (&token, parts.last_mut()) {
            (proc_macro2::TokenTree::Punct(punct), _) if punct.as_char() == ',' => {
                parts.push(TokenStream::new());
            }
            (_, Some(last)) => last.extend([token]),
            (_, None) => {}
        }
    }
    parts
}

/// Gives the bounds of a wide integer its type, so that they may be as wide.
pub(crate) fn typed_bounds(field: &mut Field, value: &Type) -> syn::Result<()> {
    let ty = word(value);
    if !["i64", "u32", "u64"].contains(&ty.as_str()) {
        return Ok(());
    }
    for attribute in &mut field.attrs {
        if !attribute.path().is_ident("schema") {
            continue;
        }
        let parts = split(attribute.meta.require_list()?.tokens.clone()).into_iter().map(|part| {
            let pair = match syn::parse2::<Meta>(part.clone()) {
                Ok(Meta::NameValue(pair))
                    if pair.path.is_ident("minimum") || pair.path.is_ident("maximum") =>
                {
                    pair
                }
                _ => return part,
            };
            match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Int(bound), .. }) if bound.suffix().is_empty() => {
                    let (path, bound) = (&pair.path, LitInt::new(&format!("{bound}{ty}"), bound.span()));
                    quote!(#path = #bound)
                }
                _ => part,
            }
        });
        let parts: Vec<TokenStream> = parts.collect();
        *attribute = syn::parse_quote!(#[schema(#(#parts),*)]);
    }
    Ok(())
}

/// The lengths that a text may have, which it has to say.
pub(crate) fn lengths(field: &Field, list: &str) -> syn::Result<(Expr, Expr)> {
    let most = bound(&field.attrs, list, "max_length").ok_or_else(|| {
        let said = format!("a text has its longest length: #[{list}(min_length = 1, max_length = 200)]");
        syn::Error::new(field.span(), said)
    })?;
    let least = bound(&field.attrs, list, "min_length").unwrap_or_else(|| syn::parse_quote!(0));
    Ok((least, most))
}

/// Adds attributes to a field.
pub(crate) fn attribute(field: &mut Field, attributes: TokenStream) -> syn::Result<()> {
    field.attrs.extend(Attribute::parse_outer.parse2(attributes)?);
    Ok(())
}

/// A type's column in diesel's words.
pub(crate) fn column(ty: &Type) -> TokenStream {
    if let Some(inner) = optional(ty) {
        let inner = column(inner);
        return quote!(Nullable<#inner>);
    }
    let sql = match word(ty).as_str() {
        "String" => "Text",
        "i16" => "Int2",
        "i32" => "Int4",
        "i64" => "Int8",
        "f64" => "Float8",
        "bool" => "Bool",
        "DateTime" => "Timestamptz",
        "NaiveDate" => "Date",
        "JsonText" => "Json",
        _ if is_id(ty) => "Uuid",
        _ => "Text",
    };
    Ident::new(sql, Span::call_site()).into_token_stream()
}
