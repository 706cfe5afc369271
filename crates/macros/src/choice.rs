//! `#[choice]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Fields, Ident, ItemEnum, parse::Nothing, spanned::Spanned};

use crate::field;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let Nothing = syn::parse2(arguments)?;
    let item: ItemEnum = syn::parse2(item)?;
    let (choice, vis) = (&item.ident, &item.vis);
    let (mut variants, mut words) = (Vec::new(), Vec::new());
    for variant in &item.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(syn::Error::new(variant.span(), "a choice is a word and has no values"));
        }
        variants.push(&variant.ident);
        words.push(field::renamed(&variant.attrs).unwrap_or_else(|| snake(&variant.ident.to_string())));
    }
    let (expected, column) = (alternatives(&words), column(choice, &variants, &words));
    Ok(quote! {
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            ::serde::Serialize,
            ::bulkhead::utoipa::ToSchema,
            ::diesel::expression::AsExpression,
            ::diesel::deserialize::FromSqlRow
        )]
        #[serde(rename_all = "snake_case")]
        #[diesel(sql_type = ::diesel::sql_types::Text)]
        #item

        impl<'de> ::serde::Deserialize<'de> for #choice {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> ::core::result::Result<Self, D::Error> {
                // A text and nothing else: serde's own would also take an object with the word as its member.
                match &*<::std::borrow::Cow<'de, str> as ::serde::Deserialize>::deserialize(from)? {
                    #(#words => Ok(Self::#variants),)*
                    _ => Err(::serde::de::Error::custom(concat!("must be ", #expected))),
                }
            }
        }

        impl #choice {
            /// The word that it is written as.
            #vis const fn as_str(self) -> &'static str {
                match self {
                    #(Self::#variants => #words,)*
                }
            }
        }

        #column
    })
}

/// How a column of type `text` holds the words.
fn column(choice: &Ident, variants: &[&Ident], words: &[String]) -> TokenStream {
    quote! {
        impl ::diesel::serialize::ToSql<::diesel::sql_types::Text, ::diesel::pg::Pg> for #choice {
            fn to_sql<'b>(
                &'b self,
                out: &mut ::diesel::serialize::Output<'b, '_, ::diesel::pg::Pg>,
            ) -> ::diesel::serialize::Result {
                <str as ::diesel::serialize::ToSql<::diesel::sql_types::Text, ::diesel::pg::Pg>>::to_sql(
                    self.as_str(),
                    out,
                )
            }
        }

        impl ::diesel::deserialize::FromSql<::diesel::sql_types::Text, ::diesel::pg::Pg> for #choice {
            fn from_sql(value: ::diesel::pg::PgValue<'_>) -> ::diesel::deserialize::Result<Self> {
                match value.as_bytes() {
                    #(word if word == #words.as_bytes() => Ok(Self::#variants),)*
                    other => Err(format!(
                        concat!("{} is no ", stringify!(#choice)),
                        String::from_utf8_lossy(other),
                    )
                    .into()),
                }
            }
        }
    }
}

/// As serde's `snake_case` writes it.
fn snake(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}

/// The words as a person reads them: `` `draft`, `sent` or `paid` ``.
fn alternatives(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    }
}
