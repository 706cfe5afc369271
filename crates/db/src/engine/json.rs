//! JSON that the product carries without looking into it.
//!
//! Owns the way of a JSON text into a `jsonb` column and out of it. Refuses to make a tree of it: a tree takes up to a
//! hundred times the text's size (`bulkhead_domain::json`).

use std::io::Write;

use bulkhead_domain::JsonObject;
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, IsNull, Output, ToSql},
    sql_types::Jsonb,
};
use serde::Serialize;
use serde_json::value::RawValue;

/// The version of `jsonb`'s binary form, whose one version is the text behind this byte (`jsonb_recv` in PostgreSQL).
const VERSION: u8 = 1;

/// A JSON text, as a tenant sent it or as PostgreSQL has written it.
#[derive(Clone, Debug, AsExpression, FromSqlRow, Serialize)]
#[diesel(sql_type = Jsonb)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// The JSON of a value of our own.
    pub fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl From<JsonObject> for JsonText {
    fn from(object: JsonObject) -> Self {
        Self(object.into_raw())
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl ToSql<Jsonb, Pg> for JsonText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[VERSION])?;
        out.write_all(self.get().as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Jsonb, Pg> for JsonText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes().split_first() {
            Some((&VERSION, text)) => Ok(Self(serde_json::from_slice(text)?)),
            _ => Err("unknown version of jsonb's binary form".into()),
        }
    }
}
