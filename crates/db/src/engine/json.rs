//! JSON that the product carries without looking into it.
//!
//! Carries a JSON text into a `json` column, out of it and into an answer, without a change. Refuses to make a tree of
//! it: a tree takes up to a hundred times the text's size (`bulkhead_domain::json`). Nor does it parse the text again
//! on the way out, which would take a serving thread milliseconds for a page: the text was checked when it came in,
//! and by PostgreSQL.

use std::{io::Write, sync::Arc};

use bulkhead_domain::JsonObject;
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, IsNull, Output, ToSql},
    sql_types::Json,
};
use serde::{Serialize, Serializer, ser::SerializeStruct};

/// How `serde_json`'s `RawValue` tells its serializer that a text is JSON. It has no way to make one of a text without
/// reading it first; a test holds that the name is still this one.
const RAW: &str = "$serde_json::private::RawValue";

/// A JSON text as it was sent. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Json)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// The JSON of a value of our own.
    pub fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        Ok(Self(serde_json::to_string(value)?.into()))
    }

    /// A schema that is to be migrated still has `jsonb`, whose binary form is the text behind a byte (`jsonb_send`).
    fn received(bytes: &[u8]) -> deserialize::Result<Self> {
        let text = bytes.strip_prefix(&[1]).unwrap_or(bytes);
        Ok(Self(str::from_utf8(text)?.into()))
    }

    /// The text.
    pub fn get(&self) -> &str {
        &self.0
    }
}

/// `{}`.
impl Default for JsonText {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl From<JsonObject> for JsonText {
    fn from(object: JsonObject) -> Self {
        Self(object.get().into())
    }
}

/// With `serde_json` alone.
impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut raw = to.serialize_struct(RAW, 1)?;
        raw.serialize_field(RAW, &*self.0)?;
        raw.end()
    }
}

impl ToSql<Json, Pg> for JsonText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Json, Pg> for JsonText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Self::received(value.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::JsonContent;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_of_a_schema_that_is_to_be_migrated_is_read_too() {
        for sent in [&b"{}"[..], b"\x01{}"] {
            assert_eq!(JsonText::received(sent).unwrap().get(), "{}");
        }
    }

    #[test]
    fn a_text_is_written_to_the_letter_wherever_it_stands() {
        let text = r#"{ "b" : 1.10, "a": "\u00e4", "b2":-0.0e5 }"#;
        let raw: JsonContent = serde_json::from_str(text).unwrap();
        let json = JsonText::from(raw.within(1 << 10).unwrap());
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
        assert_eq!(serde_json::to_string(&[(1, &json)]).unwrap(), format!("[[1,{text}]]"));
        let own = JsonText::of(&json!({ "demo": true })).unwrap();
        assert_eq!(own.get(), r#"{"demo":true}"#);
    }
}
