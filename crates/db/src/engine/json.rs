//! JSON that the product carries without looking into it.
//!
//! Owns the way of a JSON text into a `json` column and out of it, to the letter. Refuses to make a tree of it: a tree takes up
//! to a hundred times the text's size (`bulkhead_domain::json`).

use std::io::Write;

use bulkhead_domain::JsonObject;
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, IsNull, Output, ToSql},
    sql_types::Json,
};
use serde::Serialize;
use serde_json::value::RawValue;

/// A JSON text as it was sent.
#[derive(Clone, Debug, AsExpression, FromSqlRow, Serialize)]
#[diesel(sql_type = Json)]
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

impl ToSql<Json, Pg> for JsonText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.get().as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Json, Pg> for JsonText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_slice(value.as_bytes())?))
    }
}
