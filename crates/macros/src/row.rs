//! `#[row(invoices)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Ident, ItemStruct, Type, ext::IdentExt, spanned::Spanned};

use crate::field;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let table: Ident = syn::parse2(arguments)?;
    let mut item: ItemStruct = syn::parse2(item)?;
    let (mut columns, mut names, mut id, mut version) = (Vec::new(), Vec::new(), None, quote!(None));
    for one in field::named(&mut item)? {
        let (name, column) = (field::name(one)?.clone(), field::column(&one.ty));
        columns.push(quote!(#name -> #column));
        names.push(name.unraw().to_string());
        if name == "id" {
            id = Some(one.ty.clone());
        }
        if name == "version" {
            version = quote!(Some(self.version));
        }
        if field::optional(&one.ty).is_some() {
            // An answer always has it.
            field::attribute(one, quote!(#[schema(required)]))?;
        }
    }
    let id = id.ok_or_else(|| syn::Error::new(item.span(), "a row has a field `id`, its primary key"))?;
    let is_row = implementation(&item.ident, &table, &id, &names, &version);
    Ok(quote! {
        ::diesel::table! {
            #table (id) {
                #(#columns,)*
            }
        }

        #[derive(
            Clone,
            Debug,
            ::diesel::Insertable,
            ::diesel::Queryable,
            ::diesel::Selectable,
            ::serde::Serialize,
            ::bulkhead::utoipa::ToSchema
        )]
        // Otherwise diesel writes `DEFAULT` for what is absent: another text for each choice, which it prepares for each use, and
        // another row than the one that is answered with.
        #[diesel(table_name = #table, check_for_backend(::diesel::pg::Pg), treat_none_as_default_value = false)]
        #item

        #is_row
    })
}

/// What a call does with the row.
fn implementation(
    row: &Ident,
    table: &Ident,
    id: &Type,
    names: &[String],
    version: &TokenStream,
) -> TokenStream {
    let (table_name, statements) = (table.to_string(), statements(table));
    quote! {
        impl ::bulkhead::Row for #row {
            type Id = #id;
            type Rows = #table::BoxedQuery<
                'static,
                ::diesel::pg::Pg,
                ::diesel::helper_types::SqlTypeOf<::diesel::helper_types::AsSelect<Self, ::diesel::pg::Pg>>,
            >;

            const TABLE: &'static str = #table_name;
            const COLUMNS: &'static [&'static str] = &[#(#names),*];

            fn id(&self) -> Self::Id {
                self.id
            }

            fn version(&self) -> Option<i64> {
                #version
            }

            fn rows() -> Self::Rows {
                use ::diesel::prelude::*;
                #table::table.select(Self::as_select()).into_boxed()
            }

            #statements
        }
    }
}

/// The statements, each a query of diesel.
fn statements(table: &Ident) -> TokenStream {
    quote! {
            async fn find(tx: &mut ::bulkhead::TenantTx, id: Self::Id) -> ::bulkhead::DbResult<Option<Self>> {
                use ::diesel::prelude::*;
                tx.first(#table::table.find(id).select(Self::as_select())).await
            }

            async fn lock(tx: &mut ::bulkhead::TenantTx, id: Self::Id) -> ::bulkhead::DbResult<Option<Self>> {
                use ::diesel::prelude::*;
                tx.first(#table::table.find(id).select(Self::as_select()).for_update()).await
            }

            async fn page(
                tx: &mut ::bulkhead::TenantTx,
                mut rows: Self::Rows,
                page: ::bulkhead::PageRequest,
            ) -> ::bulkhead::DbResult<::bulkhead::Page<Self>> {
                use ::diesel::prelude::*;
                if let Some(after) = page.after {
                    rows = rows.filter(#table::id.gt(Self::Id::from(after)));
                }
                let rows = rows.order(#table::id).limit(page.probe());
                Ok(::bulkhead::Page::cut(tx.load(rows).await?, page))
            }

            async fn insert(&self, tx: &mut ::bulkhead::TenantTx) -> ::bulkhead::DbResult<()> {
                tx.execute(::diesel::insert_into(#table::table).values(self)).await?;
                Ok(())
            }
    }
}
