//! Ids of an extension's own things.

use bulkhead_api::utoipa::openapi::{ObjectBuilder, RefOr, Schema, schema::Type};

/// How an id is documented: its prefix and 26 digits.
#[doc(hidden)]
pub fn schema(prefix: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let pattern = format!("^{prefix}[0-9a-hjkmnp-tv-z]{{26}}$");
    text.pattern(Some(pattern)).examples([format!("{prefix}069tbm3w01x3q72dbsqq10cjmc")]).into()
}

/// Declares types of ids, each with the prefix that it is written with: two to five lower-case letters and an underscore.
///
/// ```
/// bulkhead::id! {
///     /// A bill to a customer.
///     pub InvoiceId = "inv_";
/// }
///
/// diesel::table! {
///     invoices (id) {
///         id -> Uuid,
///     }
/// }
///
/// use diesel::prelude::*;
/// let query = invoices::table.find(InvoiceId::mint(chrono::DateTime::UNIX_EPOCH));
/// ```
///
/// An id is a UUIDv7: ids sort by the time at which they were minted. Columns of type `uuid` hold them, bodies and paths show
/// them as text, and text of another prefix is refused. The crate that declares one depends on `diesel`. Their
/// prefixes stand in `IDS`, which [`Extension::ids`](crate::Extension::ids) takes, so that no two extensions have one.
#[macro_export]
macro_rules! id {
    ($($(#[$meta:meta])* $vis:vis $name:ident = $prefix:literal;)+) => {$(
        $crate::__private::ids! {
            $(#[$meta])*
            #[derive(::diesel::expression::AsExpression, ::diesel::deserialize::FromSqlRow)]
            #[diesel(sql_type = ::diesel::sql_types::Uuid)]
            $vis $name = $prefix;
        }

        impl ::diesel::serialize::ToSql<::diesel::sql_types::Uuid, ::diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut ::diesel::serialize::Output<'b, '_, ::diesel::pg::Pg>,
            ) -> ::diesel::serialize::Result {
                <$crate::__private::Uuid as ::diesel::serialize::ToSql<
                    ::diesel::sql_types::Uuid,
                    ::diesel::pg::Pg,
                >>::to_sql(&self.0, out)
            }
        }

        impl ::diesel::deserialize::FromSql<::diesel::sql_types::Uuid, ::diesel::pg::Pg> for $name {
            fn from_sql(value: ::diesel::pg::PgValue<'_>) -> ::diesel::deserialize::Result<Self> {
                <$crate::__private::Uuid as ::diesel::deserialize::FromSql<
                    ::diesel::sql_types::Uuid,
                    ::diesel::pg::Pg,
                >>::from_sql(value)
                .map(Self::from_uuid)
            }
        }

        impl $crate::utoipa::PartialSchema for $name {
            fn schema() -> $crate::utoipa::openapi::RefOr<$crate::utoipa::openapi::Schema> {
                $crate::__private::id_schema($prefix)
            }
        }

        impl $crate::utoipa::ToSchema for $name {}
    )+

        /// The prefixes of the ids that are declared here, for [`Extension::ids`]($crate::Extension::ids).
        #[allow(dead_code, reason = "an extension may name its prefixes one by one")]
        const IDS: &[&str] = &[$($name::PREFIX),+];
    };
}
