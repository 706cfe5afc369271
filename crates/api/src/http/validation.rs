//! What is wrong with the fields of a request: what can be seen in them, and what the database's constraints have refused.

use std::{fmt::Display, str::FromStr};

use bulkhead_db::DbError;

use crate::http::{
    error::{ApiError, FieldError},
    extract::RequestBody,
    row::Row,
};

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
pub struct Fields {
    errors: Vec<FieldError>,
    /// The pointer of what the fields are in; empty for the body itself.
    inside: String,
}

/// How many things that are wrong are told: a small body may have one for each few of its bytes, and its answer would be many
/// times as large.
const TOLD: usize = 100;

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

    /// Checks that a text of one line has `least` to `most` characters, no control characters and no blanks around it, is in
    /// Unicode's normalization form C and shows something.
    pub fn text(&mut self, pointer: &str, text: &str, least: usize, most: usize) {
        self.take(pointer, bulkhead_domain::text::check(text, least, most));
    }

    /// The same for a text that may have line breaks.
    pub fn lines(&mut self, pointer: &str, text: &str, least: usize, most: usize) {
        self.take(pointer, bulkhead_domain::text::check_lines(text, least, most));
    }

    /// Checks that a number is not below `least` and not above `most`.
    pub fn range<N: PartialOrd + Display>(
        &mut self,
        pointer: &str,
        number: N,
        least: Option<N>,
        most: Option<N>,
    ) {
        let is_within = least.as_ref().is_none_or(|least| number >= *least)
            && most.as_ref().is_none_or(|most| number <= *most);
        if is_within {
            return;
        }
        match (least, most) {
            (Some(least), Some(most)) => self.refuse(pointer, format!("must be between {least} and {most}")),
            (Some(least), None) => self.refuse(pointer, format!("must be at least {least}")),
            (None, Some(most)) => self.refuse(pointer, format!("must be at most {most}")),
            (None, None) => {}
        }
    }

    /// Checks that a list has `least` to `most` items. Whether it has: what lies in one that has not is not worth a look.
    pub fn items(&mut self, pointer: &str, count: usize, least: usize, most: usize) -> bool {
        let fits = (least..=most).contains(&count);
        if !fits {
            self.refuse(pointer, format!("must have {least} to {most} items"));
        }
        fits
    }

    /// Checks what lies in the field at `pointer`: the pointers that `check` names begin there.
    pub fn inside(&mut self, pointer: &str, check: impl FnOnce(&mut Self)) {
        let length = self.inside.len();
        self.inside.push_str(pointer);
        check(self);
        self.inside.truncate(length);
    }

    /// Notes what is wrong with a field. The first hundred are told.
    pub fn refuse(&mut self, pointer: &str, detail: impl Display) {
        if self.errors.len() >= TOLD {
            return;
        }
        self.errors.push(FieldError::new(&format!("{}{pointer}", self.inside), detail));
    }

    /// Refuses the request, with all that is wrong, if anything is.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::Validation(self.errors)) }
    }
}

/// How `#[body]` checks what lies in a field: with these two in scope, `value.check_inside(fields)` of a reference is the check
/// of a body, and does nothing with a value of another type, because the compiler looks for a method of a type before one of a
/// reference to it.
#[doc(hidden)]
pub trait HasBounds {
    fn check_inside(&self, fields: &mut Fields);
}

impl<T: RequestBody> HasBounds for T {
    fn check_inside(&self, fields: &mut Fields) {
        self.check(fields);
    }
}

/// The other one of the two.
#[doc(hidden)]
pub trait HasNone {
    fn check_inside(&self, fields: &mut Fields);
}

impl<T> HasNone for &T {
    fn check_inside(&self, _: &mut Fields) {}
}

/// For `map_err` of a statement on a row's table. The client is told that what a unique column holds is taken (409
/// `already-taken`), or that a reference leads nowhere (422 `validation-failed`). The column is taken from the name that
/// PostgreSQL gives to a constraint of one column, `invoices_number_key` or `invoices_customer_fkey`; a constraint with another
/// name is an internal error.
pub fn refused<R: Row>(error: DbError) -> ApiError {
    let column = |constraint: &str, ending: &str| {
        let column = constraint.strip_prefix(R::TABLE)?.strip_prefix('_')?.strip_suffix(ending)?;
        R::COLUMNS.iter().find(|known| **known == column).copied()
    };
    match &error {
        DbError::AlreadyExists { constraint } => match column(constraint, "_key") {
            Some(what) => ApiError::Taken { what },
            None => error.into(),
        },
        DbError::BrokenReference { constraint } => match column(constraint, "_fkey") {
            Some(column) => unknown_reference_at(&format!("/{column}")),
            None => error.into(),
        },
        _ => error.into(),
    }
}

fn unknown_reference_at(pointer: &str) -> ApiError {
    ApiError::field(pointer, "must be the id of one that exists")
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
        DbError::BrokenReference { .. } => unknown_reference_at(pointer),
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
    fn what_is_wrong_inside_is_told_with_the_way_to_it() {
        let mut fields = Fields::default();
        fields.inside("/lines/1", |fields| {
            fields.range("/cents", 0, Some(1), Some(9));
            fields.inside("/of", |fields| fields.text("/name", "", 1, 9));
        });
        fields.range("/cents", 10, None, Some(9));
        fields.range("/cents", 0.5, Some(1.0), None);
        assert!(!fields.items("/lines", 3, 0, 2) && fields.items("/lines", 2, 0, 2));
        let Err(ApiError::Validation(errors)) = fields.finish() else { panic!("nothing was refused") };
        let told: Vec<(&str, &str)> =
            errors.iter().map(|error| (error.pointer.as_str(), error.detail.as_str())).collect();
        assert_eq!(
            told,
            [
                ("/lines/1/cents", "must be between 1 and 9"),
                ("/lines/1/of/name", "must not be empty, nor begin or end with a blank"),
                ("/cents", "must be at most 9"),
                ("/cents", "must be at least 1"),
                ("/lines", "must have 0 to 2 items"),
            ]
        );
    }

    #[test]
    fn an_answer_tells_a_bounded_number_of_faults() {
        let mut fields = Fields::default();
        for index in 0..100_000 {
            fields.text(&format!("/lines/{index}"), "", 1, 9);
        }
        assert!(matches!(fields.finish(), Err(ApiError::Validation(errors)) if errors.len() == TOLD));
    }
}
