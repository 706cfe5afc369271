//! `#[body]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{Expr, Field, ItemStruct, Type, parse::Nothing, spanned::Spanned};

use crate::field;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let Nothing = syn::parse2(arguments)?;
    let mut item: ItemStruct = syn::parse2(item)?;
    let (mut checks, mut content) = (Vec::new(), None);
    for one in field::named(&mut item)? {
        let inner = field::optional(&one.ty).cloned();
        let value = inner.clone().unwrap_or_else(|| one.ty.clone());
        let attributes = one.attrs.len();
        one.attrs.retain(|attribute| !attribute.path().is_ident("lines"));
        checks.extend(check(one, &value, inner.is_some(), one.attrs.len() < attributes)?);
        if field::word(&value) == "JsonContent" {
            let name = field::name(one)?;
            let found =
                if inner.is_some() { quote!(self.#name.as_mut()) } else { quote!(Some(&mut self.#name)) };
            if content.replace(found).is_some() {
                return Err(syn::Error::new(name.span(), "a body has one field of any JSON"));
            }
            field::attribute(one, quote!(#[schema(value_type = Object)]))?;
        }
        if let Some(reading) = reading(&value, inner.is_some(), field::says(&one.attrs, "schema", "nullable"))
        {
            field::attribute(one, reading)?;
        }
        if inner.is_some() && !field::says(&one.attrs, "schema", "nullable") {
            field::attribute(one, quote!(#[schema(nullable = false)]))?;
        }
        field::typed_bounds(one, &value)?;
    }
    let body = &item.ident;
    let content = content.map(|content| {
        quote! {
            fn content(&mut self) -> Option<&mut ::bulkhead::JsonContent> {
                #content
            }
        }
    });
    let check = (!checks.is_empty()).then(|| {
        quote! {
            fn check(&self, fields: &mut ::bulkhead::Fields) {
                use ::bulkhead::__private::{HasBounds as _, HasNone as _};
                #(#checks)*
            }
        }
    });
    Ok(quote! {
        #[derive(Debug, ::serde::Deserialize, ::bulkhead::utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        #item

        impl ::bulkhead::RequestBody for #body {
            #content
            #check
        }
    })
}

/// How a field is read, where its type does not say it: what may be left out, and times and dates, of which chrono reads more
/// spellings and years than can be kept and written.
fn reading(value: &Type, is_optional: bool, may_be_null: bool) -> Option<TokenStream> {
    let kind = match field::word(value).as_str() {
        "DateTime" => "time",
        "NaiveDate" => "date",
        _ if is_optional && !may_be_null => {
            return Some(quote!(#[serde(default, deserialize_with = "::bulkhead::present")]));
        }
        _ => return None,
    };
    let how = match (is_optional, may_be_null) {
        (false, _) => "read",
        (true, false) => "present",
        (true, true) => "optional",
    };
    let reader = format!("::bulkhead::__private::{how}_{kind}");
    Some(if is_optional {
        quote!(#[serde(default, deserialize_with = #reader)])
    } else {
        quote!(#[serde(deserialize_with = #reader)])
    })
}

/// The check of one field, if it has bounds.
fn check(one: &Field, value: &Type, is_optional: bool, has_lines: bool) -> syn::Result<Option<TokenStream>> {
    let name = field::name(one)?;
    let pointer = format!("/{}", field::shown(one)?);
    let check = match field::word(value).as_str() {
        "String" => {
            let (least, most) = field::lengths(one, "schema")?;
            let check = Ident::new(if has_lines { "lines" } else { "text" }, Span::call_site());
            quote!(fields.#check(#pointer, value, #least, #most);)
        }
        "JsonContent" => quote! {
            if let Some(fault) = value.fault() {
                fields.refuse(&format!("{}{}", #pointer, fault.pointer), fault);
            }
        },
        "bool" => return Ok(None),
        "i16" | "i32" | "i64" | "u16" | "u32" | "u64" | "f64" => {
            let end = |wanted| field::bound(&one.attrs, "schema", wanted).map(|end| typed(&end, value));
            match (end("minimum"), end("maximum")) {
                (None, None) => return Ok(None),
                (least, most) => {
                    let (least, most) = (option(least), option(most));
                    quote!(fields.range(#pointer, *value, #least, #most);)
                }
            }
        }
        "Vec" => {
            let item = field::argument(value).map(field::word).unwrap_or_default();
            if ["String", "DateTime", "NaiveDate", "JsonContent", "Vec", "Option"].contains(&item.as_str()) {
                let said =
                    "items of this type have no bounds of their own in a list: make it a list of a `#[body]`";
                return Err(syn::Error::new(value.span(), said));
            }
            let most = field::bound(&one.attrs, "schema", "max_items").ok_or_else(|| {
                syn::Error::new(value.span(), "a list has its longest length: #[schema(max_items = 100)]")
            })?;
            let least =
                field::bound(&one.attrs, "schema", "min_items").unwrap_or_else(|| syn::parse_quote!(0));
            quote! {
                if fields.items(#pointer, value.len(), #least, #most) {
                    for (index, item) in value.iter().enumerate() {
                        fields.inside(&format!("{}/{index}", #pointer), |fields| item.check_inside(fields));
                    }
                }
            }
        }
        _ => quote!(fields.inside(#pointer, |fields| value.check_inside(fields));),
    };
    Ok(Some(if is_optional {
        quote!(if let Some(value) = &self.#name { #check })
    } else {
        quote!({ let value = &self.#name; #check })
    }))
}

fn typed(end: &Expr, value: &Type) -> TokenStream {
    if field::word(value) == "f64" { quote!(f64::from(#end)) } else { quote!(#end) }
}

fn option(end: Option<TokenStream>) -> TokenStream {
    end.map_or_else(|| quote!(None), |end| quote!(Some(#end)))
}
