//! What is wrong with the fields of a request: what can be seen in them, and what the database's constraints have refused.

use std::{fmt::Display, str::FromStr};

use bulkhead_db::{DbError, JsonText};
use bulkhead_domain::JsonContent;

use crate::http::error::{ApiError, FieldError};

/// The fields of a body while they are checked. A client is told of everything that is wrong at once:
///
/// ```
/// use bulkhead_api::{ApiError, Fields};
/// use bulkhead_domain::Text;
///
/// let mut fields = Fields::default();
/// fields.check::<Text<64>>("/number", "A-7");
/// fields.check::<Text<200>>("/title", "");
/// assert!(matches!(fields.finish(), Err(ApiError::Validation(errors)) if errors[0].pointer == "/title"));
/// ```
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// Takes a value, or what is wrong with the field at `pointer`, a JSON Pointer (RFC 6901) into the body. The error is a
    /// phrase that follows the field's name ("must be …").
    pub fn take<T, E: Display>(&mut self, pointer: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.refuse(pointer, error)).ok()
    }

    /// Checks that a text can be read as a `T`.
    pub fn check<T: FromStr<Err: Display>>(&mut self, pointer: &str, text: &str) {
        self.take(pointer, text.parse::<T>());
    }

    /// Takes any JSON object of at most `most` bytes, as [`crate::TenantCall::data_limit`] has them. One that is refused comes as
    /// `{}`, which is never used: [`Self::finish`] refuses the request.
    pub fn content(&mut self, pointer: &str, content: JsonContent, most: usize) -> JsonText {
        match content.within(most) {
            Ok(object) => object.into(),
            Err(fault) => {
                self.refuse(&format!("{pointer}{}", fault.pointer), &fault);
                JsonText::default()
            }
        }
    }

    /// Notes what is wrong with a field.
    pub fn refuse(&mut self, pointer: &str, detail: impl Display) {
        self.0.push(FieldError::new(pointer, detail));
    }

    /// Refuses the request, with all that is wrong, if anything is.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::Validation(self.0)) }
    }
}

/// For `map_err` of a statement whose row has to be unique: when it is not, the client is told that its `what` is taken (409
/// `already-taken`). Of several unique columns it cannot tell which one was taken.
pub fn taken(what: &'static str) -> impl FnOnce(DbError) -> ApiError {
    move |error| match error {
        DbError::AlreadyExists { .. } => ApiError::Taken { what },
        other => other.into(),
    }
}

/// For `map_err` of a statement whose row refers to another one: when that one is not there, or is another tenant's, the
/// client is told that the field at `pointer` leads nowhere (422 `validation-failed`).
pub fn unknown_reference(pointer: &'static str) -> impl FnOnce(DbError) -> ApiError {
    move |error| match error {
        DbError::BrokenReference { .. } => ApiError::field(pointer, "must be the id of one that exists"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_constraint_refuses_is_told_and_nothing_else_changes() {
        let constraint = || "invoices_number_key".to_owned();
        let exists = || DbError::AlreadyExists { constraint: constraint() };
        let broken = || DbError::BrokenReference { constraint: constraint() };
        assert_eq!(taken("number")(exists()).to_string(), "This number is already taken.");
        assert_eq!(taken("number")(broken()).code(), "internal");
        let told = unknown_reference("/customer")(broken());
        assert!(
            matches!(&told, ApiError::Validation(errors) if errors[0].pointer == "/customer"),
            "{told:?}"
        );
        assert_eq!(unknown_reference("/customer")(exists()).code(), "internal");
    }

    #[test]
    fn a_refused_content_is_told_with_the_way_to_its_fault() {
        let mut fields = Fields::default();
        let content = serde_json::from_str::<JsonContent>(r#"{"a":{"b":1,"b":2}}"#).unwrap();
        fields.content("/data", content, 1 << 10);
        assert!(
            matches!(fields.finish(), Err(ApiError::Validation(errors)) if errors[0].pointer == "/data/a/b")
        );
        let mut fields = Fields::default();
        let kept = fields.content("/data", serde_json::from_str("{ }").unwrap(), 1 << 10);
        assert_eq!(kept.get(), "{ }");
        assert!(fields.finish().is_ok());
    }
}
