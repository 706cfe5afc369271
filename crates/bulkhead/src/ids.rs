//! Ids of an extension's own things.

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
/// them as text, and text of another prefix is refused. The crate that declares one depends on `diesel`. Name the prefixes
/// to [`Extension::ids`](crate::Extension::ids), so that no two extensions have one.
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
    )+};
}
